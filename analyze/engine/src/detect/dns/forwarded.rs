//! Questions that a DNS server passes on to another, and what that one leaves unanswered.

use super::Query;
use super::cite::clients;
use crate::Addr;
use crate::detect::evidence::{count_of, some_of};
use crate::detect::world::World;
use crate::finding::{Finding, Role};
use crate::track::Endpoint;
use foldhash::fast::RandomState;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Write as _;
use std::ops::RangeInclusive;

/// Questions without an answer.
#[derive(Debug, Default)]
pub(super) struct Forwarded<'a> {
    /// In order of time, by who asks, number of the name, and type.
    by_asker: HashMap<(Addr, u64, u16), Vec<&'a Query>, RandomState>,
    /// In order of time, by number of the name and type.
    by_name: HashMap<(u64, u16), Vec<&'a Query>, RandomState>,
    /// When a server was asked a question first.
    first_ns: HashMap<(u64, u16, Endpoint), i64, RandomState>,
    /// Who asks whom.
    asks: HashSet<(Addr, Endpoint), RandomState>,
}

/// A server passes a question on at once, or when the upstream server it tried before has not answered for so long
/// (forward plugin of CoreDNS: 2 s a try, 5 s in all; systemd-resolved and dnsmasq: 5 s to 10 s).
const WITHIN_NS: i64 = 5_000_000_000;
/// Servers that pass a question on one after another: a cache on the node, the cluster's server, one outside, and its own.
const HOPS: usize = 4;

/// Questions looked at for one: of a flood of the same one tells as much as all.
const MOST: usize = 32;

impl<'a> Forwarded<'a> {
    pub(super) fn of(world: &World<'a>) -> Self {
        let mut forwarded = Self::default();
        // The end of a capture leaves undecided what became of the last ones.
        let is_silent = |query: &&Query| query.unanswered > 0 || query.rejected || !query.is_answered();
        for query in world.facts.dns.queries().iter().filter(is_silent) {
            forwarded.add(query);
        }
        for same in forwarded.by_asker.values_mut().chain(forwarded.by_name.values_mut()) {
            same.sort_unstable_by_key(|query| (query.first_ns, query.client, query.server));
        }
        forwarded
    }

    fn add(&mut self, query: &'a Query) {
        let (name, qtype) = (query.name, query.qtype);
        self.by_asker.entry((query.client.addr, name, qtype)).or_default().push(query);
        self.by_name.entry((name, qtype)).or_default().push(query);
        let first_ns = self.first_ns.entry((name, qtype, query.server)).or_insert(query.first_ns);
        *first_ns = query.first_ns.min(*first_ns);
        self.asks.insert((query.client.addr, query.server));
    }

    /// The last server that left this question unanswered when the one asked passed it on, and so on.
    pub(super) fn waits_for(&self, query: &Query) -> Option<Endpoint> {
        let way = std::iter::successors(self.passed_on(query), |next| self.passed_on(next));
        way.take(HOPS).last().map(|last| last.server)
    }

    /// The same question from the server that was asked this one to another.
    fn passed_on(&self, query: &Query) -> Option<&'a Query> {
        let selves = [Some(query.server.addr), query.backend].into_iter().flatten();
        let own = selves.filter_map(|asker| self.by_asker.get(&(asker, query.name, query.qtype)));
        // It may have been asked the same by another client before, and wait for that answer already.
        let span = query.first_ns.saturating_sub(WITHIN_NS)..=query.last_ns.saturating_add(WITHIN_NS);
        let mut own = own.flat_map(|same| within(same, span.clone()));
        let found = own.find(|next| next.server != query.server);
        found.or_else(|| self.passed_on_behind_nat(query, span))
    }

    /// The same question of who has no other part in it, to a server that is asked it second: what a server asks may come
    /// from its node, by source NAT.
    fn passed_on_behind_nat(&self, query: &Query, span: RangeInclusive<i64>) -> Option<&'a Query> {
        let same = self.by_name.get(&(query.name, query.qtype))?;
        let stranger = |next: &&Query| {
            next.client.addr != query.client.addr && !self.asks.contains(&(next.client.addr, query.server))
        };
        let first_ns = |query: &Query| self.first_ns.get(&(query.name, query.qtype, query.server));
        let second = |next: &&Query| next.server != query.server && first_ns(query) < first_ns(next);
        within(same, span).find(|next| stranger(next) && second(next))
    }
}

/// Those of questions in order of time that began within a span, a few.
fn within<'q, 'a>(queries: &'q [&'a Query], span: RangeInclusive<i64>) -> impl Iterator<Item = &'a Query> + 'q {
    let from = queries.partition_point(|query| query.first_ns < *span.start());
    queries[from..].iter().copied().take(MOST).take_while(move |query| query.first_ns <= *span.end())
}

/// Questions that wait in vain for one that their server passed on, by the server that leaves that one unanswered.
pub(super) fn waiting<'a>(world: &World<'a>) -> &'a BTreeMap<Endpoint, Vec<Query>> {
    world.facts.dns.cases.waiting.get_or_init(|| {
        let forwarded = Forwarded::of(world);
        let mut waiting: BTreeMap<Endpoint, Vec<Query>> = BTreeMap::new();
        for query in world.facts.dns.queries().iter().filter(|query| query.unanswered > 0 && !query.tcp) {
            if let Some(upstream) = forwarded.waits_for(query) {
                waiting.entry(upstream).or_default().push(*query);
            }
        }
        waiting
    })
}

/// Clients and servers named of those that wait.
const NAMED: usize = 4;

impl Finding {
    /// Says of a finding about a server who waits for it beside those that ask it.
    pub(super) fn tell_who_waits(&mut self, server: Endpoint, world: &World<'_>) {
        let Some(waiting) = waiting(world).get(&server) else { return };
        let clients = clients(waiting);
        let through: BTreeSet<Endpoint> = waiting.iter().map(|query| query.server).collect();
        through.iter().take(NAMED).for_each(|server| self.about(Role::Resolver, server));
        clients.iter().take(NAMED).for_each(|client| self.about(Role::Client, client));
        self.counts.insert("waiting_for_it", waiting.len() as i64);
        let _ = write!(
            self.explanation,
            " {} of {} to {} waited for these.",
            count_of(waiting.len() as u64, "question"),
            some_of(&clients, 3),
            some_of(&through, 3),
        );
    }
}
