//! Frames to packets: pure functions over bytes. Wire parses and never remembers.
//!
//! One file a protocol, one line a claim in `layers!`: each decoder reads its header, notes its layer and says what
//! comes next. Nothing here fails: what ended the walk is in [`Layers::stop`].
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod ah;
pub mod app;
pub mod arp;
mod checksum;
mod decode_as;
pub mod dns;
mod erspan;
mod ethernet;
mod geneve;
mod gre;
pub mod icmp;
mod ipip;
mod ipv4;
mod ipv6;
mod ipv6_ext;
mod layers;
mod llc;
mod mpls;
pub mod neighbour;
mod null;
mod pppoe;
mod raw;
mod sll;
mod sll2;
pub mod tcp;
#[cfg(test)]
mod tests;
pub(crate) mod udp;
mod undecoded;
mod vlan;
mod vxlan;
mod vxlan_gpe;
mod walk;
mod wireguard;
mod wlan;

pub use decode_as::{DecodeAs, DecodeAsError};
pub(crate) use layers::Path;
pub use layers::{Fragment, Layer, Layers, Outer, Stop, TunnelKind};

use crate::packet::Packet;
use kcap_file::LinkType;
use walk::{Step, Walk};

/// What decoding may be told.
#[derive(Clone, Debug, Default)]
pub struct DecodeConfig {
    /// Extra UDP destination ports of tunnels: `--decode-as udp/8473=vxlan` (see [`DecodeAs`]).
    pub udp_tunnels: Vec<(u16, TunnelKind)>,
}

/// The IP version whose protocol numbers are meant: ICMP and the extension headers belong to one of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Version {
    V4,
    V6,
}

/// What the bytes at the walk's place are: a [`Claim`] in one number, so that it moves in a register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Next(u32);

/// What bytes can be, in the number space of the header before them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Claim {
    /// Nothing that is a layer.
    End,
    /// A frame of a link type.
    Link(LinkType),
    /// An Ethernet protocol (IEEE 802 numbers).
    EtherType(u16),
    /// 802.2 logical link control.
    Llc,
    /// An IP protocol number.
    Ip(Version, u8),
    /// Payload of UDP to this port.
    Udp(u16),
}

impl Next {
    const END: Self = Self(0);
    const LLC: Self = Self::new(3, 0);

    const fn new(space: u32, number: u16) -> Self {
        Self(space << 16 | number as u32)
    }

    const fn link(link: LinkType) -> Self {
        Self::new(1, link.0)
    }

    const fn ether_type(number: u16) -> Self {
        Self::new(2, number)
    }

    const fn ip(version: Version, number: u8) -> Self {
        Self::new(
            match version {
                V4 => 4,
                V6 => 6,
            },
            number as u16,
        )
    }

    const fn udp(port: u16) -> Self {
        Self::new(5, port)
    }

    #[inline]
    const fn claim(self) -> Claim {
        let number = self.0 as u16;
        match self.0 >> 16 {
            1 => Link(LinkType(number)),
            2 => EtherType(number),
            3 => Claim::Llc,
            4 => Ip(V4, number as u8),
            5 => Udp(number),
            6 => Ip(V6, number as u8),
            _ => Claim::End,
        }
    }
}

macro_rules! layers {
    ($($claim:pat => $decode:path;)*) => {
        #[inline]
        fn step(next: Next, walk: &mut Walk<'_>) -> Step {
            match next.claim() {
                $($claim => $decode(walk),)*
                other => undecoded::stop(other, walk),
            }
        }
    };
}

use Claim::{EtherType, Ip, Link, Udp};
use Version::{V4, V6};

