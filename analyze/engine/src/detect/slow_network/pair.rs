//! Round trips between two hosts: slow all the time, or from one time to another.

use super::{ENOUGH, SLOW_NS};
use crate::time::widen;
use crate::track::event::Flow;
use crate::track::{FrameId, MaybeNs};

/// What one handshake showed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Trip {
    /// When its connection began and ended.
    span_ns: (i64, i64),
    whole_ns: i64,
    /// The part of it behind the place that saw it, towards the responder.
    there_ns: i64,
    /// From first request to first response, less the round trip.
    think_ns: Option<i64>,
    pub(super) frame: Option<FrameId>,
}

impl Trip {
    fn of(flow: &Flow, (whole_ns, there_ns): (i64, i64)) -> Self {
        let thought = match flow.data_ns.map(MaybeNs::get) {
            [Some(asked), Some(answered)] if answered >= asked => Some(answered - asked),
            _ => None,
        };
        Self {
            span_ns: (flow.first_ns, flow.last_ns),
            whole_ns,
            there_ns,
            think_ns: thought.map(|ns| (ns - there_ns).max(0)),
            frame: flow.syns.as_slice().first().copied(),
        }
    }

    fn is_slow(&self) -> bool {
        self.whole_ns >= SLOW_NS
    }
}

/// Connections of one pair of hosts.
#[derive(Clone, Debug, Default)]
pub(super) struct Pair {
    pub(super) trips: Vec<Trip>,
    /// Round trips before and after, where these are only the slow ones of a time.
    pub(super) usual_ns: Vec<i64>,
    pub(super) inside: bool,
}

/// A change is clear with so many handshakes on either side,
const CLEAR: usize = 8;
/// over so long a time: a queue that a transfer fills drains sooner,
const LASTS_NS: i64 = 5_000_000_000;
/// where the round trip is so many times what it was.
const TIMES: i64 = 4;

