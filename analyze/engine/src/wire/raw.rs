//! Raw IP (<https://www.tcpdump.org/linktypes.html>, `LINKTYPE_RAW`, `LINKTYPE_IPV4`, `LINKTYPE_IPV6`): the version
//! nibble tells which, even where the link type promises one.

use super::layers::Layer;
use super::walk::{Step, Walk};
use super::{Next, Stop, ethernet};

pub(super) fn decode(walk: &mut Walk<'_>) -> Step {
    let Some(first) = walk.bytes().first() else { return Err(walk.short(Layer::Ipv4)) };
    match first >> 4 {
        4 => Ok(Next::ether_type(ethernet::IPV4)),
        6 => Ok(Next::ether_type(ethernet::IPV6)),
        _ => Err(walk.stop(Stop::Malformed(Layer::Ipv4))),
    }
}
