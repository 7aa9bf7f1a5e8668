//! What is said of built DNS captures, whole, cut and snapped.

use crate::support::{Outcome, run, source};
use crate::traffic::{MS, START_NS, datagram, ip, lookup, pod};
use kcap_analyze::Options;
use kcap_analyze::finding::Severity;
use kcap_samples::built;
use kcap_samples::file::Frame;
use kcap_samples::packet::{Ethernet, Ipv4, Layer, Udp, Vxlan, build, dns};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// A built capture.
fn capture(case: &str, name: &str) -> Vec<u8> {
    let files = built::all().expect("compressing in memory does not fail");
    let file = files.into_iter().find(|file| (file.case, file.name) == (case, name));
    file.unwrap_or_else(|| panic!("no {case}/{name}")).bytes
}

fn analyzed(bytes: Vec<u8>) -> Outcome {
    run(source(bytes), Options::default())
}

/// Codes that alarm.
fn alarms(outcome: &Outcome) -> BTreeSet<&'static str> {
    let loud = outcome.report.findings.iter().filter(|finding| finding.severity >= Severity::Warning);
    loud.map(|finding| finding.code).collect()
}

/// The captures, and the one code each must alarm with; none is healthy.
const CASES: [(&str, &str, &[&str]); 13] = [
    ("dns008-slow-server", "slow.pcap", &["DNS008"]),
    ("dns008-slow-server", "late-for-the-resolver.pcap", &["DNS008"]),
    ("dns008-slow-server", "far-away.pcap", &["NET006"]),
    ("dns010-tcp-blocked", "blocked.pcap", &["DNS010"]),
    ("dns010-tcp-blocked", "works.pcap", &[]),
    ("dns012-dead-upstream", "dead.pcap", &["DNS012"]),
    ("dns012-dead-upstream", "back.pcap", &["DNS012"]),
    ("dns012-dead-upstream", "alive.pcap", &[]),
    ("dns013-rate-limit", "limited.pcap", &["DNS013"]),
    ("dns013-rate-limit", "random-loss.pcap", &["DNS004"]),
    ("dns016-pinned-port", "pinned.pcap", &["DNS016"]),
    ("dns017-server-down", "down.pcap", &["DNS017"]),
    ("dns017-server-down", "late-answers.pcap", &[]),
];

#[test]
fn each_cause_alarms_alone() {
    for (case, name, codes) in CASES {
        let found = alarms(&analyzed(capture(case, name)));
        assert_eq!(found, codes.iter().copied().collect(), "{case}/{name}");
    }
}

#[test]
fn counts_are_those_of_the_script() {
    let count = |case: &str, name: &str, code: &str, key: &str| {
        let outcome = analyzed(capture(case, name));
        *outcome.finding(code).counts.get(key).unwrap_or_else(|| panic!("{code} does not count {key}"))
    };
    assert_eq!(count("dns008-slow-server", "slow.pcap", "DNS008", "slow_answers"), 30);
    assert_eq!(count("dns008-slow-server", "slow.pcap", "DNS008", "max_ms"), 800);
    assert_eq!(count("dns010-tcp-blocked", "blocked.pcap", "DNS010", "tcp_unanswered"), 4);
    assert_eq!(count("dns010-tcp-blocked", "works.pcap", "DNS009", "tcp_follow_truncation"), 4);
    assert_eq!(count("dns013-rate-limit", "limited.pcap", "DNS013", "answers_per_s"), 205);
    assert_eq!(count("dns013-rate-limit", "limited.pcap", "DNS013", "unanswered"), 115);
    assert_eq!(count("dns016-pinned-port", "pinned.pcap", "DNS016", "queries"), 6);
    assert_eq!(count("dns017-server-down", "down.pcap", "DNS017", "icmp_errors"), 7);
}

/// The records of a classic capture behind its header, as (start, end).
fn records(bytes: &[u8]) -> Vec<(usize, usize)> {
    let (mut all, mut at) = (Vec::new(), 24);
    while let Some(len) = bytes.get(at + 8..at + 12) {
        let end = at + 16 + u32::from_le_bytes(len.try_into().expect("four bytes")) as usize;
        all.push((at, end));
        at = end;
    }
    all
}

/// The capture with at most `snaplen` bytes of each frame.
fn snapped(bytes: &[u8], snaplen: usize) -> Vec<u8> {
    let mut out = bytes[..24].to_vec();
    for (start, end) in records(bytes) {
        let kept = (end - start - 16).min(snaplen);
        out.extend(&bytes[start..start + 8]);
        out.extend((kept as u32).to_le_bytes());
        out.extend(&bytes[start + 12..start + 16 + kept]);
    }
    out
}

