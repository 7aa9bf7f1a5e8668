//! An open transaction, and which messages are its.

use super::transaction::{ATTEMPTS, Attempt, HeaderFlags, Leg, Outcome, Transaction};
use super::{Seen, answer};
use crate::track::Endpoint;
use crate::track::event::Rejection;
use crate::wire::dns::Name;
use crate::wire::dns::Question;
use smallvec::SmallVec;

/// A transaction that may see more messages.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) told: Transaction,
    name_hash: u64,
    /// Identification of the IP packet of the last attempt.
    ip_id: u16,
    /// When anything of it was seen last.
    pub(super) last_ns: i64,
}

/// How a question belongs to an open transaction; the better fit is the lesser.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Asks {
    /// The packet of the last attempt, seen again.
    SamePacket,
    /// The last attempt at another place, to the same server.
    SameServer,
    /// The last attempt at another place.
    Elsewhere,
    /// The next attempt.
    Again,
}

/// How an answer belongs to an open transaction; the better fit is the lesser.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Fits {
    /// It comes back where the question passed, from whom it was sent to.
    Leg,
    /// From an address asked, to the client.
    Pair,
    /// From an address asked, to the port that asked.
    Server,
    /// To the client, from an address not asked.
    Client,
    /// Addresses fit and the question does not.
    Mismatched,
}

/// Sightings of one packet on one host come within this time, however loaded it is; a client that asks again within it
/// was answered before.
const FOLD_NS: u64 = 200_000_000;
/// The same where nothing tells a copy from another packet.
const ANONYMOUS_NS: u64 = 2_000_000;
/// Later than this, the same question with the same identification and port is another one: the longest wait of a
/// resolver is 5 s (glibc, Go).
const RESEND_NS: i64 = 6_500_000_000;

impl Open {
    pub(super) fn new(seen: &Seen<'_>) -> Self {
        let mut open = Self { told: transaction(seen), name_hash: seen.name_hash, ip_id: 0, last_ns: seen.ns() };
        if !seen.message.is_response() {
            open.ask(seen);
        }
        open
    }

    /// Whether the capture does not tell that the questions differ.
    fn same_question(&self, seen: &Seen<'_>) -> bool {
        let known = self.name_hash != 0 && seen.name_hash != 0;
        let same = || {
            let asked = seen.message.asked();
            asked.is_some_and(|asked| (asked.qtype, asked.qclass) == (self.told.qtype, self.told.qclass))
        };
        self.told.transport == seen.transport
            && self.told.id == seen.message.id
            && (!known || self.name_hash == seen.name_hash && same())
    }

    fn leg(&self, seen: &Seen<'_>) -> Option<&Leg> {
        self.told.legs.iter().find(|leg| (leg.point, leg.tunnel) == (seen.packet.point, seen.packet.tunnel))
    }

    /// Whether this question is one of this transaction's attempts.
    pub(super) fn asks(&self, seen: &Seen<'_>) -> Option<Asks> {
        if !self.same_question(seen) {
            return None;
        }
        let (told, since) = (&self.told, seen.ns().saturating_sub(self.told.last_query_ns));
        if told.attempt_count == 0 {
            return self.fits(seen).is_some_and(|fits| fits < Fits::Client).then_some(Asks::Elsewhere);
        }
        let leg = self.leg(seen);
        if since.unsigned_abs() < FOLD_NS {
            if seen.packet.ip_id != 0 && seen.packet.ip_id == self.ip_id {
                return Some(Asks::SamePacket);
            }
            let anonymous = seen.packet.ip_id == 0 && self.ip_id == 0 && since.unsigned_abs() < ANONYMOUS_NS;
            let further = match leg {
                None => {
                    self.is_related(seen) && (seen.packet.ip_id == 0 || self.ip_id == 0 || !seen.packet.src.is_v4())
                }
                Some(leg) if leg.last_ns < told.last_query_ns => leg.server == seen.server(),
                Some(_) => anonymous && seen.packet.bits.hides_interface(),
            };
            if further {
                let same_server = told.legs.iter().any(|leg| leg.server == seen.server());
                return Some(if same_server { Asks::SameServer } else { Asks::Elsewhere });
            }
        }
        let same = leg.is_some_and(|leg| (leg.client, leg.server) == (seen.client(), seen.server()));
        let waits = leg.is_some_and(|leg| leg.answers < leg.queries);
        (same && waits && since < RESEND_NS).then_some(Asks::Again)
    }

