//! Questions that come back as ICMP errors, and questions of which none is answered: what each is called.

use crate::support::{Outcome, analyzed};
use crate::traffic::{MS, S, Talk, datagram, error, ip, lookup, pod};
use kcap_analyze::finding::Severity;
use kcap_samples::file::Frame;
use std::net::Ipv4Addr;

const SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 53);
/// The client's own node, as its pods address it.
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 244, 1, 1);
const NET: u8 = 0;
const PORT: u8 = 3;

fn question(at: u64, number: u16, server: Ipv4Addr) -> Frame {
    datagram(at, (pod(10), 40_000 + number), (server, 53), &lookup(number, "api.example.com").0)
}

/// A question each second, each met by an ICMP error.
fn rejected(by: Ipv4Addr, code: u8) -> Vec<Frame> {
    let one = |number: u16| {
        let at = u64::from(number) * S;
        let asked = question(at, number, SERVICE);
        let back = error(at + MS, by, code, &asked);
        [asked, back]
    };
    (1..8).flat_map(one).collect()
}

fn answered(at: u64, number: u16, server: Ipv4Addr) -> [Frame; 2] {
    let answer = lookup(number, "api.example.com").1;
    [question(at, number, server), datagram(at + MS, (server, 53), (pod(10), 40_000 + number), &answer)]
}

fn title(outcome: &Outcome, code: &str) -> String {
    outcome.finding(code).title.clone()
}

#[test]
fn a_service_without_endpoints_is_no_server_that_is_down() {
    let outcome = analyzed(rejected(GATEWAY, PORT));
    assert_eq!(title(&outcome, "DNS017"), "10.96.0.53:53 has no endpoints: 7 questions rejected by the client's node");
    assert!(outcome.finding("DNS017").fix.commands[0].contains("get services"));
    // The host that was asked says so itself.
    let outcome = analyzed(rejected(SERVICE, PORT));
    assert_eq!(title(&outcome, "DNS017"), "10.96.0.53:53 is down for 7 questions: ICMP unreachable");
    // Others of the service answer meanwhile.
    let mixed = [rejected(GATEWAY, PORT), answered(4 * S + 500 * MS, 100, SERVICE).to_vec()].concat();
    assert_eq!(title(&analyzed(mixed), "DNS017"), "10.96.0.53:53 is down for 7 questions: ICMP unreachable");
}

/// A server to whose network there is no way: some of the errors are not in the capture.
#[test]
fn a_server_without_a_route_is_told_once() {
    let again = |number: u16| [0, 5].map(|second| question((20 + second) * S + u64::from(number), number, SERVICE));
    let unsaid: Vec<Frame> = (50..54).flat_map(again).collect();
    let end = answered(40 * S, 200, ip(10, 96, 0, 10)).to_vec();
    let outcome = analyzed([rejected(GATEWAY, NET), unsaid.clone(), end.clone()].concat());
    assert_eq!(outcome.codes(), ["DNS017"]);
    assert!(title(&outcome, "DNS017").starts_with("no way to 10.96.0.53:53"), "{}", title(&outcome, "DNS017"));
    assert!(outcome.finding("DNS017").fix.commands.iter().any(|command| command.starts_with("ip route get")));
    // A server that answers others and rejects some has lost the rest.
    let works = answered(30 * S, 201, SERVICE).to_vec();
    assert!(analyzed([rejected(GATEWAY, NET), unsaid, works, end].concat()).codes().contains(&"DNS004"));
}

