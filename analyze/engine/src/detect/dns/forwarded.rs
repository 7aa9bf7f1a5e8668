//! Questions that a DNS server passes on to another, and what that one leaves unanswered or answers late.

use super::Query;
use super::cite::clients;
use super::slow::{is_pattern, is_slow, took_ns};
use crate::Addr;
use crate::detect::evidence::{count_of, some_of};
use crate::detect::world::World;
use crate::finding::{Finding, Role};
use crate::track::Endpoint;
use foldhash::fast::RandomState;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Write as _;
use std::ops::RangeInclusive;

/// Number of the name, and type.
type Question = (u64, u16);

/// Questions without an answer or with a late one, and who passes on whose.
#[derive(Debug, Default)]
pub(super) struct Forwarded {
    troubled: Vec<Query>,
    /// Places in `troubled` in order of time, by who asks what.
    by_asker: HashMap<(Addr, Question), Vec<u32>, RandomState>,
    /// The same by what is asked.
    by_question: HashMap<Question, Vec<u32>, RandomState>,
    /// When a server was asked a question first.
    first_ns: HashMap<(Question, Endpoint), i64, RandomState>,
    /// Servers, and who asks in their stead, from behind source NAT.
    stand_ins: HashSet<(Endpoint, Addr), RandomState>,
    /// Servers of which a finding tells.
    told: HashSet<Endpoint, RandomState>,
}

/// A server passes a question on at once, or after it tried another upstream server for so long (forward plugin of
/// CoreDNS: 2 s a try, 5 s in all).
const WITHIN_NS: i64 = 5_000_000_000;
const AT_ONCE_NS: i64 = 1_000_000_000;
/// Servers that pass a question on one after another: a cache on the node, the cluster's server, one outside, and its own.
const HOPS: usize = 4;
/// Questions without an answer, and pairs of who may stand in for whom, that are looked at: of more the first tell.
const KEPT: usize = 1 << 15;
/// Questions looked at for one: of a flood of the same one tells as much as all.
const MOST: usize = 32;
/// Names that somebody asks right behind a server before he is taken for it.
const NAMES: usize = 2;

/// Questions of all clients without an answer, looked at once.
pub(super) fn forwarded<'a>(world: &World<'a>) -> &'a Forwarded {
    world.facts.dns.cases.forwarded.get_or_init(|| Forwarded::of(world))
}

impl Forwarded {
    fn of(world: &World<'_>) -> Self {
        let mut forwarded = Self::default();
        // The end of a capture leaves undecided what became of the last ones.
        let is_troubled =
            |query: &&Query| query.unanswered > 0 || query.rejected || !query.is_answered() || is_slow(query);
        for query in world.facts.dns.queries().iter().filter(is_troubled).take(KEPT) {
            forwarded.add(*query);
        }
        let Self { troubled, by_asker, by_question, .. } = &mut forwarded;
        for same in by_asker.values_mut().chain(by_question.values_mut()) {
            same.sort_unstable_by_key(|at| (troubled[*at as usize].first_ns, *at));
        }
        forwarded.tell_slow(world);
        forwarded.stand_ins = forwarded.find_stand_ins(world);
        forwarded
    }

    fn add(&mut self, query: Query) {
        let (at, question) = (self.troubled.len() as u32, (query.name, query.qtype));
        self.by_asker.entry((query.client.addr, question)).or_default().push(at);
        self.by_question.entry(question).or_default().push(at);
        let first_ns = self.first_ns.entry((question, query.server)).or_insert(query.first_ns);
        *first_ns = query.first_ns.min(*first_ns);
        if !query.tcp && (query.unanswered > 0 || query.rejected) {
            self.told.insert(query.server);
        }
        self.troubled.push(query);
    }

    /// Takes note of servers that are slow by what is counted of them.
    fn tell_slow(&mut self, world: &World<'_>) {
        let dns = &world.facts.dns;
        let mut slow: HashMap<Endpoint, usize, RandomState> = HashMap::default();
        for query in self.troubled.iter().filter(|query| query.is_answered() && is_slow(query)) {
            *slow.entry(query.server).or_default() += 1;
        }
        let is_told = |(server, slow): &(Endpoint, usize)| {
            is_pattern(*slow, (dns.of_server(*server).answered + dns.folded_of(*server)) as usize)
        };
        self.told.extend(slow.into_iter().filter(is_told).map(|(server, _)| server));
    }

