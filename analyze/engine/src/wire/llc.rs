//! IEEE 802.2 logical link control; SNAP with Ethernet protocols is followed (RFC 1042).

use super::Next;
use super::layers::Layer;
use super::walk::{Step, Walk};
use nom::Parser;
use nom::number::complete::{be_u16, be_u24, u8};

const SNAP_SAP: u8 = 0xaa;
const STP_SAP: u8 = 0x42;
const UNNUMBERED_INFORMATION: u8 = 0x03;
/// SNAP organisation whose protocol numbers are Ethernet types.
const OUI_ETHERNET: u32 = 0;

pub(super) fn decode(walk: &mut Walk<'_>) -> Step {
    match walk.bytes() {
        [SNAP_SAP, SNAP_SAP, UNNUMBERED_INFORMATION, ..] => snap(walk),
        [STP_SAP, STP_SAP, ..] => Err(walk.undecoded("stp")),
        [0xff, 0xff, ..] => Err(walk.undecoded("ipx")),
        [] | [_] | [SNAP_SAP, SNAP_SAP] => Err(walk.short(Layer::Llc)),
        _ => Err(walk.undecoded("llc")),
    }
}

fn snap(walk: &mut Walk<'_>) -> Step {
    let (_, _, _, oui, protocol) = walk.parse(Layer::Llc, (u8, u8, u8, be_u24, be_u16).map(|header| header))?;
    if oui == OUI_ETHERNET { Ok(Next::ether_type(protocol)) } else { Err(walk.undecoded("snap")) }
}
