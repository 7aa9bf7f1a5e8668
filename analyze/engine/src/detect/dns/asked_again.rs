//! Questions that were answered and yet asked again: what answered did not reach the client, or was none to it.

use super::cite::{clients, is_symptom, servers_filter};
use super::loss::{ABOUT, PATTERN, PER_MILLE};
use super::{Dns, Query};
use crate::detect::evidence::{count_of, some_of};
use crate::detect::ties::groups;
use crate::detect::vantage::Spot;
use crate::detect::world::World;
use crate::finding::{Finding, Role, Severity};
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

/// A question, who asks it, and the unit that saw it.
type Asker = (u64, Endpoint, u32);

fn asker(query: &Query) -> Asker {
    (query.identity, query.client, query.unit)
}

/// Questions that were answered and yet asked again with the same identification, from the same port: between this
/// point and the client their answer was lost, or that of the other question from this port. Only what one unit saw twice
/// was asked twice: the clocks of two may be as far apart as a resolver waits.
pub(super) fn asked_again(world: &World<'_>) -> BTreeMap<Endpoint, Vec<Query>> {
    let mut asked: HashMap<Asker, (&Query, u32), RandomState> = HashMap::default();
    let mut servers: BTreeMap<Endpoint, Vec<Query>> = BTreeMap::new();
    let answered = || world.facts.dns.queries().iter().filter(|query| !query.tcp && query.unanswered == 0);
    let repeated = repeated(answered().map(|query| query.identity));
    let late = late(answered());
    for query in answered().filter(|query| repeated.contains(&query.identity)) {
        let times = asked.get(&asker(query)).map_or(0, |(_, times)| *times);
        let before = asked.insert(asker(query), (query, times + 1)).map(|(before, _)| before);
        let waited = |before: &Query| query.first_ns.saturating_sub(before.last_ns);
        let fine = |before: &Query| matches!(before.rcode, Some(NOERROR | NXDOMAIN)) && !before.truncated;
        let others = || late.get(&(query.client, query.unit)).into_iter().flatten();
        let is_waiting = || others().any(|other| other.holds_up(query));
        if before.is_some_and(|before| fine(before) && RESOLVER_NS.contains(&waited(before))) && !is_waiting() {
            servers.entry(query.server).or_default().push(*query);
        }
    }
    let tries = |query: &Query| asked.get(&asker(query)).is_some_and(|(_, times)| *times <= TRIES);
    for queries in servers.values_mut() {
        queries.retain(tries);
    }
    servers.retain(|_, queries| !queries.is_empty());
    servers
}

/// A question that was answered only after resolvers ask again.
struct Late {
    identity: u64,
    first_ns: i64,
    answered_ns: i64,
}

impl Late {
    /// Whether its answer had not come when another question from its port was asked again: the resolver waits for both,
    /// and repeats both.
    fn holds_up(&self, again: &Query) -> bool {
        self.identity != again.identity && (self.first_ns..self.answered_ns).contains(&again.first_ns)
    }
}

/// Questions that were answered late, by the port they came from and the unit.
fn late<'a>(queries: impl Iterator<Item = &'a Query>) -> HashMap<(Endpoint, u32), Vec<Late>, RandomState> {
    let mut late: HashMap<(Endpoint, u32), Vec<Late>, RandomState> = HashMap::default();
    for query in queries {
        if let Some(took) = query.rtt_ns.get().filter(|took| took >= RESOLVER_NS.start()) {
            let answered_ns = query.first_ns.saturating_add(took);
            let one = Late { identity: query.identity, first_ns: query.first_ns, answered_ns };
            late.entry((query.client, query.unit)).or_default().push(one);
        }
    }
    late
}

