//! Frames to packets: pure functions over bytes. Wire parses and never remembers.

mod layers;

pub use layers::{Layer, Layers, Outer, Stop, TunnelKind};

use crate::packet::Packet;
use kcap_file::LinkType;

/// What decoding may be told.
#[derive(Clone, Debug, Default)]
pub struct DecodeConfig {
    /// Extra UDP ports of tunnels: `--decode-as udp/8473=vxlan`.
    pub udp_tunnels: Vec<(u16, TunnelKind)>,
}

/// Decodes one frame to its innermost packet. `wire_len` is the length the frame had on the wire. Offsets in `packet`
/// are relative to `frame`. Never fails: what stopped it is in [`Layers::stop`].
pub fn decode(
    frame: &[u8],
    link: LinkType,
    wire_len: u32,
    config: &DecodeConfig,
    packet: &mut Packet,
    layers: &mut Layers,
) {
    let _ = (frame, link, wire_len, config, packet, layers);
}
