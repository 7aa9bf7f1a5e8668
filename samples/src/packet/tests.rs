use super::*;
use std::net::{Ipv4Addr, Ipv6Addr};

const A: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const B: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

/// The ones' complement sum of a header that holds its right checksum is `ffff` (RFC 1071).
fn sum(bytes: &[u8]) -> u32 {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let sum = words.sum::<u32>();
    (sum & 0xffff) + (sum >> 16)
}

/// Sum over the pseudo-header and the transport part of an IPv4 packet.
fn transport_sum(packet: &[u8]) -> u32 {
    let transport = &packet[20..];
    let pseudo = [&packet[12..20], &[0, packet[9]], &(transport.len() as u16).to_be_bytes()].concat();
    let sum = sum(&pseudo) + sum(transport);
    (sum & 0xffff) + (sum >> 16)
}

#[test]
fn udp_in_ethernet_has_lengths_and_checksums() {
    let bytes = build(&[Ethernet::new(1, 2).into(), Ipv4::new(A, B).into(), Udp::new(5000, 53).into()], b"abc");
    assert_eq!(bytes.len(), 14 + 20 + 8 + 3);
    assert_eq!(bytes[12..14], [8, 0]);
    let ip = &bytes[14..];
    assert_eq!(ip[2..4], [0, 31]);
    assert_eq!(sum(&ip[..20]), 0xffff);
    assert_eq!(ip[24..26], [0, 11]);
    assert_eq!(transport_sum(ip), 0xffff);
}

#[test]
fn tcp_checksum_covers_options_and_payload() {
    let tcp = Tcp { src: 1, dst: 2, flags: flags::SYN, options: options::syn(1460, 7, 0), ..Tcp::default() };
    let ip = build(&[Ipv4::new(A, B).into(), tcp.into()], b"odd");
    assert_eq!(ip[32] >> 4, 10);
    assert_eq!(transport_sum(&ip), 0xffff);
}

#[test]
fn vxlan_wraps_a_whole_frame_and_the_inner_checksum_is_of_the_inner_addresses() {
    let layers = [
        Ipv4::new(A, B).into(),
        Udp::new(40000, 8472).into(),
        Vxlan { vni: 1 }.into(),
        Ethernet::new(3, 4).into(),
        Ipv4::new(B, A).into(),
        Udp::new(1, 2).into(),
    ];
    let bytes = build(&layers, b"");
    assert_eq!(bytes[28..36], [8, 0, 0, 0, 0, 0, 1, 0]);
    assert_eq!(transport_sum(&bytes[50..]), 0xffff);
}

#[test]
fn ipv6_extensions_chain_their_numbers() {
    let source = Ipv6Addr::LOCALHOST;
    let layers = [
        Ipv6::new(source, source).into(),
        Extension::hop_by_hop().into(),
        Extension::authentication(1, 1).into(),
        Extension::destination().into(),
        Udp::new(1, 2).into(),
    ];
    let bytes = build(&layers, b"");
    assert_eq!((bytes[6], bytes[40], bytes[48], bytes[72]), (0, 51, 60, 17));
    // Lengths: 8 bytes is 0, 24 bytes of AH is 4, 16 bytes is 1.
    assert_eq!((bytes[41], bytes[49], bytes[73]), (0, 4, 1));
}

#[test]
fn fragments_put_together_are_the_datagram() {
    let payload: Vec<u8> = (0..3000_u32).map(|n| n as u8).collect();
    let parts = fragments(&[], &Ipv4 { id: 9, ..Ipv4::new(A, B) }, &[Udp::new(1, 2).into()], &payload, 1500);
    let offsets: Vec<u16> = parts.iter().map(|part| u16::from_be_bytes([part[6], part[7]])).collect();
    assert_eq!(offsets, [0x2000, 0x20b9, 370]);
    let whole: Vec<u8> = parts.iter().flat_map(|part| part[20..].to_vec()).collect();
    assert_eq!(whole[8..], payload);
    assert!(parts.iter().all(|part| sum(&part[..20]) == 0xffff && part[9] == 17));
}

#[test]
fn gre_and_mpls_say_what_follows() {
    let gre = Gre { key: Some(5), sequence: Some(6), checksum: false };
    let bytes = build(&[gre.into(), Erspan { kind: 2, session: 3, vlan: 0 }.into(), Ethernet::new(1, 2).into()], b"");
    assert_eq!(bytes[..4], [0x30, 0, 0x88, 0xbe]);
    let mpls = |label| Layer::from(Mpls { label, ttl: 64 });
    let bytes = build(&[mpls(16), mpls(17), Ipv4::new(A, B).into()], b"");
    assert_eq!(bytes[..8], [0, 1, 0, 64, 0, 1, 0x11, 64]);
}

#[test]
fn headers_beyond_the_headroom_still_fit() {
    let layers: Vec<Layer> = (0..60).map(|_| Ipv4::new(A, B).into()).collect();
    assert_eq!(build(&layers, b"end").len(), 60 * 20 + 3);
}
