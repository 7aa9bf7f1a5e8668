//! Raw IP: the version nibble tells which (<https://www.tcpdump.org/linktypes.html>, `LINKTYPE_RAW`).

use super::layers::Layer;
use super::walk::{Step, Walk};
use super::{Next, Stop, ethernet};

pub(super) fn decode(walk: &mut Walk<'_>) -> Step {
    let first = walk.bytes.first().ok_or_else(|| walk.short(Layer::Ipv4))?;
    match first >> 4 {
        4 => Ok(Next::EtherType(ethernet::IPV4)),
        6 => Ok(Next::EtherType(ethernet::IPV6)),
        _ => Err(Stop::Malformed(Layer::Ipv4)),
    }
}
