mod met;

use super::About;
use super::attempts::{Counts, Outcome};
use super::backend_reset;
use super::connection_limit::limit;
use super::evidence::{count_of, server_filter, some_of};
use super::lot::{depends_on_client, is_lot, is_spell, served};
use super::services::Service;
use super::vantage::Spot;
use super::world::World;
use crate::Addr;
use crate::finding::{Finding, Role, Severity};
use crate::path::{Connection, Kept};
use crate::time::union;
use crate::track::event::Flow;
use crate::track::{Endpoint, FrameId};
use met::Met;
use std::collections::{BTreeMap, BTreeSet};

pub(super) const ABOUT: About = About {
    code: "SVC002",
    slug: "stale-endpoint",
    title: "one of several endpoints of a service is dead",
    severity: Severity::Error,
    what: "Some connections to a service work and others, at random, are refused, unreachable or never answered: those \
           that are balanced to an endpoint that is gone or does not listen.",
    why: "A share of all requests fails, whichever client asks, and a retry mostly helps, so that it looks like a \
          flaky network.",
    how: "Where the translation was seen: every connection that was sent to one endpoint fails while others of the same \
          service work. From the client's side alone: failures and successes of one service take turns as a draw by lot \
          would have it, and a connection that fails never recovers by repeating its SYN, because conntrack keeps it at \
          its endpoint. Behind the translation: one address fails, and its neighbours on the same port serve the same \
          clients in between.",
    false_positives: "A server that was restarted fails in one stretch of time. Where repeated SYNs are answered in the \
                      end it is loss, an overflowing backlog or a full table, not an endpoint.",
    fix: "Remove the dead address from the service: give the pods a readiness probe, see whether the EndpointSlice and \
          the node's rules still follow the API, and let pods that end wait in a preStop hook until they are gone from \
          the lists.",
    filter: "tcp.flags.reset == 1 || icmp.type == 3 || tcp.flags == 2",
    judge: find,
};

/// A share of a service that fails.
struct Dead {
    /// The endpoint, where it is known.
    endpoint: Option<Endpoint>,
    /// What its connections met.
    outcome: Outcome,
    failed: Vec<u32>,
    /// Attempts of which the failed ones are a share.
    total: u64,
    /// Endpoints that serve.
    others: BTreeSet<Endpoint>,
    confidence: f64,
    /// Whether it served at first, as far as the outcomes tell.
    served: bool,
}

fn find(world: &World<'_>) -> Vec<Finding> {
    let services = world.facts.servers.services();
    let mut findings = Vec::new();
    for service in services {
        let mut dead = translated(service, world);
        if dead.is_empty() && limit(service, world).is_none() {
            dead.extend(by_lot(service, world).or_else(|| among_neighbours(service, world)));
        }
        let in_tunnel =
            |at: &u32| connection(world, *at).flows(kept(world)).any(|flow| world.is_in_broken_tunnel(flow));
        // What enters a tunnel's interface and never leaves is seen outside alone.
        let served = |at: &Endpoint| kept(world).sent_to(*at).flat_map(|of| of.flows(kept(world)));
        let beyond = |at: &Endpoint| served(at).any(|flow| world.is_in_broken_tunnel(flow));
        dead.retain(|dead| !dead.failed.iter().all(in_tunnel) && !dead.endpoint.as_ref().is_some_and(beyond));
        findings.extend(dead.iter().map(|dead| judge(service, dead, world)));
    }
    findings
}

/// Failures without an answer that are more than chance.
const SILENT: usize = 2;

fn kept<'a>(world: &'a World<'_>) -> &'a Kept {
    &world.facts.servers.kept
}

fn connection<'a>(world: &'a World<'_>, at: u32) -> &'a Connection {
    &kept(world).connections()[at as usize]
}

/// What became of the connections that were sent to one endpoint.
#[derive(Default)]
struct Sent {
    counts: Counts,
    failed: Vec<u32>,
    /// The last that came about.
    served: Option<u32>,
}

impl Sent {
    /// Takes a connection; `elsewhere`: why it failed lies with who asks, or on the way back.
    fn add(&mut self, at: u32, connection: &Connection, elsewhere: bool) {
        self.counts.add(connection.outcome);
        if connection.outcome == Outcome::Established {
            self.served = Some(at);
        } else if connection.outcome.is_failure() && !elsewhere {
            self.failed.push(at);
        }
    }