pub(super) fn median(mut values: Vec<i64>) -> Option<i64> {
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

impl Pair {
    pub(super) fn add(&mut self, flow: &Flow, trip: (i64, i64)) {
        self.trips.push(Trip::of(flow, trip));
        self.inside |=
            flow.legs().any(|leg| leg.tunnel != 0) || flow.orig.addr.is_private() && flow.resp.addr.is_private();
    }

    pub(super) fn trip_ns(&self) -> Option<i64> {
        median(self.trips.iter().map(|trip| trip.whole_ns).collect())
    }

    pub(super) fn there_ns(&self) -> Option<i64> {
        median(self.trips.iter().map(|trip| trip.there_ns).collect())
    }

    pub(super) fn think_ns(&self) -> i64 {
        median(self.trips.iter().filter_map(|trip| trip.think_ns).collect()).unwrap_or(0)
    }

    pub(super) fn usual_ns(&self) -> Option<i64> {
        median(self.usual_ns.clone())
    }

    /// From the first to the last packet of its connections.
    pub(super) fn span_ns(&self) -> (i64, i64) {
        let mut span = None;
        self.trips.iter().for_each(|trip| widen(&mut span, trip.span_ns.0, trip.span_ns.1));
        span.unwrap_or_default()
    }

    /// When the first and the last of its connections began.
    pub(super) fn began_ns(&self) -> (i64, i64) {
        let times = || self.trips.iter().map(|trip| trip.span_ns.0);
        (times().min().unwrap_or_default(), times().max().unwrap_or_default())
    }

    /// How long connections began.
    pub(super) fn lasts_ns(&self) -> i64 {
        let (first, last) = self.began_ns();
        last.saturating_sub(first)
    }

    fn is_slow(&self) -> bool {
        self.trips.len() >= ENOUGH
            && self.trip_ns().is_some_and(|trip_ns| trip_ns >= SLOW_NS && self.think_ns() <= trip_ns)
    }

    /// What of it is slow: all, or what lies in one stretch of time.
    pub(super) fn slow(mut self) -> Option<Self> {
        if self.is_slow() {
            return Some(self);
        }
        self.trips.sort_by_key(|trip| trip.span_ns);
        let (from, to) = slowest_stretch(&self.trips);
        let usual = self.trips[..from].iter().chain(&self.trips[to..]);
        let usual_ns: Vec<i64> = usual.map(|trip| trip.whole_ns).collect();
        let stretch = Self { trips: self.trips[from..to].to_vec(), usual_ns, inside: self.inside };
        stretch.is_clear().then_some(stretch)
    }

    /// Whether nearly all round trips of a stretch are slow, hardly one of the others is, and the two are far apart.
    fn is_clear(&self) -> bool {
        let slow = self.trips.iter().filter(|trip| trip.is_slow()).count();
        let odd = self.usual_ns.iter().filter(|ns| **ns >= SLOW_NS).count();
        let enough = slow >= CLEAR && self.usual_ns.len() >= CLEAR && self.lasts_ns() >= LASTS_NS;
        let pure = slow * 10 >= self.trips.len() * 9 && odd * 10 <= self.usual_ns.len();
        let apart = |usual_ns: i64| self.trip_ns() >= Some(usual_ns.saturating_mul(TIMES));
        enough && pure && self.is_slow() && self.usual_ns().is_some_and(apart)
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.trips.extend(other.trips);
        self.usual_ns.extend(other.usual_ns);
        self.inside |= other.inside;
    }
}

/// Where slow round trips lie closest together: the part with the greatest sum, a slow one counting 1 and another -2.
fn slowest_stretch(trips: &[Trip]) -> (usize, usize) {
    let (mut best, mut best_sum) = ((0, 0), 0);
    let (mut from, mut sum) = (0, 0);
    for (at, trip) in trips.iter().enumerate() {
        if sum <= 0 {
            (from, sum) = (at, 0);
        }
        sum += if trip.is_slow() { 1 } else { -2 };
        if sum > best_sum {
            (best, best_sum) = ((from, at + 1), sum);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    /// A handshake every 500 ms, of these round trips in milliseconds.
    fn pair(trips: impl IntoIterator<Item = i64>) -> Pair {
        let trip = |(at, ms): (i64, i64)| Trip {
            span_ns: (at * 500 * MS, at * 500 * MS + MS),
            whole_ns: ms * MS,
            ..Trip::default()
        };
        Pair { trips: (0..).zip(trips).map(trip).collect(), ..Pair::default() }
    }

    fn slow(trips: impl IntoIterator<Item = i64>) -> Option<(usize, usize)> {
        let slow = pair(trips).slow()?;
        Some((slow.trips.len(), slow.usual_ns.len()))
    }

    fn so_many(count: usize, ms: i64) -> std::iter::RepeatN<i64> {
        std::iter::repeat_n(ms, count)
    }

    #[test]
    fn all_of_it_is_slow() {
        assert_eq!(slow(so_many(3, 80)), Some((3, 0)));
        assert_eq!(slow(so_many(2, 80)), None);
        assert_eq!(slow(so_many(30, 24)), None);
    }

    #[test]
    fn a_change_is_seen_where_it_is_clear() {
        assert_eq!(slow(so_many(40, 1).chain(so_many(12, 80))), Some((12, 40)));
        assert_eq!(slow(so_many(20, 1).chain(so_many(12, 80)).chain(so_many(20, 1))), Some((12, 40)), "it passes");
        let one_between = so_many(40, 1).chain(so_many(6, 80)).chain([1]).chain(so_many(6, 80));
        assert_eq!(slow(one_between), Some((13, 40)));
    }

    #[test]
    fn what_varies_is_no_change() {
        assert_eq!(slow(so_many(40, 1).chain(so_many(7, 80))), None, "too few");
        assert_eq!(slow(so_many(6, 1).chain(so_many(5, 80))), None, "of either");
        assert_eq!(slow(so_many(40, 20).chain(so_many(15, 60))), None, "not so far apart");
        assert_eq!(slow((0..80).map(|n| if n % 3 == 0 { 80 } else { 1 })), None, "now and then");
        assert_eq!(slow((0..80).map(|n| 1 + n * 7919 % 40)), None, "jitter");
        let mut burst = pair(so_many(40, 1).chain(so_many(12, 80)));
        (0..).zip(&mut burst.trips).for_each(|(at, trip)| trip.span_ns.0 = at * 100 * MS);
        assert!(burst.slow().is_none(), "a moment");
    }
}