    /// Whether one end of the question is known: NAT changes one at a time, or both but no port.
    fn is_related(&self, seen: &Seen<'_>) -> bool {
        let (client, server) = (seen.client(), seen.server());
        self.told.legs.iter().any(|leg| leg.client.port == client.port || leg.server == server)
    }

    /// Whether this answer is to this transaction.
    pub(super) fn fits(&self, seen: &Seen<'_>) -> Option<Fits> {
        let (client, server) = (seen.client(), seen.server());
        if self.told.transport != seen.transport || self.told.id != seen.message.id {
            return None;
        }
        let legs = &self.told.legs;
        let here = self.leg(seen).is_some_and(|leg| (leg.client, leg.server) == (client, server));
        let from = legs.iter().any(|leg| leg.server == server);
        let to = legs.iter().any(|leg| leg.client == client);
        if !self.same_question(seen) {
            return (from && to).then_some(Fits::Mismatched);
        }
        match (here, from, to) {
            (true, ..) => Some(Fits::Leg),
            (_, true, true) => Some(Fits::Pair),
            (_, true, false) => Some(Fits::Server),
            (_, false, true) if self.name_hash != 0 && seen.name_hash != 0 => Some(Fits::Client),
            _ => None,
        }
    }

    /// Whether an attempt waits for its answer.
    pub(super) fn waits(&self) -> bool {
        self.told.legs.first().is_none_or(|leg| leg.answers < leg.queries)
    }

    /// Takes the next attempt, or the first.
    pub(super) fn ask(&mut self, seen: &Seen<'_>) {
        let told = &mut self.told;
        told.attempt_count = told.attempt_count.saturating_add(1);
        if told.attempts.len() < ATTEMPTS {
            told.attempts.push(Attempt { ns: seen.ns(), frame: seen.frame });
        }
        told.last_query_ns = seen.ns();
        self.ip_id = seen.packet.ip_id;
        self.pass(seen);
    }

    /// Takes a further sighting of the last attempt.
    pub(super) fn pass(&mut self, seen: &Seen<'_>) {
        self.last_ns = self.last_ns.max(seen.ns());
        let last_query_ns = self.told.last_query_ns;
        let leg = self.leg_mut(seen);
        if leg.queries == 0 {
            (leg.ttl, leg.first_ns) = (seen.packet.ttl, seen.ns());
        } else if leg.last_ns >= last_query_ns {
            // At this place the attempt was seen before.
            leg.last_ns = seen.ns();
            return;
        }
        leg.queries = leg.queries.saturating_add(1);
        leg.last_ns = seen.ns();
    }

    /// Takes a question whose answer was seen before it: frames of several interfaces are not quite in order.
    pub(super) fn ask_late(&mut self, seen: &Seen<'_>) {
        let told = &mut self.told;
        (told.first_ns, told.first) = (seen.ns(), seen.frame);
        told.flags = HeaderFlags(seen.message.flags);
        self.ask(seen);
    }

    fn leg_mut(&mut self, seen: &Seen<'_>) -> &mut Leg {
        let legs = &mut self.told.legs;
        let place = (seen.packet.point, seen.packet.tunnel);
        let at = legs.iter().position(|leg| (leg.point, leg.tunnel) == place).unwrap_or_else(|| {
            let (client, server) = (seen.client(), seen.server());
            if legs.len() < LEGS {
                legs.push(Leg { point: place.0, tunnel: place.1, client, server, ..Leg::default() });
            }
            legs.len() - 1
        });
        &mut legs[at]
    }

    /// Takes an answer.
    pub(super) fn answer(&mut self, seen: &Seen<'_>, fits: Fits, zones: &mut answer::Zones) {
        if fits == Fits::Mismatched {
            self.told.mismatched = self.told.mismatched.saturating_add(1);
            return;
        }
        if self.told.answer.is_none() {
            let mut new = answer::answer(seen, zones);
            new.unexpected = (fits == Fits::Client).then(|| seen.server());
            self.told.answer = Some(new);
        }
        self.last_ns = self.last_ns.max(seen.ns());
        let ip_id = seen.packet.ip_id;
        let leg = self.leg_mut(seen);
        let since = seen.ns().saturating_sub(leg.last_answer_ns).unsigned_abs();
        let copy = match ip_id {
            0 => seen.packet.bits.hides_interface() && since < ANONYMOUS_NS,
            id => id == leg.answer_ip_id && since < FOLD_NS,
        };
        if leg.answers == 0 {
            leg.answer = Some(Attempt { ns: seen.ns(), frame: seen.frame });
            leg.answer_ttl = seen.packet.ttl;
        }
        if leg.answers == 0 || !copy {
            leg.answers = leg.answers.saturating_add(1);
        }
        leg.last_answer_ns = seen.ns();
        leg.answer_ip_id = ip_id;
    }

