//! Captures of what NAT and services do wrong that no lab case has: every segment at the points that see it, under the
//! addresses that it has there.

use super::File;
use super::talk::{MS, S, START_NS};
use crate::file::classic::Classic;
use crate::file::pcapng::Pcapng;
use crate::file::{Frame, Order};
use crate::packet::{Ethernet, Tcp, Udp, Vxlan, build, flags, ip, options};
use std::net::Ipv4Addr;

use flags::{ACK, FIN, PSH, RST, SYN};

pub(super) fn files() -> Vec<File> {
    vec![
        node("nat004-ports-exhausted", ports_exhausted()),
        node("nat008-backend-removed", backend_removed()),
        node("svc009-slow-endpoint", slow_endpoint()),
        node("svc010-cluster-ip-leaves", cluster_ip_leaves()),
        client("nat006-port-reuse", "reused.pcap", port_reused(true)),
        client("nat006-port-reuse", "syn-lost.pcap", port_reused(false)),
        client("svc012-nodeport", "one-node-silent.pcap", node_port(true)),
        client("svc012-nodeport", "both-silent.pcap", node_port(false)),
    ]
}

type End = (Ipv4Addr, u16);

const POD: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 2);
const NODE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const OTHER_NODE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const OUTSIDE: End = (Ipv4Addr::new(198, 51, 100, 7), 443);
const SERVICE: End = (Ipv4Addr::new(10, 96, 0, 9), 80);
const ENDPOINTS: [End; 2] = [(Ipv4Addr::new(10, 1, 1, 5), 8080), (Ipv4Addr::new(10, 1, 1, 6), 8080)];

/// A frame at one of two points: before the translation and behind it.
struct Seen {
    point: u32,
    frame: Frame,
}

/// A connection with the addresses of its ends at each point.
#[derive(Clone, Copy)]
struct Talk {
    pre: (End, End),
    post: Option<(End, End)>,
    isn: u32,
    /// From the point behind the translation to the responder and back.
    rtt: u64,
    /// Whether it is in VXLAN behind the translation.
    tunnelled: bool,
}

impl Talk {
    fn new(pre: (End, End), post: Option<(End, End)>) -> Self {
        let isn = 7919 * (u32::from(pre.0.1) + u32::from(u8::from(post.is_some())));
        Self { pre, post, isn, rtt: MS, tunnelled: false }
    }

    /// A segment of the originator, or of the responder, with sequence and acknowledgement numbers from 0 on.
    fn segment(&self, at: u64, out: bool, flags: u8, (seq, ack): (u32, u32), payload: &[u8]) -> Vec<Seen> {
        let mut seen = vec![self.at(0, self.pre, at, out, flags, (seq, ack), payload)];
        if let Some(post) = self.post {
            let later = if out { at + MS / 20 } else { at - MS / 20 };
            seen.push(self.at(1, post, later, out, flags, (seq, ack), payload));
        }
        seen
    }

    /// The segment as one point sees it.
    #[expect(clippy::too_many_arguments, reason = "a segment has this many parts")]
    fn at(
        &self,
        point: u32,
        ends: (End, End),
        at: u64,
        out: bool,
        flags: u8,
        numbers: (u32, u32),
        payload: &[u8],
    ) -> Seen {
        let (from, to) = if out { ends } else { (ends.1, ends.0) };
        let peer = self.isn ^ 0x5a5a_0000;
        let (mine, theirs) = if out { (self.isn, peer) } else { (peer, self.isn) };
        let ticks = (at / MS) as u32 + 1;
        let header = Tcp {
            src: from.1,
            dst: to.1,
            seq: mine.wrapping_add(numbers.0),
            ack: if flags & ACK == 0 { 0 } else { theirs.wrapping_add(numbers.1) },
            flags,
            window: if flags & SYN == 0 { 502 } else { 64_240 },
            options: if flags & SYN == 0 { options::timestamps(ticks, 1) } else { options::syn(1460, ticks, 0) },
        };
        let mut layers = vec![Ethernet::new(point * 2 + 2, point * 2 + 3).into()];
        if point == 1 && self.tunnelled {
            let (here, there) = if out { (NODE, OTHER_NODE) } else { (OTHER_NODE, NODE) };
            layers.extend([ip(here.into(), there.into()), Udp::new(50_000, 4789).into(), Vxlan { vni: 1 }.into()]);
            layers.push(Ethernet::new(6, 7).into());
        }
        layers.extend([ip(from.0.into(), to.0.into()), header.into()]);
        Seen { point, frame: Frame::new(START_NS + at, build(&layers, payload)) }
    }

