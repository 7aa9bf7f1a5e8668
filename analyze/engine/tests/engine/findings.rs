//! Each finding: one capture that has it, and others that only look like it.

use crate::support::{Outcome, analyzed, run, source};
use crate::traffic::{BACK, MS, OUT, S, Talk, arp, datagram, error, ip, lookup, pod, tunnelled};
use kcap_analyze::Options;
use kcap_analyze::finding::Severity;
use kcap_samples::file::pcapng::{Pcapng, Stats};
use kcap_samples::file::{Frame, Order};
use kcap_samples::packet::flags;
use std::net::Ipv4Addr;

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 7);

fn client(n: u16) -> Talk {
    Talk::new((pod(n as u8), 40_000 + n), (SERVER, 5432))
}

/// A connection of others that works, so that both directions are known to be seen.
fn healthy() -> Vec<Frame> {
    Talk::new((pod(200), 50_000), (pod(201), 80)).whole(10 * MS)
}

fn severe(outcome: &Outcome) -> Vec<&'static str> {
    let severe = outcome.report.findings.iter().filter(|finding| finding.severity >= Severity::Warning);
    severe.map(|finding| finding.code).collect()
}

/// What every finding must have, beside what it says.
fn check(outcome: &Outcome, code: &str, frames: &[u64]) {
    let finding = outcome.finding(code);
    assert!((0.0..=1.0).contains(&finding.confidence));
    assert!(!finding.explanation.is_empty() && !finding.fix.text.is_empty() && !finding.evidence.is_empty());
    assert!(finding.first <= finding.last && finding.first.ends_with('Z'), "{} {}", finding.first, finding.last);
    assert!(!finding.explanation.contains("  "), "{:?}", finding.explanation);
    let cited: Vec<u64> = finding.evidence.iter().flat_map(|evidence| evidence.frames.iter().copied()).collect();
    assert!(frames.iter().all(|frame| cited.contains(frame)), "{frames:?} of {cited:?}");
    assert!(finding.evidence.iter().all(|evidence| !evidence.filter.is_empty() && evidence.frames.is_sorted()));
    let row = outcome.rows.rows("findings").iter().find(|row| row["code"] == code).expect("a row");
    assert_eq!(row["title"], finding.title);
}

#[test]
fn health_is_no_finding() {
    let nodes = (ip(192, 168, 0, 1), ip(192, 168, 0, 2));
    let inside = Talk::new((pod(1), 40_000), (ip(10, 244, 2, 9), 80)).between(nodes.0, nodes.1).whole(0);
    let dns = (ip(10, 96, 0, 10), 53);
    let (asked, told) = lookup(7, "api.example.com");
    let question = [datagram(MS, (pod(1), 33_000), dns, &asked), datagram(2 * MS, dns, (pod(1), 33_000), &told)];
    let outcome = analyzed([inside, healthy(), question.to_vec(), client(1).whole(5 * S)].concat());
    assert_eq!(outcome.codes(), Vec::<&str>::new());
    let rungs = serde_json::to_value(outcome.report.ladder).unwrap();
    for rung in ["dns", "tcp", "overlay", "endpoints"] {
        assert_eq!(rungs[rung], "ok", "{rung}");
    }
}

#[test]
fn refused_by_everybody_asked() {
    let frames = [healthy(), client(1).refused(S), client(2).refused(2 * S), client(3).refused(3 * S)].concat();
    let outcome = analyzed(frames);
    check(&outcome, "SVC003", &[9, 10]);
    let finding = outcome.finding("SVC003");
    assert_eq!((finding.severity, finding.counts["refused"], finding.counts["clients"]), (Severity::Error, 3, 3));
    assert!(finding.subjects.iter().any(|subject| subject.address == "10.96.0.7:5432"));
    assert_eq!(severe(&outcome), ["SVC003"]);
    assert_eq!(outcome.report.summary.connections.refused, 3);
}

#[test]
fn refused_sometimes_or_later_is_not_refused() {
    // One of several endpoints: others succeed, for the same clients.
    let some = [client(1).refused(S), client(1 + 256).whole(2 * S), client(2).whole(3 * S)].concat();
    assert!(!analyzed(some).codes().contains(&"SVC003"));
    // A reset after the handshake.
    let mut talk = client(1);
    let mut later = talk.handshake(S);
    later.push(talk.segment(2 * S, BACK, flags::RST | flags::ACK, (1, 1), 0));
    assert!(!analyzed(later).codes().contains(&"SVC003"));
    // Once may be a probe before its time.
    assert_eq!(analyzed(client(1).refused(S)).finding("SVC003").severity, Severity::Warning);
}

