//! One client's questions become its lookups.

use super::candidate::{Candidate, FOLLOW_NS, NO_CANDIDATE, SOON, group};
use super::chain::{Chain, Chains};
use super::lookup::{Context, Lookup};
use super::query::{Addrs, Query, Verdict};
use super::search::{BARE, Search, learn};
use super::stack::{Stack, Votes};
use super::texts::Texts;
use super::{ClientFacts, Listener, Untold};
use crate::track::prefetch::prefetch;

/// Where candidates were not seen, the next one comes within so many times the usual time, and this time at least.
const USUAL: i64 = 16;
const LEAST_FOLLOW_NS: i64 = 4_000_000;

/// Room to work in, used for one client after the other, and again in the next round.
#[derive(Default)]
pub(super) struct Desk {
    /// Questions of the client, in order of time.
    pub(super) queries: Vec<Query>,
    candidates: Vec<Candidate>,
    owners: Vec<u32>,
    /// By name: the newest candidate, and until when its answer is good; none of that between clients.
    latest: Vec<u32>,
    good_until: Vec<i64>,
}

impl Desk {
    /// Makes room for questions about so many names.
    pub(super) fn fit(&mut self, names: usize) {
        self.latest.resize(names, NO_CANDIDATE);
        self.good_until.resize(names, i64::MIN);
    }
}

/// One client in one round.
pub(super) struct Round<'a> {
    pub(super) texts: &'a Texts,
    pub(super) addrs: &'a Addrs,
    pub(super) known: Search,
    pub(super) is_forwarder: bool,
    /// When the captures that saw it end.
    pub(super) until_ns: i64,
    /// What begins later may go on in the next round.
    pub(super) cut_ns: Option<i64>,
}

impl Round<'_> {
    /// Tells the lookups; questions of those that may go on are kept.
    pub(super) fn tell(
        mut self,
        desk: &mut Desk,
        kept: &mut Vec<Query>,
        untold: &mut Untold,
        out: &mut impl Listener,
    ) -> ClientFacts {
        let Desk { queries, candidates, owners, latest, good_until } = desk;
        candidates.clear();
        owners.clear();
        group(queries, latest, candidates, owners);
        let (queries, candidates) = (&**queries, &**candidates);
        let search = learn(self.texts, candidates, std::mem::take(&mut self.known));
        let chains = self.chain(&search, candidates);
        untold.ambiguous += chains.ambiguous;
        let context = Context {
            texts: self.texts,
            search: &search,
            candidates,
            usual: self.usual(candidates),
            has_gaps: has_gaps(&search, &chains.list),
            until_ns: self.until_ns,
        };
        let mut goes_on = vec![false; candidates.len()];
        for chain in &chains.list {
            if self.may_go_on(chain, candidates) {
                chain.members.iter().for_each(|at| goes_on[*at as usize] = true);
            } else if let Some(mut lookup) = context.tell(chain) {
                self.address(&mut lookup, chain, candidates, queries);
                out.lookup(&lookup, &search);
            }
        }
        let stays = |(owner, _): &(&u32, &Query)| goes_on[**owner as usize];
        kept.extend(owners.iter().zip(queries).filter(stays).map(|(_, query)| *query));
        let (repeats, answered) = repeats(candidates, &goes_on, good_until);
        ClientFacts { search, repeats, answered, ndots: None }
    }

    /// Chains the candidates. Where some went elsewhere, those of two lookups of one name look like one lookup unless
    /// the time between is told from what is usual.
    fn chain<'b>(&'b self, search: &'b Search, candidates: &[Candidate]) -> Chains<'b> {
        let chains = Chains::of(self.texts, search, candidates, FOLLOW_NS);
        if !has_gaps(search, &chains.list) {
            return chains;
        }
        let mut gaps: Vec<i64> = chains.list.iter().flat_map(|chain| follow_gaps(chain, candidates)).collect();
        gaps.sort_unstable();
        let usual = gaps.get(gaps.len() / 4).copied().unwrap_or_default();
        Chains::of(self.texts, search, candidates, (usual * USUAL).clamp(LEAST_FOLLOW_NS, FOLLOW_NS))
    }

    /// The resolver of most of its lookups.
    fn usual(&self, candidates: &[Candidate]) -> (Stack, f64) {
        let mut votes = Votes::default();
        for candidate in candidates {
            votes.add(candidate);
        }
        if self.is_forwarder { (Stack::Forwarder, 0.95) } else { votes.decide() }
    }

    fn may_go_on(&self, chain: &Chain, candidates: &[Candidate]) -> bool {
        let Some(cut) = self.cut_ns else { return false };
        let last = chain.members.iter().last().and_then(|at| candidates.get(*at as usize));
        let fresh = last.is_some_and(|candidate| candidate.first_ns + FOLLOW_NS > cut || candidate.end_ns > cut);
        fresh || chain.open_until().is_some_and(|until| until > cut)
    }

    fn address(&self, lookup: &mut Lookup<'_>, chain: &Chain, candidates: &[Candidate], queries: &[Query]) {
        let first = chain.members.as_slice().first().and_then(|at| candidates.get(*at as usize));
        let Some((candidate, query)) = first.zip(queries.first()) else { return };
        lookup.client = self.addrs.addr(query.client);
        lookup.server = self.addrs.addr(candidate.server);
        lookup.backend = (candidate.backend != 0).then(|| self.addrs.addr(candidate.backend));
    }
}

/// Times from the end of a candidate to the next one, where nothing had to be waited for.
fn follow_gaps<'a>(chain: &'a Chain, candidates: &'a [Candidate]) -> impl Iterator<Item = i64> + 'a {
    let at = |at: &u32| candidates.get(*at as usize);
    let pairs = chain.members.as_slice().windows(2).filter_map(move |pair| Some((at(&pair[0])?, at(&pair[1])?)));
    pairs
        .filter(|(before, _)| !before.has_silence())
        .map(|(before, next)| next.first_ns.saturating_sub(before.end_ns).max(0))
}

/// Whether candidates of this client were asked where this capture does not see them: more than now and then, as where
/// a capture begins within a walk, a walk begins or goes on in the middle.
fn has_gaps(search: &Search, chains: &[Chain]) -> bool {
    let walks = || chains.iter().filter(|chain| chain.members.as_slice().len() > 1);
    let torn = |chain: &&Chain| chain.gap || (chain.first.place != BARE && search.depth(chain.first.place) > 0);
    let torn = walks().filter(torn).count();
    torn > 1 && torn * 10 >= walks().count()
}

/// Questions that were asked again while the answer was still good, and answered questions in all.
fn repeats(candidates: &[Candidate], goes_on: &[bool], good_until: &mut [i64]) -> (u64, u64) {
    let (mut repeats, mut answered) = (0, 0);
    for (at, (candidate, goes_on)) in candidates.iter().zip(goes_on).enumerate() {
        let soon = candidates.get(at + SOON).and_then(|candidate| good_until.get(candidate.name as usize));
        soon.inspect(|until| prefetch(*until));
        if *goes_on || candidate.verdict() != Verdict::Found {
            continue;
        }
        let known = &mut good_until[candidate.name as usize];
        answered += u64::from(candidate.queries);
        if candidate.first_ns < *known {
            repeats += u64::from(candidate.queries);
        } else {
            *known = candidate.end_ns.saturating_add(i64::from(candidate.ttl).saturating_mul(1_000_000_000));
        }
    }
    for candidate in candidates {
        good_until[candidate.name as usize] = i64::MIN;
    }
    (repeats, answered)
}
