//! What detectors of DNS judge: every query in short, those in trouble with their frames, who else talks.

mod asked_again;
pub(super) mod blocked;
mod cases;
mod cite;
pub(super) mod conntrack_race;
pub(super) mod family;
mod forwarded;
mod heeded;
mod lookups;
pub(super) mod loss;
mod merge;
mod others;
mod over_tcp;
pub(super) mod rate_limited;
mod rcodes;
pub(super) mod refused;
pub(super) mod server_down;
pub(super) mod servfail;
pub(super) mod slow;
pub(super) mod stale_backend;
pub(super) mod tcp_blocked;
pub(super) mod truncation;
pub(super) mod upstream;

use crate::Addr;
use crate::detect::world::World;
use crate::packet::TCP;
use crate::track::MaybeNs;
use crate::track::dns::transaction::{Outcome, Transport, rcode};
use crate::track::dns::{Answering, Transaction};
use crate::track::event::{Flow, Rejection};
use crate::track::{Endpoint, FrameId};
use crate::wire::dns::PORT;
use cases::{Cases, OfServer};
use foldhash::fast::RandomState;
use others::{Elsewhere, Halves};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::OnceLock;

/// A transaction in short.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "they are independent of each other")]
pub(crate) struct Query {
    /// The same in every unit that saw it.
    pub(super) identity: u64,
    pub(super) unit: u32,
    pub(super) client: Endpoint,
    pub(super) server: Endpoint,
    pub(super) backend: Option<Addr>,
    /// Number of the name.
    pub(super) name: u64,
    pub(super) qtype: u16,
    pub(super) tcp: bool,
    pub(super) first_ns: i64,
    pub(super) last_ns: i64,
    /// First attempt to answer, and last attempt before the answer to the answer.
    pub(super) rtt_ns: MaybeNs,
    pub(super) last_rtt_ns: MaybeNs,
    pub(super) attempts: u32,
    pub(super) answers: u32,
    /// Attempts that the client waited for in vain.
    pub(super) unanswered: u32,
    pub(super) outcome: Outcome,
    pub(super) rcode: Option<u16>,
    pub(super) truncated: bool,
    /// A question over TCP that follows a truncated answer.
    pub(super) follows: bool,
    pub(super) rejected: bool,
    /// Whether the answer comes from who was not asked.
    astray: bool,
    /// TTL of the question where it was seen nearest to the client.
    pub(super) ttl: u8,
    pub(super) point: u16,
    /// Fewest attempts and most answers that any place saw.
    pub(super) least_attempts: u32,
    pub(super) most_answers: u32,
    /// A tunnel that it passed; 0 is none.
    pub(super) tunnel: u32,
    /// Whether it was seen behind a router, or in a tunnel: it left the client's host, or its bridge at least.
    pub(super) forwarded: bool,
    /// Its first attempt.
    pub(super) frame: Option<FrameId>,
    /// Where the name and the frames are (see [`Dns::story`]).
    story: u32,
    seen_before: bool,
}

/// What is kept of a query in trouble, for its finding to tell.
#[derive(Clone, Debug)]
pub(crate) struct Story {
    pub(super) name: Box<str>,
    pub(super) frames: Vec<FrameId>,
    pub(super) rejection: Option<Rejection>,
    /// Who answered without being asked.
    pub(super) stranger: Option<Endpoint>,
}

/// Counts by client and server.
type Folded = HashMap<(Addr, Endpoint), u64, RandomState>;

/// Facts about DNS.
#[derive(Debug, Default)]
pub(crate) struct Dns {
    queries: Vec<Query>,
    /// Queries kept one by one; without trouble they are folded beyond that.
    most: usize,
    /// Whether folding makes no more room.
    is_full: bool,
    stories: Vec<Story>,
    pub(super) elsewhere: HashMap<Addr, Elsewhere, RandomState>,
    /// Ports of clients about whose questions an ICMP error came, be its quote too short to tell which.
    rejected: BTreeSet<Endpoint>,
    /// Clients of questions whose names the capture cut off.
    pub(in crate::detect) cut: BTreeSet<Addr>,
    /// Points at which both a question and its answer were seen.
    answering: Answering,
    halves: Halves,
    /// Answered queries that are not kept one by one any more, by client, server.
    pub(super) folded: Folded,
    /// Transactions, those that were answered and those that failed; what several units saw counts once.
    pub(crate) seen: u64,
    pub(crate) answered: u64,
    pub(crate) silent: u64,
    one_port: OnceLock<BTreeSet<Addr>>,
    servers: OnceLock<HashMap<Endpoint, OfServer, RandomState>>,
    /// What detectors found, for those behind them.
    cases: Cases,
    pub(crate) left_out: u64,
}

const MAX_STORIES: usize = 32_768;
/// Clients and pairs kept.
const MAX_PAIRS: usize = 32_768;
/// Queries that there is room for from the first on: address space that takes memory as it is used, where a vector that
/// grows is copied, and takes twice as much meanwhile.
const ROOM: usize = 1 << 18;
/// Frames kept of a query.
const FRAMES: usize = 6;
/// No story is kept.
const NONE: u32 = u32::MAX;
/// Answers as slow as this are worth a story.
const SLOW_NS: i64 = 250_000_000;

