use super::tags::Tags;
use super::world::World;
use kcap_samples::packet::{Ethernet, Ipv4, Ipv6, Layer, Mac, Udp, Vxlan, build_into, mac};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// IANA's port for VXLAN (RFC 7348).
const VXLAN_PORT: u16 = 4789;

/// The tunnel that a leg passes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tunnel {
    from: Ipv4Addr,
    to: Ipv4Addr,
    vni: u32,
}

/// Where a flow is seen: its addresses there, and the tunnel around them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leg {
    pub(super) client: (IpAddr, u16),
    pub(super) server: (IpAddr, u16),
    pub(super) tunnel: Option<Tunnel>,
}

/// What is inside the innermost IP header, and that header's identification.
pub(super) struct Inside<'a> {
    pub(super) id: u16,
    pub(super) transport: Layer,
    pub(super) payload: &'a [u8],
}

/// Which end sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    Client,
    Server,
}

impl Side {
    pub(super) fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }

    pub(super) fn index(self) -> usize {
        usize::from(self == Self::Server)
    }
}

/// Pod `n`, on one of 16 nodes.
pub(super) fn pod(n: u64, v6: bool) -> IpAddr {
    let (node, host) = (node_of(n), (n / 16 % 240 + 2) as u8);
    if v6 {
        Ipv6Addr::new(0xfd00, 0x10, 0x244, u16::from(node), 0, 0, 0, host.into()).into()
    } else {
        Ipv4Addr::new(10, 244, node, host).into()
    }
}

/// Virtual address of service `n`.
pub(super) fn service(n: u64, v6: bool) -> IpAddr {
    if v6 {
        Ipv6Addr::new(0xfd00, 0x10, 0x96, 0, 0, 0, 0, n as u16 + 1).into()
    } else {
        Ipv4Addr::new(10, 96, (n / 250) as u8, (n % 250 + 1) as u8).into()
    }
}

fn node_of(pod: u64) -> u8 {
    (pod % 16 + 1) as u8
}

/// The tunnel between the nodes of two pods.
pub(super) fn tunnel(from: u64, to: u64) -> Tunnel {
    let node = |pod| Ipv4Addr::new(192, 168, 1, 10 + node_of(pod));
    Tunnel { from: node(from), to: node(to), vni: 1 }
}

fn station(address: IpAddr) -> Mac {
    match address {
        IpAddr::V4(ip) => mac(ip.to_bits()),
        IpAddr::V6(ip) => mac(ip.to_bits() as u32 ^ 0x0600_0000),
    }
}

impl Leg {
    /// Builds and emits a packet of this leg.
    pub(super) fn emit(&self, world: &mut World, at: u64, from: Side, inside: &Inside<'_>, tags: Tags) {
        let mut layers = self.link(from);
        layers.push(self.ip(from, inside.id));
        layers.push(inside.transport.clone());
        build_into(&mut world.buf, &layers, inside.payload);
        world.emit(at, tags | self.tags());
    }

    pub(super) fn tags(&self) -> Tags {
        let tunnel = if self.tunnel.is_some() { Tags::VXLAN } else { Tags::default() };
        tunnel | if self.client.0.is_ipv6() { Tags::IPV6 } else { Tags::default() }
    }

    fn ends(&self, from: Side) -> (IpAddr, IpAddr) {
        if from == Side::Client { (self.client.0, self.server.0) } else { (self.server.0, self.client.0) }
    }

    /// Ports of a segment from one side: source, destination.
    pub(super) fn ports(&self, from: Side) -> (u16, u16) {
        if from == Side::Client { (self.client.1, self.server.1) } else { (self.server.1, self.client.1) }
    }

    /// The layers outside the innermost IP header.
    pub(super) fn link(&self, from: Side) -> Vec<Layer> {
        let (src, dst) = self.ends(from);
        let inner = Ethernet { src: station(src), dst: station(dst), ethertype: 0 };
        let mut layers = Vec::with_capacity(10);
        if let Some(tunnel) = self.tunnel {
            let (a, b) = if from == Side::Client { (tunnel.from, tunnel.to) } else { (tunnel.to, tunnel.from) };
            // The kernel takes the source port from a hash of the inner flow.
            let port = 32_768 | (self.client.1 ^ self.server.1 ^ (from.index() as u16) << 3) & 0x7fff;
            layers.push(Ethernet { src: station(a.into()), dst: station(b.into()), ethertype: 0 }.into());
            layers.push(Ipv4 { dont_fragment: false, ..Ipv4::new(a, b) }.into());
            layers.push(Udp { src: port, dst: VXLAN_PORT, no_checksum: false }.into());
            layers.push(Vxlan { vni: tunnel.vni }.into());
        }
        layers.push(inner.into());
        layers
    }

    /// The innermost IP header.
    pub(super) fn ip(&self, from: Side, id: u16) -> Layer {
        match self.ends(from) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => Ipv4 { id, ttl: 63, ..Ipv4::new(src, dst) }.into(),
            (IpAddr::V6(src), IpAddr::V6(dst)) => Ipv6 { hop_limit: 63, ..Ipv6::new(src, dst) }.into(),
            _ => unreachable!("both ends of a leg are of one IP version"),
        }
    }
}
