//! Faults of overlays, paths and neighbours that no lab of one kernel makes, and what looks like them.

use super::File;
use super::talk::{
    CLIENT, CLIENT6, From, MS, NODE_A, NODE_B, S, SERVER, SERVER6, START_NS, addresses, http_in, station,
};
use crate::Rng;
use crate::file::Frame;
use crate::file::classic::Classic;
use crate::packet::{Arp, Geneve, Ipv4, Layer, Tcp, Udp, Vxlan, build, flags, fragments, ip, mac, options, wireguard};
use std::net::{IpAddr, Ipv4Addr};

pub(super) fn files() -> Vec<File> {
    let file = |case, name, mut frames: Vec<Frame>| {
        frames.sort_by_key(|frame| frame.ts_ns);
        File::new(case, name, Classic::new(1).file(&frames))
    };
    vec![
        file(CONFLICT, "two-hosts.pcap", two_hosts()),
        file(CONFLICT, "failover.pcap", failover()),
        file(CONFLICT, "proxy-arp.pcap", proxy_arp()),
        file("ovl002-overlay-down", "node-a.pcap", down(From::Client)),
        file("ovl002-overlay-down", "node-b.pcap", down(From::Server)),
        file("ovl002-overlay-down", "answered.pcap", answered()),
        file("ovl004-vni-mismatch", "node-a.pcap", mismatch(6)),
        file("ovl004-vni-mismatch", "identities.pcap", identities()),
        file("ovl005-wireguard", "no-answer.pcap", handshakes(5 * S, false)),
        file("ovl005-wireguard", "rekeyed.pcap", handshakes(120 * S, true)),
        file("mtu001-ipv6", "client.pcap", black_hole(From::Client)),
        file("mtu001-ipv6", "server.pcap", black_hole(From::Server)),
        file("mtu001-ipv6", "repaired.pcap", repaired()),
        file("mtu004-outer-fragments", "node-a.pcap", outer_fragments(false)),
        file("mtu004-outer-fragments", "port-filter.pcap", outer_fragments(true)),
        file("mtu006-latent", "tight.pcap", latent(1460)),
        file("mtu006-latent", "jumbo.pcap", latent(8960)),
    ]
}

const CONFLICT: &str = "net003-duplicate-ip";
const ASKER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);
const SHARED: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 50);

fn asked(at: u64, target: Ipv4Addr) -> Frame {
    let layers = [crate::packet::Ethernet::new(9, 0xffff).into(), Arp::request((mac(9), ASKER), target).into()];
    Frame::new(START_NS + at, build(&layers, b""))
}

fn told(at: u64, owner: u32, addr: Ipv4Addr) -> Frame {
    let reply = Arp::reply((mac(owner), addr), (mac(9), ASKER));
    Frame::new(START_NS + at, build(&[crate::packet::Ethernet::new(owner, 9).into(), reply.into()], b""))
}

fn announced(at: u64, owner: u32, addr: Ipv4Addr) -> Frame {
    let own = Arp::request((mac(owner), addr), addr);
    Frame::new(START_NS + at, build(&[crate::packet::Ethernet::new(owner, 0xffff).into(), own.into()], b""))
}

/// Three questions, each answered by two stations.
fn two_hosts() -> Vec<Frame> {
    let round =
        |n: u64| [asked(n * 30 * S, SHARED), told(n * 30 * S + MS, 50, SHARED), told(n * 30 * S + 2 * MS, 51, SHARED)];
    (0..3).flat_map(round).collect()
}

/// A virtual address moves from one station to another, which announces it and answers from then on.
fn failover() -> Vec<Frame> {
    let answer = |n: u64, owner| [asked(n * 30 * S, SHARED), told(n * 30 * S + MS, owner, SHARED)];
    let mut all: Vec<Frame> = (0..3).flat_map(|n| answer(n, 50)).collect();
    all.push(announced(80 * S, 51, SHARED));
    all.extend((3..6).flat_map(|n| answer(n, 51)));
    all
}

/// A router that answers for all hosts of the network, among them two that answer themselves.
fn proxy_arp() -> Vec<Frame> {
    let host = |n: u8| Ipv4Addr::new(192, 0, 2, 100 + n);
    let ask = |n: u8| [asked(u64::from(n) * S, host(n)), told(u64::from(n) * S + MS, 1, host(n))];
    let mut all: Vec<Frame> = (0..8).flat_map(ask).collect();
    all.extend([told(2 * S + 3 * MS, 12, host(2)), told(5 * S + 3 * MS, 15, host(5))]);
    all
}

