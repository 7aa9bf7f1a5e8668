//! IP fragments to datagrams, within a bound of memory and of packet time.
//!
//! Overlaps as Linux has treated them since 4.19 and 5.0, for both versions (`inet_frag_queue_insert`, commits
//! 7969e5c40dfd and ade446403bfb; RFC 5722): what is wholly there already is a repetition and ignored, any other overlap
//! discards the datagram.

#[cfg(test)]
mod tests;

use super::event::FrameId;
use crate::Addr;
use crate::packet::Packet;
use crate::wire::{Fragment, Outer, TunnelKind};
use std::collections::{BTreeMap, HashMap};

/// How long the parts of a datagram are waited for, packet time (`net.ipv4.ipfrag_time`).
const TIMEOUT_NS: i64 = 30_000_000_000;

/// How long a complete datagram is remembered, for the copies of its parts that a capture of several interfaces at one
/// point has. Shorter than any sender needs to come round to the same identification.
const REPEAT_NS: i64 = 100_000_000;

/// Parts that come in the last moments of a capture say nothing of those that do not: the parts of a datagram leave
/// together, but may be queued and reordered.
const CUT_OFF_NS: i64 = 200_000_000;

/// Longest payload of a datagram: what the IPv4 total length and the IPv6 payload length can say.
const MAX_PAYLOAD: u32 = 65_535;

/// What a datagram and a part of it are charged with besides their bytes: keys, index and bookkeeping, rounded up.
const DATAGRAM_COST: usize = 256;
const PART_COST: usize = 32;

/// Which datagram a fragment belongs to, at one capture point and in one tunnel.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Key {
    point: u16,
    outer: Option<(Addr, Addr, Option<u32>)>,
    src: Addr,
    dst: Addr,
    /// RFC 791 3.2 wants it in the key, RFC 8200 4.5 does not.
    proto: Option<u8>,
    id: u32,
}

impl Key {
    /// The key of a fragment: its packet, and the innermost tunnel it came in.
    pub fn new(packet: &Packet, outer: Option<&Outer>, fragment: &Fragment) -> Self {
        Self {
            point: packet.point,
            outer: outer.map(|outer| (outer.src, outer.dst, outer.id)),
            src: packet.src,
            dst: packet.dst,
            proto: packet.src.is_v4().then_some(fragment.proto),
            id: fragment.id,
        }
    }
}

/// A whole payload put together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Datagram {
    /// Protocol of the payload, as the first part says.
    pub proto: u8,
    /// The payload.
    pub bytes: Vec<u8>,
    /// Parts it came in.
    pub parts: u32,
}

/// Where and when a fragment was seen, and what it tells beside its payload.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// When.
    pub ns: i64,
    /// Where.
    pub frame: FrameId,
    /// Source and destination port, which the first fragment of TCP and UDP has.
    pub ports: Option<(u16, u16)>,
    /// The tunnel that the datagram is a packet of, as its first fragment shows.
    pub inside: Option<Inside>,
}

/// What a tunnel's packet carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Inside {
    /// Kind of tunnel.
    pub kind: TunnelKind,
    /// Source of the packet inside.
    pub src: Addr,
    /// Destination of the packet inside.
    pub dst: Addr,
}

/// What became of a datagram.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Fate {
    /// All parts came.
    Complete,
    /// All parts came, but the capture cut some.
    Snapped,
    /// Parts never came.
    Missing,
    /// Parts are missing, but the capture ended before they had to come.
    CutOff,
    /// Given up for want of memory.
    Evicted,
    /// Discarded because parts overlapped.
    Overlapping,
    /// Discarded because parts contradicted each other.
    Malformed,
}

impl Fate {
    /// Name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Snapped => "snapped",
            Self::Missing => "missing",
            Self::CutOff => "cut-off",
            Self::Evicted => "evicted",
            Self::Overlapping => "overlapping",
            Self::Malformed => "malformed",
        }
    }
}

/// A datagram that came in fragments, once its fate is known.
#[derive(Clone, Copy, Debug)]
pub struct Fragmented {
    /// Capture point.
    pub point: u16,
    /// Ends of the tunnel whose packets the fragments were inside.
    pub outer: Option<(Addr, Addr)>,
    /// Source.
    pub src: Addr,
    /// Destination.
    pub dst: Addr,
    /// Protocol; that of the fragment that came first where the first part is missing.
    pub proto: u8,
    /// Identification.
    pub id: u32,
    /// What its first fragment told, and when and where the fragment that came first was seen.
    pub seen: Seen,
    /// When the last part was seen.
    pub last_ns: i64,
    /// Parts seen, copies left out.
    pub parts: u32,
    /// Payload bytes of these.
    pub bytes: u32,
    /// Payload bytes of the whole, where the last part came.
    pub whole: Option<u32>,
    /// Whether the part with the beginning came.
    pub has_first: bool,
    /// What became of it.
    pub fate: Fate,
}

