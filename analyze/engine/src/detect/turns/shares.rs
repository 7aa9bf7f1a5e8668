//! Which endpoint behind a service took how long.

use super::TurnService;
use super::server::Timed;
use crate::path::Kept as Connections;
use crate::track::Endpoint;
use foldhash::fast::RandomState;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Answers of one endpoint of a service that is slow at times: some of them.
#[derive(Clone, Debug)]
pub(crate) struct Share {
    pub(crate) at: Endpoint,
    answers: Vec<Timed>,
}

impl Share {
    /// Answers that are known.
    pub(crate) fn count(&self) -> usize {
        self.answers.len()
    }

    /// Half of its answers take at most this long.
    pub(crate) fn median_ns(&self) -> i64 {
        let mut times: Vec<i64> = self.answers.iter().map(|answer| answer.server_ns).collect();
        times.sort_unstable();
        times.get(times.len() / 2).copied().unwrap_or_default()
    }

    /// Answers that took so long or longer.
    fn late(&self, limit_ns: i64) -> impl Iterator<Item = &Timed> {
        self.answers.iter().filter(move |answer| answer.server_ns >= limit_ns)
    }

    pub(crate) fn is_late(&self, limit_ns: i64) -> bool {
        self.late(limit_ns).next().is_some()
    }

    /// Connections on which it was late.
    pub(crate) fn late_clients(&self, limit_ns: i64) -> usize {
        self.late(limit_ns).map(|answer| answer.client).collect::<BTreeSet<_>>().len()
    }

    /// Whether most of what it was late for was answered by one of these in less than so long.
    pub(crate) fn is_asked_the_same(&self, siblings: &[&Self], limit_ns: i64, quick_ns: i64) -> bool {
        let answers = siblings.iter().flat_map(|sibling| &sibling.answers);
        let quick: BTreeSet<u32> =
            answers.filter(|answer| answer.server_ns <= quick_ns).map(|quick| quick.mark).collect();
        let same = self.late(limit_ns).filter(|late| quick.contains(&late.mark)).count();
        same * 2 > self.late(limit_ns).count()
    }

    /// Whether a turn, by its identity, is one of its answers.
    pub(crate) fn has(&self, identity: u64) -> bool {
        self.answers.iter().any(|answer| answer.identity == identity)
    }
}

/// The endpoints that the timed answers of a service came from, where that was seen. Each answer counts once.
pub(crate) fn shares(service: &TurnService, connections: &Connections) -> Vec<Share> {
    let mut timed: HashMap<(Endpoint, Endpoint), Vec<Timed>, RandomState> = HashMap::default();
    for answer in &service.facts.timed {
        timed.entry((answer.client, answer.server)).or_default().push(*answer);
    }
    let servers: BTreeSet<Endpoint> = timed.keys().map(|(_, server)| *server).collect();
    let mut shares: BTreeMap<Endpoint, BTreeMap<u64, Timed>> = BTreeMap::new();
    for connection in servers.iter().flat_map(|server| connections.sent_to(*server)) {
        let Some(endpoint) = connection.endpoint() else { continue };
        let answers = connection.stages.iter().filter_map(|stage| timed.get(&(stage.orig, stage.resp))).flatten();
        let seen = answers.filter(|answer| connection.is_seen_at(answer.asked_ns, connections));
        shares.entry(endpoint).or_default().extend(seen.map(|answer| (answer.identity, *answer)));
    }
    let share =
        |(at, answers): (Endpoint, BTreeMap<u64, Timed>)| Share { at, answers: answers.into_values().collect() };
    shares.into_iter().map(share).filter(|share| share.count() > 0).collect()
}