/// Questions that are asked again after five seconds, of which no answer is seen to anybody.
#[test]
fn who_asks_again_after_seconds_got_no_answer_whatever_the_capture_lacks() {
    let asked = |times: u64| -> Vec<Frame> {
        let one =
            |number: u16| (0..times).map(move |n| question(u64::from(number) * 20 * S + n * 5 * S, number, SERVICE));
        (1..5).flat_map(one).collect()
    };
    let outcome = analyzed(asked(2));
    let finding = outcome.finding("DNS004");
    assert_eq!(
        (finding.severity, finding.title.as_str()),
        (Severity::Warning, "10.96.0.53:53 answered none of 8 attempts")
    );
    let because: Vec<&str> = finding.ruled_out.iter().map(|ruled| ruled.because.as_str()).collect();
    assert!(!because.iter().any(|why| why.contains("answers other questions")), "{because:?}");
    // Whose answers may be what the capture lacks.
    let loud = |outcome: &Outcome| outcome.report.findings.iter().any(|finding| finding.severity > Severity::Info);
    assert!(!loud(&analyzed(asked(1))));
}

/// An answer that passes here and is asked for again behind: the finding says where.
#[test]
fn what_was_answered_and_asked_again_cites_frames() {
    let server = ip(10, 96, 0, 10);
    let again = |number: u16| {
        let at = u64::from(number) * 20 * S;
        [answered(at, number, server), answered(at + 5 * S, number, server)].concat()
    };
    let outcome = analyzed((1..5).flat_map(again).collect());
    let evidence = &outcome.finding("DNS004").evidence;
    assert_eq!(evidence.iter().map(|evidence| evidence.frames.len()).collect::<Vec<_>>(), [4]);
}

/// A server that is answered by before and after: for a while all that is asked comes back.
#[test]
fn a_server_that_was_away_is_no_dead_backend() {
    let before: Vec<Frame> = (0..20).flat_map(|n| answered(u64::from(n) * 40 * MS, 200 + n, SERVICE)).collect();
    let after: Vec<Frame> = (0..20).flat_map(|n| answered(9 * S + u64::from(n) * 40 * MS, 300 + n, SERVICE)).collect();
    let away = [before, rejected(SERVICE, PORT), after].concat();
    let outcome = analyzed(away.clone());
    assert_eq!(title(&outcome, "DNS017"), "10.96.0.53:53 was down for 7 questions: ICMP unreachable");
    assert!(outcome.finding("DNS017").explanation.contains("none meanwhile"));
    // What is silent meanwhile may not be rejected as often (`icmp_ratelimit`).
    let unsaid = vec![question(4 * S + 500 * MS, 150, SERVICE)];
    assert!(title(&analyzed([away.clone(), unsaid].concat()), "DNS017").contains("was down for"));
    // One that is answered meanwhile went to another backend.
    let meanwhile = answered(4 * S + 500 * MS, 100, SERVICE).to_vec();
    let outcome = analyzed([away, meanwhile].concat());
    assert_eq!(title(&outcome, "DNS017"), "10.96.0.53:53 is down for 7 questions: ICMP unreachable");
    assert!(outcome.finding("DNS017").explanation.contains("one of several backends"));
}

/// Of one direction no answer is there to see, however long resolvers wait for reasons of their own.
#[test]
fn a_capture_of_one_direction_lacks_all_answers() {
    let asked = |number: u16| [0, 5].map(|second| question((1 + second) * S + u64::from(number) * MS, number, SERVICE));
    let asked: Vec<Frame> = (1..20).flat_map(asked).collect();
    let whole = |port: u16| Talk::new((pod(10), port), (ip(10, 96, 0, 80), 80)).whole(u64::from(port) * MS);
    let half = |port: u16| whole(port).into_iter().filter(is_of_client).collect::<Vec<_>>();
    let codes = |of: &dyn Fn(u16) -> Vec<Frame>| {
        let others: Vec<Frame> = [20_001, 20_002, 21_003].into_iter().flat_map(of).collect();
        analyzed([asked.clone(), others].concat()).codes()
    };
    assert!(!codes(&half).contains(&"DNS004"), "{:?}", codes(&half));
    assert!(codes(&whole).iter().any(|code| ["DNS003", "DNS004"].contains(code)), "{:?}", codes(&whole));
    assert!(analyzed(asked.clone()).codes().contains(&"DNS004"), "nothing else shows that answers are left out");
}

/// Whether it comes from the client's address.
fn is_of_client(frame: &Frame) -> bool {
    frame.data[26..30] == pod(10).octets()
}