    /// A SYN that is seen before the translation only.
    fn lost_syn(&self, at: u64) -> Vec<Seen> {
        Self { post: None, ..*self }.segment(at, true, SYN, (0, 0), b"")
    }

    /// Handshake, question and answer.
    fn open(&self, at: u64) -> Vec<Seen> {
        let back = at + self.rtt;
        [
            self.segment(at, true, SYN, (0, 0), b""),
            self.segment(back, false, SYN | ACK, (0, 1), b""),
            self.segment(back + MS, true, ACK, (1, 1), b""),
            self.segment(back + 2 * MS, true, ACK | PSH, (1, 1), b"question"),
            self.segment(back + 2 * MS + self.rtt, false, ACK | PSH, (1, 9), b"answer"),
            self.segment(back + 3 * MS + self.rtt, true, ACK, (9, 7), b""),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// The end, after what [`Talk::open`] exchanged.
    fn close(&self, at: u64) -> Vec<Seen> {
        [
            self.segment(at, true, ACK | FIN, (9, 7), b""),
            self.segment(at + self.rtt, false, ACK | FIN, (7, 10), b""),
            self.segment(at + self.rtt + MS, true, ACK, (10, 8), b""),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// A capture of two interfaces of a node.
fn node(case: &'static str, mut seen: Vec<Seen>) -> File {
    seen.sort_by_key(|seen| seen.frame.ts_ns);
    let mut file = Pcapng::new();
    file.section(Order::Little, -1, &[]);
    for name in ["veth1", "eth0"] {
        file.interface(1, 262_144, &[(2, name.as_bytes().to_vec())]);
    }
    for Seen { point, frame } in &seen {
        file.packet(*point, frame.ts_ns / 1000, &frame.data, frame.orig_len, &[]);
    }
    File::new(case, "node.pcapng", file.bytes)
}

/// A capture of the originator's side.
fn client(case: &'static str, name: &'static str, seen: Vec<Seen>) -> File {
    let mut frames: Vec<Frame> = seen.into_iter().filter(|seen| seen.point == 0).map(|seen| seen.frame).collect();
    frames.sort_by_key(|frame| frame.ts_ns);
    File::new(case, name, Classic::new(1).file(&frames))
}

/// Two translated ports, both taken until the connections that have them end: SYNs of others are dropped meanwhile.
fn ports_exhausted() -> Vec<Seen> {
    let outside = |n: u16, port: u16| Talk::new(((POD, 40_000 + n), OUTSIDE), Some(((NODE, port), OUTSIDE)));
    let mut seen = Vec::new();
    for n in 0..2 {
        seen.extend(outside(n, 1024 + n).open(0));
        seen.extend(outside(n, 1024 + n).close(5 * S));
    }
    for n in 2..6 {
        let talk = outside(n, 1024 + n % 2);
        let tries = if n < 4 { 6 } else { 4 };
        seen.extend((0..tries).flat_map(|second| talk.lost_syn(S + u64::from(n) * 100 * MS + second * S)));
        if n < 4 {
            seen.extend(talk.open(7 * S + u64::from(n) * 100 * MS));
        }
    }
    seen
}

/// Two connections of one endpoint that are not forwarded any more, and new ones that go to the other endpoint.
fn backend_removed() -> Vec<Seen> {
    let to = |n: u16, endpoint: usize| {
        let client = (POD, 41_000 + n);
        Talk::new((client, SERVICE), Some((client, ENDPOINTS[endpoint])))
    };
    let mut seen = Vec::new();
    for n in 0..2 {
        let talk = to(n, 0);
        seen.extend(talk.open(u64::from(n) * 50 * MS));
        let cut = Talk { post: None, ..talk };
        for wait in [0, 200, 600, 1400, 3000] {
            seen.extend(cut.segment(5 * S + wait * MS, true, ACK | PSH, (9, 7), b"more"));
        }
    }
    for n in 2..5 {
        seen.extend(to(n, 1).open(6 * S + u64::from(n) * 100 * MS));
        seen.extend(to(n, 1).close(7 * S + u64::from(n) * 100 * MS));
    }
    seen
}

/// A connection that is translated and sent through the tunnel, then two that leave as they came.
fn cluster_ip_leaves() -> Vec<Seen> {
    let translated = Talk::new(((POD, 45_000), SERVICE), Some(((POD, 45_000), ENDPOINTS[0])));
    let translated = Talk { tunnelled: true, ..translated };
    let mut seen = [translated.open(0), translated.close(S)].concat_seen();
    for n in 1..3 {
        let pair = ((POD, 45_000 + n), SERVICE);
        let talk = Talk::new(pair, Some(pair));
        seen.extend((0..5).flat_map(|second| talk.segment((5 + u64::from(n) + second) * S, true, SYN, (0, 0), b"")));
    }
    seen
}

/// Six connections to each of two endpoints, one of which takes 120 ms to answer a SYN.
fn slow_endpoint() -> Vec<Seen> {
    let talk = |n: u16| {
        let (client, endpoint) = ((POD, 42_000 + n), ENDPOINTS[usize::from(n % 2)]);
        let rtt = if n.is_multiple_of(2) { MS } else { 120 * MS };
        Talk { rtt, ..Talk::new((client, SERVICE), Some((client, endpoint))) }
    };
    let whole = |n: u16| [talk(n).open(u64::from(n) * S), talk(n).close(u64::from(n) * S + 500 * MS)].concat_seen();
    (0..12).flat_map(whole).collect()
}

/// Joins lists of frames, which cannot be cloned.
trait ConcatSeen {
    fn concat_seen(self) -> Vec<Seen>;
}

impl<const N: usize> ConcatSeen for [Vec<Seen>; N] {
    fn concat_seen(self) -> Vec<Seen> {
        self.into_iter().flatten().collect()
    }
}

/// Connections whose first SYN meets what is left of an older connection, or is lost.
fn port_reused(reused: bool) -> Vec<Seen> {
    let mut seen = Vec::new();
    for n in 0..3_u16 {
        let talk = Talk::new(((POD, 43_000 + n), ENDPOINTS[0]), None);
        let at = u64::from(n) * 3 * S;
        seen.extend(talk.lost_syn(at));
        if reused {
            seen.extend(talk.segment(at + MS, false, ACK, (90_000, 70_000), b""));
            seen.extend(talk.segment(at + 2 * MS, true, RST, (70_000, 0), b""));
        }
        seen.extend([talk.open(at + S), talk.close(at + 2 * S)].concat_seen());
    }
    seen
}

/// Connections to a port of two nodes, of which one or both drop them.
fn node_port(one_works: bool) -> Vec<Seen> {
    let to = |n: u16, node: Ipv4Addr| Talk::new(((POD, 44_000 + n), (node, 30_080)), None);
    let mut seen =
        [Talk::new(((POD, 44_900), ENDPOINTS[1]), None)].iter().flat_map(|talk| talk.open(0)).collect::<Vec<_>>();
    for n in 0..3 {
        let at = u64::from(n) * 10 * S;
        seen.extend((0..5).flat_map(|second| to(n, OTHER_NODE).lost_syn(at + second * S)));
        let other = to(100 + n, NODE);
        if one_works {
            seen.extend([other.open(at), other.close(at + S)].concat_seen());
        } else {
            seen.extend((0..5).flat_map(|second| other.lost_syn(at + 20 * MS + second * S)));
        }
    }
    seen
}
