//! ERSPAN types I to III (draft-foschiano-erspan-03): frames that a switch mirrored, so seen elsewhere than here.

use super::Next;
use super::layers::{Layer, TunnelKind};
use super::walk::{Step, Walk};
use kcap_file::LinkType;
use nom::Parser;
use nom::bytes::complete::take;
use nom::combinator::cond;
use nom::number::complete::be_u32;

const SESSION: u32 = 0x3ff;
/// The mirror cut the frame; how long it was, the headers inside tell.
const TRUNCATED: u32 = 0x400;
const PLATFORM_SUBHEADER: u32 = 1;

/// Types II and III, by the version in the first nibble.
pub(super) fn decode(walk: &mut Walk<'_>) -> Step {
    let Some(first) = walk.bytes().first() else { return Err(walk.short(Layer::Erspan)) };
    let first = match first >> 4 {
        1 => walk.parse(Layer::Erspan, (be_u32, be_u32).map(|(first, _)| first))?,
        2 => walk.parse(Layer::Erspan, type_iii)?,
        _ => return Err(walk.undecoded("erspan version")),
    };
    if first & TRUNCATED != 0 {
        walk.set_cut_by_mirror();
    }
    mirrored(walk, Some(first & SESSION))
}

pub(super) fn decode_type_i(walk: &mut Walk<'_>) -> Step {
    walk.note(Layer::Erspan)?;
    mirrored(walk, None)
}

fn type_iii(input: &[u8]) -> nom::IResult<&[u8], u32, ()> {
    let (input, (first, _timestamp, last)) = (be_u32, be_u32, be_u32).parse(input)?;
    let (input, _) = cond(last & PLATFORM_SUBHEADER != 0, take(8usize)).parse(input)?;
    Ok((input, first))
}

fn mirrored(walk: &mut Walk<'_>, session: Option<u32>) -> Step {
    walk.tunnel(TunnelKind::Erspan, session)?;
    walk.packet.bits.set_mirrored();
    Ok(Next::link(LinkType::ETHERNET))
}
