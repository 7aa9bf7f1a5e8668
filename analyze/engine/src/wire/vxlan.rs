//! VXLAN (RFC 7348), with the bits of its group policy extension let through.
//!
//! ```text
//! | flags (8) = 0x08 | reserved (24) | VNI (24) | reserved (8) |
//! ```

use super::layers::{Layer, TunnelKind};
use super::udp::may_be_tunnel;
use super::walk::{Step, Walk};
use super::{Next, ethernet};
use kcap_file::LinkType;

/// Assigned by IANA (RFC 7348 8).
pub(super) const PORT: u16 = 4789;
/// What Linux took before that and flannel, Calico and k3s still take (`VXLAN_PORT`, drivers/net/vxlan).
pub(super) const PORT_LINUX: u16 = 8472;

const VNI_IS_VALID: u8 = 0x08;
const HEADER_LEN: usize = 8;
const ETHERNET_LEN: usize = 14;
/// Ethernet pads shorter frames to this, without checksum.
const ETHERNET_MIN: usize = 60;

/// On a VXLAN port: anything that has a VNI and can be sent by a tunnel end; else by shape.
#[inline]
pub(super) fn on_port(walk: &mut Walk<'_>) -> Step {
    let Some(flags) = walk.bytes().first() else {
        return if walk.wire() == 0 { Ok(Next::END) } else { Err(walk.short(Layer::Vxlan)) };
    };
    let claims = flags & VNI_IS_VALID != 0 && may_be_tunnel(walk);
    if claims || has_shape(walk) { decode(walk) } else { Ok(Next::END) }
}

#[inline]
pub(super) fn decode(walk: &mut Walk<'_>) -> Step {
    let &[flags, _, _, _, a, b, c, _] = walk.fixed::<HEADER_LEN>(Layer::Vxlan)?;
    let vni = u32::from_be_bytes([0, a, b, c]);
    walk.tunnel(TunnelKind::Vxlan, (flags & VNI_IS_VALID != 0).then_some(vni))?;
    Ok(Next::link(LinkType::ETHERNET))
}

/// Whether the payload can be nothing but VXLAN: all fixed bits as RFC 7348 wants them, and inside an Ethernet frame
/// whose network header says the very length that is there.
pub(super) fn has_shape(walk: &Walk<'_>) -> bool {
    match walk.bytes() {
        &[VNI_IS_VALID, 0, 0, 0, _, _, _, 0, ref frame @ ..] => carries_frame(frame, walk.wire() as usize),
        _ => false,
    }
}

fn carries_frame(frame: &[u8], payload_len: usize) -> bool {
    let Some(frame_len) = payload_len.checked_sub(HEADER_LEN) else { return false };
    let Some((header, network)) = frame.split_at_checked(ETHERNET_LEN) else { return false };
    let network_len = frame_len.saturating_sub(ETHERNET_LEN);
    match header.last_chunk().map(|field| u16::from_be_bytes(*field)) {
        Some(0x8100) => {
            let inner = network.get(2..).and_then(<[u8]>::split_first_chunk);
            inner.is_some_and(|(field, network)| {
                fills(u16::from_be_bytes(*field), network, network_len.saturating_sub(4), frame_len)
            })
        }
        Some(field) => fills(field, network, network_len, frame_len),
        None => false,
    }
}

/// Whether a network header of this type says that it fills the frame, but for padding to the smallest frame.
fn fills(ether_type: u16, network: &[u8], network_len: usize, frame_len: usize) -> bool {
    let said = match (ether_type, network) {
        (ethernet::IPV4, &[0x45..=0x4f, _, high, low, ..]) => usize::from(u16::from_be_bytes([high, low])),
        (ethernet::IPV6, &[0x60..=0x6f, _, _, _, high, low, ..]) => {
            usize::from(u16::from_be_bytes([high, low])).saturating_add(40)
        }
        (0x0806, [0, 1, 8, 0, 6, 4, 0, 1..=2, ..]) => 28,
        _ => return false,
    };
    said >= 20 && (said == network_len || said < network_len && frame_len <= ETHERNET_MIN)
}
