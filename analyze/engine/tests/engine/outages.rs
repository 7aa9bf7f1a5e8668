//! What is away for a while, or cut off in the middle, and what only looks like it.

use crate::support::{Outcome, analyzed};
use crate::traffic::{BACK, MS, OUT, S, START_NS, Talk, error, ip, pod, tunnelled};
use kcap_analyze::finding::Severity;
use kcap_samples::file::Frame;
use kcap_samples::packet::{Arp, Ethernet, build, flags, mac};
use std::net::Ipv4Addr;

const SERVER: (Ipv4Addr, u16) = (Ipv4Addr::new(10, 96, 0, 7), 5432);
const NODES: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 168, 0, 1), Ipv4Addr::new(192, 168, 0, 2)];
pub(crate) const PSH: u8 = flags::PSH | flags::ACK;

pub(crate) fn client(n: u16) -> Talk {
    Talk::new((pod(5), 40_000 + n), SERVER)
}

/// Connections that work, one each 200 ms.
pub(crate) fn works(from: u16, count: u16, at: u64) -> Vec<Frame> {
    (0..count).flat_map(|n| client(from + n).whole(at + u64::from(n) * 200 * MS)).collect()
}

pub(crate) fn alarms(outcome: &Outcome) -> Vec<&'static str> {
    let severe = outcome.report.findings.iter().filter(|finding| finding.severity >= Severity::Warning);
    severe.map(|finding| finding.code).collect()
}

#[test]
fn a_server_that_is_away_for_a_while() {
    let silent = |n: u16| client(100 + n).syns(14 * S + u64::from(n) * 2 * S, 3);
    let all = || (0..4).flat_map(silent).collect::<Vec<_>>();
    let outcome = analyzed([works(1, 60, S), all(), works(200, 20, 22 * S)].concat());
    assert_eq!(alarms(&outcome), ["SVC004"]);
    let finding = outcome.finding("SVC004");
    assert_eq!((finding.severity, finding.counts["failed_connects"]), (Severity::Warning, 4));
    assert!(finding.title.contains("answered no new connection for 8.0 s (4 attempts)"), "{}", finding.title);
    // It went on serving meanwhile, so that what fails has another reason.
    let meanwhile = works(300, 1, 17 * S);
    let served = [works(1, 60, S), all(), meanwhile, works(200, 20, 22 * S)].concat();
    assert!(!alarms(&analyzed(served)).contains(&"SVC004"));
    // By lot four in a row are no wonder.
    assert!(alarms(&analyzed([works(1, 4, S), all(), works(200, 4, 22 * S)].concat())).is_empty());
}

#[test]
fn a_burst_that_nobody_answers() {
    let burst =
        |tries: usize| (0..8).flat_map(|n| client(100 + n).syns(S + u64::from(n) * MS, tries)).collect::<Vec<_>>();
    let outcome = analyzed([works(1, 2, 0), burst(4)].concat());
    assert_eq!(alarms(&outcome), ["SVC004"]);
    let finding = outcome.finding("SVC004");
    assert_eq!((finding.severity, finding.counts["failed_connects"]), (Severity::Warning, 8));
    assert!(finding.limits.iter().any(|limit| limit.contains("SVC006")), "{:?}", finding.limits);
    // One got in later, so that the queue drains.
    assert!(!alarms(&analyzed([works(1, 2, 0), burst(4), works(300, 1, 6 * S)].concat())).contains(&"SVC004"));
    // Its host takes a request that it never answers: it hangs, and its queue is full.
    let mut talk = client(50);
    let mut hung = talk.handshake(800 * MS);
    hung.push(talk.segment(803 * MS, OUT, PSH, (1, 1), 200));
    hung.push(talk.segment(804 * MS, BACK, flags::ACK, (1, 201), 0));
    assert!(!alarms(&analyzed([works(1, 2, 0), hung, burst(4)].concat())).contains(&"SVC004"));
    // A moment is no outage.
    assert!(alarms(&analyzed([works(1, 2, 0), burst(2)].concat())).is_empty());
}

/// As it is seen next to the server: the client's packets have passed a router.
fn next_to_server(mut frames: Vec<Frame>) -> Vec<Frame> {
    for frame in frames.iter_mut().filter(|frame| frame.data[26..30] == pod(5).octets()) {
        frame.data[22] -= 1;
    }
    frames
}

