use crate::Addr;

macro_rules! layer_names {
    ($($variant:ident = $name:literal;)*) => {
        /// A protocol layer, by the name reports give it.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        #[repr(u8)]
        pub enum Layer { $(#[doc = $name] $variant,)* }

        impl Layer {
            /// All layers in a fixed order.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Name in tables and reports.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }

        impl Default for Layers {
            fn default() -> Self {
                Self { list: [Layer::Ethernet; Layers::MAX], len: 0, path: 0,
                    outers: [Outer::default(); Layers::MAX_TUNNELS],
                    tunnels: 0, fragment: None, interface_index: None, stop: Stop::End }
            }
        }
    };
}

layer_names! {
    Ethernet = "ethernet";
    Sll = "sll";
    Sll2 = "sll2";
    Null = "null";
    Vlan = "vlan";
    Llc = "llc";
    Mpls = "mpls";
    Pppoe = "pppoe";
    Wlan = "802.11";
    Arp = "arp";
    Ipv4 = "ipv4";
    Ipv6 = "ipv6";
    Ipv6Ext = "ipv6-ext";
    Ah = "ah";
    Tcp = "tcp";
    Udp = "udp";
    Icmp = "icmp";
    Icmpv6 = "icmpv6";
    Vxlan = "vxlan";
    VxlanGpe = "vxlan-gpe";
    Geneve = "geneve";
    Gre = "gre";
    Erspan = "erspan";
    WireGuard = "wireguard";
}

macro_rules! tunnel_kinds {
    ($($variant:ident = $name:literal, $doc:literal;)*) => {
        /// A kind of tunnel.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
        pub enum TunnelKind { #[default] $(#[doc = $doc] $variant,)* }

        impl TunnelKind {
            /// All kinds in a fixed order.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Name in tables, reports and arguments.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

tunnel_kinds! {
    Vxlan = "vxlan", "VXLAN (RFC 7348).";
    VxlanGpe = "vxlan-gpe", "VXLAN-GPE (draft-ietf-nvo3-vxlan-gpe).";
    Geneve = "geneve", "Geneve (RFC 8926).";
    Gre = "gre", "GRE (RFC 2784, 2890), over IP or UDP (RFC 8086).";
    Erspan = "erspan", "ERSPAN types I to III: a mirror, not a path.";
    IpIp = "ipip", "IP in IP, any two versions (RFC 2003, 2473, 4213).";
    WireGuard = "wireguard", "WireGuard: opaque, the outer packet stays the innermost.";
}

/// One encapsulation: the outer pair and the tunnel's identifier.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Outer {
    /// Kind of tunnel.
    pub kind: TunnelKind,
    /// Outer source.
    pub src: Addr,
    /// Outer destination.
    pub dst: Addr,
    /// VNI, GRE key or ERSPAN session; `None` where the header has none.
    pub id: Option<u32>,
    /// Outer UDP destination port; 0 where the tunnel is no UDP.
    pub port: u16,
    /// Bytes of the outer IP packet, headers included.
    pub ip_len: u32,
    /// Where the outer transport header starts in the frame.
    pub l4_offset: u32,
}

/// The innermost fragment that stopped decoding.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Fragment {
    /// Identification of the datagram.
    pub id: u32,
    /// Offset of this part in the datagram's payload, bytes.
    pub offset: u32,
    /// Whether more parts follow.
    pub more: bool,
    /// Protocol of the reassembled payload.
    pub proto: u8,
    /// Where the fragment's payload starts in the frame.
    pub payload_offset: u32,
    /// Payload bytes on the wire.
    pub payload_len: u32,
    /// Payload bytes captured.
    pub payload_caplen: u32,
}

/// Why decoding ended where it did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Stop {
    /// Everything there is to decode was decoded.
    #[default]
    End,
    /// The capture cut the frame inside this layer.
    Snapped(Layer),
    /// The bytes of this layer contradict its format.
    Malformed(Layer),
    /// A layer this crate does not decode, by its name.
    Undecoded(&'static str),
    /// More layers than [`Layers::MAX`], or more tunnels than [`Layers::MAX_TUNNELS`].
    TooDeep,
}

/// The layers of a frame as one number, so that frames of the same layers are told at a glance.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Path(u64);

impl Path {
    /// Bits a layer; 0 is none.
    const BITS: u32 = 5;
    /// Layers that there is room for.
    const MAX: u32 = u64::BITS / Self::BITS;

    #[inline]
    fn and(self, layer: Layer) -> Self {
        const { assert!(Layer::ALL.len() < 1 << Path::BITS, "a layer has so many bits") };
        Self(self.0 << Self::BITS | u64::from(layer as u8).wrapping_add(1))
    }

    /// Its layers, innermost first.
    pub(crate) fn layers(self) -> impl Iterator<Item = Layer> {
        let rest = std::iter::successors(Some(self.0), |rest| Some(rest >> Self::BITS));
        let numbers = rest.map(|rest| rest & ((1 << Self::BITS) - 1)).take_while(|number| *number > 0);
        numbers.filter_map(|number| Layer::ALL.get((number as usize).wrapping_sub(1)).copied())
    }

    /// One of `N` places for it, a power of two.
    #[inline]
    pub(crate) fn place<const N: usize>(self) -> usize {
        const { assert!(N.is_power_of_two(), "places are chosen by bits") };
        (self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48) as usize & N.wrapping_sub(1)
    }
}

/// The layers of one frame, outermost first.
#[derive(Clone, Debug)]
pub struct Layers {
    list: [Layer; Self::MAX],
    len: u32,
    path: u64,
    outers: [Outer; Self::MAX_TUNNELS],
    tunnels: u32,
    /// The fragment that the innermost packet is, when it is one.
    pub fragment: Option<Fragment>,
    /// SLL2 interface index.
    pub interface_index: Option<u32>,
    /// Why decoding ended.
    pub stop: Stop,
}

impl Layers {
    /// Layers kept of one frame.
    pub const MAX: usize = 32;
    /// Tunnels followed in one frame.
    pub const MAX_TUNNELS: usize = 8;

    /// The layers, outermost first.
    pub fn list(&self) -> &[Layer] {
        self.list.get(..self.len as usize).unwrap_or_default()
    }

    /// All layers in one number, where there are not too many for it.
    #[inline]
    pub(crate) fn path(&self) -> Option<Path> {
        (self.len <= Path::MAX).then_some(Path(self.path))
    }

    /// The encapsulations, outermost first.
    pub fn outers(&self) -> &[Outer] {
        self.outers.get(..self.tunnels as usize).unwrap_or_default()
    }

    #[inline]
    pub(super) fn reset(&mut self) {
        (self.len, self.path, self.tunnels) = (0, 0, 0);
        (self.fragment, self.interface_index, self.stop) = (None, None, Stop::End);
    }

    /// Adds a layer; false when there is no room.
    #[inline]
    pub(super) fn push(&mut self, layer: Layer) -> bool {
        let Some(place) = self.list.get_mut(self.len as usize) else { return false };
        *place = layer;
        self.len = self.len.wrapping_add(1);
        self.path = Path(self.path).and(layer).0;
        true
    }

    /// Adds layers; false, and nothing added, when there is no room for all.
    #[inline]
    pub(super) fn push_all<const N: usize>(&mut self, layers: [Layer; N]) -> bool {
        let places = self.list.get_mut(self.len as usize..).and_then(|free| free.first_chunk_mut::<N>());
        let Some(places) = places else { return false };
        *places = layers;
        self.len = self.len.wrapping_add(N as u32);
        self.path = layers.into_iter().fold(Path(self.path), Path::and).0;
        true
    }

    /// Adds a tunnel; false when there is no room.
    #[inline]
    pub(super) fn push_outer(&mut self, outer: Outer) -> bool {
        let Some(place) = self.outers.get_mut(self.tunnels as usize) else { return false };
        *place = outer;
        self.tunnels = self.tunnels.wrapping_add(1);
        true
    }
}
