//! Linux cooked capture v2 (<https://www.tcpdump.org/linktypes/LINKTYPE_LINUX_SLL2.html>).

use super::layers::Layer;
use super::sll;
use super::walk::{Step, Walk};

/// Protocol (2 bytes), reserved (2), interface index (4), hardware type (2), packet type (1), address length (1),
/// address (8).
const HEADER_LEN: usize = 20;

#[inline]
pub(super) fn decode(walk: &mut Walk<'_>) -> Step {
    let &[protocol_high, protocol_low, _, _, i0, i1, i2, i3, hardware_high, hardware_low, packet_type, ..] =
        walk.fixed::<HEADER_LEN>(Layer::Sll2)?;
    walk.layers.interface_index = Some(u32::from_be_bytes([i0, i1, i2, i3]));
    sll::note_packet_type(packet_type.into(), walk);
    sll::payload(
        u16::from_be_bytes([hardware_high, hardware_low]),
        u16::from_be_bytes([protocol_high, protocol_low]),
        walk,
    )
}
