//! What several units of the inputs saw of a query, put together.

use super::Query;
use crate::Addr;
use foldhash::fast::RandomState;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Clocks of hosts differ by less, and clients do not ask again sooner with the same identification.
const SAME_NS: i64 = 2_000_000_000;

/// Groups of one identity that are looked at: a client that repeats itself has many.
const MOST_SAME: usize = 16;

/// Sightings of one query, by several units.
struct Group {
    near: Query,
    all: Vec<Query>,
}

/// Each query once, in order of client and time.
pub(super) fn merged(all: Vec<Query>) -> Vec<Query> {
    // What one unit saw apart stays apart.
    let several = all.windows(2).any(|pair| pair[0].unit != pair[1].unit);
    let mut merged = if several { by_identity(all) } else { all };
    let ranks = ranks(merged.iter().map(|query| query.client.addr));
    let rank = |query: &Query| u128::from(ranks.get(&query.client.addr).copied().unwrap_or_default());
    // Rank, time and port in one number.
    let time = |query: &Query| u128::from(query.first_ns as u64 ^ 1 << 63);
    merged.sort_by_cached_key(|query| rank(query) << 80 | time(query) << 16 | u128::from(query.client.port));
    merged
}

/// The place of each address among all: what is sorted by it compares small numbers.
fn ranks(addrs: impl Iterator<Item = Addr>) -> HashMap<Addr, u32, RandomState> {
    let unique: HashSet<Addr, RandomState> = addrs.collect();
    let mut sorted: Vec<Addr> = unique.into_iter().collect();
    sorted.sort_unstable();
    sorted.into_iter().zip(0..).collect()
}

fn by_identity(mut all: Vec<Query>) -> Vec<Query> {
    all.sort_by_cached_key(|query| (query.identity, query.first_ns, query.unit));
    let mut groups: Vec<Group> = Vec::with_capacity(all.len());
    let mut from = 0;
    for query in all {
        if groups.get(from).is_some_and(|first| first.near.identity != query.identity) {
            from = groups.len();
        }
        // The oldest that lacks it: a client may ask the same again at once.
        let same = groups[from..].iter_mut().rev().take(MOST_SAME).filter(|group| group.lacks(&query)).last();
        match same {
            Some(group) => group.add(query),
            None => groups.push(Group { near: query, all: Vec::new() }),
        }
    }
    groups.into_iter().map(Group::joined).collect()
}

impl Group {
    fn members(&self) -> impl Iterator<Item = &Query> {
        self.all.iter().chain(self.all.is_empty().then_some(&self.near))
    }

    /// Whether this is a query of the group's time that its unit did not see yet, or an attempt that counts as a query of
    /// its own where the answer to the one before was still there.
    fn lacks(&self, query: &Query) -> bool {
        let near = &self.near;
        let close = query.first_ns.saturating_sub(near.last_ns) < SAME_NS
            && near.first_ns.saturating_sub(query.last_ns) < SAME_NS;
        // Source NAT may change the port, at a router, and not the server.
        let same = query.client.port == near.client.port || query.server == near.server && query.ttl != near.ttl;
        let seen: u32 = self.members().filter(|known| known.unit == query.unit).map(|known| known.attempts).sum();
        let most = self.members().map(|known| known.attempts).max().unwrap_or_default();
        close && same && (seen == 0 || seen + query.attempts <= most)
    }

    fn add(&mut self, query: Query) {
        if self.all.is_empty() {
            self.all.push(self.near);
        }
        self.all.push(query);
        let nearness = |query: &Query| (query.ttl, Reverse(query.answers), query.attempts);
        if nearness(&query) > nearness(&self.near) {
            self.near = query;
        }
    }

    /// The one that is nearest to the client, with what the others tell of the way.
    fn joined(self) -> Query {
        let mut joined = self.near;
        let mut units: BTreeMap<u32, (u32, u32)> = BTreeMap::new();
        for query in &self.all {
            let unit = units.entry(query.unit).or_default();
            *unit = (unit.0 + query.least_attempts, unit.1 + query.most_answers);
            let behind = Some(query.server.addr).filter(|addr| *addr != joined.server.addr);
            joined.backend = joined.backend.or(query.backend).or(behind);
            joined.tunnel = joined.tunnel.max(query.tunnel);
            joined.forwarded |= query.forwarded || query.ttl < joined.ttl || query.tunnel != self.near.tunnel;
            joined.rejected |= query.rejected;
            joined.story = joined.story.min(query.story);
        }
        for (attempts, answers) in units.into_values() {
            joined.least_attempts = joined.least_attempts.min(attempts);
            joined.most_answers = joined.most_answers.max(answers);
        }
        joined
    }
}