#[test]
fn never_answered() {
    let outcome = analyzed([healthy(), client(1).syns(S, 4), client(2).syns(2 * S, 5)].concat());
    check(&outcome, "SVC004", &[9]);
    let finding = outcome.finding("SVC004");
    assert_eq!((finding.counts["unanswered"], finding.counts["syns"]), (2, 9));
    assert_eq!(severe(&outcome), ["SVC004"]);
    assert_eq!(outcome.report.summary.connections.unanswered, 2);
}

#[test]
fn answered_late_or_not_visible_is_not_unanswered() {
    // The third SYN is answered.
    let mut talk = client(1);
    let mut late = talk.syns(S, 3);
    late.push(talk.segment(4 * S + MS, BACK, flags::SYN | flags::ACK, (0, 1), 0));
    late.push(talk.segment(4 * S + 2 * MS, OUT, flags::ACK, (1, 1), 0));
    assert!(!analyzed([healthy(), late].concat()).codes().contains(&"SVC004"));
    // Two SYNs and the end of the capture.
    assert!(!analyzed([healthy(), client(1).syns(S, 2)].concat()).codes().contains(&"SVC004"));
    // A capture of one direction.
    let one_way = analyzed([client(1).syns(S, 4), client(2).syns(S, 4)].concat());
    assert!(!one_way.codes().contains(&"SVC004"), "{:?}", one_way.codes());
    assert!(one_way.report.not_judged.iter().any(|text| text.contains("one direction")));
}

fn answered_by_icmp(code: u8, by: Ipv4Addr) -> Vec<Frame> {
    let attempt = |n: u16| {
        let syn = client(n).syn(u64::from(n) * S);
        [error(u64::from(n) * S + MS, by, code, &syn), syn]
    };
    (1..=3).flat_map(attempt).collect()
}

#[test]
fn rejected_by_a_rule() {
    // "Port unreachable" from the client's own node is what a service without endpoints gets.
    for (icmp, code, word) in [(13, "SVC005", "prohibited"), (3, "SVC001", "no endpoints")] {
        let outcome = analyzed([healthy(), answered_by_icmp(icmp, ip(10, 244, 1, 254))].concat());
        check(&outcome, code, &[9, 10]);
        let finding = outcome.finding(code);
        assert_eq!((finding.severity, finding.counts["rejected"]), (Severity::Error, 3));
        assert!(finding.title.contains(word), "{}", finding.title);
        assert!(finding.subjects.iter().any(|subject| subject.address == "10.244.1.254"), "{:?}", finding.subjects);
        assert_eq!(severe(&outcome), [code]);
    }
}

#[test]
fn other_icmp_is_no_rejection() {
    // "Fragmentation needed" about data of a connection that works, and "port unreachable" about a datagram.
    let mut talk = client(1);
    let mut frames = talk.handshake(S);
    let long = talk.segment(S + 10 * MS, OUT, flags::ACK, (1, 1), 1400);
    frames.push(error(S + 11 * MS, ip(10, 244, 1, 254), 4, &long));
    frames.push(long);
    let question = datagram(MS, (pod(1), 33_000), (pod(5), 9999), b"hello");
    frames.push(error(2 * MS, pod(5), 3, &question));
    frames.push(question);
    assert!(!analyzed(frames).codes().contains(&"SVC005"));
    // Where others are let in, one rejection is a moment.
    let once = [answered_by_icmp(13, pod(254))[..2].to_vec(), client(2).whole(3 * S)].concat();
    assert!(!analyzed(once).codes().contains(&"SVC005"));
}

#[test]
fn no_route_says_a_router() {
    let outcome = analyzed([healthy(), answered_by_icmp(1, ip(10, 244, 1, 254))].concat());
    check(&outcome, "NET004", &[10]);
    let finding = outcome.finding("NET004");
    assert_eq!(finding.counts["icmp_errors"], 3);
    assert!(finding.subjects.iter().any(|subject| subject.address == SERVER.to_string()));
    assert_eq!(severe(&outcome), ["NET004"]);
}

