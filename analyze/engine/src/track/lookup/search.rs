//! The search list of a client, learned from which names it tries one after the other.
//!
//! A resolver that walks a search list asks for one stem under one suffix after the other, each time the one before
//! failed. Two names in a row with the same labels on the left vote for the step between what is left over. A step is
//! believed when it has the shape of what the kubelet writes (`NS.svc.D`, `svc.D`, `D`), or when three different stems
//! took it or it follows such a step under the same stem, and walks by way of it come to an end: who asks one list of
//! blocked addresses after the other neither stops at a hit nor ever asks for the address alone.

use super::candidate::{Candidate, FOLLOW_NS, PATIENCE_NS, expect};
use super::query::Verdict;
use super::texts::{Texts, hash};
use foldhash::fast::FixedState;
use std::collections::{HashMap, HashSet, VecDeque};

/// Place of the name as it is, without a suffix.
pub(crate) const BARE: u8 = u8::MAX;
/// Suffixes of a client that are kept; a node that asks for many namespaces has most.
const MAX_SUFFIXES: usize = 32;
/// Different steps of a client that votes are counted for.
const MAX_STEPS: usize = 1024;
/// Failed candidates that wait for their successor.
const MAX_OPEN: usize = 64;
/// Failed candidates of a client that are learned from; what they did not teach, more will not.
const ENOUGH: usize = 4096;
/// Stems that a step needs which has no shape to be known by.
const STEMS: usize = 3;

/// Suffixes and which follows which.
#[derive(Clone, Debug, Default)]
pub struct Search {
    suffixes: Vec<Box<str>>,
    /// For each suffix, all that come behind it, as bits.
    reach: Vec<u32>,
    /// For each suffix, how many come before it.
    depth: Vec<u8>,
    /// Whether resolv.conf says so: then there is nothing to learn.
    is_told: bool,
}

impl Search {
    /// The search list of a resolv.conf.
    pub(crate) fn told(suffixes: &[&str]) -> Self {
        let mut search = Self { is_told: true, ..Self::default() };
        for pair in suffixes.windows(2) {
            search.step(pair[0], pair[1]);
        }
        if let [only] = suffixes {
            search.place(only);
        }
        search
    }

    /// Whether nothing was learned.
    pub fn is_empty(&self) -> bool {
        self.suffixes.is_empty()
    }

    /// A suffix by its place.
    pub(crate) fn suffix(&self, at: u8) -> Option<&str> {
        self.suffixes.get(usize::from(at)).map(AsRef::as_ref)
    }

    pub(crate) fn suffixes(&self) -> impl Iterator<Item = (u8, &str)> {
        self.suffixes.iter().enumerate().map(|(at, suffix)| (at as u8, &**suffix))
    }

    /// Whether a walk may go from one place to the other.
    pub(crate) fn leads(&self, from: u8, to: u8) -> bool {
        self.reach.get(usize::from(from)).is_some_and(|reach| reach >> to & 1 != 0)
    }

    /// Whether one is right behind the other.
    pub(crate) fn is_next(&self, from: u8, to: u8) -> bool {
        let between = |at: u8| self.leads(from, at) && self.leads(at, to);
        self.leads(from, to) && !(0..self.suffixes.len() as u8).any(between)
    }

    /// How many suffixes come before this one.
    pub(crate) fn depth(&self, at: u8) -> u32 {
        self.depth.get(usize::from(at)).copied().unwrap_or_default().into()
    }

    /// Whether no suffix comes behind this one.
    pub(crate) fn is_last(&self, at: u8) -> bool {
        self.reach.get(usize::from(at)).is_none_or(|reach| *reach == 0)
    }

    /// How many suffixes a walk through this one has in all.
    pub(crate) fn length_through(&self, at: u8) -> u32 {
        let behind = self.suffixes().filter(|(to, _)| *to == at || self.leads(at, *to));
        behind.map(|(to, _)| self.depth(to) + 1).max().unwrap_or_default()
    }

    /// The search lists, as resolv.conf would say them, one for each suffix that begins one.
    pub fn lists(&self) -> Vec<Vec<&str>> {
        let roots = self.suffixes().filter(|(at, _)| self.depth(*at) == 0);
        roots.map(|(root, _)| self.list_from(root)).collect()
    }

    fn list_from(&self, root: u8) -> Vec<&str> {
        let mut list = Vec::new();
        let mut at = Some(root);
        while let Some(suffix) = at.and_then(|at| self.suffix(at)).filter(|_| list.len() < MAX_SUFFIXES) {
            list.push(suffix);
            let from = at.unwrap_or_default();
            at = self.suffixes().map(|(to, _)| to).filter(|to| self.leads(from, *to)).min_by_key(|to| self.depth(*to));
        }
        list
    }

    /// The domain of the cluster: what is behind `svc` in a suffix.
    pub fn cluster_domain(&self) -> Option<&str> {
        self.suffixes().find_map(|(_, suffix)| cluster_domain(suffix))
    }

