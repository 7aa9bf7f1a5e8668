//! Chains: the candidates that a resolver tried for one name, one after the other.

use super::candidate::{Candidate, PATIENCE_NS, expect};
use super::query::Verdict;
use super::search::{BARE, Search};
use super::texts::{Texts, hash};
use crate::track::Few;
use foldhash::fast::FixedState as Hashed;
use smallvec::{SmallVec, smallvec};
use std::collections::HashMap;

/// Candidates of a chain that are kept; a search list has six suffixes in glibc before 2.26, thirty-two in Kubernetes.
const MEMBERS: usize = 36;
/// Ways to part a name into stem and suffix that are kept.
const READINGS: usize = 6;
/// Chains of one stem that are compared.
const LOOK_BACK: usize = 64;
/// An answer may be seen this long behind the question it led to, where two places saw them.
const SLACK_NS: i64 = 2_000_000;
/// Candidates that went elsewhere leave a gap that is shorter than this.
const GAP_NS: i64 = 50_000_000;
const NOTHING: u32 = u32::MAX;

/// A name as stem and suffix.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Reading {
    /// Bytes of the stem.
    pub(crate) stem: u16,
    /// Place of the suffix in the search list.
    pub(crate) place: u8,
}

impl Default for Reading {
    fn default() -> Self {
        Self { stem: 0, place: BARE }
    }
}

/// Candidates of one lookup.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    pub(crate) members: SmallVec<[u32; 8]>,
    /// Name of the first of them.
    name: u32,
    pub(crate) first: Reading,
    pub(crate) last: Reading,
    readings: Few<Reading, READINGS>,
    /// Whether a candidate between was not seen.
    pub(crate) gap: bool,
    is_open: bool,
    end_ns: i64,
    deadline_ns: i64,
    follow: i64,
}

/// All readings of a name: under each suffix, and as it is.
fn readings(name: &str, search: &Search) -> Few<Reading, READINGS> {
    let mut all = Few::default();
    all.push(Reading { stem: name.len() as u16, place: BARE });
    for (place, suffix) in search.suffixes() {
        let stem = name.strip_suffix(suffix).and_then(|before| before.strip_suffix('.')).map_or(0, str::len);
        if stem > 0 {
            all.push(Reading { stem: stem as u16, place });
        }
    }
    all
}

/// Numbers of the readings' stems.
fn stems(name: &str, readings: &Few<Reading, READINGS>) -> Few<u64, READINGS> {
    let mut stems = Few::default();
    readings.iter().for_each(|reading| stems.push(hash(name.get(..usize::from(reading.stem)).unwrap_or_default())));
    stems
}

/// How well one place follows the other: 0 not at all, 1 with a gap, 2 right behind.
fn rank(search: &Search, chain: &Chain, from: Reading, to: Reading) -> u8 {
    let begun = chain.members.as_slice().len() > 1;
    match (from.place, to.place) {
        (BARE, BARE) => 0,
        (BARE, _) if begun => 0,
        (BARE, to) => 1 + u8::from(search.depth(to) == 0),
        (_, BARE) if begun && chain.first.place == BARE => 0,
        (from, BARE) => 1 + u8::from(search.is_last(from)),
        (from, to) if search.leads(from, to) => 1 + u8::from(search.is_next(from, to)),
        _ => 0,
    }
}

impl Chain {
    fn start(at: u32, name: u32, readings: Few<Reading, READINGS>) -> Self {
        let first = readings.as_slice().first().copied().unwrap_or_default();
        Self {
            members: smallvec![at],
            name,
            first,
            last: first,
            readings,
            gap: false,
            is_open: false,
            end_ns: 0,
            deadline_ns: 0,
            follow: 0,
        }
    }

    /// Whether a suffix was tried before the name as it is.
    pub(crate) fn is_searched_first(&self) -> bool {
        self.first.place != BARE
    }

    /// Whether the name as it is was the last thing left to try.
    fn is_over(&self) -> bool {
        self.is_searched_first() && self.last.place == BARE
    }

    /// Until when its next candidate may come.
    pub(crate) fn open_until(&self) -> Option<i64> {
        self.is_open.then_some(self.deadline_ns)
    }

    /// Takes note of the end of its last candidate.
    fn wait(&mut self, candidate: &Candidate, follow_ns: i64) {
        let failed = !matches!(candidate.verdict(), Verdict::Found | Verdict::Open);
        let wait = if candidate.has_silence() { PATIENCE_NS } else { follow_ns };
        self.is_open = failed && !self.is_over();
        self.end_ns = candidate.end_ns;
        self.deadline_ns = candidate.end_ns.saturating_add(wait);
        self.follow = wait;
    }

    /// How well the candidate goes on with this chain, and from which reading.
    fn fit(&self, search: &Search, to: Reading, now_ns: i64) -> Option<(u8, Reading)> {
        let in_time = self.is_open && now_ns >= self.end_ns - SLACK_NS && now_ns <= self.deadline_ns;
        if !in_time {
            return None;
        }
        let same_stem = self.readings.iter().filter(|from| from.stem == to.stem);
        let ranked = same_stem.map(|from| (rank(search, self, *from, to), *from));
        let best = ranked.max_by_key(|(rank, _)| *rank).filter(|(rank, _)| *rank > 0)?;
        let late = best.0 == 1 && self.follow < PATIENCE_NS && now_ns > self.end_ns + GAP_NS;
        (!late).then_some(best)
    }

