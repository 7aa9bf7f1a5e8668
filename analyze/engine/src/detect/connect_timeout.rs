mod kept_out;

use super::About;
use super::attempts::Outcome;
use super::evidence::{count_of, server_filter, some_of};
use super::last_seen::{LastSeen, last_seen};
use super::services::{Failing, SIBLING, Service, severity};
use super::unreachable_end::unreachable_end;
use super::vantage::Spot;
use super::world::World;
use crate::Addr;
use crate::finding::{Finding, Role, Severity};
use std::collections::BTreeSet;

pub(super) const ABOUT: About = About {
    code: "SVC004",
    slug: "connect-timeout",
    title: "connection attempts to this address are never answered",
    severity: Severity::Error,
    what: "SYNs to an address and port are repeated on the kernel's schedule and never answered: no SYN-ACK, no reset, \
           no ICMP error.",
    why: "Something drops the packets without a word: a NetworkPolicy or firewall, a dead host, a missing route. \
          Clients hang until they time out.",
    how: "TCP connections with three or more SYNs and nothing in return, to an address and port to which no connection \
          was established, at a point where other connections or ARP show both directions; or to one that answers no new \
          connection since some time, while those that were open go on. Two SYNs count where the client then gave up. \
          Linux repeats a SYN after 1, 2, 3, 4, 5, 7, 11 s since 6.5 and after 1, 3, 7, 15 s before. Of several captures \
          the last on the way that has the SYNs is named, and those that only connections which come about go on to.",
    false_positives: "A capture filter that hides the answers, or a point that only one direction passes, looks the \
                      same: then nothing is said. Where some attempts succeed it is loss, an overflow or one of several \
                      endpoints. Attempts inside a broken tunnel are its symptom.",
    fix: "Look for a NetworkPolicy or firewall that drops this traffic on the way to the address, and whether the \
          address still exists.",
    filter: "tcp.flags.syn == 1 && tcp.flags.ack == 0 && tcp.analysis.retransmission",
    judge: find,
};

fn find(world: &World<'_>) -> Vec<Finding> {
    let services = world.facts.servers.services();
    let silent = |service: &Service| {
        let failing = service.failing(Outcome::Unanswered, |counts| counts.unanswered)?;
        let heard = Heard::of(service, &failing, world);
        let answered = failing.counts.refused + failing.counts.rejected > 0;
        let known = answered || is_explained(service, world);
        (!known && (heard.is_any() || world.restricted)).then(|| judge(service, &failing, heard, world))
    };
    let found = services.iter().filter_map(silent);
    found.chain(services.iter().flat_map(|service| of_endpoints(service, world))).collect()
}

/// What is wrong between some clients and one of several endpoints of a service, where others keep it alive for them.
fn of_endpoints(service: &Service, world: &World<'_>) -> Vec<Finding> {
    let judge_one = |one: &Service| {
        let mut failing = one.failing(Outcome::Unanswered, |counts| counts.unanswered)?;
        // Who reaches no endpoint at all, or none any more, is told of the service.
        let since_ns = failing.span_ns().0;
        failing.clients.retain(|client| kept_out::is_served(*client, since_ns, service, world));
        let heard = Heard::of(one, &failing, world);
        let known = is_explained(service, world) || is_explained(one, world);
        if failing.clients.is_empty() || failing.others == 0 || known || !heard.is_any() {
            return None;
        }
        let mut finding = judge(one, &failing, heard, world);
        finding.about(Role::Service, &service.server);
        Some(finding)
    };
    kept_out::endpoints(service, world).iter().filter_map(judge_one).collect()
}

/// Whether another finding says why attempts at a service fail.
fn is_explained(service: &Service, world: &World<'_>) -> bool {
    world.knows(EXPLAIN, &service.server) || is_in_broken_tunnel(service, world) || no_route_known(service, world)
}

/// What explains that attempts are never answered.
const EXPLAIN: &[&str] =
    &["SVC002", "SVC006", "SVC007", "SVC010", "SVC011", "SVC012", "NAT001", "NAT002", "NAT004", "NAT005", "DNS010"];

pub(super) fn is_in_broken_tunnel(service: &Service, world: &World<'_>) -> bool {
    let enters = service.attempts.tunnels.iter().any(|tunnel| world.is_broken(*tunnel));
    enters || service.connections.iter().any(|at| is_beyond(*at, world))
}

/// Whether a connection went through a tunnel that sends nothing any more.
fn is_beyond(connection: u32, world: &World<'_>) -> bool {
    let kept = &world.facts.servers.kept;
    let connection = kept.connections().get(connection as usize);
    world.found(&["OVL001"]).next().is_some()
        && connection.is_some_and(|connection| connection.flows(kept).any(|flow| world.is_in_broken_tunnel(flow)))
}

/// What is sent to clients and was seen where their attempts were.
#[derive(Clone, Copy)]
struct Heard {
    /// Connections that have both directions.
    connections: u64,
    /// Whether somebody answered the ARP or neighbour discovery of the clients, or of the ends of their tunnel.
    neighbours: bool,
    /// Whether the capture is known to have both directions.
    both_ways: bool,
}