/// Ethernet to VXLAN between the nodes.
fn vxlan(from: From, vni: u32) -> Vec<Layer> {
    let (src, dst) = addresses(from, (NODE_A.into(), NODE_B.into()));
    vec![station(from, 10, 11), ip(src, dst), Udp::new(50_000, 8472).into(), Vxlan { vni }.into(), station(from, 2, 3)]
}

/// Ethernet to Geneve between the nodes.
fn geneve(from: From) -> Vec<Layer> {
    let (src, dst) = addresses(from, (NODE_A.into(), NODE_B.into()));
    let header = Geneve { vni: 7, options: Vec::new() };
    vec![station(from, 10, 11), ip(src, dst), Udp::new(50_000, 6081).into(), header.into(), station(from, 2, 3)]
}

/// When Linux 6.5 and later sends a SYN.
const SYNS: [u64; 5] = [0, 1, 2, 3, 4];

/// Another pod of each of the two nodes.
const OTHERS: (IpAddr, IpAddr) = (IpAddr::V4(Ipv4Addr::new(10, 1, 0, 12)), IpAddr::V4(Ipv4Addr::new(10, 1, 0, 13)));

/// SYNs of connections that nobody answers, from one side.
fn unanswered(from: From, ends: (IpAddr, IpAddr), ports: std::ops::Range<u16>, around: &[Layer]) -> Vec<Frame> {
    let (src, dst) = addresses(from, ends);
    let syn = |port: u16, second: u64| {
        let at = START_NS + second * S + u64::from(port % 100) * MS;
        let header = Tcp {
            src: port,
            dst: 8080,
            seq: 1000 * u32::from(port),
            flags: flags::SYN,
            options: options::syn(1410, second as u32, 0),
            ..Tcp::default()
        };
        Frame::new(at, build(&[around, &[ip(src, dst), header.into()]].concat(), b""))
    };
    ports.flat_map(|port| SYNS.map(|second| syn(port, second))).collect()
}

/// The nodes find each other by ARP.
fn neighbours() -> [Frame; 2] {
    let (a, b) = ((mac(10), NODE_A), (mac(11), NODE_B));
    let request = build(&[station(From::Client, 10, 11), Arp::request(a, NODE_B).into()], b"");
    let reply = build(&[station(From::Server, 10, 11), Arp::reply(b, a).into()], b"");
    [Frame::new(START_NS + 100 * MS, request), Frame::new(START_NS + 101 * MS, reply)]
}

/// Geneve is dropped between the nodes, both ways: each sees what it sends.
fn down(from: From) -> Vec<Frame> {
    let first = if from == From::Client { 41_000 } else { 42_000 };
    let mut all = unanswered(from, (CLIENT, SERVER), first..first + 2, &geneve(from));
    all.extend(unanswered(from, OTHERS, first + 2..first + 4, &geneve(from)));
    all.extend(neighbours());
    all
}

/// The same tunnel, and it works.
fn answered() -> Vec<Frame> {
    let mut all = http_in(geneve);
    all.extend(neighbours());
    all
}

/// Each node sends with a VNI of its own and drops what the other sends.
fn mismatch(other: u32) -> Vec<Frame> {
    let mut all = unanswered(From::Client, (CLIENT, SERVER), 41_000..41_003, &vxlan(From::Client, 1));
    all.extend(unanswered(From::Server, (CLIENT, SERVER), 42_000..42_003, &vxlan(From::Server, other)));
    all
}

/// Cilium: the VNI is the identity of the sending pod, and connections work.
fn identities() -> Vec<Frame> {
    http_in(|from| vxlan(from, if from == From::Client { 23_112 } else { 4711 }))
}

