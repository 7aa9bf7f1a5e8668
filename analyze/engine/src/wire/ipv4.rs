//! IPv4 (RFC 791).

use super::layers::{Fragment, Layer};
use super::walk::{Step, Walk};
use super::{Next, Stop, Version, udp};
use crate::Addr;
use crate::packet::Kind;
use etherparse::Ipv4HeaderSlice;
use etherparse::err::ipv4::HeaderSliceError;

#[inline]
pub(super) fn decode(walk: &mut Walk<'_>) -> Step {
    let header = Ipv4HeaderSlice::from_slice(walk.bytes()).map_err(|error| match error {
        HeaderSliceError::Len(_) => walk.short(Layer::Ipv4),
        HeaderSliceError::Content(_) => walk.stop(Stop::Malformed(Layer::Ipv4)),
    })?;
    let header_len = header.slice().len();
    let total_len = match header.total_len() {
        0 => walk.offloaded_len().ok_or_else(|| walk.stop(Stop::Malformed(Layer::Ipv4)))?,
        len => len.into(),
    };
    if total_len < header_len as u32 {
        return Err(walk.stop(Stop::Malformed(Layer::Ipv4)));
    }
    let packet = walk.start_packet(Addr::v4(header.source()), Addr::v4(header.destination()));
    packet.ttl = header.ttl();
    packet.ip_id = header.identification();
    packet.ip_len = total_len;
    if header.dont_fragment() {
        packet.bits.set_dont_fragment();
    }
    walk.limit(total_len);
    walk.enter(Layer::Ipv4, header_len)?;
    let proto = header.protocol().0;
    walk.transport(proto);
    if header.is_fragmenting_payload() {
        let offset = header.fragments_offset().byte_offset().into();
        fragment(walk, offset, header.more_fragments(), header.identification().into());
        return Ok(Next::END);
    }
    Ok(Next::ip(Version::V4, proto))
}

/// A part of a datagram: kept for the reassembler; a first part tells its ports.
#[cold]
pub(super) fn fragment(walk: &mut Walk<'_>, offset: u32, more: bool, id: u32) {
    walk.packet.kind = Kind::Fragment;
    walk.layers.fragment = Some(Fragment {
        id,
        offset,
        more,
        proto: walk.packet.proto,
        payload_offset: walk.offset(),
        payload_len: walk.said(),
        payload_caplen: walk.bytes().len() as u32,
    });
    if offset == 0 {
        udp::note_ports_of_fragment(walk);
    }
}
