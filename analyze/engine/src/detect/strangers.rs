//! Segments for the port of a live connection that carry other addresses than its own.

use super::world::World;
use crate::packet::TCP;
use crate::path::Connection;
use crate::track::Endpoint;
use crate::track::event::{Flow, Side};
use std::collections::BTreeMap;

/// A flow without a handshake that has a live connection's port and sequence numbers, and another address at the far
/// end.
pub(super) struct Stranger<'a> {
    pub(super) connection: &'a Connection,
    pub(super) flow: &'a Flow,
}

/// All of them, in order of the connections.
pub(super) fn strangers<'a>(world: &'a World<'a>) -> Vec<Stranger<'a>> {
    let kept = &world.facts.servers.kept;
    let all = || kept.connections().iter().filter(|connection| connection.proto == TCP);
    let mut headless: BTreeMap<Endpoint, Vec<&Connection>> = BTreeMap::new();
    for connection in all().filter(|connection| connection.headless) {
        for end in [connection.front().orig, connection.front().resp] {
            headless.entry(end).or_default().push(connection);
        }
    }
    let mut found = Vec::new();
    if headless.is_empty() {
        return found;
    }
    for connection in all().filter(|connection| !connection.headless) {
        let client = connection.front().orig;
        for other in headless.get(&client).into_iter().flatten() {
            let stranger = other.flows(kept).find(|flow| is_of(connection, client, flow, world));
            found.extend(stranger.map(|flow| Stranger { connection, flow }));
        }
    }
    found
}

/// Whether the flow's segments are a connection's under another address: in its lifetime, with its sequence numbers.
fn is_of(connection: &Connection, client: Endpoint, flow: &Flow, world: &World<'_>) -> bool {
    let kept = &world.facts.servers.kept;
    let (own, other, far) = if flow.orig == client {
        (&flow.from_orig, &flow.from_resp, flow.resp)
    } else {
        (&flow.from_resp, &flow.from_orig, flow.orig)
    };
    let is_stranger = connection.stages.iter().all(|stage| stage.resp != far);
    let fits = |front: &Flow| {
        let alive = flow.first_ns >= front.first_ns && flow.first_ns <= front.last_ns.saturating_add(LATE_NS);
        alive && front.unit == flow.unit && has_numbers(&front.from_orig, own, other)
    };
    is_stranger && connection.front().flows(kept).any(fits)
}

/// A connection's last segments may come this late: it may have been idle, and its own point may not see them.
const LATE_NS: i64 = 3_600_000_000_000;

/// Whether the client's bytes, or what the other end acknowledges of them, are of this connection.
fn has_numbers(front: &Side, own: &Side, other: &Side) -> bool {
    own.sent.or(other.acknowledged).is_some_and(|seq| front.may_have_sent(seq))
}
