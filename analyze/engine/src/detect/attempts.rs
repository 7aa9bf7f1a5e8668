//! Connection attempts by the address they were made to, and how they ended.

use crate::Addr;
use crate::finding::Severity;
use crate::track::event::{ConnState, Flow};
use crate::track::{Endpoint, FrameId, IcmpCode};
use foldhash::fast::RandomState;
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};

const TCP: u8 = 6;

/// How one attempt ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// The handshake was answered, or the connection was there already and both spoke.
    Established,
    /// Reset instead of a SYN-ACK.
    Refused,
    /// An ICMP error instead of an answer.
    Rejected,
    /// SYNs again and again, and nothing.
    Unanswered,
    /// A SYN-ACK came back, but the handshake never went on.
    HalfOpen,
    /// Too little was seen to tell.
    Unclear,
}

/// SYNs without answer before silence is called silence: the third comes 2 s (Linux 6.5 and later) or 3 s after the
/// first.
const SILENT_SYNS: u64 = 3;

impl Flow {
    /// How the attempt ended; only for TCP.
    pub(crate) fn outcome(&self) -> Outcome {
        use ConnState::{Oth, Rej, Rsto, Rstos0, Rstr, S0, S1, S2, S3, Sf};
        let spoke = self.from_orig.payload_bytes > 0 && self.from_resp.payload_bytes > 0;
        let unreachable = self.rejection.is_some_and(|rejection| rejection.icmp.is_unreachable());
        match self.state {
            S1 if self.is_half_open() => Outcome::HalfOpen,
            S1 | Sf | S2 | S3 | Rsto | Rstr => Outcome::Established,
            Oth if spoke => Outcome::Established,
            Rej => Outcome::Refused,
            S0 | Rstos0 if unreachable => Outcome::Rejected,
            S0 if self.from_orig.syns >= SILENT_SYNS => Outcome::Unanswered,
            _ => Outcome::Unclear,
        }
    }

    /// Whether SYN and SYN-ACK repeat and nothing follows.
    pub(crate) fn is_half_open(&self) -> bool {
        self.state == ConnState::S1 && self.from_orig.packets == self.from_orig.syns && self.from_resp.syns >= 2
    }
}

/// Attempts by outcome.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) established: u64,
    pub(crate) refused: u64,
    pub(crate) rejected: u64,
    pub(crate) unanswered: u64,
    pub(crate) half_open: u64,
}

impl Counts {
    fn add(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Established => self.established += 1,
            Outcome::Refused => self.refused += 1,
            Outcome::Rejected => self.rejected += 1,
            Outcome::Unanswered => self.unanswered += 1,
            Outcome::HalfOpen => self.half_open += 1,
            Outcome::Unclear => {}
        }
    }

    /// Attempts that the server itself answered with a SYN-ACK.
    fn granted(&self) -> u64 {
        self.established + self.half_open
    }

    /// Takes in other counts: of other connections, or of the same ones seen elsewhere, which count once.
    fn merge(&mut self, other: &Self, same: bool) {
        let both = |a: u64, b: u64| if same { a.max(b) } else { a + b };
        *self = Self {
            established: both(self.established, other.established),
            refused: both(self.refused, other.refused),
            rejected: both(self.rejected, other.rejected),
            unanswered: both(self.unanswered, other.unanswered),
            half_open: both(self.half_open, other.half_open),
        };
    }
}

/// Attempts to one address and port.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attempts {
    pub(crate) counts: Counts,
    /// The same by client.
    by_client: BTreeMap<Addr, Counts>,
    /// Failed attempts, a few.
    failures: Vec<Failure>,
    /// Originator and initial sequence number of failed attempts, a few: what DNAT does not change.
    identities: BTreeSet<(Endpoint, u32)>,
    /// Tunnels of failed attempts, a few.
    pub(crate) tunnels: BTreeSet<u32>,
    /// First packet of any failed attempt.
    first_ns: Option<i64>,
}

/// One failed attempt.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    orig: Endpoint,
    isn: Option<u32>,
    pub(crate) outcome: Outcome,
    pub(crate) syns: u64,
    pub(crate) frames: Vec<FrameId>,
    pub(crate) reset_ttl: Option<u8>,
    pub(crate) rejection: Option<(Addr, IcmpCode)>,
    pub(crate) span_ns: (i64, i64),
}

/// Failed attempts kept as evidence.
const FAILURES: usize = 32;
/// Tunnels kept of failed attempts.
const TUNNELS: usize = 16;
/// Identities kept to recognise a connection before and after DNAT.
const IDENTITIES: usize = 256;

impl Attempts {
    fn fail(&mut self, flow: &Flow, outcome: Outcome) {
        self.first_ns = Some(self.first_ns.map_or(flow.first_ns, |first| first.min(flow.first_ns)));
        if let Some(isn) = flow.from_orig.isn
            && self.identities.len() < IDENTITIES
        {
            self.identities.insert((flow.orig, isn));
        }
        self.tunnels.extend(flow.legs().map(|leg| leg.tunnel).take(TUNNELS.saturating_sub(self.tunnels.len())));
        if self.failures.len() < FAILURES {
            self.failures.push(Failure::of(flow, outcome));
        }
    }

