use super::About;
use super::attempts::Outcome;
use super::evidence::{count_of, server_filter, some_of};
use super::services::{Failing, Service, severity};
use super::world::World;
use crate::Addr;
use crate::finding::{Finding, Severity};
use crate::track::event::Rejection;
use std::collections::BTreeSet;

pub(super) const ABOUT: About = About {
    code: "SVC001",
    slug: "no-endpoints",
    title: "a service has no endpoints",
    severity: Severity::Error,
    what: "SYNs to a service are answered at once by ICMP \"port unreachable\" from the client's own node.",
    why: "No pod stands behind the service: its selector matches none, or none is ready. Clients see \"connection \
          refused\" and look for a fault in the server, which was never asked.",
    how: "Every connection to an address and port ends in ICMP port unreachable (ICMPv6 1/4), which no TCP stack sends \
          about a SYN, and the error's TTL says that the node itself made it, which passed none of the SYNs on, translated \
          or into a tunnel: the rule that kube-proxy, and Cilium since 1.15, makes for a service without ready endpoints.",
    false_positives: "A firewall on the client's node that rejects with this code looks the same; that other clients \
                      reach the address, or an error from farther away, is a firewall's or policy's (SVC005), or a dead \
                      endpoint's (SVC002).",
    fix: "Compare the Service's selector with the labels of the pods, and see whether the pods are ready.",
    filter: "icmp.type == 3 && icmp.code == 3 || icmpv6.type == 1 && icmpv6.code == 4",
    judge: find,
};

fn find(world: &World<'_>) -> Vec<Finding> {
    let services = world.facts.servers.services();
    let empty = |service: &Service| {
        let failing = service.failing(Outcome::Rejected, |counts| counts.rejected + counts.unanswered)?;
        is_local(&failing).then(|| judge(service, &failing, world))
    };
    services.iter().filter_map(empty).collect()
}

/// Whether the client's own node says so, to everybody who asks. An error that comes back through a tunnel has a TTL as
/// fresh, and was made where the tunnel ends.
fn is_local(failing: &Failing<'_>) -> bool {
    let local = |rejection: &Rejection| rejection.icmp.is_port_unreachable() && matches!(rejection.ttl, 64 | 255);
    let mut rejected = failing.failures.iter().filter_map(|at| Some((at.rejection?, at.passed_on))).peekable();
    let any = rejected.peek().is_some();
    failing.others == 0 && any && rejected.all(|(rejection, passed_on)| local(&rejection) && !passed_on)
}

fn judge(service: &Service, failing: &Failing<'_>, world: &World<'_>) -> Finding {
    let server = service.server;
    let tries = count_of(failing.counts.rejected, "connection");
    let hops: BTreeSet<Addr> = failing.failures.iter().filter_map(|f| f.rejection).map(|r| r.from).collect();
    let mut finding = Finding::of(&ABOUT, format!("{server} has no endpoints ({tries} rejected by the client's node)"));
    finding.severity = severity(ABOUT.severity, failing.counts.rejected, false);
    let known = world.facts.names.has_endpoints(server);
    finding.confidence = if known == Some(false) { 0.97 } else { 0.8 };
    finding.concern(service, failing, hops.iter().copied());
    finding.counts.insert("rejected", failing.counts.rejected as i64);
    finding.counts.insert("unanswered", failing.counts.unanswered as i64);
    finding.cite(world, failing.frames(), &format!("{} || icmp.type == 3 || icmpv6.type == 1", server_filter(service)));
    finding.explanation = format!(
        "{tries} from {} met ICMP \"port unreachable\" from {}, whose TTL shows that it was made on the client's own \
         node: the SYN never left it. kube-proxy answers so for a service that has no ready endpoint.",
        some_of(&failing.clients, 3),
        some_of(&hops, 3),
    );
    let doubt = match known {
        Some(false) => {
            finding.explanation.push_str(" The objects given say the same: it has no ready endpoint.");
            None
        }
        Some(true) => Some("the objects given list endpoints of it: they are of another moment"),
        None => Some("a firewall rule of the node that rejects with this code looks the same"),
    };
    finding.limits.extend(doubt.map(str::to_owned));
    finding.rule_out("SVC003", "no server was asked: a server that does not listen answers with a reset");
    finding.rule_out("SVC002", "no connection to the service succeeds");
    finding
        .rule_out("SVC005", "the error comes from the client's own node and says neither \"prohibited\" nor \"host\"");
    finding.fix.commands = vec![
        format!("kubectl get services -A -o wide | grep -wF {}", server.addr),
        "kubectl get endpointslices -n NAMESPACE -l kubernetes.io/service-name=NAME".to_owned(),
        "kubectl get pods -n NAMESPACE --show-labels".to_owned(),
    ];
    finding
}
