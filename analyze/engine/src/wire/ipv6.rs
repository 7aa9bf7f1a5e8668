//! IPv6 (RFC 8200).

use super::layers::Layer;
use super::walk::{Step, Stopped, Walk};
use super::{Next, Stop, Version, ipv6_ext};
use crate::Addr;
use etherparse::Ipv6HeaderSlice;
use etherparse::err::ipv6::HeaderSliceError;

const NO_NEXT_HEADER: u8 = 59;

#[inline]
pub(super) fn decode(walk: &mut Walk<'_>) -> Step {
    let header = Ipv6HeaderSlice::from_slice(walk.bytes()).map_err(|error| match error {
        HeaderSliceError::Len(_) => walk.short(Layer::Ipv6),
        HeaderSliceError::Content(_) => walk.stop(Stop::Malformed(Layer::Ipv6)),
    })?;
    let header_len = header.slice().len();
    let next_header = header.next_header().0;
    let payload_len = match header.payload_length() {
        0 if next_header != NO_NEXT_HEADER => long_payload_len(walk, header_len, next_header)?,
        len => len.into(),
    };
    let packet = walk.start_packet(Addr::v6(header.source()), Addr::v6(header.destination()));
    packet.ttl = header.hop_limit();
    packet.ip_len = payload_len.saturating_add(header_len as u32);
    walk.enter(Layer::Ipv6, header_len)?;
    walk.limit(payload_len);
    walk.transport(next_header);
    Ok(Next::ip(Version::V6, next_header))
}

/// A payload longer than the field can say: a jumbogram names its length (RFC 2675), one of segmentation offload does
/// not, so the frame tells.
#[cold]
fn long_payload_len(walk: &mut Walk<'_>, header_len: usize, next_header: u8) -> Result<u32, Stopped> {
    let payload = walk.bytes().get(header_len..).unwrap_or_default();
    if let Some(len) = ipv6_ext::jumbo_payload_len(next_header, payload) {
        return Ok(len);
    }
    let len = walk.offloaded_len().ok_or_else(|| walk.stop(Stop::Malformed(Layer::Ipv6)))?;
    Ok(len.saturating_sub(header_len as u32))
}