    /// Whether an ICMP error quotes this transaction's question.
    pub(super) fn is_quoted(&self, orig: Endpoint, resp: Endpoint) -> bool {
        self.told.legs.iter().any(|leg| leg.client == orig && leg.server == resp)
    }

    /// Takes an ICMP error about the question.
    pub(super) fn reject(&mut self, rejection: Rejection) {
        match &mut self.told.rejection {
            Some(known) => known.count += 1,
            none => *none = Some(rejection),
        }
    }

    /// Tells what it came to; `end_ns` is when the capture ended, where it did.
    pub(super) fn settle(&mut self, end_ns: Option<i64>, evicted: bool) {
        let told = &mut self.told;
        if told.legs.len() > 1 {
            // The one nearest to the client saw the question with most of its TTL left.
            told.legs.sort_by_key(|leg| std::cmp::Reverse(if leg.queries > 0 { leg.ttl } else { 0 }));
        }
        told.evicted = evicted;
        settle(told, end_ns);
    }
}

/// Legs kept of a transaction; what others see counts for the last.
const LEGS: usize = 16;
/// No resolver waits longer for its first attempt than this (glibc, Go); musl asks again after 2.5 s.
const PATIENCE_NS: i64 = 5_000_000_000;
/// A client that asks again after this time did so because nothing came.
const IMPATIENCE_NS: i64 = 1_000_000_000;
/// Captures end up to this time before what they show last.
const TAIL_NS: i64 = 2_000_000_000;

fn settle(told: &mut Transaction, end_ns: Option<i64>) {
    let Some(near) = told.legs.first().copied() else { return };
    (told.client, told.server) = (near.client, near.server);
    let behind = |leg: &&Leg| leg.queries > 0 && leg.server.addr != near.server.addr;
    told.backend = told.legs.iter().rev().find(behind).map(|leg| leg.server);
    told.answer_count = near.answers.into();
    told.duplicates = told.answer_count.saturating_sub(told.attempt_count.max(1));
    if let (Some(answer), Some(seen)) = (&mut told.answer, near.answer) {
        (answer.ns, answer.frame) = (seen.ns, seen.frame);
    }
    let waited_ns = end_ns.map_or(i64::MAX, |end| end.saturating_sub(told.last_query_ns));
    let asked_again = told.last_query_ns.saturating_sub(told.first_ns) >= IMPATIENCE_NS;
    let gave_up = waited_ns >= PATIENCE_NS || asked_again;
    told.undecided = waited_ns < TAIL_NS && (near.answers == 0 || near.last_answer_ns < told.last_query_ns);
    told.outcome = match (&told.answer, near.answer) {
        (Some(_), _) if told.attempt_count == 0 => Outcome::AnswerOnly,
        (Some(_), Some(_)) => Outcome::Answered,
        (Some(_), None) if gave_up => Outcome::Lost,
        _ if told.rejection.is_some() => Outcome::Rejected,
        (None, _) if !told.evicted && gave_up => Outcome::Unanswered,
        _ => Outcome::Open,
    };
}

fn transaction(seen: &Seen<'_>) -> Transaction {
    let message = &seen.message;
    let (name, qtype, qclass) = match message.question {
        Question::Whole(asked) => (asked.name, asked.qtype, asked.qclass),
        Question::Cut(name) => (name, 0, 0),
        Question::Absent => (&[][..], 0, 0),
    };
    Transaction {
        unit: seen.unit,
        transport: seen.transport,
        client: seen.client(),
        server: seen.server(),
        backend: None,
        id: message.id,
        name: Name::of_question(name),
        name_cut: seen.name_is_cut(),
        qtype,
        qclass,
        flags: HeaderFlags(message.flags & if message.is_response() { ASKED_FOR } else { u16::MAX }),
        edns_size: if message.is_response() { None } else { answer::edns_size(seen) },
        first_ns: seen.ns(),
        first: seen.frame,
        last_query_ns: seen.ns(),
        attempt_count: 0,
        attempts: SmallVec::new(),
        answer_count: 0,
        answer: None,
        rejection: None,
        outcome: Outcome::Open,
        duplicates: 0,
        mismatched: 0,
        legs: SmallVec::new(),
        truncated: None,
        undecided: false,
        seen_before: false,
        evicted: false,
    }
}

/// What an answer repeats of its question: RD and CD.
const ASKED_FOR: u16 = 0x0110;