#[test]
fn a_server_that_answers_nothing_any_more_has_no_full_queue() {
    let silent = || (0..4).flat_map(|n| client(100 + n).syns(10 * S + u64::from(n) * S, 3)).collect::<Vec<_>>();
    let codes = |frames: Vec<Frame>| alarms(&analyzed(next_to_server(frames)));
    let gone = codes([works(1, 20, S), silent()].concat());
    assert!(!gone.contains(&"SVC006") && gone.contains(&"SVC004"), "{gone:?}");
    // One gets in at last.
    let mut waits = client(41);
    let late = [vec![waits.syn(12 * S)], waits.whole(13 * S)].concat();
    assert_eq!(codes([works(1, 20, S), silent(), late].concat()), ["SVC006"]);
    // Its host takes a request that it never answers: it hangs.
    let mut talk = client(40);
    let mut hung = talk.handshake(9 * S);
    hung.push(talk.segment(9 * S + 3 * MS, OUT, PSH, (1, 1), 200));
    hung.push(talk.segment(9 * S + 4 * MS, BACK, flags::ACK, (1, 201), 0));
    assert!(codes([works(1, 20, S), hung, silent()].concat()).contains(&"SVC006"));
}

/// A request that is sent again for six seconds, and at last reset, if at all.
fn unanswered(mut talk: Talk, reset: Option<u8>) -> Vec<Frame> {
    let mut frames = talk.handshake(S);
    frames.extend([
        talk.segment(S + 3 * MS, OUT, PSH, (1, 1), 200),
        talk.segment(S + 5 * MS, BACK, PSH, (1, 201), 1000),
        talk.segment(S + 6 * MS, OUT, flags::ACK, (201, 1001), 0),
    ]);
    let again = [2000, 2200, 2600, 3400, 5000, 8200];
    frames.extend(again.map(|ms| talk.segment(ms * MS, OUT, PSH, (201, 1001), 200)));
    frames.extend(reset.map(|set| talk.segment(8201 * MS, BACK, set, (1001, 401), 0)));
    frames
}

#[test]
fn a_host_that_disowns_a_connection_is_neither_silent_nor_deaf() {
    let codes = |reset| analyzed([works(10, 5, 10 * S), unanswered(client(1), reset)].concat()).codes();
    assert!(codes(None).contains(&"APP005"));
    assert!(!codes(Some(flags::RST)).contains(&"APP005"));
}

#[test]
fn connections_that_are_cut_with_a_server_are_counted_there() {
    let silent = |n: u16| client(100 + n).syns(3 * S + u64::from(n) * S, 3);
    let cut = |talk: Talk| unanswered(talk, None);
    let gone = [works(10, 5, S), cut(client(1)), cut(client(2)), silent(0), silent(1)].concat();
    assert_eq!(alarms(&analyzed(gone.clone())), ["SVC008"]);
    // What goes unanswered at another server is no part of it.
    let other = Talk { server: (ip(10, 96, 0, 8), 5432), ..client(3) };
    assert_eq!(alarms(&analyzed([gone, cut(other)].concat())), ["SVC008", "APP005"]);
}

/// A connection whose server answers a request, and whose client hears nothing of it.
fn deaf(n: u16) -> Vec<Frame> {
    let mut talk = client(n);
    let mut frames = talk.handshake(S);
    frames.extend([
        talk.segment(S + 3 * MS, OUT, PSH, (1, 1), 200),
        talk.segment(S + 5 * MS, BACK, PSH, (1, 201), 1000),
        talk.segment(S + 6 * MS, OUT, flags::ACK, (201, 1001), 0),
    ]);
    for ms in [2000, 2200, 2600, 3400, 5000, 8200] {
        frames.push(talk.segment(ms * MS, OUT, PSH, (201, 1001), 200));
        frames.push(talk.segment((ms + 1) * MS, BACK, PSH, (1001, 401), 1000));
    }
    frames
}

