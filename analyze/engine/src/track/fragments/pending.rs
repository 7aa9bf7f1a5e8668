//! A datagram some of whose parts are there.

use super::{DATAGRAM_COST, Datagram, Fate, Fragmented, Key, MAX_PAYLOAD, PART_COST, REPEAT_NS, Seen};
use crate::wire::Fragment;

/// One piece of a datagram.
pub(super) struct Part {
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) bytes: Box<[u8]>,
}

pub(super) struct Pending {
    /// Time of the first part and order of arrival: who is the oldest.
    pub(super) born: (i64, u64),
    /// When it was complete or discarded: later parts are ignored.
    pub(super) closed_ns: Option<i64>,
    /// Sorted, without overlaps.
    pub(super) parts: Vec<Part>,
    /// Payload bytes of the parts.
    pub(super) held: u32,
    /// Payload length, once the last part has come.
    pub(super) end: Option<u32>,
    pub(super) proto: u8,
    pub(super) snapped: bool,
    pub(super) cost: usize,
    pub(super) seen: Seen,
    pub(super) last_ns: i64,
}

/// What a part did to its datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Inserted {
    Repeated,
    Overlapping,
    Malformed,
    Waiting,
    Complete,
}

impl Pending {
    pub(super) fn new(born: (i64, u64), seen: Seen, proto: u8) -> Self {
        let (parts, last_ns, cost) = (Vec::new(), seen.ns, DATAGRAM_COST);
        Self { born, closed_ns: None, parts, held: 0, end: None, proto, snapped: false, cost, seen, last_ns }
    }

    /// Takes note of a part's time, and of what the first part tells.
    pub(super) fn note(&mut self, seen: Seen) {
        self.last_ns = self.last_ns.max(seen.ns);
        self.seen.ports = self.seen.ports.or(seen.ports);
        self.seen.inside = self.seen.inside.or(seen.inside);
    }

    pub(super) fn fragmented(&self, key: &Key, fate: Fate) -> Fragmented {
        Fragmented {
            point: key.point,
            outer: key.outer.map(|(src, dst, _)| (src, dst)),
            src: key.src,
            dst: key.dst,
            proto: self.proto,
            id: key.id,
            seen: self.seen,
            last_ns: self.last_ns,
            parts: self.parts.len() as u32,
            bytes: self.held,
            whole: self.end,
            has_first: self.parts.first().is_some_and(|part| part.start == 0),
            fate,
        }
    }

    /// Whether a part that comes now belongs to a new datagram.
    pub(super) fn is_forgettable(&self, now_ns: i64) -> bool {
        self.closed_ns.is_some_and(|closed| now_ns.saturating_sub(closed) > REPEAT_NS)
    }

    pub(super) fn insert(&mut self, fragment: &Fragment, payload: &[u8], is_v4: bool) -> Inserted {
        if self.closed_ns.is_some() {
            return Inserted::Repeated;
        }
        // A part that others follow ends at a multiple of 8; Linux trims it in IPv4 and refuses it in IPv6.
        let odd = if fragment.more { fragment.payload_len % 8 } else { 0 };
        let (start, len) = (fragment.offset, fragment.payload_len - odd);
        let end = start.saturating_add(len);
        if len == 0 || end > MAX_PAYLOAD || odd != 0 && !is_v4 || !self.accepts_end(end, fragment.more) {
            return Inserted::Malformed;
        }
        let at = self.parts.partition_point(|part| part.start <= start);
        if self.covers(at, start, end) {
            return Inserted::Repeated;
        }
        if at > 0 && self.parts[at - 1].end > start || self.parts.get(at).is_some_and(|next| next.start < end) {
            return Inserted::Overlapping;
        }
        self.add(at, Part { start, end, bytes: payload.get(..len as usize).unwrap_or(payload).into() });
        if start == 0 {
            self.proto = fragment.proto;
        }
        if self.is_complete() { Inserted::Complete } else { Inserted::Waiting }
    }

    /// Notes where the datagram ends; false when that contradicts what came before.
    pub(super) fn accepts_end(&mut self, end: u32, more: bool) -> bool {
        let reached = self.parts.last().map_or(0, |part| part.end);
        match self.end {
            Some(known) if more => end <= known,
            Some(known) => end == known,
            None if more => true,
            None => {
                self.end = Some(end);
                end >= reached
            }
        }
    }

    /// Whether the parts before `at`, and those that follow without a gap, hold all from `start` to `end`.
    pub(super) fn covers(&self, at: usize, start: u32, end: u32) -> bool {
        let mut reached = start;
        for part in self.parts.iter().skip(at.saturating_sub(1)).take_while(|part| part.start < end) {
            if part.start > reached {
                return false;
            }
            reached = reached.max(part.end);
        }
        reached >= end
    }

    pub(super) fn add(&mut self, at: usize, part: Part) {
        self.cost += PART_COST + part.bytes.len();
        self.held += part.end - part.start;
        self.snapped |= part.bytes.len() < (part.end - part.start) as usize;
        self.parts.insert(at, part);
    }

    pub(super) fn is_complete(&self) -> bool {
        self.end == Some(self.held)
    }

    pub(super) fn datagram(&self) -> Datagram {
        let bytes = self.parts.iter().flat_map(|part| &part.bytes).copied().collect();
        Datagram { proto: self.proto, bytes, parts: self.parts.len() as u32 }
    }
}
