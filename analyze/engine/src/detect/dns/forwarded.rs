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

/// Questions without an answer.
#[derive(Debug, Default)]
pub(super) struct Forwarded<'a> {
    /// By number of the name and type.
    silent: HashMap<(u64, u16), Vec<&'a Query>, RandomState>,
    /// Who asks whom.
    asks: HashSet<(Addr, Endpoint), RandomState>,
}

/// A server passes a question on at once, or when the upstream server it tried before has not answered for so long
/// (forward plugin of CoreDNS: 2 s a try, 5 s in all; systemd-resolved and dnsmasq: 5 s to 10 s).
const WITHIN_NS: i64 = 5_000_000_000;
const AT_ONCE_NS: i64 = 1_000_000_000;

impl<'a> Forwarded<'a> {
    pub(super) fn of(world: &World<'a>) -> Self {
        let mut forwarded = Self::default();
        // The end of a capture leaves undecided what became of the last ones.
        let is_silent = |query: &&Query| query.unanswered > 0 || query.rejected || !query.is_answered();
        for query in world.facts.dns.queries().iter().filter(is_silent) {
            forwarded.silent.entry((query.name, query.qtype)).or_default().push(query);
            forwarded.asks.insert((query.client.addr, query.server));
        }
        forwarded
    }

    /// The server that left this question unanswered when the one asked passed it on.
    pub(super) fn waits_for(&self, query: &Query) -> Option<Endpoint> {
        // It may have been asked the same by another client before, and wait for that answer already.
        let (from, to) = (query.first_ns.saturating_sub(WITHIN_NS), query.last_ns.saturating_add(WITHIN_NS));
        let same = self.silent.get(&(query.name, query.qtype)).into_iter().flatten();
        let mut later = same.filter(|next| next.server != query.server && (from..=to).contains(&next.first_ns));
        let is_asked = |next: &Query| {
            let asker = next.client.addr;
            asker == query.server.addr || query.backend == Some(asker) || self.is_behind_nat(query, next)
        };
        later.find(|next| is_asked(next)).map(|next| next.server)
    }

    /// Whether another question follows at once, of who has no other part in it, to a server that always comes second:
    /// what a server asks may come from its node, by source NAT.
    fn is_behind_nat(&self, query: &Query, next: &Query) -> bool {
        let stranger = next.client.addr != query.client.addr && !self.asks.contains(&(next.client.addr, query.server));
        let at_once = query.first_ns..query.last_ns.saturating_add(AT_ONCE_NS);
        stranger && at_once.contains(&next.first_ns) && self.first_ns(query) < self.first_ns(next)
    }

    /// When a server was asked a question first.
    fn first_ns(&self, query: &Query) -> Option<i64> {
        let same = self.silent.get(&(query.name, query.qtype)).into_iter().flatten();
        same.filter(|other| other.server == query.server).map(|other| other.first_ns).min()
    }
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
