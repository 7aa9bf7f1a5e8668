//! What is known of the turns of one server.

use crate::Addr;
use crate::detect::times::Times;
use crate::track::prefetch::prefetch;
use crate::track::{Endpoint, Fate, Resent, Turn};
use crate::wire::app::{Protocol, Traits};
use foldhash::fast::{FixedState, RandomState};
use std::collections::{BTreeSet, HashSet};
use std::hash::BuildHasher as _;
use std::mem::offset_of;

/// A response that takes this long is slow where half of the server's take a tenth of it or less.
pub(crate) const SLOW_NS: i64 = 500_000_000;
/// A response that takes this long is slow.
pub(crate) const VERY_SLOW_NS: i64 = 1_000_000_000;
/// Linux holds an acknowledgement back for 40 to 200 ms (`TCP_DELACK_MIN`, `TCP_DELACK_MAX`).
const DELAYED_ACK_NS: i64 = 200_000_000;

/// Turns of one kind: how many, and a few of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept {
    pub(crate) count: u64,
    pub(crate) turns: Vec<Turn>,
}

/// Turns kept of each kind and server.
const KEPT: usize = 24;

impl Kept {
    fn add(&mut self, turn: &Turn) {
        self.count += 1;
        if self.turns.len() < KEPT {
            self.turns.push(turn.clone());
        }
    }

    /// Takes in other turns, or the same ones as seen elsewhere: each counts once.
    fn merge(&mut self, other: &Self, same: bool) {
        let known: BTreeSet<u64> = self.turns.iter().map(|turn| turn.identity).collect();
        let is_known = |turn: &&Turn| known.contains(&turn.identity);
        let same = same || other.turns.iter().any(|turn| is_known(&turn));
        self.turns.extend(other.turns.iter().filter(|turn| !is_known(turn)).cloned());
        let count = if same { self.count.max(other.count) } else { self.count + other.count };
        self.count = count.max(self.turns.len() as u64);
    }

    /// Who asked.
    pub(crate) fn clients(&self) -> impl Iterator<Item = Addr> {
        self.turns.iter().map(|turn| turn.client.addr)
    }
}

/// What is known of the turns of one server; first what each turn touches.
#[derive(Clone, Debug, Default)]
#[repr(C)]
pub(crate) struct ServerTurns {
    /// Turns.
    pub(crate) turns: u64,
    pub(super) first_ns: i64,
    pub(super) identities: Vec<u64>,
    /// Handshakes of TLS that began.
    pub(crate) hellos: u64,
    /// Connections that are encrypted and may be HTTP/2.
    pub(crate) interleaved: u64,
    /// The first and the last of its answers.
    pub(crate) answers_ns: Option<(i64, i64)>,
    /// The first answer that does not say that there is no server.
    pub(crate) served_ns: Option<i64>,
    /// Times of the server, of turns whose times no loss shaped.
    pub(crate) server: Times,
    /// Times on the network, of the same.
    pub(crate) network: Times,
    /// Requests that it answered at once.
    pub(crate) quick: Quick,
    /// Turns that took the server [`SLOW_NS`] or longer and most of the time with it.
    pub(crate) slow: Kept,
    /// Of these, those that took it [`VERY_SLOW_NS`] or longer.
    pub(crate) very_slow: u64,
    /// Turns whose client gave up after [`SLOW_NS`] or later, the request having been acknowledged.
    pub(crate) gave_up: Kept,
    /// Turns that a gateway answered with its own timeout (HTTP 504).
    pub(crate) gateway: Kept,
    /// Requests that met the server's goodbye.
    pub(crate) races: Kept,
    /// Requests that a server took and dropped.
    pub(crate) dropped: Kept,
    /// Answers that it did not bring to their end.
    pub(crate) broken_off: Kept,
    /// Requests that its host took and that are not answered where the capture ends, nobody having left.
    pub(crate) open: Kept,
    /// Answers that say that there is no server to answer, or none for now.
    pub(crate) unserved: Kept,
    /// Handshakes of TLS that failed.
    pub(crate) tls_failures: Kept,
    /// Some answers with their times, from the first slow one on.
    pub(super) timed: Vec<Timed>,
}

/// How long the server took for an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timed {
    pub(super) client: Endpoint,
    pub(super) server: Endpoint,
    pub(super) identity: u64,
    pub(super) asked_ns: i64,
    pub(super) server_ns: i64,
    /// What it was asked.
    pub(super) mark: u32,
}

/// Times kept of a server that is slow at times.
const TIMED: usize = 96;

/// Requests, by what they say: some of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Quick(Vec<u32>);

impl Quick {
    /// Requests kept.
    const MAX: usize = 32;

    fn mark(turn: &Turn) -> u32 {
        FixedState::default().hash_one(turn.asked.text.as_str()) as u32
    }

