//! Datagrams in fragments, by pair of addresses and by place.

use crate::Addr;
use crate::time::widen;
use crate::track::fragments::{Fate, Fragmented, Inside};
use crate::track::{FrameId, IcmpError};
use std::collections::{BTreeMap, BTreeSet};

/// Sender, receiver and protocol of datagrams.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Pair {
    pub(crate) src: Addr,
    pub(crate) dst: Addr,
    pub(crate) proto: u8,
}

/// A capture point, outside of tunnels or inside.
pub(crate) type Place = (u32, u16, bool);

/// What became of the datagrams of a pair at one place.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fates {
    pub(crate) complete: u64,
    pub(crate) missing: u64,
    pub(crate) fragments: u64,
    /// Fragments beyond the first that came.
    pub(crate) later: u64,
    /// Payload bytes of the biggest datagram.
    pub(crate) largest: u32,
    /// Frames of datagrams that are not complete, and of complete ones; a few.
    pub(crate) missing_frames: Vec<FrameId>,
    pub(crate) complete_frames: Vec<FrameId>,
    pub(crate) span_ns: Option<(i64, i64)>,
    /// Ports of those that are not complete, a few.
    pub(crate) ports: BTreeSet<(u16, u16)>,
}

/// Datagrams of one pair.
#[derive(Clone, Debug, Default)]
pub(crate) struct OfPair {
    pub(crate) places: BTreeMap<Place, Fates>,
    /// The tunnel that they are packets of.
    pub(crate) inside: Option<Inside>,
    /// The tunnel that they came inside.
    pub(crate) outer: Option<(Addr, Addr)>,
    /// ICMP errors of the receiver that fragments did not come in time, and their frames, a few.
    pub(crate) gave_up: u64,
    pub(crate) gave_up_frames: Vec<FrameId>,
}

/// All of them, of all units.
#[derive(Debug, Default)]
pub(crate) struct Fragments {
    pub(crate) pairs: BTreeMap<Pair, OfPair>,
    /// Whether any fragment but first ones came, by unit.
    pub(crate) later: BTreeSet<u32>,
    /// Datagrams of pairs beyond the cap.
    pub(crate) left_out: u64,
}

const MAX_PAIRS: usize = 4096;
const MAX_PLACES: usize = 32;
const FEW: usize = 8;

impl Fragments {
    pub(crate) fn add(&mut self, one: &Fragmented, unit: u32) {
        if one.parts > u32::from(one.has_first) {
            self.later.insert(unit);
        }
        let pair = Pair { src: one.src, dst: one.dst, proto: one.proto };
        let Some(of_pair) = self.of(pair) else { return };
        let place = (unit, one.point, one.outer.is_some());
        if of_pair.places.len() >= MAX_PLACES && !of_pair.places.contains_key(&place) {
            self.left_out += 1;
            return;
        }
        of_pair.inside = of_pair.inside.or(one.seen.inside);
        of_pair.outer = of_pair.outer.or(one.outer);
        of_pair.places.entry(place).or_default().add(one);
    }

    fn of(&mut self, pair: Pair) -> Option<&mut OfPair> {
        if self.pairs.len() >= MAX_PAIRS && !self.pairs.contains_key(&pair) {
            self.left_out += 1;
            return None;
        }
        Some(self.pairs.entry(pair).or_default())
    }

    /// Takes note of a receiver that gave a datagram up.
    pub(crate) fn gave_up(&mut self, error: &IcmpError) {
        let pair = Pair { src: error.orig.addr, dst: error.resp.addr, proto: error.proto };
        if let Some(of_pair) = self.of(pair) {
            of_pair.gave_up += 1;
            if of_pair.gave_up_frames.len() < FEW {
                of_pair.gave_up_frames.push(error.frame);
            }
        }
    }
}

impl Fates {
    fn add(&mut self, one: &Fragmented) {
        self.fragments += u64::from(one.parts);
        self.later += u64::from(one.parts.saturating_sub(one.has_first.into()));
        self.largest = self.largest.max(one.whole.unwrap_or(one.bytes));
        match one.fate {
            Fate::Complete | Fate::Snapped => {
                self.complete += 1;
                if self.complete_frames.len() < FEW {
                    self.complete_frames.push(one.seen.frame);
                }
            }
            Fate::Missing => self.miss(one),
            // What the capture or the memory ended, or the sender garbled, was not lost on the way.
            Fate::CutOff | Fate::Evicted | Fate::Overlapping | Fate::Malformed => {}
        }
    }

    fn miss(&mut self, one: &Fragmented) {
        self.missing += 1;
        if self.missing_frames.len() < FEW {
            self.missing_frames.push(one.seen.frame);
        }
        if let Some(ports) = one.seen.ports.filter(|_| self.ports.len() < FEW) {
            self.ports.insert(ports);
        }
        widen(&mut self.span_ns, one.seen.ns, one.last_ns);
    }
}

impl OfPair {
    /// The place where most datagrams lack fragments.
    pub(crate) fn worst(&self) -> Option<(Place, &Fates)> {
        let lacking = self.places.iter().filter(|(_, fates)| fates.missing > 0);
        lacking.max_by_key(|(_, fates)| fates.missing).map(|(place, fates)| (*place, fates))
    }

    /// The places where all datagrams are complete.
    pub(crate) fn whole(&self) -> impl Iterator<Item = Place> {
        let whole = self.places.iter().filter(|(_, fates)| fates.missing == 0 && fates.complete > 0);
        whole.map(|(place, _)| *place)
    }
}