/// What became of the datagrams that came in fragments.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Put together.
    pub complete: u64,
    /// All parts came, but the capture cut some.
    pub snapped: u64,
    /// Parts were missing after 30 seconds of packet time.
    pub timed_out: u64,
    /// Given up for want of memory.
    pub evicted: u64,
    /// Discarded because parts overlapped.
    pub overlapping: u64,
    /// Discarded because parts contradicted each other: two ends, data behind the end, longer than an IP packet can be.
    pub malformed: u64,
    /// Fragments that repeated what was there, such as copies seen at several interfaces of one point.
    pub repeated: u64,
}

/// One piece of a datagram.
struct Part {
    start: u32,
    end: u32,
    bytes: Box<[u8]>,
}

struct Pending {
    /// Time of the first part and order of arrival: who is the oldest.
    born: (i64, u64),
    /// When it was complete or discarded: later parts are ignored.
    closed_ns: Option<i64>,
    /// Sorted, without overlaps.
    parts: Vec<Part>,
    /// Payload bytes of the parts.
    held: u32,
    /// Payload length, once the last part has come.
    end: Option<u32>,
    proto: u8,
    snapped: bool,
    cost: usize,
    seen: Seen,
    last_ns: i64,
}

/// Puts fragments together. All it holds is charged to one budget.
pub struct Reassembler {
    max_cost: usize,
    cost: usize,
    serial: u64,
    pending: HashMap<Key, Pending>,
    by_age: BTreeMap<(i64, u64), Key>,
    counts: Counts,
    /// Datagrams whose fate was decided since they were last asked for.
    decided: Vec<Fragmented>,
}

/// What a part did to its datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Inserted {
    Repeated,
    Overlapping,
    Malformed,
    Waiting,
    Complete,
}

impl Reassembler {
    /// One that holds at most `max_bytes`, bookkeeping included.
    pub fn new(max_bytes: usize) -> Self {
        let (pending, by_age) = (HashMap::new(), BTreeMap::new());
        let (counts, decided) = (Counts::default(), Vec::new());
        Self { max_cost: max_bytes, cost: 0, serial: 0, pending, by_age, counts, decided }
    }

    /// What became of the datagrams so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Datagrams whose parts are still waited for.
    pub fn waiting(&self) -> u64 {
        self.pending.values().filter(|pending| pending.closed_ns.is_none()).count() as u64
    }

    /// Takes one fragment and what was captured of its payload; gives the datagram when that completes it.
    pub fn push(&mut self, key: Key, seen: Seen, fragment: &Fragment, payload: &[u8]) -> Option<Datagram> {
        let ts_ns = seen.ns;
        self.expire(ts_ns);
        let inserted = self.insert(key, seen, fragment, payload);
        let counts = &mut self.counts;
        match inserted {
            Inserted::Repeated => counts.repeated += 1,
            Inserted::Overlapping => counts.overlapping += 1,
            Inserted::Malformed => counts.malformed += 1,
            Inserted::Waiting | Inserted::Complete => {}
        }
        let datagram = match inserted {
            Inserted::Repeated | Inserted::Waiting => None,
            Inserted::Overlapping | Inserted::Malformed | Inserted::Complete => self.close(key, ts_ns, inserted),
        };
        self.evict();
        datagram
    }

    /// The datagrams whose fate was decided since the last call.
    pub fn take_decided(&mut self) -> Vec<Fragmented> {
        std::mem::take(&mut self.decided)
    }

    /// Gives up all that waits, because the unit of the inputs is over.
    pub fn end(&mut self, now_ns: i64) {
        while let Some((&born, key)) = self.by_age.first_key_value() {
            let waiting = self.pending.get(key).filter(|pending| pending.closed_ns.is_none());
            if let Some(pending) = waiting {
                let cut_off = now_ns.saturating_sub(pending.last_ns) < CUT_OFF_NS;
                let fate = if cut_off { Fate::CutOff } else { Fate::Missing };
                self.counts.timed_out += u64::from(!cut_off);
                self.decided.push(pending.fragmented(key, fate));
            }
            self.forget(born);
        }
    }

    fn insert(&mut self, key: Key, seen: Seen, fragment: &Fragment, payload: &[u8]) -> Inserted {
        let ts_ns = seen.ns;
        if let Some(old) = self.pending.get(&key).filter(|old| old.is_forgettable(ts_ns)) {
            self.forget(old.born);
        }
        let pending = self.pending.entry(key).or_insert_with(|| {
            self.serial += 1;
            self.cost += DATAGRAM_COST;
            self.by_age.insert((ts_ns, self.serial), key);
            Pending::new((ts_ns, self.serial), seen, fragment.proto)
        });
        if pending.closed_ns.is_none() {
            pending.note(seen);
        }
        let before = pending.cost;
        let inserted = pending.insert(fragment, payload, key.proto.is_some());
        self.cost = self.cost + pending.cost - before;
        inserted
    }

