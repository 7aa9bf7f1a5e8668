//! Candidates: all questions that a resolver asks for one name it tries, A and AAAA, resends and retries.

use super::query::{Query, TYPES, Verdict};
use super::texts::Texts;
use crate::track::FrameId;
use crate::track::prefetch::prefetch;

const MS: i64 = 1_000_000;
/// Longest time from an attempt to the next of a resolver that got no answer: glibc and Go wait 5 s, c-ares 5 s with
/// jitter, musl 2.5 s; what is over is room for a loaded host.
pub(crate) const PATIENCE_NS: i64 = 6_500 * MS;
/// Longest time from an answer to what the resolver does next. It takes well under 10 ms in a process that runs; one
/// that is out of its CPU quota sleeps up to 100 ms a period.
pub(crate) const FOLLOW_NS: i64 = 250 * MS;
/// A and AAAA of one name from two sockets leave within this time (Go starts a goroutine for each; 1.6 ms measured).
const TOGETHER_NS: i64 = 20 * MS;
/// Go asks again this soon after an answer it does not like.
const AT_ONCE_NS: i64 = 50 * MS;
/// Candidates of the same name that are compared.
const LOOK_BACK: usize = 8;
/// No candidate of this name.
pub(crate) const NO_CANDIDATE: u32 = u32::MAX;

/// How a type was asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asked {
    pub(crate) verdict: Verdict,
    pub(crate) tries: u8,
    pub(crate) port: u16,
    pub(crate) id: u16,
}

/// One name tried.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) name: u32,
    pub(crate) unit: u32,
    pub(crate) server: u32,
    pub(crate) backend: u32,
    pub(crate) zone: u32,
    pub(crate) ttl: u32,
    pub(crate) most_ttl: u32,
    types: [Asked; TYPES],
    /// Which types were asked for, as bits.
    asked: u8,
    pub(crate) edns: u16,
    pub(crate) authentic: bool,
    pub(crate) kept_id: bool,
    pub(crate) autopath: bool,
    /// Queries, resends included.
    pub(crate) queries: u32,
    /// Resends among them.
    pub(crate) resent: u32,
    pub(crate) first_ns: i64,
    /// When the last question of it was sent.
    pub(crate) last_ns: i64,
    pub(crate) end_ns: i64,
    pub(crate) frame: FrameId,
    pub(crate) point: u16,
    /// The candidate of the same name before it.
    older: u32,
}

impl Candidate {
    fn new(query: &Query, older: u32) -> Self {
        Self {
            name: query.name,
            unit: query.unit,
            server: query.server,
            backend: query.backend,
            zone: 0,
            ttl: 0,
            most_ttl: 0,
            types: [Asked::default(); TYPES],
            asked: 0,
            edns: query.edns,
            authentic: query.authentic,
            kept_id: false,
            autopath: false,
            queries: 0,
            resent: 0,
            first_ns: query.first_ns,
            last_ns: query.last_ns,
            end_ns: query.end_ns,
            frame: query.frame,
            point: query.point,
            older,
        }
    }

    fn add(&mut self, query: &Query) {
        self.asked |= 1 << query.kind;
        let asked = &mut self.types[usize::from(query.kind)];
        let again = asked.verdict != Verdict::None;
        self.kept_id |= again && asked.id == query.id && asked.port != query.port;
        self.resent += u32::from(query.attempts) - u32::from(!again);
        self.queries += u32::from(query.attempts);
        *asked = Asked {
            verdict: if asked.verdict == Verdict::Found { Verdict::Found } else { query.verdict },
            tries: asked.tries.saturating_add(1),
            port: query.port,
            id: query.id,
        };
        self.autopath |= query.autopath;
        if query.zone != 0 || query.verdict == Verdict::Found {
            (self.zone, self.ttl, self.most_ttl) = (query.zone.max(self.zone), query.ttl, query.most_ttl);
        }
        self.last_ns = self.last_ns.max(query.last_ns);
        self.end_ns = self.end_ns.max(query.end_ns);
    }

    /// How a type was asked for, if it was.
    pub(crate) fn asked_as(&self, kind: usize) -> Option<Asked> {
        self.types.get(kind).copied().filter(|asked| asked.verdict != Verdict::None)
    }

