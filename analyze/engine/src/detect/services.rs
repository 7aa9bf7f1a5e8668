//! Services: addresses that clients connect to, and the addresses behind them.

use super::attempts::{Attempts, Counts, Failure, Outcome};
use super::lost_at_nat::LostAt;
use crate::Addr;
use crate::finding::Severity;
use crate::packet::{TCP, is_fresh};
use crate::path::{Connection, Kept};
use crate::time::union;
use crate::track::event::Flow;
use crate::track::{Endpoint, FrameId};
use foldhash::fast::RandomState;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::OnceLock;

/// Clients for which no attempt at a service succeeds.
pub(crate) struct Failing<'a> {
    pub(crate) clients: BTreeSet<Addr>,
    /// Their attempts.
    pub(crate) counts: Counts,
    /// Their failures of the outcome asked for, a few.
    pub(crate) failures: Vec<&'a Failure>,
    /// Connections of other clients that came about.
    pub(crate) others: u64,
}

impl Failing<'_> {
    /// From the first to the last failure kept.
    pub(crate) fn span_ns(&self) -> (i64, i64) {
        let spans = self.failures.iter().map(|failure| failure.span_ns);
        union(spans).unwrap_or_default()
    }

    /// SYNs of the failures kept.
    pub(crate) fn syns(&self) -> u64 {
        self.failures.iter().map(|failure| failure.syns).sum()
    }

    /// Frames of the failures kept.
    pub(crate) fn frames(&self) -> impl Iterator<Item = FrameId> {
        self.failures.iter().flat_map(|failure| failure.frames.iter().copied())
    }

    /// "It works for others" in words, where it does.
    pub(crate) fn others_in_words(&self) -> String {
        match self.others {
            0 => String::new(),
            n => {
                format!(" Other clients connect to the same address ({n}), so what stops these depends on who asks.")
            }
        }
    }
}

/// A service as the client addressed it, and the addresses behind it that the same connections went to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Service {
    pub(crate) server: Endpoint,
    pub(crate) behind: Vec<Endpoint>,
    pub(crate) attempts: Attempts,
    /// Its connections among [`Kept::connections`].
    pub(crate) connections: Vec<u32>,
    /// Whether this may be one of several endpoints (see [`Servers::find_siblings`]).
    pub(crate) sibling: bool,
}

/// Failures of one client before they are more than chance, where others succeed.
const PATTERN: u64 = 2;

impl Service {
    /// The clients for which every attempt fails, and mostly in this way: all clients where nobody succeeds, else those
    /// that never do.
    pub(crate) fn failing(&self, outcome: Outcome, count: fn(&Counts) -> u64) -> Option<Failing<'_>> {
        let attempts = &self.attempts;
        let fails = |counts: &Counts| counts.granted() == 0 && count(counts) * 2 > counts.failed();
        let (clients, counts, others) = if fails(&attempts.counts) {
            (attempts.by_client.keys().copied().collect(), attempts.counts, 0)
        } else {
            let each = attempts.by_client.iter().filter(|(_, counts)| fails(counts) && count(counts) >= PATTERN);
            let clients: BTreeSet<Addr> = each.clone().map(|(client, _)| *client).collect();
            let mut sum = Counts::default();
            each.for_each(|(_, counts)| sum.merge(counts));
            (clients, sum, attempts.counts.established)
        };
        let of_these = |failure: &&Failure| failure.outcome == outcome && clients.contains(&failure.orig.addr);
        let failures: Vec<&Failure> = attempts.failures.iter().filter(of_these).collect();
        (!clients.is_empty() && count(&counts) > 0).then_some(Failing { clients, counts, failures, others })
    }

    /// Failures of an outcome, whoever met them.
    pub(crate) fn failures(&self, outcome: Outcome) -> Failing<'_> {
        let attempts = &self.attempts;
        let failures: Vec<&Failure> = attempts.failures.iter().filter(|failure| failure.outcome == outcome).collect();
        let clients = failures.iter().map(|failure| failure.orig.addr).collect();
        Failing { clients, counts: attempts.counts, failures, others: attempts.counts.established }
    }

    /// Hosts that serve it, where they are known; else its own address.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = Addr> {
        let own = Some(self.server.addr).filter(|_| self.behind.is_empty());
        own.into_iter().chain(self.behind.iter().map(|endpoint| endpoint.addr))
    }

    fn is_encapsulated(&self) -> bool {
        self.attempts.tunnels.iter().any(|tunnel| *tunnel != 0)
    }
}

