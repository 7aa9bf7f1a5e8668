use super::About;
use super::attempts::Outcome;
use super::evidence::{count_of, server_filter, some_of};
use super::services::{Failing, SIBLING, Service, severity};
use super::sweeps::sweepers;
use super::vantage::Spot;
use super::world::World;
use crate::Addr;
use crate::finding::{Finding, Role, Severity};
use crate::packet::INITIAL_TTLS;
use crate::time::union;
use crate::track::Endpoint;
use std::collections::{BTreeMap, BTreeSet};

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
    false_positives: "A service of which only some endpoints refuse is not this: there some connections succeed. A reset \
                      after the handshake is not a refusal. A client that tries eight ports of an address or more, each \
                      once or twice, looks which are open, and so does a socket that asks eight destinations: that is \
                      information. One refused connection alone is a warning: \
                      it may be a probe of something that starts.",
    fix: "See whether the process runs and listens on that port and address, and whether the Service's targetPort is \
          the port it listens on.",
    filter: "tcp.flags.reset == 1 && tcp.seq == 1 && tcp.ack == 1",
    judge: find,
};

/// A service that refuses, and for whom.
type Refused<'a> = (&'a Service, Failing<'a>);

fn find(world: &World<'_>) -> Vec<Finding> {
    let services = world.facts.servers.services();
    let refused = services.iter().filter_map(|service| {
        let failing = service.failing(Outcome::Refused, |counts| counts.refused)?;
        let known = world.knows(&["SVC002", "DNS010"], &service.server);
        (!known).then_some((service, failing))
    });
    let refused: Vec<Refused<'_>> = refused.collect();
    let mut scans: BTreeMap<(Addr, Addr), Vec<&Refused<'_>>> = BTreeMap::new();
    for one in &refused {
        if let Some(key) = tried_by(one) {
            scans.entry(key).or_default().push(one);
        }
    }
    scans.retain(|_, ports| ports.len() >= SCAN);
    let real = refused.iter().filter(|one| tried_by(one).is_none_or(|key| !scans.contains_key(&key)));
    let sockets = refused.iter().filter(|one| tried_by(one).is_some()).filter_map(socket).collect();
    let sweepers = sweepers(&sockets, world);
    let findings = real.map(|one| {
        let mut finding = judge(one.0, &one.1, world);
        let swept = tried_by(one).is_some() && socket(one).is_some_and(|socket| sweepers.contains(&socket));
        finding.severity = if swept { Severity::Info } else { finding.severity };
        finding
    });
    findings.chain(scans.iter().map(|((server, client), ports)| scan(*server, *client, ports, world))).collect()
}

/// Ports of one address that one client tries, once or twice each, before it is out for which of them are open.
const SCAN: usize = 8;
const TRIES: u64 = 2;

/// The address whose port was tried once or twice, and the one client that did.
fn tried_by((service, failing): &Refused<'_>) -> Option<(Addr, Addr)> {
    let seldom = failing.counts.failed() <= TRIES && failing.clients.len() == 1;
    failing.clients.first().filter(|_| seldom).map(|client| (service.server.addr, *client))
}

/// The socket that tried first.
fn socket((_, failing): &Refused<'_>) -> Option<Endpoint> {
    failing.failures.first().map(|failure| failure.orig)
}

fn scan(server: Addr, client: Addr, refused: &[&Refused<'_>], world: &World<'_>) -> Finding {
    let ports = count_of(refused.len() as u64, "port");
    let mut finding = Finding::of(&ABOUT, format!("{client} tries {ports} of {server}, which refuse"));
    finding.severity = Severity::Info;
    finding.about(Role::Server, &server);
    finding.about(Role::Client, &client);
    finding.counts.insert("ports", refused.len() as i64);
    let family = server.family();
    let frames = refused.iter().flat_map(|(_, failing)| failing.frames().take(2)).take(16);
    finding.cite(world, frames, &format!("{family}.addr == {server} && {family}.addr == {client} && tcp"));
    let spans = refused.iter().map(|(_, failing)| failing.span_ns());
    let (first, last) = union(spans).unwrap_or_default();
    finding.span(first, last);
    finding.explanation = format!(
        "{client} asked {ports} of {server} once or twice each, and all refused: somebody looks which are open (a scan, a \
         discovery of services), and no server is missed."
    );
    finding.fix.text = format!("Nothing has to be mended. If nobody is meant to do this, see what runs at {client}.");
    finding.fix.commands = vec![format!("kubectl get pods,nodes -A -o wide | grep -wF {client}")];
    finding
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
    let not_by_lot = match failing.others {
        0 => "no connection to the address succeeds, so it is not one endpoint of several",
        _ => "all connections of these clients fail and those of others do not: by lot some would succeed",
    };
    finding.rule_out("SVC002", not_by_lot);
    advise(&mut finding, server.addr, failing);
    place(&mut finding, service, world);
    finding
}

fn advise(finding: &mut Finding, server: Addr, failing: &Failing<'_>) {
    let find = format!("kubectl get pods,services,endpointslices -A -o wide | grep -wF {server}");
    finding.fix.commands = vec![find, "kubectl exec POD -- ss -ltn".to_owned()];
    let Some(client) = failing.clients.first().filter(|_| failing.others > 0) else { return };
    "The port is open for others. Find the rule that resets these clients: a NetworkPolicy, or a firewall on the server's \
     node or in its pod that rejects with a TCP reset."
        .clone_into(&mut finding.fix.text);
    finding.fix.commands.truncate(1);
    let rules = format!("iptables-save | grep -e tcp-reset -e {client} -e {server}");
    finding.fix.commands.extend(["kubectl get networkpolicy -A -o yaml".to_owned(), rules]);
}

/// Says that a capture of the server shows who refuses, or where to look for that.
fn place(finding: &mut Finding, service: &Service, world: &World<'_>) {
    if let Some(capture) = never_came_to(service, world) {
        let before = format!(
            " A capture of the server ({capture}) has other connections to it and none of these: a firewall or policy \
             before it sent the resets."
        );
        finding.explanation.push_str(&before);
    } else {
        let tells = "if the SYN never arrives there, a box in between sent the reset";
        finding.capture_next = world.capture_next(service.hosts().map(Spot::Host), tells);
    }
}

/// A capture of the server that has connections to it and none of those refused.
fn never_came_to<'a>(service: &Service, world: &'a World<'_>) -> Option<&'a str> {
    let kept = &world.facts.servers.kept;
    let own = service.connections.iter().filter_map(|at| kept.connections().get(*at as usize));
    let with = |outcome: Outcome| own.clone().filter(move |connection| connection.outcome == outcome);
    let units = |outcome: Outcome| with(outcome).flat_map(|c| c.flows(kept)).map(|flow| flow.unit).collect();
    let (refused, granted): (BTreeSet<u32>, BTreeSet<u32>) = (units(Outcome::Refused), units(Outcome::Established));
    let lacks = |unit: &u32| granted.contains(unit) && !refused.contains(unit);
    let unit = service.hosts().flat_map(|host| world.captures_of(host)).find(lacks)?;
    world.unit_name(unit)
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
