use super::About;
use super::attempts::Outcome;
use super::evidence::{count_of, some_of};
use super::world::World;
use crate::Addr;
use crate::finding::{Finding, Role, Severity};
use crate::path::Connection;
use crate::time::union;
use crate::track::Endpoint;
use crate::track::event::Flow;
use std::collections::{BTreeMap, BTreeSet};

pub(super) const ABOUT: About = About {
    code: "SVC010",
    slug: "cluster-ip-on-wire",
    title: "a ClusterIP leaves the node untranslated",
    severity: Severity::Error,
    what: "Packets for a service's ClusterIP are seen on the node's own interface to the network, where only endpoints' \
           addresses belong.",
    why: "The rules of kube-proxy, or the programs of the CNI, are missing on that node, so it sends the packets to its \
          gateway, which knows no such address. Services fail from that node's pods only.",
    how: "Connections from a pod to an address that is known for a service (it is translated elsewhere in the captures, or \
          the given objects say so) are seen on an interface that carries tunnels, still with that address, and fail.",
    false_positives: "With a load balancer in the socket (Cilium) no ClusterIP is seen at all. Traffic that comes from \
                      outside for an external address of a service is translated after it arrives.",
    fix: "See whether kube-proxy (or the CNI's agent that stands in for it) runs on that node and follows the API server.",
    filter: "tcp.flags == 2",
    judge: find,
};

fn find(world: &World<'_>) -> Vec<Finding> {
    let kept = &world.facts.servers.kept;
    let underlay: BTreeSet<u16> = kept
        .connections()
        .iter()
        .flat_map(|connection| connection.flows(kept))
        .flat_map(Flow::legs)
        .filter(|leg| leg.tunnel != 0)
        .map(|leg| leg.point)
        .collect();
    let translated: BTreeSet<Addr> = kept
        .connections()
        .iter()
        .filter(|connection| connection.endpoint().is_some())
        .map(|connection| connection.front().resp.addr)
        .collect();
    let is_service = |addr: Addr| translated.contains(&addr) || world.facts.names.is_service(addr);
    let mut services: BTreeMap<Endpoint, Vec<&Connection>> = BTreeMap::new();
    for (_, connection, outcome) in world.facts.servers.outcomes() {
        let server = connection.front().resp;
        let failed = matches!(outcome, Outcome::Unanswered | Outcome::Rejected);
        if failed && connection.endpoint().is_none() && is_service(server.addr) && leaves(connection, &underlay, world)
        {
            services.entry(server).or_default().push(connection);
        }
    }
    services.iter().map(|(server, connections)| judge(*server, connections, world)).collect()
}

/// Whether it was seen on the pod's side first and then on the node's interface to the network.
fn leaves(connection: &Connection, underlay: &BTreeSet<u16>, world: &World<'_>) -> bool {
    let legs = || connection.flows(&world.facts.servers.kept).flat_map(Flow::legs);
    legs().any(|leg| !underlay.contains(&leg.point)) && legs().any(|leg| underlay.contains(&leg.point))
}

fn judge(server: Endpoint, connections: &[&Connection], world: &World<'_>) -> Finding {
    let kept = &world.facts.servers.kept;
    let tries = count_of(connections.len() as u64, "connection");
    let mut finding =
        Finding::of(&ABOUT, format!("the service address {server} leaves the node untranslated ({tries})"));
    finding.confidence = 0.85;
    finding.about(Role::Service, &server);
    let clients: BTreeSet<Addr> = connections.iter().map(|connection| connection.front().orig.addr).collect();
    for client in clients.iter().take(8) {
        finding.about(Role::Client, client);
    }
    finding.counts.insert("connections", connections.len() as i64);
    let flows = || connections.iter().flat_map(|connection| connection.flows(kept));
    let spans = flows().map(|flow| (flow.first_ns, flow.last_ns));
    let (first, last) = union(spans).unwrap_or_default();
    finding.span(first, last);
    let family = server.addr.family();
    finding.cite(
        world,
        flows().flat_map(|flow| flow.syns.iter().copied().take(2)).collect::<Vec<_>>(),
        &format!("{family}.dst == {}", server.addr),
    );
    finding.explanation = format!(
        "{tries} of {} to {server}: the SYNs leave the node with the service's address as destination. It should have been \
         replaced by an endpoint's before; outside the node nobody has it, so nothing comes back.",
        some_of(&clients, 3),
    );
    finding.rule_out("SVC004", "the packets leave the node for an address that exists on nodes only");
    finding.fix.commands = vec![
        "kubectl -n kube-system get pods -o wide | grep kube-proxy".to_owned(),
        format!("iptables-save -t nat | grep {}", server.addr),
    ];
    finding
}