/// Whether two addresses may be pods of one cluster: the same /16 of IPv4 or /48 of IPv6.
pub(super) fn are_neighbours(a: Addr, b: Addr) -> bool {
    let prefix = if a.is_v4() { 12 + 2 } else { 6 };
    a.0[..prefix] == b.0[..prefix]
}

/// All connections, by the address they were made to.
#[derive(Debug, Default)]
pub(crate) struct Servers {
    pub(crate) kept: Kept,
    /// Attempts that are only counted, because there was no room to keep them.
    counts: HashMap<(Endpoint, Addr), Counts, RandomState>,
    /// Kept TCP connections with their outcomes, where that can be told.
    outcomes: OnceLock<Vec<(u32, Outcome)>>,
    services: OnceLock<Vec<Service>>,
    /// What connections lost at a NAT.
    pub(super) lost: OnceLock<Vec<LostAt>>,
    /// Connections of clients and servers beyond the cap.
    pub(crate) left_out: u64,
}

/// Pairs of client and server that are counted where nothing is kept of their connections: what a table of 32,768 slots,
/// 2.6 MB, takes before it doubles.
const MAX_PAIRS: usize = 28_672;

impl Servers {
    /// Servers whose connections may take `memory` bytes.
    pub(crate) fn new(memory: u64) -> Self {
        Self { kept: Kept::new(memory), ..Self::default() }
    }

    /// Takes a connection in.
    pub(crate) fn add(&mut self, flow: Box<Flow>) {
        let outcome = flow.outcome();
        let failed = flow.proto == TCP && outcome != Outcome::Established;
        if self.kept.has_room(failed) {
            self.kept.push(flow);
        } else if flow.proto == TCP && outcome != Outcome::Unclear {
            self.count(&flow, outcome);
        }
    }

    fn count(&mut self, flow: &Flow, outcome: Outcome) {
        let key = (flow.resp, flow.orig.addr);
        if self.counts.len() >= MAX_PAIRS && !self.counts.contains_key(&key) {
            self.left_out += 1;
            return;
        }
        self.counts.entry(key).or_default().add(outcome);
    }

    /// TCP connections with their outcomes, where that can be told.
    pub(crate) fn outcomes(&self) -> impl Iterator<Item = (u32, &Connection, Outcome)> {
        let connections = self.kept.connections();
        let told = self.outcomes.get_or_init(|| {
            let tcp = (0u32..).zip(connections).filter(|(_, connection)| connection.proto == TCP);
            let outcomes = tcp.map(|(at, connection)| (at, connection.outcome));
            outcomes.filter(|(_, outcome)| *outcome != Outcome::Unclear).collect()
        });
        told.iter().map(move |(at, outcome)| (*at, &connections[*at as usize], *outcome))
    }

    /// Addresses that answered an attempt, be it with a refusal.
    pub(crate) fn alive(&self) -> BTreeSet<Addr> {
        let answers = |outcome: Outcome| outcome.is_granted() || outcome == Outcome::Refused;
        let kept = self.outcomes().filter(|(_, _, outcome)| answers(*outcome));
        let kept = kept.flat_map(|(_, connection, _)| &connection.stages).map(|stage| stage.resp.addr);
        let counted = self.counts.iter().filter(|(_, counts)| counts.granted() + counts.refused > 0);
        kept.chain(counted.map(|((server, _), _)| server.addr)).collect()
    }

    /// Services with failures. What failed connections were sent to before and after DNAT is one service, under the
    /// address that the client used.
    pub(crate) fn services(&self) -> &[Service] {
        self.services.get_or_init(|| self.group())
    }

    fn group(&self) -> Vec<Service> {
        let mut names = Names::default();
        for (_, connection, _) in self.outcomes().filter(|(_, _, outcome)| *outcome != Outcome::Established) {
            names.unite(connection);
        }
        let mut services: BTreeMap<Endpoint, Service> = BTreeMap::new();
        for (at, connection, outcome) in self.outcomes() {
            if let Some(root) = names.root(connection.front().resp) {
                let service = services.entry(root).or_default();
                service.attempts.add(connection, outcome, &self.kept);
                service.connections.push(at);
            }
        }
        for ((server, client), counts) in &self.counts {
            if let Some(root) = names.root(*server) {
                services.entry(root).or_default().attempts.count(*client, counts);
            }
        }
        let mut services: Vec<Service> = names.name(services);
        self.find_siblings(&mut services);
        services
    }

