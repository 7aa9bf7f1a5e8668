//! Lookups: what resolvers ask when programs ask for names, and what an in-cluster DNS says.

use super::File;
use super::talk::{MS, S, START_NS};
use crate::file::Frame;
use crate::file::classic::Classic;
use crate::packet::dns::{A, AAAA, Answer, answer, question};
use crate::packet::{Ethernet, Layer, Udp, build, ip};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 42, 1, 7));
const DNS: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 43, 0, 10));
const FOUND: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 43, 12, 34));
const FOUND6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 43, 0, 0, 0, 0, 0, 0x34));
/// Domain of the cluster, which is not the one that clusters have unless told otherwise.
const ZONE: &str = "k8s.corp";
const NEGATIVE_TTL: u32 = 10;

pub(super) fn files() -> Vec<File> {
    vec![
        capture("dns002-searched-full-names", "without-dot.pcap", &full_names(true)),
        capture("dns002-searched-full-names", "with-dot.pcap", &full_names(false)),
        capture("dns011-negative-cache", "created-again.pcap", &created_again()),
        capture("dns015-cacheable-repeats", "within-ttl.pcap", &repeats(200 * MS)),
        capture("dns015-cacheable-repeats", "after-ttl.pcap", &repeats(31 * S)),
        capture("dns018-name-missing", "typo.pcap", &missing(6, false)),
        capture("dns018-name-missing", "found-in-the-end.pcap", &missing(6, true)),
    ]
}

fn capture(case: &'static str, name: &'static str, resolver: &Resolver) -> File {
    File::new(case, name, Classic::new(1).file(&resolver.frames))
}

/// glibc: A and AAAA from one port, a new port for each name, identifications whose low bytes are near.
#[derive(Default)]
struct Resolver {
    frames: Vec<Frame>,
    asked: u16,
}

impl Resolver {
    fn send(&mut self, at: u64, out: bool, port: u16, payload: &[u8]) {
        let (from, to) = if out { (CLIENT, DNS) } else { (DNS, CLIENT) };
        let (src, dst) = if out { (port, 53) } else { (53, port) };
        let ethernet = if out { Ethernet::new(1, 2) } else { Ethernet::new(2, 1) };
        let layers: Vec<Layer> = vec![ethernet.into(), ip(from, to), Udp::new(src, dst).into()];
        self.frames.push(Frame::new(START_NS + at, build(&layers, payload)));
    }

    /// One name, asked for and answered within a millisecond; when it is.
    fn ask(&mut self, at: u64, name: &str, a: Answer<'_>, aaaa: Answer<'_>) -> u64 {
        self.asked += 1;
        let port = 32_768 + self.asked.wrapping_mul(2657) % 28_000;
        let id = self.asked.wrapping_mul(0x5a11);
        let ids = [id, (id ^ 0x3a00).wrapping_add(3)];
        self.send(at, true, port, &question(ids[0], name, A));
        self.send(at + 20_000, true, port, &question(ids[1], name, AAAA));
        self.send(at + 300_000, false, port, &answer(ids[0], name, A, a));
        self.send(at + 350_000, false, port, &answer(ids[1], name, AAAA, aaaa));
        at + 400_000
    }

    fn ask_missing(&mut self, at: u64, name: &str) -> u64 {
        let none = Answer::Missing(ZONE, NEGATIVE_TTL, NEGATIVE_TTL);
        self.ask(at, name, none, none)
    }

    fn ask_found(&mut self, at: u64, name: &str) -> u64 {
        self.ask(at, name, Answer::Address(FOUND, 30), Answer::Address(FOUND6, 30))
    }

    /// The suffixes that the kubelet writes, in vain.
    fn walk(&mut self, at: u64, stem: &str) -> u64 {
        let suffixes = [format!("shop.svc.{ZONE}"), format!("svc.{ZONE}"), ZONE.to_owned()];
        suffixes.iter().fold(at, |at, suffix| self.ask_missing(at, &format!("{stem}.{suffix}")))
    }
}

/// Full names of services, asked for without a dot at the end, or with one.
fn full_names(searched: bool) -> Resolver {
    let mut resolver = Resolver::default();
    for n in 0..12 {
        let name = format!("{}.shop.svc.{ZONE}", ["api", "cart", "search"][n as usize % 3]);
        let at = n * S;
        let at = if searched { resolver.walk(at, &name) } else { at };
        resolver.ask_found(at, &name);
    }
    resolver
}

/// A service that is deleted and created again half a minute later: it really is gone in between.
fn created_again() -> Resolver {
    let mut resolver = Resolver::default();
    let name = format!("cart.shop.svc.{ZONE}");
    for n in 0..30 {
        if (10..20).contains(&n) {
            resolver.ask_missing(n * 3 * S, &name);
        } else {
            resolver.ask_found(n * 3 * S, &name);
        }
    }
    resolver
}

fn repeats(every: u64) -> Resolver {
    let mut resolver = Resolver::default();
    for n in 0..40 {
        resolver.ask_found(n * every, &format!("cart.shop.svc.{ZONE}"));
    }
    resolver
}

/// A name that is nowhere, or that is there at last.
fn missing(lookups: u64, found: bool) -> Resolver {
    let mut resolver = Resolver::default();
    for n in 0..lookups {
        let at = resolver.walk(n * 2 * S, "paymets");
        resolver.ask_missing(at, "paymets");
        resolver.ask_found(n * 2 * S + S, &format!("cart.shop.svc.{ZONE}"));
    }
    if found {
        resolver.ask_found(lookups * 2 * S, &format!("paymets.shop.svc.{ZONE}"));
    }
    resolver
}
