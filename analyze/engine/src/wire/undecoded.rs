//! Names of layers that are met and not decoded, for counting: nothing is guessed about what they carry.

use super::walk::{Step, Walk};
use super::{Claim, Next, Version};
use kcap_file::LinkType;

/// Ends decoding at a number that no layer claims.
#[cold]
pub(super) fn stop(claim: Claim, walk: &mut Walk<'_>) -> Step {
    let name = match claim {
        Claim::Link(link) => link_name(link),
        Claim::EtherType(number) => ether_type_name(number),
        // Nothing follows, by the header's own word (RFC 8200 4.7).
        Claim::Ip(Version::V6, 59) | Claim::Llc | Claim::Udp(_) | Claim::End => return Ok(Next::END),
        Claim::Ip(version, number) => ip_name(version, number),
    };
    Err(walk.undecoded(name))
}

/// UDP that carries packets in a form that is not decoded, by the port of either side.
pub(super) fn udp(walk: &mut Walk<'_>) -> Step {
    match udp_name(walk.packet.dst_port).or_else(|| udp_name(walk.packet.src_port)) {
        Some(name) => Err(walk.undecoded(name)),
        None => Ok(Next::END),
    }
}

fn udp_name(port: u16) -> Option<&'static str> {
    Some(match port {
        1701 => "l2tp",
        2123 | 2152 => "gtp",
        3544 => "teredo",
        4341 => "lisp",
        5247 => "capwap",
        6635 => "mpls-in-udp",
        _ => return None,
    })
}

fn link_name(link: LinkType) -> &'static str {
    match link {
        LinkType::PPP | LinkType::PPP_HDLC => "ppp",
        LinkType::C_HDLC => "c-hdlc",
        LinkType::IEEE802_11 | LinkType::IEEE802_11_RADIOTAP => "802.11",
        LinkType::NFLOG => "nflog",
        _ => "link type",
    }
}

fn ether_type_name(number: u16) -> &'static str {
    match number {
        0x0842 => "wake-on-lan",
        0x22f0 => "avtp",
        0x22f3 => "trill",
        0x22ea => "srp",
        0x2000 => "cdp",
        0x6003 => "decnet",
        0x6559 => "frame-relay",
        0x8035 => "rarp",
        0x809b | 0x80f3 => "appletalk",
        0x8137 => "ipx",
        0x8808 => "mac-control",
        0x8809 => "slow-protocols",
        0x880b => "ppp",
        0x883e => "wccp",
        0x8863 => "pppoe-discovery",
        0x887b => "homeplug",
        0x888e => "eapol",
        0x8892 => "profinet",
        0x88a2 => "ata-over-ethernet",
        0x88cc => "lldp",
        0x88e5 => "macsec",
        0x88e7 => "802.1ah",
        0x88f7 => "ptp",
        0x8902 => "cfm",
        0x8903 => "fabricpath",
        0x8906 | 0x8914 => "fcoe",
        0x8926 => "vn-tag",
        0x892f | 0x88fb => "hsr-prp",
        0x894f => "nsh",
        0x8909 => "cisco-metadata",
        0x9000 => "loopback-test",
        0x8042 => "802.11",
        _ => "ethertype",
    }
}

fn ip_name(version: Version, number: u8) -> &'static str {
    match (version, number) {
        (_, 2) => "igmp",
        (_, 33) => "dccp",
        (_, 46) => "rsvp",
        (_, 50) => "esp",
        (Version::V6, 1) => "icmp in ipv6",
        (Version::V4, 58) => "icmpv6 in ipv4",
        (_, 88) => "eigrp",
        (_, 89) => "ospf",
        (_, 97) => "etherip",
        (_, 103) => "pim",
        (_, 108) => "ipcomp",
        (_, 112) => "vrrp",
        (_, 115) => "l2tp",
        (_, 132) => "sctp",
        (_, 136) => "udp-lite",
        (_, 137) => "mpls-in-ip",
        _ => "ip protocol",
    }
}
