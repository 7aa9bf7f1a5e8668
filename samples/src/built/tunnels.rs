//! One capture for each tunnel: the same connection in each.

use super::File;
use super::talk::{
    CLIENT, From, MS, NODE_A, NODE_B, SERVER, START_NS, addresses, http_in, http6_in, station, underlay, underlay_udp,
};
use crate::Rng;
use crate::file::Frame;
use crate::file::classic::Classic;
use crate::packet::{Erspan, Geneve, Gre, Ipv6, Layer, Mpls, Udp, Vlan, Vxlan, VxlanGpe, build, ip, wireguard};
use std::net::{IpAddr, Ipv6Addr};

const CASE: &str = "tunnels";
const NODE_A6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const NODE_B6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);

pub(super) fn files() -> Vec<File> {
    let file = |name, frames: Vec<Frame>| File::new(CASE, name, Classic::new(1).file(&frames));
    vec![
        file("vxlan-4789.pcap", http_in(|from| vxlan(from, 4789))),
        file("vxlan-8472.pcap", http_in(|from| vxlan(from, 8472))),
        file("vxlan-by-shape.pcap", http_in(|from| vxlan(from, 5555))),
        file("vxlan-over-ipv6.pcap", http_in(vxlan_over_ipv6)),
        file("vxlan-gpe-ethernet.pcap", http_in(|from| with(gpe(from), &[station(from, 2, 3)]))),
        file("vxlan-gpe-ipv4.pcap", http_in(gpe)),
        file("vxlan-gpe-ipv6.pcap", http6_in(gpe)),
        file("geneve.pcap", http_in(|from| geneve(from, Vec::new()))),
        file("geneve-options.pcap", http_in(|from| geneve(from, geneve_options()))),
        file("gre.pcap", http_in(|from| gre(from, Gre::default()))),
        file("gre-key.pcap", http_in(|from| gre(from, Gre { key: Some(77), ..Gre::default() }))),
        file("gre-all-fields.pcap", http_in(gre_all)),
        file("gre-ethernet.pcap", http_in(|from| with(gre(from, Gre::default()), &[station(from, 2, 3)]))),
        file("ipip.pcap", http_in(underlay)),
        file("6in4.pcap", http6_in(underlay)),
        file("4in6.pcap", http_in(underlay6)),
        file("6in6.pcap", http6_in(underlay6)),
        file("mpls.pcap", http_in(|from| with(vec![station(from, 10, 11)], &labels(&[16, 17])))),
        file("mpls-in-gre.pcap", http_in(|from| with(gre(from, Gre::default()), &labels(&[300])))),
        file("erspan-2.pcap", http_in(|from| erspan(from, 2))),
        file("erspan-3.pcap", http_in(|from| erspan(from, 3))),
        file("nested.pcap", http_in(nested)),
        file("wireguard.pcap", wireguard()),
    ]
}

fn with(mut layers: Vec<Layer>, more: &[Layer]) -> Vec<Layer> {
    layers.extend_from_slice(more);
    layers
}

fn vxlan(from: From, port: u16) -> Vec<Layer> {
    with(underlay_udp(from, port), &[Vxlan { vni: 42 }.into(), station(from, 2, 3)])
}

fn gpe(from: From) -> Vec<Layer> {
    with(underlay_udp(from, 4790), &[VxlanGpe { vni: 42 }.into()])
}

fn geneve(from: From, options: Vec<u8>) -> Vec<Layer> {
    with(underlay_udp(from, 6081), &[Geneve { vni: 42, options }.into(), station(from, 2, 3)])
}

/// One option of 4 bytes (class 0x0129, Cilium's) and one of 12.
fn geneve_options() -> Vec<u8> {
    [Geneve::option(0x0129, 1, &[1, 2, 3, 4]), Geneve::option(0x0102, 0x80, &[7; 12])].concat()
}

fn gre(from: From, header: Gre) -> Vec<Layer> {
    with(underlay(from), &[header.into()])
}

fn gre_all(from: From) -> Vec<Layer> {
    gre(from, Gre { key: Some(77), sequence: Some(1), checksum: true })
}

fn underlay6(from: From) -> Vec<Layer> {
    let (src, dst) = if from == From::Client { (NODE_A6, NODE_B6) } else { (NODE_B6, NODE_A6) };
    vec![station(from, 10, 11), Ipv6::new(src, dst).into()]
}

fn vxlan_over_ipv6(from: From) -> Vec<Layer> {
    with(underlay6(from), &[Udp::new(50_000, 4789).into(), Vxlan { vni: 42 }.into(), station(from, 2, 3)])
}

fn labels(labels: &[u32]) -> Vec<Layer> {
    labels.iter().map(|&label| Mpls { label, ttl: 64 }.into()).collect()
}

/// A switch mirrors both directions to one analyser.
fn erspan(from: From, kind: u8) -> Vec<Layer> {
    let gre = Gre { sequence: Some(1), ..Gre::default() };
    let mirror = [gre.into(), Erspan { kind, session: 9, vlan: 0 }.into(), station(from, 2, 3)];
    with(underlay(From::Client), &mirror)
}

/// VLAN, IPIP, VXLAN, VLAN, then the connection.
fn nested(from: From) -> Vec<Layer> {
    let inner: (IpAddr, IpAddr) = ([198, 51, 100, 1].into(), [198, 51, 100, 2].into());
    let (outer, middle) = (addresses(from, (NODE_A.into(), NODE_B.into())), addresses(from, inner));
    vec![
        station(from, 10, 11),
        Vlan::new(5).into(),
        ip(outer.0, outer.1),
        ip(middle.0, middle.1),
        Udp::new(50_000, 4789).into(),
        Vxlan { vni: 42 }.into(),
        station(from, 2, 3),
        Vlan::new(6).into(),
    ]
}

/// Handshake, data both ways, a keep-alive: nothing inside can be seen.
fn wireguard() -> Vec<Frame> {
    let mut rng = Rng::new(51_820);
    let messages = [
        (From::Client, wireguard::initiation(&mut rng)),
        (From::Server, wireguard::response(&mut rng)),
        (From::Client, wireguard::data(7, 0, 84, &mut rng)),
        (From::Server, wireguard::data(8, 0, 84, &mut rng)),
        (From::Client, wireguard::data(7, 1, 0, &mut rng)),
    ];
    let frame = |(n, (from, message)): (usize, &(From, Vec<u8>))| {
        let (src, dst) = addresses(*from, (CLIENT, SERVER));
        let layers = [station(*from, 2, 3), ip(src, dst), Udp::new(51_820, 51_820).into()];
        Frame::new(START_NS + n as u64 * MS, build(&layers, message))
    };
    messages.iter().enumerate().map(frame).collect()
}
