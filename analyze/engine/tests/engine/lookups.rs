//! Lookups from capture to report.

use crate::support::{Outcome, file, run, source};
use kcap_analyze::Options;
use kcap_samples::file::Frame;
use kcap_samples::packet::dns::{A, AAAA, Answer, answer, question};
use kcap_samples::packet::{Ethernet, Layer, Udp, build, ip};
use std::net::{IpAddr, Ipv4Addr};

const START_NS: u64 = 1_700_000_000_000_000_000;
const MS: u64 = 1_000_000;
const SUFFIXES: [&str; 4] = [".shop.svc.k8s.corp", ".svc.k8s.corp", ".k8s.corp", ""];

/// Frames of walks of one client: each name is found as it is, after three suffixes in vain.
fn walks(client: [u8; 4], server: [u8; 4], walks: u16) -> Vec<Frame> {
    let (client, server) = (IpAddr::V4(Ipv4Addr::from(client)), IpAddr::V4(Ipv4Addr::from(server)));
    let missing = Answer::Missing("k8s.corp", 5, 5);
    let found = Answer::Address(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7)), 1);
    let mut frames = Vec::new();
    for walk in 0..walks {
        let stem = format!("h{}.example.com", walk % 7);
        for (step, suffix) in SUFFIXES.iter().enumerate() {
            let number = walk * 4 + step as u16;
            let own = number.wrapping_mul(771);
            let (at, port) = (u64::from(walk) * 100 * MS + step as u64 * MS, 33_000 + number % 30_000);
            let name = format!("{stem}{suffix}");
            for (late, kind, id) in [(0, A, own), (20_000, AAAA, own ^ 0x4101)] {
                let says = if suffix.is_empty() && kind == A { found } else { missing };
                let layers = |from, to, ports: (u16, u16), ends: (u32, u32)| -> Vec<Layer> {
                    vec![Ethernet::new(ends.0, ends.1).into(), ip(from, to), Udp::new(ports.0, ports.1).into()]
                };
                let out = build(&layers(client, server, (port, 53), (1, 2)), &question(id, &name, kind));
                let back = build(&layers(server, client, (53, port), (2, 1)), &answer(id, &name, kind, says));
                frames.push(Frame::new(START_NS + at + late, out));
                frames.push(Frame::new(START_NS + at + late + 300_000, back));
            }
        }
    }
    frames
}

fn told(frames: Vec<Frame>, options: Options) -> Outcome {
    run(source(file(1, frames)), options)
}

fn counts(outcome: &Outcome) -> Vec<i64> {
    let counts = &outcome.finding("DNS001").counts;
    ["lookups", "queries", "wasted_queries", "clients"].map(|name| counts[name]).to_vec()
}

#[test]
fn walks_are_counted() {
    let outcome = told(walks([10, 1, 0, 5], [10, 2, 0, 10], 40), Options::default());
    assert_eq!(counts(&outcome), [40, 320, 240, 1]);
    assert_eq!(outcome.rows.rows("dns_lookups").len(), 40);
    assert_eq!(outcome.rows.sum("dns_lookups", "wasted_queries"), 240);
    assert!(outcome.rows.column("dns_lookups", "complete").iter().all(|complete| *complete == "true"));
    let what_if = outcome.rows.rows("dns_what_if");
    assert_eq!(what_if.len(), 6);
    assert_eq!((what_if[1]["setting"].as_str(), what_if[1]["queries_then"].as_str()), ("ndots:2", "80"));
    assert_eq!(what_if[1]["search"], "shop.svc.k8s.corp svc.k8s.corp k8s.corp");
}

#[test]
fn little_memory_tells_the_same_in_rounds() {
    let frames = || walks([10, 1, 0, 5], [10, 2, 0, 10], 600);
    let whole = told(frames(), Options::default());
    let little = told(frames(), Options { memory: 1 << 20, ..Options::default() });
    assert_eq!(counts(&little), counts(&whole));
}

#[test]
fn captures_of_other_clients_change_nothing() {
    let (one, other) = (walks([10, 1, 0, 5], [10, 2, 0, 10], 20), walks([10, 3, 0, 5], [10, 4, 0, 10], 30));
    let both = told([one.clone(), other.clone()].concat(), Options::default());
    let findings: Vec<_> = both.report.findings.iter().filter(|finding| finding.code == "DNS001").collect();
    for alone in [told(one, Options::default()), told(other, Options::default())] {
        let alone = alone.finding("DNS001");
        assert!(findings.iter().any(|both| both.counts == alone.counts && both.subjects == alone.subjects));
    }
    assert_eq!(findings.len(), 2);
}

#[test]
fn nine_lookups_are_too_few() {
    let outcome = told(walks([10, 1, 0, 5], [10, 2, 0, 10], 9), Options::default());
    assert!(!outcome.codes().contains(&"DNS001"));
}