    fn verdicts(&self) -> impl Iterator<Item = Verdict> + '_ {
        let mut left = self.asked;
        std::iter::from_fn(move || {
            let at = left.trailing_zeros() as usize;
            left &= left.wrapping_sub(1);
            self.types.get(at).map(|asked| asked.verdict)
        })
    }

    /// Types asked for.
    pub(crate) fn type_count(&self) -> u32 {
        self.asked.count_ones()
    }

    /// What came of it: records of any type are success, else the gravest of what came. A name of which one type is
    /// absent and another one unanswered is unanswered.
    pub(crate) fn verdict(&self) -> Verdict {
        if self.verdicts().any(|verdict| verdict == Verdict::Found) {
            return Verdict::Found;
        }
        self.verdicts().max().unwrap_or(Verdict::Open)
    }

    /// Whether a type got no answer.
    pub(crate) fn has_silence(&self) -> bool {
        self.verdicts().any(Verdict::is_silence)
    }

    /// How well a question belongs to this candidate, the higher the better; 0 is not at all.
    fn fit(&self, query: &Query) -> u8 {
        let asked = self.types[usize::from(query.kind)];
        let since_last = query.first_ns - self.last_ns;
        if asked.verdict == Verdict::None {
            return self.fit_of_new_type(query);
        }
        let waits = asked.verdict.is_retried() || self.has_silence() || (asked.port == query.port && self.resent > 0);
        if asked.id == query.id && waits && since_last <= PATIENCE_NS {
            return 4;
        }
        let over_tcp = query.tcp && self.verdicts().any(|verdict| verdict == Verdict::Truncated);
        if over_tcp && since_last <= PATIENCE_NS {
            return 3;
        }
        u8::from(self.is_retry(asked, query)) * 2
    }

    fn fit_of_new_type(&self, query: &Query) -> u8 {
        let same_port =
            self.verdicts().next().is_some() && self.types.iter().any(|t| t.port == query.port && t.tries > 0);
        let wait = if self.has_silence() { PATIENCE_NS } else { FOLLOW_NS };
        if same_port {
            return u8::from(query.first_ns - self.end_ns <= wait) * 3;
        }
        let together = query.first_ns - self.first_ns <= TOGETHER_NS || query.first_ns - self.end_ns <= 2 * MS;
        let over_tcp = query.tcp && query.first_ns - self.last_ns <= PATIENCE_NS;
        u8::from((together && query.edns == self.edns) || over_tcp)
    }

    /// Go asks again from a new port with a new identification, twice a server: at once after an answer it does not
    /// like, after 5 s without one.
    fn is_retry(&self, asked: Asked, query: &Query) -> bool {
        let most = if query.server == self.server { 2 } else { 4 };
        let like_go = query.edns > 0 && query.edns == self.edns && !query.authentic && asked.tries < most;
        let wait = if asked.verdict.is_silence() { PATIENCE_NS } else { AT_ONCE_NS };
        let since = query.first_ns - if asked.verdict.is_silence() { self.last_ns } else { self.end_ns };
        asked.verdict.is_retried() && (like_go || asked.port == query.port) && since <= wait
    }
}

/// Puts the questions of one client, in order of time, into candidates: `owners` says for each question which. `latest`
/// has room for the newest candidate of each name, and none in it before and after.
pub(crate) fn group(queries: &[Query], latest: &mut [u32], candidates: &mut Vec<Candidate>, owners: &mut Vec<u32>) {
    for (at, query) in queries.iter().enumerate() {
        let soon = queries.get(at + SOON).and_then(|query| latest.get(query.name as usize));
        soon.inspect(|newest| prefetch(*newest));
        let newest = &mut latest[query.name as usize];
        let owner = best(candidates, *newest, query).unwrap_or_else(|| {
            candidates.push(Candidate::new(query, *newest));
            *newest = candidates.len() as u32 - 1;
            *newest
        });
        if let Some(candidate) = candidates.get_mut(owner as usize) {
            candidate.add(query);
        }
        owners.push(owner);
    }
    for candidate in candidates {
        latest[candidate.name as usize] = NO_CANDIDATE;
    }
}

/// How far ahead memory is asked for: first where a text is, then the text.
pub(crate) const SOON: usize = 8;
const NEXT: usize = 4;

/// Asks for the names of the candidates behind the one at `at`.
#[inline]
pub(crate) fn expect(texts: &Texts, candidates: &[Candidate], at: usize) {
    let name = |far: usize| candidates.get(at + far).map(|candidate| candidate.name);
    texts.expect(name(SOON), name(NEXT));
}

/// The candidate a question belongs to, the oldest of those that fit best.
fn best(candidates: &[Candidate], newest: u32, query: &Query) -> Option<u32> {
    let mut at = newest;
    let mut best = (0, None);
    for _ in 0..LOOK_BACK {
        let Some(candidate) = candidates.get(at as usize) else { break };
        if query.first_ns - candidate.last_ns.max(candidate.end_ns) > PATIENCE_NS {
            break;
        }
        let fit = candidate.fit(query);
        if fit > 0 && fit >= best.0 {
            best = (fit, Some(at));
        }
        at = candidate.older;
    }
    best.1
}
