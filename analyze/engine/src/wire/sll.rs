//! Linux cooked capture v1 (<https://www.tcpdump.org/linktypes/LINKTYPE_LINUX_SLL.html>).
//!
//! etherparse's slice is not used: it refuses every hardware type that it does not know, tunnels among them.

use super::Next;
use super::layers::Layer;
use super::walk::{Step, Walk};
use kcap_file::Direction;

/// Packet type, hardware type, address length (2 bytes each), address (8), protocol (2).
const HEADER_LEN: usize = 16;
const HARDWARE_NETLINK: u16 = 824;
const HARDWARE_FRAME_RELAY: u16 = 770;
/// 802.11, with Prism header, with radiotap header.
const HARDWARE_IEEE80211: std::ops::RangeInclusive<u16> = 801..=803;
const PROTOCOL_IEEE8023: u16 = 0x0001;
const PROTOCOL_LLC: u16 = 0x0004;
const PACKET_OTHER_HOST: u16 = 3;
const PACKET_OUTGOING: u16 = 4;

#[inline]
pub(super) fn decode(walk: &mut Walk<'_>) -> Step {
    let &[type_high, type_low, hardware_high, hardware_low, .., high, low] = walk.fixed::<HEADER_LEN>(Layer::Sll)?;
    note_packet_type(u16::from_be_bytes([type_high, type_low]), walk);
    payload(u16::from_be_bytes([hardware_high, hardware_low]), u16::from_be_bytes([high, low]), walk)
}

/// Which way the frame went: 0 to us, 1 broadcast, 2 multicast, 3 to another host, 4 from us.
pub(super) fn note_packet_type(packet_type: u16, walk: &mut Walk<'_>) {
    walk.packet.direction = match packet_type {
        PACKET_OUTGOING => Direction::Out,
        0..=PACKET_OTHER_HOST => Direction::In,
        _ => return,
    };
    if packet_type == PACKET_OTHER_HOST {
        walk.packet.bits.set_other_host();
    }
}

/// What follows a cooked header, by hardware type and protocol.
pub(super) fn payload(hardware: u16, protocol: u16, walk: &mut Walk<'_>) -> Step {
    match (hardware, protocol) {
        (HARDWARE_NETLINK, _) => Err(walk.undecoded("netlink")),
        (HARDWARE_FRAME_RELAY, _) => Err(walk.undecoded("frame-relay")),
        (hardware, _) if HARDWARE_IEEE80211.contains(&hardware) => Err(walk.undecoded("802.11")),
        (_, PROTOCOL_IEEE8023) => Err(walk.undecoded("ipx")),
        (_, PROTOCOL_LLC) => Ok(Next::LLC),
        (_, protocol) => Ok(Next::ether_type(protocol)),
    }
}
