use super::About;
use super::attempts::Outcome;
use super::evidence::{count_of, server_filter, some_of};
use super::services::{Failing, SIBLING, Service, severity};
use super::world::World;
use crate::finding::{Finding, Severity};
use crate::packet::INITIAL_TTLS;
use std::collections::BTreeSet;

pub(super) const ABOUT: About = About {
    code: "SVC003",
    slug: "connect-refused",
    title: "every connection to this address is refused",
    severity: Severity::Error,
    what: "Each SYN to an address and port is answered by a reset, and none by a SYN-ACK.",
    why: "Nobody listens on that port at the address, or a box in between rejects with resets. Clients see \"connection \
          refused\" at once.",
    how: "TCP connections whose SYN met a reset from the addressed side without any SYN-ACK, and no connection to the \
          same address and port that was established. Connections that DNAT sent on to other addresses count with the \
          address that the client used.",
    false_positives: "A service of which only some endpoints refuse is not this: there some connections succeed. A \
                      reset after the handshake is not a refusal. One refused connection alone is a warning: it may \
                      be a probe of something that starts.",
    fix: "See whether the process runs and listens on that port and address, and whether the Service's targetPort is \
          the port it listens on.",
    filter: "tcp.flags.reset == 1 && tcp.seq == 1 && tcp.ack == 1",
    judge: find,
};

fn find(world: &World<'_>) -> Vec<Finding> {
    let services = world.facts.servers.services();
    let refused = |service: &Service| {
        let failing = service.failing(Outcome::Refused, |counts| counts.refused)?;
        let known = world.knows(&["SVC002", "DNS010"], &service.server);
        (!known).then(|| judge(service, &failing, world))
    };
    services.iter().filter_map(refused).collect()
}

fn judge(service: &Service, failing: &Failing<'_>, world: &World<'_>) -> Finding {
    let server = service.server;
    let tries = count_of(failing.counts.refused, "connection");
    let whose = if failing.others > 0 { format!(" of {}", some_of(&failing.clients, 2)) } else { String::new() };
    let mut finding = Finding::of(&ABOUT, format!("{server} refuses every connection{whose} ({tries})"));
    finding.severity = severity(ABOUT.severity, failing.counts.refused, service.sibling);
    finding.concern(service, failing, []);
    finding.counts.insert("refused", failing.counts.refused as i64);
    finding.cite(world, failing.frames(), &server_filter(service));
    let ttls: BTreeSet<u8> = failing.failures.iter().filter_map(|failure| failure.reset_ttl).collect();
    finding.explanation = format!(
        "{tries} from {} met a reset instead of a SYN-ACK, and none was accepted. The resets arrive with TTL {}, {}.{}",
        some_of(&failing.clients, 3),
        some_of(&ttls, 4),
        distance(&ttls),
        failing.others_in_words(),
    );
    if service.sibling {
        finding.limits.push(SIBLING.to_owned());
    }
    finding.rule_out("SVC004", "the attempts are answered, not ignored");
    finding.rule_out("SVC002", "no connection to the address succeeds, so it is not one endpoint of several");
    finding.fix.commands = vec![
        format!("kubectl get pods,endpointslices -A -o wide | grep {}", server.addr),
        "kubectl exec POD -- ss -ltn".to_owned(),
    ];
    finding.capture_next = Some(format!(
        "on the host or pod of {}: if the SYN never arrives there, a box in between sent the reset",
        server.addr
    ));
    finding
}

/// What the resets' TTL says about who made them: hosts start at 64, 128 or 255.
fn distance(ttls: &BTreeSet<u8>) -> String {
    let hops = |ttl: u8| INITIAL_TTLS.into_iter().find(|start| *start >= ttl).map_or(0, |start| start - ttl);
    match ttls.iter().map(|ttl| hops(*ttl)).min() {
        Some(0) => "so they were made on this link: by the peer, or by the node itself".to_owned(),
        Some(hops) => format!("so they were made {} away", count_of(hops.into(), "hop")),
        None => "which the capture does not have".to_owned(),
    }
}
