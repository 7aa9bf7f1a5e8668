//! DNS clients with a search list.

use super::leg::{Inside, Leg, Side};
use super::tags::Tags;
use super::world::{Actor, MS, S, US, World};
use kcap_samples::Rng;
use kcap_samples::packet::Udp;
use std::net::IpAddr;

/// What Kubernetes writes into a pod's resolv.conf, with `ndots:5`.
const SEARCH: [&str; 3] = ["production.svc.cluster.local", "svc.cluster.local", "cluster.local"];

/// Types asked for: A and AAAA.
const TYPES: [u16; 2] = [1, 28];

/// What DNS clients have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Habits {
    /// Mean time between a client's look-ups.
    pub(super) pause_ns: u64,
    /// Share of look-ups of services, which hit at the first suffix.
    pub(super) internal: f64,
    /// Queries with no answer, of all.
    pub(super) unanswered: f64,
    /// Look-ups made from one port: 0 takes a new port for each candidate name, as glibc does; more is a forwarder.
    pub(super) lookups_per_port: u32,
    /// External names to choose from.
    pub(super) names: u64,
}

/// A client that looks up names for as long as the capture lasts.
pub(super) struct Client {
    leg: Leg,
    habits: Habits,
    port: u16,
    left_on_port: u32,
    fresh: bool,
}

/// One question.
struct Question<'a> {
    name: &'a str,
    kind: u16,
    id: u16,
    exists: bool,
}

impl Client {
    pub(super) fn new(leg: Leg, habits: Habits) -> Self {
        Self { leg, habits, port: 0, left_on_port: 0, fresh: true }
    }

    fn new_port(&mut self, rng: &mut Rng) {
        self.port = rng.between(32_768, 60_999) as u16;
        self.fresh = true;
    }

    /// A port for the next candidate name.
    fn port_for_candidate(&mut self, rng: &mut Rng, first: bool) {
        if self.habits.lookups_per_port == 0 {
            return self.new_port(rng);
        }
        if first && self.left_on_port == 0 {
            self.new_port(rng);
            self.left_on_port = self.habits.lookups_per_port;
        }
        self.left_on_port -= u32::from(first);
    }

    fn send(&mut self, world: &mut World, at: u64, from: Side, message: &[u8], tags: Tags) {
        self.leg.client.1 = self.port;
        let (src, dst) = self.leg.ports(from);
        let id = world.rng.next_u64() as u16;
        let fresh = if std::mem::take(&mut self.fresh) { Tags::NEW_UDP } else { Tags::default() };
        let inside = Inside { id, transport: Udp::new(src, dst).into(), payload: message };
        self.leg.emit(world, at, from, &inside, tags | Tags::DNS | fresh);
    }

    /// Asks for both types of one name from one port; returns when both answers are in.
    fn candidate(&mut self, world: &mut World, at: u64, name: &str, exists: bool) -> u64 {
        let mut end = at;
        for (n, kind) in TYPES.into_iter().enumerate() {
            let question = Question { name, kind, id: world.rng.next_u64() as u16, exists };
            end = end.max(self.ask(world, at + n as u64 * 30 * US, &question));
        }
        end
    }

    /// One query and its answer, five seconds later when the first query got none.
    fn ask(&mut self, world: &mut World, at: u64, question: &Question<'_>) -> u64 {
        let query = question.query();
        self.send(world, at, Side::Client, &query, Tags::QUERY);
        let mut asked = at;
        if world.rng.chance(self.habits.unanswered) {
            asked += 5 * S;
            self.send(world, asked, Side::Client, &query, Tags::QUERY | Tags::DNS_RESENT);
        }
        let answered = asked + 150 * US + (world.rng.exponential(4e5) as u64).min(20 * MS);
        let tags = if question.exists { Tags::default() } else { Tags::NXDOMAIN };
        let answer = question.answer(&mut world.rng);
        self.send(world, answered, Side::Server, &answer, tags);
        answered
    }

    fn lookup(&mut self, world: &mut World, mut at: u64) -> u64 {
        let internal = world.rng.chance(self.habits.internal);
        let stem = stem(&mut world.rng, internal, self.habits.names);
        let hit = if internal { 0 } else { SEARCH.len() };
        for n in 0..=hit {
            self.port_for_candidate(&mut world.rng, n == 0);
            let name = SEARCH.get(n).map_or_else(|| stem.clone(), |suffix| format!("{stem}.{suffix}"));
            at = self.candidate(world, at, &name, n == hit) + 40 * US;
        }
        at
    }
}

impl Actor for Client {
    fn act(&mut self, now: u64, world: &mut World) -> Option<u64> {
        let end = self.lookup(world, now);
        Some(end + world.rng.exponential(self.habits.pause_ns as f64) as u64)
    }
}

/// A service, or an external name of a skewed choice.
fn stem(rng: &mut Rng, internal: bool, names: u64) -> String {
    if internal {
        return format!("svc-{}", rng.below(200));
    }
    let skewed = rng.below(names) * rng.below(names) / names;
    format!("h{skewed}.edge-{}.content.example.com", skewed % 97)
}

impl Question<'_> {
    fn header(&self, flags: u16, counts: [u16; 3]) -> Vec<u8> {
        let words = [self.id, flags, 1, counts[0], counts[1], counts[2]];
        let mut message: Vec<u8> = words.into_iter().flat_map(u16::to_be_bytes).collect();
        put_name(&mut message, self.name);
        message.extend(self.kind.to_be_bytes());
        message.extend([0, 1]);
        message
    }

    fn query(&self) -> Vec<u8> {
        self.header(0x0100, [0, 0, 0])
    }

    fn answer(&self, rng: &mut Rng) -> Vec<u8> {
        if !self.exists {
            let mut message = self.header(0x8583, [0, 1, 0]);
            put_soa(&mut message);
            return message;
        }
        let mut message = self.header(0x8180, [1, 0, 0]);
        let address = if self.kind == 1 { 4 } else { 16 };
        message.extend([0xc0, 12]);
        message.extend(self.kind.to_be_bytes());
        message.extend([0, 1, 0, 0, 0, 30, 0, address]);
        rng.fill(&mut message, address.into());
        message
    }
}

fn put_name(message: &mut Vec<u8>, name: &str) {
    for label in name.split('.') {
        message.push(label.len() as u8);
        message.extend_from_slice(label.as_bytes());
    }
    message.push(0);
}

/// The SOA record that `CoreDNS` sends with an NXDOMAIN.
fn put_soa(message: &mut Vec<u8>) {
    put_name(message, "cluster.local");
    message.extend([0, 6, 0, 1, 0, 0, 0, 30]);
    let mut data = Vec::new();
    put_name(&mut data, "ns.dns.cluster.local");
    put_name(&mut data, "hostmaster.cluster.local");
    for word in [1_767_571_200_u32, 7200, 1800, 86_400, 30] {
        data.extend(word.to_be_bytes());
    }
    message.extend((data.len() as u16).to_be_bytes());
    message.extend(data);
}

/// The DNS service as a client reaches it.
pub(super) fn leg(client: IpAddr, server: IpAddr, tunnel: Option<super::leg::Tunnel>) -> Leg {
    Leg { client: (client, 0), server: (server, 53), tunnel }
}
