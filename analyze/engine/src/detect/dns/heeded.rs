//! Whether clients mind that a question stays without an answer: where none does, the answer came and is what the
//! capture lacks.

use super::Query;
use crate::detect::world::World;
use foldhash::fast::RandomState;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Queries by identity and time.
pub(super) type Named = BTreeSet<(u64, i64)>;

pub(super) fn name(query: &Query) -> (u64, i64) {
    (query.identity, query.first_ns)
}

/// What asks again does so within this time: forwarders after some round trips (unbound from 50 ms on), musl after
/// 2.5 s, c-ares 3 s and more, glibc and Go 5 s.
const AGAIN_NS: std::ops::RangeInclusive<i64> = 10_000_000..=6_500_000_000;
/// Queries this soon after another are of the same lookup, which did not wait for the other's answer; and this soon its
/// next comes where it got one.
const AT_ONCE_NS: i64 = 2_000_000;
const SOON_NS: i64 = 1_000_000_000;
/// It is a client's habit to ask again where one of so many answered questions is asked again as soon.
const HABIT: usize = 8;

/// Questions without an answer whose clients did not ask again for want of it, and went on at once as who has an answer
/// does, or whose capture is known to have lost packets.
pub(super) fn unheeded(world: &World<'_>) -> Named {
    let is_single = |query: &Query| query.is_silent() && query.attempts == 1;
    let doubted = world.facts.dns.clients().filter(|queries| queries.iter().any(is_single));
    let (holes, spans) = (&world.facts.flows.holes, world.unit_spans());
    doubted.flat_map(|queries| Client::of(queries).unheeded(holes, &spans)).collect()
}

/// Queries of a client in order of time.
struct Client<'a> {
    queries: &'a [Query],
    /// For each the next with the same question.
    next: Vec<Option<usize>>,
    /// After what times answered questions were asked again, the least first; and how many were answered.
    habit_ns: Vec<i64>,
    answered: usize,
}

impl<'a> Client<'a> {
    fn of(queries: &'a [Query]) -> Self {
        let mut newest: HashMap<(u64, u16), usize, RandomState> = HashMap::default();
        let mut next: Vec<Option<usize>> =
            queries.iter().enumerate().rev().map(|(at, query)| newest.insert((query.name, query.qtype), at)).collect();
        next.reverse();
        let mut client = Self { queries, next, habit_ns: Vec::new(), answered: 0 };
        let answered = || queries.iter().enumerate().filter(|(_, query)| query.is_answered());
        client.answered = answered().count();
        client.habit_ns = answered().filter_map(|(at, _)| Some(client.again(at)?.1)).collect();
        client.habit_ns.sort_unstable();
        client
    }

    /// The same question asked next, and how long after.
    fn again(&self, at: usize) -> Option<(usize, i64)> {
        let next = self.next[at]?;
        Some((next, self.queries[next].first_ns.saturating_sub(self.queries[at].last_ns)))
    }

    fn unheeded(&self, holes: &BTreeSet<u32>, spans: &BTreeMap<u32, (i64, i64)>) -> Vec<(u64, i64)> {
        // Whether it is a try after one that is heeded: then its silence is heeded, be it the last.
        let mut tries = vec![false; self.queries.len()];
        let mut unheeded = Vec::new();
        for (at, query) in self.queries.iter().enumerate().filter(|(_, query)| query.is_silent()) {
            let seen_to_ns = spans.get(&query.unit).map_or(i64::MIN, |(_, last_ns)| *last_ns);
            let doubted = query.attempts == 1 && (holes.contains(&query.unit) || self.goes_on(at));
            if doubted && !tries[at] && !self.asks_again(at, seen_to_ns) {
                unheeded.push(name(query));
            } else if let Some((next, _)) = self.again(at).filter(|(_, ns)| ns <= AGAIN_NS.end()) {
                tries[next] = true;
            }
        }
        unheeded
    }

    /// Whether the client asks again for want of an answer, or may have behind the end of the capture: with the same
    /// identification as most resolvers do, or sooner than it does where it got an answer.
    fn asks_again(&self, at: usize, seen_to_ns: i64) -> bool {
        let query = &self.queries[at];
        let Some((next, after_ns)) = self.again(at) else {
            return (0..=*AGAIN_NS.end()).contains(&seen_to_ns.saturating_sub(query.last_ns));
        };
        let is_same = self.queries[next].identity == query.identity;
        AGAIN_NS.contains(&after_ns) && (is_same || !self.is_habit(after_ns))
    }

    /// Whether answered questions are asked again as soon.
    fn is_habit(&self, after_ns: i64) -> bool {
        let as_soon = self.habit_ns.partition_point(|ns| *ns <= after_ns.saturating_add(after_ns / 4));
        as_soon > 0 && as_soon * HABIT >= self.answered
    }

    /// Whether the client asks something else soon, but not at the same time.
    fn goes_on(&self, at: usize) -> bool {
        let after_ns = |next: &Query| next.first_ns.saturating_sub(self.queries[at].last_ns);
        let later = &self.queries[at + 1..];
        let next = later.partition_point(|next| after_ns(next) <= AT_ONCE_NS);
        later.get(next).is_some_and(|next| after_ns(next) <= SOON_NS)
    }
}
