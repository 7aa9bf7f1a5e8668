//! Lookups: what applications asked for, told from the questions their resolvers made of it, without resolv.conf.
//!
//! Questions gather until the capture ends or as many as fit are there. Then those that several units saw are put
//! together, those of each client are put into candidates (one name tried, A and AAAA, resends), the search list is
//! learned from which candidates follow which, and candidates are chained to lookups. What may still go on is kept for
//! the next round. It never judges.

mod candidate;
mod chain;
mod client;
#[allow(clippy::module_inception, reason = "the module of the type that the folder is about")]
mod lookup;
mod merge;
mod query;
mod search;
mod stack;
mod texts;

#[cfg(test)]
mod tests;

pub use lookup::{Kind, Lookup, Walk};
pub use query::Verdict;
pub use search::Search;
pub use stack::Stack;

use crate::Addr;
use crate::track::dns::Transaction;
use client::Desk;
use foldhash::fast::FixedState;
use query::{Addrs, Query};
use std::collections::{BTreeMap, HashMap, HashSet};
use texts::Texts;

/// Clients whose search list is remembered from one round to the next.
const MAX_KNOWN: usize = 65_536;
/// Least number of questions that are gathered, however little memory there is.
const LEAST: usize = 1024;
/// At most this much of packet time stays for the next round, so that what is open finds its end.
const KEEP_NS: i64 = 30_000_000_000;

/// What a client turned out to be.
#[derive(Clone, Debug, Default)]
pub struct ClientFacts {
    /// Its search lists.
    pub search: Search,
    /// Questions repeated although the answer to an earlier one was still good.
    pub repeats: u64,
    /// Answered questions.
    pub answered: u64,
    /// `ndots`, where its resolv.conf is known.
    pub ndots: Option<u32>,
}

/// What a resolv.conf says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Resolver {
    /// The search list.
    pub(crate) search: Search,
    /// Names with fewer dots are tried under the search list first.
    pub(crate) ndots: u32,
}

/// Takes what is told.
pub trait Listener {
    /// A lookup, and the search lists of its client.
    fn lookup(&mut self, lookup: &Lookup<'_>, search: &Search);
    /// What is known of a client after its lookups of this round.
    fn client(&mut self, client: Addr, facts: &ClientFacts);
    /// A name, its answers of this round in order of time.
    fn name(&mut self, name: &str, answers: &[NameAnswer]);
}

/// An answer as far as it tells whether a name exists.
#[derive(Clone, Copy, Debug)]
pub struct NameAnswer {
    /// When, nanoseconds since the epoch.
    pub ns: i64,
    /// Whether it gives records, says that there are none of the type asked, or that the name does not exist.
    pub verdict: Verdict,
    /// Seconds the absence may still be kept.
    pub ttl: u32,
    /// Seconds an absence may be kept at most (SOA MINIMUM).
    pub most_ttl: u32,
    /// Who asked.
    pub client: Addr,
    /// Who was asked.
    pub server: Addr,
    /// Queries it answers.
    pub queries: u32,
    /// Frame of the question.
    pub frame: crate::track::FrameId,
}

/// The places of queries, put together by client, in order of the clients' numbers.
fn by_client(queries: &[Query], clients: usize) -> Vec<Vec<u32>> {
    let mut counts = vec![0; clients];
    for query in queries {
        counts[query.client as usize] += 1;
    }
    let mut places: Vec<Vec<u32>> = counts.into_iter().map(Vec::with_capacity).collect();
    for (at, query) in queries.iter().enumerate() {
        places[query.client as usize].push(at as u32);
    }
    places.retain(|places| !places.is_empty());
    places
}

/// Counts of what could not be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Untold {
    /// Candidates that fit several lookups and were left on their own.
    pub ambiguous: u64,
    /// Rounds before the end, because so many questions were there.
    pub rounds: u64,
    /// Queries of lookups that were told although they might have gone on, because there was no room.
    pub early: u64,
}

