use super::link::{put16, put32};
use super::{Around, Buf, Layer, ROOM, build};
use pnet_packet::ip::IpNextHeaderProtocol;
use pnet_packet::ipv4::{self, MutableIpv4Packet};
use pnet_packet::ipv6::MutableIpv6Packet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An IPv4 header (RFC 791).
#[derive(Clone, Debug)]
pub struct Ipv4 {
    /// Source.
    pub src: Ipv4Addr,
    /// Destination.
    pub dst: Ipv4Addr,
    /// Time to live.
    pub ttl: u8,
    /// Type of service.
    pub tos: u8,
    /// Identification.
    pub id: u16,
    /// DF.
    pub dont_fragment: bool,
    /// MF.
    pub more: bool,
    /// Fragment offset in bytes, a multiple of 8.
    pub offset: u16,
    /// Options, a multiple of 4 bytes.
    pub options: Vec<u8>,
    /// Protocol when the payload follows; a layer that follows says its own.
    pub protocol: u8,
    /// Writes 0 as total length, as segmentation offload leaves it in packets above 65,535 bytes.
    pub no_length: bool,
}

impl Ipv4 {
    /// A header as Linux sends it.
    pub fn new(src: Ipv4Addr, dst: Ipv4Addr) -> Self {
        Self {
            src,
            dst,
            ttl: 64,
            tos: 0,
            id: 0,
            dont_fragment: true,
            more: false,
            offset: 0,
            options: Vec::new(),
            protocol: 0,
            no_length: false,
        }
    }

    fn flags(&self) -> u8 {
        u8::from(self.dont_fragment) << 1 | u8::from(self.more)
    }

    pub(super) fn push(&self, buf: &mut Buf, around: &Around<'_>) {
        let header_len = 20 + self.options.len();
        let packet = buf.push(header_len);
        let length = if self.no_length { 0 } else { packet.len() };
        packet[20..header_len].copy_from_slice(&self.options);
        let mut header = MutableIpv4Packet::new(&mut packet[..header_len]).expect(ROOM);
        header.set_version(4);
        header.set_header_length((header_len / 4) as u8);
        header.set_dscp(self.tos >> 2);
        header.set_ecn(self.tos & 3);
        header.set_total_length(length as u16);
        header.set_identification(self.id);
        header.set_flags(self.flags());
        header.set_fragment_offset(self.offset / 8);
        header.set_ttl(self.ttl);
        header.set_next_level_protocol(IpNextHeaderProtocol::new(around.protocol().unwrap_or(self.protocol)));
        header.set_source(self.src);
        header.set_destination(self.dst);
        let checksum = ipv4::checksum(&header.to_immutable());
        header.set_checksum(checksum);
    }
}

/// An IPv6 header (RFC 8200).
#[derive(Clone, Debug)]
pub struct Ipv6 {
    /// Source.
    pub src: Ipv6Addr,
    /// Destination.
    pub dst: Ipv6Addr,
    /// Hop limit.
    pub hop_limit: u8,
    /// Flow label.
    pub flow_label: u32,
    /// Next header when the payload follows; a layer that follows says its own.
    pub protocol: u8,
}

impl Ipv6 {
    /// A header as Linux sends it.
    pub fn new(src: Ipv6Addr, dst: Ipv6Addr) -> Self {
        Self { src, dst, hop_limit: 64, flow_label: 0, protocol: 59 }
    }

    pub(super) fn push(&self, buf: &mut Buf, around: &Around<'_>) {
        let packet = buf.push(40);
        let length = packet.len() - 40;
        let mut header = MutableIpv6Packet::new(&mut packet[..40]).expect(ROOM);
        header.set_version(6);
        header.set_flow_label(self.flow_label);
        header.set_payload_length(length as u16);
        header.set_next_header(IpNextHeaderProtocol::new(around.protocol().unwrap_or(self.protocol)));
        header.set_hop_limit(self.hop_limit);
        header.set_source(self.src);
        header.set_destination(self.dst);
    }
}

/// An IP header of the addresses' version.
///
/// # Panics
/// The addresses are of two versions.
pub fn ip(src: IpAddr, dst: IpAddr) -> Layer {
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => Ipv4::new(src, dst).into(),
        (IpAddr::V6(src), IpAddr::V6(dst)) => Ipv6::new(src, dst).into(),
        _ => unreachable!("source and destination are of one IP version"),
    }
}

