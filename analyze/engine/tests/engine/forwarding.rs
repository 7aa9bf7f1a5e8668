//! Questions that DNS servers pass on: whose silence is told.

use crate::support::analyzed;
use kcap_analyze::finding::Severity;
use kcap_samples::file::Frame;
use kcap_samples::packet::dns::{A, Answer, answer, question};
use kcap_samples::packet::{Ethernet, Ipv4, Udp, build};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// Hosts of the script.
const CLIENT: u8 = 1;
const OTHER: u8 = 2;
const CACHE: u8 = 10;
const SERVER: u8 = 11;
const UPSTREAM: u8 = 12;

fn datagram(ms: u64, (from, from_port): (u8, u16), (to, to_port): (u8, u16), payload: &[u8]) -> Frame {
    let addr = |host: u8| Ipv4Addr::new(10, 1, 0, host);
    let layers =
        [Ethernet::new(1, 2).into(), Ipv4::new(addr(from), addr(to)).into(), Udp::new(from_port, to_port).into()];
    Frame::new(1_700_000_000_000_000_000 + ms * 1_000_000, build(&layers, payload))
}

/// A question that is answered.
fn answered(ms: u64, from: u8, to: u8) -> [Frame; 2] {
    let (id, name) = (7 + u16::from(from), "fine.example");
    [
        datagram(ms, (from, 40_000), (to, 53), &question(id, name, A)),
        datagram(
            ms + 1,
            (to, 53),
            (from, 40_000),
            &answer(id, name, A, Answer::Address(Ipv4Addr::new(10, 9, 9, 9).into(), 30)),
        ),
    ]
}

/// A question that nobody answers, asked twice.
fn silent(ms: u64, from: u8, to: u8, name: &str) -> [Frame; 2] {
    let id = 100 + (ms % 1000) as u16 + u16::from(from) * 256;
    let ask = |ms: u64| datagram(ms, (from, 41_000 + id), (to, 53), &question(id, name, A));
    [ask(ms), ask(ms + 5000)]
}

/// Servers of which DNS004 tells.
fn told(mut frames: Vec<Frame>) -> BTreeSet<String> {
    frames.sort_by_key(|frame| frame.ts_ns);
    frames.extend(answered(60_000, OTHER, CACHE));
    let outcome = analyzed(frames);
    let dns004 = outcome.report.findings.iter().filter(|finding| finding.code == "DNS004");
    dns004.map(|finding| finding.title.split(':').next().unwrap_or_default().to_owned()).collect()
}

fn all_answer_first() -> Vec<Frame> {
    [(CLIENT, CACHE), (OTHER, SERVER), (CACHE, SERVER), (SERVER, UPSTREAM), (SERVER, CACHE)]
        .into_iter()
        .zip(0..)
        .flat_map(|((from, to), n)| answered(n * 10, from, to))
        .collect()
}

/// The cache asks the server, and that one asks `last`.
fn chain_to(last: u8) -> Vec<Frame> {
    let mut frames = all_answer_first();
    for n in 0..5 {
        let (ms, name) = (1000 + n * 300, format!("n{n}.example"));
        frames.extend(silent(ms, CLIENT, CACHE, &name));
        frames.extend(silent(ms + 1, CACHE, SERVER, &name));
        frames.extend(silent(ms + 2, SERVER, last, &name));
    }
    frames
}

#[test]
fn the_last_of_a_chain_is_told() {
    assert_eq!(told(chain_to(UPSTREAM)), ["10.1.0.12".to_owned()].into());
}

#[test]
fn servers_that_ask_each_other_are_told() {
    assert!(!told(chain_to(CACHE)).is_empty(), "somebody is silent");
}

#[test]
fn who_asks_another_server_the_same_by_chance_stands_in_for_nobody() {
    let mut frames = all_answer_first();
    for n in 0..9 {
        let ms = 1000 + n * 300;
        frames.extend(silent(ms, CLIENT, CACHE, &format!("n{n}.example")));
        let same = if n < 3 { format!("n{n}.example") } else { format!("other{n}.example") };
        frames.extend(silent(ms + 100, OTHER, SERVER, &same));
    }
    assert_eq!(told(frames), ["10.1.0.10".to_owned(), "10.1.0.11".to_owned()].into());
}

