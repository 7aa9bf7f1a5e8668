//! Connection attempts by the address they were made to, and how they ended.

use crate::finding::Severity;
use crate::track::event::{ConnState, Flow, Rejection};
use crate::track::{Endpoint, FrameId};
use std::collections::{BTreeMap, BTreeSet};

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
            Sf | S2 | S3 | Rsto | Rstr => Outcome::Established,
            S1 if self.is_half_open() => Outcome::HalfOpen,
            S1 => Outcome::Established,
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

/// Attempts to one address and port.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attempts {
    pub(crate) established: u64,
    pub(crate) refused: u64,
    pub(crate) rejected: u64,
    pub(crate) unanswered: u64,
    pub(crate) half_open: u64,
    /// Clients of failed attempts, a few.
    pub(crate) clients: BTreeSet<crate::Addr>,
    /// Failed attempts, a few.
    pub(crate) failures: Vec<Failure>,
    /// Originator and initial sequence number of attempts, a few: what DNAT does not change.
    pub(crate) identities: BTreeSet<(Endpoint, u32)>,
    /// Rejections by sender, type and code.
    pub(crate) rejections: BTreeMap<(crate::Addr, crate::track::IcmpCode), u64>,
    /// TTL of the answers that established a connection, a few.
    pub(crate) answer_ttls: BTreeSet<u8>,
    /// Tunnels and points of failed attempts, a few.
    pub(crate) tunnels: BTreeSet<u32>,
    pub(crate) points: BTreeSet<u16>,
    /// First to last packet of failed attempts.
    pub(crate) span_ns: Option<(i64, i64)>,
    /// First packet of any attempt.
    first_ns: Option<i64>,
}

/// One failed attempt.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) syns: u64,
    pub(crate) frames: Vec<FrameId>,
    pub(crate) reset_ttl: Option<u8>,
}

/// A few of whatever is kept as evidence.
const FEW: usize = 16;
/// Identities kept to recognise a connection before and after DNAT.
const IDENTITIES: usize = 256;

impl Attempts {
    /// Adds a TCP connection.
    pub(crate) fn add(&mut self, flow: &Flow) {
        let outcome = flow.outcome();
        let counter = match outcome {
            Outcome::Established => &mut self.established,
            Outcome::Refused => &mut self.refused,
            Outcome::Rejected => &mut self.rejected,
            Outcome::Unanswered => &mut self.unanswered,
            Outcome::HalfOpen => &mut self.half_open,
            Outcome::Unclear => return,
        };
        *counter += 1;
        self.first_ns = Some(self.first_ns.map_or(flow.first_ns, |first| first.min(flow.first_ns)));
        if let Some(isn) = flow.from_orig.isn
            && self.identities.len() < IDENTITIES
        {
            self.identities.insert((flow.orig, isn));
        }
        if outcome == Outcome::Established {
            self.answer(flow);
        } else {
            self.fail(flow, outcome);
        }
    }

    fn answer(&mut self, flow: &Flow) {
        if let Some(ttl) = flow.from_resp.ttl
            && self.answer_ttls.len() < FEW
        {
            self.answer_ttls.insert(ttl);
        }
    }

    fn fail(&mut self, flow: &Flow, outcome: Outcome) {
        let (first, last) = self.span_ns.unwrap_or((flow.first_ns, flow.last_ns));
        self.span_ns = Some((first.min(flow.first_ns), last.max(flow.last_ns)));
        if self.clients.len() < FEW {
            self.clients.insert(flow.orig.addr);
        }
        for leg in flow.legs.iter().take(FEW.saturating_sub(self.tunnels.len())) {
            self.tunnels.insert(leg.tunnel);
            self.points.insert(leg.point);
        }
        let rejection = flow.rejection.filter(|_| outcome == Outcome::Rejected);
        if let Some(rejection) = rejection
            && self.rejections.len() < FEW
        {
            *self.rejections.entry((rejection.from, rejection.icmp)).or_default() += 1;
        }
        if self.failures.len() < FEW {
            self.failures.push(Failure::of(flow, rejection));
        }
    }

