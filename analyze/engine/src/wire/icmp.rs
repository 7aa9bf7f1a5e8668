//! ICMP (RFC 792) and ICMPv6 (RFC 4443), with the packet that an error quotes.

use super::layers::{Layer, Layers, TunnelKind};
use super::walk::{self, Step, Walk};
use super::{DecodeConfig, Next, Stop, ethernet, run, step};
use crate::Addr;
use crate::packet::{Kind, Packet};

const HEADER_LEN: usize = 8;

/// Destination unreachable, source quench, time exceeded, parameter problem.
const V4_ERRORS: [u8; 4] = [V4_UNREACHABLE, 4, 11, 12];
const V4_UNREACHABLE: u8 = 3;
const V4_FRAGMENTATION_NEEDED: u8 = 4;
const V4_ECHO: [u8; 2] = [8, 0];
/// Errors are below 128; these are the assigned ones (RFC 4443 2.1).
const V6_ERRORS: [u8; 4] = [1, V6_PACKET_TOO_BIG, 3, 4];
const V6_PACKET_TOO_BIG: u8 = 2;
const V6_ECHO: [u8; 2] = [128, 129];

pub(super) fn decode_v4(walk: &mut Walk<'_>) -> Step {
    decode(walk, Layer::Icmp, V4_ECHO, V4_ERRORS)
}

pub(super) fn decode_v6(walk: &mut Walk<'_>) -> Step {
    decode(walk, Layer::Icmpv6, V6_ECHO, V6_ERRORS)
}

fn decode(walk: &mut Walk<'_>, layer: Layer, echo: [u8; 2], errors: [u8; 4]) -> Step {
    let Some(&[icmp_type, _, _, _, a, b, c, d]) = walk.bytes().first_chunk::<HEADER_LEN>() else {
        return Err(walk.short(layer));
    };
    let packet = &mut *walk.packet;
    packet.kind = Kind::Icmp;
    if echo.contains(&icmp_type) {
        packet.kind = Kind::Echo;
        let id = u16::from_be_bytes([a, b]);
        (packet.src_port, packet.dst_port) = (id, id);
        packet.seq = u16::from_be_bytes([c, d]).into();
    } else if errors.contains(&icmp_type) {
        packet.kind = Kind::IcmpError;
    }
    packet.l4_header_len = HEADER_LEN as u8;
    walk.enter(layer, HEADER_LEN)?;
    walk.packet.payload_len = walk.said();
    Ok(Next::END)
}

/// A packet as an ICMP error quotes it: its head only.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quoted {
    /// Source address.
    pub src: Addr,
    /// Destination address.
    pub dst: Addr,
    /// Transport protocol.
    pub proto: u8,
    /// Source port, or the identifier of an echo; 0 when not quoted.
    pub src_port: u16,
    /// Destination port, or the identifier of an echo; 0 when not quoted.
    pub dst_port: u16,
    /// TCP sequence number, or that of an echo, when quoted.
    pub seq: Option<u32>,
    /// First two bytes of a datagram's payload, when quoted: the identification of DNS.
    pub head: Option<u16>,
    /// Bytes that the IP header says the packet had.
    pub ip_len: u32,
    /// TTL or hop limit when it was given up.
    pub ttl: u8,
}

/// An ICMP error and the packet it is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quote {
    /// ICMP type.
    pub icmp_type: u8,
    /// ICMP code.
    pub code: u8,
    /// Next-hop MTU of "fragmentation needed" (RFC 1191) and "packet too big", bytes; 0 from routers before RFC 1191.
    pub mtu: Option<u32>,
    /// The packet that was given up.
    pub packet: Quoted,
    /// The tunnel this packet was, when it was one.
    pub tunnel: Option<TunnelKind>,
    /// The packet inside the tunnel, as far as it is quoted.
    pub inner: Option<Quoted>,
}

