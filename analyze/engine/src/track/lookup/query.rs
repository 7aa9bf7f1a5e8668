//! What lookups need of a transaction, in little space.

use super::texts::Texts;
use crate::Addr;
use crate::track::FrameId;
use crate::track::dns::Transaction;
use crate::track::dns::transaction::{Answer, Outcome, Soa, Transport, qtype, rcode};
use foldhash::fast::FixedState;
use std::collections::HashMap;

/// What came of a question.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Verdict {
    /// Not asked.
    #[default]
    None,
    /// Records came.
    Found,
    /// The name exists, but has no record of this type.
    NoData,
    /// The name does not exist.
    NxDomain,
    /// The answer was cut short, and nobody asked again over TCP.
    Truncated,
    /// The server did not want to answer.
    Refused,
    /// The server could not answer.
    ServFail,
    /// An ICMP error or a reset came in place of an answer.
    Rejected,
    /// No answer came.
    Timeout,
    /// Nobody can tell: the capture ended before.
    Open,
}

impl Verdict {
    /// Name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Found => "found",
            Self::NoData => "nodata",
            Self::NxDomain => "nxdomain",
            Self::Truncated => "truncated",
            Self::Refused => "refused",
            Self::ServFail => "servfail",
            Self::Rejected => "rejected",
            Self::Timeout => "timeout",
            Self::Open => "open",
        }
    }

    /// Whether the server said that there is nothing under this name: what the walk through a search list is made of.
    pub fn is_absent(self) -> bool {
        matches!(self, Self::NoData | Self::NxDomain)
    }

    /// Whether the resolver may ask the same again.
    pub(crate) fn is_retried(self) -> bool {
        matches!(self, Self::Refused | Self::ServFail | Self::Rejected | Self::Timeout | Self::Open)
    }

    /// Whether the resolver had to wait for its timer.
    pub(crate) fn is_silence(self) -> bool {
        matches!(self, Self::Rejected | Self::Timeout | Self::Open)
    }
}

/// Types of records that belong to one question of an application.
pub(crate) const TYPES: usize = 7;
/// Place of A among them.
pub(crate) const A: usize = 0;
/// Place of AAAA among them.
pub(crate) const AAAA: usize = 1;

/// Place of a type among those an application looks names up for; `None` for what it does not search (PTR, NS, SOA…).
pub(crate) fn place(kind: u16) -> Option<u8> {
    match kind {
        qtype::A => Some(A as u8),
        qtype::AAAA => Some(AAAA as u8),
        qtype::HTTPS => Some(2),
        64 => Some(3),
        33 => Some(4),
        16 => Some(5),
        15 => Some(6),
        _ => None,
    }
}

/// A transaction; addresses and names are numbers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Query {
    pub(crate) unit: u32,
    pub(crate) client: u32,
    pub(crate) server: u32,
    /// Server behind DNAT; 0 where that was not seen.
    pub(crate) backend: u32,
    pub(crate) name: u32,
    /// Owner of the SOA of a negative answer; 0 is none.
    pub(crate) zone: u32,
    /// Seconds that the answer, or the absence, may be kept.
    pub(crate) ttl: u32,
    /// MINIMUM of the SOA: the longest an absence may be kept, seconds.
    pub(crate) most_ttl: u32,
    pub(crate) port: u16,
    pub(crate) id: u16,
    /// See [`place`].
    pub(crate) kind: u8,
    pub(crate) verdict: Verdict,
    pub(crate) attempts: u16,
    /// EDNS size; 0 without EDNS.
    pub(crate) edns: u16,
    /// AD of the question.
    pub(crate) authentic: bool,
    pub(crate) tcp: bool,
    /// Whether the answer is an alias to what the name was made of: the server walked the search list itself.
    pub(crate) autopath: bool,
    pub(crate) first_ns: i64,
    pub(crate) last_ns: i64,
    pub(crate) end_ns: i64,
    pub(crate) frame: FrameId,
    /// Capture point of the first attempt.
    pub(crate) point: u16,
}

/// Addresses by number, 0 being none.
pub(crate) struct Addrs {
    list: Vec<Addr>,
    index: HashMap<Addr, u32, FixedState>,
    /// Numbers asked for last, by the end of the address.
    recent: [u32; RECENT],
}

/// Numbers that are found without a look into the index.
const RECENT: usize = 256;

impl Default for Addrs {
    fn default() -> Self {
        Self { list: vec![Addr::default()], index: HashMap::default(), recent: [0; RECENT] }
    }
}

