//! What several detectors ask of all queries: counts by server, who had to wait in vain, and which queries a detector
//! that takes precedence explains, found once.

use super::forwarded::Forwarded;
use super::{Query, conntrack_race, family, rate_limited};
use crate::track::{Endpoint, MaybeNs};
use foldhash::fast::RandomState;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::Hash;
use std::sync::OnceLock;

/// Counts of the queries to one server that are kept one by one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OfServer {
    pub(super) queries: u64,
    pub(super) attempts: u64,
    /// Those with any response code, and those that count as answered.
    pub(super) with_rcode: u64,
    pub(super) answered: u64,
    /// When the last was asked that counts as answered.
    pub(super) last_answered_ns: MaybeNs,
}

impl OfServer {
    pub(super) fn add(&mut self, query: &Query) {
        self.queries += 1;
        self.attempts += u64::from(query.attempts);
        self.with_rcode += u64::from(query.rcode.is_some());
        self.answered += u64::from(query.is_answered());
        if query.is_answered() {
            self.last_answered_ns = self.last_answered_ns.get().max(Some(query.first_ns)).into();
        }
    }
}

/// Queries that detectors explain, once asked for.
#[derive(Debug, Default)]
pub(super) struct Cases {
    pub(super) blocked: OnceLock<Vec<Query>>,
    pub(super) races: OnceLock<Vec<conntrack_race::Race>>,
    pub(super) broken: OnceLock<Vec<family::Broken>>,
    pub(super) pinned: OnceLock<BTreeMap<(Endpoint, Endpoint), Vec<Query>>>,
    pub(super) probes: OnceLock<Vec<Query>>,
    pub(super) forwarded: OnceLock<Forwarded>,
    pub(super) waiting: OnceLock<BTreeMap<Endpoint, Vec<Query>>>,
    pub(super) knees: OnceLock<Vec<rate_limited::Knee>>,
}

/// Of one client's queries the keys, as `key` tells them apart, that had to wait in vain `least` times or more.
pub(super) fn stalled<K: Hash + Eq>(
    of_client: &[Query],
    least: u32,
    key: impl Fn(&Query) -> K,
) -> HashSet<K, RandomState> {
    let mut keys: HashMap<K, u32, RandomState> = HashMap::default();
    for query in of_client.iter().filter(|query| query.is_stalled()) {
        *keys.entry(key(query)).or_default() += query.unanswered.max(1);
    }
    keys.into_iter().filter(|(_, count)| *count >= least).map(|(key, _)| key).collect()
}