    /// Whether it serves at a time: what succeeded before and fails itself since went down as well.
    fn serves_at(&self, at: u32) -> bool {
        self.served.is_some_and(|served| served > at || self.counts.failed() == 0)
    }
}

/// Endpoints to which connections were seen translated, and at which none succeeded.
fn translated(service: &Service, world: &World<'_>) -> Vec<Dead> {
    let mut endpoints: BTreeMap<Endpoint, Sent> = BTreeMap::new();
    let by_client = is_by_client(service, world);
    for at in &service.connections {
        let connection = connection(world, *at);
        let Some(endpoint) = connection.endpoint() else { continue };
        let rule = by_client && is_prohibited(connection, world);
        // Its SYN-ACKs were seen: they are lost on their way, and it is not dead.
        let answers = connection.flows(kept(world)).any(Flow::is_half_open);
        endpoints.entry(endpoint).or_default().add(*at, connection, rule || answers);
    }
    let total = endpoints.values().map(|sent| sent.counts.established + sent.counts.failed()).sum();
    let dead = |(endpoint, sent): (&Endpoint, &Sent)| {
        let first = *sent.failed.first()?;
        let others: BTreeSet<Endpoint> =
            endpoints.iter().filter(|(_, other)| other.serves_at(first)).map(|(at, _)| *at).collect();
        let outcome = usual(&sent.failed, world)?;
        let enough = outcome != Outcome::Unanswered || sent.failed.len() >= SILENT;
        let dead = sent.counts.granted() == 0 && enough && !others.is_empty();
        let (endpoint, failed) = (Some(*endpoint), sent.failed.clone());
        dead.then_some(Dead { endpoint, outcome, failed, total, others, confidence: 0.95, served: false })
    };
    endpoints.iter().filter_map(dead).collect()
}

/// Whether a firewall says no, which is no matter of endpoints where it depends on who asks. "Port unreachable" is what the
/// endpoint's node says where a rule of its own rejects what comes for it.
fn is_prohibited(connection: &Connection, world: &World<'_>) -> bool {
    let mut rejections = connection.flows(kept(world)).filter_map(Flow::rejection);
    rejections.any(|rejection| rejection.icmp.is_prohibited())
}

/// What most of these connections met.
fn usual(failed: &[u32], world: &World<'_>) -> Option<Outcome> {
    let outcomes: Vec<Outcome> = failed.iter().map(|at| connection(world, *at).outcome).collect();
    let count = |of: Outcome| outcomes.iter().filter(|outcome| **outcome == of).count();
    let kinds = [Outcome::Rejected, Outcome::Refused, Outcome::Unanswered];
    kinds.into_iter().filter(|of| count(*of) > 0).max_by_key(|of| count(*of) + usize::from(*of == Outcome::Rejected))
}

/// Failures that are dealt out among the successes of a service whose translation was not seen.
fn by_lot(service: &Service, world: &World<'_>) -> Option<Dead> {
    let connections = || service.connections.iter().map(|at| (*at, connection(world, *at)));
    if connections().any(|(_, connection)| connection.endpoint().is_some()) {
        return None;
    }
    let outcomes: Vec<(u32, bool)> = connections()
        .map(|(at, connection)| (at, connection.outcome))
        .filter(|(_, outcome)| outcome.is_failure() || *outcome == Outcome::Established)
        .map(|(at, outcome)| (at, outcome.is_failure()))
        .collect();
    let failed: Vec<u32> = outcomes.iter().filter(|(_, failed)| *failed).map(|(at, _)| *at).collect();
    let draws: Vec<bool> = outcomes.iter().map(|(_, failed)| *failed).collect();
    let outcome = usual(&failed, world)?;
    let fits = outcome != Outcome::Unanswered || never_recovers(service, world);
    // What rejects limits its errors, so that some meet silence; nothing else is its work.
    let prohibited = |at: &u32| is_prohibited(connection(world, *at), world);
    let other = |at: &u32| !prohibited(at) && connection(world, *at).outcome != Outcome::Unanswered;
    let fits = fits && !(failed.iter().any(prohibited) && failed.iter().any(other));
    let confidence = if outcome == Outcome::Unanswered { 0.6 } else { 0.85 };
    (is_lot(&draws) && fits && !is_by_client(service, world)).then(|| Dead {
        endpoint: None,
        outcome,
        failed,
        total: draws.len() as u64,
        others: BTreeSet::new(),
        confidence,
        served: served(&draws) || is_spell(&draws),
    })
}

