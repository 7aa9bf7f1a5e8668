use super::About;
use super::attempts::Outcome;
use super::evidence::{count_of, server_filter, some_of};
use super::services::{Failing, Service, severity};
use super::world::World;
use crate::Addr;
use crate::finding::{Finding, Severity};
use crate::track::IcmpCode;
use std::collections::BTreeSet;

pub(super) const ABOUT: About = About {
    code: "SVC005",
    slug: "connect-rejected",
    title: "connection attempts to this address are rejected by ICMP",
    severity: Severity::Error,
    what: "SYNs to an address and port are answered by ICMP \"unreachable\" or \"prohibited\" and never by a SYN-ACK.",
    why: "A firewall, a NetworkPolicy that rejects, or the rule of a service without endpoints says no. Clients see \
          \"connection refused\" (port unreachable) or \"no route to host\" (prohibited).",
    how: "TCP connections whose SYN is quoted by an ICMP error of type 3 (any code but those for a missing route and \
          for fragmentation) or ICMPv6 type 1, to an address and port to which no connection was established.",
    false_positives: "Host or network unreachable is a missing route or a dead host (NET004). Where some attempts \
                      succeed it is one of several endpoints. Linux sends about one such error a second to a target, so \
                      some SYNs meet silence first: they count with the others.",
    fix: "Find the rule that rejects on the host that sent the ICMP error: a NetworkPolicy, a firewall, or the rule that \
          kube-proxy makes for a service without ready endpoints.",
    filter: "icmp.type == 3 || icmpv6.type == 1",
    judge: find,
};

fn find(world: &World<'_>) -> Vec<Finding> {
    let services = world.facts.servers.services();
    let rejected = |service: &Service| {
        let failing = service.failing(Outcome::Rejected, |counts| counts.rejected + counts.unanswered)?;
        let codes: BTreeSet<_> =
            failing.failures.iter().filter_map(|failure| failure.rejection).map(|r| (r.from, r.icmp)).collect();
        let known = world.knows(&["SVC001", "SVC002", "SVC010"], &service.server);
        let forbidden = codes.iter().any(|(_, icmp)| !icmp.is_no_route());
        (forbidden && !known).then(|| judge(service, &failing, &codes, world))
    };
    services.iter().filter_map(rejected).collect()
}

fn judge(service: &Service, failing: &Failing<'_>, codes: &BTreeSet<(Addr, IcmpCode)>, world: &World<'_>) -> Finding {
    let server = service.server;
    let tries = count_of(failing.counts.rejected, "connection");
    let says = some_of(codes.iter().map(|(_, icmp)| icmp).collect::<BTreeSet<_>>(), 2);
    let hops: BTreeSet<Addr> = codes.iter().map(|(from, _)| *from).filter(|from| *from != server.addr).collect();
    let by = if hops.is_empty() { String::new() } else { format!(" by {}", some_of(&hops, 3)) };
    let mut finding = Finding::of(&ABOUT, format!("{server} is rejected{by}: {says} ({tries})"));
    finding.severity = severity(ABOUT.severity, failing.counts.failed(), false);
    finding.concern(service, failing, hops.iter().copied());
    finding.counts.insert("rejected", failing.counts.rejected as i64);
    finding.counts.insert("unanswered", failing.counts.unanswered as i64);
    finding.cite(world, failing.frames(), &format!("{} || icmp.type == 3 || icmpv6.type == 1", server_filter(service)));
    finding.explanation = format!(
        "{tries} from {} met an ICMP error instead of a SYN-ACK: {says}, sent {}. {}{}",
        some_of(&failing.clients, 3),
        sender(server.addr, &hops),
        meaning(codes.iter().map(|(_, icmp)| *icmp)),
        failing.others_in_words(),
    );
    finding.rule_out("SVC004", "the attempts are answered by ICMP, not ignored");
    finding.rule_out("NET004", "the errors do not say that the host or network cannot be reached");
    if hops.is_empty() {
        finding.capture_next = Some(
            "on the nodes of its endpoints, all interfaces: before NAT the error has its sender's address".to_owned(),
        );
    }
    finding.fix.commands = vec![
        format!("kubectl get pods,services,endpointslices -A -o wide | grep -wF {}", server.addr),
        "kubectl get networkpolicy -A -o yaml".to_owned(),
        format!("iptables-save | grep -e REJECT -e {}", server.addr),
    ];
    finding
}

/// Who sent the errors, in words.
fn sender(server: Addr, hops: &BTreeSet<Addr>) -> String {
    if hops.is_empty() {
        return format!(
            "in the name of {server}: by that host, or, if it is a service, by one behind it, whose own address NAT replaces \
             on the way back"
        );
    }
    format!("by {}", some_of(hops, 3))
}

fn meaning(codes: impl Iterator<Item = IcmpCode>) -> &'static str {
    let mut codes = codes.peekable();
    if codes.any(IcmpCode::is_prohibited) {
        "\"Prohibited\" is what a firewall or a rejecting NetworkPolicy says."
    } else {
        "\"Port unreachable\" about a SYN is no TCP stack's answer (that is a reset): a rule made it, such as kube-proxy's \
         for a service without ready endpoints."
    }
}