/// Questions on their way to lookups.
pub(crate) struct Lookups {
    queries: Vec<Query>,
    texts: Texts,
    addrs: Addrs,
    desk: Desk,
    room: usize,
    known: HashMap<Addr, Search, FixedState>,
    /// Resolvers of clients that need not be learned.
    pub(crate) told: BTreeMap<Addr, Resolver>,
    /// Addresses that answer.
    servers: HashSet<Addr, FixedState>,
    /// Last time seen, by unit.
    until: BTreeMap<u32, i64>,
    /// For each client up to when its lookups were told before the end.
    told_until: HashMap<Addr, i64, FixedState>,
    pub(crate) untold: Untold,
}

impl Lookups {
    /// Room for questions in so many bytes.
    pub(crate) fn new(memory: u64) -> Self {
        Self {
            queries: Vec::new(),
            texts: Texts::default(),
            addrs: Addrs::default(),
            desk: Desk::default(),
            room: usize::try_from(memory).unwrap_or(usize::MAX),
            known: HashMap::default(),
            told: BTreeMap::new(),
            servers: HashSet::default(),
            until: BTreeMap::new(),
            told_until: HashMap::default(),
            untold: Untold::default(),
        }
    }

    /// Takes a transaction that ended.
    pub(crate) fn take(&mut self, asked: &Transaction) {
        let Some(query) = Query::of(asked, &mut self.texts, &mut self.addrs) else { return };
        self.pass(asked.unit, query.end_ns);
        let told = || self.told_until.get(&asked.client.addr).is_some_and(|told| query.first_ns < *told);
        let is_told = self.untold.rounds > 0 && asked.seen_before && told();
        if !is_told {
            self.queries.push(query);
        }
    }

    /// Asks for what a transaction will need soon.
    #[inline]
    pub(crate) fn prefetch(&self, asked: &Transaction) {
        self.texts.prefetch(&asked.name);
    }

    /// Takes note of how far a unit was read.
    pub(crate) fn pass(&mut self, unit: u32, ns: i64) {
        let until = self.until.entry(unit).or_insert(i64::MIN);
        *until = (*until).max(ns);
    }

    /// Whether a round is due.
    pub(crate) fn is_full(&self) -> bool {
        self.queries.len() >= LEAST && self.bytes() >= self.room
    }

    fn bytes(&self) -> usize {
        self.queries.len() * 2 * size_of::<Query>() + self.texts.bytes() + self.addrs.bytes()
    }

    /// Tells all lookups but those that may go on; these too, where they leave too little room.
    pub(crate) fn tell_some(&mut self, listener: &mut impl Listener) {
        let unit = self.queries.last().map_or(0, |query| query.unit);
        let newest = self.until.get(&unit).copied().unwrap_or_default();
        let oldest = self.queries.iter().map(|query| query.first_ns).min().unwrap_or_default();
        let cut = newest - KEEP_NS.min(newest.saturating_sub(oldest) / 8);
        self.untold.rounds += 1;
        self.tell(Some(cut), listener);
        // A round looks at all that is there, so that many rounds which tell little would take for ever.
        if self.queries.len() >= LEAST / 2 && self.bytes() >= self.room / 2 {
            self.untold.early += self.queries.len() as u64;
            self.tell(None, listener);
        }
    }

    /// Tells all that is left.
    pub(crate) fn tell_all(&mut self, listener: &mut impl Listener) {
        self.tell(None, listener);
    }

    fn tell(&mut self, cut: Option<i64>, listener: &mut impl Listener) {
        let mut queries = std::mem::take(&mut self.queries);
        let offsets = merge::merge(&mut queries);
        self.learn_servers(&queries);
        let forwarders = merge::forwarders(&queries, self.texts.len(), self.addrs.len());
        let mut desk = std::mem::take(&mut self.desk);
        desk.fit(self.texts.len());
        let mut kept = Vec::new();
        for client in by_client(&queries, self.addrs.len()) {
            desk.queries.clear();
            desk.queries.extend(client.iter().map(|at| queries[*at as usize]));
            desk.queries.sort_by_key(|query| (query.first_ns, query.frame.frame() as u32));
            let forwards = desk.queries.first().is_some_and(|query| forwarders.contains(&query.client));
            self.tell_client(&mut desk, forwards, cut, &mut kept, listener);
        }
        self.tell_names(&queries, cut, listener);
        for query in &mut kept {
            merge::shift(query, -offsets.get(&query.unit).copied().unwrap_or_default());
        }
        if cut.is_some() {
            self.desk = desk;
            self.keep(&kept, queries);
        } else {
            self.keep(&kept, Vec::new());
        }
    }