/// Reads an ICMP error and what it quotes from the bytes at a packet's `l4_offset`; `None` when it is no error, or the
/// IP header of the quoted packet is not whole.
pub fn quote(bytes: &[u8], is_v4: bool) -> Option<Quote> {
    let (&[icmp_type, code, _, _, a, b, c, d], quoted) = bytes.split_first_chunk::<HEADER_LEN>()?;
    let (errors, ether_type) = if is_v4 { (V4_ERRORS, ethernet::IPV4) } else { (V6_ERRORS, ethernet::IPV6) };
    if !errors.contains(&icmp_type) {
        return None;
    }
    let mtu = match (is_v4, icmp_type, code) {
        (true, V4_UNREACHABLE, V4_FRAGMENTATION_NEEDED) => Some(u16::from_be_bytes([c, d]).into()),
        (false, V6_PACKET_TOO_BIG, _) => Some(u32::from_be_bytes([a, b, c, d])),
        _ => None,
    };
    let (packet, tunnel, inner) = quoted_packet(quoted, ether_type)?;
    Some(Quote { icmp_type, code, mtu, packet, tunnel, inner })
}

/// Decodes the quoted packet as a frame that was cut, and stops once at its first tunnel to keep the outer packet.
fn quoted_packet(bytes: &[u8], ether_type: u16) -> Option<(Quoted, Option<TunnelKind>, Option<Quoted>)> {
    let (mut packet, mut layers, config) = (Packet::default(), Layers::default(), DecodeConfig::default());
    let mut walk = Walk::new(bytes, u32::MAX, &config, &mut packet, &mut layers);
    let (mut next, mut cut) = (Next::ether_type(ether_type), None);
    while next != Next::END && walk.layers.outers().is_empty() {
        next = step(next, &mut walk).unwrap_or_else(|walk::Stopped| {
            cut = tunnel_cut(walk.layers.stop);
            Next::END
        });
    }
    let outer = Quoted::of(walk.packet, bytes)?;
    let tunnel = walk.layers.outers().first().map(|outer| outer.kind).or(cut);
    if next == Next::END {
        return Some((outer, tunnel, None));
    }
    let headers = walk.layers.list().len();
    run(next, &mut walk);
    let is_ip = |layer: &Layer| matches!(layer, Layer::Ipv4 | Layer::Ipv6);
    let has_inner = walk.layers.list().get(headers..).unwrap_or_default().iter().any(is_ip);
    let inner = if has_inner { Quoted::of(walk.packet, bytes) } else { None };
    Some((outer, tunnel, inner))
}

/// The tunnel in whose header a quote ends: eight bytes behind the IP header are all that RFC 792 asks for.
fn tunnel_cut(stop: Stop) -> Option<TunnelKind> {
    match stop {
        Stop::Snapped(Layer::Vxlan) => Some(TunnelKind::Vxlan),
        Stop::Snapped(Layer::VxlanGpe) => Some(TunnelKind::VxlanGpe),
        Stop::Snapped(Layer::Geneve) => Some(TunnelKind::Geneve),
        Stop::Snapped(Layer::Gre) => Some(TunnelKind::Gre),
        _ => None,
    }
}

impl Quoted {
    fn of(packet: &Packet, bytes: &[u8]) -> Option<Self> {
        let &Packet { src, dst, proto, src_port, dst_port, ip_len, ttl, .. } = packet;
        if matches!(packet.kind, Kind::Other | Kind::Arp) {
            return None;
        }
        let transport = bytes.get(packet.l4_offset as usize..).unwrap_or_default();
        let has_seq = packet.kind == Kind::Echo || packet.proto == super::tcp::PROTOCOL && transport.len() >= 8;
        let seq = has_seq.then_some(packet.seq);
        let payload = if packet.kind == Kind::Udp { transport.get(8..).unwrap_or_default() } else { &[] };
        let head = payload.first_chunk().map(|head| u16::from_be_bytes(*head));
        Some(Self { src, dst, proto, src_port, dst_port, seq, head, ip_len, ttl })
    }
}
