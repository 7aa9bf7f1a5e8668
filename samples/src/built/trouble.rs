//! TCP connections with trouble that no lab case has alone.

use super::File;
use super::talk::{CLIENT, From, MS, REQUEST, RESPONSE, S, SERVER, START_NS, Segment, frames, tcp};
use crate::file::Frame;
use crate::file::classic::Classic;
use crate::packet::{Ethernet, Ipv4, Tcp, build, flags};
use std::net::Ipv4Addr;

use flags::{ACK, PSH, RST, SYN};

pub(super) fn files() -> Vec<File> {
    let file = |frames: &[Frame]| Classic::new(1).file(frames);
    vec![
        File::new("net007-duplication", "twice.pcap", file(&twice())),
        File::new("nat007-idle-reset", "forgotten.pcap", file(&forgotten())),
        File::new("app005-dead-peer", "silent.pcap", file(&silent())),
        File::new("app005-dead-peer", "answers-late.pcap", file(&answers_late())),
    ]
}

/// Handshake, a request and three answers to it.
fn talk() -> Vec<Segment> {
    let (request, response) = (REQUEST.len() as u32, RESPONSE.len() as u32);
    let answer = |n: u32| (From::Server, ACK | PSH, 1 + n * response, 1 + request, RESPONSE);
    let taken = |n: u32| (From::Client, ACK, 1 + request, 1 + n * response, &b""[..]);
    vec![
        (From::Client, SYN, 0, 0, b""),
        (From::Server, SYN | ACK, 0, 1, b""),
        (From::Client, ACK, 1, 1, b""),
        (From::Client, ACK | PSH, 1, 1, REQUEST),
        answer(0),
        taken(1),
        answer(1),
        taken(2),
        answer(2),
        taken(3),
    ]
}

fn seen(segments: &[Segment]) -> Vec<Frame> {
    frames(segments, (CLIENT, SERVER), |from| {
        let client = from == From::Client;
        vec![if client { Ethernet::new(1, 2) } else { Ethernet::new(2, 1) }.into()]
    })
}

/// Every packet comes twice within 20 microseconds.
fn twice() -> Vec<Frame> {
    let copy = |frame: Frame| [frame.clone(), Frame { ts_ns: frame.ts_ns + 20_000, ..frame }];
    seen(&talk()).into_iter().flat_map(copy).collect()
}

/// The second request goes unanswered; Linux sends it again after 0.2, 0.6, 1.4 s and so on.
fn silent() -> Vec<Frame> {
    let mut frames = asked_again(7);
    frames.sort_by_key(|frame| frame.ts_ns);
    frames
}

/// The same, but the fourth resend is acknowledged.
fn answers_late() -> Vec<Frame> {
    let (request, response) = (REQUEST.len() as u32, 3 * RESPONSE.len() as u32);
    let mut segments = talk();
    segments.push((From::Server, ACK, 1 + response, 1 + 2 * request, b""));
    let mut frames = asked_again(4);
    let last = seen(&segments).pop();
    frames.extend(last.map(|frame| Frame { ts_ns: START_NS + 20 * S, ..frame }));
    frames
}

fn asked_again(times: u32) -> Vec<Frame> {
    let (request, response) = (REQUEST.len() as u32, 3 * RESPONSE.len() as u32);
    let mut segments = talk();
    let before = segments.len();
    let again: Segment = (From::Client, ACK | PSH, 1 + request, 1 + response, REQUEST);
    segments.extend((0..=times).map(|_| again));
    let mut frames = seen(&segments);
    for (n, frame) in (0_u32..).zip(&mut frames[before..]) {
        let waited = if n == 0 { 0 } else { 200 * MS * ((1 << n) - 1) };
        frame.ts_ns = START_NS + S + waited;
    }
    frames
}

const POD: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 2);
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);

/// Two connections to the outside are silent for 350 s. The gateway between resets them at the next request; it is
/// nearer than the server.
fn forgotten() -> Vec<Frame> {
    let (request, response) = (REQUEST.len() as u32, 3 * RESPONSE.len() as u32);
    let mut segments = talk();
    segments.push((From::Client, ACK | PSH, 1 + request, 1 + response, REQUEST));
    segments.push((From::Server, RST, 1 + response, 0, b""));
    let mut all: Vec<Frame> = Vec::new();
    for (port, start) in [(40_001, START_NS), (40_002, START_NS + S)] {
        for (number, segment) in (0_u32..).zip(&segments) {
            let idle = if number >= 10 { 350 * S } else { 0 };
            let at = start + idle + u64::from(number) * 5 * MS;
            all.push(Frame::new(at, outside(*segment, number, port)));
        }
    }
    all.sort_by_key(|frame| frame.ts_ns);
    all
}

fn outside(segment: Segment, number: u32, port: u16) -> Vec<u8> {
    let client = segment.0 == From::Client;
    let header = tcp(segment, number);
    // Each connection has numbers of its own.
    let own = u32::from(port) * 1000;
    let ack = if header.ack == 0 { 0 } else { header.ack + own };
    let header = Tcp { seq: header.seq + own, ack, ..header };
    let header = if client { Tcp { src: port, dst: 443, ..header } } else { Tcp { src: 443, dst: port, ..header } };
    let ttl = match (client, segment.1 & RST != 0) {
        (true, _) => 64,
        (false, true) => 253,
        (false, false) => 48,
    };
    let (src, dst) = if client { (POD, OUTSIDE) } else { (OUTSIDE, POD) };
    let layers = [Ethernet::new(1, 2).into(), Ipv4 { ttl, ..Ipv4::new(src, dst) }.into(), header.into()];
    build(&layers, segment.4)
}
