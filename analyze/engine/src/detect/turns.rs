//! Requests and responses by server, and what became of them.

mod server;
mod shares;

use super::ties;
use super::world::World;
use crate::Addr;
use crate::finding::{Finding, Role};
use crate::path::{Connection, Kept as Connections};
use crate::track::index::Index;
use crate::track::prefetch::prefetch_first;
use crate::track::{Endpoint, Turn};
use foldhash::fast::RandomState;
use std::collections::{BTreeSet, HashMap};
use std::hash::BuildHasher as _;
use std::mem::offset_of;

pub(crate) use server::{BAD_GATEWAY, Kept, SLOW_NS, ServerTurns, VERY_SLOW_NS};
pub(crate) use shares::{Share, shares};

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
        let codes = [code];
        let mut found = world.found(&codes).peekable();
        if found.peek().is_none() {
            return false;
        }
        let names: Vec<String> = self.endpoints().flat_map(|at| [at.to_string(), at.addr.to_string()]).collect();
        found.any(|finding| finding.subjects.iter().any(|who| names.contains(&who.address)))
    }
}

/// All turns, by server and unit.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    /// Places in `servers`, by server and unit.
    index: Index,
    servers: Vec<View>,
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
        let guess = |turn: &Turn| self.index.guess(self.tag(&(turn.server, turn.unit)));
        let view = |turn: &Turn| guess(turn).and_then(|slot| self.servers.get(slot as usize));
        turns.clone().filter_map(view).for_each(|view| prefetch_first(view, View::TOUCHED));
        turns.filter_map(view).for_each(|view| view.facts.prefetch());
    }

    fn tag(&self, key: &(Endpoint, u32)) -> u32 {
        self.hasher.hash_one(key) as u32
    }

    fn server(&mut self, server: Endpoint, unit: u32) -> Option<&mut ServerTurns> {
        let key = (server, unit);
        let tag = self.tag(&key);
        let is_it = |slot: u32| self.servers.get(slot as usize).is_some_and(|view| (view.server, view.unit) == key);
        let known = self.index.find(tag, is_it).map(|slot| slot as usize);
        let at = match known {
            Some(at) => at,
            None if self.servers.len() >= MAX_SERVERS => return None,
            None => {
                self.index.insert(tag, self.servers.len() as u32);
                self.servers.push(View { server, unit, facts: ServerTurns::default() });
                self.servers.len() - 1
            }
        };
        Some(&mut self.servers[at].facts)
    }

    /// Puts together what several files and both sides of translation saw, once all are read.
    pub(crate) fn settle(&mut self, connections: &Connections) {
        let mut views = std::mem::take(&mut self.servers);
        views.sort_unstable_by_key(|view| (view.server, view.unit));
        // Identity and view in one number, because there are many to sort.
        let mut turns: Vec<u128> = Vec::with_capacity(views.iter().map(|view| view.facts.identities.len()).sum());
        for (at, view) in views.iter().enumerate() {
            turns.extend(view.facts.identities.iter().map(|identity| u128::from(*identity) << 64 | at as u128));
        }
        turns.sort_unstable();
        let same = turns.windows(2).filter(|pair| pair[0] >> 64 == pair[1] >> 64);
        let same_turn = same.map(|pair| (pair[0] as u64 as usize, pair[1] as u64 as usize));
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
#[derive(Debug)]
#[repr(C)]
struct View {
    server: Endpoint,
    unit: u32,
    facts: ServerTurns,
}

impl View {
    /// Bytes that each turn touches.
    const TOUCHED: usize = offset_of!(Self, facts) + ServerTurns::TOUCHED;
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
