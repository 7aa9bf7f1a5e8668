//! Geneve (RFC 8926).
//!
//! ```text
//! | version (2) | option length / 4 (6) | flags (8) | protocol (16) | VNI (24) | reserved (8) | options |
//! ```

use super::Next;
use super::layers::{Layer, TunnelKind};
use super::udp::may_be_tunnel;
use super::walk::{Step, Walk};
use nom::Parser;
use nom::bytes::complete::take;
use nom::number::complete::{be_u16, be_u24, u8};

/// RFC 8926 10.
pub(super) const PORT: u16 = 6081;

const OPTION_WORDS: u8 = 0x3f;

pub(super) fn on_port(walk: &mut Walk<'_>) -> Step {
    match walk.bytes().first() {
        Some(first) if first & !OPTION_WORDS == 0 && may_be_tunnel(walk) => decode(walk),
        None if walk.wire() != 0 => Err(walk.short(Layer::Geneve)),
        _ => Ok(Next::END),
    }
}

pub(super) fn decode(walk: &mut Walk<'_>) -> Step {
    let options = |first: u8| take(usize::from(first & OPTION_WORDS).saturating_mul(4));
    let header = u8.flat_map(|first| (u8, be_u16, be_u24, u8, options(first)));
    let (_, protocol, vni, _, _) = walk.parse(Layer::Geneve, header)?;
    walk.tunnel(TunnelKind::Geneve, Some(vni))?;
    Ok(Next::ether_type(protocol))
}