/// WireGuard handshakes of node A at an interval, with answers and data or without.
fn handshakes(interval: u64, answered: bool) -> Vec<Frame> {
    let mut rng = Rng::new(5);
    let mut all = Vec::new();
    for n in 0..4 {
        let at = START_NS + n * interval;
        let mut say = |from: From, ns: u64, message: &[u8]| {
            let (src, dst) = addresses(from, (NODE_A.into(), NODE_B.into()));
            let layers = [station(from, 10, 11), ip(src, dst), Udp::new(51_820, 51_820).into()];
            all.push(Frame::new(at + ns, build(&layers, message)));
        };
        say(From::Client, 0, &wireguard::initiation(&mut rng));
        if answered {
            say(From::Server, MS, &wireguard::response(&mut rng));
            say(From::Client, 2 * MS, &wireguard::data(1, n, 64, &mut rng));
            say(From::Server, 3 * MS, &wireguard::data(2, n, 64, &mut rng));
        }
    }
    all
}

/// Bytes of a segment where both sides announced 1440 over IPv6.
const SEGMENT: u32 = 1428;
const ASKED: u32 = 90;

/// A segment over IPv6 at a time in milliseconds.
fn segment6(at_ms: u64, from: From, set: u8, (seq, ack): (u32, u32), len: u32) -> Frame {
    let (src, dst) = addresses(from, (CLIENT6, SERVER6));
    segment(at_ms, from, (src, dst), set, (seq, ack), len)
}

fn segment(at_ms: u64, from: From, (src, dst): (IpAddr, IpAddr), set: u8, (seq, ack): (u32, u32), len: u32) -> Frame {
    let (mine, theirs) = if from == From::Client { (1000, 90_000) } else { (90_000, 1000) };
    let ports = if from == From::Client { (40_000, 8080) } else { (8080, 40_000) };
    let is_syn = set & flags::SYN != 0;
    let tsval = at_ms as u32;
    let header = Tcp {
        src: ports.0,
        dst: ports.1,
        seq: mine + seq,
        ack: if set & flags::ACK == 0 { 0 } else { theirs + ack },
        flags: set,
        window: 502,
        options: if is_syn { options::syn(1440, tsval, 0) } else { options::timestamps(tsval, tsval) },
    };
    let layers = [station(from, 2, 3), ip(src, dst), header.into()];
    Frame::new(START_NS + at_ms * MS, build(&layers, &vec![b'x'; len as usize]))
}

const ACK: u8 = flags::ACK;

fn opened() -> Vec<Frame> {
    vec![
        segment6(0, From::Client, flags::SYN, (0, 0), 0),
        segment6(1, From::Server, flags::SYN | ACK, (0, 1), 0),
        segment6(2, From::Client, ACK, (1, 1), 0),
        segment6(3, From::Client, ACK | flags::PSH, (1, 1), ASKED),
        segment6(4, From::Server, ACK, (1, 1 + ASKED), 0),
    ]
}

/// ICMPv6 is filtered and the path takes less than 1500 bytes: the response of four full segments is sent, and sent
/// again, and never arrives; the client gives up after 9 s.
fn black_hole(seen_from: From) -> Vec<Frame> {
    let mut all = opened();
    if seen_from == From::Server {
        all.extend((0..4).map(|n| segment6(5, From::Server, ACK, (1 + n * SEGMENT, 1 + ASKED), SEGMENT)));
        let again = [210, 620, 1450, 3110, 6430];
        all.extend(again.map(|at| segment6(at, From::Server, ACK, (1, 1 + ASKED), SEGMENT)));
    }
    all.push(segment6(9000, From::Client, ACK | flags::FIN, (1 + ASKED, 1), 0));
    all.push(segment6(9001, From::Server, ACK, (1 + 4 * SEGMENT, 2 + ASKED), 0));
    all
}

/// The same response, of which the first segment is lost twice by chance and then arrives.
fn repaired() -> Vec<Frame> {
    let mut all = opened();
    all.extend((0..4).map(|n| segment6(5, From::Server, ACK, (1 + n * SEGMENT, 1 + ASKED), SEGMENT)));
    all.extend([210, 620].map(|at| segment6(at, From::Server, ACK, (1, 1 + ASKED), SEGMENT)));
    all.push(segment6(621, From::Client, ACK, (1 + ASKED, 1 + 4 * SEGMENT), 0));
    all.push(segment6(9000, From::Client, ACK | flags::FIN, (1 + ASKED, 1 + 4 * SEGMENT), 0));
    all.push(segment6(9001, From::Server, ACK | flags::FIN, (1 + 4 * SEGMENT, 2 + ASKED), 0));
    all.push(segment6(9002, From::Client, ACK, (2 + ASKED, 2 + 4 * SEGMENT), 0));
    all
}

