//! Frames put together from their layers, inner first.

use etherparse::{IpNumber, Ipv4Header, Ipv6FlowLabel, Ipv6Header};

pub(crate) const SRC: [u8; 4] = [10, 0, 0, 1];
pub(crate) const DST: [u8; 4] = [10, 0, 0, 2];
pub(crate) const SRC_V6: [u8; 16] = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
pub(crate) const DST_V6: [u8; 16] = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];

pub(crate) fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

pub(crate) fn ethernet(ether_type: u16, payload: &[u8]) -> Vec<u8> {
    join(&[&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1], &ether_type.to_be_bytes(), payload])
}

/// A tag, to be put behind an Ethernet header of type 0x8100.
pub(crate) fn vlan(id: u16, ether_type: u16, payload: &[u8]) -> Vec<u8> {
    join(&[&id.to_be_bytes(), &ether_type.to_be_bytes(), payload])
}

pub(crate) fn ipv4(proto: u8, payload: &[u8]) -> Vec<u8> {
    ipv4_with(proto, payload, |_| {})
}

pub(crate) fn ipv4_with(proto: u8, payload: &[u8], change: impl FnOnce(&mut Ipv4Header)) -> Vec<u8> {
    let mut header = Ipv4Header::new(payload.len() as u16, 64, IpNumber(proto), SRC, DST).expect("short payload");
    header.identification = 0x1234;
    change(&mut header);
    let mut bytes = Vec::new();
    header.write_raw(&mut bytes).expect("writing to memory");
    join(&[&bytes, payload])
}

pub(crate) fn ipv6(next_header: u8, payload: &[u8]) -> Vec<u8> {
    ipv6_with(next_header, payload, |_| {})
}

pub(crate) fn ipv6_with(next_header: u8, payload: &[u8], change: impl FnOnce(&mut Ipv6Header)) -> Vec<u8> {
    let mut header = Ipv6Header {
        traffic_class: 0,
        flow_label: Ipv6FlowLabel::ZERO,
        payload_length: payload.len() as u16,
        next_header: IpNumber(next_header),
        hop_limit: 63,
        source: SRC_V6,
        destination: DST_V6,
    };
    change(&mut header);
    join(&[&header.to_bytes(), payload])
}

/// Hop-by-hop, routing or destination options of 8 bytes times `words`, filled with one padding option.
pub(crate) fn extension(next_header: u8, words: u8, payload: &[u8]) -> Vec<u8> {
    let padding = words * 8 - 4;
    join(&[&[next_header, words - 1, 1, padding], &vec![0; padding.into()], payload])
}

pub(crate) fn fragment_header(next_header: u8, offset: u16, more: bool, id: u32, payload: &[u8]) -> Vec<u8> {
    let field = offset | u16::from(more);
    join(&[&[next_header, 0], &field.to_be_bytes(), &id.to_be_bytes(), payload])
}

pub(crate) fn udp(src_port: u16, dst_port: u16, payload: &[u8]) -> Vec<u8> {
    udp_with_length(src_port, dst_port, 8 + payload.len() as u16, payload)
}

pub(crate) fn udp_with_length(src_port: u16, dst_port: u16, length: u16, payload: &[u8]) -> Vec<u8> {
    join(&[&src_port.to_be_bytes(), &dst_port.to_be_bytes(), &length.to_be_bytes(), &[0, 0], payload])
}

pub(crate) const SEQ: u32 = 0x0102_0304;
pub(crate) const ACK: u32 = 0x0506_0708;
pub(crate) const TIMESTAMPS: [u8; 12] = [1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 8];

/// TCP from port 40000 to port 80, ACK and PSH set, window 512.
pub(crate) fn tcp(options: &[u8], payload: &[u8]) -> Vec<u8> {
    let offset = ((20 + options.len()) / 4) as u8;
    let ports = join(&[&40_000u16.to_be_bytes(), &80u16.to_be_bytes()]);
    let rest = [offset << 4, 0x18, 2, 0, 0, 0, 0, 0];
    join(&[&ports, &SEQ.to_be_bytes(), &ACK.to_be_bytes(), &rest, options, payload])
}

pub(crate) fn icmp(icmp_type: u8, code: u8, rest: [u8; 4], payload: &[u8]) -> Vec<u8> {
    join(&[&[icmp_type, code, 0, 0], &rest, payload])
}

pub(crate) fn arp(operation: u16, sender: [u8; 4], target: [u8; 4]) -> Vec<u8> {
    let head = [0, 1, 8, 0, 6, 4];
    join(&[&head, &operation.to_be_bytes(), &[2, 0, 0, 0, 0, 1], &sender, &[0; 6], &target])
}

pub(crate) fn sll(packet_type: u16, hardware: u16, protocol: u16, payload: &[u8]) -> Vec<u8> {
    let head = join(&[&packet_type.to_be_bytes(), &hardware.to_be_bytes(), &[0, 6]]);
    join(&[&head, &[0; 8], &protocol.to_be_bytes(), payload])
}

pub(crate) fn sll2(packet_type: u8, interface: u32, protocol: u16, payload: &[u8]) -> Vec<u8> {
    let head = join(&[&protocol.to_be_bytes(), &[0, 0], &interface.to_be_bytes(), &[0, 1, packet_type, 6]]);
    join(&[&head, &[0; 8], payload])
}

pub(crate) fn vxlan(flags: u8, vni: u32, frame: &[u8]) -> Vec<u8> {
    join(&[&[flags, 0, 0, 0], &(vni << 8).to_be_bytes(), frame])
}

pub(crate) fn vxlan_gpe(flags: u8, protocol: u8, vni: u32, payload: &[u8]) -> Vec<u8> {
    join(&[&[flags, 0, 0, protocol], &(vni << 8).to_be_bytes(), payload])
}

pub(crate) fn geneve(vni: u32, protocol: u16, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let first = [(options.len() / 4) as u8, 0];
    join(&[&first, &protocol.to_be_bytes(), &(vni << 8).to_be_bytes(), options, payload])
}

/// GRE with the optional words that `flags` announce.
pub(crate) fn gre(flags: u16, protocol: u16, words: &[u32], payload: &[u8]) -> Vec<u8> {
    let words: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
    join(&[&flags.to_be_bytes(), &protocol.to_be_bytes(), &words, payload])
}

pub(crate) fn mpls(labels: &[u32], payload: &[u8]) -> Vec<u8> {
    let last = labels.len() - 1;
    let entry = |(at, label): (usize, &u32)| (label << 12 | u32::from(at == last) << 8 | 64).to_be_bytes();
    join(&[&labels.iter().enumerate().flat_map(entry).collect::<Vec<u8>>(), payload])
}

/// PPP over Ethernet, session stage.
pub(crate) fn pppoe(protocol: u16, payload: &[u8]) -> Vec<u8> {
    let len = (2 + payload.len() as u16).to_be_bytes();
    join(&[&[0x11, 0, 0, 7], &len, &protocol.to_be_bytes(), payload])
}

/// An 802.11 frame with this frame control, and what follows the sequence number: more addresses and fields.
pub(crate) fn wlan(control: [u8; 2], more: &[u8], ether_type: u16, payload: &[u8]) -> Vec<u8> {
    join(&[&control, &[0; 22], more, &[0xaa, 0xaa, 3, 0, 0, 0], &ether_type.to_be_bytes(), payload])
}

/// A whole TCP segment in Ethernet, as it goes into tunnels.
pub(crate) fn tcp_frame() -> Vec<u8> {
    ethernet(0x0800, &ipv4(6, &tcp(&TIMESTAMPS, b"payload")))
}