/// Whether nothing alarms but what the whole capture alarms with; DNS004 is what any of the silent ones are before their
/// pattern shows.
fn assert_invents_nothing(part: Vec<u8>, codes: &[&str], what: &str) {
    let silent = ["DNS003", "DNS012", "DNS013", "DNS016", "DNS010"];
    let found = alarms(&analyzed(part));
    let allowed =
        |code: &&&str| codes.contains(*code) || **code == "DNS004" && codes.iter().any(|c| silent.contains(c));
    let invented: Vec<_> = found.iter().filter(|code| !allowed(code)).collect();
    assert!(invented.is_empty(), "{what}: {invented:?}");
}

#[test]
fn cutting_a_capture_invents_nothing() {
    for (case, name, codes) in CASES {
        let bytes = capture(case, name);
        let records = records(&bytes);
        for part in [1, 4, 6] {
            let (_, end) = records[records.len() * part / 8];
            assert_invents_nothing(bytes[..end].to_vec(), codes, &format!("{case}/{name} cut at {part}/8"));
        }
    }
}

#[test]
fn snapping_a_capture_invents_nothing() {
    for (case, name, codes) in CASES {
        // Less would cut the quotes of ICMP errors, so that what was refused is silent.
        let part = snapped(&capture(case, name), 96);
        assert_invents_nothing(part, codes, &format!("{case}/{name} snapped to 96"));
    }
}

/// Multicast DNS (RFC 6762) and LLMNR (RFC 4795): the same format, asked of everybody on the link, and mostly unanswered.
#[test]
fn what_asks_the_link_is_counted_apart() {
    let name = b"\x07printer\x05local\x00\x00\x01\x00\x01";
    let question = [&[0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], name].concat();
    let ask = |at: u64, from: u16, group: [u8; 4], to: u16| {
        let (src, dst) = (Ipv4Addr::new(10, 1, 0, 2), Ipv4Addr::from(group));
        let layers = [Ethernet::new(1, 2).into(), Ipv4::new(src, dst).into(), Udp::new(from, to).into()];
        Frame::new(1_700_000_000_000_000_000 + at * 1_000_000_000, build(&layers, &question))
    };
    let mut frames: Vec<Frame> = (0..5).map(|n| ask(n * 5, 5353, [224, 0, 0, 251], 5353)).collect();
    frames.extend((0..4).map(|n| ask(n * 5 + 1, 50_000, [224, 0, 0, 252], 5355)));
    let outcome = crate::support::analyzed(frames);
    assert_eq!(outcome.rows.rows("dns_transactions").len(), 0);
    assert_eq!(outcome.rows.rows("dns_lookups").len(), 0);
    let protocols = &outcome.report.summary.protocols;
    assert_eq!([protocols.get("mdns messages"), protocols.get("llmnr messages")], [Some(&5), Some(&4)]);
    assert_eq!(protocols.get("dns transactions"), None);
    assert!(alarms(&outcome).is_empty(), "{:?}", outcome.codes());
}

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 53);
const UPSTREAM: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 53);

/// A question over UDP that is answered as it says after some milliseconds, or never.
fn asked(at_ms: u64, port: u16, name: &str, kind: u16, answered: Option<(u64, dns::Answer<'_>)>) -> Vec<Frame> {
    let id = port.wrapping_mul(7919);
    let (client, server) = ((SERVER, port), (UPSTREAM, 53));
    let mut frames = vec![datagram(at_ms * MS, client, server, &dns::question(id, name, kind))];
    if let Some((after_ms, answer)) = answered {
        frames.push(datagram((at_ms + after_ms) * MS, server, client, &dns::answer(id, name, kind, answer)));
    }
    frames
}

fn address() -> dns::Answer<'static> {
    dns::Answer::Address(ip(203, 0, 113, 7).into(), 60)
}

/// A forwarder that asks for a name each 200 ms; every fourth question is lost, and asked again from another port with
/// another identification after some ten milliseconds.
#[test]
fn what_a_forwarder_asks_again_soon_is_lost() {
    let mut frames = Vec::new();
    for n in 0..80u16 {
        let (at, name) = (u64::from(n) * 200, format!("h{n}.example.com"));
        let lost = n % 4 == 0;
        frames.extend(asked(at, 20_000 + n, &name, dns::A, Some((1, address())).filter(|_| !lost)));
        if lost {
            frames.extend(asked(at + 50, 30_000 + n, &name, dns::A, Some((1, address()))));
        }
    }
    let outcome = crate::support::analyzed(frames);
    let finding = outcome.finding("DNS004");
    assert_eq!(finding.severity, Severity::Error);
    // The last five seconds are undecided.
    assert_eq!(finding.counts["unanswered"], 14);
}