#[test]
fn answers_that_are_lost_on_the_way_back_are_told_once() {
    let half = |n: u16| {
        let mut talk = client(100 + n);
        let ns = |second: u64| 3 * S + u64::from(n) * S + second * S;
        let answer = flags::SYN | flags::ACK;
        let pair = |second| [talk.syn(ns(second)), talk.segment(ns(second) + MS, BACK, answer, (0, 1), 0)];
        [0, 1, 3].map(pair).concat()
    };
    let halves = || (0..3).flat_map(half).collect::<Vec<_>>();
    assert_eq!(alarms(&analyzed([works(10, 5, S), deaf(1), halves()].concat())), ["SVC007"]);
    // Nothing says that answers to the client are lost but the connection itself.
    assert_eq!(alarms(&analyzed([works(10, 5, S), deaf(1)].concat())), ["APP005"]);
}

/// A connection that the server ends, as a pod does that is deleted, and that is asked once more.
fn left_behind(n: u16) -> Vec<Frame> {
    let mut talk = client(n);
    let mut frames = talk.handshake(S);
    frames.extend([
        talk.segment(S + 3 * MS, OUT, PSH, (1, 1), 200),
        talk.segment(S + 5 * MS, BACK, PSH, (1, 201), 1000),
        talk.segment(1900 * MS, BACK, flags::FIN | flags::ACK, (1001, 201), 0),
        talk.segment(1901 * MS, OUT, flags::ACK, (201, 1002), 0),
    ]);
    let again = [2000, 2200, 2600, 3400, 5000, 8200];
    frames.extend(again.map(|ms| talk.segment(ms * MS, OUT, PSH, (201, 1002), 200)));
    frames
}

#[test]
fn a_server_that_is_silent_has_no_exit_code_to_look_for() {
    let silent = |n: u16| client(100 + n).syns(3 * S + u64::from(n) * S, 3);
    let gone = |told: bool| {
        let error = |n: u16| silent(n).last().map(|syn| error(6 * S + u64::from(n) * S, NODES[0], 1, syn));
        let errors = (0..4).filter(|_| told).filter_map(error).collect();
        let open = [works(10, 5, S), left_behind(1), left_behind(2)].concat();
        analyzed([open, (0..4).flat_map(silent).collect(), errors].concat())
    };
    for (told, met) in [(false, "got no answer"), (true, "met ICMP host unreachable")] {
        let outcome = gone(told);
        let finding = outcome.finding("SVC008");
        assert!(finding.fix.text.starts_with("See what became of the pod and of its node"), "{}", finding.fix.text);
        assert!(!finding.fix.commands.iter().any(|command| command.contains("logs")), "{:?}", finding.fix.commands);
        assert!(finding.explanation.contains(met), "{}", finding.explanation);
        assert!(
            finding.explanation.contains("2 earlier connections got no answer any more"),
            "{}",
            finding.explanation
        );
        assert_eq!(alarms(&outcome), ["SVC008"]);
    }
    let refused = (0..6).flat_map(|n| client(100 + n).refused(3 * S + u64::from(n) * S)).collect();
    let killed = analyzed([works(10, 5, S), refused].concat());
    assert!(killed.finding("SVC008").fix.text.contains("exit code"));
}

/// Attempts at two pods through a tunnel that gives nothing back.
fn lost(ports: [u16; 2]) -> Vec<Frame> {
    let one = |n: u8| {
        let server = (ip(10, 244, 2, n), ports[usize::from(n % 2)]);
        Talk::new((pod(1), 41_000 + u16::from(n)), server).between(NODES[0], NODES[1]).syns(u64::from(n) * S, 4)
    };
    [Talk::new((pod(200), 50_000), (pod(201), 80)).whole(10 * MS), one(1), one(2)].concat()
}

/// Errors of a tunnel's far end about what comes for it.
fn refuses_tunnel(by: Ipv4Addr, code: u8) -> Vec<Frame> {
    let one = |n: u64| {
        let about = tunnelled(n * S, (NODES[0], by), (pod(1), 41_000), (ip(10, 244, 2, 1), 80));
        error(n * S + MS, by, code, &about)
    };
    (1..4).map(one).collect()
}

