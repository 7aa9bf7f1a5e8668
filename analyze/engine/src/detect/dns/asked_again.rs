//! Questions that were answered and yet asked again: the answer did not reach the client.

use super::cite::{clients, is_symptom, server_filter};
use super::loss::{ABOUT, PATTERN, PER_MILLE};
use super::Query;
use crate::detect::evidence::{count_of, some_of};
use crate::detect::world::World;
use crate::finding::{Finding, Severity};
use crate::track::Endpoint;
use crate::track::dns::transaction::rcode::{NOERROR, NXDOMAIN};
use foldhash::fast::RandomState;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::RangeInclusive;

/// Resolvers ask as often from one port; what asks more often repeats itself by design, as checks of health do.
const TRIES: u32 = 3;
/// How long resolvers wait before they ask again: musl 2.5 s, c-ares 3 s and more, glibc 5 s.
const RESOLVER_NS: RangeInclusive<i64> = 2_000_000_000..=6_500_000_000;

/// Numbers that come more than once.
fn repeated(numbers: impl Iterator<Item = u64>) -> HashSet<u64, RandomState> {
    let mut all: Vec<u64> = numbers.collect();
    all.sort_unstable();
    all.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect()
}

/// Questions that were answered and yet asked again with the same identification, from the same port: between this
/// point and the client their answer was lost, or that of the other question from this port.
pub(super) fn asked_again(world: &World<'_>) -> BTreeMap<Endpoint, Vec<Query>> {
    let mut asked: HashMap<(u64, Endpoint), (&Query, u32), RandomState> = HashMap::default();
    let mut servers: BTreeMap<Endpoint, Vec<Query>> = BTreeMap::new();
    let answered = || world.facts.dns.queries().iter().filter(|query| !query.tcp && query.unanswered == 0);
    let repeated = repeated(answered().map(|query| query.identity));
    for query in answered().filter(|query| repeated.contains(&query.identity)) {
        let times = asked.get(&(query.identity, query.client)).map_or(0, |(_, times)| *times);
        let before = asked.insert((query.identity, query.client), (query, times + 1)).map(|(before, _)| before);
        let waited = |before: &Query| query.first_ns.saturating_sub(before.last_ns);
        let fine = |before: &Query| matches!(before.rcode, Some(NOERROR | NXDOMAIN)) && !before.truncated;
        if before.is_some_and(|before| fine(before) && RESOLVER_NS.contains(&waited(before))) {
            servers.entry(query.server).or_default().push(*query);
        }
    }
    let tries = |query: &Query| asked.get(&(query.identity, query.client)).is_some_and(|(_, times)| *times <= TRIES);
    for queries in servers.values_mut() {
        queries.retain(tries);
    }
    servers.retain(|_, queries| !queries.is_empty());
    servers
}

pub(super) fn judge(server: Endpoint, queries: &[Query], world: &World<'_>) -> Finding {
    let dns = &world.facts.dns;
    let ports: BTreeSet<Endpoint> = queries.iter().map(|query| query.client).collect();
    let stalled = ports.len() as u64;
    let lookups = count_of(stalled, "lookup");
    let all = dns.of_server(server).queries;
    let mut finding = Finding::of(&ABOUT, format!("{lookups} asked {server} again although it had answered"));
    if stalled < u64::from(PATTERN) || stalled * 1000 < all * PER_MILLE {
        finding.severity = Severity::Warning;
    }
    if is_symptom(queries, world) {
        finding.severity = Severity::Info;
    }
    finding.confidence = 0.75;
    finding.of_queries(queries, &server_filter(server), world);
    finding.counts.insert("queries", all as i64);
    finding.counts.insert("asked_again", queries.len() as i64);
    finding.counts.insert("stalled_lookups", stalled as i64);
    finding.counts.insert("lookups", stalled as i64);
    finding.explanation = format!(
        "{} of {server} passed here, and seconds later {} asked the same again from the same port. A resolver does that \
         when an answer did not reach it, or that to its other question: {lookups} stalled, and the loss is between this \
         point and the client.",
        count_of(queries.len() as u64, "answer"),
        some_of(clients(queries), 3),
    );
    finding.rule_out("DNS008", "the answers pass here in time");
    finding.limits.push("which packet was lost is not seen from here: query, answer, or those of the pair".to_owned());
    finding.capture_next = Some("at the clients and on their node, at the same time".to_owned());
    finding
}
