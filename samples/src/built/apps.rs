//! Requests that servers do not answer, and TLS handshakes: payload that is made up byte by byte.

use super::File;
use super::talk::{MS, S, START_NS};
use crate::file::Frame;
use crate::file::classic::Classic;
use crate::packet::{Ethernet, Tcp, build, flags, ip, options};
use std::net::Ipv4Addr;

use flags::{ACK, FIN, PSH, RST, SYN};

pub(super) fn files() -> Vec<File> {
    vec![
        client("svc008-killed", "killed.pcap", killed()),
        client("svc008-killed", "reset-after-the-answer.pcap", reset_after_answers()),
        client("killed-between-requests", "while-idle.pcap", away(10, 8, 0)),
        client("killed-between-requests", "restarted.pcap", away(10, 8, 3)),
        client("killed-between-requests", "restarting.pcap", away(10, 3, 0)),
        client("app004-tls-handshakes", "alert.pcap", alerts()),
        client("app004-tls-handshakes", "reset.pcap", resets()),
        client("app004-tls-handshakes", "encrypted-alert.pcap", secret_alerts()),
        client("app004-tls-handshakes", "fine.pcap", fine()),
        client("app001-waiting", "long-poll.pcap", long_poll()),
    ]
}

fn client(case: &'static str, name: &'static str, mut frames: Vec<Frame>) -> File {
    frames.sort_by_key(|frame| frame.ts_ns);
    File::new(case, name, Classic::new(1).file(&frames))
}

const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 2);
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 1, 1, 5);
const REQUEST: &[u8] = b"GET /orders HTTP/1.1\r\nHost: shop\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A connection that goes on where it is, as the client sees it: a millisecond there and back.
struct Talk {
    port: u16,
    server_port: u16,
    next: [u32; 2],
    frames: Vec<Frame>,
}

const OUT: usize = 0;
const BACK: usize = 1;

impl Talk {
    /// A handshake.
    fn new(at: u64, port: u16, server_port: u16) -> Self {
        let mut talk = Self::attempt(at, port, server_port);
        talk.say(at + MS, BACK, SYN | ACK, b"");
        talk.say(at + MS + 1000, OUT, ACK, b"");
        talk
    }

    /// A SYN.
    fn attempt(at: u64, port: u16, server_port: u16) -> Self {
        let isn = u32::from(port) * 7919;
        let mut talk = Self { port, server_port, next: [isn, isn ^ 0x5a5a_0000], frames: Vec::new() };
        talk.say(at, OUT, SYN, b"");
        talk
    }

    fn say(&mut self, at: u64, from: usize, set: u8, payload: &[u8]) {
        let ports = [self.port, self.server_port];
        let addresses = [CLIENT, SERVER];
        let ticks = (at / MS) as u32 + 1;
        let header = Tcp {
            src: ports[from],
            dst: ports[1 - from],
            seq: self.next[from],
            ack: if set & ACK == 0 { 0 } else { self.next[1 - from] },
            flags: set,
            window: if set & SYN == 0 { 502 } else { 64_240 },
            options: if set & SYN == 0 { options::timestamps(ticks, 1) } else { options::syn(1460, ticks, 0) },
        };
        let stations = Ethernet::new(2 + from as u32, 3 - from as u32);
        let layers = [stations.into(), ip(addresses[from].into(), addresses[1 - from].into()), header.into()];
        self.frames.push(Frame::new(START_NS + at, build(&layers, payload)));
        let counted = u32::from(set & (SYN | FIN) != 0);
        self.next[from] = self.next[from].wrapping_add(payload.len() as u32 + counted);
    }

    /// A question, acknowledged at once.
    fn ask(&mut self, at: u64, question: &[u8]) {
        self.say(at, OUT, ACK | PSH, question);
        self.say(at + MS, BACK, ACK, b"");
    }

