//! Who takes part in which kind of traffic, and how often.

use super::conn::{Conn, Faults, Script};
use super::dns::{self, Client, Habits};
use super::leg::{Leg, Side, pod, service, tunnel};
use super::tags::Tags;
use super::world::{Actor, MS, S, World};
use kcap_samples::Rng;
use kcap_samples::packet::{Ipv4, Ipv6, Layer, Udp, fragments, fragments_v6};

/// A kind of traffic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mix {
    /// TCP transfers and requests, half of it in VXLAN, some DNS, translation, fragments, losses.
    Mixed,
    /// Nothing but DNS.
    Dns,
    /// Short TCP connections of small packets.
    Small,
}

/// Pods of the cluster.
const PODS: u64 = 600;
const NO_FAULTS: Faults = Faults { loss: 0.0, reorder: 0.0 };

/// Puts the actors of a mix into the world.
pub(super) fn populate(mix: Mix, world: &mut World) {
    match mix {
        Mix::Mixed => mixed(world),
        Mix::Dns => dns_only(world),
        Mix::Small => {
            arrivals(world, 450.0, small);
            kept_open(world, 3000, small_kept);
        }
    }
}

fn mixed(world: &mut World) {
    arrivals(world, 52.0, short_lived);
    kept_open(world, 1200, keep_alive);
    let glibc = Habits { pause_ns: 9 * S, internal: 0.35, unanswered: 0.001, lookups_per_port: 0, names: 20_000 };
    dns_clients(world, 70, 0.3, glibc);
    let forwarder = Habits { pause_ns: 600 * MS, lookups_per_port: 64, ..glibc };
    dns_clients(world, 12, 0.3, forwarder);
    world.spawn(0, Box::new(Datagrams { mean_ns: 1300 * MS }));
}

fn dns_only(world: &mut World) {
    let habits = Habits { pause_ns: S, internal: 0.45, unanswered: 0.001, lookups_per_port: 0, names: 400_000 };
    dns_clients(world, 150, 0.1, habits);
    dns_clients(world, 260, 0.1, Habits { lookups_per_port: 64, ..habits });
}

fn dns_clients(world: &mut World, count: u64, tunnelled: f64, habits: Habits) {
    for n in 0..count {
        let at = world.rng.below(habits.pause_ns);
        let leg = if world.rng.chance(tunnelled) {
            dns::leg(pod(n, false), pod(n + 1, false), Some(tunnel(n, n + 1)))
        } else {
            dns::leg(pod(n, false), service(9, false), None)
        };
        world.spawn(at, Box::new(Client::new(leg, habits)));
    }
}

type Make = fn(&mut World) -> Conn;

/// Connections that begin at random, so many a second.
struct Arrivals {
    mean_ns: f64,
    make: Make,
}

impl Actor for Arrivals {
    fn act(&mut self, now: u64, world: &mut World) -> Option<u64> {
        let conn = (self.make)(world);
        world.spawn(now, Box::new(conn));
        Some(now + world.rng.exponential(self.mean_ns) as u64)
    }
}

fn arrivals(world: &mut World, per_second: f64, make: Make) {
    world.spawn(0, Box::new(Arrivals { mean_ns: S as f64 / per_second, make }));
}

/// Connections that are open all the time, half of them since before the capture.
fn kept_open(world: &mut World, count: u64, make: Make) {
    for n in 0..count {
        let conn = make(world);
        let (conn, at) = if n % 2 == 0 { (conn.midstream(), 20 * S) } else { (conn, 5 * S) };
        let at = world.rng.below(at);
        world.spawn(at, Box::new(conn));
    }
}

/// Two pods of different nodes and a port.
fn pair(rng: &mut Rng) -> (u64, u64, u16) {
    let a = rng.below(PODS);
    let b = (a + 1 + rng.below(15)) % PODS;
    (a, b, rng.between(32_768, 60_999) as u16)
}