impl Addrs {
    pub(crate) fn number(&mut self, addr: Addr) -> u32 {
        let [.., a, b] = addr.0;
        let recent = usize::from(a.wrapping_mul(31) ^ b) % RECENT;
        let known = self.recent[recent];
        if known != 0 && self.addr(known) == addr {
            return known;
        }
        self.recent[recent] = self.find(addr);
        self.recent[recent]
    }

    fn find(&mut self, addr: Addr) -> u32 {
        let next = self.list.len() as u32;
        let number = *self.index.entry(addr).or_insert(next);
        if number == next {
            self.list.push(addr);
        }
        number
    }

    pub(crate) fn addr(&self, number: u32) -> Addr {
        self.list.get(number as usize).copied().unwrap_or_default()
    }

    /// How many numbers are given.
    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.list.len() * (size_of::<Addr>() + 2 * size_of::<(Addr, u32)>())
    }
}

impl Query {
    /// What lookups need of it; `None` for what no application's resolver asks.
    pub(crate) fn of(asked: &Transaction, texts: &mut Texts, addrs: &mut Addrs) -> Option<Self> {
        let kind = place(asked.qtype)?;
        let stub = asked.flags.recursion_desired() && asked.flags.opcode() == 0 && asked.qclass == 1;
        if !stub || asked.name_cut || asked.name.as_bytes() == b"." {
            return None;
        }
        let soa = asked.answer.as_ref().and_then(|answer| answer.soa.as_ref());
        let min_ttl = asked.answer.as_ref().and_then(|answer| answer.min_ttl);
        Some(Self {
            unit: asked.unit,
            client: addrs.number(asked.client.addr),
            server: addrs.number(asked.server.addr),
            backend: asked.backend.map_or(0, |backend| addrs.number(backend.addr)),
            name: texts.number_name(&asked.name),
            zone: soa.map_or(0, |soa| texts.number_again(&soa.zone.owner)),
            ttl: soa.map_or(min_ttl.unwrap_or_default(), Soa::negative_ttl),
            most_ttl: soa.map_or(0, |soa| soa.minimum),
            port: asked.client.port,
            id: asked.id,
            kind,
            verdict: verdict(asked),
            attempts: asked.attempt_count.max(1).min(u16::MAX.into()) as u16,
            edns: asked.edns_size.unwrap_or_default(),
            authentic: asked.flags.authentic_data(),
            tcp: asked.transport == Transport::Tcp,
            autopath: asked.answer.as_ref().is_some_and(|answer| is_autopath(asked.name.as_bytes(), answer)),
            first_ns: asked.first_ns,
            last_ns: asked.last_query_ns.max(asked.first_ns),
            end_ns: end(asked),
            frame: asked.first,
            point: asked.legs.first().map_or(0, |leg| leg.point),
        })
    }
}

fn end(asked: &Transaction) -> i64 {
    let answered = asked.answer.as_ref().filter(|_| asked.outcome != Outcome::Lost).map(|answer| answer.ns);
    answered.unwrap_or(asked.last_query_ns).max(asked.first_ns)
}

fn verdict(asked: &Transaction) -> Verdict {
    match (asked.outcome, &asked.answer) {
        (Outcome::Rejected, _) => Verdict::Rejected,
        (Outcome::Unanswered | Outcome::Lost, _) => Verdict::Timeout,
        (Outcome::Answered | Outcome::AnswerOnly, Some(answer)) => answered(asked.qtype, answer),
        _ => Verdict::Open,
    }
}

/// An alias that leads nowhere is no address.
fn answered(kind: u16, answer: &Answer) -> Verdict {
    let wants_address = kind == qtype::A || kind == qtype::AAAA;
    match answer.rcode {
        rcode::NOERROR if answer.flags.truncated() => Verdict::Truncated,
        rcode::NOERROR if answer.ancount == 0 => Verdict::NoData,
        rcode::NOERROR if wants_address && answer.address_count == 0 && !answer.partial => Verdict::NoData,
        rcode::NOERROR => Verdict::Found,
        rcode::NXDOMAIN => Verdict::NxDomain,
        rcode::REFUSED => Verdict::Refused,
        _ => Verdict::ServFail,
    }
}

fn is_autopath(name: &[u8], answer: &Answer) -> bool {
    let walked = |alias: &str| name.strip_prefix(alias.as_bytes()).is_some_and(|rest| rest.starts_with(b"."));
    answer.aliases.first().is_some_and(|alias| walked(alias))
}
