//! Requests and responses by server, and what became of them.

use super::ties;
use super::times::Times;
use super::world::World;
use crate::Addr;
use crate::finding::{Finding, Role};
use crate::path::{Connection, Kept as Connections};
use crate::track::index::Index;
use crate::track::prefetch::prefetch_all;
use crate::track::{Endpoint, Fate, Resent, Turn};
use crate::wire::app::{Protocol, Traits};
use foldhash::fast::RandomState;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::BuildHasher as _;

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

/// What is known of the turns of one server.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServerTurns {
    /// Turns.
    pub(crate) turns: u64,
    /// Times of the server, of turns whose times no loss shaped.
    pub(crate) server: Times,
    /// Times on the network, of the same.
    pub(crate) network: Times,
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
    /// Handshakes of TLS that began.
    pub(crate) hellos: u64,
    /// Handshakes of TLS that failed.
    pub(crate) tls_failures: Kept,
    /// Connections that are encrypted and may be HTTP/2.
    pub(crate) interleaved: u64,
    identities: Vec<u64>,
    first_ns: i64,
}

/// Turns of a server that are all timed; of further ones every eighth is, which changes no quantile that is shown.
const ALL: u64 = 1024;
/// Identities kept to recognise turns before and after translation and in other files.
const IDENTITIES: usize = 128;
/// Requests this short may be a goodbye in a protocol that is not known: TLS's takes 31 bytes with its header.
const GOODBYE_BYTES: u32 = 40;

impl ServerTurns {
    fn add(&mut self, turn: &Turn) {
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
        match turn.fate {
            Fate::GaveUp if turn.waited_in_vain() => self.gave_up.add(turn),
            Fate::GaveUp => {}
            Fate::Crossed | Fate::Stale if turn.is_request() => self.races.add(turn),
            Fate::Dropped => self.dropped.add(turn),
            _ => self.time(turn),
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
        if server_ns >= SLOW_NS && turn.is_understood() && turn.is_of_server(server_ns) {
            self.slow.add(turn);
            self.very_slow += u64::from(server_ns >= VERY_SLOW_NS);
            if turn.answered.status == Some(GATEWAY_TIMEOUT) {
                self.gateway.add(turn);
            }
        }
    }

    /// Turns in which something went wrong, a few of each kind.
    fn troubled(&self) -> impl Iterator<Item = &Turn> {
        let kinds = [&self.slow, &self.gave_up, &self.races, &self.dropped, &self.tls_failures];
        kinds.into_iter().flat_map(|kind| &kind.turns)
    }

    /// Whether anything went wrong.
    fn is_troubled(&self) -> bool {
        self.troubled().next().is_some()
    }

    /// Takes in another view: of the same turns, which count once, or of others. Times are those of the view that has
    /// most of them.
    fn merge(&mut self, other: &Self) {
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
            (&mut self.tls_failures, &other.tls_failures),
        ];
        for (own, other) in kinds {
            own.merge(other, same);
        }
        self.identities.extend(&other.identities);
    }
}

/// RFC 9110 15.6.5.
const GATEWAY_TIMEOUT: u16 = 504;

impl Turn {
    /// Whether it is a request that is answered before the next, so that a late answer is a slow one; one that could not be
    /// read may be any, such as a blocking read. Of what is encrypted that is known where HTTP/2 was not offered; the first
    /// turn is the handshake's.
    fn is_understood(&self) -> bool {
        let readable = self.protocol == Protocol::Tls && !self.interleaves && self.number > 2;
        readable || self.protocol.is_timed() && !self.asked.text.is_empty()
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
        let acked = self.acked_ns.map(|ns| ns.saturating_sub(self.request_end_ns));
        let prompt = acked.is_some_and(|ns| ns <= self.rtt_ns.unwrap_or_default().max(0) * 2 + DELAYED_ACK_NS);
        let waits = self.asked.traits.has(Traits::WAITS);
        prompt && !waits && self.resent != Resent::Before && self.is_understood() && self.waited_ns() >= Some(SLOW_NS)
    }

