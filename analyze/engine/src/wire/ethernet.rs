//! Ethernet II and IEEE 802.3 (<https://www.iana.org/assignments/ieee-802-numbers>).

use super::Next;
use super::layers::Layer;
use super::walk::{Step, Walk, usual};
use etherparse::Ethernet2HeaderSlice;

pub(super) const IPV4: u16 = 0x0800;
pub(super) const IPV6: u16 = 0x86dd;

/// Largest value of the type field that is a length (IEEE 802.3 3.2.6).
const MAX_LENGTH: u16 = 1500;

/// Smallest value of the type field that is a protocol.
pub(super) const MIN_PROTOCOL: u16 = 1536;

#[inline]
pub(super) fn decode(walk: &mut Walk<'_>) -> Step {
    if let Some(step) = usual::decode(walk) {
        return step;
    }
    let header = Ethernet2HeaderSlice::from_slice(walk.bytes()).map_err(|_| walk.short(Layer::Ethernet))?;
    walk.enter(Layer::Ethernet, header.slice().len())?;
    type_or_length(header.ether_type().0, walk)
}

/// The two bytes that are a protocol, or the length of a logical link control frame.
#[inline]
pub(super) fn type_or_length(field: u16, walk: &mut Walk<'_>) -> Step {
    match field {
        MIN_PROTOCOL.. => Ok(Next::ether_type(field)),
        0..=MAX_LENGTH => {
            walk.limit(field.into());
            Ok(Next::LLC)
        }
        _ => Err(walk.undecoded("ethernet type between length and protocol")),
    }
}