#[test]
fn no_route_says_silent_arp() {
    let asked = |target| [0, 1, 2].map(|second| arp(second * S, pod(1), target)).to_vec();
    let target = pod(77);
    let attempts = Talk::new((pod(1), 40_000), (target, 80)).syns(MS, 4);
    let outcome = analyzed([healthy(), asked(target), attempts].concat());
    check(&outcome, "NET004", &[]);
    assert_eq!(outcome.finding("NET004").counts["arp_requests"], 3);
    // ARP alone is a scan.
    assert!(analyzed([healthy(), asked(target)].concat()).codes().is_empty());
}

#[test]
fn a_host_that_speaks_can_be_reached() {
    let alive = client(9).whole(5 * S);
    let outcome = analyzed([answered_by_icmp(1, ip(10, 244, 1, 254)), alive].concat());
    assert!(!outcome.codes().contains(&"NET004"), "{:?}", outcome.codes());
}

const NODES: [Ipv4Addr; 3] =
    [Ipv4Addr::new(192, 168, 0, 1), Ipv4Addr::new(192, 168, 0, 2), Ipv4Addr::new(192, 168, 0, 3)];

#[test]
fn an_overlay_that_works_one_way() {
    // Node 1 and 3 talk; what node 1 sends to 2 is never answered, whatever the pod.
    let works = Talk::new((pod(1), 40_000), (ip(10, 244, 3, 1), 80)).between(NODES[0], NODES[2]).whole(0);
    let lost = |n: u8| {
        let server = (ip(10, 244, 2, n), 80);
        Talk::new((pod(1), 41_000 + u16::from(n)), server).between(NODES[0], NODES[1]).syns(u64::from(n) * MS, 4)
    };
    let outcome = analyzed([works.clone(), lost(1), lost(2)].concat());
    check(&outcome, "OVL001", &[]);
    let vteps: Vec<_> = outcome.finding("OVL001").subjects.iter().map(|subject| subject.address.clone()).collect();
    assert_eq!(vteps, ["192.168.0.2", "192.168.0.1"]);
    assert_eq!(severe(&outcome), ["OVL001"], "timeouts inside are its symptom");
    // From this end alone, with no other node to compare, it cannot be told from a capture of one direction.
    assert!(!analyzed([lost(1), lost(2)].concat()).codes().contains(&"OVL001"));
}

#[test]
fn an_overlay_whose_answers_get_lost() {
    let repeated = |n: u8| {
        let server = (ip(10, 244, 2, n), 80);
        let mut talk = Talk::new((pod(1), 41_000 + u16::from(n)), server).between(NODES[0], NODES[1]);
        let mut frames = Vec::new();
        for second in [0, 1, 3] {
            frames.push(talk.syn(second * S));
            frames.push(talk.segment(second * S + MS, BACK, flags::SYN | flags::ACK, (0, 1), 0));
        }
        frames
    };
    let outcome = analyzed([repeated(1), repeated(2)].concat());
    check(&outcome, "OVL001", &[]);
    assert!(outcome.finding("OVL001").title.contains("from 192.168.0.2 to 192.168.0.1"));
    // One server alone may drop them itself.
    assert!(!analyzed(repeated(1)).codes().contains(&"OVL001"));
}

#[test]
fn one_way_datagrams_are_no_broken_overlay() {
    let works = Talk::new((pod(1), 40_000), (ip(10, 244, 3, 1), 80)).between(NODES[0], NODES[2]).whole(0);
    let syslog = (0..50_u16)
        .map(|n| tunnelled(u64::from(n) * 10 * MS, (NODES[0], NODES[1]), (pod(1), 3000 + n), (ip(10, 244, 2, 5), 514)));
    assert!(analyzed(works.into_iter().chain(syslog).collect()).codes().is_empty());
}

/// Attempts at a service whose SYN-ACKs come from a pod's own address, for the client's SYN or for another.
fn answered_by_another(shift: u32, resets: bool) -> Outcome {
    let mut asks = client(3);
    let mut answers = Talk::new(asks.client, (pod(50), 8080));
    answers.isn = asks.isn + shift;
    let mut frames = healthy();
    for at in [0, 1, 3].map(|second| second * S) {
        frames.push(asks.syn(at));
        frames.push(answers.segment(at + MS, BACK, flags::SYN | flags::ACK, (0, 1), 0));
        frames.extend(resets.then(|| answers.segment(at + 2 * MS, OUT, flags::RST, (1, 0), 0)));
    }
    analyzed(frames)
}