/// Asked and told, `times` 5 s apart.
fn told_again(ms: u64, (from, to): (u8, u8), n: u16, answered: Answer<'_>, times: u64) -> Vec<Frame> {
    let (name, port) = (format!("n{n}.example"), 42_000 + n);
    let once = |ms: u64| {
        [
            datagram(ms, (from, port), (to, 53), &question(n, &name, A)),
            datagram(ms + 1, (to, 53), (from, port), &answer(n, &name, A, answered)),
        ]
    };
    (0..times).flat_map(|time| once(ms + time * 5000)).collect()
}

/// Titles of findings of a code.
fn titles(mut frames: Vec<Frame>, code: &str) -> Vec<(Severity, String)> {
    frames.extend(answered(0, OTHER, UPSTREAM));
    frames.sort_by_key(|frame| frame.ts_ns);
    let outcome = analyzed(frames);
    let of_code = outcome.report.findings.iter().filter(|finding| finding.code == code);
    of_code.map(|finding| (finding.severity, finding.title.clone())).collect()
}

fn failing(asks: [(u8, u8); 2]) -> Vec<Frame> {
    let one = |n: u16| {
        let [first, second] = asks;
        let ms = 1000 + u64::from(n) * 50;
        let other = if first.0 == second.0 { n } else { n + 100 };
        [told_again(ms, first, n, Answer::Failure, 1), told_again(ms + 20, second, other, Answer::Failure, 1)]
    };
    (0..6).flat_map(one).flatten().collect()
}

#[test]
fn replicas_that_fail_alike_are_told_once() {
    let once = titles(failing([(CLIENT, CACHE), (CLIENT, SERVER)]), "DNS006");
    assert_eq!(
        once,
        [(Severity::Error, "10.1.0.10:53, 10.1.0.11:53 answer SERVFAIL (12 SERVFAIL answers)".to_owned())]
    );
    // Two servers with trouble of their own.
    assert_eq!(titles(failing([(CLIENT, CACHE), (OTHER, SERVER)]), "DNS006").len(), 2);
}

#[test]
fn who_asks_a_silent_server_fails_for_it() {
    let fails = || failing([(CLIENT, CACHE), (CLIENT, CACHE)]);
    let silence = (0..5).flat_map(|n| silent(1000 + n * 300, CACHE, UPSTREAM, &format!("n{n}.example")));
    let symptom = titles([fails(), answered(10, CACHE, UPSTREAM).to_vec(), silence.collect()].concat(), "DNS006");
    assert_eq!(symptom.iter().map(|(severity, _)| *severity).collect::<Vec<_>>(), [Severity::Info]);
    let alone = titles(fails(), "DNS006");
    assert_eq!(alone.iter().map(|(severity, _)| *severity).collect::<Vec<_>>(), [Severity::Error]);
}

/// The cache asks from another address, of its other family or behind source NAT.
#[test]
fn who_asks_a_silent_server_from_another_address_fails_for_it() {
    let fails = || failing([(CLIENT, CACHE), (CLIENT, CACHE)]);
    let severities = |from: u8, names: &str, count: u16| {
        let ask = |n: u16| silent(1000 + u64::from(n) * 50, from, UPSTREAM, &format!("{names}{n}.example"));
        let silence: Vec<Frame> = (0..count).flat_map(ask).collect();
        let frames = [fails(), answered(10, from, UPSTREAM).to_vec(), silence].concat();
        titles(frames, "DNS006").into_iter().map(|(severity, _)| severity).collect::<Vec<_>>()
    };
    assert_eq!(severities(OTHER, "n", 6), [Severity::Info]);
    assert_eq!(severities(OTHER, "n", 2), [Severity::Info], "replicas elsewhere asked the rest");
    assert_eq!(severities(OTHER, "n", 1), [Severity::Error], "one may be chance");
    assert_eq!(severities(OTHER, "x", 6), [Severity::Error], "other names");
    assert_eq!(severities(CLIENT, "n", 6), [Severity::Error], "the client asks that one itself");
}

#[test]
fn answers_that_one_client_lacks_are_told_once() {
    let address = Answer::Address(Ipv4Addr::new(10, 9, 9, 9).into(), 30);
    let again = move |n: u16, asks| told_again(1000 + u64::from(n) * 50, asks, n, address, 2);
    let lacking =
        |other: u8| (0..12).flat_map(move |n| again(n, if n % 2 == 0 { (CLIENT, CACHE) } else { (other, SERVER) }));
    assert_eq!(titles(lacking(CLIENT).collect(), "DNS004").len(), 1);
    assert_eq!(titles(lacking(OTHER).collect(), "DNS004").len(), 2);
}
