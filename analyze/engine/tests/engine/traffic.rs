//! Connections and datagrams as frames.

use kcap_samples::Rng;
use kcap_samples::file::Frame;
use kcap_samples::packet::dns::{self, Answer};
use kcap_samples::packet::{Arp, Ethernet, Icmp, Ipv4, Layer, Tcp, Udp, Vxlan, build, flags, fragments, mac, options};
use std::net::Ipv4Addr;

/// When all begins, nanoseconds since the epoch.
pub(crate) const START_NS: u64 = 1_700_000_000_000_000_000;
pub(crate) const MS: u64 = 1_000_000;
pub(crate) const S: u64 = 1_000_000_000;

pub(crate) fn ip(a: u8, b: u8, c: u8, d: u8) -> Ipv4Addr {
    Ipv4Addr::new(a, b, c, d)
}

/// A pod.
pub(crate) fn pod(n: u8) -> Ipv4Addr {
    ip(10, 244, 1, n)
}

/// Two ends of a TCP connection, and the tunnel it runs in.
#[derive(Clone, Copy)]
pub(crate) struct Talk {
    pub(crate) client: (Ipv4Addr, u16),
    pub(crate) server: (Ipv4Addr, u16),
    pub(crate) isn: u32,
    /// Nodes of client and server.
    pub(crate) nodes: Option<(Ipv4Addr, Ipv4Addr)>,
    /// Identification of the next packet; also tells how much was sent.
    pub(crate) id: u16,
}

pub(crate) const OUT: bool = true;
pub(crate) const BACK: bool = false;

impl Talk {
    pub(crate) fn new(client: (Ipv4Addr, u16), server: (Ipv4Addr, u16)) -> Self {
        let isn = u32::from(client.1) * 7919 + u32::from(client.0.octets()[3]);
        Self { client, server, isn, nodes: None, id: 1 }
    }

    pub(crate) fn between(self, a: Ipv4Addr, b: Ipv4Addr) -> Self {
        Self { nodes: Some((a, b)), ..self }
    }

    /// A segment; sequence numbers relative to the side's initial one.
    pub(crate) fn segment(&mut self, at: u64, out: bool, set: u8, (seq, ack): (u32, u32), len: usize) -> Frame {
        let (from, to) = if out { (self.client, self.server) } else { (self.server, self.client) };
        let (own, peer) = if out { (self.isn, self.isn / 2) } else { (self.isn / 2, self.isn) };
        let tcp = Tcp {
            src: from.1,
            dst: to.1,
            seq: own.wrapping_add(seq),
            ack: if set & flags::ACK == 0 { 0 } else { peer.wrapping_add(ack) },
            flags: set,
            window: if set & flags::RST == 0 { 64_240 } else { 0 },
            options: if set & flags::SYN == 0 { Vec::new() } else { options::syn(1410, 1, 0) },
        };
        self.id += 1;
        let header = Ipv4 { id: self.id, ..Ipv4::new(from.0, to.0) };
        let mut layers: Vec<Layer> = vec![Ethernet::new(1, 2).into()];
        if let Some((a, b)) = self.nodes {
            let (a, b) = if out { (a, b) } else { (b, a) };
            layers.extend([Ipv4::new(a, b).into(), Udp::new(50_000, 8472).into(), Vxlan { vni: 1 }.into()]);
            layers.push(Ethernet::new(3, 4).into());
        }
        layers.extend([header.into(), tcp.into()]);
        Frame::new(START_NS + at, build(&layers, &vec![0x55; len]))
    }

    pub(crate) fn syn(&mut self, at: u64) -> Frame {
        self.segment(at, OUT, flags::SYN, (0, 0), 0)
    }

    /// SYNs on the schedule of Linux before 6.5.
    pub(crate) fn syns(&mut self, at: u64, count: usize) -> Vec<Frame> {
        [0, 1, 3, 7, 15].into_iter().take(count).map(|second| self.syn(at + second * S)).collect()
    }

    pub(crate) fn handshake(&mut self, at: u64) -> Vec<Frame> {
        vec![
            self.syn(at),
            self.segment(at + MS, BACK, flags::SYN | flags::ACK, (0, 1), 0),
            self.segment(at + 2 * MS, OUT, flags::ACK, (1, 1), 0),
        ]
    }

    /// A connection with a question, an answer and an end.
    pub(crate) fn whole(&mut self, at: u64) -> Vec<Frame> {
        let mut frames = self.handshake(at);
        let (psh, fin) = (flags::PSH | flags::ACK, flags::FIN | flags::ACK);
        frames.extend([
            self.segment(at + 3 * MS, OUT, psh, (1, 1), 200),
            self.segment(at + 5 * MS, BACK, psh, (1, 201), 1000),
            self.segment(at + 6 * MS, OUT, fin, (201, 1001), 0),
            self.segment(at + 7 * MS, BACK, fin, (1001, 202), 0),
            self.segment(at + 8 * MS, OUT, flags::ACK, (202, 1002), 0),
        ]);
        frames
    }

    pub(crate) fn refused(&mut self, at: u64) -> Vec<Frame> {
        vec![self.syn(at), self.segment(at + MS, BACK, flags::RST | flags::ACK, (0, 1), 0)]
    }
}

/// An ICMP error from `by` about an Ethernet frame with IPv4 in it.
pub(crate) fn error(at: u64, by: Ipv4Addr, code: u8, about: &Frame) -> Frame {
    let quoted = &about.data[14..];
    let to = Ipv4Addr::new(quoted[12], quoted[13], quoted[14], quoted[15]);
    let id = (at / MS) as u16 | 1;
    let layers = [Ethernet::new(9, 1).into(), Ipv4 { id, ..Ipv4::new(by, to) }.into(), Icmp::unreachable(code).into()];
    Frame::new(START_NS + at, build(&layers, &quoted[..quoted.len().min(60)]))
}

