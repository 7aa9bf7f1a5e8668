use super::About;
use super::attempts::Outcome;
use super::evidence::{count_of, server_filter, some_of};
use super::services::{Failing, Service};
use super::vantage::Spot;
use super::world::World;
use crate::finding::{Finding, Severity};
use crate::track::Endpoint;
use std::collections::BTreeSet;

pub(super) const ABOUT: About = About {
    code: "SVC012",
    slug: "nodeport-unanswered",
    title: "a NodePort is silent on this node and works on another",
    severity: Severity::Error,
    what: "SYNs to a node's port between 30000 and 32767 are never answered, while the same port of another node accepts \
           connections.",
    why: "With externalTrafficPolicy: Local a node without an endpoint of its own drops such traffic without a word; so \
          does a firewall on that node. Clients that are sent to all nodes fail on some.",
    how: "Connections to one address and a port of the default NodePort range stay unanswered, and connections to the \
          same port at another address are established in the same captures.",
    false_positives: "Where no node answers on the port it is a plain timeout (SVC004).",
    fix: "Set externalTrafficPolicy: Cluster, run an endpoint on every node that gets traffic, or let the load balancer \
          use the service's healthCheckNodePort; else open the port in the node's firewall.",
    filter: "tcp.flags == 2 && tcp.dstport >= 30000 && tcp.dstport <= 32767",
    judge: find,
};

/// Default of kube-apiserver's `--service-node-port-range`.
const NODE_PORTS: std::ops::RangeInclusive<u16> = 30_000..=32_767;

fn find(world: &World<'_>) -> Vec<Finding> {
    let services = world.facts.servers.services();
    let on_nodes = services.iter().filter(|service| NODE_PORTS.contains(&service.server.port));
    let silent = |service: &Service| {
        let failing = service.failing(Outcome::Unanswered, |counts| counts.unanswered)?;
        let working = elsewhere(service.server, world);
        (failing.others == 0 && !working.is_empty()).then(|| judge(service, &failing, &working, world))
    };
    on_nodes.filter_map(silent).collect()
}

/// The same port at other addresses, where it works.
fn elsewhere(server: Endpoint, world: &World<'_>) -> BTreeSet<Endpoint> {
    let works = world.facts.servers.outcomes().filter(|(_, _, outcome)| *outcome == Outcome::Established);
    let others = works.map(|(_, connection, _)| connection.front().resp);
    others.filter(|other| other.port == server.port && other.addr != server.addr).collect()
}

fn judge(service: &Service, failing: &Failing<'_>, working: &BTreeSet<Endpoint>, world: &World<'_>) -> Finding {
    let server = service.server;
    let tries = count_of(failing.counts.unanswered, "connection attempt");
    let mut finding = Finding::of(&ABOUT, format!("NodePort {server} never answers ({tries}), other nodes do"));
    finding.confidence = 0.8;
    finding.concern(service, failing, []);
    finding.counts.insert("unanswered", failing.counts.unanswered as i64);
    finding.counts.insert("syns", failing.syns() as i64);
    finding.cite(world, failing.frames(), &server_filter(service));
    finding.explanation = format!(
        "{tries} from {} to {server} got nothing back, while {} accepts connections on the same port. A node drops \
         NodePort traffic without an answer when the service's externalTrafficPolicy is Local and no endpoint runs on it, \
         or when its firewall does not let the port in.",
        some_of(&failing.clients, 3),
        some_of(working, 3),
    );
    finding.rule_out("SVC004", "the service answers on other nodes: it depends on which node is asked");
    finding.fix.commands = vec![
        format!("kubectl get services -A | grep {}", server.port),
        "kubectl get service NAME -n NAMESPACE -o jsonpath='{.spec.externalTrafficPolicy}'".to_owned(),
    ];
    let tells = "whether the SYN arrives there and what becomes of it";
    finding.capture_next = world.capture_next([Spot::Host(server.addr)], tells);
    finding
}