// What claims which number: the one place where protocol numbers are matched.
layers! {
    Link(LinkType::ETHERNET) => ethernet::decode;
    Link(LinkType::LINUX_SLL) => sll::decode;
    Link(LinkType::LINUX_SLL2) => sll2::decode;
    Link(LinkType::RAW | LinkType::RAW_12 | LinkType::RAW_14 | LinkType::IPV4 | LinkType::IPV6) => raw::decode;
    Link(LinkType::NULL) => null::decode;
    Link(LinkType::LOOP) => null::decode_loop;
    EtherType(ethernet::IPV4) => ipv4::decode;
    EtherType(ethernet::IPV6) => ipv6::decode;
    EtherType(0x0806) => arp::decode;
    EtherType(0x8100 | 0x88a8 | 0x9100 | 0x9200) => vlan::decode;
    EtherType(mpls::UNICAST | mpls::UPSTREAM) => mpls::decode;
    EtherType(0x6558) => ethernet::decode;
    EtherType(0x8200) => wlan::decode;
    EtherType(0x8864) => pppoe::decode;
    EtherType(gre::ERSPAN_II | gre::ERSPAN_III) => erspan::decode;
    Claim::Llc => llc::decode;
    Ip(V6, 0 | 43 | 60 | 135 | 139 | 140) => ipv6_ext::decode;
    Ip(V6, 44) => ipv6_ext::fragment;
    Ip(V4, 1) => icmp::decode_v4;
    Ip(V6, 58) => icmp::decode_v6;
    Ip(_, 4) => ipip::ipv4;
    Ip(_, 6) => tcp::decode;
    Ip(_, 17) => udp::decode;
    Ip(_, 41) => ipip::ipv6;
    Ip(_, 47) => gre::decode;
    Ip(_, 51) => ah::decode;
    Udp(vxlan::PORT | vxlan::PORT_LINUX) => vxlan::on_port;
    Udp(vxlan_gpe::PORT) => vxlan_gpe::on_port;
    Udp(geneve::PORT) => geneve::on_port;
    Udp(gre::PORT) => gre::on_port;
    Udp(_) => udp::by_shape;
}

/// Decodes the payload of UDP that the user says is a tunnel.
#[cold]
fn decode_as(kind: TunnelKind, walk: &mut Walk<'_>) -> Step {
    match kind {
        TunnelKind::Vxlan => vxlan::decode(walk),
        TunnelKind::VxlanGpe => vxlan_gpe::decode(walk),
        TunnelKind::Geneve => geneve::decode(walk),
        TunnelKind::Gre => gre::decode(walk),
        TunnelKind::WireGuard => wireguard::decode(walk),
        TunnelKind::Erspan | TunnelKind::IpIp => Err(walk.undecoded(kind.name())),
    }
}

/// Decodes one frame to its innermost packet. `wire_len` is the length the frame had on the wire. Offsets in `packet`
/// are relative to `frame`. Never fails: what stopped it is in [`Layers::stop`].
///
/// All of `layers` is set anew. `packet` must be a new one, its default but for `ts_ns`, `index`, `point` and
/// `direction`, which stay; `direction` only where the link header does not say. Where a tunnel's inside has no IP or
/// ARP header that could be decoded, the packet is the outer one and the last of [`Layers::outers`] describes it. Ports,
/// and as much of `seq` as was captured, are filled also in a first fragment and where the transport header is cut or
/// malformed.
#[inline]
pub fn decode(
    frame: &[u8],
    link: LinkType,
    wire_len: u32,
    config: &DecodeConfig,
    packet: &mut Packet,
    layers: &mut Layers,
) {
    layers.reset();
    run(Next::link(link), &mut Walk::new(frame, wire_len, config, packet, layers));
}

/// Goes on where [`decode`] met a fragment: `bytes` is the payload put together, `wire_len` its length on the wire, and
/// `packet` and `layers` are what [`decode`] made of one of its fragments. Offsets in `packet` become relative to
/// `bytes`. Tunnels inside are followed like in a frame.
pub fn decode_transport(
    proto: u8,
    bytes: &[u8],
    wire_len: u32,
    is_v4: bool,
    config: &DecodeConfig,
    packet: &mut Packet,
    layers: &mut Layers,
) {
    let fragment_len = layers.fragment.take().map_or(0, |fragment| fragment.payload_len);
    packet.ip_len = packet.ip_len.saturating_sub(fragment_len).saturating_add(wire_len);
    (packet.src_port, packet.dst_port, packet.seq) = (0, 0, 0);
    packet.bits.set_reassembled();
    layers.stop = Stop::End;
    let mut walk = Walk::new(bytes, wire_len, config, packet, layers);
    walk.transport(proto);
    run(Next::ip(if is_v4 { V4 } else { V6 }, proto), &mut walk);
}

#[inline]
fn run(first: Next, walk: &mut Walk<'_>) {
    let mut next = first;
    while next != Next::END {
        match step(next, walk) {
            Ok(following) => next = following,
            Err(walk::Stopped) => return,
        }
    }
}
