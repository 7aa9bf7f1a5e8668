//! IP authentication header (RFC 4302): what it covers is readable.

use super::layers::Layer;
use super::walk::{Step, Walk};
use super::{Next, Stop, Version};
use etherparse::IpAuthHeaderSlice;
use etherparse::err::ip_auth::HeaderSliceError;

pub(super) fn decode(walk: &mut Walk<'_>) -> Step {
    let header = IpAuthHeaderSlice::from_slice(walk.bytes()).map_err(|error| match error {
        HeaderSliceError::Len(_) => walk.short(Layer::Ah),
        HeaderSliceError::Content(_) => walk.stop(Stop::Malformed(Layer::Ah)),
    })?;
    let next_header = header.next_header().0;
    // Extension headers may follow in IPv6 only.
    let version = if walk.packet.src.is_v4() { Version::V4 } else { Version::V6 };
    walk.enter(Layer::Ah, header.slice().len())?;
    walk.transport(next_header);
    Ok(Next::ip(version, next_header))
}
