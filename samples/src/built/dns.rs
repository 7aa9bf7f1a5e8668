//! Captures of DNS that no lab case has: servers that are slow, down, limited or pinned, upstreams that are dead, TCP that
//! is blocked; and what looks like them and is healthy.

use super::File;
use super::talk::{MS, S, START_NS};
use crate::file::Frame;
use crate::file::classic::Classic;
use crate::packet::{Ethernet, Icmp, Ipv4, Layer, Tcp, Udp, build, flags};
use std::net::Ipv4Addr;

use flags::{ACK, FIN, PSH, SYN};

pub(super) fn files() -> Vec<File> {
    vec![
        client("dns008-slow-server", "slow.pcap", slow()),
        client("dns008-slow-server", "far-away.pcap", far_away()),
        client("dns008-slow-server", "late-for-the-resolver.pcap", later_than_resends()),
        client("dns010-tcp-blocked", "blocked.pcap", truncated(false)),
        client("dns010-tcp-blocked", "works.pcap", truncated(true)),
        client("dns012-dead-upstream", "dead.pcap", probes(30)),
        client("dns012-dead-upstream", "back.pcap", probes(20)),
        client("dns012-dead-upstream", "alive.pcap", probes(0)),
        client("dns013-rate-limit", "limited.pcap", limited()),
        client("dns013-rate-limit", "random-loss.pcap", random_loss()),
        client("dns016-pinned-port", "pinned.pcap", pinned()),
        client("dns017-server-down", "down.pcap", down()),
        client("dns017-server-down", "late-answers.pcap", late_answers()),
    ]
}

const POD: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 2);
const OTHER_POD: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 3);
const RESOLVER: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);
const UPSTREAM: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 53);
const WEB: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 9);
const ANSWER: [u8; 4] = [203, 0, 113, 7];

const A: u16 = 1;
const NS: u16 = 2;
const TXT: u16 = 16;
const AAAA: u16 = 28;
/// Header of a question with recursion desired, of an answer, of a truncated one.
const QUESTION: u16 = 0x0100;
const PLAIN: u16 = 0x8180;
const TRUNCATED: u16 = 0x8380;

fn client(case: &'static str, name: &'static str, mut frames: Vec<Frame>) -> File {
    frames.sort_by_key(|frame| frame.ts_ns);
    File::new(case, name, Classic::new(1).file(&frames))
}

/// A question that repeats nothing: port and identification come of its number.
#[derive(Clone, Copy)]
struct Ask {
    client: Ipv4Addr,
    server: Ipv4Addr,
    port: u16,
    id: u16,
    name: &'static str,
    qtype: u16,
}

impl Ask {
    fn new(number: u16, name: &'static str) -> Self {
        let port = 20_000 + number % 40_000;
        Self { client: POD, server: RESOLVER, port, id: number.wrapping_mul(40_503) ^ 0x5aa5, name, qtype: A }
    }

    fn message(&self, flags: u16) -> Vec<u8> {
        let answers = u16::from(flags == PLAIN && self.qtype == A);
        let mut bytes: Vec<u8> =
            [self.id, flags, 1, answers, 0, 0].iter().flat_map(|word| word.to_be_bytes()).collect();
        for label in self.name.split('.').filter(|label| !label.is_empty()) {
            bytes.push(label.len() as u8);
            bytes.extend(label.bytes());
        }
        bytes.push(0);
        bytes.extend([self.qtype, 1].iter().flat_map(|word| word.to_be_bytes()));
        if answers > 0 {
            bytes.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4]);
            bytes.extend(ANSWER);
        }
        bytes
    }

    fn question_packet(&self) -> (Vec<Layer>, Vec<u8>) {
        let header = Ipv4 { id: self.id | 1, ..Ipv4::new(self.client, self.server) };
        (vec![header.into(), Udp::new(self.port, 53).into()], self.message(QUESTION))
    }

    fn question(&self, at: u64) -> Frame {
        let (layers, payload) = self.question_packet();
        framed(at, layers, &payload)
    }

    fn answered(&self, at: u64, flags: u16) -> Frame {
        let header = Ipv4 { ttl: 62, ..Ipv4::new(self.server, self.client) };
        framed(at, vec![header.into(), Udp::new(53, self.port).into()], &self.message(flags))
    }

    /// Question and answer.
    fn both(&self, at: u64, rtt: u64) -> [Frame; 2] {
        [self.question(at), self.answered(at + rtt, PLAIN)]
    }
}

fn framed(at: u64, layers: Vec<Layer>, payload: &[u8]) -> Frame {
    let mut all: Vec<Layer> = vec![Ethernet::new(1, 2).into()];
    all.extend(layers);
    Frame::new(START_NS + at, build(&all, payload))
}

/// Both families of a name from one port, as glibc asks.
fn lookup(number: u16, name: &'static str, at: u64, rtt: u64) -> Vec<Frame> {
    let a = Ask::new(number, name);
    let aaaa = Ask { id: a.id ^ 0x0f0f, qtype: AAAA, ..a };
    a.both(at, rtt).into_iter().chain(aaaa.both(at + MS / 20, rtt)).collect()
}

