//! What of a packet the analysis reads.

use crate::Packet;
use crate::packet::TcpFlags;
use crate::track::flows::Source;
use crate::wire::tcp;

/// One segment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Segment {
    pub(super) ts_ns: i64,
    pub(super) seq: u32,
    pub(super) ack: u32,
    /// Bytes of payload, as tshark counts them.
    pub(super) len: u32,
    pub(super) window: u16,
    pub(super) flags: TcpFlags,
    /// Whether the header was captured to its end. tshark counts a segment whose options are cut, and shows nothing.
    pub(super) is_whole: bool,
    pub(super) window_scale: Option<u8>,
    /// Whether it carries a cookie of TCP Fast Open.
    pub(super) has_cookie: bool,
}

/// Bytes of a header that tshark wants before it counts a segment: all to the window.
const ENOUGH: u32 = 16;

impl Segment {
    /// The packet's segment; `None` where too little of its header was captured.
    pub(super) fn of(packet: &Packet, source: &Source<'_>) -> Option<Self> {
        let mut segment = Self {
            ts_ns: packet.ts_ns,
            seq: packet.seq,
            ack: packet.ack,
            len: payload_len(packet, source),
            window: packet.window,
            flags: packet.flags,
            is_whole: packet.l4_caplen >= packet.l4_header_len.into(),
            ..Self::default()
        };
        if segment.flags.any(TcpFlags::SYN) {
            let header = source.chunk.bytes(packet.l4_offset, packet.l4_caplen.min(packet.l4_header_len.into()));
            let options = tcp::options(header);
            segment.window_scale = options.window_scale;
            segment.has_cookie = options.has_fast_open_cookie;
        }
        (packet.l4_caplen >= ENOUGH).then_some(segment)
    }

    /// Whether any of SYN, FIN and RST is set.
    pub(super) fn is_special(&self) -> bool {
        self.flags.any(TcpFlags::SYN | TcpFlags::FIN | TcpFlags::RST)
    }

    /// Whether it takes sequence numbers.
    pub(super) fn takes_sequence(&self) -> bool {
        self.len > 0 || self.flags.any(TcpFlags::SYN | TcpFlags::FIN)
    }

    /// Sequence numbers that SYN or FIN take; tshark counts both together as one.
    pub(super) fn virtual_len(&self) -> u32 {
        self.flags.any(TcpFlags::SYN | TcpFlags::FIN).into()
    }

    /// SYN and ACK alone, whatever RST and FIN say.
    pub(super) fn handshake(&self) -> Handshake {
        match (self.flags.any(TcpFlags::SYN), self.flags.any(TcpFlags::ACK)) {
            (true, false) => Handshake::Syn,
            (true, true) => Handshake::SynAck,
            (false, true) => Handshake::Ack,
            (false, false) => Handshake::None,
        }
    }
}

/// A segment by SYN and ACK.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Handshake {
    Syn,
    SynAck,
    Ack,
    None,
}

/// Where the IP header says more than the layer below had, tshark goes by that layer.
fn payload_len(packet: &Packet, source: &Source<'_>) -> u32 {
    if !packet.bits.is_malformed() || packet.bits.is_reassembled() {
        return packet.payload_len;
    }
    if !packet.bits.is_snapped() {
        return packet.payload_caplen();
    }
    let Some(record) = source.chunk.batch.records.get(packet.index as usize) else { return packet.payload_len };
    let headers = packet.payload_offset().saturating_sub(record.offset);
    packet.payload_len.min(record.orig_len.saturating_sub(headers))
}