    /// Whether it is a request and no goodbye.
    fn is_request(&self) -> bool {
        if self.asked.traits.has(Traits::GOODBYE) || self.protocol == Protocol::Tls && self.interleaves {
            return false;
        }
        self.is_understood() || self.fate != Fate::Stale && self.request_bytes > GOODBYE_BYTES
    }
}

/// A server under the address that clients use, all that was seen of its turns put together.
#[derive(Clone, Debug)]
pub(crate) struct TurnService {
    pub(crate) server: Endpoint,
    /// Its addresses behind translation where something went wrong.
    pub(crate) behind: Vec<Endpoint>,
    pub(crate) facts: ServerTurns,
}

impl TurnService {
    /// All its addresses.
    pub(crate) fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        std::iter::once(&self.server).chain(&self.behind)
    }

    /// Says whom a finding about it is about.
    pub(crate) fn introduce(&self, finding: &mut Finding, clients: &BTreeSet<Addr>) {
        self.introduce_as(finding, self.endpoints(), clients);
    }

    /// As [`Self::introduce`], by these addresses.
    pub(crate) fn introduce_as<'a>(
        &self,
        finding: &mut Finding,
        addresses: impl Iterator<Item = &'a Endpoint>,
        clients: &BTreeSet<Addr>,
    ) {
        for at in addresses {
            finding.about(if *at == self.server { Role::Server } else { Role::Endpoint }, at);
        }
        for client in clients {
            finding.about(Role::Client, client);
        }
    }

    /// Whether a finding of this code, so far, is about it.
    pub(crate) fn is_subject(&self, code: &str, world: &World<'_>) -> bool {
        let names: Vec<String> = self.endpoints().flat_map(|at| [at.to_string(), at.addr.to_string()]).collect();
        let about = |finding: &Finding| finding.subjects.iter().any(|who| names.contains(&who.address));
        world.findings.iter().any(|finding| finding.code == code && about(finding))
    }
}

/// All turns, by server and unit.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    /// Places in `servers`, by server and unit.
    index: Index,
    servers: Vec<((Endpoint, u32), ServerTurns)>,
    hasher: RandomState,
    services: Vec<TurnService>,
    /// Turns of servers beyond the cap.
    pub(crate) left_out: u64,
}

/// Servers kept; a server holds up to 40 KB when all of it goes wrong, some hundred bytes else.
const MAX_SERVERS: usize = 4096;

impl Turns {
    pub(crate) fn add(&mut self, turn: &Turn) {
        if let Some(server) = self.server(turn.server, turn.unit) {
            server.add(turn);
        } else {
            self.left_out += 1;
        }
    }

    /// Asks for what is known of the servers of turns that are added next, so that their misses in the cache overlap.
    pub(crate) fn prefetch<'t>(&self, turns: impl Iterator<Item = &'t Turn> + Clone) {
        for turn in turns.clone() {
            self.index.prefetch(self.tag(&(turn.server, turn.unit)));
        }
        for turn in turns {
            let slot = self.index.guess(self.tag(&(turn.server, turn.unit)));
            slot.and_then(|slot| self.servers.get(slot as usize)).inspect(|server| prefetch_all(*server));
        }
    }

    fn tag(&self, key: &(Endpoint, u32)) -> u32 {
        self.hasher.hash_one(key) as u32
    }

    fn server(&mut self, server: Endpoint, unit: u32) -> Option<&mut ServerTurns> {
        let key = (server, unit);
        let tag = self.tag(&key);
        let known = self.index.find(tag, |slot| self.servers[slot as usize].0 == key).map(|slot| slot as usize);
        let at = match known {
            Some(at) => at,
            None if self.servers.len() >= MAX_SERVERS => return None,
            None => {
                self.index.insert(tag, self.servers.len() as u32);
                self.servers.push((key, ServerTurns::default()));
                self.servers.len() - 1
            }
        };
        Some(&mut self.servers[at].1)
    }

    /// Puts together what several files and both sides of translation saw, once all are read.
    pub(crate) fn settle(&mut self, connections: &Connections) {
        let servers = std::mem::take(&mut self.servers).into_iter();
        let mut views: Vec<View> = servers.map(|((server, unit), facts)| View { server, unit, facts }).collect();
        views.sort_unstable_by_key(|view| (view.server, view.unit));
        let mut turns: Vec<(u64, usize)> = Vec::new();
        for (at, view) in views.iter().enumerate() {
            turns.extend(view.facts.identities.iter().map(|identity| (*identity, at)));
        }
        turns.sort_unstable();
        let same_turn = turns.windows(2).filter(|pair| pair[0].0 == pair[1].0).map(|pair| (pair[0].1, pair[1].1));
        let servers: Vec<Endpoint> = views.iter().map(|view| view.server).collect();
        let same_server = (1..servers.len()).filter(|at| servers[at - 1] == servers[*at]).map(|at| (at - 1, at));
        let groups = ties::united(views, same_turn.chain(same_server));
        self.services = groups.into_iter().map(|views| TurnService::of(views, connections)).collect();
    }

    /// Servers, once they are settled.
    pub(crate) fn services(&self) -> &[TurnService] {
        &self.services
    }
}