#[test]
fn a_handshake_whose_answer_is_not_translated() {
    for (resets, end) in [(true, "reset)"), (false, "not established)")] {
        let outcome = answered_by_another(0, resets);
        check(&outcome, "NAT001", &[]);
        assert_eq!(severe(&outcome), ["NAT001"], "the endpoint answers");
        assert!(outcome.finding("NAT001").fix.text.contains("br_netfilter"));
        assert!(outcome.finding("NAT001").title.ends_with(end));
        // What another connection is told from the same port.
        assert!(!answered_by_another(5000, resets).codes().contains(&"NAT001"));
    }
}

#[test]
fn a_firewall_that_rejects_some_connections() {
    let attempts = |clients: [u8; 2]| {
        let attempt = |n: u16| {
            let mut talk = Talk::new((pod(clients[usize::from(n % 2)]), 40_000 + n), (SERVER, 5432));
            let at = u64::from(n) * 100 * MS;
            if n.is_multiple_of(2) {
                return talk.whole(at);
            }
            let syn = talk.syn(at);
            let rejected = error(at + MS, ip(10, 244, 1, 254), 10, &syn);
            vec![syn, rejected]
        };
        analyzed((0..12).flat_map(attempt).collect())
    };
    assert_eq!(severe(&attempts([1, 1])), ["SVC002"], "one endpoint, whoever asks");
    assert_eq!(severe(&attempts([1, 2])), ["SVC005"], "one client, whatever the endpoint");
}

fn with_counters(dropped: u64) -> Outcome {
    let mut file = Pcapng::new();
    file.section(Order::Little, -1, &[]);
    file.interface(1, 0, &[(9, vec![9])]);
    for frame in healthy() {
        file.packet(0, frame.ts_ns, &frame.data, frame.orig_len, &[]);
    }
    file.statistics(0, 1, Stats { received: 100, dropped: 0, dropped_by_os: dropped });
    run(source(file.bytes), Options::default())
}

#[test]
fn the_capture_says_that_it_dropped() {
    let outcome = with_counters(12);
    check(&outcome, "CAP001", &[]);
    let finding = outcome.finding("CAP001");
    assert_eq!((finding.counts["dropped"], finding.counts["captured"], finding.confidence), (12, 8, 1.0));
    assert_eq!(outcome.rows.column("captures", "dropped"), ["12"]);
    assert!(with_counters(0).codes().is_empty());
    assert_eq!(with_counters(0).rows.column("captures", "dropped"), ["0"]);
}

/// A connection of which `missing` bytes are acknowledged and not there.
fn gappy(n: u16, missing: u32) -> Vec<Frame> {
    let mut talk = client(n);
    let at = u64::from(n) * S;
    let mut frames = talk.handshake(at);
    frames.push(talk.segment(at + 3 * MS, OUT, flags::ACK, (1, 1), 1000));
    frames.push(talk.segment(at + 4 * MS, OUT, flags::ACK, (1001 + missing, 1), 1000));
    frames.push(talk.segment(at + 5 * MS, BACK, flags::ACK, (1, 2001 + missing), 0));
    frames
}

#[test]
fn gaps_that_were_acknowledged_are_drops_of_the_capture() {
    let many = |flows: u16, missing| analyzed((1..=flows).flat_map(|n| gappy(n, missing)).collect());
    let outcome = many(3, 500);
    check(&outcome, "CAP001", &[]);
    assert_eq!(
        (outcome.finding("CAP001").counts["missed_bytes"], outcome.finding("CAP001").counts["connections"]),
        (1500, 3)
    );
    // Two connections are chance; a few bytes are too.
    assert!(many(2, 500).codes().is_empty());
    assert!(many(3, 5).codes().is_empty());
}

