//! WireGuard (<https://www.wireguard.com/protocol/>): recognised, never opened. The packet stays the outer UDP.

use super::Next;
use super::layers::{Layer, TunnelKind};
use super::udp::may_be_tunnel;
use super::walk::{Step, Walk};

const INITIATION_LEN: u32 = 148;
const RESPONSE_LEN: u32 = 92;
const COOKIE_LEN: u32 = 64;
/// A keepalive: header of 16 bytes and the authentication tag. Data comes padded to 16.
const MIN_DATA_LEN: u32 = 32;

pub(super) fn decode(walk: &mut Walk<'_>) -> Step {
    walk.tunnel(TunnelKind::WireGuard, None)?;
    walk.note(Layer::WireGuard)?;
    Ok(Next::END)
}

/// Whether type, reserved bytes and length are those of a WireGuard message.
pub(super) fn has_shape(walk: &Walk<'_>) -> bool {
    let &[kind @ 1..=4, 0, 0, 0, ref rest @ ..] = walk.bytes() else { return false };
    let len_fits = match kind {
        1 => walk.wire() == INITIATION_LEN,
        2 => walk.wire() == RESPONSE_LEN,
        3 => walk.wire() == COOKIE_LEN,
        _ => walk.wire() >= MIN_DATA_LEN && walk.wire().is_multiple_of(16) && counter_is_small(rest),
    };
    len_fits && may_be_tunnel(walk)
}

/// A data message counts from 0 in little endian: no key lives for 2^48 messages.
fn counter_is_small(rest: &[u8]) -> bool {
    matches!(rest.get(10..12), Some([0, 0]))
}