/// A program that asks for the same name each 2.7 s, in a capture that lacks two answers.
#[test]
fn what_is_always_asked_again_is_none_of_loss() {
    let frames = (0..20u16).flat_map(|n| {
        let at = u64::from(n) * 2_700;
        let here = n != 5 && n != 11;
        let first = asked(at, 20_000 + n, "api.example.com", dns::A, Some((1, address())).filter(|_| here));
        first.into_iter().chain(asked(at + 15, 20_000 + n, "api.example.com", dns::AAAA, Some((1, address()))))
    });
    let outcome = crate::support::analyzed(frames.collect());
    assert!(alarms(&outcome).is_empty(), "{:?}", outcome.codes());
}

/// Two attempts answered late and one right behind the other, seen inside and outside of a tunnel.
#[test]
fn late_answers_in_a_burst_are_each_seen_everywhere() {
    let (question, answer) = lookup(77, "api.example.com");
    let way = |at: u64, out: bool, id: u16| {
        let (from, to) = if out { ((pod(2), 40_000), (pod(3), 53)) } else { ((pod(3), 53), (pod(2), 40_000)) };
        let header: Layer = Ipv4 { id, ..Ipv4::new(from.0, to.0) }.into();
        let payload = if out { &question } else { &answer };
        let inner = [Ethernet::new(1, 2).into(), header, Udp::new(from.1, to.1).into()];
        let nodes = Ipv4::new(ip(192, 168, 0, 1), ip(192, 168, 0, 2));
        let outer: [Layer; 4] =
            [Ethernet::new(3, 4).into(), nodes.into(), Udp::new(50_000, 8472).into(), Vxlan { vni: 1 }.into()];
        let tunnelled: Vec<Layer> = outer.into_iter().chain(inner.clone()).collect();
        let mut legs = [build(&inner, payload), build(&tunnelled, payload)];
        if !out {
            legs.reverse();
        }
        let frames = legs.into_iter().zip(0u64..).map(|(bytes, n)| Frame::new(START_NS + at + n * 10_000, bytes));
        frames.collect::<Vec<Frame>>()
    };
    let attempts = [(0, true, 1), (5_000 * MS, true, 2), (7_000 * MS, false, 3), (7_000 * MS + 400_000, false, 4)];
    let frames = attempts.into_iter().flat_map(|(at, out, id)| way(at, out, id)).collect();
    let outcome = crate::support::analyzed(frames);
    let rows = outcome.rows.rows("dns_transactions");
    assert_eq!((rows.len(), outcome.rows.sum("dns_transactions", "answers")), (1, 2));
    assert!(!outcome.codes().contains(&"DNS004"), "{:?}", outcome.codes());
}

/// A server that fails a question by saying that it does not understand it.
fn not_understood(at_ms: u64, port: u16, name: &str, kind: u16) -> Vec<Frame> {
    let id = port.wrapping_mul(7919);
    let mut answer = dns::question(id, name, kind);
    answer[2..4].copy_from_slice(&0x8181u16.to_be_bytes());
    let question = datagram(at_ms * MS, (SERVER, port), (UPSTREAM, 53), &dns::question(id, name, kind));
    vec![question, datagram((at_ms + 1) * MS, (UPSTREAM, 53), (SERVER, port), &answer)]
}

#[test]
fn a_family_that_is_not_understood_is_broken_only_if_the_other_is_answered() {
    let lookups = |a_works: bool| {
        let both = (0..6u16).flat_map(move |n| {
            let (at, port) = (u64::from(n) * 500, 20_000 + 2 * n);
            let a = if a_works {
                asked(at, port, "api.example.com", dns::A, Some((1, address())))
            } else {
                not_understood(at, port, "api.example.com", dns::A)
            };
            a.into_iter().chain(not_understood(at, port + 1, "api.example.com", dns::AAAA))
        });
        crate::support::analyzed(both.collect())
    };
    assert_eq!(lookups(true).finding("DNS014").counts["queries"], 6);
    assert!(!lookups(false).codes().contains(&"DNS014"));
}
