//! Where decoding stands in a frame, and what every layer does to it.

use super::layers::{Layer, Layers, Outer, Stop, TunnelKind};
use super::{DecodeConfig, Next};
use crate::Addr;
use crate::packet::{Bits, Kind, Packet};

/// The longest packet that Linux leaves to segmentation offload, headers added (`GSO_MAX_SIZE`,
/// include/linux/netdevice.h).
const MAX_OFFLOADED: u32 = 8 * 65_536 + 256;

/// What a layer's decoder answers: what comes next, or why decoding ends here.
pub(super) type Step = Result<Next, Stop>;

/// A walk down the layers of one frame. `bytes` and `wire` shrink as headers are passed and lengths are learned.
pub(super) struct Walk<'a> {
    /// Captured bytes from here to the end of the innermost length that a header gave.
    pub(super) bytes: &'a [u8],
    /// Where `bytes` starts in the frame.
    pub(super) offset: u32,
    /// Bytes from here to the same end that were on the wire; never less than `bytes.len()`.
    pub(super) wire: u32,
    /// Bytes that a header promised beyond those.
    pub(super) missing: u32,
    /// Whether the frame was cut, by the capture or by the mirror that sent it.
    pub(super) cut: bool,
    pub(super) packet: &'a mut Packet,
    pub(super) layers: &'a mut Layers,
    pub(super) config: &'a DecodeConfig,
}

impl<'a> Walk<'a> {
    /// At the start of `bytes`, `wire` bytes of which were on the wire.
    #[inline]
    pub(super) fn new(
        bytes: &'a [u8],
        wire: u32,
        config: &'a DecodeConfig,
        packet: &'a mut Packet,
        layers: &'a mut Layers,
    ) -> Self {
        let caplen = bytes.len() as u32;
        let wire = wire.max(caplen);
        Self { bytes, offset: 0, wire, missing: 0, cut: caplen < wire, packet, layers, config }
    }

    /// Why a layer's header does not fit in the bytes: it was cut, or its bytes promise more than there is.
    #[cold]
    pub(super) fn short(&self, layer: Layer) -> Stop {
        let cut = self.cut && self.bytes.len() < self.wire as usize;
        if cut { Stop::Snapped(layer) } else { Stop::Malformed(layer) }
    }

    /// Moves past `len` bytes, all of which are there.
    #[inline]
    pub(super) fn skip(&mut self, len: usize) {
        self.bytes = self.bytes.get(len..).unwrap_or_default();
        self.offset = self.offset.wrapping_add(len as u32);
        self.wire = self.wire.wrapping_sub(len as u32);
    }

    /// Notes a layer and moves past its header.
    #[inline]
    pub(super) fn enter(&mut self, layer: Layer, header_len: usize) -> Result<(), Stop> {
        self.layers.push(layer)?;
        self.skip(header_len);
        Ok(())
    }

    /// Reads a header with a nom parser, notes its layer and moves past it.
    #[inline]
    pub(super) fn parse<T>(
        &mut self,
        layer: Layer,
        mut parser: impl nom::Parser<&'a [u8], Output = T, Error = ()>,
    ) -> Result<T, Stop> {
        let (rest, header) = parser.parse(self.bytes).map_err(|_| self.short(layer))?;
        self.enter(layer, self.bytes.len().saturating_sub(rest.len()))?;
        Ok(header)
    }

    /// Ends the enclosing layer `len` bytes from here, as its header says; what follows is padding.
    #[inline]
    pub(super) fn limit(&mut self, len: u32) {
        self.missing = len.saturating_sub(self.wire);
        if self.missing > 0 {
            self.packet.bits.set_malformed();
        }
        self.wire = self.wire.min(len);
        self.bytes = self.bytes.get(..len as usize).unwrap_or(self.bytes);
    }

    /// The length of a packet that left it to the network card, whose field is too small for it: the frame's. `None`
    /// when no card could have sent as much, so that the record's own length must be wrong.
    #[inline]
    pub(super) fn offloaded_len(&self) -> Option<u32> {
        Some(self.wire).filter(|len| *len <= MAX_OFFLOADED)
    }

    /// Bytes from here to the end of the packet, as its IP header says.
    #[inline]
    pub(super) fn said(&self) -> u32 {
        self.wire.saturating_add(self.missing)
    }

    /// Starts a new innermost packet.
    #[inline]
    pub(super) fn start_packet(&mut self, src: Addr, dst: Addr) -> &mut Packet {
        if self.packet.kind != Kind::Other {
            self.forget_outer();
        }
        (self.packet.src, self.packet.dst) = (src, dst);
        self.packet
    }

    /// Forgets what an outer packet had, except what is true of the whole frame.
    fn forget_outer(&mut self) {
        let &mut Packet { ts_ns, index, tunnel, point, direction, bits: outer, .. } = self.packet;
        let mut bits = Bits::default();
        if outer.is_malformed() {
            bits.set_malformed();
        }
        if outer.is_mirrored() {
            bits.set_mirrored();
        }
        if outer.is_other_host() {
            bits.set_other_host();
        }
        *self.packet = Packet { ts_ns, index, tunnel, point, direction, bits, ..Packet::default() };
    }

    /// Notes where the transport layer (or what stands before it) begins.
    #[inline]
    pub(super) fn transport(&mut self, proto: u8) {
        let said = self.said();
        let packet = &mut *self.packet;
        packet.proto = proto;
        packet.kind = Kind::Ip;
        packet.l4_offset = self.offset;
        packet.l4_caplen = self.bytes.len() as u32;
        packet.payload_len = said;
        if self.cut && packet.l4_caplen < self.wire {
            packet.bits.set_snapped();
        }
    }

    /// Enters a tunnel: the packet so far is its outer one.
    #[inline]
    pub(super) fn tunnel(&mut self, kind: TunnelKind, id: Option<u32>) -> Result<(), Stop> {
        let Packet { src, dst, dst_port, ip_len, .. } = *self.packet;
        self.layers.push_outer(Outer { kind, src, dst, id, port: dst_port, ip_len })
    }
}