    /// Takes note of the addresses that are asked.
    fn learn_servers(&mut self, queries: &[Query]) {
        let mut asked = vec![false; self.addrs.len()];
        for query in queries {
            for number in [query.server, query.backend] {
                if let Some(known @ false) = asked.get_mut(number as usize) {
                    *known = true;
                    self.servers.insert(self.addrs.addr(number));
                }
            }
        }
    }

    fn tell_client(
        &mut self,
        desk: &mut Desk,
        forwards: bool,
        cut: Option<i64>,
        kept: &mut Vec<Query>,
        out: &mut impl Listener,
    ) {
        let Some(first) = desk.queries.first() else { return };
        let addr = self.addrs.addr(first.client);
        let units = desk.queries.chunk_by(|a, b| a.unit == b.unit).filter_map(<[Query]>::first);
        let until = units.filter_map(|query| self.until.get(&query.unit)).max().copied().unwrap_or_default();
        let told = self.told.get(&addr);
        let ndots = told.map(|resolver| resolver.ndots);
        let search = told.map(|resolver| &resolver.search).or_else(|| self.known.get(&addr));
        let round = client::Round {
            texts: &self.texts,
            addrs: &self.addrs,
            known: search.cloned().unwrap_or_default(),
            is_forwarder: forwards || self.servers.contains(&addr),
            until_ns: until,
            cut_ns: cut,
        };
        let facts = ClientFacts { ndots, ..round.tell(desk, kept, &mut self.untold, out) };
        out.client(addr, &facts);
        if let Some(cut) = cut.filter(|_| self.told_until.len() < MAX_KNOWN || self.told_until.contains_key(&addr)) {
            self.told_until.insert(addr, cut);
        }
        if !facts.search.is_empty() && (self.known.len() < MAX_KNOWN || self.known.contains_key(&addr)) {
            self.known.insert(addr, facts.search);
        }
    }

    /// Tells names that are said to exist and not to exist.
    fn tell_names(&self, queries: &[Query], cut: Option<i64>, listener: &mut impl Listener) {
        let mut said = vec![(false, false); self.texts.len()];
        for query in queries {
            let (found, missing) = &mut said[query.name as usize];
            *found |= query.verdict == Verdict::Found;
            *missing |= query.verdict == Verdict::NxDomain;
        }
        let mut of_both: Vec<&Query> =
            queries.iter().filter(|query| said[query.name as usize] == (true, true)).collect();
        of_both.sort_by_cached_key(|query| (query.name, query.end_ns, query.frame, query.kind));
        for of_name in of_both.chunk_by(|a, b| a.name == b.name) {
            let told = of_name.iter().filter(|query| cut.is_none_or(|cut| query.first_ns < cut));
            let answers: Vec<NameAnswer> = told.filter_map(|query| self.name_answer(query)).collect();
            listener.name(self.texts.text(of_name[0].name), &answers);
        }
    }

    fn name_answer(&self, query: &Query) -> Option<NameAnswer> {
        let tells = matches!(query.verdict, Verdict::Found | Verdict::NoData | Verdict::NxDomain);
        tells.then(|| NameAnswer {
            ns: query.end_ns,
            verdict: query.verdict,
            ttl: query.ttl,
            most_ttl: query.most_ttl,
            client: self.addrs.addr(query.client),
            server: self.addrs.addr(query.server),
            queries: query.attempts.into(),
            frame: query.frame,
        })
    }

    /// Starts the next round with what may go on, in the room of the last; names and addresses get new numbers.
    fn keep(&mut self, kept: &[Query], mut room: Vec<Query>) {
        let (texts, addrs) = (std::mem::take(&mut self.texts), std::mem::take(&mut self.addrs));
        room.clear();
        room.extend_from_slice(kept);
        self.queries = room;
        for query in &mut self.queries {
            query.name = self.texts.number(texts.text(query.name));
            query.zone = self.texts.number(texts.text(query.zone));
            for addr in [&mut query.client, &mut query.server, &mut query.backend] {
                *addr = if *addr == 0 { 0 } else { self.addrs.number(addrs.addr(*addr)) };
            }
        }
    }
}