    fn add(&mut self, turn: &Turn) {
        if self.0.len() < Self::MAX && !turn.asked.text.is_empty() && !self.knows(turn) {
            self.0.push(Self::mark(turn));
        }
    }

    pub(crate) fn knows(&self, turn: &Turn) -> bool {
        self.0.contains(&Self::mark(turn))
    }
}

/// Turns of a server that are all timed; of further ones every eighth is, which changes no quantile that is shown.
const ALL: u64 = 1024;
/// Identities kept to recognise turns before and after translation and in other files.
const IDENTITIES: usize = 128;
/// Requests this short may be a goodbye in a protocol that is not known: TLS's takes 31 bytes with its header.
const GOODBYE_BYTES: u32 = 40;

impl ServerTurns {
    /// Bytes that each turn touches.
    pub(super) const TOUCHED: usize = offset_of!(Self, very_slow);

    /// Asks for what the next turn touches outside of them.
    pub(super) fn prefetch(&self) {
        self.identities.last().filter(|_| self.identities.len() < IDENTITIES).inspect(|last| prefetch(*last));
        self.quick.0.first().filter(|_| self.quick.0.len() < Quick::MAX).inspect(|first| prefetch(*first));
    }

    pub(super) fn add(&mut self, turn: &Turn) {
        self.turns += 1;
        self.first_ns = if self.turns == 1 { turn.asked_ns } else { self.first_ns.min(turn.asked_ns) };
        if self.identities.len() < IDENTITIES {
            self.identities.push(turn.identity);
        }
        let hello = turn.asked.traits.has(Traits::HELLO);
        self.hellos += u64::from(hello);
        self.interleaved += u64::from(turn.interleaves && turn.number == 1);
        if turn.tls_failure().is_some() {
            self.tls_failures.add(turn);
            return;
        }
        self.answered(turn);
        if turn.is_unserved() {
            self.unserved.add(turn);
            return;
        }
        match turn.fate {
            Fate::GoesOn if turn.is_open() => self.open.add(turn),
            Fate::GaveUp if turn.waited_in_vain() => self.gave_up.add(turn),
            Fate::GaveUp => {}
            Fate::Crossed | Fate::Stale if turn.is_request() => self.races.add(turn),
            Fate::Dropped => self.dropped.add(turn),
            Fate::BrokenOff => {
                self.broken_off.add(turn);
                self.time(turn);
            }
            _ => self.time(turn),
        }
    }

    fn answered(&mut self, turn: &Turn) {
        let Some(ns) = turn.answered_ns else { return };
        self.answers_ns = Some(self.answers_ns.map_or((ns, ns), |(first, last)| (first.min(ns), last.max(ns))));
        if !turn.is_unserved() {
            self.served_ns = Some(self.served_ns.map_or(ns, |first| first.min(ns)));
        }
    }

    fn time(&mut self, turn: &Turn) {
        let (Some(server_ns), Some(network_ns)) = (turn.server_ns(), turn.network_ns()) else { return };
        if turn.resent == Resent::Before || turn.asked.traits.has(Traits::WAITS) {
            return;
        }
        if self.server.total() < ALL || turn.identity.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 61 == 0 {
            self.server.add(server_ns);
            self.network.add(network_ns);
        }
        if server_ns <= SLOW_NS / 10 {
            self.quick.add(turn);
        }
        if server_ns >= SLOW_NS && turn.is_understood() && turn.is_of_server(server_ns) {
            self.slow.add(turn);
            self.very_slow += u64::from(server_ns >= VERY_SLOW_NS);
            if turn.answered.status == Some(GATEWAY_TIMEOUT) {
                self.gateway.add(turn);
            }
        }
        if self.slow.count > 0 && self.timed.len() < TIMED && turn.is_understood() {
            let Turn { client, server, identity, asked_ns, .. } = *turn;
            self.timed.push(Timed { client, server, identity, asked_ns, server_ns, mark: Quick::mark(turn) });
        }
    }

    /// Turns in which something went wrong, a few of each kind.
    pub(crate) fn troubled(&self) -> impl Iterator<Item = &Turn> {
        let lost = [&self.races, &self.dropped, &self.broken_off, &self.tls_failures, &self.unserved];
        let kinds = [&self.slow, &self.gave_up].into_iter().chain(lost);
        kinds.flat_map(|kind| &kind.turns)
    }

    /// Whether anything went wrong.
    pub(crate) fn is_troubled(&self) -> bool {
        self.troubled().next().is_some()
    }