    /// Takes in what was seen of the same connections under another address or at another unit of the inputs: each
    /// connection counts once.
    fn merge(&mut self, other: &Self) {
        let same = !self.identities.is_disjoint(&other.identities);
        self.counts.merge(&other.counts, same);
        for (client, counts) in &other.by_client {
            self.by_client.entry(*client).or_default().merge(counts, same);
        }
        self.failures.extend(other.failures.iter().cloned());
        self.identities.extend(other.identities.iter().copied());
        self.tunnels.extend(other.tunnels.iter().copied());
        self.first_ns = self.first_ns.into_iter().chain(other.first_ns).min();
    }
}

impl Failure {
    fn of(flow: &Flow, outcome: Outcome) -> Self {
        let rejection = flow.rejection.filter(|_| outcome == Outcome::Rejected);
        let answers = flow.reset.map(|reset| reset.frame).into_iter().chain(rejection.map(|rejection| rejection.frame));
        let mut frames: Vec<FrameId> = flow.syns.iter().copied().take(3).chain(answers).collect();
        if frames.is_empty() {
            frames.push(flow.first);
        }
        Self {
            orig: flow.orig,
            isn: flow.from_orig.isn,
            outcome,
            syns: flow.from_orig.syns,
            frames,
            reset_ttl: flow.reset.filter(|reset| !reset.by_orig).map(|reset| reset.ttl),
            rejection: rejection.map(|rejection| (rejection.from, rejection.icmp)),
            span_ns: (flow.first_ns, flow.last_ns),
        }
    }
}

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
        spans.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))).unwrap_or_default()
    }

    /// SYNs of the failures kept; those of one connection that was seen in several places count once.
    pub(crate) fn syns(&self) -> u64 {
        let mut syns: BTreeMap<(Endpoint, Option<u32>), u64> = BTreeMap::new();
        for failure in &self.failures {
            let of_connection = syns.entry((failure.orig, failure.isn)).or_default();
            *of_connection = failure.syns.max(*of_connection);
        }
        syns.values().sum()
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
#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub(crate) server: Endpoint,
    pub(crate) behind: Vec<Endpoint>,
    pub(crate) attempts: Attempts,
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
        let failed = |counts: &Counts| counts.refused + counts.rejected + counts.unanswered;
        let fails = |counts: &Counts| counts.granted() == 0 && count(counts) * 2 > failed(counts);
        let (clients, counts, others) = if fails(&attempts.counts) {
            (attempts.by_client.keys().copied().collect(), attempts.counts, 0)
        } else {
            let each = attempts.by_client.iter().filter(|(_, counts)| fails(counts) && count(counts) >= PATTERN);
            let clients: BTreeSet<Addr> = each.clone().map(|(client, _)| *client).collect();
            let mut sum = Counts::default();
            each.for_each(|(_, counts)| sum.merge(counts, false));
            (clients, sum, attempts.counts.established)
        };
        let of_these = |failure: &&Failure| failure.outcome == outcome && clients.contains(&failure.orig.addr);
        let failures: Vec<&Failure> = attempts.failures.iter().filter(of_these).collect();
        (!clients.is_empty() && count(&counts) > 0).then_some(Failing { clients, counts, failures, others })
    }

    fn is_encapsulated(&self) -> bool {
        self.attempts.tunnels.iter().all(|tunnel| *tunnel != 0)
    }
}

/// Whether two addresses may be pods of one cluster: the same /16 of IPv4 or /48 of IPv6.
fn are_neighbours(a: Addr, b: Addr) -> bool {
    let prefix = if a.is_v4() { 12 + 2 } else { 6 };
    a.0[..prefix] == b.0[..prefix]
}

/// All attempts, by server, client and unit; failed ones in more detail.
#[derive(Debug, Default)]
pub(crate) struct Servers {
    counts: HashMap<(Endpoint, Addr, u32), Counts, RandomState>,
    failed: BTreeMap<(Endpoint, u32), Attempts>,
    services: OnceCell<Vec<Service>>,
    /// Connections of clients and servers beyond the cap.
    pub(crate) left_out: u64,
}

/// Pairs of client and server kept.
const MAX_PAIRS: usize = 131_072;
/// Servers with failures kept: a scan makes one of each address.
const MAX_FAILED: usize = 8192;

impl Servers {
    pub(crate) fn add(&mut self, flow: &Flow) {
        let outcome = flow.outcome();
        if flow.proto != TCP || outcome == Outcome::Unclear {
            return;
        }
        let key = (flow.resp, flow.orig.addr, flow.unit);
        if self.counts.len() >= MAX_PAIRS && !self.counts.contains_key(&key) {
            self.left_out += 1;
            return;
        }
        self.counts.entry(key).or_default().add(outcome);
        if outcome != Outcome::Established {
            self.fail(flow, outcome);
        }
    }