impl Dns {
    /// Facts of which queries may take `memory` bytes.
    pub(crate) fn new(memory: u64) -> Self {
        Self { most: usize::try_from(memory).unwrap_or(usize::MAX) / size_of::<Query>(), ..Self::default() }
    }

    /// Takes a transaction.
    pub(crate) fn add(&mut self, told: &Transaction) {
        self.answering.take(told);
        if !told.seen_before {
            self.seen += 1;
            self.answered += u64::from(told.outcome == Outcome::Answered);
            self.silent += u64::from(matches!(told.outcome, Outcome::Unanswered | Outcome::Lost | Outcome::Rejected));
        }
        if told.attempt_count == 0 {
            self.halves.add(told.unit);
            return;
        }
        if told.name_cut && self.cut.len() < MAX_PAIRS {
            self.cut.insert(told.client.addr);
        }
        let mut query = Query::of(told);
        if self.queries.len() >= self.most && !self.is_full {
            self.fold();
            self.is_full = self.queries.len() > self.most / 8 * 7;
        }
        if self.is_full {
            self.count(&query);
            return;
        }
        if query.is_telling() {
            query.story = self.tell(told);
        }
        if self.queries.capacity() == 0 {
            self.queries.reserve_exact(self.most.min(ROOM));
        }
        self.queries.push(query);
    }

    /// Takes a query for which there is no room.
    fn count(&mut self, query: &Query) {
        if query.is_telling() || !count_fine(&mut self.folded, query) {
            self.left_out += 1;
        }
    }

    fn tell(&mut self, told: &Transaction) -> u32 {
        if self.stories.len() >= MAX_STORIES {
            self.left_out += 1;
            return NONE;
        }
        let answer = told.answer.as_ref().map(|answer| answer.frame);
        let icmp = told.rejection.map(|rejection| rejection.frame);
        let attempts = told.attempts.iter().map(|attempt| attempt.frame);
        self.stories.push(Story {
            name: (*told.name).into(),
            frames: attempts.chain(answer).chain(icmp).take(FRAMES).collect(),
            rejection: told.rejection,
            stranger: told.answer.as_ref().and_then(|answer| answer.unexpected),
        });
        (self.stories.len() - 1) as u32
    }

    /// Counts what is without trouble, and keeps only what asked from the same ports as what has some.
    fn fold(&mut self) {
        let troubled: HashSet<Endpoint, RandomState> =
            self.queries.iter().filter(|q| q.is_telling()).map(|q| q.client).collect();
        let (folded, left_out) = (&mut self.folded, &mut self.left_out);
        self.queries.retain(|query| {
            let keep = troubled.contains(&query.client);
            *left_out += u64::from(!keep && !count_fine(folded, query));
            keep
        });
    }

    /// Takes a connection.
    pub(crate) fn flow(&mut self, flow: &Flow) {
        self.halves.flow(flow);
        if flow.resp.port == PORT {
            // One about an answer says that its client has given up.
            let unreachable = flow.rejection().is_some_and(|error| error.of_orig && error.icmp.is_unreachable());
            if flow.proto != TCP && unreachable && self.rejected.len() < MAX_PAIRS {
                self.rejected.insert(flow.orig);
            }
        } else if self.elsewhere.len() < MAX_PAIRS || self.elsewhere.contains_key(&flow.orig.addr) {
            self.elsewhere.entry(flow.orig.addr).or_default().add(flow);
        }
    }

    /// Puts together what several units saw, once all are read.
    pub(crate) fn settle(&mut self) {
        self.queries = merge::merged(std::mem::take(&mut self.queries));
        let rejected = &self.rejected;
        for query in self.queries.iter_mut().filter(|query| query.is_silent() && rejected.contains(&query.client)) {
            (query.rejected, query.outcome) = (true, Outcome::Rejected);
        }
    }

    /// All queries, each once whatever saw it: as its client saw it, with what others saw further on.
    pub(super) fn queries(&self) -> &[Query] {
        &self.queries
    }

    /// Queries of each client, in order of time.
    pub(super) fn clients(&self) -> impl Iterator<Item = &[Query]> {
        self.queries.chunk_by(|a, b| a.client.addr == b.client.addr)
    }

    /// Counts of the queries to a server.
    fn of_server(&self, server: Endpoint) -> OfServer {
        let servers = self.servers.get_or_init(|| {
            let mut servers: HashMap<Endpoint, OfServer, RandomState> = HashMap::default();
            self.queries.iter().for_each(|query| servers.entry(query.server).or_default().add(query));
            servers
        });
        servers.get(&server).copied().unwrap_or_default()
    }

    /// Answered queries to a server that are not kept one by one any more.
    pub(super) fn folded_of(&self, server: Endpoint) -> u64 {
        self.folded.iter().filter(|((_, of), _)| *of == server).map(|(_, count)| count).sum()
    }

