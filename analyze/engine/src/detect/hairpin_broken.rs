use super::About;
use super::attempts::Outcome;
use super::evidence::{count_of, some_of};
use super::lost_at_nat;
use super::world::World;
use crate::Addr;
use crate::finding::{Finding, Role, Severity};
use crate::packet::TCP;
use crate::path::{Binding, Connection, Kept, Stage};
use crate::time::union;
use crate::track::Endpoint;
use crate::track::event::{Flow, LegSeen};
use std::collections::{BTreeMap, BTreeSet};

pub(super) const ABOUT: About = About {
    code: "SVC011",
    slug: "hairpin-broken",
    title: "a pod cannot reach itself through its service",
    severity: Severity::Error,
    what: "SYNs of a pod to a service that is balanced to the pod itself are never answered.",
    why: "The translated packet must go back out of the port it came from, with another source. Without hairpin mode the \
          bridge does not send it back; without masquerading the pod drops a packet from its own address as martian. Only \
          the pod that draws itself fails, the others are well.",
    how: "A connection whose translated destination is its originator's own address gets no answer, while it is repeated \
          like any SYN; or the SYN under that translation gets none, and its repetition is balanced anew and answered. Or \
          SYNs of an address to itself, seen elsewhere than on loopback, get no answer, and none ever does. Or three or \
          more connections of a pod lose SYNs on its node to a service that gives the pod to others, and never to itself, \
          while nobody else's are lost.",
    false_positives: "With masquerading the copy that arrives has the bridge's address as its source and is answered.",
    fix: "Turn hairpin mode on for the CNI's bridge ports (hairpinMode in its configuration), and see whether \
          kube-proxy's rule that masquerades a pod's traffic to itself is there (KUBE-MARK-MASQ in its KUBE-SEP chain).",
    filter: "tcp.flags == 2",
    judge: find,
};

/// What was seen of one service.
#[derive(Default)]
struct Case<'a> {
    failed: Vec<&'a Connection>,
    pods: BTreeSet<Addr>,
    endpoints: BTreeSet<Endpoint>,
    /// Whether the source was translated.
    masked: bool,
    /// Connections whose repeated SYN went elsewhere.
    drawn_anew: u64,
    /// Whether it was not seen what they drew.
    unseen: bool,
}

fn find(world: &World<'_>) -> Vec<Finding> {
    let mut cases: BTreeMap<Endpoint, Case<'_>> = BTreeMap::new();
    for (_, connection, outcome) in world.facts.servers.outcomes() {
        let hairpin = Binding::of(connection).any(|binding| binding.is_hairpin()) || is_to_itself(connection, world);
        let fails = matches!(outcome, Outcome::Unanswered | Outcome::HalfOpen);
        if hairpin && (fails || is_drawn_anew(connection, &world.facts.servers.kept)) {
            let case = cases.entry(connection.front().resp).or_default();
            case.failed.push(connection);
            case.pods.insert(connection.front().orig.addr);
            let back = returned(connection).last().unwrap_or(connection.back());
            case.endpoints.insert(back.resp);
            case.masked |= back.orig.addr != connection.front().orig.addr;
            case.drawn_anew += u64::from(!fails);
        }
    }
    unseen(world, &mut cases);
    cases.iter().map(|(service, case)| judge(*service, case, world)).collect()
}

/// Attempts that vanish before it is seen what they drew, of as many that makes it no chance.
const PATTERN: usize = 3;

/// Attempts of endpoints at their own service that vanish on their node, where nobody else's do: without hairpin mode the
/// bridge sends nothing out of the port it came from, so the translation is not seen.
fn unseen<'a>(world: &'a World<'a>, cases: &mut BTreeMap<Endpoint, Case<'a>>) {
    let lost = lost_at_nat::lost(world);
    let own = lost_at_nat::own_endpoints(&lost, world);
    let mut vanished: BTreeMap<Endpoint, Vec<&lost_at_nat::Lost<'_>>> = BTreeMap::new();
    for lost in lost.iter().filter(|lost| lost.pre.proto == TCP) {
        vanished.entry(lost.connection.front().resp).or_default().push(lost);
    }
    vanished.retain(|service, lost| {
        lost.len() >= PATTERN && lost.iter().all(|lost| own.contains(&lost.pair())) && !cases.contains_key(service)
    });
    for (service, lost) in vanished {
        let clients: BTreeSet<Addr> = lost.iter().map(|lost| lost.connection.front().orig.addr).collect();
        let kept = &world.facts.servers.kept;
        // Others are served, by the same endpoints as well.
        let others = kept.sent_to(service).filter(|other| !clients.contains(&other.front().orig.addr));
        let served: Vec<Endpoint> =
            others.filter(|other| other.outcome.is_granted()).filter_map(Connection::endpoint).collect();
        if clients.iter().all(|client| served.iter().any(|endpoint| endpoint.addr == *client)) {
            let case = cases.entry(service).or_default();
            case.failed = lost.iter().map(|lost| lost.connection).collect();
            case.endpoints = served.into_iter().filter(|at| clients.contains(&at.addr)).collect();
            case.drawn_anew = lost.iter().filter(|lost| lost.passed()).count() as u64;
            case.pods = clients;
            case.unseen = true;
        }
    }
}