    fn fail(&mut self, flow: &Flow, outcome: Outcome) {
        let key = (flow.resp, flow.unit);
        if self.failed.len() >= MAX_FAILED && !self.failed.contains_key(&key) {
            self.left_out += 1;
            return;
        }
        self.failed.entry(key).or_default().fail(flow, outcome);
    }

    /// Addresses that answered an attempt, be it with a refusal.
    pub(crate) fn alive(&self) -> BTreeSet<Addr> {
        let answered = self.counts.iter().filter(|(_, counts)| counts.granted() + counts.refused > 0);
        answered.map(|((server, _, _), _)| server.addr).collect()
    }

    /// Attempts by service, of services with failures. Servers whose failed connections are the same ones (before and
    /// after DNAT, in several files) are put together under the address that was used first, which is the client's.
    pub(crate) fn services(&self) -> &[Service] {
        self.services.get_or_init(|| self.group())
    }

    fn group(&self) -> Vec<Service> {
        let mut servers: BTreeMap<Endpoint, Attempts> = BTreeMap::new();
        for ((server, _), attempts) in self.with_counts() {
            servers.entry(server).or_default().merge(&attempts);
        }
        let mut groups: BTreeMap<usize, Vec<(Endpoint, Attempts)>> = BTreeMap::new();
        let owners = owners(servers.values());
        for (at, server) in servers.into_iter().enumerate() {
            groups.entry(root(&owners, at)).or_default().push(server);
        }
        let mut services: Vec<Service> = groups.into_values().map(Service::of).collect();
        self.find_siblings(&mut services);
        services
    }

    /// The attempts of servers with failures, all of their connections counted.
    fn with_counts(&self) -> BTreeMap<(Endpoint, u32), Attempts> {
        let mut attempts = self.failed.clone();
        let failing: BTreeSet<Endpoint> = self.failed.keys().map(|(server, _)| *server).collect();
        for ((server, client, unit), counts) in &self.counts {
            if failing.contains(server) {
                let of_server = attempts.entry((*server, *unit)).or_default();
                of_server.counts.merge(counts, false);
                of_server.by_client.entry(*client).or_default().merge(counts, false);
            }
        }
        attempts
    }

    /// Marks services whose failing clients succeed at a neighbouring address on the same port, inside a tunnel: DNAT
    /// came before, so this may be one of several endpoints behind an address that the capture does not show.
    fn find_siblings(&self, services: &mut [Service]) {
        let ports: BTreeSet<u16> = services.iter().map(|service| service.server.port).collect();
        let mut successes: BTreeMap<(Addr, u16), Vec<Addr>> = BTreeMap::new();
        for ((server, client, _), counts) in &self.counts {
            if counts.established > 0 && ports.contains(&server.port) {
                successes.entry((*client, server.port)).or_default().push(server.addr);
            }
        }
        for service in services.iter_mut().filter(|service| service.is_encapsulated()) {
            let server = service.server;
            let near = |addr: &Addr| *addr != server.addr && are_neighbours(*addr, server.addr);
            let reaches = |client: &Addr| successes.get(&(*client, server.port)).is_some_and(|to| to.iter().any(near));
            service.sibling = service.attempts.by_client.keys().any(reaches);
        }
    }
}

/// For each server another one with a connection in common, or itself.
fn owners<'a>(servers: impl Iterator<Item = &'a Attempts>) -> Vec<usize> {
    let mut owners = Vec::new();
    let mut seen: BTreeMap<(Endpoint, u32), usize> = BTreeMap::new();
    for (at, attempts) in servers.enumerate() {
        owners.push(at);
        for identity in &attempts.identities {
            let known = *seen.entry(*identity).or_insert(at);
            let (a, b) = (root(&owners, known), root(&owners, at));
            owners[a.max(b)] = a.min(b);
        }
    }
    owners
}

fn root(owners: &[usize], mut at: usize) -> usize {
    while owners[at] != at {
        at = owners[at];
    }
    at
}

impl Service {
    fn of(mut servers: Vec<(Endpoint, Attempts)>) -> Self {
        servers.sort_by_key(|(server, attempts)| (attempts.first_ns, *server));
        let mut servers = servers.into_iter();
        let (server, mut attempts) = servers.next().unwrap_or_default();
        let mut behind = Vec::new();
        for (endpoint, other) in servers {
            attempts.merge(&other);
            behind.push(endpoint);
        }
        Self { server, behind, attempts, sibling: false }
    }
}

/// What weakens a judgement where [`Service::sibling`] holds.
pub(crate) const SIBLING: &str = "the same clients reach neighbouring addresses on this port: this may be one dead \
                                  endpoint of a service (SVC002) whose own address the capture does not show";

/// How bad a failure of this many attempts is: one may be a probe before its time, and one of several endpoints is
/// another finding's matter.
pub(crate) fn severity(usual: Severity, attempts: u64, sibling: bool) -> Severity {
    match (sibling, attempts) {
        (true, _) => Severity::Info,
        (false, 0 | 1) => Severity::Warning.min(usual),
        _ => usual,
    }
}
