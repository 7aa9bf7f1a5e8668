//! Messages in TCP segments: each behind its length in two bytes (RFC 1035 4.2.2), several in a segment or one in many.

use crate::packet::{Packet, TcpFlags};
use crate::track::Endpoint;
use crate::track::early::Early;
use std::collections::{HashMap, VecDeque};

/// One direction of a connection at one place: each place sees its own segments.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Place {
    src: Endpoint,
    dst: Endpoint,
    point: u16,
    tunnel: u32,
}

impl Place {
    fn of(packet: &Packet) -> Self {
        let (src, dst) = (Endpoint::src(packet), Endpoint::dst(packet));
        Self { src, dst, point: packet.point, tunnel: packet.tunnel }
    }
}

/// Directions of connections with DNS, bounded: the oldest leaves.
#[derive(Debug, Default)]
pub(super) struct Streams {
    streams: HashMap<Place, Stream, foldhash::fast::RandomState>,
    order: VecDeque<Place>,
}

/// Bytes in order.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// Sequence number of the next byte; unknown before the first segment that starts a message.
    next: Option<u32>,
    /// What is not read yet.
    bytes: Vec<u8>,
    /// How much of `bytes` is read.
    read: usize,
    /// Bytes of the message at hand that the capture cut away.
    missing: usize,
    early: Early,
}

/// Directions kept.
const STREAMS: usize = 1024;
/// Bytes kept of one: a message and what begins behind it.
const MAX_BYTES: usize = 2 * 65_537;

impl Streams {
    /// The stream with the segment's bytes added, `None` when there is nothing to read.
    pub(super) fn take(&mut self, packet: &Packet, captured: &[u8]) -> Option<Stream> {
        let place = Place::of(packet);
        if packet.flags.any(TcpFlags::SYN | TcpFlags::RST) {
            self.start(place, packet);
            return None;
        }
        if packet.payload_len == 0 {
            return None;
        }
        let mut stream = self.streams.remove(&place).unwrap_or_else(|| {
            self.order.push_back(place);
            Stream::default()
        });
        stream.push(packet.seq, captured, packet.payload_len as usize);
        self.bound();
        Some(stream)
    }

    /// Keeps a stream for its next segment.
    pub(super) fn put_back(&mut self, packet: &Packet, mut stream: Stream) {
        stream.forget_read();
        self.streams.insert(Place::of(packet), stream);
    }

    fn start(&mut self, place: Place, packet: &Packet) {
        if packet.flags.any(TcpFlags::RST) {
            if let Some(stream) = self.streams.get_mut(&place) {
                *stream = Stream::default();
            }
            return;
        }
        let stream = Stream { next: Some(packet.seq.wrapping_add(1)), ..Stream::default() };
        if self.streams.insert(place, stream).is_none() {
            self.order.push_back(place);
            self.bound();
        }
    }

    fn bound(&mut self) {
        while self.order.len() > STREAMS {
            let Some(oldest) = self.order.pop_front() else { break };
            self.streams.remove(&oldest);
        }
    }
}

impl Stream {
    fn push(&mut self, seq: u32, captured: &[u8], len: usize) {
        let next = match self.next {
            Some(next) => next,
            None if starts_message(captured) => *self.next.insert(seq),
            None => return,
        };
        let ahead = seq.wrapping_sub(next) as i32;
        if ahead > 0 {
            self.push_early(seq, captured, len);
            return;
        }
        let old = ahead.unsigned_abs() as usize;
        if old >= len {
            return;
        }
        self.append(captured.get(old..).unwrap_or_default(), len - old);
        self.push_waiting();
    }

    fn append(&mut self, captured: &[u8], len: usize) {
        self.next = self.next.map(|next| next.wrapping_add(len as u32));
        if self.missing > 0 || self.bytes.len() + captured.len() > MAX_BYTES {
            self.lose(len);
            return;
        }
        self.bytes.extend_from_slice(captured);
        self.missing = len - captured.len().min(len);
    }

    /// Bytes follow some that are missing: where the next message starts is known from its predecessor's length.
    fn lose(&mut self, len: usize) {
        self.missing += len;
    }

    fn push_early(&mut self, seq: u32, captured: &[u8], len: usize) {
        if captured.len() == len && self.early.push(seq, captured) {
            return;
        }
        if starts_message(captured) {
            // What is missing does not come any more: go on here.
            *self = Self { next: Some(seq), ..Self::default() };
            self.append(captured, len);
        }
    }

    fn push_waiting(&mut self) {
        while let Some(new) = self.next.and_then(|next| self.early.pop(next)) {
            self.append(&new, new.len());
        }
    }

    /// The next message: what there is of it, and its length. One that the capture cut is told once, at its end.
    pub(super) fn next_message(&mut self) -> Option<(&[u8], usize)> {
        let unread = self.bytes.get(self.read..).unwrap_or_default();
        let (&[a, b], rest) = unread.split_first_chunk::<2>()?;
        let len = usize::from(u16::from_be_bytes([a, b]));
        if rest.len() >= len {
            self.read += 2 + len;
            return self.bytes.get(self.read - len..self.read).map(|bytes| (bytes, len));
        }
        let (start, all) = (self.read + 2, rest.len() + self.missing);
        if self.missing == 0 || all < len {
            return None;
        }
        let (have, more) = (rest.len(), all - len);
        self.read = self.bytes.len();
        self.missing = 0;
        if more > 0 {
            // The next message begins in what is missing.
            self.next = None;
        }
        self.bytes.get(start..start + have).map(|bytes| (bytes, len))
    }

    fn forget_read(&mut self) {
        self.bytes.drain(..self.read.min(self.bytes.len()));
        self.read = 0;
        if self.bytes.is_empty() {
            self.bytes = Vec::new();
        }
    }
}

/// Whether a segment that nothing is known before can begin with a message: a length, and the header of a query or an
/// answer with one question.
fn starts_message(bytes: &[u8]) -> bool {
    let Some(&[a, b, _, _, flags, _, q0, q1]) = bytes.first_chunk::<8>() else { return false };
    let len = usize::from(u16::from_be_bytes([a, b]));
    len >= 17 && flags & 0x78 == 0 && [q0, q1] == [0, 1]
}