    /// Takes in another view: of the same turns, which count once, or of others. Times are those of the view that has
    /// most of them.
    pub(super) fn merge(&mut self, other: &Self) {
        let known: HashSet<u64, RandomState> = self.identities.iter().copied().collect();
        let same = other.identities.iter().any(|identity| known.contains(identity));
        if other.server.total() > self.server.total() {
            (self.server, self.network) = (other.server.clone(), other.network.clone());
        }
        let both = |a: u64, b: u64| if same { a.max(b) } else { a + b };
        self.turns = both(self.turns, other.turns);
        self.hellos = both(self.hellos, other.hellos);
        self.interleaved = both(self.interleaved, other.interleaved);
        self.very_slow = both(self.very_slow, other.very_slow);
        let kinds = [
            (&mut self.slow, &other.slow),
            (&mut self.gave_up, &other.gave_up),
            (&mut self.gateway, &other.gateway),
            (&mut self.races, &other.races),
            (&mut self.dropped, &other.dropped),
            (&mut self.broken_off, &other.broken_off),
            (&mut self.open, &other.open),
            (&mut self.tls_failures, &other.tls_failures),
            (&mut self.unserved, &other.unserved),
        ];
        for (own, other) in kinds {
            own.merge(other, same);
        }
        self.identities.extend(&other.identities);
        self.quick.0.extend(&other.quick.0);
        self.timed.extend(&other.timed);
        let spans = self.answers_ns.into_iter().chain(other.answers_ns);
        self.served_ns = self.served_ns.into_iter().chain(other.served_ns).min();
        self.answers_ns = spans.reduce(|own, other| (own.0.min(other.0), own.1.max(other.1)));
    }
}

/// RFC 9110 15.6.3, 15.6.4 and 15.6.5.
pub(crate) const BAD_GATEWAY: u16 = 502;
const UNAVAILABLE: u16 = 503;
const GATEWAY_TIMEOUT: u16 = 504;
/// The same word of gRPC.
const GRPC_UNAVAILABLE: u16 = 14;

impl Turn {
    /// Whether it is a request that is answered before the next, so that a late answer is a slow one; one that could not be
    /// read may be any, such as a blocking read. Of what is encrypted that is known where HTTP/2 was not offered; the first
    /// turn is the handshake's.
    fn is_understood(&self) -> bool {
        let readable = self.protocol == Protocol::Tls && !self.interleaves && self.number > 2;
        readable || self.protocol.is_timed() && !self.asked.text.is_empty()
    }

    /// Whether the answer says that there is no server to answer it, or none for now.
    pub(crate) fn is_unserved(&self) -> bool {
        match self.protocol {
            // Late it may be said in place of a deadline that is over.
            Protocol::Grpc if self.answered.status == Some(GRPC_UNAVAILABLE) => self.server_ns() < Some(SLOW_NS),
            Protocol::Http1 | Protocol::Http2 | Protocol::Grpc => {
                matches!(self.answered.status, Some(BAD_GATEWAY | UNAVAILABLE))
            }
            _ => false,
        }
    }

    /// Whether the server took at least 70 % of the turn's time.
    fn is_of_server(&self, server_ns: i64) -> bool {
        self.total_ns().is_some_and(|total| server_ns.saturating_mul(10) >= total.saturating_mul(7))
    }

    /// How long the client waited before it gave up.
    pub(crate) fn waited_ns(&self) -> Option<i64> {
        Some(self.client_goodbye?.ns.saturating_sub(self.request_end_ns))
    }

    /// Whether the client gave up after a while although the server's host had taken the request at once.
    fn waited_in_vain(&self) -> bool {
        self.was_taken() && self.waited_ns() >= Some(SLOW_NS)
    }

    /// Whether the server's host took the request at once, and the server may answer it at once.
    fn was_taken(&self) -> bool {
        let acked = self.acked_ns.map(|ns| ns.saturating_sub(self.request_end_ns));
        let prompt = acked.is_some_and(|ns| ns <= self.rtt_ns.unwrap_or_default().max(0) * 2 + DELAYED_ACK_NS);
        let waits = self.asked.traits.has(Traits::WAITS);
        let unfinished = self.asked.promised.is_some_and(|bytes| self.request_bytes < bytes);
        prompt && !waits && !unfinished && self.resent != Resent::Before && self.is_understood()
    }

    /// Whether all of the request was sent, as far as can be told.
    pub(crate) fn is_whole(&self) -> bool {
        self.protocol != Protocol::Http1 || self.asked.promised.is_some_and(|bytes| self.request_bytes >= bytes)
    }

    /// Whether it is a request that the server has in its hands, and both sides are still there.
    fn is_open(&self) -> bool {
        let nobody_left = self.client_goodbye.or(self.server_goodbye).is_none();
        self.answered_ns.is_none() && nobody_left && self.was_taken() && self.is_whole()
    }

    /// Whether it is a request and no goodbye.
    fn is_request(&self) -> bool {
        if self.asked.traits.has(Traits::GOODBYE) || self.protocol == Protocol::Tls && self.interleaves {
            return false;
        }
        self.is_understood() || self.fate != Fate::Stale && self.request_bytes > GOODBYE_BYTES
    }
}