/// A connection to another service: handshake, request, response, end.
fn web(number: u16, at: u64, rtt: u64) -> Vec<Frame> {
    let (port, isn) = (20_000 + number % 40_000, u32::from(number) * 7919);
    let segment = |at: u64, out: bool, set: u8, (seq, ack): (u32, u32), payload: &[u8]| {
        let (src, dst, from, to) = if out { (POD, WEB, port, 80) } else { (WEB, POD, 80, port) };
        let (own, peer) = if out { (isn, isn / 2) } else { (isn / 2, isn) };
        let ack = if set & ACK == 0 { 0 } else { peer.wrapping_add(ack) };
        let tcp =
            Tcp { src: from, dst: to, seq: own.wrapping_add(seq), ack, flags: set, window: 64_240, options: vec![] };
        let header = Ipv4 { id: number, ttl: if out { 64 } else { 62 }, ..Ipv4::new(src, dst) };
        framed(at, vec![header.into(), tcp.into()], payload)
    };
    vec![
        segment(at, true, SYN, (0, 0), &[]),
        segment(at + rtt, false, SYN | ACK, (0, 1), &[]),
        segment(at + rtt + 1000, true, ACK, (1, 1), &[]),
        segment(at + rtt + 2000, true, PSH | ACK, (1, 1), b"GET / HTTP/1.1\r\n\r\n"),
        segment(at + 2 * rtt + 2000, false, PSH | ACK, (1, 19), b"HTTP/1.1 204 OK\r\n\r\n"),
        segment(at + 2 * rtt + 3000, true, FIN | ACK, (19, 20), &[]),
        segment(at + 3 * rtt + 3000, false, FIN | ACK, (20, 20), &[]),
        segment(at + 3 * rtt + 4000, true, ACK, (20, 21), &[]),
    ]
}

/// Lookups and connections in turn, each as many times and as far apart.
fn turns(count: u16, apart: u64, mut each: impl FnMut(u16, u64) -> Vec<Frame>) -> Vec<Frame> {
    (0..count).flat_map(|n| each(n, u64::from(n) * apart)).collect()
}

/// Every fourth answer takes 0.8 s.
fn slow() -> Vec<Frame> {
    turns(60, S / 5, |n, at| {
        let rtt = if n.is_multiple_of(4) { 800 * MS } else { MS };
        [lookup(n, "api.example.com", at, rtt), web(n, at + S / 20, MS)].concat()
    })
}

/// Everything is 300 ms away, other services as well.
fn far_away() -> Vec<Frame> {
    turns(20, 2 * S, |n, at| [lookup(n, "api.example.com", at, 300 * MS), web(n, at + S, 300 * MS)].concat())
}

/// Each answer comes 6 s after its question: the resolver has asked again by then, and both are answered.
fn later_than_resends() -> Vec<Frame> {
    turns(6, 15 * S, |n, at| {
        let ask = Ask::new(n, "slow.example.com");
        [ask.both(at, 6 * S), ask.both(at + 5 * S, 6 * S)].concat().into_iter().chain(web(n, at + S, MS)).collect()
    })
}

/// Truncated answers; TCP to the server is dropped, or works.
fn truncated(works: bool) -> Vec<Frame> {
    turns(4, 8 * S, |n, at| {
        let ask = Ask { qtype: TXT, ..Ask::new(n, "big.example.com") };
        let mut frames = vec![ask.question(at), ask.answered(at + MS, TRUNCATED)];
        let (port, isn) = (50_000 + n, 1_000_000 + u32::from(n) * 104_729);
        let segment = |at: u64, out: bool, set: u8, (seq, ack): (u32, u32), payload: &[u8]| {
            let (src, dst, from, to) = if out { (POD, RESOLVER, port, 53) } else { (RESOLVER, POD, 53, port) };
            let tcp = Tcp { src: from, dst: to, seq: isn + seq, ack, flags: set, window: 64_240, options: vec![] };
            framed(at, vec![Ipv4 { id: n + 1, ..Ipv4::new(src, dst) }.into(), tcp.into()], payload)
        };
        if works {
            let (asked, told) = (prefixed(&ask.message(QUESTION)), prefixed(&ask.message(PLAIN)));
            let (after, end) = (1 + asked.len() as u32, 1 + told.len() as u32);
            frames.extend([
                segment(at + 2 * MS, true, SYN, (0, 0), &[]),
                segment(at + 3 * MS, false, SYN | ACK, (0, isn + 1), &[]),
                segment(at + 4 * MS, true, ACK, (1, isn + 1), &[]),
                // The length in a segment of its own, as some clients send it.
                segment(at + 5 * MS, true, ACK, (1, isn + 1), &asked[..2]),
                segment(at + 6 * MS, true, PSH | ACK, (3, isn + 1), &asked[2..]),
                segment(at + 7 * MS, false, PSH | ACK, (1, isn + after), &told),
                segment(at + 8 * MS, true, FIN | ACK, (after, isn + end), &[]),
                segment(at + 9 * MS, false, FIN | ACK, (end, isn + after + 1), &[]),
                segment(at + 10 * MS, true, ACK, (after + 1, isn + end + 1), &[]),
            ]);
        } else {
            frames.extend([0, 1, 2, 3].map(|s| segment(at + 2 * MS + s * S, true, SYN, (0, 0), &[])));
        }
        frames.into_iter().chain(lookup(n + 100, "api.example.com", at + S / 5, MS)).chain(web(n, at + S, MS)).collect()
    })
}

