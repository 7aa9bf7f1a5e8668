use super::About;
use super::attempts::Outcome;
use super::evidence::{count_of, servers_filter, some_of};
use super::strangers::{Stranger, strangers};
use super::stuck_at_nat::{Group, stuck};
use super::vantage::Spot;
use super::world::World;
use crate::finding::{Finding, Role, Severity};
use crate::path::{Connection, Signs};
use crate::track::event::{ConnState, Flow};
use crate::track::{Endpoint, FrameId};
use std::collections::{BTreeMap, BTreeSet};

pub(super) const ABOUT: About = About {
    code: "NAT002",
    slug: "conntrack-expired",
    title: "idle connections were forgotten by conntrack",
    severity: Severity::Error,
    what: "After a pause the next segment of an established connection is treated as new: it is balanced to another \
           endpoint, which knows nothing of it and resets it.",
    why: "The node's conntrack dropped the entry, because its timeout is shorter than the pause or the table was flushed. \
          Pools of idle connections fail at random, and only some: with luck the draw hits the old endpoint again.",
    how: "Where both sides of the translation are seen: the sequence numbers of a connection go on, without a SYN, to \
          another endpoint. From the client's side: established connections of one service are reset by a host of the \
          usual distance that has no such socket (a reset without ACK), right at the first segment after a pause, while \
          others of the service survive such a pause.",
    false_positives: "A server that was restarted resets all its idle connections; a middlebox's reset has a TTL of its \
                      own (NAT007); a server that closes idle connections sends FIN first.",
    fix: "Send TCP keep-alives more often than conntrack forgets, or raise nf_conntrack_tcp_timeout_established (and \
          kube-proxy's conntrack.tcpEstablishedTimeout).",
    filter: "tcp.flags.reset == 1 && tcp.flags.ack == 0",
    judge: find,
};

/// What was seen of one service.
#[derive(Default)]
struct Case<'a> {
    /// Connections that went on elsewhere, or were reset.
    lost: Vec<(&'a Connection, &'a Flow)>,
    /// Where they went on.
    elsewhere: BTreeSet<Endpoint>,
    /// Where they are not forwarded to any more.
    cut_off: BTreeSet<Endpoint>,
    /// Connections that went on after a pause, of which the last one of each is known, and the longest of these.
    survived: u64,
    survived_ns: i64,
    /// Connections whose segments are not forwarded any more, and those of them that had not been idle.
    silent: u64,
    busy: u64,
}

impl Case<'_> {
    /// What was forgotten, in words.
    fn lost(&self) -> String {
        count_of(self.lost.len() as u64, if self.busy == 0 { "idle connection" } else { "connection" })
    }
}

fn find(world: &World<'_>) -> Vec<Finding> {
    let mut cases: BTreeMap<Endpoint, Case<'_>> = BTreeMap::new();
    let found = strangers(world);
    for Stranger { connection, flow } in &found {
        let front = connection.front();
        if flow.orig == front.orig && flow.was_reset(false) && !flow.was_reset(true) {
            let case = cases.entry(front.resp).or_default();
            case.lost.push((connection, flow));
            case.elsewhere.insert(flow.resp);
        }
    }
    for group in stuck(world).into_iter().filter(Group::is_forgotten) {
        let case = cases.entry(group.service).or_default();
        case.silent += group.stuck.len() as u64;
        case.busy += group.stuck.iter().filter(|stuck| !stuck.was_idle()).count() as u64;
        case.cut_off.insert(group.endpoint);
        case.lost.extend(group.stuck.iter().map(|stuck| (stuck.connection, stuck.pre)));
    }
    let mut paused = paused(world);
    for (service, case) in &mut cases {
        let others = paused.remove(service).unwrap_or_default();
        (case.survived, case.survived_ns) = (others.survived, others.survived_ns);
    }
    // Else the client's side may tell.
    paused.retain(|_, case| !case.lost.is_empty() && case.survived > 0 && resets_have_usual_distance(case));
    cases.extend(paused);
    cases.iter().map(|(service, case)| judge(*service, case, world)).collect()
}

/// Resets that come this soon after the pause ended answer the first segment after it.
const AT_ONCE_NS: i64 = 100_000_000;
/// A pause that a timer may have ended; shorter ones are a server's business.
const PAUSE_NS: i64 = 2_000_000_000;

/// Connections that paused by their services, as clients know them: reset after it, or not.
fn paused<'a>(world: &'a World<'a>) -> BTreeMap<Endpoint, Case<'a>> {
    let kept = &world.facts.servers.kept;
    let mut cases: BTreeMap<Endpoint, Case<'_>> = BTreeMap::new();
    let established = world.facts.servers.outcomes().filter(|(_, _, outcome)| *outcome == Outcome::Established);
    for (_, connection, _) in established.filter(|(_, connection, _)| connection.signs.has(Signs::PAUSED)) {
        let Some(flow) = connection.front().flows(kept).next() else { continue };
        let Some((pause_ns, end_ns)) = flow.pause().filter(|(ns, _)| *ns >= PAUSE_NS) else { continue };
        let case = cases.entry(flow.resp).or_default();
        if is_reset_at(flow, end_ns) {
            case.lost.push((connection, flow));
        } else if !flow.was_reset(false) && flow.from_resp.payload_bytes > 0 && flow.last_ns > end_ns && pause_ns > 0 {
            case.survived += 1;
            case.survived_ns = case.survived_ns.max(pause_ns);
        }
    }
    cases
}

