//! Connection attempts by the address they were made to, and how they ended.

use crate::Addr;
use crate::packet::TCP;
use crate::path::{Connection, Kept};
use crate::time::union;
use crate::track::event::{ConnState, Flow, LegSeen, Rejection};
use crate::track::{Endpoint, FrameId};
use std::collections::{BTreeMap, BTreeSet};

/// How one attempt ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
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
    #[default]
    Unclear,
}

impl Outcome {
    /// Whether the attempt did not come about, for a reason that was seen.
    pub(super) fn is_failure(self) -> bool {
        matches!(self, Self::Refused | Self::Rejected | Self::Unanswered)
    }

    /// Whether the server itself accepted it.
    pub(super) fn is_granted(self) -> bool {
        matches!(self, Self::Established | Self::HalfOpen)
    }
}

/// SYNs without answer before silence is called silence: the third comes 2 s (Linux 6.5 and later) or 3 s after the
/// first.
const SILENT_SYNS: u32 = 3;
/// Two SYNs are silence as well where the capture goes on and no third comes: the client gave up. Linux would send it
/// after 1 s (6.5 and later) or 2 s.
const GAVE_UP_NS: i64 = 3_000_000_000;

impl Flow {
    /// How the attempt ended; only for TCP.
    pub(crate) fn outcome(&self) -> Outcome {
        use ConnState::{Oth, Rej, Rsto, Rstos0, Rstr, S0, S1, S2, S3, Sf};
        // No letter of a TCP connection: all segments were cut before their flags.
        let readable = self.proto != TCP || !self.history.as_str().is_empty();
        let spoke = readable && self.from_orig.payload_bytes > 0 && self.from_resp.payload_bytes > 0;
        let unreachable = self.rejection().is_some_and(|rejection| rejection.icmp.is_unreachable());
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

    /// Whether the client gave up on an attempt that nobody answered, though it sent fewer SYNs than usual: its timeout is
    /// short.
    pub(crate) fn gave_up(&self, end_ns: i64) -> bool {
        let silent = self.state == ConnState::S0 && self.from_resp.packets == 0 && self.rejection().is_none();
        let repeated = self.proto == TCP && self.from_orig.syns + 1 >= SILENT_SYNS && !self.evicted;
        silent && repeated && self.last_ns.saturating_add(GAVE_UP_NS) <= end_ns
    }

    /// Whether SYN and SYN-ACK repeat and nothing follows.
    pub(crate) fn is_half_open(&self) -> bool {
        self.state == ConnState::S1 && self.from_orig.packets == self.from_orig.syns && self.from_resp.syns >= 2
    }
}

impl LegSeen {
    /// Whether as many SYN-ACKs as SYNs passed here, and so every SYN was answered, of a connection that is half open.
    pub(super) fn answers_syns(&self) -> bool {
        self.syns > 1 && self.resp_packets >= self.syns.into()
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
    /// Counts an attempt.
    pub(crate) fn add(&mut self, outcome: Outcome) {
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
    pub(super) fn granted(&self) -> u64 {
        self.established + self.half_open
    }

    /// Takes in the counts of other attempts.
    pub(super) fn merge(&mut self, other: &Self) {
        self.established += other.established;
        self.refused += other.refused;
        self.rejected += other.rejected;
        self.unanswered += other.unanswered;
        self.half_open += other.half_open;
    }

    /// Attempts that did not come about.
    pub(crate) fn failed(&self) -> u64 {
        self.refused + self.rejected + self.unanswered
    }
}

/// Attempts to one address and port.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attempts {
    pub(crate) counts: Counts,
    /// The same by client.
    pub(super) by_client: BTreeMap<Addr, Counts>,
    /// Failed attempts, a few.
    pub(super) failures: Vec<Failure>,
    /// Tunnels of failed attempts, a few.
    pub(crate) tunnels: BTreeSet<u32>,
}

/// One failed attempt.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) orig: Endpoint,
    pub(crate) outcome: Outcome,
    pub(crate) syns: u64,
    pub(crate) frames: Vec<FrameId>,
    pub(crate) reset_ttl: Option<u8>,
    pub(crate) rejection: Option<Rejection>,
    /// Whether the client's node had passed it on: it was seen translated or in a tunnel.
    pub(crate) passed_on: bool,
    pub(crate) span_ns: (i64, i64),
}

/// Failed attempts kept as evidence.
const FAILURES: usize = 32;
/// Tunnels kept of failed attempts.
const TUNNELS: usize = 16;

impl Attempts {
    /// Adds a connection.
    pub(super) fn add(&mut self, connection: &Connection, outcome: Outcome, kept: &Kept) {
        let mut counts = Counts::default();
        counts.add(outcome);
        self.count(connection.front().orig.addr, &counts);
        if outcome == Outcome::Established {
            return;
        }
        let tunnels = connection.flows(kept).flat_map(Flow::legs).map(|leg| leg.tunnel);
        self.tunnels.extend(tunnels.take(TUNNELS.saturating_sub(self.tunnels.len())));
        if self.failures.len() < FAILURES {
            self.failures.push(Failure::of(connection, outcome, kept));
        }
    }

    /// Adds a client's counts.
    pub(super) fn count(&mut self, client: Addr, counts: &Counts) {
        self.counts.merge(counts);
        self.by_client.entry(client).or_default().merge(counts);
    }
}

impl Failure {
    fn of(connection: &Connection, outcome: Outcome, kept: &Kept) -> Self {
        let flows = || connection.flows(kept);
        let rejection = rejection(flows()).filter(|_| outcome == Outcome::Rejected);
        let reset = flows().filter_map(Flow::reset).find(|reset| !reset.by_orig);
        let spans = flows().map(|flow| (flow.first_ns, flow.last_ns));
        let encapsulated = || flows().flat_map(Flow::legs).any(|leg| leg.tunnel != 0);
        Self {
            orig: connection.front().orig,
            outcome,
            syns: flows().map(|flow| flow.from_orig.syns.into()).max().unwrap_or_default(),
            frames: flows().flat_map(failed_frames).collect(),
            reset_ttl: reset.map(|reset| reset.ttl),
            rejection,
            passed_on: connection.endpoint().is_some() || encapsulated(),
            span_ns: union(spans).unwrap_or_default(),
        }
    }
}

/// The error about a connection, from where it shows who made it, if that was seen: on its way back NAT puts the address
/// that was asked in place of its sender's.
pub(super) fn rejection<'a>(flows: impl Iterator<Item = &'a Flow>) -> Option<Rejection> {
    let met = flows.filter_map(|flow| Some((flow.rejection()?, flow.resp.addr)));
    met.min_by_key(|(rejection, asked)| rejection.from == *asked).map(|(rejection, _)| rejection)
}

/// What shows that a connection did not come about.
fn failed_frames(flow: &Flow) -> Vec<FrameId> {
    let answers = flow.reset().map(|reset| reset.frame).into_iter().chain(flow.rejection().map(|r| r.frame));
    let frames: Vec<FrameId> = flow.syns.iter().copied().take(3).chain(answers).collect();
    if frames.is_empty() { vec![flow.first] } else { frames }
}
