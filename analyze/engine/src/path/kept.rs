//! Ended connections, kept until all units are read.

use super::connection::Connection;
use super::join;
use crate::track::Endpoint;
use crate::track::event::Flow;
use crate::{Addr, Conntrack};
use foldhash::fast::RandomState;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::OnceLock;

/// What is left of connections, as single units saw them, bounded.
#[derive(Debug)]
pub(crate) struct Kept {
    #[expect(clippy::vec_box, reason = "they come boxed: taking them out would copy, and growing would copy again")]
    flows: Vec<Box<Flow>>,
    cap: usize,
    joined: OnceLock<Vec<Connection>>,
    /// Connections by the addresses that they were sent to.
    by_resp: OnceLock<HashMap<Endpoint, Vec<u32>, RandomState>>,
    /// Addresses that hosts have before and behind NAT, by their own.
    aliases: OnceLock<HashMap<Addr, BTreeSet<Addr>, RandomState>>,
    /// What the kernel said about translations.
    pub(crate) conntrack: Conntrack,
    /// Up to when units listened, where they say so.
    pub(crate) until_ns: BTreeMap<u32, i64>,
    /// Connections that were not kept.
    pub(crate) left_out: u64,
}

/// Bytes that one takes, further legs and the index for joining included.
const FLOW_BYTES: usize = size_of::<Flow>() + 160;

/// Room that is kept for connections that failed, as a share of all.
const FOR_FAILURES: usize = 4;

impl Default for Kept {
    fn default() -> Self {
        Self::new(0)
    }
}

impl Kept {
    /// Keeps what fits into `memory` bytes.
    pub(crate) fn new(memory: u64) -> Self {
        let cap = usize::try_from(memory).unwrap_or(usize::MAX) / FLOW_BYTES;
        Self {
            flows: Vec::new(),
            cap,
            joined: OnceLock::new(),
            by_resp: OnceLock::new(),
            aliases: OnceLock::new(),
            conntrack: Conntrack::default(),
            until_ns: BTreeMap::new(),
            left_out: 0,
        }
    }

    /// Whether there is room for one more connection; of those that went well not the last quarter.
    pub(crate) fn has_room(&mut self, failed: bool) -> bool {
        let cap = if failed { self.cap } else { self.cap - self.cap / FOR_FAILURES };
        let room = self.flows.len() < cap;
        self.left_out += u64::from(!room);
        room
    }

    /// Keeps a connection.
    pub(crate) fn push(&mut self, flow: Box<Flow>) {
        self.flows.push(flow);
    }

    /// A connection as one unit saw it.
    pub(crate) fn flow(&self, at: u32) -> &Flow {
        &self.flows[at as usize]
    }

    /// All connections, each once, in order of their first packets.
    pub(crate) fn connections(&self) -> &[Connection] {
        self.joined.get_or_init(|| {
            let mut connections = join::join(&self.flows);
            let ends_ns = self.ends_ns();
            for connection in &mut connections {
                connection.listed = self.listed(connection);
                connection.judge(self, &ends_ns);
            }
            connections
        })
    }

    /// The last that each unit saw of a connection, or up to when it listened.
    fn ends_ns(&self) -> BTreeMap<u32, i64> {
        let mut ends = self.until_ns.clone();
        for flow in &self.flows {
            let end = ends.entry(flow.unit).or_insert(flow.last_ns);
            *end = flow.last_ns.max(*end);
        }
        ends
    }

    /// Connections that were sent to an address, before translation or behind, in order of their first packets.
    pub(crate) fn sent_to(&self, resp: Endpoint) -> impl Iterator<Item = &Connection> + Clone {
        let connections = self.connections();
        let by_resp = self.by_resp.get_or_init(|| {
            let mut all: HashMap<Endpoint, Vec<u32>, RandomState> = HashMap::default();
            for (at, connection) in (0u32..).zip(connections) {
                for stage in &connection.stages {
                    let of = all.entry(stage.resp).or_default();
                    if of.last() != Some(&at) {
                        of.push(at);
                    }
                }
            }
            all
        });
        by_resp.get(&resp).into_iter().flatten().map(|at| &connections[*at as usize])
    }

    /// All addresses of a host whose connections are translated: those that they have before and behind NAT.
    pub(crate) fn aliases(&self, host: Addr) -> Option<&BTreeSet<Addr>> {
        let aliases = self.aliases.get_or_init(|| {
            let mut all: HashMap<Addr, BTreeSet<Addr>, RandomState> = HashMap::default();
            for connection in self.connections().iter().filter(|connection| connection.stages.len() > 1) {
                let (orig, resp) = (connection.front().orig.addr, connection.back().resp.addr);
                all.entry(orig).or_default().extend(connection.stages.iter().map(|stage| stage.orig.addr));
                all.entry(resp).or_default().extend(connection.stages.iter().map(|stage| stage.resp.addr));
            }
            all
        });
        aliases.get(&host)
    }

    /// What the listing says of a connection, where that is a translation.
    fn listed(&self, connection: &Connection) -> Option<(Endpoint, Endpoint)> {
        let front = connection.front();
        let entry = self.conntrack.get(connection.proto, front.orig, front.resp)?;
        Some(entry.translated()).filter(|translated| *translated != (front.orig, front.resp))
    }
}