    /// Frees what a datagram holds and keeps its key, so that parts that come late are known as such.
    fn close(&mut self, key: Key, ts_ns: i64, why: Inserted) -> Option<Datagram> {
        let pending = self.pending.get_mut(&key)?;
        let datagram = match (why, pending.snapped) {
            (Inserted::Complete, false) => {
                self.counts.complete += 1;
                Some(pending.datagram())
            }
            (Inserted::Complete, true) => {
                self.counts.snapped += 1;
                None
            }
            _ => None,
        };
        let fate = match (why, pending.snapped) {
            (Inserted::Overlapping, _) => Fate::Overlapping,
            (Inserted::Malformed, _) => Fate::Malformed,
            (_, true) => Fate::Snapped,
            (_, false) => Fate::Complete,
        };
        if pending.closed_ns.is_none() {
            self.decided.push(pending.fragmented(&key, fate));
        }
        self.cost -= pending.cost - DATAGRAM_COST;
        (pending.cost, pending.parts, pending.closed_ns) = (DATAGRAM_COST, Vec::new(), Some(ts_ns));
        datagram
    }

    fn expire(&mut self, now_ns: i64) {
        while let Some((&born, key)) = self.by_age.first_key_value() {
            let Some(pending) = self.pending.get(key) else { break };
            let waiting = pending.closed_ns.is_none();
            if waiting && now_ns.saturating_sub(born.0) <= TIMEOUT_NS || !waiting && !pending.is_forgettable(now_ns) {
                break;
            }
            self.counts.timed_out += u64::from(waiting);
            if waiting {
                self.decided.push(pending.fragmented(key, Fate::Missing));
            }
            self.forget(born);
        }
    }

    fn evict(&mut self) {
        while self.cost > self.max_cost {
            let Some((&born, key)) = self.by_age.first_key_value() else { break };
            if let Some(pending) = self.pending.get(key).filter(|pending| pending.closed_ns.is_none()) {
                self.counts.evicted += 1;
                self.decided.push(pending.fragmented(key, Fate::Evicted));
            }
            self.forget(born);
        }
    }

    fn forget(&mut self, born: (i64, u64)) {
        if let Some(pending) = self.by_age.remove(&born).and_then(|key| self.pending.remove(&key)) {
            self.cost -= pending.cost;
        }
    }
}

impl Pending {
    fn new(born: (i64, u64), seen: Seen, proto: u8) -> Self {
        let (parts, last_ns, cost) = (Vec::new(), seen.ns, DATAGRAM_COST);
        Self { born, closed_ns: None, parts, held: 0, end: None, proto, snapped: false, cost, seen, last_ns }
    }

    /// Takes note of a part's time, and of what the first part tells.
    fn note(&mut self, seen: Seen) {
        self.last_ns = self.last_ns.max(seen.ns);
        self.seen.ports = self.seen.ports.or(seen.ports);
        self.seen.inside = self.seen.inside.or(seen.inside);
    }

    fn fragmented(&self, key: &Key, fate: Fate) -> Fragmented {
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
    fn is_forgettable(&self, now_ns: i64) -> bool {
        self.closed_ns.is_some_and(|closed| now_ns.saturating_sub(closed) > REPEAT_NS)
    }

    fn insert(&mut self, fragment: &Fragment, payload: &[u8], is_v4: bool) -> Inserted {
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
    fn accepts_end(&mut self, end: u32, more: bool) -> bool {
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
    fn covers(&self, at: usize, start: u32, end: u32) -> bool {
        let mut reached = start;
        for part in self.parts.iter().skip(at.saturating_sub(1)).take_while(|part| part.start < end) {
            if part.start > reached {
                return false;
            }
            reached = reached.max(part.end);
        }
        reached >= end
    }

    fn add(&mut self, at: usize, part: Part) {
        self.cost += PART_COST + part.bytes.len();
        self.held += part.end - part.start;
        self.snapped |= part.bytes.len() < (part.end - part.start) as usize;
        self.parts.insert(at, part);
    }

    fn is_complete(&self) -> bool {
        self.end == Some(self.held)
    }

    fn datagram(&self) -> Datagram {
        let bytes = self.parts.iter().flat_map(|part| &part.bytes).copied().collect();
        Datagram { proto: self.proto, bytes, parts: self.parts.len() as u32 }
    }
}
