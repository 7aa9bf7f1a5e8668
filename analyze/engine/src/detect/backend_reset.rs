use super::evidence::{count_of, servers_filter, some_of};
use super::slow_server::millis;
use super::turns::TurnService;
use super::world::World;
use super::{About, Outcome, went_down};
use crate::Addr;
use crate::finding::{Finding, Severity};
use crate::path::Connection;
use crate::track::{Endpoint, FrameId, Turn};
use std::collections::BTreeSet;

pub(super) const ABOUT: About = About {
    code: "SVC008",
    slug: "backend-reset",
    title: "a server went down, with requests in its hands or between them",
    severity: Severity::Error,
    what: "Connections end with a request that the server had taken and did not answer, and right after that new \
           connections to the same address fail. Or from some time on every new one is refused, or nothing is answered \
           any more.",
    why: "The server crashed, was killed (out of memory, failed liveness probe), or was replaced without waiting for its \
          requests. Clients see resets and 502.",
    how: "A FIN or reset of the server acknowledges a request, follows its acknowledgement, or meets it, and no answer \
          came; and the next SYN to the same address and port, within 30 s, is refused, rejected or never answered, as \
          none was before. Where no request was lost: five connections or more, over 3 s or longer, are refused, none \
          was before, and none is accepted again; or three or more are never answered, and those that were open get no \
          answer any more either. One endpoint of several went down if its failures begin where many successes before are \
          no chance.",
    false_positives: "A reset after a complete exchange, a client that leaves, a request that meets a keep-alive timeout \
                      (APP002), a forgotten translation (NAT002), a restart: after these, new connections succeed.",
    fix: "See why the server ended (kubectl describe pod: last state, exit code 137 is a kill, OOMKilled; kubectl logs \
          --previous). For rolling updates: finish requests on SIGTERM, a preStop sleep so that endpoints are updated \
          first, and a terminationGracePeriodSeconds that covers the longest request.",
    filter: "tcp.flags.reset == 1 || tcp.flags.fin == 1",
    judge: find,
};

/// New connections must fail within this time.
const AFTER_NS: i64 = 30_000_000_000;
/// An attempt may begin just before the connections that break are seen to.
const BEFORE_NS: i64 = 100_000_000;
/// So many failures within [`SOON_NS`] are the server's, although one in between succeeds, at another server of the
/// service.
const MANY: usize = 3;
const SOON_NS: i64 = 5_000_000_000;

/// An attempt to connect.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Attempt {
    pub(super) ns: i64,
    pub(super) frame: FrameId,
    pub(super) orig: Endpoint,
    pub(super) outcome: Outcome,
}

fn find(world: &World<'_>) -> Vec<Finding> {
    let lost = |service: &&TurnService| service.facts.dropped.count + service.facts.races.count > 0;
    let services = world.facts.turns.services().iter().filter(lost);
    let down = |service| Some((service, after(service, world)?));
    let mut findings: Vec<Finding> =
        services.filter_map(down).map(|(service, failed)| judge(service, &failed, world)).collect();
    findings.extend(went_down::find(world, &findings));
    findings
}

/// Requests that the server took and dropped, and those that met its goodbye.
fn lost(service: &TurnService) -> impl Iterator<Item = &Turn> {
    service.facts.dropped.turns.iter().chain(&service.facts.races.turns)
}

/// Attempts to connect that failed after requests had been lost, where none had failed before.
fn after(service: &TurnService, world: &World<'_>) -> Option<Vec<Attempt>> {
    let drops = || lost(service).filter_map(|turn| turn.server_goodbye).map(|goodbye| goodbye.ns);
    let first = drops().min()?;
    let attempts = attempts(service.endpoints(), world);
    let follows = |at: &&Attempt| {
        at.outcome.is_failure() && drops().any(|drop| (drop - BEFORE_NS..drop + AFTER_NS).contains(&at.ns))
    };
    let failed: Vec<Attempt> = attempts.iter().filter(follows).copied().collect();
    let fine_before = !attempts.iter().any(|at| at.outcome.is_failure() && at.ns < first - BEFORE_NS);
    let next_fails = attempts.iter().find(|at| at.ns > first - BEFORE_NS).is_some_and(|at| at.outcome.is_failure());
    let soon = failed.iter().filter(|at| at.ns < first + SOON_NS).count();
    (fine_before && !failed.is_empty() && (next_fails || soon >= MANY)).then_some(failed)
}

