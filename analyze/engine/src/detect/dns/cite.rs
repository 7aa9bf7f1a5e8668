//! What findings about DNS have in common: subjects, counts, frames.

use super::lookups::lookups;
use super::{Dns, Query};
use crate::Addr;
use crate::detect::evidence::{any_of, some_of};
use crate::detect::world::World;
use crate::finding::{Finding, Role};
use crate::track::{Endpoint, FrameId};
use std::collections::{BTreeMap, BTreeSet};

/// Queries whose frames are cited.
const CITED: usize = 12;
/// Subjects named of one kind.
const NAMED: usize = 8;

impl Finding {
    /// Says whom queries are about, when they were, and cites some.
    pub(super) fn of_queries(&mut self, queries: &[Query], filter: &str, world: &World<'_>) {
        let servers: BTreeSet<Endpoint> = queries.iter().map(|query| query.server).collect();
        for server in servers.iter().take(NAMED) {
            self.about(Role::Resolver, server);
        }
        for client in clients(queries).iter().take(NAMED) {
            self.about(Role::Client, client);
        }
        self.counts.insert("clients", clients(queries).len() as i64);
        self.counts.insert("lookups", lookups(queries, &world.facts.dns) as i64);
        let first = queries.iter().map(|query| query.first_ns).min();
        let last = queries.iter().map(|query| query.last_ns + query.last_rtt_ns.get().unwrap_or_default()).max();
        if let (Some(first), Some(last)) = (first, last) {
            self.span(first, last);
        }
        let frames = queries.iter().take(CITED).flat_map(|query| frames(query, &world.facts.dns));
        self.cite(world, frames.collect::<Vec<FrameId>>(), filter);
    }
}

/// Frames of a query: what its story keeps, or where it was asked first.
fn frames(query: &Query, dns: &Dns) -> Vec<FrameId> {
    dns.story(query).map_or_else(|| query.frame.into_iter().collect(), |story| story.frames.clone())
}

/// Clients of queries.
pub(super) fn clients(queries: &[Query]) -> BTreeSet<Addr> {
    queries.iter().map(|query| query.client.addr).collect()
}

/// Names of queries, most asked first, a few in words.
pub(super) fn names(queries: &[Query], world: &World<'_>) -> String {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for story in queries.iter().filter_map(|query| world.facts.dns.story(query)) {
        let name = if &*story.name == "." { "the root" } else { &*story.name };
        *counts.entry(name).or_default() += 1;
    }
    let mut names: Vec<(&str, u64)> = counts.into_iter().collect();
    names.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), *name));
    some_of(names.into_iter().map(|(name, _)| name), 4)
}

/// Display filter of DNS between anybody and a server.
pub(super) fn server_filter(server: Endpoint) -> String {
    servers_filter([server.addr])
}

/// The same for any servers.
pub(super) fn servers_filter(servers: impl IntoIterator<Item = Addr>) -> String {
    format!("dns && {}", any_of(&servers.into_iter().collect()))
}

/// A quantile of sorted values.
pub(super) fn quantile(sorted: &[i64], per_mille: usize) -> i64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get((last * per_mille).div_ceil(1000)).copied().unwrap_or_default()
}

/// Milliseconds.
pub(super) fn millis(ns: i64) -> i64 {
    ns / 1_000_000
}

/// Queries by the server that their clients address.
pub(super) fn by_server<'a>(queries: impl Iterator<Item = &'a Query>) -> BTreeMap<Endpoint, Vec<Query>> {
    let mut servers: BTreeMap<Endpoint, Vec<Query>> = BTreeMap::new();
    let mut fronts: BTreeMap<Addr, Endpoint> = BTreeMap::new();
    for query in queries {
        servers.entry(query.server).or_default().push(*query);
        fronts.extend(query.backend.map(|backend| (backend, query.server)));
    }
    // What was seen only behind the translation goes with what shows whose backend it is.
    let behind: Vec<Endpoint> = servers.keys().filter(|server| fronts.contains_key(&server.addr)).copied().collect();
    for server in behind {
        let queries = servers.remove(&server).unwrap_or_default();
        servers.entry(fronts[&server.addr]).or_default().extend(queries);
    }
    servers
}

/// Whether something that was found before loses packets of all kinds, of these among others.
pub(super) fn is_symptom(queries: &[Query], world: &World<'_>) -> bool {
    let asked = || queries.iter().take(NAMED).flat_map(|query| [query.client.addr, query.server.addr]);
    world
        .found(&["NAT005", "OVL001", "OVL002", "OVL003", "OVL004"])
        .any(|finding| asked().any(|addr| world.concerns(finding, addr)))
}

/// Queries by who has to do with whom, in the order of the first of each.
pub(super) fn by_group<'a>(queries: impl Iterator<Item = &'a Query>, world: &World<'_>) -> Vec<Vec<Query>> {
    let mut groups: Vec<(Option<u32>, Vec<Query>)> = Vec::new();
    for query in queries {
        let group = group(query, world);
        match groups.iter_mut().find(|(of, _)| *of == group) {
            Some((_, queries)) => queries.push(*query),
            None => groups.push((group, vec![*query])),
        }
    }
    groups.into_iter().map(|(_, queries)| queries).collect()
}

/// Who a query has to do with.
pub(super) fn group(query: &Query, world: &World<'_>) -> Option<u32> {
    world.group(query.client.addr).or_else(|| world.group(query.server.addr))
}
