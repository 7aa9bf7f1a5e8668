//! Whether what is advised, and who is named, fits what was found.

use crate::support::{Outcome, analyzed, run};
use crate::traffic::{BACK, MS, OUT, S, Talk, datagram, error, ip, pod};
use kcap_analyze::Options;
use kcap_analyze::finding::{Finding, Role, Severity};
use kcap_file::Inputs;
use kcap_samples::file::Frame;
use kcap_samples::packet::{dns, flags};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

const SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 7);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 244, 1, 1);

fn sample(case: &str, files: &[&str]) -> Outcome {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples/cases").join(case);
    let files: Vec<PathBuf> = files.iter().map(|file| folder.join(file)).collect();
    run(Box::new(Inputs::open(&files)), Options::default())
}

fn advises(finding: &Finding, what: &str) -> bool {
    finding.fix.text.contains(what) || finding.fix.commands.iter().any(|command| command.contains(what))
}

/// Attempts that meet an ICMP error.
fn rejected(by: Ipv4Addr, code: u8) -> Outcome {
    let one = |n: u16| {
        let at = u64::from(n) * S;
        let syn = Talk::new((pod(2), 40_000 + n), (SERVICE, 80)).syn(at);
        let back = error(at + MS, by, code, &syn);
        [syn, back]
    };
    let other = Talk::new((pod(2), 50_000), (ip(10, 96, 0, 8), 80)).whole(S);
    analyzed((1..5).flat_map(one).chain(other).collect())
}

#[test]
fn an_error_in_the_name_of_a_service_names_no_culprit() {
    const PROHIBITED: u8 = 13;
    let outcome = rejected(SERVICE, PROHIBITED);
    let finding = outcome.finding("SVC005");
    assert!(finding.title.starts_with("10.96.0.7:80 is rejected: ICMP 3/13"), "{}", finding.title);
    assert!(finding.capture_next.is_some() && finding.subjects.iter().all(|subject| subject.role != Role::Hop));
    let outcome = rejected(GATEWAY, PROHIBITED);
    assert!(outcome.finding("SVC005").title.starts_with("10.96.0.7:80 is rejected by 10.244.1.1: "));
    // Where its address was not replaced yet, the sender is known.
    let outcome = sample("svc005-prohibited", &["client-web-0.pcap", "nodeB-eth0.pcap"]);
    let finding = outcome.finding("SVC005");
    assert!(finding.title.starts_with("10.96.20.5:5432 is rejected by 10.244.2.0: "), "{}", finding.title);
}

#[test]
fn a_missing_route_is_no_host_that_is_gone() {
    const NET: u8 = 0;
    const HOST: u8 = 1;
    for (code, look, other) in [(NET, "ip route get", "ip neigh"), (HOST, "ip neigh", "ip route get")] {
        let outcome = rejected(GATEWAY, code);
        let finding = outcome.finding("NET004");
        assert!(advises(finding, look) && !advises(finding, other), "{:?}", finding.fix);
    }
}

#[test]
fn what_helps_against_a_dead_endpoint_depends_on_what_it_does() {
    for (case, file, helps) in [
        ("stale-endpoint-refuses", "nodeA-any.pcap.gz", "ss -ltn"),
        ("stale-endpoint-rejects", "prohibited-client.pcap.gz", "grep -e REJECT"),
        ("stale-endpoint-gone", "client-web-0.pcap", "Remove the dead address"),
    ] {
        let outcome = sample(case, &[file]);
        assert!(advises(outcome.finding("SVC002"), helps), "{case}: {:?}", outcome.finding("SVC002").fix);
    }
}

#[test]
fn who_resets_some_clients_and_serves_others_has_a_rule_against_them() {
    let outcome = sample("svc003-refused-by-node", &["nodeA-eth0.pcap"]);
    let finding = outcome.finding("SVC003");
    assert!(advises(finding, "open for others") && advises(finding, "tcp-reset") && !advises(finding, "ss -ltn"));
    let outcome = sample("svc003-refused-by-node", &["client-web-0.pcap"]);
    assert!(advises(outcome.finding("SVC003"), "ss -ltn"));
}

