//! BSD loopback: an address family in the byte order of the capturing machine, or (LOOP) in network order
//! (<https://www.tcpdump.org/linktypes.html>, `LINKTYPE_NULL` and `LINKTYPE_LOOP`).

use super::ethernet::MIN_PROTOCOL;
use super::layers::Layer;
use super::walk::{Step, Walk};
use super::{Next, ethernet};
use nom::number::complete::be_u32;

const INET: u32 = 2;

pub(super) fn decode(walk: &mut Walk<'_>) -> Step {
    let family = walk.parse(Layer::Null, be_u32)?;
    if let ether_type @ MIN_PROTOCOL.. = family as u16 {
        // Some writers end the header in an Ethernet type; no family, in either order, looks like that.
        return Ok(Next::ether_type(ether_type));
    }
    // No family is above 255, so the bytes tell in which order they are.
    payload(if family > 0xff { family.swap_bytes() } else { family }, walk)
}

pub(super) fn decode_loop(walk: &mut Walk<'_>) -> Step {
    let family = walk.parse(Layer::Null, be_u32)?;
    payload(family, walk)
}

fn payload(family: u32, walk: &mut Walk<'_>) -> Step {
    match family {
        INET => Ok(Next::ether_type(ethernet::IPV4)),
        // AF_INET6 of Linux, NetBSD and OpenBSD, FreeBSD, Darwin.
        10 | 24 | 28 | 30 => Ok(Next::ether_type(ethernet::IPV6)),
        _ => Err(walk.undecoded("address family")),
    }
}
