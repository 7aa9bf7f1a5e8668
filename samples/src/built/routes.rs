//! Checksums that go wrong on the way into a tunnel, and connections whose directions part.

use super::File;
use super::talk::{CLIENT, From, MS, NODE_A, NODE_B, SERVER, START_NS, addresses, station};
use crate::file::pcapng::Pcapng;
use crate::file::{Frame, Order, classic::Classic};
use crate::packet::{Layer, Tcp, Udp, Vxlan, build, flags, ip, options};

pub(super) fn files() -> Vec<File> {
    let classic = |name, mut frames: Vec<Frame>| {
        frames.sort_by_key(|frame| frame.ts_ns);
        File::new("ovl003-vxlan-checksum", name, Classic::new(1).file(&frames))
    };
    let tapped = |name, directions: [Ways; 2]| File::new("net005-asymmetric-path", name, two_interfaces(directions));
    vec![
        classic("node-b.pcap", wrong_on_arrival()),
        classic("node-a-offload.pcap", offloaded()),
        tapped("uplinks.pcapng", [Ways::Parted, Ways::Together]),
        tapped("tap.pcapng", [Ways::Parted, Ways::Parted]),
    ]
}

/// A segment of a connection from a port, at a time in milliseconds.
fn segment(at_ms: u64, port: u16, from: From, set: u8, (seq, ack): (u32, u32), around: &[Layer]) -> Frame {
    let (src, dst) = addresses(from, (CLIENT, SERVER));
    let (mine, theirs) = if from == From::Client { (1000, 90_000) } else { (90_000, 1000) };
    let ports = if from == From::Client { (port, 8080) } else { (8080, port) };
    let tsval = at_ms as u32;
    let header = Tcp {
        src: ports.0,
        dst: ports.1,
        seq: mine + u32::from(port) + seq,
        ack: if set & flags::ACK == 0 { 0 } else { theirs + u32::from(port) + ack },
        flags: set,
        window: 502,
        options: if set & flags::SYN == 0 { options::timestamps(tsval, tsval) } else { options::syn(1410, tsval, 0) },
    };
    let layers = [around, &[ip(src, dst), header.into()]].concat();
    Frame::new(START_NS + at_ms * MS, build(&layers, b""))
}

const ACK: u8 = flags::ACK;

/// A connection that is opened and closed, its SYN at the time given.
fn whole(at_ms: u64, port: u16, around: impl Fn(From) -> Vec<Layer>) -> Vec<Frame> {
    let say = |ms: u64, from: From, set: u8, numbers| segment(at_ms + ms, port, from, set, numbers, &around(from));
    vec![
        say(0, From::Client, flags::SYN, (0, 0)),
        say(1, From::Server, flags::SYN | ACK, (0, 1)),
        say(2, From::Client, ACK, (1, 1)),
        say(900, From::Client, ACK | flags::FIN, (1, 1)),
        say(901, From::Server, ACK | flags::FIN, (1, 2)),
        say(902, From::Client, ACK, (2, 2)),
    ]
}

fn vxlan(from: From) -> Vec<Layer> {
    let (src, dst) = addresses(from, (NODE_A.into(), NODE_B.into()));
    vec![
        station(from, 10, 11),
        ip(src, dst),
        Udp::new(50_000, 8472).into(),
        Vxlan { vni: 1 }.into(),
        station(from, 2, 3),
    ]
}

/// Where the outer UDP checksum is, after Ethernet and IPv4.
const CHECKSUM: usize = 14 + 20 + 6;

/// The same frame with another outer checksum, as it leaves a host whose card is to fill it in.
fn wrong(mut frame: Frame) -> Frame {
    frame.data[CHECKSUM] ^= 0x5a;
    frame
}

/// At the receiving node: SYNs of two connections come with a wrong checksum until, 63 s later, one does not.
fn wrong_on_arrival() -> Vec<Frame> {
    let mut all = Vec::new();
    for port in [41_000, 41_001] {
        let again = [0, 1, 3, 7, 15, 31]
            .map(|second| wrong(segment(second * 1000, port, From::Client, flags::SYN, (0, 0), &vxlan(From::Client))));
        all.extend(again);
        all.extend(whole(63_000 + u64::from(port % 10), port, vxlan));
    }
    for port in 42_000..42_004 {
        all.extend(whole(u64::from(port % 10) * 10_000 + 50, port, vxlan));
    }
    all
}

/// At the sending node: what it sends has its checksum still to come, and every connection works; one SYN is lost.
fn offloaded() -> Vec<Frame> {
    let sent = |frame: Frame, from: From| if from == From::Client { wrong(frame) } else { frame };
    let mut all = Vec::new();
    for port in 42_000..42_006 {
        let froms = [From::Client, From::Server, From::Client, From::Client, From::Server, From::Client];
        let at_ms = u64::from(port % 10) * 10_000;
        if port == 42_003 {
            let first = segment(at_ms - 1000, port, From::Client, flags::SYN, (0, 0), &vxlan(From::Client));
            all.push(wrong(first));
        }
        all.extend(whole(at_ms, port, vxlan).into_iter().zip(froms).map(|(frame, from)| sent(frame, from)));
    }
    all
}

/// How the directions of connections pass two interfaces.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ways {
    /// Both on one, by turns.
    Together,
    /// The client's on the first, the server's on the second.
    Parted,
}

/// Twelve connections: four parted, reset after a while by a hop that saw half of them; the rest as the second of `ways` says.
fn two_interfaces([first, second]: [Ways; 2]) -> Vec<u8> {
    let plain = |from: From| vec![station(from, 2, 3)];
    let mut all: Vec<(u32, Frame)> = Vec::new();
    for (number, ways) in [first; 4].into_iter().chain([second; 8]).enumerate() {
        let port = 43_000 + number as u16;
        let froms = [From::Client, From::Server, From::Client, From::Client, From::Server, From::Client];
        let frames = whole(number as u64 * 1000, port, plain).into_iter().zip(froms);
        all.extend(frames.map(|(frame, from)| match ways {
            Ways::Together => (number as u32 % 2, frame),
            Ways::Parted => (u32::from(from == From::Server), frame),
        }));
        if number < 4 {
            let reset =
                |ms, from: From| segment(number as u64 * 1000 + ms, port, from, flags::RST | ACK, (2, 2), &plain(from));
            all.extend([(0, reset(903, From::Client)), (1, reset(904, From::Server))]);
        }
    }
    all.sort_by_key(|(_, frame)| frame.ts_ns);
    let mut file = Pcapng::new();
    file.section(Order::Little, -1, &[]);
    for name in ["eth0", "eth1"] {
        file.interface(1, 0, &[(2, name.into()), (9, vec![9])]);
    }
    for (interface, frame) in &all {
        file.packet(*interface, frame.ts_ns, &frame.data, frame.orig_len, &[]);
    }
    file.bytes
}
