//! Frames built by hand, decoded whole, cut and mangled.
#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "a test that indexes badly fails")]

mod build;
mod links;
mod network;
mod properties;
mod transport;
mod tunnels;

use super::*;

/// Decodes a whole frame.
fn decode_whole(link: LinkType, frame: &[u8]) -> (Packet, Layers) {
    decode_cut(link, frame, frame.len())
}

/// Decodes the first `len` bytes of a frame, as a capture with that snaplen has them.
fn decode_cut(link: LinkType, frame: &[u8], len: usize) -> (Packet, Layers) {
    let (mut packet, mut layers) = (Packet::default(), Layers::default());
    let config = DecodeConfig::default();
    decode(&frame[..len], link, frame.len() as u32, &config, &mut packet, &mut layers);
    (packet, layers)
}

/// Decodes an Ethernet frame with this payload.
fn decode_ethernet(ether_type: u16, payload: &[u8]) -> (Packet, Layers) {
    decode_whole(LinkType::ETHERNET, &build::ethernet(ether_type, payload))
}

/// Decodes an IPv4 packet with this payload.
fn decode_ipv4(proto: u8, payload: &[u8]) -> (Packet, Layers) {
    decode_whole(LinkType::IPV4, &build::ipv4(proto, payload))
}

fn names(layers: &Layers) -> String {
    layers.list().iter().map(|layer| layer.name()).collect::<Vec<_>>().join(" ")
}