pub(crate) fn arp(at: u64, sender: Ipv4Addr, target: Ipv4Addr) -> Frame {
    let layers = [Ethernet::new(1, 2).into(), Arp::request((mac(1), sender), target).into()];
    Frame::new(START_NS + at, build(&layers, b""))
}

pub(crate) fn datagram(at: u64, from: (Ipv4Addr, u16), to: (Ipv4Addr, u16), payload: &[u8]) -> Frame {
    let layers = [Ethernet::new(1, 2).into(), Ipv4::new(from.0, to.0).into(), Udp::new(from.1, to.1).into()];
    Frame::new(START_NS + at, build(&layers, payload))
}

/// A question for an address, and its answer.
pub(crate) fn lookup(id: u16, name: &str) -> (Vec<u8>, Vec<u8>) {
    let address = Answer::Address(ip(192, 0, 2, 1).into(), 60);
    (dns::question(id, name, dns::A), dns::answer(id, name, dns::A, address))
}

pub(crate) fn tunnelled(at: u64, nodes: (Ipv4Addr, Ipv4Addr), from: (Ipv4Addr, u16), to: (Ipv4Addr, u16)) -> Frame {
    let layers = [
        Ethernet::new(1, 2).into(),
        Ipv4::new(nodes.0, nodes.1).into(),
        Udp::new(50_000, 8472).into(),
        Vxlan { vni: 1 }.into(),
        Ethernet::new(3, 4).into(),
        Ipv4 { id: (at / MS) as u16 | 1, ..Ipv4::new(from.0, to.0) }.into(),
        Udp::new(from.1, to.1).into(),
    ];
    Frame::new(START_NS + at, build(&layers, &at.to_be_bytes()))
}

/// Some of everything, by a fixed seed: `count` conversations that run side by side.
pub(crate) fn mixed(seed: u64, count: u64) -> Vec<Frame> {
    let mut rng = Rng::new(seed);
    let mut frames = Vec::new();
    for n in 0..count {
        let at = rng.below(count * 20 * MS);
        frames.extend(conversation(n, at, &mut rng));
    }
    frames.sort_by_key(|frame| frame.ts_ns);
    frames
}

fn conversation(n: u64, at: u64, rng: &mut Rng) -> Vec<Frame> {
    let client = (ip(10, 244, rng.below(3) as u8, rng.below(200) as u8 + 1), 20_000 + (n % 40_000) as u16);
    let server = (ip(10, 96, 0, rng.below(20) as u8 + 1), 80 + rng.below(4) as u16);
    let mut talk = Talk::new(client, server);
    if rng.chance(0.5) {
        talk = talk.between(ip(192, 168, 0, rng.below(3) as u8 + 1), ip(192, 168, 0, 9));
    }
    match rng.below(10) {
        0 => talk.refused(at),
        1 => talk.syns(at, 4),
        2 => retransmitted(&mut talk, at),
        3 => {
            talk.nodes = None;
            let syn = talk.syn(at);
            let rejected = error(at + MS, ip(10, 244, 0, 254), rng.below(14) as u8, &syn);
            vec![syn, rejected]
        }
        4 => ping(at, client.0, server.0, n as u16, rng.chance(0.7)),
        5 => vec![arp(at, client.0, server.0)],
        6 => fragmented(at, client, server, n as u16),
        7 => {
            let dns = (ip(10, 96, 0, 10), 53);
            let (asked, told) = lookup(n as u16, &format!("name{n}.example.com"));
            vec![datagram(at, client, dns, &asked), datagram(at + MS, dns, client, &told)]
        }
        _ => talk.whole(at),
    }
}

fn retransmitted(talk: &mut Talk, at: u64) -> Vec<Frame> {
    let mut frames = talk.handshake(at);
    for n in 0..8_u32 {
        frames.push(talk.segment(at + (3 + u64::from(n)) * MS, OUT, flags::ACK, (1 + n * 1000, 1), 1000));
    }
    frames.push(talk.segment(at + 200 * MS, OUT, flags::ACK, (2001, 1), 1000));
    frames.push(talk.segment(at + 201 * MS, BACK, flags::ACK, (1, 8001), 0));
    frames.push(talk.segment(at + 202 * MS, BACK, flags::RST | flags::ACK, (1, 8001), 0));
    frames
}

fn ping(at: u64, from: Ipv4Addr, to: Ipv4Addr, id: u16, answered: bool) -> Vec<Frame> {
    let message = |at: u64, from, to, icmp: Icmp| {
        let layers = [Ethernet::new(1, 2).into(), Ipv4::new(from, to).into(), icmp.into()];
        Frame::new(START_NS + at, build(&layers, &[0; 56]))
    };
    let answer = answered.then(|| message(at + MS, to, from, Icmp::echo_reply(id, 1)));
    std::iter::once(message(at, from, to, Icmp::echo(id, 1))).chain(answer).collect()
}

fn fragmented(at: u64, from: (Ipv4Addr, u16), to: (Ipv4Addr, u16), id: u16) -> Vec<Frame> {
    let header = Ipv4 { id, ..Ipv4::new(from.0, to.0) };
    let parts = fragments(&[Ethernet::new(1, 2).into()], &header, &[Udp::new(from.1, to.1).into()], &[7; 3000], 1500);
    parts.into_iter().zip(0..).map(|(part, n)| Frame::new(START_NS + at + n * 1000, part)).collect()
}
