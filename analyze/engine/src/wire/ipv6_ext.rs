//! IPv6 extension headers (RFC 8200 4; mobility RFC 6275, HIP RFC 7401, Shim6 RFC 5533; jumbo payload RFC 2675).

use super::layers::Layer;
use super::walk::{Step, Walk};
use super::{Next, Version, ipv4};
use etherparse::{Ipv6FragmentHeaderSlice, Ipv6RawExtHeaderSlice};
use nom::Parser;
use nom::bytes::complete::{tag, take};
use nom::number::complete::be_u32;

const HOP_BY_HOP: u8 = 0;
const JUMBO_PAYLOAD: [u8; 2] = [0xc2, 4];

/// Hop-by-hop, routing, destination options, mobility, HIP and Shim6: all say their length alike.
pub(super) fn decode(walk: &mut Walk<'_>) -> Step {
    let header = Ipv6RawExtHeaderSlice::from_slice(walk.bytes()).map_err(|_| walk.short(Layer::Ipv6Ext))?;
    let next_header = header.next_header().0;
    walk.enter(Layer::Ipv6Ext, header.slice().len())?;
    walk.transport(next_header);
    Ok(Next::ip(Version::V6, next_header))
}

/// The fragment header. One with neither offset nor more fragments is whole (RFC 6946).
pub(super) fn fragment(walk: &mut Walk<'_>) -> Step {
    let header = Ipv6FragmentHeaderSlice::from_slice(walk.bytes()).map_err(|_| walk.short(Layer::Ipv6Ext))?;
    let next_header = header.next_header().0;
    walk.enter(Layer::Ipv6Ext, header.slice().len())?;
    walk.transport(next_header);
    if header.is_fragmenting_payload() {
        let offset = header.fragment_offset().byte_offset().into();
        ipv4::fragment(walk, offset, header.more_fragments(), header.identification());
        return Ok(Next::END);
    }
    Ok(Next::ip(Version::V6, next_header))
}

/// The length in the jumbo payload option, which stands first in the hop-by-hop header for its alignment.
pub(super) fn jumbo_payload_len(next_header: u8, payload: &[u8]) -> Option<u32> {
    let mut option = (take(2usize), tag(&JUMBO_PAYLOAD[..]), be_u32::<_, ()>);
    let (_, (_, _, len)) = option.parse(payload).ok().filter(|_| next_header == HOP_BY_HOP)?;
    Some(len)
}
