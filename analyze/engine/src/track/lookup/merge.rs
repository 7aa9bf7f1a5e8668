//! The same question seen from several units: one counts, and the clocks of the units are brought together.

use super::query::{Query, Verdict};
use std::collections::{BTreeMap, BTreeSet};

/// Clocks of hosts that differ by more are not compared.
const MOST_OFFSET_NS: i64 = 30_000_000_000;
/// The same question is seen on other hosts within this time, clocks corrected.
const APART_NS: i64 = 1_000_000_000;
/// Matches that tell the difference of two clocks.
const ENOUGH: usize = 3;
/// Matches that are looked at for it.
const MOST_MATCHES: usize = 256;
/// A hop behind SNAT, or a forwarder that keeps the identification, asks within the time of the question it serves.
const NESTED_SLACK_NS: i64 = 2_000_000;

/// What makes two questions the same wherever they are seen.
fn key(query: &Query) -> (u32, u16, u16, u8, u32, bool) {
    (query.client, query.port, query.id, query.kind, query.name, query.tcp)
}

/// Leaves one of each question that several units saw, with its times in the clock of the first unit. How much each
/// unit's clock is behind the first one's, by unit.
pub(crate) fn merge(queries: &mut Vec<Query>) -> BTreeMap<u32, i64> {
    let Some(first) = queries.first().map(|query| query.unit) else { return BTreeMap::new() };
    if queries.iter().all(|query| query.unit == first) {
        return BTreeMap::new();
    }
    queries.sort_by_cached_key(|query| (key(query), query.unit, query.first_ns));
    let offsets = offsets(queries);
    for query in queries.iter_mut() {
        shift(query, offsets.get(&query.unit).copied().unwrap_or_default());
    }
    let mut kept: Vec<Query> = Vec::with_capacity(queries.len());
    for group in queries.chunk_by(|a, b| key(a) == key(b)) {
        fold(group, &mut kept);
    }
    *queries = without_hops(kept);
    offsets
}

pub(super) fn shift(query: &mut Query, by: i64) {
    for ns in [&mut query.first_ns, &mut query.last_ns, &mut query.end_ns] {
        *ns = ns.saturating_add(by);
    }
}

/// For each unit what to add to its times; units without matches stay as they are.
fn offsets(queries: &[Query]) -> BTreeMap<u32, i64> {
    let mut gaps: BTreeMap<(u32, u32), Vec<i64>> = BTreeMap::new();
    for group in queries.chunk_by(|a, b| key(a) == key(b)) {
        for pair in group.windows(2) {
            let [a, b] = pair else { continue };
            let gap = a.first_ns.saturating_sub(b.first_ns);
            let known = gaps.entry((a.unit, b.unit)).or_default();
            if a.unit != b.unit && gap.abs() <= MOST_OFFSET_NS && known.len() < MOST_MATCHES {
                known.push(gap);
            }
        }
    }
    let mut offsets = BTreeMap::new();
    for ((a, b), mut gaps) in gaps {
        if gaps.len() >= ENOUGH && !offsets.contains_key(&b) {
            gaps.sort_unstable();
            let before: i64 = offsets.get(&a).copied().unwrap_or_default();
            offsets.insert(b, before.saturating_add(gaps[gaps.len() / 2]));
        }
    }
    offsets
}

/// Puts the questions of one key together that are of different units and near in time.
fn fold(group: &[Query], kept: &mut Vec<Query>) {
    let from = kept.len();
    let mut seen: Vec<Vec<u32>> = Vec::new();
    for query in group {
        let mine = kept.get(from..).unwrap_or_default();
        let near = |(at, known): &(usize, &Query)| {
            let other_unit = seen.get(*at).is_some_and(|units| !units.contains(&query.unit));
            other_unit && (known.first_ns - query.first_ns).abs() <= APART_NS
        };
        let found =
            mine.iter().enumerate().filter(near).min_by_key(|(_, known)| (known.first_ns - query.first_ns).abs());
        if let Some((at, _)) = found {
            seen[at].push(query.unit);
            join(&mut kept[from + at], query);
        } else {
            kept.push(*query);
            seen.push(vec![query.unit]);
        }
    }
}

/// An answer that one of them saw is an answer.
fn join(known: &mut Query, other: &Query) {
    let attempts = known.attempts.max(other.attempts);
    let backend = if known.backend == 0 { other.backend } else { known.backend };
    let better = known.verdict.is_silence() && !other.verdict.is_silence();
    if better {
        let (unit, frame, server) = (known.unit, known.frame, known.server);
        *known = Query { unit, frame, server, first_ns: known.first_ns, ..*other };
    } else if known.verdict == Verdict::Open {
        known.verdict = other.verdict;
    }
    known.attempts = attempts;
    known.backend = backend;
}

