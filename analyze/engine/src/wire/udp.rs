//! UDP (RFC 768) and the tunnels in it.

use super::checksum::Ends;
use super::layers::{Layer, Outer};
use super::walk::{Step, Walk};
use super::{Next, Stop, decode_as, tcp, undecoded, vxlan, wireguard};
use crate::packet::{Kind, Packet};
use etherparse::UdpHeaderSlice;

/// Ports below are assigned to servers; the kernel takes no tunnel's source port from them
/// (`udp_flow_src_port`, include/net/udp.h).
const FIRST_EPHEMERAL_PORT: u16 = 1024;

#[inline]
pub(super) fn decode(walk: &mut Walk<'_>) -> Step {
    let Ok(header) = UdpHeaderSlice::from_slice(walk.bytes()) else { return partial(walk) };
    let length = u32::from(header.length());
    let said = walk.said();
    let packet = &mut *walk.packet;
    (packet.src_port, packet.dst_port) = (header.source_port(), header.destination_port());
    // Length 0 is a jumbogram (RFC 2675 4) or segmentation offload: the IP header tells.
    if (1..8).contains(&length) {
        // A frame that was cut before the length shows the layer as well.
        walk.note(Layer::Udp)?;
        return Err(walk.stop(Stop::Malformed(Layer::Udp)));
    }
    packet.kind = Kind::Udp;
    packet.l4_header_len = HEADER as u8;
    if length > said {
        packet.bits.set_malformed();
    } else if length != 0 {
        walk.limit(length);
    }
    walk.enter(Layer::Udp, HEADER)?;
    walk.packet.payload_len = walk.said();
    payload(walk)
}

/// What is in a datagram whose header is decoded: a tunnel that the user named, or what claims its port.
#[inline]
pub(super) fn payload(walk: &mut Walk<'_>) -> Step {
    let port = walk.packet.dst_port;
    let forced = walk.config.udp_tunnels.iter().find(|(tunnel_port, _)| *tunnel_port == port);
    match forced {
        None => Ok(Next::udp(port)),
        Some(&(_, kind)) => decode_as(kind, walk),
    }
}

/// A header that was cut behind its ports still tells who talks.
#[cold]
fn partial(walk: &mut Walk<'_>) -> Step {
    let has_ports = note_ports(walk);
    // What has no room for a header had none before the cut either.
    if walk.wire() < HEADER as u32 {
        return Err(walk.stop(Stop::Malformed(Layer::Udp)));
    }
    if has_ports && walk.is_cut() {
        walk.note(Layer::Udp)?;
        walk.packet.kind = Kind::Udp;
        walk.packet.l4_header_len = HEADER as u8;
        walk.packet.payload_len = walk.said().saturating_sub(HEADER as u32);
    }
    Err(walk.short(Layer::Udp))
}

/// Fills the ports that TCP, UDP and others have in their first four bytes; says whether they are there.
pub(super) fn note_ports(walk: &mut Walk<'_>) -> bool {
    let Some(&[a, b, c, d]) = walk.bytes().first_chunk() else { return false };
    (walk.packet.src_port, walk.packet.dst_port) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    true
}

/// The ports in the first fragment of a TCP or UDP datagram.
pub(super) fn note_ports_of_fragment(walk: &mut Walk<'_>) {
    if matches!(walk.packet.proto, tcp::PROTOCOL | PROTOCOL) {
        note_ports(walk);
    }
}

pub(super) const PROTOCOL: u8 = crate::packet::UDP;

/// Bytes of the header.
pub(super) const HEADER: usize = 8;

/// Whether a packet to a tunnel's port can be one of the tunnel: an answer from a server's port to a client that
/// happens to use this port is not.
pub(super) fn may_be_tunnel(walk: &Walk<'_>) -> bool {
    walk.packet.src_port >= FIRST_EPHEMERAL_PORT
}

/// Payload on a port that is no known tunnel's: VXLAN and WireGuard are told by their shape.
#[inline]
pub(super) fn by_shape(walk: &mut Walk<'_>) -> Step {
    if vxlan::has_shape(walk) {
        return vxlan::decode(walk);
    }
    if wireguard::has_shape(walk) {
        return wireguard::decode(walk);
    }
    undecoded::udp(walk)
}

/// Whether the checksum of a tunnel's outer datagram is right, where it carries a TCP segment. Nothing where it has none, is
/// not there as a whole, or either checksum is still to come: the outer one is made for what the inner one is to be.
pub(crate) fn has_right_sum(outer: &Outer, frame: &[u8], inner: &Packet) -> Option<bool> {
    let datagram = frame.get(outer.l4_offset as usize..).filter(|_| outer.port != 0)?;
    let &[_, _, _, _, a, b, c, d] = datagram.first_chunk()?;
    let len = u16::from_be_bytes([a, b]);
    let datagram = datagram.get(..len.into()).filter(|_| [c, d] != [0, 0])?;
    let ends = Ends { src: outer.src, dst: outer.dst, proto: PROTOCOL };
    let is_to_come = ends.is_to_come(len, [c, d]) || tcp::is_sum_to_come(inner, datagram);
    (!is_to_come).then(|| ends.is_right(datagram))
}
