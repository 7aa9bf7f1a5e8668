//! Clients that one of several endpoints of a service never answers, though it answers others.

use super::super::attempts::Outcome;
use super::super::lot::depends_on_client;
use super::super::services::Service;
use super::super::world::World;
use crate::Addr;
use crate::path::Connection;
use crate::track::Endpoint;
use std::collections::BTreeMap;

/// Endpoints behind a service, as services of their own, at which it depends on the client whether they answer.
pub(super) fn endpoints(service: &Service, world: &World<'_>) -> Vec<Service> {
    let of = |endpoint: &Endpoint| of_endpoint(service, *endpoint, world);
    service.behind.iter().map(of).filter(|at| is_by_client(at, world)).collect()
}

/// What was sent to one endpoint.
fn of_endpoint(service: &Service, endpoint: Endpoint, world: &World<'_>) -> Service {
    let kept = &world.facts.servers.kept;
    let mut one = Service { server: endpoint, ..Service::default() };
    for at in &service.connections {
        let connection = &kept.connections()[*at as usize];
        // What a pod sends to itself has a finding of its own.
        if connection.back().resp == endpoint && connection.front().orig.addr != endpoint.addr {
            one.attempts.add(connection, connection.outcome, kept);
            one.connections.push(*at);
        }
    }
    one
}

/// Whether all attempts of some clients are in vain and all of others are not, by more than chance.
fn is_by_client(one: &Service, world: &World<'_>) -> bool {
    let kept = &world.facts.servers.kept;
    let told = |connection: &&Connection| connection.outcome.is_granted() || connection.outcome == Outcome::Unanswered;
    let connections = one.connections.iter().map(|at| &kept.connections()[*at as usize]);
    let mut clients: BTreeMap<_, Vec<bool>> = BTreeMap::new();
    for connection in connections.filter(told) {
        let failed = connection.outcome == Outcome::Unanswered;
        clients.entry(connection.front().orig.addr).or_default().push(failed);
    }
    let pure = clients.values().all(|draws| draws.iter().all(|failed| *failed == draws[0]));
    pure && depends_on_client(&clients.into_values().collect::<Vec<_>>())
}

/// Whether a service accepts a client after a time.
pub(super) fn is_served(client: Addr, since_ns: i64, service: &Service, world: &World<'_>) -> bool {
    let kept = &world.facts.servers.kept;
    let connections = service.connections.iter().map(|at| &kept.connections()[*at as usize]);
    let granted = connections.filter(|connection| connection.outcome.is_granted());
    let later = |connection: &Connection| connection.flows(kept).all(|flow| flow.first_ns > since_ns);
    granted.filter(|connection| connection.front().orig.addr == client).any(later)
}