/// What one unit saw of a server.
struct View {
    server: Endpoint,
    unit: u32,
    facts: ServerTurns,
}

impl TurnService {
    fn of(mut views: Vec<View>, connections: &Connections) -> Self {
        let hidden = behind(&views, connections);
        let is_hidden = |view: &View| hidden.contains(&view.server);
        views.sort_by_key(|view| (is_hidden(view), view.facts.turns == 0, view.facts.first_ns, view.server));
        let server = views.first().map(|view| view.server).unwrap_or_default();
        let troubled = views.iter().filter(|view| view.server != server && view.facts.is_troubled());
        let mut behind: BTreeSet<Endpoint> = troubled.map(|view| view.server).collect();
        behind.extend(views.iter().flat_map(|view| endpoints(view, connections)));
        behind.remove(&server);
        let mut views = views.into_iter().map(|view| view.facts);
        let mut facts = views.next().unwrap_or_default();
        views.for_each(|view| facts.merge(&view));
        Self { server, behind: behind.into_iter().collect(), facts }
    }
}

/// The endpoints that a server's requests were sent on to in which something went wrong, where that was seen.
fn endpoints(view: &View, connections: &Connections) -> BTreeSet<Endpoint> {
    let mut asked: HashMap<(Endpoint, Endpoint), Vec<i64>, RandomState> = HashMap::default();
    for turn in view.facts.troubled() {
        asked.entry((turn.client, turn.server)).or_default().push(turn.asked_ns);
    }
    let mut endpoints = BTreeSet::new();
    if asked.is_empty() {
        return endpoints;
    }
    for connection in connections.sent_to(view.server) {
        let Some(endpoint) = connection.endpoint() else { continue };
        let mut times = connection.stages.iter().filter_map(|stage| asked.get(&(stage.orig, stage.resp))).flatten();
        if times.any(|ns| connection.is_seen_at(*ns, connections)) {
            endpoints.insert(endpoint);
        }
    }
    endpoints
}

/// The endpoint that a request was sent on to, where that was seen.
pub(super) fn endpoint(turn: &Turn, connections: &Connections) -> Option<Endpoint> {
    let is_its = |connection: &&Connection| {
        let same = connection.stages.iter().any(|stage| (stage.orig, stage.resp) == (turn.client, turn.server));
        same && connection.is_seen_at(turn.asked_ns, connections)
    };
    connections.sent_to(turn.server).find(is_its).and_then(Connection::endpoint)
}

/// Those servers to which connections for another address were translated. Where several connections go on at a time,
/// who saw a turn first tells nothing.
fn behind(views: &[View], connections: &Connections) -> BTreeSet<Endpoint> {
    let several = views.windows(2).any(|pair| pair[0].server != pair[1].server);
    let servers = views.iter().map(|view| view.server).filter(|_| several);
    let is_behind = |at: &Endpoint| connections.sent_to(*at).any(|connection| connection.front().resp != *at);
    servers.filter(is_behind).collect()
}