    /// The namespace, which the first suffix that the kubelet writes begins with, if there is one list.
    pub fn namespace(&self) -> Option<&str> {
        let domain = self.cluster_domain()?;
        let roots = self.suffixes().filter(|(at, _)| self.depth(*at) == 0);
        let mut namespaces = roots.map(|(_, root)| root.strip_suffix(domain)?.strip_suffix(".svc."));
        let only = namespaces.next()??;
        (namespaces.next().is_none() && !only.contains('.')).then_some(only)
    }

    /// Whether it is a name under one of the suffixes, rather than a suffix.
    fn is_under(&self, text: &str) -> bool {
        let under = |suffix: &str| text.strip_suffix(suffix).is_some_and(|before| before.ends_with('.'));
        self.suffixes().any(|(_, suffix)| under(suffix))
    }

    fn place(&mut self, suffix: &str) -> Option<u8> {
        let known = self.suffixes.iter().position(|known| **known == *suffix);
        if known.is_none() && self.suffixes.len() < MAX_SUFFIXES {
            self.suffixes.push(suffix.into());
            self.reach.push(0);
            self.depth.push(0);
            return Some(self.suffixes.len() as u8 - 1);
        }
        known.map(|at| at as u8)
    }

    /// Adds a step, unless it would lead back.
    fn step(&mut self, from: &str, to: &str) {
        let (Some(from), Some(to)) = (self.place(from), self.place(to)) else { return };
        if from == to || self.leads(to, from) {
            return;
        }
        let gained = self.reach[usize::from(to)] | 1 << to;
        for at in 0..self.suffixes.len() as u8 {
            if at == from || self.leads(at, from) {
                self.reach[usize::from(at)] |= gained;
            }
        }
        self.sink(to, self.depth[usize::from(from)] + 1);
    }

    /// Puts a suffix, and what comes behind it, at least this deep.
    fn sink(&mut self, at: u8, depth: u8) {
        if self.depth[usize::from(at)] >= depth {
            return;
        }
        self.depth[usize::from(at)] = depth;
        for to in 0..self.suffixes.len() as u8 {
            if self.leads(at, to) {
                self.sink(to, depth + 1);
            }
        }
    }
}

/// The domain of the cluster that a suffix tells: `D` of `NS.svc.D` and `svc.D`.
pub(crate) fn cluster_domain(suffix: &str) -> Option<&str> {
    let rest = suffix.strip_prefix("svc.").or_else(|| suffix.split_once('.')?.1.strip_prefix("svc."))?;
    (!rest.is_empty()).then_some(rest)
}

/// Whether one follows the other in what the kubelet writes: `NS.svc.D`, `svc.D`, `D`, one of them skipped at most.
fn is_nested(from: &str, to: &str) -> bool {
    let Some(before) = from.strip_suffix(to).and_then(|before| before.strip_suffix('.')) else { return false };
    let namespace = |label: &str| !label.is_empty() && !label.contains('.');
    match before.strip_suffix(".svc") {
        Some(label) => namespace(label),
        None => before == "svc" || (namespace(before) && to.starts_with("svc.")),
    }
}

/// Length of the longest run of labels on the left that two names share.
fn common_stem(a: &str, b: &str) -> usize {
    let same = a.bytes().zip(b.bytes()).take_while(|(x, y)| x == y).count();
    let ends = |text: &str, at: usize| text.as_bytes().get(at).is_none_or(|byte| *byte == b'.');
    (1..=same).rev().find(|at| ends(a, *at) && ends(b, *at)).unwrap_or_default()
}

/// What is left of a name behind its stem.
fn rest(name: &str, stem: usize) -> &str {
    name.get(stem + 1..).unwrap_or_default()
}

/// A failed candidate whose successor may come.
struct Open<'a> {
    name: &'a str,
    end_ns: i64,
    deadline_ns: i64,
    /// Length of its stem, where a step before told it; else 0.
    anchor: usize,
}

impl Open<'_> {
    /// Length of the stem, if this name can be the next try.
    fn stem_with(&self, name: &str) -> Option<usize> {
        let common = common_stem(self.name, name);
        let same = common == self.name.len() && common == name.len();
        let at_anchor = name.as_bytes().get(self.anchor).is_none_or(|byte| *byte == b'.');
        let stem = match self.anchor {
            0 => common,
            anchor if anchor <= common && at_anchor => anchor,
            _ => 0,
        };
        (stem > 0 && !same).then_some(stem)
    }
}

#[derive(Default)]
struct Step {
    from: Box<str>,
    to: Box<str>,
    stems: [u64; STEMS],
    stem_count: usize,
    votes: u32,
    /// Votes under a stem that a step before had told.
    anchored: u32,
    /// Whether a walk of this step, or of another with one of its suffixes, ended: in a hit, or in the name as it is.
    ends: bool,
    /// Whether it has the shape of what the kubelet writes.
    nested: bool,
}

/// Steps and their votes.
#[derive(Default)]
struct Ballot {
    steps: Vec<Step>,
    index: HashMap<(u64, u64), usize, FixedState>,
}