    fn answer(&mut self, at: u64, answer: &[u8]) {
        self.say(at, BACK, ACK | PSH, answer);
        self.say(at + 1000, OUT, ACK, b"");
    }

    fn close(&mut self, at: u64) {
        self.say(at, OUT, ACK | FIN, b"");
        self.say(at + MS, BACK, ACK | FIN, b"");
        self.say(at + MS + 1000, OUT, ACK, b"");
    }
}

/// A connection with one exchange.
fn exchange(at: u64, port: u16) -> Talk {
    let mut talk = Talk::new(at, port, 8080);
    talk.ask(at + 2 * MS, REQUEST);
    talk.answer(at + 8 * MS, ANSWER);
    talk
}

/// Two requests wait when the server is killed: one connection is reset, one closed. Then nobody listens.
fn killed() -> Vec<Frame> {
    let mut talks: Vec<Talk> = (0..4).map(|n| exchange(u64::from(n) * 100 * MS, 40_000 + n)).collect();
    talks[0].close(50 * MS);
    talks[1].close(150 * MS);
    talks[2].ask(S, REQUEST);
    talks[3].ask(S + 5 * MS, REQUEST);
    talks[2].say(S + 400 * MS, BACK, RST | ACK, b"");
    talks[3].say(S + 400 * MS + 9000, BACK, FIN | ACK, b"");
    talks[3].say(S + 401 * MS, OUT, FIN | ACK, b"");
    talks[3].say(S + 402 * MS, BACK, RST, b"");
    for n in 0..5 {
        let at = S + 600 * MS + u64::from(n) * 500 * MS;
        let mut refused = Talk::attempt(at, 40_010 + n, 8080);
        refused.say(at + MS, BACK, RST | ACK, b"");
        talks.push(refused);
    }
    talks.into_iter().flat_map(|talk| talk.frames).collect()
}

/// A server that accepts `before` connections, refuses `refused`, one each half second, and accepts `after` again.
fn away(before: u16, refused: u16, after: u16) -> Vec<Frame> {
    let mut talks = Vec::new();
    for n in 0..before + refused + after {
        let at = u64::from(n) * 500 * MS;
        let talk = if (before..before + refused).contains(&n) {
            let mut talk = Talk::attempt(at, 40_000 + n, 8080);
            talk.say(at + MS, BACK, RST | ACK, b"");
            talk
        } else {
            let mut talk = exchange(at, 40_000 + n);
            talk.close(at + 50 * MS);
            talk
        };
        talks.push(talk);
    }
    talks.into_iter().flat_map(|talk| talk.frames).collect()
}

/// A server that resets after each exchange, as one does that does not wait for the client's FIN.
fn reset_after_answers() -> Vec<Frame> {
    let mut talks: Vec<Talk> = (0..6).map(|n| exchange(u64::from(n) * 700 * MS, 40_000 + n)).collect();
    for (talk, n) in talks.iter_mut().zip(0..) {
        talk.say(n * 700 * MS + 20 * MS, BACK, RST | ACK, b"");
    }
    talks.into_iter().flat_map(|talk| talk.frames).collect()
}

fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind, 3, 3][..], &(body.len() as u16).to_be_bytes(), body].concat()
}

/// A hello with its extensions.
fn hello(kind: u8, parts: &[&[u8]], extensions: &[u8]) -> Vec<u8> {
    let body = [&parts.concat()[..], &(extensions.len() as u16).to_be_bytes(), extensions].concat();
    let len = (body.len() as u32).to_be_bytes();
    record(22, &[&[kind][..], &len[1..], &body].concat())
}

fn client_hello(host: &[u8]) -> Vec<u8> {
    let len = host.len() as u16;
    let name = [&(len + 5).to_be_bytes()[..], &(len + 3).to_be_bytes(), &[0], &len.to_be_bytes(), host].concat();
    let extensions = [&[0, 0][..], &name, &[0, 43, 0, 5, 4, 3, 4, 3, 3]].concat();
    hello(1, &[&[3, 3], &[7; 32], &[0], &[0, 2, 0x13, 1], &[1, 0]], &extensions)
}

