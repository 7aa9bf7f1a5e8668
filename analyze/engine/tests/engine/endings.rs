//! Servers that end connections: those that stop, and those that only close what was idle.

use crate::outages::{PSH, alarms, client, works};
use crate::support::analyzed;
use crate::traffic::{BACK, MS, OUT, S, Talk, ip};
use kcap_analyze::finding::Severity;
use kcap_samples::file::Frame;
use kcap_samples::packet::flags;

/// A connection that was served, idle, and asked again; the server's FIN comes so long after that.
fn asked_again(n: u16, fin_after: u64) -> Vec<Frame> {
    let mut talk = client(n);
    let (at, fin) = (20 * S, flags::FIN | flags::ACK);
    let mut frames = talk.handshake(S);
    frames.extend([
        talk.segment(S + 3 * MS, OUT, PSH, (1, 1), 200),
        talk.segment(S + 5 * MS, BACK, PSH, (1, 201), 1000),
        talk.segment(S + 6 * MS, OUT, flags::ACK, (201, 1001), 0),
    ]);
    let again = [0, 200, 600, 1400, 3000, 6200].into_iter().filter(|ms| *ms == 0 || ms * MS < fin_after);
    frames.extend(again.map(|ms| talk.segment(at + ms * MS, OUT, PSH, (201, 1001), 200)));
    frames.extend([
        talk.segment(at + fin_after, BACK, fin, (1001, 201), 0),
        talk.segment(at + fin_after + MS, OUT, flags::ACK, (401, 1002), 0),
        talk.segment(at + fin_after + 2 * MS, BACK, flags::RST, (1001, 0), 0),
    ]);
    frames
}

#[test]
fn a_fin_that_comes_long_after_the_request_did_not_meet_it() {
    let codes = |fin_after| alarms(&analyzed([asked_again(1, fin_after), asked_again(2, fin_after)].concat()));
    assert_eq!(codes(MS), ["APP002"]);
    assert!(!codes(7 * S).contains(&"APP002"), "the way was cut meanwhile");
    assert!(!codes(700 * MS).contains(&"APP002"), "the request was held up, and sent again");
}

/// A connection that was served `silent_ms` before the server ends it at 20 s, and asked again as that comes.
fn ended(n: u16, silent_ms: u64) -> Vec<Frame> {
    let mut talk = client(n);
    let (end, fin) = (20 * S, flags::FIN | flags::ACK);
    let asked = end - silent_ms * MS;
    let mut frames = talk.handshake(S);
    frames.extend([
        talk.segment(asked - 2 * MS, OUT, PSH, (1, 1), 200),
        talk.segment(asked, BACK, PSH, (1, 201), 1000),
        talk.segment(asked + MS, OUT, flags::ACK, (201, 1001), 0),
        talk.segment(end, OUT, PSH, (201, 1001), 200),
        talk.segment(end + MS, BACK, fin, (1001, 201), 0),
        talk.segment(end + 2 * MS, OUT, flags::ACK, (401, 1002), 0),
        talk.segment(end + 3 * MS, BACK, flags::RST, (1001, 0), 0),
    ]);
    frames
}

#[test]
fn a_server_that_ends_all_at_once_stops() {
    let after = || works(50, 20, 21 * S);
    let outcome = analyzed([ended(1, 9000), ended(2, 3000), after()].concat());
    assert_eq!(alarms(&outcome), ["SVC008"]);
    let finding = outcome.finding("SVC008");
    assert_eq!((finding.severity, finding.counts["dropped_requests"]), (Severity::Warning, 2));
    assert!(finding.title.ends_with("ended 2 connections at once that its clients still used"), "{}", finding.title);
    // Its timeout, of connections that were used together.
    assert_eq!(alarms(&analyzed([ended(1, 5000), ended(2, 4900), after()].concat())), ["APP002"]);
    assert_eq!(alarms(&analyzed([ended(1, 9000), after()].concat())), ["APP002"]);
}

/// The same process at another address of its pod: what is new there is refused.
#[test]
fn a_race_with_a_server_that_stops_is_none_of_its_own() {
    let elsewhere = |talk: Talk, port: u16| Talk { server: (ip(10, 96, 0, 8), port), ..talk };
    let moved = |port: u16| {
        let stops = |n: u16| taken_by(elsewhere(client(n), port));
        let refused = |n: u16| elsewhere(client(n), port).refused(20 * S + 300 * MS);
        analyzed([ended(1, 9000), works(50, 20, 21 * S), stops(5), refused(6), refused(7)].concat())
    };
    assert_eq!(alarms(&moved(5432)), ["SVC008"]);
    let mut others = alarms(&moved(5433));
    others.sort_unstable();
    assert_eq!(others, ["APP002", "SVC008"], "another server");
}

/// A request that its server's host takes, and resets at 20 s.
fn taken_by(mut talk: Talk) -> Vec<Frame> {
    let mut frames = talk.handshake(S);
    frames.push(talk.segment(20 * S - 9 * MS, OUT, PSH, (1, 1), 200));
    frames.push(talk.segment(20 * S - 8 * MS, BACK, flags::ACK, (1, 201), 0));
    frames.push(talk.segment(20 * S, BACK, flags::RST | flags::ACK, (1, 201), 0));
    frames
}

#[test]
fn one_of_several_that_goes_down_with_requests_is_told_once() {
    let refused = |n: u16| client(100 + n).refused(20 * S + u64::from(n) * 700 * MS);
    let after = || [works(60, 20, 20 * S + 400 * MS), (0..5).flat_map(refused).collect()].concat();
    let codes = |lost: Vec<Frame>| {
        let outcome = analyzed([works(10, 3, 2 * S), lost, after()].concat());
        let findings = outcome.report.findings.iter();
        findings.map(|finding| (finding.code, finding.severity)).collect::<Vec<_>>()
    };
    let went_down = codes([taken_by(client(1)), taken_by(client(2))].concat());
    assert_eq!(went_down, [("SVC008", Severity::Error), ("SVC002", Severity::Info)]);
    assert_eq!(codes(Vec::new()), [("SVC002", Severity::Error)], "it may never have served");
}
