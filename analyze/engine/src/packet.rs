//! What decoding makes of one frame: a fixed-size summary of the innermost packet that trackers read.

use crate::Addr;
use kcap_file::Direction;

/// IP protocol number of TCP (IANA).
pub(crate) const TCP: u8 = 6;
/// IP protocol number of UDP.
pub(crate) const UDP: u8 = 17;

/// What systems begin with: a TTL that no router has lowered.
pub(crate) const INITIAL_TTLS: [u8; 3] = [64, 128, 255];

/// Whether no router has passed on what came with this TTL.
pub(crate) fn is_fresh(ttl: Option<u8>) -> bool {
    ttl.is_some_and(|ttl| INITIAL_TTLS.contains(&ttl))
}

/// What the innermost decoded layer is, which decides who tracks the packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(u8)]
pub enum Kind {
    /// Nothing with an IP address (LLC, LLDP, unknown link type, cut before the network header).
    #[default]
    Other,
    /// ARP; `src` and `dst` hold the IPv4 protocol addresses, the rest is read from the bytes at `l4_offset`.
    Arp,
    /// TCP with at least ports, sequence and flags captured.
    Tcp,
    /// UDP that is no known tunnel.
    Udp,
    /// ICMP or ICMPv6 echo request or reply: `src_port` = `dst_port` = identifier, `seq` = sequence number.
    Echo,
    /// ICMP or ICMPv6 error: `l4_offset` points to the ICMP header, the quoted packet follows it.
    IcmpError,
    /// Another ICMP or ICMPv6 message (neighbour discovery, redirect, timestamp…).
    Icmp,
    /// An IP fragment that is not (yet) reassembled: addresses only.
    Fragment,
    /// IP with another protocol, or a transport header too short to tell ports.
    Ip,
}

impl Kind {
    /// Name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Other => "other",
            Self::Arp => "arp",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Echo => "icmp-echo",
            Self::IcmpError => "icmp-error",
            Self::Icmp => "icmp",
            Self::Fragment => "fragment",
            Self::Ip => "ip",
        }
    }
}

/// Facts of one bit each about a packet.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Bits(pub u16);

macro_rules! bits {
    ($($set:ident $test:ident = $bit:literal, $doc:literal;)*) => {
        impl Bits {
            $(
                #[doc = concat!("Marks: ", $doc)]
                pub fn $set(&mut self) { self.0 |= 1 << $bit; }
                #[doc = concat!("Whether ", $doc)]
                pub fn $test(self) -> bool { self.0 & (1 << $bit) != 0 }
            )*
        }
    };
}

bits! {
    set_snapped is_snapped = 0, "the capture cut the frame before the end of the innermost packet.";
    set_malformed is_malformed = 1, "some layer's bytes contradict its format.";
    set_timestamps has_timestamps = 2, "the TCP timestamps option is present (`tsval`, `tsecr`).";
    set_dont_fragment dont_fragment = 3, "the innermost IPv4 header has DF set.";
    set_reassembled is_reassembled = 4, "the packet was put together from fragments; its payload is in the chunk's extra bytes.";
    set_mirrored is_mirrored = 5, "the packet came inside ERSPAN, so it was seen elsewhere.";
    set_hides_interface hides_interface = 8, "the capture does not tell on which interface the frame was seen (SLL).";
    set_from_b is_from_b = 9, "the innermost tunnel's outer source is the end with the higher address.";
    set_other_host is_other_host = 6, "the link header says the frame was for another host (SLL packet type 3).";
}

impl std::fmt::Debug for Bits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bits({:#x})", self.0)
    }
}

/// TCP header flags, as RFC 9293 3.1 numbers them, AE/NS included.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TcpFlags(pub u16);

impl TcpFlags {
    /// FIN.
    pub const FIN: u16 = 0x01;
    /// SYN.
    pub const SYN: u16 = 0x02;
    /// RST.
    pub const RST: u16 = 0x04;
    /// PSH.
    pub const PSH: u16 = 0x08;
    /// ACK.
    pub const ACK: u16 = 0x10;

    /// Whether any flag of `mask` is set.
    pub fn any(self, mask: u16) -> bool {
        self.0 & mask != 0
    }

    /// SYN without ACK: asks for a connection.
    pub fn is_syn(self) -> bool {
        self.0 & (Self::SYN | Self::ACK | Self::RST) == Self::SYN
    }

    /// SYN with ACK: grants it.
    pub fn is_syn_ack(self) -> bool {
        self.0 & (Self::SYN | Self::ACK | Self::RST) == Self::SYN | Self::ACK
    }
}

/// The innermost packet of one frame. `Copy` and small on purpose: millions a second are moved between stages.
///
/// Ports, `seq`, `ack`, `window`, `tsval` are zero where the kind has none. All lengths come from the IP header, never
/// from the frame, so Ethernet padding is not payload; where the IP header says 0 (segmentation offload) the frame tells.
#[derive(Clone, Copy, Debug, Default)]
pub struct Packet {
    /// Nanoseconds since the epoch.
    pub ts_ns: i64,
    /// Source of the innermost IP header.
    pub src: Addr,
    /// Destination of the innermost IP header.
    pub dst: Addr,
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// Index of the record in its batch.
    pub index: u32,
    /// TCP sequence number, or echo sequence number.
    pub seq: u32,
    /// TCP acknowledgement number.
    pub ack: u32,
    /// TCP timestamp value, when `bits.has_timestamps()`; of datagrams, a sample of the payload that tells them apart.
    pub tsval: u32,
    /// Transport header's place in the chunk (see [`crate::Chunk::bytes`]).
    pub l4_offset: u32,
    /// Bytes of transport header plus payload that were captured.
    pub l4_caplen: u32,
    /// Bytes the transport payload had on the wire.
    pub payload_len: u32,
    /// Bytes of the innermost IP packet on the wire, headers included.
    pub ip_len: u32,
    /// Tunnel the packet came in; 0 is none (see [`crate::track::tunnels`]).
    pub tunnel: u32,
    /// Where it was captured (see [`crate::track::points`]).
    pub point: u16,
    /// TCP window field, unscaled.
    pub window: u16,
    /// IPv4 identification; 0 for IPv6.
    pub ip_id: u16,
    /// TCP flags.
    pub flags: TcpFlags,
    /// One-bit facts.
    pub bits: Bits,
    /// Bytes of the transport header.
    pub l4_header_len: u8,
    /// IP protocol number of the transport layer.
    pub proto: u8,
    /// TTL or hop limit of the innermost IP header.
    pub ttl: u8,
    /// Who tracks it.
    pub kind: Kind,
    /// Which way the frame passed its interface, where the file or the link header says.
    pub direction: Direction,
}

const _: () = assert!(size_of::<Packet>() <= 104, "Packet is copied for every frame");

/// Bytes of a TCP header up to the window's end.
const WINDOW_END: u32 = 16;

impl Packet {
    /// Whether the sender says that it can take nothing more: a window that the capture cut off is none.
    pub(crate) fn closes_window(&self) -> bool {
        self.window == 0 && self.l4_caplen >= WINDOW_END
    }

    /// Transport payload's place in the chunk.
    pub fn payload_offset(&self) -> u32 {
        self.l4_offset.saturating_add(self.l4_header_len.into())
    }

    /// Payload bytes captured.
    pub fn payload_caplen(&self) -> u32 {
        self.l4_caplen.saturating_sub(self.l4_header_len.into()).min(self.payload_len)
    }
}
