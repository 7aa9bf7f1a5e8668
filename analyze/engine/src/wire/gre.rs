//! GRE version 0 (RFC 2784, key and sequence RFC 2890), over IP and over UDP (RFC 8086).

use super::Next;
use super::layers::{Layer, TunnelKind};
use super::udp::may_be_tunnel;
use super::walk::{Step, Walk};
use nom::combinator::cond;
use nom::number::complete::{be_u16, be_u32};
use nom::{IResult, Parser};

/// RFC 8086 9.
pub(super) const PORT: u16 = 4754;
/// Protocol type of ERSPAN I and II.
pub(super) const ERSPAN_II: u16 = 0x88be;
/// Protocol type of ERSPAN III.
pub(super) const ERSPAN_III: u16 = 0x22eb;

const CHECKSUM: u16 = 0x8000;
const ROUTING: u16 = 0x4000;
const KEY: u16 = 0x2000;
const SEQUENCE: u16 = 0x1000;
/// Recursion control and flags of RFC 1701, which RFC 2784 wants zero.
const RESERVED: u16 = 0x0ff8;
const VERSION: u16 = 0x0007;

struct Header {
    flags: u16,
    protocol: u16,
    key: Option<u32>,
}

fn header(input: &[u8]) -> IResult<&[u8], Header, ()> {
    let (input, (flags, protocol)) = (be_u16, be_u16).parse(input)?;
    let mut optional = (cond(flags & CHECKSUM != 0, be_u32), cond(flags & KEY != 0, be_u32));
    let (input, (_, key)) = optional.parse(input)?;
    let (input, _) = cond(flags & SEQUENCE != 0, be_u32).parse(input)?;
    Ok((input, Header { flags, protocol, key }))
}

pub(super) fn on_port(walk: &mut Walk<'_>) -> Step {
    match walk.bytes().first_chunk() {
        Some(&flags) if u16::from_be_bytes(flags) & (RESERVED | VERSION) == 0 && may_be_tunnel(walk) => decode(walk),
        None if walk.wire() != 0 => Err(walk.short(Layer::Gre)),
        _ => Ok(Next::END),
    }
}

pub(super) fn decode(walk: &mut Walk<'_>) -> Step {
    let Some(first) = walk.bytes().first_chunk() else { return Err(walk.short(Layer::Gre)) };
    match u16::from_be_bytes(*first) {
        flags if flags & VERSION == 1 => return Err(walk.undecoded("gre-pptp")),
        flags if flags & VERSION != 0 => return Err(walk.undecoded("gre version")),
        flags if flags & ROUTING != 0 => return Err(walk.undecoded("gre-routing")),
        _ => {}
    }
    let header = walk.parse(Layer::Gre, header)?;
    match (header.protocol, header.flags & SEQUENCE) {
        // ERSPAN I is bare: no sequence number and no header of its own (draft-foschiano-erspan-03 4.1).
        (ERSPAN_II, 0) => super::erspan::decode_type_i(walk),
        (ERSPAN_II | ERSPAN_III, _) => Ok(Next::ether_type(header.protocol)),
        (protocol, _) => {
            walk.tunnel(TunnelKind::Gre, header.key)?;
            Ok(Next::ether_type(protocol))
        }
    }
}