/// VXLAN packets of full size go in two fragments, of which the second never comes. `filtered` has only datagrams of a
/// DNS server, as a capture filter on its port shows them, and whoever asked goes on.
fn outer_fragments(filtered: bool) -> Vec<Frame> {
    if filtered {
        return (0..6).flat_map(filtered_answer).collect();
    }
    let mut all = vec![
        tunnelled(0, From::Client, flags::SYN, (0, 0)),
        tunnelled(1, From::Server, flags::SYN | ACK, (0, 1)),
        tunnelled(2, From::Client, ACK, (1, 1)),
    ];
    all.extend((0..4).map(|n| first_fragment(5, 1 + n * 1398)));
    all.extend([210, 620, 1450, 3110, 6430].map(|at| first_fragment(at, 1)));
    all.push(tunnelled(9000, From::Client, ACK | flags::FIN, (1, 1)));
    all.push(tunnelled(9001, From::Server, ACK, (1 + 4 * 1398, 2)));
    all
}

fn inner(at_ms: u64, from: From, set: u8, (seq, ack): (u32, u32), len: u32) -> Vec<u8> {
    let frame = segment(at_ms, from, addresses(from, (CLIENT, SERVER)), set, (seq, ack), len);
    frame.data
}

fn tunnelled(at_ms: u64, from: From, set: u8, numbers: (u32, u32)) -> Frame {
    let (src, dst) = addresses(from, (NODE_A.into(), NODE_B.into()));
    let layers = [station(from, 10, 11), ip(src, dst), Udp::new(50_000, 8472).into(), Vxlan { vni: 1 }.into()];
    Frame::new(START_NS + at_ms * MS, build(&layers, &inner(at_ms, from, set, numbers, 0)))
}

fn first_fragment(at_ms: u64, seq: u32) -> Frame {
    let outer = Ipv4 { id: (at_ms * 7 + u64::from(seq)) as u16, ..Ipv4::new(NODE_B, NODE_A) };
    let inside = [Udp::new(50_000, 8472).into(), Vxlan { vni: 1 }.into()];
    let payload = inner(at_ms, From::Server, ACK, (seq, 1), 1398);
    let parts = fragments(&[station(From::Server, 10, 11)], &outer, &inside, &payload, 1450);
    Frame::new(START_NS + at_ms * MS, parts.into_iter().next().unwrap_or_default())
}

/// A question and the first fragment of its answer.
fn filtered_answer(n: u64) -> Vec<Frame> {
    let at = START_NS + n * 300 * MS;
    let (asker, server) = (Ipv4Addr::new(10, 1, 0, 2), Ipv4Addr::new(10, 1, 0, 3));
    let port = 41_000 + n as u16;
    let question = [station(From::Client, 2, 3), Ipv4::new(asker, server).into(), Udp::new(port, 5353).into()];
    let answer = Ipv4 { id: 300 + n as u16, ..Ipv4::new(server, asker) };
    let parts = fragments(&[station(From::Server, 2, 3)], &answer, &[Udp::new(5353, port).into()], &[0x5a; 2000], 1500);
    let first = parts.into_iter().next().unwrap_or_default();
    vec![Frame::new(at, build(&question, b"which?")), Frame::new(at + MS, first)]
}

/// Pods that announce an MSS of 1460 in VXLAN between nodes whose own is `mss`; only small packets pass.
fn latent(mss: u16) -> Vec<Frame> {
    let nodes = |from: From| vec![station(from, 10, 11)];
    let announce = |from: From, set: u8, at: u64| {
        let (src, dst) = addresses(from, (NODE_A.into(), NODE_B.into()));
        let client = from == From::Client;
        let header = Tcp {
            src: if client { 50_100 } else { 10_250 },
            dst: if client { 10_250 } else { 50_100 },
            seq: if client { 7 } else { 9 },
            ack: if client { 0 } else { 8 },
            flags: set,
            options: options::syn(mss, 1, 0),
            ..Tcp::default()
        };
        let layers = [nodes(from), vec![ip(src, dst), header.into()]].concat();
        Frame::new(START_NS + 50 * MS + at * MS, build(&layers, b""))
    };
    let mut all = http_in(|from| vxlan(from, 1));
    all.extend([announce(From::Client, flags::SYN, 0), announce(From::Server, flags::SYN | ACK, 1)]);
    all
}