#[test]
fn an_incomplete_capture_says_what_is_missing() {
    let snapped = analyzed(healthy().into_iter().map(|frame| frame.snapped(60)).collect());
    check(&snapped, "CAP002", &[]);
    assert_eq!(severe(&snapped), Vec::<&str>::new());
    assert!(snapped.finding("CAP002").counts["snapped"] > 0);
    let midstream = analyzed(healthy().split_off(3));
    assert_eq!(midstream.finding("CAP002").counts["midstream"], 1);
    assert_eq!(midstream.finding("CAP002").title, "1 TCP connection open before the capture began");
    // Short frames that are whole, and a connection that is still open at the end.
    assert!(analyzed(client(1).handshake(0)).codes().is_empty());
}

#[test]
fn a_torn_file_is_incomplete() {
    let mut file = crate::support::file(1, healthy());
    file.truncate(file.len() - 3);
    let outcome = run(source(file), Options::default());
    check(&outcome, "CAP002", &[7]);
    assert_eq!(outcome.rows.column("captures", "complete"), ["false"]);
}

/// A connection whose server is `way` away from here, and answers at once.
fn distant(mut talk: Talk, at: u64, way: u64) -> Vec<Frame> {
    let psh = flags::PSH | flags::ACK;
    vec![
        talk.syn(at),
        talk.segment(at + way, BACK, flags::SYN | flags::ACK, (0, 1), 0),
        talk.segment(at + way + MS, OUT, flags::ACK, (1, 1), 0),
        talk.segment(at + way + 2 * MS, OUT, psh, (1, 1), 100),
        talk.segment(at + 2 * way + 3 * MS, BACK, psh, (1, 101), 100),
    ]
}

#[test]
fn slow_pairs_with_a_host_in_common_are_one_finding() {
    let between = |client: u8, server: u8, way: u64| -> Vec<Frame> {
        let talk = |n: u16| Talk::new((pod(client), 40_000 + 100 * u16::from(client) + n), (pod(server), 5432));
        (0..4).flat_map(|n| distant(talk(n), u64::from(client) * S + u64::from(n) * 200 * MS, way)).collect()
    };
    let slow: Vec<Frame> = (1..=5).flat_map(|client| between(client, 100, 40 * MS)).collect();
    let outcome = analyzed([slow, between(7, 101, 60 * MS), between(8, 100, MS)].concat());
    let about: Vec<_> = outcome.report.findings.iter().filter(|finding| finding.code == "NET006").collect();
    let titles: Vec<&str> = about.iter().map(|finding| finding.title.as_str()).collect();
    let (server, [alone, far]) = (pod(100), [pod(7), pod(101)]);
    let expected = [
        format!("41 ms round trip between {server} and 5 clients"),
        format!("61 ms round trip between {alone} and {far}"),
    ];
    assert_eq!(titles, expected);
    assert_eq!(about[0].counts["handshakes"], 20);
    assert_eq!(severe(&outcome), ["NET006", "NET006"]);
}

/// A connection of client 5 that asks in vain from ten seconds on, until 17 s.
fn silenced(port: u16) -> Vec<Frame> {
    let mut talk = Talk::new((pod(5), port), (SERVER, 5432));
    let mut frames = talk.handshake(3 * S);
    let asks = [10_000, 10_300, 11_000, 13_000, 17_000];
    frames.extend(asks.map(|ms| talk.segment(ms * MS, OUT, flags::PSH | flags::ACK, (1, 1), 100)));
    frames
}

#[test]
fn silence_lasts_as_long_as_somebody_asks() {
    let worked = [healthy(), client(1).whole(S), client(2).whole(2 * S)].concat();
    let outcome = analyzed([worked, silenced(41_003), silenced(41_004), client(5).syns(10 * S + 500 * MS, 3)].concat());
    let text = &outcome.finding("SVC008").explanation;
    assert!(text.contains("got no answer, for 3.0 s"), "{text}");
    assert!(text.contains("2 earlier connections got no answer any more either, for 6.5 s"), "{text}");
}

#[test]
fn a_server_that_is_restarted_is_not_down() {
    let refused = || (0..8).flat_map(|n| client(10 + n).refused(2 * S + u64::from(n) * 100 * MS));
    let worked =
        || [healthy(), client(1).whole(S), client(1).whole(S + 500 * MS), client(2).whole(S + 900 * MS)].concat();
    let back = [worked(), refused().collect(), client(30).whole(4 * S)].concat();
    assert_eq!(severe(&analyzed(back)), Vec::<&str>::new());
}