    /// Marks services whose failing clients succeed at a neighbouring address on the same port, inside a tunnel: DNAT
    /// came before, so this may be one of several endpoints behind an address that the capture does not show.
    fn find_siblings(&self, services: &mut [Service]) {
        let ports: BTreeSet<u16> = services.iter().map(|service| service.server.port).collect();
        let mut successes: BTreeMap<(Addr, u16), BTreeSet<Addr>> = BTreeMap::new();
        for (_, connection, _) in self.outcomes().filter(|(_, _, outcome)| *outcome == Outcome::Established) {
            let (client, server) = (connection.front().orig.addr, connection.back().resp);
            if ports.contains(&server.port) {
                successes.entry((client, server.port)).or_default().insert(server.addr);
            }
        }
        let connections = self.kept.connections();
        let dialled = |service: &Service| {
            let own = service.connections.iter().filter_map(|at| connections.get(*at as usize));
            own.into_iter().any(|connection| self.is_dialled(connection))
        };
        for service in services.iter_mut().filter(|service| service.is_encapsulated() && !dialled(service)) {
            let server = service.server;
            let near = |addr: &Addr| *addr != server.addr && are_neighbours(*addr, server.addr);
            let reaches = |client: &Addr| successes.get(&(*client, server.port)).is_some_and(|to| to.iter().any(near));
            let fails = |(_, counts): &(&Addr, &Counts)| counts.granted() == 0 && counts.failed() > 0;
            service.sibling = service.attempts.by_client.iter().filter(fails).any(|(client, _)| reaches(client));
        }
    }

    /// Whether a connection was seen before any router, and so before any DNAT: the client used this address itself. One
    /// that a host makes is translated before it is seen, and nothing lowers its TTL until it is in the tunnel.
    fn is_dialled(&self, connection: &Connection) -> bool {
        let legs = || connection.flows(&self.kept).flat_map(Flow::legs);
        let fresh = |inside: bool| legs().any(|leg| (leg.tunnel != 0) == inside && is_fresh(leg.orig_ttl));
        fresh(false) && !fresh(true)
    }
}

/// Addresses of one service each.
#[derive(Debug, Default)]
struct Names {
    owners: BTreeMap<Endpoint, Endpoint>,
    /// Addresses that connections had behind NAT.
    behind: BTreeSet<Endpoint>,
}

impl Names {
    fn root(&self, server: Endpoint) -> Option<Endpoint> {
        let mut at = server;
        loop {
            let owner = *self.owners.get(&at)?;
            if owner == at {
                return Some(at);
            }
            at = owner;
        }
    }

    /// Notes that these are addresses of one service.
    fn unite(&mut self, connection: &Connection) {
        let front = connection.front().resp;
        for stage in &connection.stages {
            self.owners.entry(stage.resp).or_insert(stage.resp);
            if stage.resp != front {
                self.behind.insert(stage.resp);
            }
            if let (Some(a), Some(b)) = (self.root(front), self.root(stage.resp)) {
                for at in [b, front, stage.resp] {
                    self.owners.insert(at, a);
                }
            }
        }
    }

    /// Names services, which are by their root, by the address that clients use.
    fn name(&self, mut services: BTreeMap<Endpoint, Service>) -> Vec<Service> {
        let mut members: Vec<Endpoint> = self.owners.keys().copied().collect();
        members.sort_by_key(|member| (self.behind.contains(member), *member));
        for member in members {
            let Some(service) = self.root(member).and_then(|root| services.get_mut(&root)) else { continue };
            match service.server {
                none if none == Endpoint::default() => service.server = member,
                _ => service.behind.push(member),
            }
        }
        services.into_values().collect()
    }
}

/// What weakens a judgement where [`Service::sibling`] holds.
pub(crate) const SIBLING: &str = "the same clients reach neighbouring addresses on this port: this may be one dead \
                                  endpoint of a service (SVC002) whose own address the capture does not show";

/// How bad a failure of this many attempts is: one may be a probe before its time, and one of several endpoints costs a
/// share of what clients ask.
pub(crate) fn severity(usual: Severity, attempts: u64, sibling: bool) -> Severity {
    match (sibling, attempts) {
        (true, 0 | 1) => Severity::Info,
        (true, _) | (false, 0 | 1) => Severity::Warning.min(usual),
        _ => usual,
    }
}

#[cfg(test)]
mod tests {
    use super::severity;
    use crate::finding::Severity::{Error, Info, Warning};

    #[test]
    fn one_of_several_endpoints_costs_a_share() {
        assert_eq!([1, 2, 20].map(|attempts| severity(Error, attempts, true)), [Info, Warning, Warning]);
        assert_eq!([1, 2, 20].map(|attempts| severity(Error, attempts, false)), [Warning, Error, Error]);
    }
}