/// Whether failures depend on who asks and when, and not on a lot: for each client everything fails from some time on, or
/// nothing does, which by lot would hardly happen.
fn is_by_client(service: &Service, world: &World<'_>) -> bool {
    let mut clients: BTreeMap<Addr, Vec<bool>> = BTreeMap::new();
    for at in &service.connections {
        let connection = connection(world, *at);
        if connection.outcome.is_failure() || connection.outcome == Outcome::Established {
            clients.entry(connection.front().orig.addr).or_default().push(connection.outcome.is_failure());
        }
    }
    let draws: Vec<Vec<bool>> = clients.into_values().collect();
    depends_on_client(&draws)
}

/// Whether no connection came about after its SYN was repeated: a SYN that one endpoint ignores goes there again.
fn never_recovers(service: &Service, world: &World<'_>) -> bool {
    let established = service.connections.iter().map(|at| connection(world, *at));
    let mut established = established.filter(|connection| connection.outcome == Outcome::Established);
    !established.any(|connection| connection.flows(kept(world)).any(|flow| flow.from_orig.syns > 1))
}

/// An address that always fails, while neighbours of it serve the same clients on the same port in between.
fn among_neighbours(service: &Service, world: &World<'_>) -> Option<Dead> {
    let fails = |at: &u32| connection(world, *at).outcome.is_failure();
    if !service.sibling || service.connections.len() < 2 || !service.connections.iter().all(fails) {
        return None;
    }
    let clients: BTreeSet<Addr> =
        service.connections.iter().map(|at| connection(world, *at).front().orig.addr).collect();
    let server = service.server;
    let near = |connection: &Connection| {
        let at = connection.back().resp;
        at.port == server.port
            && at != server
            && clients.contains(&connection.front().orig.addr)
            && super::services::are_neighbours(at.addr, server.addr)
    };
    let own: BTreeSet<u32> = service.connections.iter().copied().collect();
    let all: Vec<(u32, bool, Endpoint)> = world
        .facts
        .servers
        .outcomes()
        .filter(|(at, connection, outcome)| *outcome == Outcome::Established && near(connection) || own.contains(at))
        .map(|(at, connection, _)| (at, own.contains(&at), connection.back().resp))
        .collect();
    let draws: Vec<bool> = all.iter().map(|(_, failed, _)| *failed).collect();
    let failed: Vec<u32> = own.into_iter().collect();
    let others = all.iter().filter(|(_, failed, _)| !failed).map(|(_, _, endpoint)| *endpoint).collect();
    let outcome = usual(&failed, world)?;
    let prohibited = failed.iter().any(|at| is_prohibited(connection(world, *at), world));
    let (endpoint, total) = (Some(server), draws.len() as u64);
    let dead =
        Dead { endpoint, outcome, failed, total, others, confidence: 0.65, served: served(&draws) || is_spell(&draws) };
    (is_lot(&draws) && !prohibited).then_some(dead)
}

