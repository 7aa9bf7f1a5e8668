use super::About;
use super::attempts::Outcome;
use super::evidence::{count_of, some_of};
use super::world::World;
use crate::Addr;
use crate::finding::{Finding, Role, Severity};
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
          SYNs of an address to itself, seen elsewhere than on loopback, get no answer, and none ever does.",
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
    cases.iter().map(|(service, case)| judge(*service, case, world)).collect()
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
    let source = if case.masked {
        "with a translated source"
    } else {
        "with the pod's own address as source, which a host takes for a martian"
    };
    finding.explanation = format!(
        "{tries} of {pods} to {service} drew the pod itself as endpoint ({}). The SYN goes back to it {source}, and \
         nothing is answered.{}",
        some_of(&case.endpoints, 2),
        if case.drawn_anew == 0 { "" } else { " Where the SYN was repeated, another endpoint was drawn and answered." },
    );
    finding.rule_out("SVC002", "the endpoint is the client itself");
    finding.rule_out("SVC004", "the destination is the client itself: only the way back to it is broken");
    finding.fix.commands = vec![
        "cat /sys/class/net/*/brport/hairpin_mode".to_owned(),
        "iptables-save -t nat | grep -e KUBE-MARK-MASQ -e MASQUERADE".to_owned(),
    ];
    finding
}
