//! Linux cooked capture v2 (<https://www.tcpdump.org/linktypes/LINKTYPE_LINUX_SLL2.html>).

use super::layers::Layer;
use super::sll;
use super::walk::{Step, Walk};
use nom::bytes::complete::take;
use nom::number::complete::{be_u16, be_u32, u8};

#[inline]
pub(super) fn decode(walk: &mut Walk<'_>) -> Step {
    let (protocol, _, interface, hardware, packet_type, _, _) =
        walk.parse(Layer::Sll2, (be_u16, be_u16, be_u32, be_u16, u8, u8, take(8usize)))?;
    walk.layers.interface_index = Some(interface);
    sll::note_packet_type(packet_type.into(), walk);
    sll::payload(hardware, protocol, walk)
}