#[test]
fn an_end_that_refuses_a_tunnel_says_so() {
    let title = |frames: Vec<Frame>| analyzed(frames).finding("OVL002").title.clone();
    for (code, says) in [(3, "port unreachable"), (2, "protocol unreachable"), (10, "administratively prohibited")] {
        let outcome = analyzed([lost([80, 80]), refuses_tunnel(NODES[1], code)].concat());
        let finding = outcome.finding("OVL002");
        assert_eq!(finding.title, format!("192.168.0.2 refuses vxlan from 192.168.0.1: {says}"));
        assert_eq!((finding.severity, finding.limits.len()), (Severity::Critical, 0));
        assert_eq!(alarms(&outcome), ["OVL002"]);
    }
    // Another end does, or the network on the way.
    assert!(title([lost([80, 80]), refuses_tunnel(ip(192, 168, 0, 3), 3)].concat()).contains("gets no answer"));
    // One server that does not answer is no tunnel that is down, unless its end says so.
    let syns = |port: u16| Talk::new((pod(1), port), (ip(10, 244, 2, 1), 80)).between(NODES[0], NODES[1]).syns(S, 4);
    let one = || [Talk::new((pod(200), 50_000), (pod(201), 80)).whole(10 * MS), syns(41_001), syns(41_002)].concat();
    assert!(!analyzed(one()).codes().contains(&"OVL002"));
    assert!(analyzed([one(), refuses_tunnel(NODES[1], 3)].concat()).codes().contains(&"OVL002"));
}

/// Both hosts that own an address answer a question for it, three times.
fn owned_twice(addr: Ipv4Addr) -> Vec<Frame> {
    let asker = (mac(1), NODES[0]);
    let frame = |at: u64, from: u32, arp: Arp| {
        Frame::new(START_NS + at, build(&[Ethernet::new(from, 1).into(), arp.into()], b""))
    };
    let round = |at: u64| {
        let answer = |n: u32| frame(at + u64::from(n) * MS, n, Arp::reply((mac(n), addr), asker));
        [frame(at, 1, Arp::request(asker, addr)), answer(7), answer(8)]
    };
    [S, 3 * S, 5 * S].into_iter().flat_map(round).collect()
}

#[test]
fn an_overlay_for_one_port_may_be_a_policy() {
    let ruled_out = |ports| {
        let outcome = analyzed(lost(ports));
        let finding = outcome.finding("OVL002");
        (finding.confidence > 0.7, finding.ruled_out.iter().any(|other| other.code == "SVC004"))
    };
    assert_eq!(ruled_out([80, 443]), (true, true));
    assert_eq!(ruled_out([80, 80]), (false, false));
    let fix = analyzed(lost([80, 80])).finding("OVL002").fix.text.clone();
    assert!(fix.starts_with("See first whether the frames arrive at 192.168.0.2."), "{fix}");
}

#[test]
fn an_end_of_a_tunnel_that_two_hosts_own_is_the_cause() {
    let outcome = analyzed([lost([80, 443]), owned_twice(NODES[1])].concat());
    assert_eq!(alarms(&outcome), ["NET003"]);
    assert!(outcome.finding("NET003").explanation.contains("an end of tunnels"));
    let other = analyzed([lost([80, 443]), owned_twice(ip(192, 168, 0, 77))].concat());
    assert!(alarms(&other).contains(&"OVL002"));
}

/// A server that worked, and from some time on answers neither what is open nor what is new.
fn gone_from(n: u8, at: u64) -> Vec<Frame> {
    let talk = |port: u16| Talk::new((pod(5), port + u16::from(n) * 100), (ip(10, 244, 2, n), 8080));
    let open = |port: u16| {
        let mut talk = talk(port);
        let mut frames = talk.handshake(2 * S);
        frames.push(talk.segment(2 * S + 3 * MS, OUT, PSH, (1, 1), 200));
        frames.push(talk.segment(2 * S + 5 * MS, BACK, PSH, (1, 201), 1000));
        frames.push(talk.segment(2 * S + 6 * MS, OUT, flags::ACK, (201, 1001), 0));
        let again = [0, 200, 600, 1400, 3000, 6200];
        frames.extend(again.map(|ms| talk.segment(at + ms * MS, OUT, PSH, (201, 1001), 200)));
        frames
    };
    let new = |port: u16| talk(port).syns(at + u64::from(port % 10) * 2 * S, 4);
    [talk(40_001).whole(S), talk(40_002).whole(S + 200 * MS), open(40_003), open(40_004)]
        .into_iter()
        .chain([40_010, 40_011, 40_012].map(new))
        .flatten()
        .collect()
}

