//! Where decoding stands in a frame, and what every layer does to it.
//!
//! The shape of [`Walk`], [`Next`] and [`Step`] is measured: a few registers each, one number that moves from header to
//! header, and no value that is written in parts and read as a whole (which stalls the processor at every layer).

pub(super) mod usual;

use super::layers::{Layer, Layers, Outer, Stop, TunnelKind};
use super::{DecodeConfig, Next};
use crate::Addr;
use crate::packet::{Bits, Kind, Packet};

/// What a layer's decoder answers: what comes next, or that decoding ends here.
pub(super) type Step = Result<Next, Stopped>;

/// Decoding has ended; why is in [`Layers::stop`].
#[derive(Debug)]
pub(super) struct Stopped;

/// The longest packet that Linux leaves to segmentation offload, headers added (`GSO_MAX_SIZE`,
/// include/linux/netdevice.h).
const MAX_OFFLOADED: u32 = 8 * 65_536 + 256;

/// A walk down the layers of one frame. What a header says of lengths moves the ends nearer; nothing moves them away.
pub(super) struct Walk<'a> {
    /// Captured bytes from here to the innermost end that a header gave.
    bytes: &'a [u8],
    /// Where they start in the frame.
    offset: u32,
    /// Where they end, as it was on the wire; never before the end of `bytes`.
    end: u32,
    /// Bytes that a header promised beyond it.
    missing: u32,
    /// Whether the frame was cut, by the capture or by the mirror that sent it.
    cut: bool,
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
        let end = wire.max(caplen);
        Self { bytes, offset: 0, end, missing: 0, cut: caplen < end, packet, layers, config }
    }

    /// Captured bytes from here to the end of the enclosing layer.
    #[inline]
    pub(super) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Where `bytes` starts in the frame.
    #[inline]
    pub(super) fn offset(&self) -> u32 {
        self.offset
    }

    /// Bytes from here to the end of the enclosing layer that were on the wire; never less than `bytes`.
    #[inline]
    pub(super) fn wire(&self) -> u32 {
        self.end.wrapping_sub(self.offset)
    }

    /// Bytes from here to the end of the packet, as its IP header says.
    #[inline]
    pub(super) fn said(&self) -> u32 {
        self.wire().saturating_add(self.missing)
    }

    /// Whether bytes of the enclosing layer are missing because the frame was cut.
    pub(super) fn is_cut(&self) -> bool {
        self.cut && self.bytes.len() < self.wire() as usize
    }

    /// Ends decoding.
    #[cold]
    pub(super) fn stop(&mut self, stop: Stop) -> Stopped {
        self.layers.stop = stop;
        match stop {
            Stop::Malformed(_) => self.packet.bits.set_malformed(),
            Stop::Snapped(_) => self.packet.bits.set_snapped(),
            Stop::End | Stop::Undecoded(_) | Stop::TooDeep => {}
        }
        Stopped
    }

    /// Ends decoding because a layer's header does not fit: it was cut, or its bytes promise more than there is.
    #[cold]
    pub(super) fn short(&mut self, layer: Layer) -> Stopped {
        self.stop(if self.is_cut() { Stop::Snapped(layer) } else { Stop::Malformed(layer) })
    }

    /// Ends decoding at a layer that is not decoded.
    #[cold]
    pub(super) fn undecoded(&mut self, name: &'static str) -> Stopped {
        self.stop(Stop::Undecoded(name))
    }

    /// Notes a layer.
    #[inline]
    pub(super) fn note(&mut self, layer: Layer) -> Result<(), Stopped> {
        if self.layers.push(layer) { Ok(()) } else { Err(self.stop(Stop::TooDeep)) }
    }

    /// Moves past `len` bytes, all of which are there.
    #[inline]
    pub(super) fn skip(&mut self, len: usize) {
        self.bytes = self.bytes.get(len..).unwrap_or_default();
        self.offset = self.offset.wrapping_add(len as u32);
    }

    /// Notes a layer and moves past its header.
    #[inline]
    pub(super) fn enter(&mut self, layer: Layer, header_len: usize) -> Result<(), Stopped> {
        self.note(layer)?;
        self.skip(header_len);
        Ok(())
    }

    /// Reads a header with a nom parser, notes its layer and moves past it.
    #[inline]
    pub(super) fn parse<T>(
        &mut self,
        layer: Layer,
        mut parser: impl nom::Parser<&'a [u8], Output = T, Error = ()>,
    ) -> Result<T, Stopped> {
        let bytes = self.bytes;
        let Ok((rest, header)) = parser.parse(bytes) else { return Err(self.short(layer)) };
        self.enter(layer, bytes.len().wrapping_sub(rest.len()))?;
        Ok(header)
    }

    /// Reads a header of fixed length at once, notes its layer and moves past it: for those in every packet.
    #[inline]
    pub(super) fn fixed<const LEN: usize>(&mut self, layer: Layer) -> Result<&'a [u8; LEN], Stopped> {
        let Some(header) = self.bytes.first_chunk() else { return Err(self.short(layer)) };
        self.enter(layer, LEN)?;
        Ok(header)
    }

    /// Ends the enclosing layer `len` bytes from here, as its header says; what follows is padding.
    #[inline]
    pub(super) fn limit(&mut self, len: u32) {
        let wire = self.wire();
        if len > wire {
            self.missing = len.wrapping_sub(wire);
            self.packet.bits.set_malformed();
            return;
        }
        self.missing = 0;
        self.end = self.offset.wrapping_add(len);
        self.bytes = self.bytes.get(..len as usize).unwrap_or(self.bytes);
    }

    /// From here on the frame is one that a mirror cut, and its own headers tell how long it was.
    pub(super) fn set_cut_by_mirror(&mut self) {
        self.cut = true;
        self.end = self.offset.saturating_add(u16::MAX.into());
    }

    /// The length of a packet that left it to the network card, whose field is too small for it: the frame's. `None`
    /// when no card could have sent as much, so that the record's own length must be wrong.
    pub(super) fn offloaded_len(&self) -> Option<u32> {
        Some(self.wire()).filter(|len| *len <= MAX_OFFLOADED)
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
        let &mut Packet { ts_ns, index, tunnel, point, bits: outer, direction, .. } = self.packet;
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
        *self.packet = Packet { ts_ns, index, tunnel, point, bits, direction, ..Packet::default() };
    }

    /// Notes where the transport layer (or what stands before it) begins.
    #[inline]
    pub(super) fn transport(&mut self, proto: u8) {
        let (caplen, said) = (self.bytes.len() as u32, self.said());
        let is_cut = self.is_cut();
        let packet = &mut *self.packet;
        packet.proto = proto;
        packet.kind = Kind::Ip;
        packet.l4_offset = self.offset;
        packet.l4_caplen = caplen;
        packet.payload_len = said;
        if is_cut {
            packet.bits.set_snapped();
        }
    }

    /// Enters a tunnel: the packet so far is its outer one.
    #[inline]
    pub(super) fn tunnel(&mut self, kind: TunnelKind, id: Option<u32>) -> Result<(), Stopped> {
        let Packet { src, dst, dst_port, ip_len, l4_offset, .. } = *self.packet;
        let outer = Outer { kind, src, dst, id, port: dst_port, ip_len, l4_offset };
        if self.layers.push_outer(outer) { Ok(()) } else { Err(self.stop(Stop::TooDeep)) }
    }
}
