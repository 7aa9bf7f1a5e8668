//! Sockets that greet many: who looks for hosts and open ports asks all of them from one.

use super::world::World;
use crate::path::Connection;
use crate::track::Endpoint;
use std::collections::{BTreeMap, BTreeSet};

/// Destinations of one socket before it is out for what is there. A client's connections have a port each.
const SWEEP: usize = 8;

/// Those of these sockets that do.
pub(super) fn sweepers(sockets: &BTreeSet<Endpoint>, world: &World<'_>) -> BTreeSet<Endpoint> {
    let mut asked: BTreeMap<Endpoint, BTreeSet<Endpoint>> = BTreeMap::new();
    let all = world.facts.servers.kept.connections().iter().filter(|_| !sockets.is_empty());
    for front in all.map(Connection::front).filter(|front| sockets.contains(&front.orig)) {
        asked.entry(front.orig).or_default().insert(front.resp);
    }
    asked.retain(|_, resps| resps.len() >= SWEEP);
    asked.into_keys().collect()
}
