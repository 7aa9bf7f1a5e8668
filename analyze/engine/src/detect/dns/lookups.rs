//! Queries that are one lookup of an application: both families of a name, what was asked again, and the candidates
//! that a search list makes of it.

use super::{Dns, Query};
use crate::Addr;
use crate::track::Endpoint;
use foldhash::fast::RandomState;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Both families are asked for within this time (glibc up to 7 ms on a busy host).
const PAIR_NS: i64 = 20_000_000;
/// Resolvers ask again after this at the latest (glibc, Go), the time of the answer added.
const RETRY_NS: i64 = 5_600_000_000;

/// A lookup that may go on.
struct Open<'a> {
    last: &'a Query,
    name: &'a str,
    names: BTreeSet<u64>,
}

impl Open<'_> {
    fn goes_on(&self, query: &Query, name: &str, one_port: bool) -> bool {
        let since_ns = query.first_ns.saturating_sub(self.last.last_ns);
        let same_port = self.last.client.port == query.client.port;
        if since_ns >= RETRY_NS {
            return false;
        }
        if self.last.name == query.name {
            let apart_ns = query.first_ns.saturating_sub(self.last.first_ns);
            let pair = !one_port && apart_ns < PAIR_NS && self.last.qtype != query.qtype;
            return pair || same_port || self.last.attempts == 1 && !self.last.is_answered();
        }
        let candidate = name.starts_with(self.name) || self.name.starts_with(name);
        candidate && !self.names.contains(&query.name)
    }
}

/// Lookups of one client and first label that may go on at once: threads look up side by side.
const SIDE_BY_SIDE: usize = 8;

/// How many lookups these queries are, in order of client and time.
pub(super) fn lookups<'a>(queries: impl IntoIterator<Item = &'a Query>, dns: &'a Dns) -> u64 {
    let mut open: BTreeMap<(Addr, &str), Vec<Open<'_>>> = BTreeMap::new();
    let one_port = dns.one_port();
    let mut count = 0;
    for query in queries {
        let name = dns.story(query).map_or("", |story| &*story.name);
        let stem = name.split_once('.').map_or(name, |(first, _)| first);
        let of_stem = open.entry((query.client.addr, stem)).or_default();
        let one_port = one_port.contains(&query.client.addr);
        if let Some(lookup) = of_stem.iter_mut().rev().find(|lookup| lookup.goes_on(query, name, one_port)) {
            lookup.names.insert(query.name);
            (lookup.last, lookup.name) = (query, name);
            continue;
        }
        count += 1;
        if of_stem.len() == SIDE_BY_SIDE {
            of_stem.remove(0);
        }
        of_stem.push(Open { last: query, name, names: BTreeSet::from([query.name]) });
    }
    count
}

/// Clients whose resolver asks for both families from one port (glibc, musl), not from one each (Go).
pub(super) fn one_port<'a>(clients: impl Iterator<Item = &'a [Query]>) -> BTreeSet<Addr> {
    clients.filter_map(first_pair).map(|(first, _)| first.client.addr).collect()
}

fn first_pair(queries: &[Query]) -> Option<(&Query, &Query)> {
    let mut open = Pairs::default();
    queries.iter().find_map(|query| open.take(query))
}

/// The two families of a name, asked for from one port at a time: in order of being asked.
pub(super) fn pairs<'a>(queries: impl IntoIterator<Item = &'a Query>) -> Vec<(&'a Query, &'a Query)> {
    let mut open = Pairs::default();
    queries.into_iter().filter_map(|query| open.take(query)).collect()
}

/// Questions whose pair may come.
#[derive(Default)]
struct Pairs<'a> {
    open: HashMap<(Endpoint, u64), &'a Query, RandomState>,
}

impl<'a> Pairs<'a> {
    /// The pair that a question completes.
    fn take(&mut self, query: &'a Query) -> Option<(&'a Query, &'a Query)> {
        if !matches!(query.qtype, 1 | 28) || query.tcp {
            return None;
        }
        let key = (query.client, query.name);
        match self.open.remove(&key) {
            Some(first) if first.qtype != query.qtype && query.first_ns.saturating_sub(first.first_ns) < PAIR_NS => {
                Some((first, query))
            }
            _ => {
                self.open.insert(key, query);
                None
            }
        }
    }
}
