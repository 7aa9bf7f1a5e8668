//! MPLS label stacks (RFC 3032). The labels do not say what they carry: IP is told by its version (RFC 4928), Ethernet
//! pseudowires (RFC 4448) by the type field of the frame they carry.

use super::layers::Layer;
use super::walk::{Step, Walk};
use super::{Next, ethernet};
use kcap_file::LinkType;
use nom::number::complete::be_u32;

/// Ethernet type of unicast MPLS.
pub(super) const UNICAST: u16 = 0x8847;
/// Ethernet type of MPLS with an upstream-assigned label (RFC 5332).
pub(super) const UPSTREAM: u16 = 0x8848;

const BOTTOM_OF_STACK: u32 = 0x100;
const CONTROL_WORD: usize = 4;
const ETHERNET_LEN: usize = 14;

pub(super) fn decode(walk: &mut Walk<'_>) -> Step {
    let entry = walk.parse(Layer::Mpls, be_u32)?;
    if entry & BOTTOM_OF_STACK == 0 {
        return Ok(Next::ether_type(UNICAST));
    }
    let Some(first) = walk.bytes().first() else { return Err(walk.short(Layer::Mpls)) };
    match first >> 4 {
        4 => Ok(Next::ether_type(ethernet::IPV4)),
        6 => Ok(Next::ether_type(ethernet::IPV6)),
        _ => pseudowire(walk),
    }
}

fn pseudowire(walk: &mut Walk<'_>) -> Step {
    if walk.bytes().len() < CONTROL_WORD.saturating_add(ETHERNET_LEN) && walk.is_cut() {
        return Err(walk.short(Layer::Mpls));
    }
    if carries_ethernet(walk.bytes(), CONTROL_WORD) && walk.bytes().first().is_some_and(|first| first >> 4 == 0) {
        walk.skip(CONTROL_WORD);
    } else if !carries_ethernet(walk.bytes(), 0) {
        return Err(walk.undecoded("mpls payload"));
    }
    Ok(Next::link(LinkType::ETHERNET))
}

/// Whether an Ethernet frame with IP, ARP or a VLAN tag starts at `at`.
fn carries_ethernet(bytes: &[u8], at: usize) -> bool {
    let field = bytes.get(at..).and_then(|frame| frame.get(12..14));
    matches!(field, Some([0x08, 0x00 | 0x06] | [0x86, 0xdd] | [0x81, 0x00]))
}
