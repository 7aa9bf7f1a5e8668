//! What ties transactions together that trackers saw apart: the same one in several units of the inputs, a truncated
//! answer and the question over TCP that follows it, a server on another port and what nobody answered there.

use super::Transaction;
use super::transaction::{Attempt, Outcome, Transport};
use crate::Addr;
use crate::track::Endpoint;
use crate::wire::dns::{PORT, name_hash};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Ties of all units, in the order in which transactions are told.
#[derive(Debug, Default)]
pub(crate) struct Ties {
    unit: u32,
    /// Identities, first and last attempts of this unit, and of those before, sorted.
    new: Vec<(u64, i64, i64)>,
    known: Vec<(u64, i64, i64)>,
    /// Points that show answers to questions that they show.
    answering: BTreeSet<u16>,
    /// Servers on other ports that answered.
    servers: BTreeSet<Endpoint>,
    truncated: BTreeMap<Question, Attempt>,
    truncated_order: VecDeque<Question>,
    /// Transactions that were not remembered, so that another unit's may count twice.
    pub(crate) left_out: u64,
}

/// What a client repeats over TCP.
type Question = (Addr, u64, u16);

/// Transactions remembered to know them again in another unit; 24 bytes each.
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
            self.known.sort_unstable();
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
        let both = told.legs.iter().filter(|leg| leg.queries > 0 && leg.answers > 0);
        self.answering.extend(both.map(|leg| leg.point));
        let near = told.legs.first().map(|leg| leg.point);
        if told.outcome == Outcome::Lost && near.is_none_or(|point| !self.answering.contains(&point)) {
            told.outcome = Outcome::Answered;
            told.answer_count = told.attempt_count;
        }
    }

    fn remember(&mut self, told: &mut Transaction) {
        let identity = told.identity();
        let from = self.known.partition_point(|known| *known < (identity, i64::MIN, i64::MIN));
        let same = self.known[from..].iter().take_while(|known| known.0 == identity).take(MOST_SAME);
        let (first_ns, last_ns) = (told.first_ns, told.last_query_ns);
        told.seen_before = same.into_iter().any(|&(_, first, last)| {
            first_ns.saturating_sub(last) < SAME_NS && first.saturating_sub(last_ns) < SAME_NS
        });
        if self.known.len() + self.new.len() < MAX_KNOWN {
            self.new.push((identity, first_ns, last_ns));
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
    (told.client.addr, name_hash(told.name.as_bytes()), told.qtype)
}