#[test]
fn what_changes_something_is_not_among_what_looks() {
    let outcome = sample("mtu-black-hole", &["client-web-0.pcap"]);
    let fix = &outcome.finding("MTU001").fix;
    assert!(fix.text.contains("TCPMSS") && fix.commands.iter().all(|command| !command.contains("TCPMSS")), "{fix:?}");
}

#[test]
fn idle_connections_that_survived_count_wherever_others_are_seen_to_fail() {
    for files in [&["client-web-0.pcap"][..], &["nodeA-any.pcap.gz"], &["client-web-0.pcap", "nodeA-any.pcap.gz"]] {
        let outcome = sample("nat002-idle-forgotten", files);
        let counts = &outcome.finding("NAT002").counts;
        assert_eq!((counts["reset"], counts["survived"]), (2, 6), "{files:?}");
    }
}

/// Truncated answers that nobody asks for again, from a client that speaks TCP with others or does not.
fn truncated(answers: u16, speaks_tcp: bool) -> Outcome {
    let resolver = (ip(10, 96, 0, 10), 53);
    let one = |n: u16| {
        let (at, client) = (u64::from(n) * S, (pod(2), 40_000 + n));
        let question = dns::question(n, "many.example.com", dns::A);
        let mut answer = question.clone();
        answer[2..4].copy_from_slice(&0x8380_u16.to_be_bytes());
        [datagram(at, client, resolver, &question), datagram(at + MS, resolver, client, &answer)]
    };
    let tcp = Talk::new((pod(2), 50_000), (ip(10, 96, 0, 8), 80)).whole(S);
    analyzed((1..=answers).flat_map(one).chain(tcp.into_iter().filter(|_| speaks_tcp)).collect())
}

#[test]
fn truncated_answers_that_nobody_asks_for_again_hurt_where_tcp_is_seen() {
    let severity = |answers, tcp| truncated(answers, tcp).finding("DNS009").severity;
    assert_eq!(severity(4, true), Severity::Warning);
    assert_eq!((severity(4, false), severity(2, true)), (Severity::Info, Severity::Info));
    assert!(advises(truncated(4, true).finding("DNS009"), "1.2.4"));
}

/// Connections of half a second, one each 100 ms: each is refused while as many are open, or now and then.
fn crowd(limit: Option<usize>) -> Outcome {
    let mut open: Vec<u64> = Vec::new();
    let mut one = |n: u16| {
        let at = u64::from(n) * 100 * MS;
        let mut talk = Talk::new((pod(2), 40_000 + n), (SERVICE, 80));
        open.retain(|end| *end > at);
        if limit.map_or(n * n % 7 < 3, |limit| open.len() >= limit) {
            return talk.refused(at);
        }
        open.push(at + 500 * MS);
        let (mut frames, fin) = (talk.handshake(at), flags::FIN | flags::ACK);
        let end = at + 499 * MS;
        frames.extend([
            talk.segment(at + 3 * MS, OUT, flags::PSH | flags::ACK, (1, 1), 200),
            talk.segment(end - 2 * MS, BACK, flags::PSH | flags::ACK, (1, 201), 1000),
            talk.segment(end - MS, OUT, fin, (201, 1001), 0),
            talk.segment(end, BACK, fin, (1001, 202), 0),
        ]);
        frames
    };
    let frames: Vec<Frame> = (0..60).flat_map(&mut one).collect();
    analyzed(frames)
}

#[test]
fn a_limit_of_open_connections_is_no_dead_endpoint() {
    let outcome = crowd(Some(3));
    assert!(outcome.finding("SVC006").title.contains("while 3 others are open"), "{:?}", outcome.codes());
    assert!(!outcome.codes().contains(&"SVC002"));
    // By lot it does not matter how many are open.
    let codes = crowd(None).codes();
    assert!(codes.contains(&"SVC002") && !codes.contains(&"SVC006"), "{codes:?}");
}