fn is_reset_at(flow: &Flow, end_ns: i64) -> bool {
    let at_once = |ns: i64| ns >= end_ns && ns - end_ns < AT_ONCE_NS;
    let by_server = flow.state == ConnState::Rstr && !flow.from_resp.fin && !flow.from_orig.fin;
    by_server && flow.reset().is_some_and(|reset| !reset.by_orig && at_once(reset.ns))
}

fn resets_have_usual_distance(case: &Case<'_>) -> bool {
    let usual = |flow: &Flow| flow.reset().is_some_and(|reset| Some(reset.ttl) == flow.from_resp.ttl);
    case.lost.iter().all(|(_, flow)| usual(flow))
}

fn judge(service: Endpoint, case: &Case<'_>, world: &World<'_>) -> Finding {
    let kept = &world.facts.servers.kept;
    let lost = case.lost();
    let proven = !case.elsewhere.is_empty() || case.silent > 0;
    let mut finding = Finding::of(&ABOUT, format!("{lost} to {service} forgotten by conntrack"));
    finding.confidence = if proven { 0.95 } else { 0.65 };
    finding.about(Role::Service, &service);
    for endpoint in case.elsewhere.union(&case.cut_off).take(8) {
        finding.about(Role::Endpoint, endpoint);
    }
    let clients: BTreeSet<_> = case.lost.iter().map(|(connection, _)| connection.front().orig.addr).collect();
    for client in clients.iter().take(8) {
        finding.about(Role::Client, client);
    }
    finding.counts.insert("reset", case.lost.len() as i64);
    finding.counts.insert("survived", case.survived as i64);
    let times = || case.lost.iter().map(|(_, flow)| flow.reset().map_or(flow.last_ns, |reset| reset.ns));
    finding.span(times().min().unwrap_or_default(), times().max().unwrap_or_default());
    let frames =
        case.lost.iter().flat_map(|(_, flow)| std::iter::once(flow.first).chain(flow.reset().map(|r| r.frame)));
    let servers: BTreeSet<Endpoint> = case.lost.iter().map(|(_, flow)| flow.resp).collect();
    finding.cite(world, frames.collect::<Vec<FrameId>>(), &servers_filter(servers.iter()));
    let fronts = case.lost.iter().filter_map(|(connection, _)| connection.front().flows(kept).next());
    let pauses: Vec<i64> = fronts.filter_map(Flow::pause).map(|(ns, _)| ns).collect();
    finding.explanation = explain(service, case, &lost, &pauses);
    rule_out(&mut finding, case);
    finding.fix.commands = vec![
        "sysctl net.netfilter.nf_conntrack_tcp_timeout_established".to_owned(),
        "kubectl -n kube-system get configmap kube-proxy -o yaml | grep -i -A4 conntrack".to_owned(),
    ];
    if !proven {
        finding.limits.push("only the client's side was seen: that another endpoint answered is inferred".to_owned());
        let clients: BTreeSet<_> = case.lost.iter().map(|(connection, _)| connection.front().orig.addr).collect();
        let tells = "there the connection is seen to change its endpoint";
        finding.capture_next = world.capture_next(clients.into_iter().take(1).map(Spot::NodeOf), tells);
    }
    finding
}

fn rule_out(finding: &mut Finding, case: &Case<'_>) {
    if (case.silent as usize) < case.lost.len() {
        let why = "the reset comes from a host that has no such socket, at the first segment after a pause";
        finding.rule_out("SVC008", why);
        finding.rule_out("NAT007", "the resets have the TTL of the cluster's hosts, not of a box on the way");
    } else {
        finding.rule_out("SVC008", "the segments reach no server");
    }
}

fn explain(service: Endpoint, case: &Case<'_>, lost: &str, pauses: &[i64]) -> String {
    let pause =
        pauses.iter().min().map_or(String::new(), |ns| format!(" after {:.1} s or more of silence", *ns as f64 / 1e9));
    let where_to = if case.silent > 0 {
        "and its repetitions were not forwarded any more, while new connections are".to_owned()
    } else if case.elsewhere.is_empty() {
        "was answered by a reset from a host that has no such connection".to_owned()
    } else {
        format!("was sent to {}, which has no such connection and reset it", some_of(&case.elsewhere, 3))
    };
    let survived = match case.survived {
        0 => String::new(),
        n => format!(
            " At least {} after pauses of {:.1} s or more, the longest {:.1} s: their draw hit the right endpoint, or their \
             entry was still there.",
            if n == 1 { "1 other went on".to_owned() } else { format!("{n} others went on") },
            PAUSE_NS as f64 / 1e9,
            case.survived_ns as f64 / 1e9,
        ),
    };
    let flushed = match case.busy {
        0 => "",
        _ => " They were in use, so no timeout ended it: it was deleted, or the table was flushed.",
    };
    format!(
        "{lost} to {service}: the first segment{pause} {where_to}. The node had forgotten the entry.{flushed}{survived}"
    )
}
