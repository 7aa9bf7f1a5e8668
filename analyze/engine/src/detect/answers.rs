//! When servers answered, host by host: who was waited for, and whether all of it went silent together.

use crate::Addr;
use crate::track::{Endpoint, FrameId, Resent, Turn};
use crate::wire::app::Traits;
use foldhash::fast::RandomState;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A request and the first word of its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) asked_ns: i64,
    /// When the server's host had acknowledged the request, where that was before the answer.
    pub(crate) acked_ns: Option<i64>,
    pub(crate) answered_ns: i64,
    /// Who asked: a connection.
    client: Endpoint,
    /// What address translation does not change.
    pub(crate) identity: u64,
    pub(crate) frame: FrameId,
}

/// Answers of all hosts, by address and unit; the first of each.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    hosts: HashMap<(Addr, u32), Vec<Answer>, RandomState>,
    kept: usize,
    /// Answers beyond the caps.
    pub(crate) left_out: u64,
}

/// Answers kept of a host, and of all.
const OF_HOST: usize = 2048;
const OF_ALL: usize = 65_536;

/// Silence of a host that was waited for.
#[derive(Clone, Debug)]
pub(crate) struct Silence {
    /// The last answer before it, and the first behind it.
    pub(crate) from_ns: i64,
    pub(crate) until_ns: i64,
    /// Answers that came together when it was over, each having been waited for meanwhile.
    pub(crate) released: Vec<Answer>,
}

/// Answers that end a silence come within this time.
const TOGETHER_NS: i64 = 10_000_000;

impl Answers {
    pub(crate) fn add(&mut self, turn: &Turn) {
        let Some(answered_ns) = turn.answered_ns else { return };
        if turn.resent == Resent::Before || turn.interleaves || turn.asked.traits.has(Traits::WAITS) {
            return;
        }
        if self.kept >= OF_ALL {
            self.left_out += 1;
            return;
        }
        let host = self.hosts.entry((turn.server.addr, turn.unit)).or_default();
        if host.len() < OF_HOST {
            self.kept += 1;
            host.push(Answer {
                asked_ns: turn.request_end_ns,
                acked_ns: turn.acked_ns.filter(|ns| *ns < answered_ns),
                answered_ns,
                client: turn.client,
                identity: turn.identity,
                frame: turn.response.unwrap_or(turn.request),
            });
        }
    }

    /// Silences of each host that lasted `least_ns` or longer while several connections waited, as one unit saw them. Of
    /// several units, and of several addresses of one host, the one that shows most.
    pub(crate) fn silences(&self, least_ns: i64) -> Vec<(Addr, Vec<Silence>)> {
        let mut hosts: BTreeMap<(Addr, u32), Vec<Silence>> = BTreeMap::new();
        for (key, answers) in &self.hosts {
            hosts.insert(*key, silences(answers, least_ns));
        }
        let mut hosts: Vec<_> = hosts.into_iter().filter(|(_, silences)| !silences.is_empty()).collect();
        hosts.sort_by_key(|(_, silences)| std::cmp::Reverse(silences.len()));
        let (mut known, mut addresses) = (BTreeSet::new(), BTreeSet::new());
        hosts.retain(|((addr, _), silences)| {
            let released = || silences.iter().flat_map(|silence| &silence.released);
            let again = released().any(|answer| known.contains(&answer.identity)) || !addresses.insert(*addr);
            known.extend(released().map(|answer| answer.identity));
            !again
        });
        hosts.into_iter().map(|((addr, _), silences)| (addr, silences)).collect()
    }
}

fn silences(answers: &[Answer], least_ns: i64) -> Vec<Silence> {
    let mut answers: Vec<Answer> = answers.to_vec();
    answers.sort_by_key(|answer| (answer.answered_ns, answer.frame));
    let mut silences = Vec::new();
    for at in 1..answers.len() {
        let (from_ns, until_ns) = (answers[at - 1].answered_ns, answers[at].answered_ns);
        if until_ns.saturating_sub(from_ns) < least_ns {
            continue;
        }
        let together = answers[at..].iter().take_while(|answer| answer.answered_ns < until_ns + TOGETHER_NS);
        let released: Vec<Answer> =
            together.filter(|answer| answer.asked_ns <= until_ns - least_ns / 2).copied().collect();
        let is_other = |answer: &Answer| released.first().is_some_and(|first| first.client != answer.client);
        if released.iter().any(is_other) {
            silences.push(Silence { from_ns, until_ns, released });
        }
    }
    silences
}
