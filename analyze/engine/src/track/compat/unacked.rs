//! Segments that were not acknowledged yet. Only times rest on them: since when a retransmission was due, and how long
//! an acknowledgement took.

use crate::track::lane::after;

/// Segments kept of one direction, as many as tshark keeps (`TCP_MAX_UNACKED_SEGMENTS`).
const MAX: usize = 10_000;

/// Unacknowledged segments of one direction, in the order in which they were seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Unacked {
    segments: Vec<Sent>,
    /// Before this number no segment ends.
    lowest_end: u32,
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    end: u32,
    ts_ns: i64,
}

/// Bytes that one segment takes.
pub(super) const SENT_BYTES: usize = size_of::<Sent>();

impl Unacked {
    /// Whether no segment more is kept.
    pub(super) fn is_full(&self) -> bool {
        self.segments.len() >= MAX
    }

    pub(super) fn push(&mut self, end: u32, ts_ns: i64) {
        if self.segments.is_empty() || after(self.lowest_end, end) {
            self.lowest_end = end;
        }
        self.segments.push(Sent { end, ts_ns });
    }

    /// When the oldest was seen.
    pub(super) fn oldest_ns(&self) -> Option<i64> {
        self.segments.first().map(|sent| sent.ts_ns)
    }

    /// Drops what `ack` acknowledges; when the oldest segment that ends exactly there was seen.
    pub(super) fn acknowledge(&mut self, ack: u32) -> Option<i64> {
        if self.segments.is_empty() || after(self.lowest_end, ack) {
            return None;
        }
        let exact = self.segments.iter().find(|sent| sent.end == ack).map(|sent| sent.ts_ns);
        self.segments.retain(|sent| after(sent.end, ack));
        if let Some(end) = self.segments.iter().map(|sent| sent.end).reduce(|a, b| if after(a, b) { b } else { a }) {
            self.lowest_end = end;
        } else if self.segments.capacity() > 64 {
            self.segments = Vec::new();
        }
        exact
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.segments.capacity() * SENT_BYTES
    }
}
