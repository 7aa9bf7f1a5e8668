//! What most frames are, decoded in one step: Ethernet, IPv4 without options, then TCP or UDP, all headers whole.
//!
//! The general decoders cost three times as much for these, in dispatch and in checks made header by header. Nothing is
//! decided here: whatever is out of the ordinary is left to them, and for the rest a test holds both to the same result.

use super::{Next, Step, Walk};
use crate::Addr;
use crate::packet::{Kind, Packet, TcpFlags};
use crate::wire::layers::Layer;
use crate::wire::{tcp, udp};

const ETHERNET: usize = 14;
const IPV4: usize = 20;
/// Where the transport header starts.
const L4: usize = ETHERNET + IPV4;
const TCP: usize = 20;
/// More fragments follow, or an offset (RFC 791 3.1).
const FRAGMENT: u16 = 0x3fff;

/// The headers of these frames, from the Ethernet header to the end of TCP's fixed part.
struct Headers<'a>(&'a [u8; L4 + TCP]);

impl Headers<'_> {
    /// Whether they are IPv4 without options over Ethernet, and the packet is no fragment.
    #[inline]
    fn are_usual(&self) -> bool {
        let &[.., a, b, version, _] = self.0.first_chunk::<{ ETHERNET + 2 }>().unwrap_or(&[0; ETHERNET + 2]);
        [a, b, version] == [0x08, 0x00, 0x45] && self.half::<20>() & FRAGMENT == 0
    }

    #[inline]
    fn half<const AT: usize>(&self) -> u16 {
        let &bytes = self.array::<AT, 2>();
        u16::from_be_bytes(bytes)
    }

    #[inline]
    fn word<const AT: usize>(&self) -> u32 {
        let &bytes = self.array::<AT, 4>();
        u32::from_be_bytes(bytes)
    }

    /// `LEN` bytes from `AT`; the bounds are known when compiling, so no check is left.
    #[inline]
    fn array<const AT: usize, const LEN: usize>(&self) -> &[u8; LEN] {
        const { assert!(AT + LEN <= L4 + TCP, "within the headers") };
        self.0.get(AT..).and_then(|rest| rest.first_chunk()).unwrap_or(&[0; LEN])
    }

    #[inline]
    fn byte<const AT: usize>(&self) -> u8 {
        self.array::<AT, 1>()[0]
    }
}

/// Decodes the frame at the walk's place, where it is one of these.
#[inline]
pub(in crate::wire) fn decode(walk: &mut Walk<'_>) -> Option<Step> {
    let headers = Headers(walk.bytes.first_chunk()?);
    let total_len = usize::from(headers.half::<16>());
    if !headers.are_usual() || total_len.saturating_add(ETHERNET) > walk.wire() as usize {
        return None;
    }
    match headers.byte::<23>() {
        tcp::PROTOCOL => segment(walk, &headers, total_len),
        udp::PROTOCOL => datagram(walk, &headers, total_len),
        _ => None,
    }
}

#[inline]
fn segment(walk: &mut Walk<'_>, headers: &Headers<'_>, total_len: usize) -> Option<Step> {
    let header_len = usize::from(headers.byte::<46>() >> 4).wrapping_mul(4);
    let payload_len = total_len.checked_sub(IPV4)?.checked_sub(header_len)?;
    let header = walk.bytes.get(L4..L4.wrapping_add(header_len)).filter(|header| header.len() >= TCP)?;
    let packet = start(walk, headers, total_len, Layer::Tcp)?;
    packet.kind = Kind::Tcp;
    packet.seq = headers.word::<38>();
    packet.ack = headers.word::<42>();
    packet.flags = TcpFlags(headers.half::<46>() & 0x1ff);
    packet.window = headers.half::<48>();
    packet.l4_header_len = header_len as u8;
    packet.payload_len = payload_len as u32;
    tcp::note_timestamps(header, packet);
    Some(Ok(Next::END))
}

#[inline]
fn datagram(walk: &mut Walk<'_>, headers: &Headers<'_>, total_len: usize) -> Option<Step> {
    let len = usize::from(headers.half::<38>());
    let payload_len = len.checked_sub(udp::HEADER)?;
    if len.saturating_add(IPV4) > total_len {
        return None;
    }
    let packet = start(walk, headers, total_len, Layer::Udp)?;
    packet.kind = Kind::Udp;
    packet.l4_header_len = udp::HEADER as u8;
    packet.payload_len = payload_len as u32;
    walk.end = walk.offset.wrapping_add(L4.wrapping_add(len) as u32);
    walk.missing = 0;
    walk.bytes = walk.bytes.get(..L4.wrapping_add(len)).unwrap_or(walk.bytes);
    walk.skip(L4.wrapping_add(udp::HEADER));
    Some(udp::payload(walk))
}

/// Starts the packet: what both transports share. Nothing where there is no room for three layers.
#[inline]
fn start<'p>(
    walk: &'p mut Walk<'_>,
    headers: &Headers<'_>,
    total_len: usize,
    transport: Layer,
) -> Option<&'p mut Packet> {
    let captured = walk.bytes.len().min(ETHERNET.saturating_add(total_len)).saturating_sub(L4);
    let is_cut = walk.cut && captured < total_len.saturating_sub(IPV4);
    if !walk.layers.push_all([Layer::Ethernet, Layer::Ipv4, transport]) {
        return None;
    }
    let l4_offset = walk.offset.wrapping_add(L4 as u32);
    let packet = walk.start_packet(Addr::v4(*headers.array::<26, 4>()), Addr::v4(*headers.array::<30, 4>()));
    if is_cut {
        packet.bits.set_snapped();
    }
    if headers.byte::<20>() & 0x40 != 0 {
        packet.bits.set_dont_fragment();
    }
    packet.ttl = headers.byte::<22>();
    packet.proto = headers.byte::<23>();
    packet.ip_id = headers.half::<18>();
    packet.ip_len = total_len as u32;
    packet.l4_offset = l4_offset;
    packet.l4_caplen = captured as u32;
    (packet.src_port, packet.dst_port) = (headers.half::<34>(), headers.half::<36>());
    Some(packet)
}
