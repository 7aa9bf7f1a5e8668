//! Where to capture next: never where a capture was taken.

use crate::support::{Outcome, analyzed, file, run};
use crate::traffic::{BACK, MS, OUT, S, Talk, pod};
use kcap_analyze::Options;
use kcap_file::Inputs;
use kcap_samples::file::Frame;
use kcap_samples::packet::flags;
use std::net::Ipv4Addr;
use std::path::PathBuf;

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 244, 2, 7);
/// Ethernet header, and where IPv4 has the TTL and the last byte of the source.
const TTL: usize = 14 + 8;
const SOURCE: usize = 14 + 15;

/// Frames as they pass a host: what it sends is fresh, what others send two routers have passed on.
fn at(host: Ipv4Addr, mut frames: Vec<Frame>) -> Vec<Frame> {
    for frame in &mut frames {
        let is_own = frame.data[SOURCE - 3..=SOURCE] == host.octets();
        frame.data[TTL] = if is_own { 64 } else { 62 };
    }
    frames
}

fn client(n: u8, port: u16) -> Talk {
    Talk::new((pod(n), port), (SERVER, 5432))
}

fn served() -> Vec<Frame> {
    [client(8, 40_001).whole(0), client(9, 40_002).whole(S / 2)].concat()
}

fn refused() -> Vec<Frame> {
    (1..4).flat_map(|n| client(1, 41_000 + n).refused(u64::from(n) * S)).collect()
}

fn files(captures: [Vec<Frame>; 2]) -> Outcome {
    let folder = tempfile::tempdir().expect("a folder");
    let paths = ["client.pcap", "server.pcap"].map(|name| folder.path().join(name));
    for (path, frames) in paths.iter().zip(captures) {
        std::fs::write(path, file(1, frames)).expect("the file can be written");
    }
    run(Box::new(Inputs::open(&paths)), Options::default())
}

#[test]
fn a_server_that_is_captured_is_not_asked_for() {
    let all = || [served(), refused()].concat();
    let outcome = analyzed(at(SERVER, all()));
    assert_eq!(outcome.finding("SVC003").capture_next, None);
    // From the client's side, or from in between, it is.
    let outcome = analyzed(at(pod(1), all()));
    assert!(outcome.finding("SVC003").capture_next.is_some());
    let mut elsewhere = all();
    for frame in &mut elsewhere {
        frame.data[TTL] = 63;
    }
    let next = analyzed(elsewhere).finding("SVC003").capture_next.clone();
    assert!(next.is_some_and(|next| next.contains("10.244.2.7")));
}

#[test]
fn what_never_comes_to_a_captured_server_is_refused_before_it() {
    let [there, all] = [at(SERVER, served()), [served(), refused()].concat()];
    let outcome = files([all.clone(), there]);
    let finding = outcome.finding("SVC003");
    assert!(finding.explanation.contains("server.pcap"), "{}", finding.explanation);
    assert_eq!(finding.capture_next, None);
    let outcome = files([all.clone(), at(SERVER, all)]);
    assert!(!outcome.finding("SVC003").explanation.contains("server.pcap"));
}

fn sample(case: &str, files: &[&str]) -> Outcome {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../samples/cases").join(case);
    let files: Vec<PathBuf> = files.iter().map(|file| folder.join(file)).collect();
    run(Box::new(Inputs::open(&files)), Options::default())
}

#[test]
fn captures_of_both_ends_of_a_tunnel_are_enough() {
    let next = |files: &[&str]| sample("ovl001-one-way", files).finding("OVL001").capture_next.clone();
    assert_eq!(next(&["nodeA-eth0.pcap", "nodeB-eth0.pcapng"]), None);
    assert!(next(&["nodeB-eth0.pcapng"]).is_some());
}

#[test]
fn the_next_host_is_on_the_side_where_segments_are_lost() {
    // Losses of both directions between two nodes, seen from each of them.
    for (file, host) in [("nodeA-eth0.pcap.gz", "10.244.2.10"), ("nodeB-eth0.pcap.gz", "10.244.1.11")] {
        let next = sample("net001-random-loss", &[file]).finding("NET001").capture_next.clone();
        assert!(next.as_ref().is_some_and(|next| next.contains(&format!("to {host},"))), "{file}: {next:?}");
    }
}

#[test]
fn a_host_that_hears_nothing_any_more_has_no_full_queue() {
    let dropped = || (0..4).flat_map(|n| client(1, 41_000 + n).syns((2 + u64::from(n)) * S, 3)).collect::<Vec<_>>();
    let codes = |more: Vec<Frame>| analyzed(at(SERVER, [served(), dropped(), more].concat())).codes();
    let deaf = codes(Vec::new());
    assert!(!deaf.contains(&"SVC006") && deaf.contains(&"SVC004"), "{deaf:?}");
    // It takes some in between at their second SYN, or has left some waiting before.
    let second = [client(8, 40_100).syns(4 * S, 1), client(8, 40_100).whole(5 * S)].concat();
    assert!(codes(second).contains(&"SVC006"));
    let mut talk = client(8, 40_100);
    let mut waiting = talk.handshake(S);
    waiting.push(talk.segment(S + 3 * MS, OUT, flags::PSH | flags::ACK, (1, 1), 200));
    waiting.push(talk.segment(S + 4 * MS, BACK, flags::ACK, (1, 201), 0));
    assert!(codes(waiting).contains(&"SVC006"));
}