/// How a connection is seen: through the tunnel, plainly on the way to a service, or on both sides of translation.
fn legs(rng: &mut Rng, tunnelled: f64, translated: f64) -> Vec<Leg> {
    const PORTS: [u16; 6] = [80, 443, 5432, 6379, 8080, 9090];
    let (a, b, port) = pair(rng);
    let v6 = rng.chance(0.1);
    let listen = PORTS[rng.below(6) as usize];
    let client = (pod(a, v6), port);
    let through = Leg { client, server: (pod(b, v6), listen), tunnel: Some(tunnel(a, b)) };
    let plain = Leg { client, server: (service(b % 300 + 10, v6), listen), tunnel: None };
    if rng.chance(translated) {
        return vec![plain, through];
    }
    vec![if rng.chance(tunnelled) { through } else { plain }]
}

fn short_lived(world: &mut World) -> Conn {
    let legs = legs(&mut world.rng, 0.465, 0.04);
    let faults = Faults { loss: 0.046, reorder: 0.0045 };
    let script = match world.rng.below(1000) {
        0..7 => Script::Unanswered,
        7..14 => Script::Refused,
        14..134 => Script::Bulk(20_000 + world.rng.exponential(138_000.0) as u64),
        _ => {
            let left = 1 + world.rng.exponential(5.0) as u32;
            Script::Turns { left, pause_ns: 1500 * MS, request: 900, answer: 4200 }
        }
    };
    Conn::new(world, legs, script, faults)
}

fn keep_alive(world: &mut World) -> Conn {
    let legs = legs(&mut world.rng, 0.465, 0.04);
    let faults = Faults { loss: 0.03, reorder: 0.0045 };
    let script = Script::Turns { left: u32::MAX, pause_ns: 20 * S, request: 700, answer: 5000 };
    Conn::new(world, legs, script, faults)
}

fn small(world: &mut World) -> Conn {
    let legs = legs(&mut world.rng, 0.0, 0.0);
    let left = 1 + world.rng.exponential(8.7) as u32;
    let script = Script::Turns { left, pause_ns: 2 * S, request: 24, answer: 30 };
    Conn::new(world, legs, script, NO_FAULTS)
}

fn small_kept(world: &mut World) -> Conn {
    let legs = legs(&mut world.rng, 0.0, 0.0);
    let script = Script::Turns { left: u32::MAX, pause_ns: 20 * S, request: 24, answer: 30 };
    Conn::new(world, legs, script, NO_FAULTS)
}

/// Somebody who sends datagrams that do not fit a frame.
struct Datagrams {
    mean_ns: u64,
}

impl Actor for Datagrams {
    fn act(&mut self, now: u64, world: &mut World) -> Option<u64> {
        let (a, b, port) = pair(&mut world.rng);
        let v6 = world.rng.chance(0.2);
        let leg = Leg { client: (pod(a, v6), port), server: (pod(b, v6), 12_201), tunnel: None };
        let mut payload = Vec::new();
        let len = world.rng.between(1600, 6000) as usize;
        world.rng.fill(&mut payload, len);
        let id = world.rng.next_u64() as u32;
        send_fragments(world, now, &leg, &cut(&leg, id, &payload));
        Some(now + world.rng.exponential(self.mean_ns as f64) as u64)
    }
}

fn cut(leg: &Leg, id: u32, payload: &[u8]) -> Vec<Vec<u8>> {
    let (src, dst) = leg.ports(Side::Client);
    let udp = [Udp::new(src, dst).into()];
    let link = leg.link(Side::Client);
    match leg.ip(Side::Client, id as u16) {
        Layer::Ipv4(ip) => fragments(&link, &Ipv4 { dont_fragment: false, ..ip }, &udp, payload, 1500),
        Layer::Ipv6(ip) => fragments_v6(&link, &Ipv6 { ..ip }, id, &udp, payload, 1500),
        _ => Vec::new(),
    }
}

fn send_fragments(world: &mut World, now: u64, leg: &Leg, parts: &[Vec<u8>]) {
    for (n, part) in parts.iter().enumerate() {
        let first = if n == 0 { Tags::FRAGMENTED | Tags::NEW_UDP } else { Tags::default() };
        world.buf.reset(part);
        world.emit(now + n as u64 * 12_000, leg.tags() | Tags::FRAGMENT | first);
    }
}
