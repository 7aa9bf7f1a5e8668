//! Frames put together by hand, sharing no code with what is tested.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub(crate) const A4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
pub(crate) const B4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 9, 2));
pub(crate) const A6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 1, 0, 0, 0, 1));
pub(crate) const B6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 2, 0, 0, 0, 2));
/// Ends of tunnels.
pub(crate) const C4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
pub(crate) const D4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
pub(crate) const C6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
pub(crate) const D6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2));

pub(crate) fn ethernet(kind: u16, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    frame.extend(kind.to_be_bytes());
    frame.extend(body);
    frame
}

pub(crate) fn vlan(frame: &[u8]) -> Vec<u8> {
    let mut tagged = frame[..12].to_vec();
    tagged.extend([0x81, 0x00, 0x00, 0x07]);
    tagged.extend(&frame[12..]);
    tagged
}

/// An Ethernet frame of an IP packet.
pub(crate) fn framed(packet: &[u8]) -> Vec<u8> {
    ethernet(if packet[0] >> 4 == 4 { 0x0800 } else { 0x86dd }, packet)
}

pub(crate) fn ip(from: IpAddr, to: IpAddr, protocol: u8, body: &[u8]) -> Vec<u8> {
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => v4(from, to, protocol, &[], 0, body),
        (IpAddr::V6(from), IpAddr::V6(to)) => v6(from, to, protocol, body),
        _ => unreachable!("one version"),
    }
}

pub(crate) fn v4(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, options: &[u8], fragment: u16, body: &[u8]) -> Vec<u8> {
    let words = 5 + options.len() / 4;
    let mut packet = vec![0x40 | words as u8, 0];
    packet.extend(((words * 4 + body.len()) as u16).to_be_bytes());
    packet.extend([0, 9]);
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, protocol, 0, 0]);
    packet.extend(from.octets());
    packet.extend(to.octets());
    packet.extend(options);
    packet.extend(body);
    packet
}

pub(crate) fn v6(from: Ipv6Addr, to: Ipv6Addr, next: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((body.len() as u16).to_be_bytes());
    packet.extend([next, 64]);
    packet.extend(from.octets());
    packet.extend(to.octets());
    packet.extend(body);
    packet
}

/// A destination options header of eight bytes times `units` plus one, before `next`.
pub(crate) fn options6(next: u8, units: u8, body: &[u8]) -> Vec<u8> {
    let mut header = vec![next, units];
    header.resize(8 * (usize::from(units) + 1), 1);
    header.extend(body);
    header
}

pub(crate) fn fragment6(next: u8, offset: u16, body: &[u8]) -> Vec<u8> {
    let mut header = vec![next, 0];
    header.extend((offset << 3 | 1).to_be_bytes());
    header.extend([0, 0, 0, 5]);
    header.extend(body);
    header
}

/// An authentication header of 16 bytes.
pub(crate) fn authentication(next: u8, body: &[u8]) -> Vec<u8> {
    let mut header = vec![next, 2];
    header.resize(16, 3);
    header.extend(body);
    header
}

pub(crate) fn udp(from: u16, to: u16, body: &[u8]) -> Vec<u8> {
    let mut datagram = [from, to, 8 + body.len() as u16, 0].map(u16::to_be_bytes).concat();
    datagram.extend(body);
    datagram
}

pub(crate) fn tcp(from: u16, to: u16) -> Vec<u8> {
    let mut segment = [from, to].map(u16::to_be_bytes).concat();
    segment.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0]);
    segment
}

pub(crate) fn vxlan(frame: &[u8]) -> Vec<u8> {
    [&[8, 0, 0, 0, 0, 0, 42, 0], frame].concat()
}

pub(crate) fn geneve(kind: u16, options: usize, body: &[u8]) -> Vec<u8> {
    let mut header = vec![(options / 4) as u8, 0];
    header.extend(kind.to_be_bytes());
    header.extend([0, 0, 42, 0]);
    header.resize(8 + options, 0xee);
    header.extend(body);
    header
}

pub(crate) fn gre(kind: u16, key: bool, body: &[u8]) -> Vec<u8> {
    let mut header = vec![if key { 0x20 } else { 0 }, 0];
    header.extend(kind.to_be_bytes());
    header.resize(if key { 8 } else { 4 }, 0xaa);
    header.extend(body);
    header
}

/// An ICMP error about a packet.
pub(crate) fn error(kind: u8, about: &[u8]) -> Vec<u8> {
    let mut message = vec![kind, 0, 0, 0, 0, 0, 0, 0];
    message.extend(about);
    message
}

pub(crate) fn arp(sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let mut body = vec![0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 2];
    body.extend(sender.octets());
    body.extend([0; 6]);
    body.extend(target.octets());
    ethernet(0x0806, &body)
}