/// One finding for all servers whose answers the same clients lack: these are lost next to the clients.
pub(super) fn find(again: impl Iterator<Item = (Endpoint, Vec<Query>)>, world: &World<'_>) -> Vec<Finding> {
    let dns = &world.facts.dns;
    let ties = |(_, queries): &(Endpoint, Vec<Query>)| {
        let by_others = !strangers(queries, dns).is_empty();
        clients(queries).into_iter().map(move |client| (client, by_others))
    };
    let judged = |of: Vec<(Endpoint, Vec<Query>)>| {
        let servers: Vec<Endpoint> = of.iter().map(|(server, _)| *server).collect();
        judge(&servers, &of.into_iter().flat_map(|(_, queries)| queries).collect::<Vec<Query>>(), world)
    };
    groups(again, ties).into_iter().map(judged).collect()
}

fn judge(servers: &[Endpoint], queries: &[Query], world: &World<'_>) -> Finding {
    let dns = &world.facts.dns;
    let server = &some_of(servers, 2);
    let stalled = ports(queries);
    let all: u64 = servers.iter().map(|server| dns.of_server(*server).queries).sum();
    let strangers = strangers(queries, dns);
    let they = if servers.len() > 1 { "they" } else { "it" };
    let why = match strangers.first() {
        Some(stranger) => format!("as {stranger}, which nobody asked, answers"),
        None => format!("although {they} had answered"),
    };
    let mut finding = Finding::of(&ABOUT, format!("{} asked {server} again {why}", count_of(stalled, "lookup")));
    if stalled < u64::from(PATTERN) || stalled * 1000 < all * PER_MILLE {
        finding.severity = Severity::Warning;
    }
    if is_symptom(queries, world) {
        finding.severity = Severity::Info;
    }
    finding.confidence = 0.75;
    let answering = strangers.iter().chain(servers).map(|server| server.addr);
    finding.of_queries(queries, &servers_filter(answering), world);
    finding.counts.insert("queries", all as i64);
    finding.counts.insert("asked_again", queries.len() as i64);
    finding.counts.insert("stalled_lookups", stalled as i64);
    finding.counts.insert("lookups", stalled as i64);
    finding.explanation = explain(server, queries, &strangers);
    finding.rule_out("DNS008", "the answers pass here in time");
    let of = clients(queries).into_iter().take(1).flat_map(|client| [Spot::Host(client), Spot::NodeOf(client)]);
    finding.capture_next = world.capture_next(of, "where the questions or answers are last seen");
    for stranger in &strangers {
        finding.about(Role::Endpoint, stranger);
    }
    if strangers.is_empty() {
        let which = "which packet was lost is not seen from here: query, answer, or those of the pair";
        finding.limits.push(which.to_owned());
    } else {
        let listing = |server: &Endpoint| format!("conntrack -L -p udp --orig-dst {}", server.addr);
        finding.fix.commands = servers.iter().take(2).map(listing).collect();
    }
    finding
}

/// Who answered in place of the server, if that is so each time.
fn strangers(queries: &[Query], dns: &Dns) -> BTreeSet<Endpoint> {
    let strangers: Vec<_> = queries.iter().map(|query| dns.story(query).and_then(|story| story.stranger)).collect();
    if strangers.contains(&None) { BTreeSet::new() } else { strangers.into_iter().flatten().collect() }
}

fn explain(server: &str, queries: &[Query], strangers: &BTreeSet<Endpoint>) -> String {
    let (answers, clients) = (count_of(queries.len() as u64, "answer"), some_of(clients(queries), 3));
    if !strangers.is_empty() {
        return format!(
            "{answers} to questions to {server} came from {}, which was not asked. A resolver drops what does not come \
             from whom it asked, so seconds later {clients} asked the same again from the same port. The translation \
             back to the address of the service is missing, or the server sends from another of its addresses.",
            some_of(strangers, 3),
        );
    }
    let lookups = count_of(ports(queries), "lookup");
    format!(
        "{answers} of {server} passed here, and seconds later {clients} asked the same again from the same port. A \
         resolver does that when an answer did not reach it, or that to its other question: {lookups} stalled, and the \
         loss is between this point and the client.",
    )
}

/// Ports that asked: each is of one lookup.
fn ports(queries: &[Query]) -> u64 {
    queries.iter().map(|query| query.client).collect::<BTreeSet<Endpoint>>().len() as u64
}