/// A message behind its length.
fn prefixed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes(), message].concat()
}

/// A DNS server asks its upstream for the root's name servers twice a second; from a certain one on it answers.
fn probes(back: u16) -> Vec<Frame> {
    turns(30, S / 2, |n, at| {
        let probe = Ask { server: UPSTREAM, qtype: NS, ..Ask::new(n, "") };
        let answered = n >= back;
        let mut frames = vec![probe.question(at)];
        frames.extend(answered.then(|| probe.answered(at + 5 * MS, 0x8180)));
        frames.into_iter().chain(lookup(n + 100, "api.example.com", at + S / 10, MS)).collect()
    })
}

/// Questions of one second, of which so many are answered.
fn second(number: u16, asked: u16, answered: u16) -> Vec<Frame> {
    let one = |n: u16| {
        let ask = Ask { server: UPSTREAM, ..Ask::new(number * 600 + n, "h.example.com") };
        let at = u64::from(number) * S + u64::from(n) * (S / u64::from(asked));
        let due = u32::from(n) * u32::from(answered) / u32::from(asked);
        let next = (u32::from(n) + 1) * u32::from(answered) / u32::from(asked);
        let mut frames = vec![ask.question(at)];
        frames.extend((next > due).then(|| ask.answered(at + MS, PLAIN)));
        frames
    };
    (0..asked).flat_map(one).collect()
}

/// 250 answers a second and no more.
fn limited() -> Vec<Frame> {
    let asked = [20, 20, 240, 225, 30, 235, 235, 15];
    let seconds = asked.iter().zip(0..).flat_map(|(asked, n)| second(n, *asked, (*asked).min(205)));
    seconds.chain(turns(8, S, |n, at| web(n, 8 * S + at, MS))).collect()
}

/// A tenth of everything is lost, whatever the rate.
fn random_loss() -> Vec<Frame> {
    let asked = [20, 20, 240, 225, 30, 235, 235, 15];
    let seconds = asked.iter().zip(0..).flat_map(|(asked, n)| second(n, *asked, asked - asked / 10));
    seconds.chain(turns(8, S, |n, at| web(n, 8 * S + at, MS))).collect()
}

/// A client asks everything from one port; from the fourth question on nobody answers it. Others are answered.
fn pinned() -> Vec<Frame> {
    let names = ["a.example.com", "b.example.com", "c.example.com", "d.example.com"];
    turns(12, 2 * S, |n, at| {
        let ask = Ask { port: 40_000, ..Ask::new(n, names[usize::from(n % 4)]) };
        let mut frames = vec![ask.question(at)];
        frames.extend((n < 3).then(|| ask.answered(at + MS, PLAIN)));
        let other = Ask { client: OTHER_POD, ..Ask::new(n + 100, "api.example.com") };
        frames.extend(other.both(at + S / 3, MS));
        frames.into_iter().chain(web(n, at + S / 2, MS)).collect()
    })
}

/// Every third lookup meets a backend that is gone: its host says that nobody listens.
fn down() -> Vec<Frame> {
    turns(21, S, |n, at| {
        if !n.is_multiple_of(3) {
            return [lookup(n, "api.example.com", at, MS), web(n, at + S / 2, MS)].concat();
        }
        let ask = Ask::new(n, "api.example.com");
        let (layers, payload) = ask.question_packet();
        let quoted = build(&layers, &payload);
        let header = Ipv4 { ttl: 62, ..Ipv4::new(RESOLVER, POD) };
        vec![ask.question(at), framed(at + MS, vec![header.into(), Icmp::unreachable(3).into()], &quoted)]
    })
}

/// Answers come after the client has closed its port: it is the client that says so, and nothing is down.
fn late_answers() -> Vec<Frame> {
    turns(6, 4 * S, |n, at| {
        let ask = Ask::new(n, "api.example.com");
        let header = Ipv4 { ttl: 62, ..Ipv4::new(RESOLVER, POD) };
        let answer: Vec<Layer> = vec![header.into(), Udp::new(53, ask.port).into()];
        let quoted = build(&answer, &ask.message(PLAIN));
        let refusal = framed(at + 4 * MS, vec![Ipv4::new(POD, RESOLVER).into(), Icmp::unreachable(3).into()], &quoted);
        ask.both(at, MS)
            .into_iter()
            .chain([ask.answered(at + 3 * MS, PLAIN), refusal])
            .chain(web(n, at + S, MS))
            .collect()
    })
}