#[test]
fn servers_that_go_at_once_are_one_fault() {
    let gone = |second: u64| {
        let outcome = analyzed([gone_from(7, 20 * S), gone_from(8, second)].concat());
        let found = outcome.report.findings.iter().filter(|finding| finding.code == "SVC008");
        found.map(|finding| (finding.title.clone(), finding.counts["failed_connects"])).collect::<Vec<_>>()
    };
    let title = "10.244.2.7:8080, 10.244.2.8:8080 went away at once and have answered no connection since";
    assert_eq!(gone(20 * S + 300 * MS), [(format!("{title} (6 connections)"), 6)]);
    assert_eq!(gone(24 * S).len(), 2, "one after the other, as pods that are replaced go");
}

/// Errors of a node that it cannot reach the far end of a tunnel, about what it had for that.
fn unreachable_end(from: u64) -> Vec<Frame> {
    let far = ip(192, 168, 0, 77);
    let one = |n: u64| {
        let at = from + n * S;
        error(at, NODES[0], 1, &tunnelled(at, (NODES[0], far), (pod(5), 41_000), (ip(10, 244, 2, 7), 80)))
    };
    (0..6).map(one).collect()
}

#[test]
fn what_is_for_a_far_end_that_is_away_is_no_alarm_of_its_own() {
    let attempts = |from: u64| (0..3).flat_map(|n| client(n).syns(from + u64::from(n) * S, 4)).collect::<Vec<_>>();
    let severity = |frames: Vec<Frame>| {
        let healthy = Talk::new((pod(200), 50_000), (pod(201), 80)).whole(10 * MS);
        let outcome = analyzed([healthy, frames].concat());
        assert!(outcome.finding("NET004").explanation.contains("far end of a vxlan tunnel"));
        outcome.finding("SVC004").severity
    };
    assert_eq!(severity([attempts(10 * S), unreachable_end(13 * S)].concat()), Severity::Info);
    // The tunnel was back long before.
    assert_eq!(severity([attempts(60 * S), unreachable_end(13 * S)].concat()), Severity::Error);
}

/// A connection whose ports are given to another, of which the SYN is not seen, while a request waits: source NAT does so
/// where ports are few.
#[test]
fn ports_that_are_taken_over_in_the_middle() {
    let mut talk = client(1);
    let mut frames = talk.handshake(0);
    frames.push(talk.segment(3 * MS, OUT, PSH, (1, 1), 36));
    frames.push(talk.segment(4 * MS, BACK, flags::ACK, (1, 37), 0));
    let (own, peer, fin) = (1_029_043_239, 42_464_351, flags::FIN | flags::ACK);
    frames.extend([
        talk.segment(3 * S, OUT, PSH, (own, peer), 27),
        talk.segment(3 * S + MS, BACK, flags::ACK, (peer, own + 27), 0),
        talk.segment(3 * S + 2 * MS, BACK, PSH, (peer, own + 27), 41),
        talk.segment(3 * S + 3 * MS, OUT, fin, (own + 27, peer + 41), 0),
        talk.segment(3 * S + 4 * MS, BACK, fin, (peer + 41, own + 28), 0),
    ]);
    let bytes: Vec<String> =
        analyzed(frames).rows.column("turns", "response_bytes").iter().map(ToString::to_string).collect();
    assert!(bytes.iter().all(|bytes| bytes.parse::<u64>().is_ok_and(|bytes| bytes <= 41)), "{bytes:?}");
}

#[test]
fn who_says_at_once_that_it_knows_no_way_has_no_route() {
    let silent = |n: u16| client(100 + n).syns(3 * S + u64::from(n) * S, 1);
    let told = |after: u64| {
        let error = |n: u16| silent(n).first().map(|syn| error(3 * S + u64::from(n) * S + after, NODES[0], 1, syn));
        let errors = (0..4).filter_map(error).collect();
        alarms(&analyzed([works(10, 5, S), (0..4).flat_map(silent).collect(), errors].concat()))
    };
    assert_eq!(told(MS), ["NET004"]);
    // A neighbour that is gone is asked for first.
    assert_eq!(told(2900 * MS), ["SVC008"]);
}
