//! Who has to do with whom: addresses that connections and tunnels link, however far around. What strangers do says nothing
//! about anybody.

use super::ties;
use super::world::World;
use crate::Addr;
use crate::finding::Finding;
use crate::path::Connection;
use crate::track::event::Flow;
use foldhash::fast::RandomState;
use smallvec::SmallVec;
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

/// Groups of addresses, by number.
#[derive(Debug, Default)]
pub(crate) struct Acquaintances(HashMap<Addr, u32, RandomState>);

impl Acquaintances {
    fn of(world: &World<'_>) -> Self {
        let mut pairs = Pairs::default();
        for connection in world.facts.servers.kept.connections() {
            let orig = connection.front().orig.addr;
            addresses(connection, world).into_iter().for_each(|addr| pairs.add(orig, addr));
        }
        let mut numbers = HashMap::default();
        for (number, group) in (0u32..).zip(ties::groups(pairs.list.iter(), |pair| pair.iter())) {
            numbers.extend(group.into_iter().flatten().map(|addr| (*addr, number)));
        }
        Self(numbers)
    }
}

/// Addresses that have to do with each other, each pair once, in the order in which they were added.
#[derive(Default)]
struct Pairs {
    list: Vec<[Addr; 2]>,
    known: HashSet<[Addr; 2], RandomState>,
}

impl Pairs {
    fn add(&mut self, a: Addr, b: Addr) {
        let pair = [a, b];
        if self.list.last() != Some(&pair) && self.known.insert(pair) {
            self.list.push(pair);
        }
    }
}

/// Ends of a connection, before translation and behind, and of the tunnels that it passed.
fn addresses(connection: &Connection, world: &World<'_>) -> SmallVec<[Addr; 4]> {
    let mut all: SmallVec<[Addr; 4]> =
        connection.stages.iter().flat_map(|stage| [stage.orig.addr, stage.resp.addr]).collect();
    for leg in connection.flows(&world.facts.servers.kept).flat_map(Flow::legs) {
        let tunnel = world.tunnels.get(leg.tunnel as usize).filter(|_| leg.tunnel != 0);
        all.extend(tunnel.into_iter().flat_map(|tunnel| [tunnel.a, tunnel.b]));
    }
    all
}

impl World<'_> {
    /// Number of the group that an address belongs to; none where nothing is known of its connections.
    pub(crate) fn group(&self, addr: Addr) -> Option<u32> {
        self.facts.acquaintances.get_or_init(|| Acquaintances::of(self)).0.get(&addr).copied()
    }

    /// Whether a finding is about somebody that an address has to do with, or may have.
    pub(crate) fn concerns(&self, finding: &Finding, addr: Addr) -> bool {
        let of_subject = |address: &str| {
            let socket = address.parse::<SocketAddr>().map(|socket| socket.ip());
            let ip = socket.or_else(|_| address.parse::<IpAddr>()).ok()?;
            self.group(ip.into())
        };
        // Hops that only ICMP tells of have no connections.
        let mut known = finding.subjects.iter().filter_map(|subject| of_subject(&subject.address)).peekable();
        let group = self.group(addr);
        group.is_none() || known.peek().is_none() || known.any(|of| Some(of) == group)
    }
}
