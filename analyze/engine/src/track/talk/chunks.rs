//! Answers in chunks (RFC 9112 7.1): a chunk of no bytes is the last, so that what ends without it was broken off.

use super::{Bit, Heard, Talk};
use crate::track::flow::Hot;

/// How far an answer in chunks was heard.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Chunks {
    /// Its last four bytes.
    tail: u32,
    /// Sequence number behind them.
    to: u32,
    /// Whether bytes of it are not known: not captured, or out of order.
    has_holes: bool,
}

/// What the last chunk and what may follow it end with: an empty line.
const END: u32 = u32::from_be_bytes(*b"\r\n\r\n");

impl Chunks {
    fn add(&mut self, heard: &Heard<'_>) {
        let packet = heard.packet;
        self.has_holes |= packet.seq != self.to || heard.bytes.len() < packet.payload_len as usize;
        self.to = packet.seq.wrapping_add(packet.payload_len);
        let last = heard.bytes.len().saturating_sub(4);
        self.tail = heard.bytes[last..].iter().fold(self.tail, |tail, byte| tail << 8 | u32::from(*byte));
    }

    /// Whether what was sent up to a sequence number is all known, and does not end as an answer does.
    pub(super) fn are_open(&self, to: u32) -> bool {
        !self.has_holes && self.to == to && self.tail != END
    }
}

impl Talk {
    /// The server begins to answer in chunks: from here on the talk hears all that it sends.
    pub(super) fn open_chunks(&mut self, hot: &mut Hot, heard: &Heard<'_>) {
        let mut chunks = Chunks { to: heard.packet.seq, ..Chunks::default() };
        chunks.add(heard);
        self.chunks = Some(chunks);
        hot.talk |= Bit::STREAMS;
    }

    /// The server goes on.
    pub(super) fn go_on(&mut self, hot: &Hot, heard: &Heard<'_>) {
        if let Some(chunks) = self.chunks.as_mut().filter(|_| heard.end != hot.client()) {
            chunks.add(heard);
        }
    }

    /// The next request ends the answer before it.
    pub(super) fn close_chunks(&mut self, hot: &mut Hot) {
        if self.chunks.take().is_some() {
            hot.talk &= !Bit::STREAMS;
        }
    }
}