    fn go_on(&mut self, at: u32, rank: u8, from: Reading, to: Reading) {
        if self.members.as_slice().len() == 1 {
            self.first = from;
        }
        if self.members.len() < MEMBERS {
            self.members.push(at);
        }
        self.last = to;
        self.gap |= rank == 1;
        self.readings = Few::default();
        self.readings.push(to);
    }
}

/// One entry of the list of chains that may go on under a stem.
struct Entry {
    chain: u32,
    older: u32,
}

/// Chains of a client in the making.
pub(crate) struct Chains<'a> {
    texts: &'a Texts,
    search: &'a Search,
    pub(crate) list: Vec<Chain>,
    entries: Vec<Entry>,
    /// By the hash of a stem: its newest entry.
    newest: HashMap<u64, u32, Hashed>,
    follow_ns: i64,
    /// Candidates that could go on with several stems and were left on their own.
    pub(crate) ambiguous: u64,
}

/// The chain a candidate goes on with.
#[derive(Clone, Copy)]
struct Match {
    rank: u8,
    chain: u32,
    from: Reading,
    to: Reading,
}

impl<'a> Chains<'a> {
    /// Chains all candidates of a client, which are in order of time; the next candidate comes within `follow_ns` of an
    /// answer.
    pub(crate) fn of(texts: &'a Texts, search: &'a Search, candidates: &[Candidate], follow_ns: i64) -> Self {
        let mut chains = Self {
            texts,
            search,
            list: Vec::with_capacity(candidates.len()),
            entries: Vec::new(),
            newest: HashMap::with_capacity_and_hasher(candidates.len(), Hashed::default()),
            follow_ns,
            ambiguous: 0,
        };
        for (at, candidate) in candidates.iter().enumerate() {
            expect(texts, candidates, at);
            chains.take(at as u32, candidate);
        }
        chains
    }

    fn take(&mut self, at: u32, candidate: &Candidate) {
        let name = self.texts.text(candidate.name);
        let readings = readings(name, self.search);
        let stems = if self.search.is_empty() { Few::default() } else { stems(name, &readings) };
        let chain = if let Some(found) = self.find(name, &readings, &stems, candidate.first_ns) {
            if let Some(chain) = self.list.get_mut(found.chain as usize) {
                chain.go_on(at, found.rank, found.from, found.to);
            }
            found.chain
        } else {
            self.list.push(Chain::start(at, candidate.name, readings));
            self.list.len() as u32 - 1
        };
        self.offer(&stems, chain, candidate);
    }

    /// Puts the chain where its next candidate will look for it.
    fn offer(&mut self, stems: &Few<u64, READINGS>, at: u32, candidate: &Candidate) {
        let Some(chain) = self.list.get_mut(at as usize) else { return };
        let known = chain.members.as_slice().len() > 1;
        chain.wait(candidate, self.follow_ns);
        if !chain.is_open || known || self.search.is_empty() {
            return;
        }
        for stem in stems {
            let new = self.entries.len() as u32;
            let newest = self.newest.insert(*stem, new).unwrap_or(NOTHING);
            let older = self.first_alive(newest, candidate.first_ns);
            self.entries.push(Entry { chain: at, older });
        }
    }

    /// Of the entries of a stem, from the newest one on, the first whose chain may still go on.
    fn first_alive(&self, newest: u32, now_ns: i64) -> u32 {
        let mut at = newest;
        while let Some(entry) = self.entries.get(at as usize) {
            let chain = self.list.get(entry.chain as usize);
            if chain.is_some_and(|chain| chain.is_open && chain.deadline_ns >= now_ns) {
                break;
            }
            at = entry.older;
        }
        at
    }

    /// The chain that fits best: right behind rather than with a gap, of these the one that waits longest. Where two
    /// stems fit equally, none.
    fn find(
        &mut self,
        name: &str,
        readings: &Few<Reading, READINGS>,
        stems: &Few<u64, READINGS>,
        now_ns: i64,
    ) -> Option<Match> {
        let mut best: Option<Match> = None;
        let mut tie = false;
        for (to, stem) in readings.iter().zip(stems) {
            let Some(found) = self.find_as(name, *to, *stem, now_ns) else { continue };
            tie =
                best.is_some_and(|best| best.rank == found.rank) || (tie && best.is_some_and(|b| b.rank > found.rank));
            if best.is_none_or(|best| found.rank > best.rank) {
                best = Some(found);
            }
        }
        self.ambiguous += u64::from(tie);
        best.filter(|_| !tie)
    }

    fn find_as(&self, name: &str, to: Reading, hash: u64, now_ns: i64) -> Option<Match> {
        let mut at = self.newest.get(&hash).copied()?;
        let stem = name.get(..usize::from(to.stem))?;
        let mut best: Option<Match> = None;
        for _ in 0..LOOK_BACK {
            let Some(entry) = self.entries.get(at as usize) else { break };
            if let Some((rank, from)) = self.fit(entry.chain, stem, to, now_ns)
                && best.is_none_or(|best| rank >= best.rank)
            {
                best = Some(Match { rank, chain: entry.chain, from, to });
            }
            at = entry.older;
        }
        best
    }

    fn fit(&self, chain: u32, stem: &str, to: Reading, now_ns: i64) -> Option<(u8, Reading)> {
        let chain = self.list.get(chain as usize)?;
        let same = self.texts.text(chain.name).get(..stem.len()) == Some(stem);
        chain.fit(self.search, to, now_ns).filter(|_| same)
    }
}
