//! Questions that DNS servers pass on: whose silence is told.

use crate::support::analyzed;
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