/// A `ServerHello` of TLS 1.3 and what comes encrypted with it.
fn server_hello() -> Vec<u8> {
    let hello = hello(2, &[&[3, 3], &[9; 32], &[0], &[0x13, 1], &[0]], &[0, 43, 0, 2, 3, 4]);
    [hello, record(20, &[1]), record(23, &[0x55; 900])].concat()
}

/// A connection that begins with a `ClientHello`.
fn greeted(n: u16, host: &[u8]) -> (Talk, u64) {
    let at = u64::from(n) * 500 * MS;
    let mut talk = Talk::new(at, 41_000 + n, 443);
    talk.ask(at + 2 * MS, &client_hello(host));
    (talk, at + 4 * MS)
}

/// The server knows no cipher that it likes.
fn alerts() -> Vec<Frame> {
    let failed = |n: u16| {
        let (mut talk, at) = greeted(n, b"shop.example");
        talk.say(at, BACK, ACK | PSH, &record(21, &[2, 40]));
        talk.say(at + 1000, BACK, ACK | FIN, b"");
        talk.say(at + MS, OUT, ACK | FIN, b"");
        talk.say(at + 2 * MS, BACK, ACK, b"");
        talk.frames
    };
    (0..4).flat_map(failed).collect()
}

/// One name is reset at once, another works.
fn resets() -> Vec<Frame> {
    let failed = |n: u16| {
        let (mut talk, at) = greeted(n * 2, b"blocked.example");
        talk.say(at, BACK, RST | ACK, b"");
        talk.frames
    };
    (0..3).flat_map(failed).chain((0..3).flat_map(|n| worked(n * 2 + 1))).collect()
}

/// The client does not trust the server's certificate, and says so encrypted.
fn secret_alerts() -> Vec<Frame> {
    let failed = |n: u16| {
        let (mut talk, at) = greeted(n, b"shop.example");
        talk.answer(at, &server_hello());
        talk.say(at + 3 * MS, OUT, ACK | PSH, &[record(20, &[1]), record(23, &[0x66; 19])].concat());
        talk.close(at + 3 * MS + 2000);
        talk.frames
    };
    (0..3).flat_map(failed).collect()
}

/// A handshake, a request, an answer and a goodbye.
fn worked(n: u16) -> Vec<Frame> {
    let (mut talk, at) = greeted(n, b"shop.example");
    talk.answer(at, &server_hello());
    talk.ask(at + 2 * MS, &[record(20, &[1]), record(23, &[0x66; 53]), record(23, &[0x67; 200])].concat());
    talk.answer(at + 9 * MS, &record(23, &[0x68; 1200]));
    talk.say(at + 20 * MS, OUT, ACK | PSH, &record(23, &[0x69; 19]));
    talk.close(at + 20 * MS + 2000);
    talk.frames
}

fn fine() -> Vec<Frame> {
    (0..6).flat_map(worked).collect()
}

/// A client that asks to be told of changes, and is, after a while each time; and one that waits on a queue.
fn long_poll() -> Vec<Frame> {
    let mut watch = Talk::new(0, 42_000, 8500);
    let mut queue = Talk::new(0, 42_001, 6379);
    for n in 0..4 {
        let at = 10 * MS + n * 6 * S;
        watch.ask(at, b"GET /v1/kv/config?index=7&wait=5s HTTP/1.1\r\nHost: consul\r\n\r\n");
        watch.answer(at + 5 * S, ANSWER);
        queue.ask(at + MS, b"*3\r\n$5\r\nBLPOP\r\n$4\r\njobs\r\n$1\r\n5\r\n");
        queue.answer(at + 5 * S + MS, b"*-1\r\n");
    }
    [watch.frames, queue.frames].concat()
}
