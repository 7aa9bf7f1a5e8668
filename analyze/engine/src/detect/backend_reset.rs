mod at_once;

use super::evidence::{count_of, servers_filter, some_of};
use super::slow_server::millis;
use super::turns::{self, Kept, ServerTurns, TurnService};
use super::world::World;
use super::{About, Outcome, went_down};
use crate::Addr;
use crate::finding::{Finding, Severity};
use crate::path::Connection;
use crate::track::{Endpoint, Fate, FrameId, Goodbye, Turn};
use std::collections::{BTreeMap, BTreeSet};

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
          none was before. Where the translation was seen, the address is the endpoint's, whose siblings may go on. Where \
          no request was lost: five connections or more, over 3 s or longer, are refused, none was before, and none is \
          accepted again; or three or more are never answered, and those that were open get no answer any more either; or \
          fewer, while two or more that were open still send 3 s later and get no answer. Five refusals are enough where \
          the resets come with more TTL than the server's answers did, from nearer, or where others of the service \
          accept meanwhile (a warning). So is what ends several connections within 50 ms with requests on their way, however \
          long each was silent. One endpoint of several went down if its failures begin where many successes \
          before are no chance, or lie in one stretch.",
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
    /// The last packet of it.
    pub(super) last_ns: i64,
    pub(super) frame: FrameId,
    pub(super) orig: Endpoint,
    pub(super) outcome: Outcome,
    /// Whether the server sent data.
    pub(super) spoke: bool,
}

/// A service of which something went down.
struct Down<'a> {
    service: &'a TurnService,
    /// The endpoints that did, where the translation was seen.
    endpoints: BTreeSet<Endpoint>,
    /// The requests that were lost with it.
    lost: Vec<&'a Turn>,
    failed: Vec<Attempt>,
}

fn find(world: &World<'_>) -> Vec<Finding> {
    let lost = |service: &&TurnService| lost(service).next().is_some();
    let services = world.facts.turns.services().iter().filter(lost);
    let mut findings: Vec<Finding> =
        services.filter_map(|service| down(service, world)).map(|down| judge(&down, world)).collect();
    findings.extend(went_down::find(world, &findings));
    findings.extend(at_once::find(world, &findings));
    findings
}

/// Requests that the server took and dropped, those that met its goodbye, and those whose answer it broke off.
fn lost(service: &TurnService) -> impl Iterator<Item = &Turn> {
    kinds(service).into_iter().flat_map(|kind| &kind.turns)
}

fn kinds(service: &TurnService) -> [&Kept; 3] {
    let ServerTurns { dropped, races, broken_off, .. } = &service.facts;
    [dropped, races, broken_off]
}

/// The endpoints that lost requests and take no connections after, or the service as a whole.
fn down<'a>(service: &'a TurnService, world: &World<'_>) -> Option<Down<'a>> {
    let mut by_endpoint: BTreeMap<Option<Endpoint>, Vec<&Turn>> = BTreeMap::new();
    for turn in lost(service) {
        by_endpoint.entry(endpoint(service, turn, world)).or_default().push(turn);
    }
    let known: BTreeSet<Endpoint> = by_endpoint.keys().flatten().copied().collect();
    let mut down = Down { service, endpoints: BTreeSet::new(), lost: Vec::new(), failed: Vec::new() };
    for (endpoint, lost) in by_endpoint.iter().filter_map(|(endpoint, lost)| Some(((*endpoint)?, lost))) {
        if let Some(failed) = after(lost, &attempts([endpoint].iter(), world)) {
            down.endpoints.insert(endpoint);
            down.lost.extend(lost);
            down.failed.extend(failed);
        }
    }
    if down.failed.is_empty() {
        // What became of connections to endpoints that lost nothing does not matter.
        let may_be = |connection: &Connection| {
            by_endpoint.contains_key(&None) || connection.endpoint().is_none_or(|at| known.contains(&at))
        };
        down.lost = lost(service).collect();
        down.failed = after(&down.lost, &attempts_where(service.endpoints(), may_be, world))?;
    }
    down.failed.sort_unstable();
    Some(down)
}

/// Whether a server, or some of those behind it, went down with requests.
pub(super) fn is_down(server: Endpoint, world: &World<'_>) -> bool {
    let services = world.facts.turns.services().iter();
    let mut own = services.filter(|service| service.endpoints().any(|at| *at == server));
    own.any(|service| lost(service).next().is_some() && down(service, world).is_some())
}

/// The endpoint that a request was sent to, where that was seen.
fn endpoint(service: &TurnService, turn: &Turn, world: &World<'_>) -> Option<Endpoint> {
    let translated = turns::endpoint(turn, &world.facts.servers.kept);
    translated.or_else(|| Some(turn.server).filter(|at| *at != service.server))
}

/// Attempts to connect that failed after requests had been lost, where none had failed before.
fn after(lost: &[&Turn], attempts: &[Attempt]) -> Option<Vec<Attempt>> {
    let drops = || lost.iter().filter_map(|turn| turn.server_goodbye).map(|goodbye| goodbye.ns);
    let first = drops().min()?;
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
    attempts_where(endpoints, |_| true, world)
}

