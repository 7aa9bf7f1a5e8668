//! What IP and the protocols right above it may look like.

use super::File;
use super::talk::{CLIENT, CLIENT6, From, MS, SERVER, SERVER6, START_NS, addresses, ethernet, http_in, http6_in};
use crate::file::Frame;
use crate::file::classic::Classic;
use crate::packet::{
    Arp, Extension, Icmp, Ipv4, Ipv6, Layer, Tcp, Udp, build, flags, fragments, fragments_v6, ip, mac, options,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const CASE: &str = "ip-and-above";

pub(super) fn files() -> Vec<File> {
    let file = |name, frames: Vec<Vec<u8>>| File::new(CASE, name, Classic::new(1).file(&timed(frames)));
    let whole = |name, frames: Vec<Frame>| File::new(CASE, name, Classic::new(1).file(&frames));
    vec![
        whole("ethernet-padding.pcap", http_in(ethernet).into_iter().map(padded).collect()),
        whole("ipv6.pcap", http6_in(ethernet)),
        file("ipv4-options.pcap", datagrams(|from| vec![ipv4_options(from)])),
        file("ipv6-extensions.pcap", datagrams(ipv6_extensions)),
        file("ipv4-fragments.pcap", ipv4_fragments()),
        file("ipv4-fragments-out-of-order.pcap", ipv4_fragments().into_iter().rev().collect()),
        file("ipv6-fragments.pcap", ipv6_fragments()),
        file("segmentation-offload.pcap", offload()),
        file("arp.pcap", arp()),
        file("ping.pcap", ping(CLIENT, SERVER)),
        file("ping-ipv6.pcap", ping(CLIENT6, SERVER6)),
        file("icmp-errors.pcap", icmp_errors()),
        file("icmpv6-too-big.pcap", icmpv6_too_big()),
    ]
}

fn timed(frames: Vec<Vec<u8>>) -> Vec<Frame> {
    frames.into_iter().enumerate().map(|(n, data)| Frame::new(START_NS + n as u64 * MS, data)).collect()
}

fn v4(address: IpAddr) -> Ipv4Addr {
    if let IpAddr::V4(address) = address { address } else { Ipv4Addr::UNSPECIFIED }
}

fn v6(address: IpAddr) -> Ipv6Addr {
    if let IpAddr::V6(address) = address { address } else { Ipv6Addr::UNSPECIFIED }
}

fn ipv4(from: From) -> Ipv4 {
    let (src, dst) = addresses(from, (CLIENT, SERVER));
    Ipv4::new(v4(src), v4(dst))
}

fn ipv6(from: From) -> Ipv6 {
    let (src, dst) = addresses(from, (CLIENT6, SERVER6));
    Ipv6::new(v6(src), v6(dst))
}

fn udp(from: From) -> Layer {
    if from == From::Client { Udp::new(5000, 6000) } else { Udp::new(6000, 5000) }.into()
}

/// Frames to the minimum of Ethernet: what is behind the IP packet is no payload.
fn padded(mut frame: Frame) -> Frame {
    frame.data.resize(frame.data.len().max(60), 0xee);
    frame.orig_len = frame.data.len() as u32;
    frame
}

/// Three datagrams each way in some network layers.
fn datagrams(network: impl Fn(From) -> Vec<Layer>) -> Vec<Vec<u8>> {
    let datagram = |n: usize| {
        let from = if n.is_multiple_of(2) { From::Client } else { From::Server };
        build(&[ethernet(from), network(from), vec![udp(from)]].concat(), b"twelve bytes")
    };
    (0..6).map(datagram).collect()
}

/// Router alert (RFC 2113) and padding.
fn ipv4_options(from: From) -> Layer {
    Ipv4 { options: vec![148, 4, 0, 0, 1, 1, 1, 0], ..ipv4(from) }.into()
}

fn ipv6_extensions(from: From) -> Vec<Layer> {
    vec![
        ipv6(from).into(),
        Extension::hop_by_hop().into(),
        Extension::routing(v6(SERVER6)).into(),
        Extension::authentication(9, 1).into(),
        Extension::destination().into(),
    ]
}

fn long_payload() -> Vec<u8> {
    (0..4000_u32).map(|n| (n % 251) as u8).collect()
}

fn ipv4_fragments() -> Vec<Vec<u8>> {
    let ip = Ipv4 { id: 0x1234, ..ipv4(From::Client) };
    fragments(&ethernet(From::Client), &ip, &[udp(From::Client)], &long_payload(), 1500)
}

fn ipv6_fragments() -> Vec<Vec<u8>> {
    fragments_v6(&ethernet(From::Client), &ipv6(From::Client), 0x1234, &[udp(From::Client)], &long_payload(), 1500)
}

/// A segment larger than any packet, with the total length 0 that the kernel hands to a capture.
fn offload() -> Vec<Vec<u8>> {
    let tcp = Tcp {
        src: 40_000,
        dst: 8080,
        seq: 1,
        ack: 1,
        flags: flags::ACK,
        window: 502,
        options: options::timestamps(1, 1),
    };
    let ip = Ipv4 { no_length: true, ..ipv4(From::Client) };
    let layers = [ethernet(From::Client), vec![ip.into(), tcp.into()]].concat();
    vec![build(&layers, &vec![b'x'; 70_000])]
}

fn arp() -> Vec<Vec<u8>> {
    let (asker, owner) = ((mac(2), v4(CLIENT)), (mac(3), v4(SERVER)));
    let frame = |from, message: Arp| build(&[ethernet(from), vec![message.into()]].concat(), b"");
    vec![frame(From::Client, Arp::request(asker, owner.1)), frame(From::Server, Arp::reply(owner, asker))]
}

/// Three pings, the last of which gets no answer.
fn ping(client: IpAddr, server: IpAddr) -> Vec<Vec<u8>> {
    let frame = |from, icmp: Icmp| {
        let (src, dst) = addresses(from, (client, server));
        build(&[ethernet(from), vec![ip(src, dst), icmp.into()]].concat(), b"abcdefgh")
    };
    let v6 = client.is_ipv6();
    let ask = |n| frame(From::Client, if v6 { Icmp::echo_v6(7, n) } else { Icmp::echo(7, n) });
    let reply = |n| frame(From::Server, if v6 { Icmp::echo_reply_v6(7, n) } else { Icmp::echo_reply(7, n) });
    vec![ask(1), reply(1), ask(2), reply(2), ask(3)]
}

fn quoted(packet: &[u8], len: usize) -> Vec<u8> {
    packet[..packet.len().min(len)].to_vec()
}

/// A datagram and a port unreachable that quotes it; a full-size segment and a fragmentation needed that quotes the
/// least that RFC 792 asks for, header and 8 bytes.
fn icmp_errors() -> Vec<Vec<u8>> {
    let (client, server) = (ethernet(From::Client), ethernet(From::Server));
    let datagram: [Layer; 2] = [ipv4(From::Client).into(), udp(From::Client)];
    let tcp = Tcp { src: 40_000, dst: 8080, seq: 99, ack: 1, flags: flags::ACK, window: 502, ..Tcp::default() };
    let segment: [Layer; 2] = [ipv4(From::Client).into(), tcp.into()];
    let error = |icmp: Icmp, quote: Vec<u8>| {
        build(&[server.clone(), vec![ipv4(From::Server).into(), icmp.into()]].concat(), &quote)
    };
    let too_big = Icmp { rest: 1400, ..Icmp::unreachable(4) };
    vec![
        build(&[client.clone(), datagram.to_vec()].concat(), b"anybody?"),
        error(Icmp::unreachable(3), build(&datagram, b"anybody?")),
        build(&[client.clone(), segment.to_vec()].concat(), &[0; 1460]),
        error(too_big, quoted(&build(&segment, &[0; 1460]), 28)),
    ]
}

fn icmpv6_too_big() -> Vec<Vec<u8>> {
    let datagram: [Layer; 2] = [ipv6(From::Client).into(), udp(From::Client)];
    let layers = [ethernet(From::Server), vec![ipv6(From::Server).into(), Icmp::too_big(1280).into()]].concat();
    let quote = quoted(&build(&datagram, &[0; 1452]), 1232);
    vec![build(&[ethernet(From::Client), datagram.to_vec()].concat(), &[0; 1452]), build(&layers, &quote)]
}
