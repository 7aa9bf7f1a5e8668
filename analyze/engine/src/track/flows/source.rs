//! Where packets come from.

use crate::packet::Packet;
use crate::track::FrameId;
use crate::track::handshake::Hello;
use crate::{Chunk, wire};

/// What a chunk tells about its packets.
pub(crate) struct Source<'a> {
    pub(crate) chunk: &'a Chunk,
    /// The chunk's first frame.
    pub(crate) first: FrameId,
    pub(crate) unit: u32,
    /// Whether packets of the unit were seen at several points.
    pub(crate) has_points: bool,
}

impl Source<'_> {
    pub(crate) fn frame(&self, packet: &Packet) -> FrameId {
        self.first.after(packet.index.into())
    }

    /// The options of a segment.
    pub(crate) fn options(&self, packet: &Packet) -> wire::tcp::TcpOptions {
        let header = self.chunk.bytes(packet.l4_offset, packet.l4_caplen.min(packet.l4_header_len.into()));
        wire::tcp::options(header)
    }

    /// What a SYN announces.
    pub(crate) fn hello(&self, packet: &Packet) -> Hello {
        Hello::of(packet, &self.options(packet))
    }
}
