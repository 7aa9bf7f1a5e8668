//! PPP over Ethernet, session stage (RFC 2516 4), with the protocol field of PPP (RFC 1661 2).
//!
//! ```text
//! | version, type | code | session id | length | PPP protocol |
//! ```

use super::layers::Layer;
use super::walk::{Step, Walk};
use super::{Next, ethernet};
use nom::number::complete::{be_u16, u8};

/// Code of a frame that carries data.
const SESSION_DATA: u8 = 0;
/// PPP protocols (<https://www.iana.org/assignments/ppp-numbers>).
const PPP_IPV4: u16 = 0x0021;
const PPP_IPV6: u16 = 0x0057;
/// Bytes of the protocol field, which the length counts.
const PROTOCOL_LEN: u32 = 2;

pub(super) fn decode(walk: &mut Walk<'_>) -> Step {
    let (_, code, _, len, protocol) = walk.parse(Layer::Pppoe, (u8, u8, be_u16, be_u16, be_u16))?;
    walk.limit(u32::from(len).saturating_sub(PROTOCOL_LEN));
    match (code, protocol) {
        (SESSION_DATA, PPP_IPV4) => Ok(Next::ether_type(ethernet::IPV4)),
        (SESSION_DATA, PPP_IPV6) => Ok(Next::ether_type(ethernet::IPV6)),
        _ => Err(walk.undecoded("ppp")),
    }
}