impl Heard {
    fn of(service: &Service, failing: &Failing<'_>, world: &World<'_>) -> Self {
        let units = failing.frames().filter_map(|frame| world.unit(frame.capture()));
        let units: BTreeSet<u32> = units.filter(|unit| !world.is_one_sided(*unit)).collect();
        let tunnels = service.attempts.tunnels.iter().filter_map(|tunnel| world.tunnel(*tunnel));
        let ends = tunnels.flat_map(|tunnel| [tunnel.a, tunnel.b]);
        let askers: BTreeSet<Addr> = failing.clients.iter().copied().chain(ends).collect();
        let answered = |unit: u32| askers.iter().any(|asker| world.facts.neighbours.contains(&(unit, *asker)));
        Self {
            connections: units.iter().map(|unit| world.two_way(*unit)).sum(),
            neighbours: units.iter().any(|unit| answered(*unit)),
            both_ways: !units.is_empty() && units.iter().all(|unit| world.has_both_ways(*unit)),
        }
    }

    fn is_any(self) -> bool {
        self.connections > 0 || self.neighbours || self.both_ways
    }

    /// Whether answers would be seen if there were any.
    fn visibility(self) -> String {
        match (self.connections, self.neighbours) {
            (0, _) if self.both_ways => {
                "All interfaces were captured in both directions, so answers would be seen.".to_owned()
            }
            (0, true) => "ARP is answered here, so answers would be seen.".to_owned(),
            (0, false) => "Whether answers would be seen is not known, because the analysis was restricted.".to_owned(),
            (n, _) => format!("{} have both directions, so answers would be seen.", count_of(n, "other connection")),
        }
    }
}

/// Whether the missing route to the address is a finding already.
fn no_route_known(service: &Service, world: &World<'_>) -> bool {
    let mut addresses = std::iter::once(&service.server).chain(&service.behind).map(|server| server.addr.to_string());
    let known =
        |address: &str| world.found(&["NET004"]).any(|finding| finding.subjects.iter().any(|s| s.address == address));
    addresses.any(|address| known(&address))
}

fn judge(service: &Service, failing: &Failing<'_>, heard: Heard, world: &World<'_>) -> Finding {
    let server = service.server;
    let tries = count_of(failing.counts.unanswered, "connection attempt");
    let whom = if failing.others > 0 { format!(" {}", some_of(&failing.clients, 2)) } else { String::new() };
    let mut finding = Finding::of(&ABOUT, format!("{server} never answers{whom} ({tries})"));
    finding.severity = severity(ABOUT.severity, failing.counts.unanswered, service.sibling);
    finding.confidence = confidence(failing, heard);
    finding.concern(service, failing, []);
    finding.counts.insert("unanswered", failing.counts.unanswered as i64);
    finding.counts.insert("syns", failing.syns() as i64);
    finding.cite(world, failing.frames(), &server_filter(service));
    let last = last_seen(service, failing, world);
    finding.explanation = format!(
        "{tries} from {} got nothing back: no SYN-ACK, no reset, no ICMP error. {}{} A silent drop on the way is the \
         usual cause: a NetworkPolicy or firewall, or a host that is gone.{}",
        some_of(&failing.clients, 3),
        heard.visibility(),
        last.as_ref().map(LastSeen::sentence).unwrap_or_default(),
        failing.others_in_words(),
    );
    if service.sibling {
        finding.limits.push(SIBLING.to_owned());
    }
    if let Some(end) = unreachable_end(failing, world) {
        be_symptom(&mut finding, end);
    }
    finding.rule_out("SVC003", "no reset came back");
    finding.rule_out("SVC005", "no ICMP error came back");
    finding.fix.commands = vec![
        "kubectl get networkpolicy -A -o yaml".to_owned(),
        format!("kubectl get pods,services,endpointslices -A -o wide | grep -wF {}", server.addr),
    ];
    finding.capture_next = match last {
        Some(last) => Some(last.next()),
        None => world.capture_next(service.hosts().flat_map(|host| [Spot::NodeOf(host), Spot::Host(host)]), ANYWHERE),
    };
    finding
}

fn confidence(failing: &Failing<'_>, heard: Heard) -> f64 {
    match failing.counts.unanswered {
        _ if !heard.is_any() => 0.5,
        1 => 0.7,
        _ => 0.85,
    }
}

/// Says that the attempts were for what is behind a tunnel's end that could not be reached.
fn be_symptom(finding: &mut Finding, end: Addr) {
    finding.severity = Severity::Info;
    let why = format!(
        " All that time a host on the way could not reach {end}, the far end of a tunnel (NET004): what was for the pods \
         behind it got no further."
    );
    finding.explanation.push_str(&why);
}

/// What tells where nothing is known of the way.
const ANYWHERE: &str = "where the SYN is last seen is where it is dropped; if it is answered there, the answer is lost";