    /// Attempts that failed, of any kind.
    pub(crate) fn failed(&self) -> u64 {
        self.refused + self.rejected + self.unanswered + self.half_open
    }

    /// Takes in what was seen of the same connections under another address or at another unit of the inputs: each
    /// connection counts once.
    pub(crate) fn merge(&mut self, other: &Self) {
        let same = !self.identities.is_disjoint(&other.identities);
        for (mine, theirs) in [
            (&mut self.established, other.established),
            (&mut self.refused, other.refused),
            (&mut self.rejected, other.rejected),
            (&mut self.unanswered, other.unanswered),
            (&mut self.half_open, other.half_open),
        ] {
            *mine = if same { (*mine).max(theirs) } else { *mine + theirs };
        }
        self.clients.extend(other.clients.iter().copied());
        self.failures.extend(other.failures.iter().cloned());
        self.identities.extend(other.identities.iter().copied());
        self.answer_ttls.extend(other.answer_ttls.iter().copied());
        self.tunnels.extend(other.tunnels.iter().copied());
        self.points.extend(other.points.iter().copied());
        for (key, count) in &other.rejections {
            let mine = self.rejections.entry(*key).or_default();
            *mine = if same { (*mine).max(*count) } else { *mine + count };
        }
        self.first_ns = self.first_ns.into_iter().chain(other.first_ns).min();
        self.span_ns = match (self.span_ns, other.span_ns) {
            (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
            (a, b) => a.or(b),
        };
    }
}

impl Failure {
    fn of(flow: &Flow, rejection: Option<Rejection>) -> Self {
        let answers = flow.reset.map(|reset| reset.frame).into_iter().chain(rejection.map(|rejection| rejection.frame));
        let mut frames: Vec<FrameId> = flow.syns.iter().copied().take(3).chain(answers).collect();
        if frames.is_empty() {
            frames.push(flow.first);
        }
        Self {
            syns: flow.from_orig.syns,
            frames,
            reset_ttl: flow.reset.filter(|reset| !reset.by_orig).map(|reset| reset.ttl),
        }
    }
}

/// A service as the client addressed it, and the addresses behind it that the same connections went to.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub(crate) server: Endpoint,
    pub(crate) behind: Vec<Endpoint>,
    pub(crate) attempts: Attempts,
}

/// All attempts, by unit and server.
#[derive(Debug, Default)]
pub(crate) struct Servers {
    by_unit: BTreeMap<(Endpoint, u32), Attempts>,
    /// Connections to servers beyond the cap.
    pub(crate) left_out: u64,
}

/// Servers kept.
const MAX_SERVERS: usize = 65_536;

impl Servers {
    pub(crate) fn add(&mut self, flow: &Flow) {
        if flow.proto != TCP {
            return;
        }
        let key = (flow.resp, flow.unit);
        if self.by_unit.len() >= MAX_SERVERS && !self.by_unit.contains_key(&key) {
            self.left_out += 1;
            return;
        }
        self.by_unit.entry(key).or_default().add(flow);
    }

    /// Attempts by service. Servers whose connections are the same ones (before and after DNAT, in several files) are
    /// put together under the address that was used first, which is the client's.
    pub(crate) fn services(&self) -> Vec<Service> {
        let mut servers: BTreeMap<Endpoint, Attempts> = BTreeMap::new();
        for ((server, _), attempts) in &self.by_unit {
            servers.entry(*server).or_default().merge(attempts);
        }
        let mut groups: BTreeMap<usize, Vec<(Endpoint, Attempts)>> = BTreeMap::new();
        let owners = owners(servers.values());
        for (at, server) in servers.into_iter().enumerate() {
            groups.entry(root(&owners, at)).or_default().push(server);
        }
        groups.into_values().map(Service::of).collect()
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
        Self { server, behind, attempts }
    }
}

/// How bad a failure of this many attempts is: one may be a probe before its time.
pub(crate) fn severity(usual: Severity, attempts: u64) -> Severity {
    if attempts >= 2 { usual } else { Severity::Warning.min(usual) }
}
