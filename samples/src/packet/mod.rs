//! A packet builder: a list of layers, outermost first, and a payload, to bytes.
//!
//! Lengths, checksums and the "what follows" fields are filled in from the layers around. It builds right packets; what
//! is wrong on purpose is done to the bytes afterwards, or asked for by a field that says so.

mod arp;
pub mod dns;
mod icmp;
mod ip;
mod link;
mod transport;
mod tunnel;

pub use arp::Arp;
pub use icmp::Icmp;
pub use ip::{Extension, Ipv4, Ipv6, fragments, fragments_v6, ip};
pub use link::{Ethernet, Family, Mac, Mpls, Sll, Sll2, Vlan, mac};
pub use transport::{Tcp, Udp, flags, options};
pub use tunnel::{Erspan, Geneve, Gre, Vxlan, VxlanGpe, wireguard};

/// A packet under construction, built from its end to its start.
#[derive(Clone, Debug, Default)]
pub struct Buf {
    bytes: Vec<u8>,
    start: usize,
}

/// What must hold for the header views of `pnet_packet`.
const ROOM: &str = "the buffer was made as long as the header";

/// Room for the headers in front of the payload; grows when it does not do.
const HEADROOM: usize = 512;

impl Buf {
    /// Starts a new packet that ends in `payload`.
    pub fn reset(&mut self, payload: &[u8]) {
        self.bytes.clear();
        self.bytes.resize(HEADROOM, 0);
        self.bytes.extend_from_slice(payload);
        self.start = HEADROOM;
    }

    /// Puts `len` zero bytes in front and returns the packet from there to its end.
    fn push(&mut self, len: usize) -> &mut [u8] {
        if len > self.start {
            let more = len.max(HEADROOM);
            self.bytes.splice(..0, std::iter::repeat_n(0, more));
            self.start += more;
        }
        self.start -= len;
        let packet = &mut self.bytes[self.start..];
        packet[..len].fill(0);
        packet
    }

    /// The packet so far.
    pub fn packet(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

macro_rules! layers {
    ($($name:ident),*) => {
        /// One layer of a packet.
        #[derive(Clone, Debug)]
        pub enum Layer { $(#[doc = concat!("See [`", stringify!($name), "`].")] $name($name),)* }

        $(impl From<$name> for Layer { fn from(layer: $name) -> Self { Self::$name(layer) } })*

        impl Layer {
            fn push(&self, buf: &mut Buf, around: &Around<'_>) {
                match self { $(Self::$name(layer) => layer.push(buf, around),)* }
            }
        }
    };
}

layers!(
    Ethernet, Vlan, Sll, Sll2, Family, Mpls, Arp, Ipv4, Ipv6, Extension, Tcp, Udp, Icmp, Vxlan, VxlanGpe, Geneve, Gre,
    Erspan
);

/// The neighbours of a layer.
struct Around<'a> {
    /// The layers outside it, outermost first.
    outer: &'a [Layer],
    /// The layer right inside it; nothing when that is the payload.
    inner: Option<&'a Layer>,
}

impl Around<'_> {
    /// `EtherType` of what follows; `None` is the payload.
    fn ethertype(&self) -> Option<u16> {
        self.inner.and_then(Layer::ethertype)
    }

    /// IP protocol of what follows.
    fn protocol(&self) -> Option<u8> {
        self.inner.and_then(Layer::protocol)
    }
}

impl Layer {
    /// The number that Ethernet, SLL, GRE and Geneve have for the layer.
    fn ethertype(&self) -> Option<u16> {
        Some(match self {
            Self::Ipv4(_) => 0x0800,
            Self::Arp(_) => 0x0806,
            Self::Ethernet(_) => 0x6558, // Transparent Ethernet bridging, RFC 1701.
            Self::Vlan(vlan) => vlan.tpid,
            Self::Ipv6(_) => 0x86dd,
            Self::Mpls(_) => 0x8847,
            Self::Erspan(erspan) => erspan.ethertype(),
            _ => return None,
        })
    }

    /// The number that IP has for the layer.
    fn protocol(&self) -> Option<u8> {
        Some(match self {
            Self::Icmp(icmp) => icmp.protocol(),
            Self::Ipv4(_) => 4,
            Self::Tcp(_) => 6,
            Self::Udp(_) => 17,
            Self::Ipv6(_) => 41,
            Self::Gre(_) => 47,
            Self::Mpls(_) => 137, // RFC 4023.
            Self::Extension(extension) => extension.kind,
            _ => return None,
        })
    }
}

/// Builds a packet into `buf`, which keeps its memory from packet to packet.
pub fn build_into(buf: &mut Buf, layers: &[Layer], payload: &[u8]) {
    buf.reset(payload);
    for (at, layer) in layers.iter().enumerate().rev() {
        layer.push(buf, &Around { outer: &layers[..at], inner: layers.get(at + 1) });
    }
}

/// Builds a packet.
pub fn build(layers: &[Layer], payload: &[u8]) -> Vec<u8> {
    let mut buf = Buf::default();
    build_into(&mut buf, layers, payload);
    buf.packet().to_vec()
}

#[cfg(test)]
mod tests;