fn judge(service: &Service, dead: &Dead, world: &World<'_>) -> Finding {
    let (tries, server) = (dead.failed.len() as u64, service.server);
    let prohibited = || dead.failed.iter().any(|at| is_prohibited(connection(world, *at), world));
    let what = match dead.outcome {
        Outcome::Refused => "refuses",
        Outcome::Rejected if prohibited() => "is rejected by a firewall",
        Outcome::Rejected => "cannot be reached",
        _ => "never answers",
    };
    let title = match dead.endpoint {
        Some(endpoint) if endpoint != server => format!("endpoint {endpoint} of {server} {what}"),
        Some(endpoint) => format!("{endpoint} {what}, unlike its neighbours"),
        None => format!("one endpoint of {server} {what}"),
    };
    let mut finding = Finding::of(&ABOUT, format!("{title} ({tries} of {} connections)", dead.total));
    finding.confidence = dead.confidence;
    let unsure = dead.endpoint == Some(server) || dead.outcome == Outcome::Unanswered && dead.endpoint.is_none();
    if unsure || tries == 1 {
        finding.severity = Severity::Warning;
    }
    // It went down while clients were there (SVC008); that it is still listed is what follows.
    if dead.served || dead.endpoint.is_none() && backend_reset::is_down(server, world) {
        finding.severity = Severity::Info;
    }
    name(&mut finding, service, dead, world);
    finding.counts.insert("failed", tries as i64);
    finding.counts.insert("connections", dead.total as i64);
    let flows = || dead.failed.iter().flat_map(|at| connection(world, *at).flows(kept(world)));
    let spans = flows().map(|flow| (flow.first_ns, flow.last_ns));
    let (first, last) = union(spans).unwrap_or_default();
    finding.span(first, last);
    finding.cite(world, flows().flat_map(frames), &server_filter(service));
    let met = Met::of(dead, world);
    finding.explanation = explain(server, dead, &met);
    finding.rule_out("SVC003", "other connections to the same service succeed");
    finding.rule_out("NET001", "a connection that fails is not saved by repeating its SYN: it is kept at its endpoint");
    advise(&mut finding, server, dead, world);
    met.advise(&mut finding, dead.endpoint.map(|endpoint| endpoint.addr));
    finding
}

fn name(finding: &mut Finding, service: &Service, dead: &Dead, world: &World<'_>) {
    if dead.endpoint != Some(service.server) {
        finding.about(Role::Service, &service.server);
    }
    if let Some(endpoint) = &dead.endpoint {
        finding.about(Role::Endpoint, endpoint);
    }
    let clients: BTreeSet<Addr> = dead.failed.iter().map(|at| connection(world, *at).front().orig.addr).collect();
    for client in clients.iter().take(8) {
        finding.about(Role::Client, client);
    }
    finding.counts.insert("clients", clients.len() as i64);
}

fn frames(flow: &Flow) -> impl Iterator<Item = FrameId> {
    let answers =
        flow.reset().map(|reset| reset.frame).into_iter().chain(flow.rejection().map(|rejection| rejection.frame));
    flow.syns.iter().copied().take(1).chain(answers).collect::<Vec<_>>().into_iter()
}

fn explain(server: Endpoint, dead: &Dead, met: &Met) -> String {
    let tries = dead.failed.len() as u64;
    let met = met.words();
    let percent = tries * 100 / dead.total.max(1);
    let failed = format!("{} of {} ({percent} %) {met}.", count_of(tries, "connection"), dead.total);
    match dead.endpoint {
        Some(endpoint) if endpoint != server => format!(
            "Connections to {server} are balanced over several endpoints. {failed} All of them were sent to {endpoint}, \
             and none that was succeeded; those sent to {} did.",
            some_of(&dead.others, 3),
        ),
        Some(_) => format!(
            "{failed} In between, the same clients reach {} on the same port, so {server} is likely one of several \
             endpoints of a service whose own address the capture does not show.",
            some_of(&dead.others, 3),
        ),
        None => format!(
            "{failed} The others succeed, in turns that fit a draw among endpoints, so one of those behind {server} is \
             dead. Which one is hidden by the translation on the client's node."
        ),
    }
}

fn advise(finding: &mut Finding, server: Endpoint, dead: &Dead, world: &World<'_>) {
    let (at, what) = match dead.endpoint {
        Some(endpoint) => (endpoint.addr, "pods,endpointslices"),
        None => (server.addr, "services,endpointslices"),
    };
    finding.fix.commands = vec![
        format!("kubectl get {what} -A -o wide | grep -wF {at}"),
        "kubectl get endpointslices -n NAMESPACE -l kubernetes.io/service-name=NAME -o yaml".to_owned(),
    ];
    if dead.endpoint.is_none() {
        let client = dead.failed.first().map(|at| Spot::NodeOf(connection(world, *at).front().orig.addr));
        let tells = format!("behind the translation of {server} the dead endpoint has a name");
        finding.capture_next = world.capture_next(client, &tells);
    }
}