impl Ballot {
    /// Counts a step, which `hit` or not; whether its shape alone tells that it is one.
    fn vote(&mut self, (from, to): (&str, &str), stem: &str, anchored: bool, hit: bool) -> bool {
        let key = (hash(from), hash(to));
        let known = self.index.get(&key).copied();
        let at = known.unwrap_or(self.steps.len());
        if known.is_none() && at < MAX_STEPS {
            let nested = is_nested(from, to);
            self.steps.push(Step { from: from.into(), to: to.into(), nested, ..Step::default() });
            self.index.insert(key, at);
        }
        let Some(entry) = self.steps.get_mut(at) else { return is_nested(from, to) };
        entry.count(hash(stem), anchored);
        entry.ends |= hit || from.is_empty() || to.is_empty();
        entry.nested
    }

    /// Lets all steps know whether walks by way of their suffixes end.
    fn spread_ends(&mut self) {
        let mut ending = HashSet::with_hasher(FixedState::default());
        for _ in 0..MAX_SUFFIXES {
            let known = ending.len();
            for step in &mut self.steps {
                let suffixes = [&step.from, &step.to].into_iter().filter(|suffix| !suffix.is_empty());
                step.ends |= suffixes.clone().any(|suffix| ending.contains(&hash(suffix)));
                ending.extend(suffixes.filter(|_| step.ends).map(|suffix| hash(suffix)));
            }
            if ending.len() == known {
                break;
            }
        }
    }

    /// Steps of known shape first, then the others that are believed, then suffixes that only the name itself comes
    /// before or behind.
    fn decide(mut self, mut search: Search) -> Search {
        self.spread_ends();
        self.steps.sort_by_key(|step| std::cmp::Reverse((step.nested, step.votes)));
        let (alone, between): (Vec<_>, Vec<_>) =
            self.steps.iter().partition(|step| step.from.is_empty() || step.to.is_empty());
        for step in between {
            let fits = step.is_believed() && !search.is_under(&step.from) && !search.is_under(&step.to);
            if step.nested || fits {
                search.step(&step.from, &step.to);
            }
        }
        for step in alone {
            let suffix = if step.from.is_empty() { &step.to } else { &step.from };
            let fits = step.is_believed() && !search.is_under(suffix);
            if fits || cluster_domain(suffix).is_some() {
                search.place(suffix);
            }
        }
        search
    }
}

impl Step {
    fn count(&mut self, stem: u64, anchored: bool) {
        self.votes = self.votes.saturating_add(1);
        self.anchored = self.anchored.saturating_add(u32::from(anchored));
        if self.stem_count < STEMS && !self.stems[..self.stem_count].contains(&stem) {
            self.stems[self.stem_count] = stem;
            self.stem_count += 1;
        }
    }

    fn is_believed(&self) -> bool {
        self.nested || self.ends && (self.stem_count >= STEMS || self.anchored as usize >= STEMS)
    }
}

/// Learns the search list from the candidates of a client, in order of time, on top of what is known of it.
pub(crate) fn learn(texts: &Texts, candidates: &[Candidate], known: Search) -> Search {
    if known.is_told {
        return known;
    }
    let mut ballot = Ballot::default();
    let mut open: VecDeque<Open<'_>> = VecDeque::new();
    let mut failed = 0;
    for (at, candidate) in candidates.iter().enumerate() {
        expect(texts, candidates, at);
        let (name, verdict) = (texts.text(candidate.name), candidate.verdict());
        let step = follow(&mut open, name, candidate.first_ns);
        let hit = verdict == Verdict::Found;
        let anchor = step.as_ref().map_or(0, |(before, stem)| vote(&mut ballot, before, (name, hit), *stem));
        let is_end = step.is_some_and(|(before, stem)| before.name.len() > stem && name.len() == stem);
        if hit || verdict == Verdict::Open || is_end {
            continue;
        }
        failed += 1;
        if failed > ENOUGH {
            break;
        }
        if open.len() >= MAX_OPEN {
            open.pop_front();
        }
        let wait = if candidate.has_silence() { PATIENCE_NS } else { FOLLOW_NS };
        open.push_back(Open { name, end_ns: candidate.end_ns, deadline_ns: candidate.end_ns + wait, anchor });
    }
    ballot.decide(known)
}

/// The failed candidate that this name is the next try of, with the length of the stem: the one with the longest stem,
/// and of these the last.
fn follow<'a>(open: &mut VecDeque<Open<'a>>, name: &str, now_ns: i64) -> Option<(Open<'a>, usize)> {
    open.retain(|open| open.deadline_ns >= now_ns);
    let fits = |(at, open): (usize, &Open<'_>)| {
        let stem = open.stem_with(name).filter(|_| open.end_ns <= now_ns)?;
        Some((stem, at))
    };
    let (stem, at) = open.iter().enumerate().filter_map(fits).max()?;
    Some((open.remove(at)?, stem))
}

/// Votes for a step. Length of the stem if it is known for sure.
fn vote(ballot: &mut Ballot, before: &Open<'_>, (name, hit): (&str, bool), stem: usize) -> usize {
    let (from, to) = (rest(before.name, stem), rest(name, stem));
    let anchored = before.anchor > 0 && !from.is_empty();
    let shaped = ballot.vote((from, to), &name[..stem], anchored, hit);
    if shaped || anchored { stem } else { 0 }
}
