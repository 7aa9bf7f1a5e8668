//! What ties transactions together that trackers saw apart: the same one in several units of the inputs, a truncated
//! answer and the question over TCP that follows it, a server on another port and what nobody answered there.

use super::transaction::{Attempt, Outcome, Transport};
use super::{Answering, Transaction};
use crate::Addr;
use crate::track::Endpoint;
use crate::wire::dns::PORT;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Ties of all units, in the order in which transactions are told.
#[derive(Debug, Default)]
pub(crate) struct Ties {
    unit: u32,
    /// The unit that no other follows, once that is known.
    pub(crate) last_unit: Option<u32>,
    /// Transactions of this unit, and of those before, sorted.
    new: Told,
    known: Told,
    /// Points that show answers to questions that they show.
    answering: Answering,
    /// Servers on other ports that answered.
    servers: BTreeSet<Endpoint>,
    truncated: BTreeMap<Question, Attempt>,
    truncated_order: VecDeque<Question>,
    /// Transactions that were not remembered, so that another unit's may count twice.
    pub(crate) left_out: u64,
}

/// Identities and times of transactions.
#[derive(Debug, Default)]
struct Told {
    /// Of those with one attempt, which are nearly all, when that was.
    once: Vec<(u64, i64)>,
    /// Of the others the first and the last attempt.
    again: Vec<(u64, i64, i64)>,
}

impl Told {
    fn len(&self) -> usize {
        self.once.len() + self.again.len()
    }

    fn push(&mut self, identity: u64, first_ns: i64, last_ns: i64) {
        if first_ns == last_ns {
            self.once.push((identity, first_ns));
        } else {
            self.again.push((identity, first_ns, last_ns));
        }
    }

    fn append(&mut self, more: &mut Self) {
        self.once.append(&mut more.once);
        self.again.append(&mut more.again);
        self.once.sort_unstable();
        self.again.sort_unstable();
    }

    /// First and last attempts of this identity, in order of time.
    fn of(&self, identity: u64) -> impl Iterator<Item = (i64, i64)> {
        let from = self.once.partition_point(|known| known.0 < identity);
        let once = self.once[from..].iter().take_while(move |known| known.0 == identity);
        let from = self.again.partition_point(|known| known.0 < identity);
        let again = self.again[from..].iter().take_while(move |known| known.0 == identity);
        let mut once = once.map(|(_, ns)| (*ns, *ns)).peekable();
        let mut again = again.map(|(_, first, last)| (*first, *last)).peekable();
        std::iter::from_fn(move || match (once.peek(), again.peek()) {
            (Some(a), Some(b)) if b < a => again.next(),
            (Some(_), _) => once.next(),
            (None, _) => again.next(),
        })
    }
}

/// What a client repeats over TCP.
type Question = (Addr, u64, u16);

/// Transactions remembered to know them again in another unit; 16 bytes each.
const MAX_KNOWN: usize = 2_000_000;
/// Servers on other ports.
const MAX_SERVERS: usize = 1024;
/// Truncated answers remembered.
const MAX_TRUNCATED: usize = 4096;
/// Clocks of hosts differ by less, and clients do not ask again sooner with the same identification and port.
const SAME_NS: i64 = 2_000_000_000;
/// Transactions of one identity that are looked at: a client that repeats itself has many.
const MOST_SAME: usize = 64;
/// The question over TCP comes as soon as the handshake is done, which may take a few SYNs.
const RETRY_NS: i64 = 30_000_000_000;

impl Ties {
    /// Ties a transaction to those before it; false when nothing says that it is DNS.
    pub(crate) fn admit(&mut self, told: &mut Transaction) -> bool {
        if told.server.port != PORT && told.client.port != PORT && !self.is_server(told) {
            return false;
        }
        if self.unit != told.unit {
            self.unit = told.unit;
            self.known.append(&mut self.new);
        }
        self.see_answers(told);
        self.remember(told);
        match told.transport {
            Transport::Udp => self.truncate(told),
            Transport::Tcp => self.follow(told),
        }
        true
    }

    fn is_server(&mut self, told: &Transaction) -> bool {
        let answered = told.attempt_count > 0 && told.answer.as_ref().is_some_and(|answer| answer.unexpected.is_none());
        if answered && self.servers.len() < MAX_SERVERS {
            self.servers.insert(told.server);
        }
        answered || self.servers.contains(&told.server)
    }

    /// Where answers never pass the place of their questions, one that was seen elsewhere is as good as seen there.
    fn see_answers(&mut self, told: &mut Transaction) {
        self.answering.take(told);
        let near = told.legs.first().map(|leg| leg.point);
        if told.outcome == Outcome::Lost && near.is_none_or(|point| !self.answering.has(point)) {
            told.outcome = Outcome::Answered;
            told.answer_count = told.attempt_count;
        }
    }

    fn remember(&mut self, told: &mut Transaction) {
        // Who asked is not compared here: with the port as well it is the same one.
        let identity = told.identity() ^ u64::from(told.client.port) << 16;
        let (first_ns, last_ns) = (told.first_ns, told.last_query_ns);
        if self.known.len() > 0 {
            told.seen_before = self.known.of(identity).take(MOST_SAME).any(|(first, last)| {
                first_ns.saturating_sub(last) < SAME_NS && first.saturating_sub(last_ns) < SAME_NS
            });
        }
        if self.last_unit == Some(told.unit) {
            // Nothing comes that would have to be known again.
        } else if self.known.len() + self.new.len() < MAX_KNOWN {
            self.new.push(identity, first_ns, last_ns);
        } else {
            self.left_out += 1;
        }
    }

    fn truncate(&mut self, told: &Transaction) {
        let Some(answer) = told.answer.as_ref().filter(|answer| answer.flags.truncated()) else { return };
        let question = question(told);
        if self.truncated.insert(question, Attempt { ns: answer.ns, frame: answer.frame }).is_none() {
            self.truncated_order.push_back(question);
        }
        if self.truncated_order.len() > MAX_TRUNCATED
            && let Some(oldest) = self.truncated_order.pop_front()
        {
            self.truncated.remove(&oldest);
        }
    }

    fn follow(&self, told: &mut Transaction) {
        let before = self.truncated.get(&question(told)).copied();
        told.truncated = before.filter(|before| (0..RETRY_NS).contains(&told.first_ns.saturating_sub(before.ns)));
    }
}

fn question(told: &Transaction) -> Question {
    (told.client.addr, told.name.hash(), told.qtype)
}