    /// Who asks right behind a server, and later than it is asked, most of what that server is asked, and asks that server
    /// nothing.
    fn find_stand_ins(&self, world: &World<'_>) -> HashSet<(Endpoint, Addr), RandomState> {
        let mut names: HashMap<Endpoint, HashSet<u64, RandomState>, RandomState> = HashMap::default();
        let mut behind: HashMap<(Endpoint, Addr), HashSet<u64, RandomState>, RandomState> = HashMap::default();
        for query in &self.troubled {
            names.entry(query.server).or_default().insert(query.name);
            let span = query.first_ns..=query.first_ns.saturating_add(AT_ONCE_NS);
            for next in self.among(self.by_question.get(&(query.name, query.qtype)), span) {
                let pair = (query.server, next.client.addr);
                let has_room = behind.len() < KEPT || behind.contains_key(&pair);
                if has_room && next.client.addr != query.client.addr && self.is_second(query, next) {
                    behind.entry(pair).or_default().insert(query.name);
                }
            }
        }
        if behind.is_empty() {
            return HashSet::default();
        }
        for query in world.facts.dns.queries() {
            behind.remove(&(query.server, query.client.addr));
        }
        let all = |server: &Endpoint| names.get(server).map_or(0, HashSet::len);
        behind.retain(|(server, _), own| own.len() >= NAMES && own.len() * 2 >= all(server));
        behind.into_keys().collect()
    }

    /// Whether another server was asked a question after this one was.
    fn is_second(&self, query: &Query, next: &Query) -> bool {
        let first_ns = |query: &Query| self.first_ns.get(&((query.name, query.qtype), query.server));
        next.server != query.server && first_ns(query).is_some() && first_ns(query) < first_ns(next)
    }

    /// Those of questions in order of time that began within a span, a few.
    fn among<'s>(&'s self, of: Option<&'s Vec<u32>>, span: RangeInclusive<i64>) -> impl Iterator<Item = &'s Query> {
        let of = of.map(Vec::as_slice).unwrap_or_default();
        let from = of.partition_point(|at| self.troubled[*at as usize].first_ns < *span.start());
        let later = of[from..].iter().map(|at| &self.troubled[*at as usize]);
        later.take(MOST).take_while(move |query| query.first_ns <= *span.end())
    }

    /// The last server that left this question unanswered when the one asked passed it on, and so on, if it is told of.
    pub(super) fn waits_for(&self, query: &Query) -> Option<Endpoint> {
        let mut way = std::iter::successors(self.passed_on(query), |next| self.passed_on(next));
        let last = way.by_ref().take(HOPS).last()?;
        // Servers that ask each other in a circle leave it unanswered themselves.
        let ends = way.next().is_none() && last.server != query.server;
        (ends && self.told.contains(&last.server)).then_some(last.server)
    }

    /// The same question to another server, from the one that was asked this, or from who stands in for it.
    fn passed_on(&self, query: &Query) -> Option<&Query> {
        self.passed_on_itself(query).or_else(|| {
            let same = self.among(self.by_question.get(&(query.name, query.qtype)), span(query));
            let mut others = same.filter(|next| self.stand_ins.contains(&(query.server, next.client.addr)));
            others.find(|next| self.is_second(query, next) && is_cause(next, query))
        })
    }

    /// The same question to another server, from an address of the one that was asked this.
    pub(super) fn passed_on_itself(&self, query: &Query) -> Option<&Query> {
        let selves = [Some(query.server.addr), query.backend].into_iter().flatten();
        let mut asked = selves.flat_map(|asker| {
            let own = self.by_asker.get(&(asker, (query.name, query.qtype)));
            self.among(own, span(query))
        });
        asked.find(|next| next.server != query.server && is_cause(next, query))
    }
}

/// Whether a question was answered late because the one passed on was: most of its time is of that one. Without an
/// answer it waited for whatever came late, or not at all.
fn is_cause(next: &Query, query: &Query) -> bool {
    let (Some(next_ns), Some(query_ns)) = (took_ns(next), took_ns(query)) else { return true };
    !next.is_answered() || query.unanswered > 0 || next_ns.saturating_mul(2) >= query_ns
}

/// When a question is passed on. It may have been asked the same by another client before, and wait for that answer
/// already.
fn span(query: &Query) -> RangeInclusive<i64> {
    query.first_ns.saturating_sub(WITHIN_NS)..=query.last_ns.saturating_add(WITHIN_NS)
}

/// Questions that wait for one that their server passed on, in vain or long, by the server that leaves that one so.
pub(super) fn waiting<'a>(world: &World<'a>) -> &'a BTreeMap<Endpoint, Vec<Query>> {
    world.facts.dns.cases.waiting.get_or_init(|| {
        let mut waiting: BTreeMap<Endpoint, Vec<Query>> = BTreeMap::new();
        let waits = |query: &&Query| !query.tcp && (query.unanswered > 0 || is_slow(query));
        for query in world.facts.dns.queries().iter().filter(waits) {
            if let Some(upstream) = forwarded(world).waits_for(query) {
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