/// Whether a host sends to its own address over a wire, which only translation makes it do. What it sends itself stays on
/// its loopback, where such connections come about.
fn is_to_itself(connection: &Connection, world: &World<'_>) -> bool {
    let itself = |stage: &Stage| stage.orig.addr == stage.resp.addr && !stage.orig.addr.is_loopback();
    if connection.stages.len() > 1 || !itself(connection.front()) {
        return false;
    }
    let kept = &world.facts.servers.kept;
    let on_loopback = |leg: &LegSeen| world.interface(leg.point) == Some("lo");
    let mut legs = connection.flows(kept).flat_map(Flow::legs);
    let works = |other: &Connection| itself(other.front()) && other.outcome.is_granted();
    !legs.any(on_loopback) && !kept.sent_to(connection.front().resp).any(works)
}

/// Where a connection is sent back to its originator.
fn returned(connection: &Connection) -> impl Iterator<Item = &Stage> {
    let front = connection.front();
    connection.stages.iter().filter(|stage| stage.resp != front.resp && stage.resp.addr == front.orig.addr)
}

/// Whether nothing came of the way back to the originator, and the repeated SYN went to another endpoint, which answered:
/// what is dropped on the node leaves no entry in conntrack, so the lot is drawn again.
fn is_drawn_anew(connection: &Connection, kept: &Kept) -> bool {
    let own = connection.front().orig.addr;
    let answered = |stage: &Stage| stage.flows(kept).any(|flow| flow.from_resp.packets > 0);
    let elsewhere = connection.stages.iter().skip(1).filter(|stage| stage.resp.addr != own);
    !returned(connection).any(answered) && elsewhere.filter(|at| at.resp != connection.front().resp).any(answered)
}

fn judge(service: Endpoint, case: &Case<'_>, world: &World<'_>) -> Finding {
    let kept = &world.facts.servers.kept;
    let tries = count_of(case.failed.len() as u64, "connection");
    let pods = some_of(&case.pods, 3);
    let through = if case.pods.contains(&service.addr) { "at its own address" } else { "through" };
    let mut finding = Finding::of(&ABOUT, format!("{pods} cannot reach itself {through} {service} ({tries})"));
    finding.about(Role::Service, &service);
    for pod in &case.pods {
        finding.about(Role::Client, pod);
    }
    for endpoint in &case.endpoints {
        finding.about(Role::Endpoint, endpoint);
    }
    let flows = || case.failed.iter().flat_map(|connection| connection.flows(kept));
    finding.counts.insert("unanswered", case.failed.len() as i64);
    finding.counts.insert("clients", case.pods.len() as i64);
    let spans = flows().map(|flow| (flow.first_ns, flow.last_ns));
    let (first, last) = union(spans).unwrap_or_default();
    finding.span(first, last);
    let frames = flows().flat_map(|flow: &Flow| flow.syns.iter().copied().take(2)).collect::<Vec<_>>();
    let family = service.addr.family();
    finding.cite(
        world,
        frames,
        &format!("{family}.src == {} && tcp.flags == 2", case.pods.first().copied().unwrap_or_default()),
    );
    finding.explanation = explain(&tries, &pods, service, case);
    if case.unseen {
        finding.confidence = 0.8;
        finding.rule_out("NAT005", "only the service's own endpoints lose SYNs to it, others pass at once");
    }
    finding.rule_out("SVC002", "the endpoint is the client itself");
    finding.rule_out("SVC004", "the destination is the client itself: only the way back to it is broken");
    finding.fix.commands = vec![
        "cat /sys/class/net/*/brport/hairpin_mode".to_owned(),
        "iptables-save -t nat | grep -e KUBE-MARK-MASQ -e MASQUERADE".to_owned(),
    ];
    finding
}

fn explain(tries: &str, pods: &str, service: Endpoint, case: &Case<'_>) -> String {
    let anew = match case.drawn_anew {
        0 => "",
        _ => " Where the SYN was repeated, another endpoint was drawn and answered.",
    };
    let endpoints = some_of(&case.endpoints, 2);
    if case.unseen {
        return format!(
            "{tries} of {pods} to {service} lost SYNs on the node, before a translation of them was seen. {pods} is itself \
             an endpoint of the service ({endpoints}): other clients are given it, and {pods} never is. A SYN that draws \
             its own sender has to leave by the bridge's port that it came in by, and the bridge drops it.{anew}",
        );
    }
    let source = if case.masked {
        "with a translated source"
    } else {
        "with the pod's own address as source, which a host takes for a martian"
    };
    format!(
        "{tries} of {pods} to {service} drew the pod itself as endpoint ({endpoints}). The SYN goes back to it {source}, \
         and nothing is answered.{anew}",
    )
}