/// Those of them that are asked for.
fn attempts_where<'a>(
    endpoints: impl Iterator<Item = &'a Endpoint>,
    wanted: impl Fn(&Connection) -> bool,
    world: &World<'_>,
) -> Vec<Attempt> {
    let kept = &world.facts.servers.kept;
    let attempt = |connection: &Connection| {
        let flow = connection.flows(kept).find(|flow| flow.from_orig.isn.is_some()).filter(|_| wanted(connection))?;
        Some(Attempt {
            ns: flow.first_ns,
            last_ns: flow.last_ns,
            frame: flow.first,
            orig: connection.front().orig,
            outcome: connection.outcome,
            spoke: flow.from_resp.payload_bytes > 0,
        })
    };
    let mut attempts: Vec<Attempt> = endpoints.flat_map(|at| kept.sent_to(*at)).filter_map(attempt).collect();
    attempts.sort_unstable();
    // A connection may have passed several of the addresses.
    attempts.dedup();
    attempts
}

impl Down<'_> {
    /// What it is called in a title.
    fn name(&self) -> String {
        let server = self.service.server;
        match self.endpoints.iter().collect::<Vec<_>>().as_slice() {
            [] => server.to_string(),
            [one] if **one == server => server.to_string(),
            [one] => format!("endpoint {one} of {server}"),
            several => format!("{} endpoints of {server}", several.len()),
        }
    }

    /// Requests that were lost with it. Seen from near and far, one may be both dropped and on its way.
    fn count(&self) -> u64 {
        let kept: BTreeSet<u64> = self.lost.iter().map(|turn| turn.identity).collect();
        let all = lost(self.service).count();
        let twice = (self.lost.len() - kept.len()) as u64;
        if self.lost.len() == all {
            kinds(self.service).map(|kind| kind.count).iter().sum::<u64>() - twice
        } else {
            kept.len() as u64
        }
    }

    /// All its addresses.
    fn addresses(&self) -> impl Iterator<Item = &Endpoint> {
        let of_service = self.service.endpoints().filter(|at| self.endpoints.is_empty() || **at == self.service.server);
        of_service.chain(self.endpoints.iter().filter(|at| **at != self.service.server))
    }

    fn goodbyes(&self) -> impl Iterator<Item = Goodbye> {
        self.lost.iter().filter_map(|turn| turn.server_goodbye)
    }
}

fn judge(down: &Down<'_>, world: &World<'_>) -> Finding {
    let failed = &down.failed;
    let mut finding =
        Finding::of(&ABOUT, format!("{} went down with {} unanswered", down.name(), count_of(down.count(), "request")));
    let clients: BTreeSet<_> = down.lost.iter().map(|turn| turn.client.addr).collect();
    let clients = clients.into_iter().chain(failed.iter().map(|failed| failed.orig.addr)).collect();
    down.service.introduce_as(&mut finding, down.addresses(), &clients);
    let silent = failed.iter().filter(|failed| failed.outcome == Outcome::Unanswered).count();
    finding.counts.insert("dropped_requests", down.count() as i64);
    finding.counts.insert("failed_connects", failed.len() as i64);
    finding.counts.insert("silent_connects", silent as i64);
    let first = down.goodbyes().map(|goodbye| goodbye.ns).min().unwrap_or_default();
    let last = failed.iter().map(|failed| failed.ns).max().unwrap_or(first);
    finding.span(first, last.max(first));
    let frames = down.lost.iter().flat_map(|turn| turn.met_goodbye()).chain(failed.iter().map(|failed| failed.frame));
    finding.cite(world, frames, &servers_filter(down.addresses()));
    let reached = down.lost.iter().any(|turn| matches!(turn.fate, Fate::Dropped | Fate::BrokenOff));
    finding.explanation = explain(down, &clients, reached, silent > 0);
    if reached {
        finding.rule_out("APP002", "the server had the requests: it acknowledged them");
    } else {
        finding.rule_out("APP002", "a server that closes idle connections accepts new ones; this one does not");
    }
    finding.rule_out("NAT002", "new connections fail too, which a forgotten translation does not explain");
    finding.fix.commands = commands(down.addresses().last().unwrap_or(&down.service.server).addr);
    finding.fix.yaml = Some(drained());
    finding
}

fn explain(down: &Down<'_>, clients: &BTreeSet<Addr>, reached: bool, silent: bool) -> String {
    let first = down.goodbyes().map(|goodbye| goodbye.ns).min().unwrap_or_default();
    let is_half = down.lost.iter().any(|turn| turn.fate == Fate::BrokenOff);
    format!(
        "{} from {} {} when it ended the connection ({}), without {}. From {} after the first of them on, {} \
         to it failed ({}): the process was gone, not busy.",
        count_of(down.count(), "request"),
        some_of(clients, 3),
        if reached { "had reached the server" } else { "were on the way to the server" },
        if down.goodbyes().any(|goodbye| goodbye.reset) { "with a reset" } else { "with FIN" },
        if is_half { "a whole answer" } else { "an answer" },
        millis(down.failed.first().map(|failed| failed.ns.saturating_sub(first).max(0))),
        count_of(down.failed.len() as u64, "new connection"),
        if silent { "not answered at all" } else { "refused" },
    )
}

/// How a pod leaves its service before it ends.
pub(super) fn drained() -> String {
    "spec:\n  terminationGracePeriodSeconds: 60\n  containers:\n  - name: APP\n    lifecycle:\n      preStop:\n        \
     sleep:\n          seconds: 10   # endpoints are updated before the server stops\n"
        .to_owned()
}

/// What tells why a server ended.
pub(super) fn commands(server: Addr) -> Vec<String> {
    vec![
        format!("kubectl get pods,services,endpointslices -A -o wide | grep -wF {server}"),
        "kubectl describe pod POD   # Last State, Exit Code, Reason".to_owned(),
        "kubectl logs POD --previous".to_owned(),
    ]
}
