//! IP fragments to datagrams, within a bound of memory and of packet time.
//!
//! Overlaps as Linux has treated them since 4.19 and 5.0, for both versions (`inet_frag_queue_insert`, commits
//! 7969e5c40dfd and ade446403bfb; RFC 5722): what is wholly there already is a repetition and ignored, any other overlap
//! discards the datagram.

mod pending;
#[cfg(test)]
mod tests;

use super::event::FrameId;
use crate::Addr;
use crate::packet::Packet;
use crate::wire::{Fragment, Outer, TunnelKind};
use pending::{Inserted, Pending};
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
