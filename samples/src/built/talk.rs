//! Small conversations that the built captures are made of.

use crate::file::Frame;
use crate::packet::{Layer, Tcp, Udp, build, flags, ip, options};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// 2026-03-02 09:00:00 UTC, when all built captures begin.
pub(super) const START_NS: u64 = 1_772_442_000_000_000_000;

/// Half a millisecond and 123 ns, which tells nanoseconds from microseconds.
pub(super) const STEP_NS: u64 = 500_123;

/// A millisecond and a second.
pub(super) const MS: u64 = 1_000_000;
pub(super) const S: u64 = 1000 * MS;

/// Client and server of every built connection, both versions.
pub(super) const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 0, 2));
pub(super) const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 0, 3));
pub(super) const CLIENT6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 2));
pub(super) const SERVER6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 3));

/// Nodes, which are the ends of tunnels.
pub(super) const NODE_A: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
pub(super) const NODE_B: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

pub(super) const PORTS: (u16, u16) = (40_000, 8080);
pub(super) const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n";
pub(super) const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// Which end sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum From {
    Client,
    Server,
}

/// The addresses of a packet from one end.
pub(super) fn addresses(from: From, ends: (IpAddr, IpAddr)) -> (IpAddr, IpAddr) {
    if from == From::Client { ends } else { (ends.1, ends.0) }
}

/// A segment: who sends it, flags, sequence and acknowledgement number from 0 on, payload.
pub(super) type Segment = (From, u8, u32, u32, &'static [u8]);

const CLIENT_ISN: u32 = 1000;
const SERVER_ISN: u32 = 5000;

/// Handshake, request, response, end: ten segments.
pub(super) fn http() -> Vec<Segment> {
    use flags::{ACK, FIN, PSH, SYN};
    let (request, response) = (REQUEST.len() as u32, RESPONSE.len() as u32);
    vec![
        (From::Client, SYN, 0, 0, b""),
        (From::Server, SYN | ACK, 0, 1, b""),
        (From::Client, ACK, 1, 1, b""),
        (From::Client, ACK | PSH, 1, 1, REQUEST),
        (From::Server, ACK, 1, 1 + request, b""),
        (From::Server, ACK | PSH, 1, 1 + request, RESPONSE),
        (From::Client, ACK, 1 + request, 1 + response, b""),
        (From::Client, ACK | FIN, 1 + request, 1 + response, b""),
        (From::Server, ACK | FIN, 1 + response, 2 + request, b""),
        (From::Client, ACK, 2 + request, 2 + response, b""),
    ]
}

/// The TCP header of a segment at a time.
pub(super) fn tcp(segment: Segment, number: u32) -> Tcp {
    let (from, flags, seq, ack, _) = segment;
    let client = from == From::Client;
    let (src, dst) = if client { PORTS } else { (PORTS.1, PORTS.0) };
    let (mine, theirs) = if client { (CLIENT_ISN, SERVER_ISN) } else { (SERVER_ISN, CLIENT_ISN) };
    let syn = flags & flags::SYN != 0;
    let options = if syn { options::syn(1460, number + 1, number) } else { options::timestamps(number + 1, number) };
    let ack = if flags & flags::ACK == 0 { 0 } else { theirs + ack };
    Tcp { src, dst, seq: mine + seq, ack, flags, window: if syn { 64_240 } else { 502 }, options }
}

/// Frames of segments between two addresses: `around` gives the layers outside the IP header.
pub(super) fn frames(segments: &[Segment], ends: (IpAddr, IpAddr), around: impl Fn(From) -> Vec<Layer>) -> Vec<Frame> {
    let frame = |(number, segment): (usize, &Segment)| {
        let (src, dst) = addresses(segment.0, ends);
        let mut layers = around(segment.0);
        layers.push(ip(src, dst));
        layers.push(tcp(*segment, number as u32).into());
        Frame::new(START_NS + number as u64 * STEP_NS, build(&layers, segment.4))
    };
    segments.iter().enumerate().map(frame).collect()
}

/// The HTTP connection over IPv4 in some layers.
pub(super) fn http_in(around: impl Fn(From) -> Vec<Layer>) -> Vec<Frame> {
    frames(&http(), (CLIENT, SERVER), around)
}

/// The HTTP connection over IPv6 in some layers.
pub(super) fn http6_in(around: impl Fn(From) -> Vec<Layer>) -> Vec<Frame> {
    frames(&http(), (CLIENT6, SERVER6), around)
}

/// Plain Ethernet.
pub(super) fn ethernet(from: From) -> Vec<Layer> {
    vec![station(from, 2, 3)]
}

/// An Ethernet header between two stations.
pub(super) fn station(from: From, client: u32, server: u32) -> Layer {
    let (src, dst) = if from == From::Client { (client, server) } else { (server, client) };
    crate::packet::Ethernet::new(src, dst).into()
}

/// Ethernet and IPv4 between the nodes.
pub(super) fn underlay(from: From) -> Vec<Layer> {
    let (src, dst) = addresses(from, (NODE_A.into(), NODE_B.into()));
    vec![station(from, 10, 11), ip(src, dst)]
}

/// Ethernet, IPv4 and UDP between the nodes.
pub(super) fn underlay_udp(from: From, port: u16) -> Vec<Layer> {
    let mut layers = underlay(from);
    layers.push(Udp::new(50_000, port).into());
    layers
}