    /// Whether no answer of a server is known, to this client at least where those to others are not kept.
    fn answers_nothing(&self, server: Endpoint, client: Addr) -> bool {
        let counts = self.of_server(server);
        counts.answered + counts.with_rcode == 0 && !self.folded.contains_key(&(client, server))
    }

    /// Clients that ask for both families from one port.
    pub(super) fn one_port(&self) -> &BTreeSet<Addr> {
        self.one_port.get_or_init(|| lookups::one_port(self.clients()))
    }

    /// What is kept of a query in trouble.
    pub(super) fn story(&self, query: &Query) -> Option<&Story> {
        self.stories.get(query.story as usize)
    }

    /// Whether a client's other traffic has both directions here, nearly all of it, so that answers would be seen too.
    fn hears_others(&self, client: Addr) -> bool {
        self.elsewhere.get(&client).is_some_and(Elsewhere::is_heard)
    }

    /// Whether a unit has one direction of what passes, so that answers are not there to see.
    pub(super) fn is_half(&self, unit: u32, world: &World<'_>) -> bool {
        world.is_one_sided(unit) || self.halves.are_all_of(unit) && world.two_way(unit) == 0
    }

    /// Whether answers can be seen where a query was, as some were.
    pub(super) fn sees_answers(&self, query: &Query) -> bool {
        self.answering.has(query.point)
    }
}

/// Whether an answer to a query would have been seen.
pub(super) fn would_hear(query: &Query, world: &World<'_>) -> bool {
    world.has_both_ways(query.unit) || world.facts.dns.hears_others(query.client.addr)
}

/// Counts a query without trouble that is not kept, where there is room for its client and server.
fn count_fine(folded: &mut Folded, query: &Query) -> bool {
    let pair = (query.client.addr, query.server);
    if folded.len() >= MAX_PAIRS && !folded.contains_key(&pair) {
        return false;
    }
    *folded.entry(pair).or_default() += u64::from(!query.seen_before);
    true
}

impl Query {
    /// Whether its client had to wait in vain.
    fn is_stalled(&self) -> bool {
        self.unanswered > 0 || self.is_silent()
    }

    fn of(told: &Transaction) -> Self {
        let answer = told.answer.as_ref();
        let near = told.legs.first().copied().unwrap_or_default();
        let asked = told.legs.iter().filter(|leg| leg.queries > 0);
        Self {
            identity: told.identity(),
            unit: told.unit,
            client: told.client,
            server: told.server,
            backend: told.backend.map(|backend| backend.addr).filter(|backend| *backend != told.server.addr),
            name: told.name.hash(),
            qtype: told.qtype,
            tcp: told.transport == Transport::Tcp,
            first_ns: told.first_ns,
            last_ns: told.last_query_ns,
            rtt_ns: told.rtt_ns().into(),
            last_rtt_ns: told.last_rtt_ns().into(),
            attempts: told.attempt_count,
            answers: told.answer_count,
            // Identifications alone do not tell questions apart whose names the capture cut off.
            unanswered: if told.name_cut { 0 } else { told.unanswered_attempts() },
            outcome: told.outcome,
            rcode: told.rcode(),
            truncated: answer.is_some_and(|answer| answer.flags.truncated()),
            follows: told.truncated.is_some(),
            rejected: told.rejection.is_some(),
            astray: answer.is_some_and(|answer| answer.unexpected.is_some()),
            ttl: near.ttl,
            point: near.point,
            least_attempts: asked.clone().map(|leg| leg.queries.into()).min().unwrap_or_default(),
            most_answers: told.legs.iter().map(|leg| leg.answers.into()).max().unwrap_or_default(),
            tunnel: told.legs.iter().map(|leg| leg.tunnel).max().unwrap_or_default(),
            forwarded: asked.clone().any(|leg| leg.tunnel != 0 || leg.ttl < near.ttl),
            frame: told.attempts.first().map(|attempt| attempt.frame),
            story: NONE,
            seen_before: told.seen_before,
        }
    }

    /// Whether some finding may be about it.
    fn is_telling(&self) -> bool {
        let fine = matches!(self.rcode, Some(rcode::NOERROR | rcode::NXDOMAIN)) && self.outcome == Outcome::Answered;
        let slow = self.last_rtt_ns.get().is_some_and(|rtt| rtt >= SLOW_NS);
        !fine || slow || self.unanswered > 0 || self.truncated || self.rejected || self.astray
    }

    /// Whether the client went without an answer, so far as can be told.
    pub(super) fn is_silent(&self) -> bool {
        matches!(self.outcome, Outcome::Unanswered | Outcome::Lost)
    }

    /// Whether it was answered, be it late.
    pub(super) fn is_answered(&self) -> bool {
        self.outcome == Outcome::Answered
    }

    /// Attempts that did not get as far as others did, and answers that did not come back, of those without an answer.
    pub(super) fn lost(&self) -> (u32, u32) {
        let queries = self.attempts.saturating_sub(self.least_attempts).min(self.unanswered);
        let answers = self.most_answers.saturating_sub(self.answers).min(self.unanswered - queries);
        (queries, answers)
    }
}
