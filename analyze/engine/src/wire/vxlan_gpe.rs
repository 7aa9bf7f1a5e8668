//! VXLAN-GPE (<https://datatracker.ietf.org/doc/draft-ietf-nvo3-vxlan-gpe/>): VXLAN that names what it carries.

use super::layers::{Layer, TunnelKind};
use super::udp::may_be_tunnel;
use super::walk::{Step, Walk};
use super::{Next, ethernet, mpls};
use kcap_file::LinkType;
use nom::number::complete::{be_u16, be_u24, u8};

pub(super) const PORT: u16 = 4790;

const VNI_IS_VALID: u8 = 0x08;
const NEXT_PROTOCOL_IS_VALID: u8 = 0x04;
const VERSION: u8 = 0x30;

pub(super) fn on_port(walk: &mut Walk<'_>) -> Step {
    match walk.bytes().first() {
        Some(flags) if flags & (VERSION | VNI_IS_VALID) == VNI_IS_VALID && may_be_tunnel(walk) => decode(walk),
        None if walk.wire() != 0 => Err(walk.short(Layer::VxlanGpe)),
        _ => Ok(Next::END),
    }
}

pub(super) fn decode(walk: &mut Walk<'_>) -> Step {
    let (flags, _, protocol, vni, _) = walk.parse(Layer::VxlanGpe, (u8, be_u16, u8, be_u24, u8))?;
    walk.tunnel(TunnelKind::VxlanGpe, (flags & VNI_IS_VALID != 0).then_some(vni))?;
    match (flags & NEXT_PROTOCOL_IS_VALID, protocol) {
        (0, _) | (_, 3) => Ok(Next::link(LinkType::ETHERNET)),
        (_, 1) => Ok(Next::ether_type(ethernet::IPV4)),
        (_, 2) => Ok(Next::ether_type(ethernet::IPV6)),
        (_, 4) => Err(walk.undecoded("nsh")),
        (_, 5) => Ok(Next::ether_type(mpls::UNICAST)),
        _ => Err(walk.undecoded("vxlan-gpe protocol")),
    }
}
