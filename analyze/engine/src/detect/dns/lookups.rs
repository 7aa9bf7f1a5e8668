//! Queries that are one lookup of an application: both families of a name, what was asked again, and the candidates
//! that a search list makes of it.

use super::{Dns, Query};
use crate::Addr;
use crate::track::Endpoint;
use std::collections::{BTreeMap, BTreeSet};

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
    fn goes_on(&self, query: &Query, name: &str) -> bool {
        let since_ns = query.first_ns.saturating_sub(self.last.last_ns);
        let same_port = self.last.client.port == query.client.port;
        if since_ns >= RETRY_NS {
            return false;
        }
        if self.last.name == query.name {
            let apart_ns = query.first_ns.saturating_sub(self.last.first_ns);
            let pair = apart_ns < PAIR_NS && self.last.qtype != query.qtype;
            return pair || same_port || !self.last.is_answered();
        }
        let candidate = name.starts_with(self.name) || self.name.starts_with(name);
        candidate && !self.names.contains(&query.name)
    }
}

/// How many lookups these queries are, in order of client and time.
pub(super) fn lookups<'a>(queries: impl IntoIterator<Item = &'a Query>, dns: &'a Dns) -> u64 {
    let mut open: BTreeMap<(Addr, &str), Open<'_>> = BTreeMap::new();
    let mut count = 0;
    for query in queries {
        let name = dns.story(query).map_or("", |story| &*story.name);
        let stem = name.split_once('.').map_or(name, |(first, _)| first);
        match open.get_mut(&(query.client.addr, stem)) {
            Some(lookup) if lookup.goes_on(query, name) => {
                lookup.names.insert(query.name);
                (lookup.last, lookup.name) = (query, name);
            }
            _ => {
                count += 1;
                let lookup = Open { last: query, name, names: BTreeSet::from([query.name]) };
                open.insert((query.client.addr, stem), lookup);
            }
        }
    }
    count
}

/// The two families of a name, asked for from one port at a time: in order of being asked.
pub(super) fn pairs(queries: &[Query]) -> Vec<(Query, Query)> {
    let mut pairs = Vec::new();
    let mut open: BTreeMap<(Endpoint, u64), Query> = BTreeMap::new();
    for query in queries.iter().filter(|query| matches!(query.qtype, 1 | 28) && !query.tcp) {
        let key = (query.client, query.name);
        match open.remove(&key) {
            Some(first) if first.qtype != query.qtype && query.first_ns.saturating_sub(first.first_ns) < PAIR_NS => {
                pairs.push((first, *query));
            }
            _ => drop(open.insert(key, *query)),
        }
    }
    pairs
}