/// Drops questions of one client that are asked and answered within the same question of another, with the same
/// identification: the same question behind SNAT, or passed on by a forwarder.
fn without_hops(mut queries: Vec<Query>) -> Vec<Query> {
    queries.sort_by_cached_key(|query| (query.name, query.kind, query.id, query.first_ns, query.client));
    let mut kept: Vec<Query> = Vec::with_capacity(queries.len());
    for query in queries {
        let is_hop = kept.last().is_some_and(|outer| is_within(&query, outer));
        if !is_hop {
            kept.push(query);
        }
    }
    kept
}

fn is_within(inner: &Query, outer: &Query) -> bool {
    let same = (inner.name, inner.kind, inner.id) == (outer.name, outer.kind, outer.id);
    let apart = inner.unit != outer.unit && inner.client != outer.client;
    same && apart
        && inner.first_ns >= outer.first_ns - NESTED_SLACK_NS
        && inner.first_ns <= outer.end_ns
        && inner.end_ns <= outer.end_ns.saturating_add(NESTED_SLACK_NS)
}

/// Questions of other clients that one may be asked on behalf of.
const OUTER: usize = 8;
/// A forwarder has at least so many questions that are asked on behalf of others, and four in five of all are.
const FORWARDED: u64 = 5;

/// Clients that ask on behalf of others: nearly all their questions are asked and answered while another client waits
/// for the same name from another server, one question for each.
pub(crate) fn forwarders(queries: &[Query], names: usize, addrs: usize) -> BTreeSet<u32> {
    let mut counts = vec![(0u64, 0u64); addrs];
    for query in queries {
        counts[query.client as usize].1 += 1;
    }
    let mut passed_on = passed_on(queries, names);
    if !may_forward(&passed_on, &counts) {
        return BTreeSet::new();
    }
    passed_on.sort_by_cached_key(|query| {
        (query.name, query.kind, query.first_ns, std::cmp::Reverse(query.end_ns), query.client)
    });
    for group in passed_on.chunk_by(|a, b| (a.name, a.kind) == (b.name, b.kind)) {
        let mut outer: Vec<&Query> = Vec::new();
        for query in group {
            if let Some(at) = outer.iter().position(|outer| serves(query, outer)) {
                outer.remove(at);
                counts[query.client as usize].0 += 1;
            }
            if outer.len() >= OUTER {
                outer.remove(0);
            }
            outer.push(query);
        }
    }
    let forwards = |(_, counts): &(u32, (u64, u64))| is_forwarder(*counts);
    (0..).zip(counts).filter(forwards).map(|(client, _)| client).collect()
}

fn is_forwarder((forwarded, all): (u64, u64)) -> bool {
    forwarded >= FORWARDED && forwarded * 5 >= all * 4
}

/// Whether some client asked enough of what may be asked on behalf of others.
fn may_forward(passed_on: &[&Query], counts: &[(u64, u64)]) -> bool {
    let mut most: Vec<(u64, u64)> = counts.to_vec();
    for query in passed_on {
        most[query.client as usize].0 += 1;
    }
    most.into_iter().any(is_forwarder)
}

/// Questions for names that several clients ask several servers for; only such can be asked on behalf of others.
fn passed_on(queries: &[Query], names: usize) -> Vec<&Query> {
    let mut asked: Vec<Option<(u32, u32, bool, bool)>> = vec![None; names];
    for query in queries {
        let known = asked[query.name as usize].get_or_insert((query.client, query.server, false, false));
        known.2 |= known.0 != query.client;
        known.3 |= known.1 != query.server;
    }
    let several = |query: &&Query| matches!(asked[query.name as usize], Some((_, _, true, true)));
    queries.iter().filter(several).collect()
}

fn serves(inner: &Query, outer: &Query) -> bool {
    let answered = !inner.verdict.is_silence() && !outer.verdict.is_silence();
    let apart = inner.client != outer.client && !is_same_server(inner, outer);
    answered && apart && inner.first_ns >= outer.first_ns && inner.end_ns <= outer.end_ns
}

/// Whether both ask the same server, as addressed or behind DNAT.
fn is_same_server(a: &Query, b: &Query) -> bool {
    let (servers, backends) = (a.server == b.server, a.backend != 0 && a.backend == b.backend);
    servers || backends || a.backend == b.server || b.backend == a.server
}
