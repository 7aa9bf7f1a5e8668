use super::About;
use super::evidence::{count_of, some_of};
use super::stuck_at_nat::{Group, stuck};
use super::world::World;
use crate::Addr;
use crate::finding::{Finding, Role, Severity};
use std::collections::BTreeSet;

pub(super) const ABOUT: About = About {
    code: "NAT008",
    slug: "backend-removed",
    title: "an endpoint was removed under its established connections",
    severity: Severity::Error,
    what: "Established connections of one endpoint stop being forwarded, all at about the same time: their segments are \
           seen before the translation and never behind it any more, while new connections go to other endpoints.",
    why: "kube-proxy (mostly in IPVS mode) took the endpoint out of the service and the node drops what still belongs to \
          it. Clients hang until their timers give up.",
    how: "Both sides of the translation are seen: bytes of the client that are repeated before it and absent behind it, \
          and no new connection of the service is given to that endpoint afterwards.",
    false_positives: "Where the endpoint is still given new connections, or where those of all endpoints stop, each at \
                      the end of a pause, the node forgot them (NAT002). A dead endpoint shows the segments behind the \
                      translation, unanswered.",
    fix: "Let pods finish their connections before they go: a preStop hook longer than the endpoint's removal takes, and \
          a termination grace period that covers it; with IPVS see net.ipv4.vs.expire_nodest_conn.",
    filter: "tcp.analysis.retransmission",
    judge: find,
};

fn find(world: &World<'_>) -> Vec<Finding> {
    stuck(world).iter().filter(|group| group.is_removed()).map(|group| judge(group, world)).collect()
}

fn judge(group: &Group<'_>, world: &World<'_>) -> Finding {
    let Group { service, endpoint, stuck, .. } = group;
    let count = count_of(stuck.len() as u64, "established connection");
    let mut finding = Finding::of(&ABOUT, format!("{endpoint} was removed from {service} under {count}"));
    finding.confidence = if group.given_others > 0 { 0.85 } else { 0.7 };
    finding.about(Role::Service, service);
    finding.about(Role::Endpoint, endpoint);
    let clients: BTreeSet<Addr> = stuck.iter().map(|stuck| stuck.connection.front().orig.addr).collect();
    for client in clients.iter().take(8) {
        finding.about(Role::Client, client);
    }
    finding.counts.insert("connections", stuck.len() as i64);
    finding.counts.insert("new_connections_elsewhere", group.given_others as i64);
    let first = stuck.iter().map(|stuck| stuck.post.last_ns).min().unwrap_or_default();
    finding.span(first, stuck.iter().map(|stuck| stuck.pre.last_ns).max().unwrap_or(first));
    let frames = stuck.iter().flat_map(|stuck| [stuck.pre.first, stuck.post.first]);
    finding.cite(
        world,
        frames.collect::<Vec<_>>(),
        &format!("tcp.port == {} || tcp.port == {}", service.port, endpoint.port),
    );
    finding.explanation = format!(
        "{count} of {} to {service} were forwarded to {endpoint} and then not any longer: the clients repeat their \
         segments, which are seen before the translation and not behind it. New connections are not given to that \
         endpoint any more ({} went to others). The node was told that the endpoint is gone.",
        some_of(&clients, 3),
        group.given_others,
    );
    finding.rule_out("APP005", "the segments are dropped on the node and never reach the endpoint");
    finding.rule_out("NAT002", "the endpoint is given no new connections either");
    finding.fix.commands = vec![
        "ipvsadm -Ln".to_owned(),
        format!("kubectl get pods,endpointslices -A -o wide | grep -wF {}", endpoint.addr),
    ];
    finding
}