/// All attempts to connect to addresses of a service, in order.
pub(super) fn attempts<'a>(endpoints: impl Iterator<Item = &'a Endpoint>, world: &World<'_>) -> Vec<Attempt> {
    let kept = &world.facts.servers.kept;
    let attempt = |connection: &Connection| {
        let flow = connection.flows(kept).find(|flow| flow.from_orig.isn.is_some())?;
        Some(Attempt {
            ns: flow.first_ns,
            frame: flow.first,
            orig: connection.front().orig,
            outcome: connection.outcome,
        })
    };
    let mut attempts: Vec<Attempt> = endpoints.flat_map(|at| kept.sent_to(*at)).filter_map(attempt).collect();
    attempts.sort_unstable();
    // A connection may have passed several of the addresses.
    attempts.dedup();
    attempts
}

fn judge(service: &TurnService, failed: &[Attempt], world: &World<'_>) -> Finding {
    let (server, dropped, races) = (service.server, &service.facts.dropped, &service.facts.races);
    let what = count_of(dropped.count + races.count, "request");
    let mut finding = Finding::of(&ABOUT, format!("{server} went down with {what} unanswered"));
    let clients: BTreeSet<_> =
        lost(service).map(|turn| turn.client.addr).chain(failed.iter().map(|failed| failed.orig.addr)).collect();
    service.introduce(&mut finding, &clients);
    let silent = failed.iter().filter(|failed| failed.outcome == Outcome::Unanswered).count();
    finding.counts.insert("dropped_requests", (dropped.count + races.count) as i64);
    finding.counts.insert("failed_connects", failed.len() as i64);
    finding.counts.insert("silent_connects", silent as i64);
    let goodbyes = || lost(service).filter_map(|turn| turn.server_goodbye);
    let first = goodbyes().map(|goodbye| goodbye.ns).min().unwrap_or_default();
    let last = failed.iter().map(|failed| failed.ns).max().unwrap_or(first);
    finding.span(first, last.max(first));
    let frames = lost(service).flat_map(frames).chain(failed.iter().map(|failed| failed.frame));
    finding.cite(world, frames, &servers_filter(service.endpoints()));
    let resets = goodbyes().filter(|goodbye| goodbye.reset).count();
    finding.explanation = format!(
        "{what} from {} {} when it ended the connection ({}), without an answer. From {} after the first of them on, {} \
         to it failed ({}): the process was gone, not busy.",
        some_of(&clients, 3),
        if dropped.count > 0 { "had reached the server" } else { "were on the way to the server" },
        if resets > 0 { "with a reset" } else { "with FIN" },
        millis(failed.first().map(|failed| failed.ns.saturating_sub(first).max(0))),
        count_of(failed.len() as u64, "new connection"),
        if silent > 0 { "not answered at all" } else { "refused" },
    );
    if dropped.count > 0 {
        finding.rule_out("APP002", "the server had the requests: it acknowledged them");
    } else {
        finding.rule_out("APP002", "a server that closes idle connections accepts new ones; this one does not");
    }
    finding.rule_out("NAT002", "new connections fail too, which a forgotten translation does not explain");
    finding.fix.commands = commands(service.behind.first().unwrap_or(&server).addr);
    finding.fix.yaml = Some(
        "spec:\n  terminationGracePeriodSeconds: 60\n  containers:\n  - name: APP\n    lifecycle:\n      preStop:\n        \
         sleep:\n          seconds: 10   # endpoints are updated before the server stops\n"
            .to_owned(),
    );
    finding
}

/// What tells why a server ended.
pub(super) fn commands(server: Addr) -> Vec<String> {
    vec![
        format!("kubectl get pods,endpointslices -A -o wide | grep {server}"),
        "kubectl describe pod POD   # Last State, Exit Code, Reason".to_owned(),
        "kubectl logs POD --previous".to_owned(),
    ]
}

fn frames(turn: &Turn) -> impl Iterator<Item = FrameId> {
    std::iter::once(turn.request).chain(turn.server_goodbye.map(|goodbye| goodbye.frame))
}