/// An IPv6 extension header.
#[derive(Clone, Debug)]
pub struct Extension {
    /// Its number: 0 hop-by-hop, 43 routing, 44 fragment, 51 authentication, 60 destination options.
    pub kind: u8,
    /// All of it but the two bytes in front; a multiple of 8 less 2 (of 4 less 2 for authentication).
    pub body: Vec<u8>,
    /// Next header when the payload follows.
    pub protocol: u8,
}

impl Extension {
    /// Hop-by-hop options: `PadN` and nothing else.
    pub fn hop_by_hop() -> Self {
        Self { kind: 0, body: vec![1, 4, 0, 0, 0, 0], protocol: 59 }
    }

    /// Destination options: `PadN` and nothing else, 16 bytes.
    pub fn destination() -> Self {
        Self { kind: 60, body: vec![1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], protocol: 59 }
    }

    /// Segment routing by way of `via`, nothing left to do.
    pub fn routing(via: Ipv6Addr) -> Self {
        let mut body = vec![4, 0, 0, 0, 0, 0];
        body.extend_from_slice(&via.octets());
        Self { kind: 43, body, protocol: 59 }
    }

    /// A fragment: offset in bytes, a multiple of 8.
    pub fn fragment(id: u32, offset: u16, more: bool, protocol: u8) -> Self {
        let mut body = vec![0; 6];
        put16(&mut body, 0, offset | u16::from(more));
        put32(&mut body, 2, id);
        Self { kind: 44, body, protocol }
    }

    /// Authentication header (RFC 4302) with a 12-byte check value.
    pub fn authentication(spi: u32, sequence: u32) -> Self {
        let mut body = vec![0; 22];
        put32(&mut body, 2, spi);
        put32(&mut body, 6, sequence);
        Self { kind: 51, body, protocol: 59 }
    }

    /// The length byte: 8-byte units after the first; reserved in a fragment header; 4-byte units less 2 in AH.
    fn length(&self) -> u8 {
        match self.kind {
            44 => 0,
            51 => ((self.body.len() + 2) / 4 - 2) as u8,
            _ => ((self.body.len() + 2) / 8 - 1) as u8,
        }
    }

    pub(super) fn push(&self, buf: &mut Buf, around: &Around<'_>) {
        let header = buf.push(2 + self.body.len());
        header[0] = around.protocol().unwrap_or(self.protocol);
        header[1] = self.length();
        header[2..2 + self.body.len()].copy_from_slice(&self.body);
    }
}

/// The transport part of a packet: what its IP fragments carry.
fn transport(ip: Layer, inner: &[Layer], payload: &[u8], header_len: usize) -> Vec<u8> {
    let layers: Vec<Layer> = std::iter::once(ip).chain(inner.iter().cloned()).collect();
    build(&layers, payload).split_off(header_len)
}

/// Cuts a datagram into IPv4 fragments of at most `mtu` bytes, each in `link` layers.
pub fn fragments(link: &[Layer], ip: &Ipv4, inner: &[Layer], payload: &[u8], mtu: usize) -> Vec<Vec<u8>> {
    let whole = transport(ip.clone().into(), inner, payload, 20 + ip.options.len());
    let protocol = inner.first().and_then(Layer::protocol).unwrap_or(ip.protocol);
    let room = (mtu - 20 - ip.options.len()) / 8 * 8;
    let parts = whole.chunks(room).count();
    let part = |(n, chunk): (usize, &[u8])| {
        let (more, offset) = (n + 1 < parts, (n * room) as u16);
        let layer = Ipv4 { more, offset, protocol, dont_fragment: false, ..ip.clone() };
        build(&[link, &[layer.into()]].concat(), chunk)
    };
    whole.chunks(room).enumerate().map(part).collect()
}

/// Cuts a datagram into IPv6 fragments of at most `mtu` bytes, each in `link` layers.
pub fn fragments_v6(link: &[Layer], ip: &Ipv6, id: u32, inner: &[Layer], payload: &[u8], mtu: usize) -> Vec<Vec<u8>> {
    let whole = transport(ip.clone().into(), inner, payload, 40);
    let protocol = inner.first().and_then(Layer::protocol).unwrap_or(ip.protocol);
    let room = (mtu - 48) / 8 * 8;
    let parts = whole.chunks(room).count();
    let part = |(n, chunk): (usize, &[u8])| {
        let extension = Extension::fragment(id, (n * room) as u16, n + 1 < parts, protocol);
        build(&[link, &[ip.clone().into(), extension.into()]].concat(), chunk)
    };
    whole.chunks(room).enumerate().map(part).collect()
}
