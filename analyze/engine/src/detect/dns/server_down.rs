use super::Query;
use super::cases::OfServer;
use super::cite::{by_server, clients, names, server_filter};
use super::over_tcp::over_tcp;
use crate::Addr;
use crate::detect::About;
use crate::detect::evidence::{count_of, some_of};
use crate::detect::lot::is_spell;
use crate::detect::vantage::Spot;
use crate::detect::world::World;
use crate::finding::{Finding, Role, Severity};
use crate::rfc3339;
use crate::track::Endpoint;
use crate::track::event::Rejection;
use std::collections::{BTreeMap, BTreeSet};

pub(crate) const ABOUT: About = About {
    code: "DNS017",
    slug: "dns-server-down",
    title: "a DNS server is down: its host says that nobody listens",
    severity: Severity::Error,
    what: "Questions are answered by ICMP errors (port, host or net unreachable, prohibited), or TCP to port 53 by a reset.",
    why: "With one nameserver address, which is the usual thing in a cluster, glibc waits for its timeout all the same or \
          fails at once; conntrack sends what is repeated from the same port to the same dead backend.",
    how: "ICMP errors that quote a question, by the server asked; with the backend behind it and who sent the error, \
          where that is seen. A client that rejects late answers is not meant. Port unreachable from the client's own \
          node, about all questions and none of them passed on, is the rule of a service without endpoints.",
    false_positives: "A firewall on the client's node that rejects with port unreachable looks like a service without \
                      endpoints. One or two errors at a restart are a warning only.",
    fix: "See which DNS pod has the address that refuses, and why it is still an endpoint: readiness (ready plugin) and \
          lameduck of CoreDNS take a pod out before it stops.",
    filter: "icmp.type == 3 && udp.dstport == 53 || icmpv6.type == 1 && udp.dstport == 53",
    judge: find,
};

/// Errors before they are more than a restart.
const PATTERN: usize = 3;

fn find(world: &World<'_>) -> Vec<Finding> {
    let rejected = world.facts.dns.queries().iter().filter(|query| query.rejected);
    by_server(rejected).iter().map(|(server, queries)| judge(*server, queries, world)).collect()
}

/// Why questions meet errors, as these tell it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reason {
    /// The host of a server says that nobody listens, or its router that the host is gone.
    Gone,
    /// The same, about all that asked for a while, while those before and behind were answered.
    Away,
    /// The client's own node says so about all of a service.
    NoEndpoints,
    /// A router knows no way to its network.
    NoRoute,
    /// A firewall or policy says so.
    Forbidden,
}

impl Reason {
    fn of(server: Endpoint, queries: &[Query], rejections: &[Rejection], answers: bool, away: bool) -> Self {
        let all = |is: &dyn Fn(&Rejection) -> bool| !rejections.is_empty() && rejections.iter().all(is);
        // A host that nobody listens at says so with the address that was asked, translated back where it was translated.
        let by_node =
            |r: &Rejection| r.icmp.is_port_unreachable() && r.from != server.addr && matches!(r.ttl, 64 | 255);
        let is_passed_on = |query: &Query| query.forwarded || query.backend.is_some();
        if all(&|r| r.icmp.is_prohibited()) {
            Self::Forbidden
        } else if all(&|r| r.icmp.is_no_route() && !r.icmp.is_host_unreachable()) {
            Self::NoRoute
        } else if (!answers || away) && all(&by_node) && !queries.iter().any(is_passed_on) {
            Self::NoEndpoints
        } else if away {
            Self::Away
        } else {
            Self::Gone
        }
    }

    fn title(self, server: Endpoint, errors: &str) -> String {
        match self {
            Self::Gone => format!("{server} is down for {errors}: ICMP unreachable"),
            Self::Away => format!("{server} was down for {errors}: ICMP unreachable"),
            Self::NoEndpoints => format!("{server} has no endpoints: {errors} rejected by the client's node"),
            Self::NoRoute => format!("no way to {server} for {errors}: ICMP net unreachable"),
            Self::Forbidden => format!("{server} is forbidden for {errors}: ICMP prohibited"),
        }
    }

    fn tell(self, finding: &mut Finding) {
        if self == Self::NoEndpoints {
            finding.explanation += " Its TTL shows that the client's own node made the error, and none of the questions was \
                                    passed on: kube-proxy answers so for a service that has no ready endpoint.";
            finding.limits.push("a firewall rule of the node that rejects with this code looks the same".to_owned());
        }
    }

    fn advise(self, finding: &mut Finding, server: Addr) {
        let (text, commands): (&str, Vec<String>) = match self {
            Self::Gone => (
                ABOUT.fix,
                vec![
                    "kubectl -n kube-system get pods,endpointslices -l k8s-app=kube-dns -o wide".to_owned(),
                    "kubectl -n kube-system describe pods -l k8s-app=kube-dns".to_owned(),
                ],
            ),
            Self::Away => (
                "See what took the DNS pods away at that time: a rollout, a kill for want of memory, a failed liveness probe. \
                 More than one replica, the ready plugin and lameduck keep questions from a pod that stops.",
                vec![
                    "kubectl -n kube-system get events --sort-by=.lastTimestamp".to_owned(),
                    "kubectl -n kube-system describe pods -l k8s-app=kube-dns".to_owned(),
                ],
            ),
            Self::NoEndpoints => (
                "Find the Service that has this address, compare its selector with the labels of the DNS pods, and see \
                 whether these are ready.",
                vec![
                    format!("kubectl get services -A -o wide | grep -wF {server}"),
                    "kubectl get endpointslices -n NAMESPACE -l kubernetes.io/service-name=NAME".to_owned(),
                    "kubectl get pods -n NAMESPACE --show-labels -o wide".to_owned(),
                ],
            ),
            Self::NoRoute => (
                "See whether the address in the client's resolv.conf is that of a DNS server; if it is, find the route that \
                 is missing on the host that says unreachable.",
                vec!["kubectl exec POD -- cat /etc/resolv.conf".to_owned(), format!("ip route get {server}")],
            ),
            Self::Forbidden => (
                "Allow DNS, UDP and TCP port 53, in the policy or firewall of the host that sent the ICMP errors.",
                vec![
                    "kubectl get networkpolicy -A -o yaml".to_owned(),
                    format!("iptables-save | grep -e REJECT -e {server}"),
                ],
            ),
        };
        text.clone_into(&mut finding.fix.text);
        finding.fix.commands = commands;
    }
}

fn judge(server: Endpoint, queries: &[Query], world: &World<'_>) -> Finding {
    let dns = &world.facts.dns;
    let rejections: Vec<Rejection> = queries.iter().filter_map(|query| dns.story(query)?.rejection).collect();
    let mut senders: BTreeMap<(Addr, String), u64> = BTreeMap::new();
    for rejection in &rejections {
        *senders.entry((rejection.from, rejection.icmp.to_string())).or_default() += 1;
    }
    let backends: BTreeSet<Addr> = queries.iter().filter_map(|query| query.backend).collect();
    let errors = count_of(queries.len() as u64, "question");
    let answered = dns.of_server(server);
    let (still, away) = (answers_still(queries, answered), is_away(server, world));
    let reason = Reason::of(server, queries, &rejections, still, away);
    let mut finding = Finding::of(&ABOUT, reason.title(server, &errors));
    if queries.len() < PATTERN {
        finding.severity = Severity::Warning;
    }
    finding.of_queries(queries, &server_filter(server), world);
    for backend in &backends {
        finding.about(Role::Endpoint, backend);
    }
    for (hop, _) in senders.keys().filter(|(from, _)| *from != server.addr) {
        finding.about(Role::Hop, hop);
    }
    finding.counts.insert("queries", queries.iter().map(|query| i64::from(query.attempts)).sum());
    finding.counts.insert("icmp_errors", queries.len() as i64);
    finding.counts.insert("answered", answered.answered as i64);
    let stalled = queries.iter().filter(|query| query.attempts > 1 || !query.is_answered()).count();
    finding.counts.insert("stalled_queries", stalled as i64);
    finding.counts.insert("tcp_refused", over_tcp(server, world).refused as i64);
    finding.explanation = explain(server, queries, &senders, &backends, (answered, away), world);
    reason.tell(&mut finding);
    finding.tell_who_waits(server, world);
    finding.rule_out("DNS003", "the questions are answered by an error, not by silence");
    finding.rule_out("DNS004", "an ICMP error came for each of these");
    reason.advise(&mut finding, server.addr);
    if backends.is_empty() && still && !away {
        let nodes = clients(queries).into_iter().take(1).map(Spot::NodeOf);
        finding.capture_next = world.capture_next(nodes, "which backend the refused questions go to");
    }
    finding
}

/// Whether questions are answered after the first of these.
fn answers_still(queries: &[Query], answered: OfServer) -> bool {
    answered.last_answered_ns.get() > queries.iter().map(|query| query.first_ns).min()
}

/// Whether all who asked for a while met errors or silence, and those before or behind none: each socket is one draw, as
/// conntrack keeps what it asks again at its backend.
fn is_away(server: Endpoint, world: &World<'_>) -> bool {
    let dns = &world.facts.dns;
    let mut sockets: BTreeMap<Endpoint, (i64, bool)> = BTreeMap::new();
    for query in dns.queries().iter().filter(|query| query.server == server && !query.tcp) {
        let socket = sockets.entry(query.client).or_insert((query.first_ns, false));
        *socket = (socket.0.min(query.first_ns), socket.1 || query.rejected || query.is_silent());
    }
    let mut draws: Vec<(i64, bool)> = sockets.into_values().collect();
    draws.sort_unstable();
    let mut failed: Vec<bool> = draws.into_iter().map(|(_, failed)| failed).collect();
    let spells = failed.chunk_by(|a, b| a == b).filter(|spell| spell[0]).count();
    let is_spell = is_spell(&failed) || {
        failed.reverse();
        is_spell(&failed)
    };
    spells == 1 && is_spell && dns.folded_of(server) == 0
}

fn explain(
    server: Endpoint,
    queries: &[Query],
    senders: &BTreeMap<(Addr, String), u64>,
    backends: &BTreeSet<Addr>,
    (answered, away): (OfServer, bool),
    world: &World<'_>,
) -> String {
    let times = |count: u64| if count == 1 { "once".to_owned() } else { format!("{count} times") };
    let says = senders.iter().map(|((from, icmp), count)| {
        // So does the host that was asked, and one behind a translation, whose address is replaced on the way back.
        let own = *from == server.addr;
        if own {
            format!("{icmp} {} in its name", times(*count))
        } else {
            format!("{from} sent {icmp} {}", times(*count))
        }
    });
    let behind = match backends.len() {
        0 => String::new(),
        _ => format!(" Behind it these went to {}.", some_of(backends, 3)),
    };
    let others = count_of(answered.answered, "other question");
    let others = match answered.last_answered_ns.get() {
        None => "No question to it was answered in these captures.".to_owned(),
        Some(_) if away => format!("{others} to it were answered, before and after, and none meanwhile."),
        Some(_) if answers_still(queries, answered) => {
            format!("{others} to it were answered: one of several backends is dead.")
        }
        Some(last_ns) => format!("{others} to it were answered, the last of {}, and none since.", rfc3339(last_ns)),
    };
    format!(
        "{} from {} to {server} ({}) came back as ICMP errors: {}.{behind} {others}",
        count_of(queries.len() as u64, "question"),
        some_of(clients(queries), 3),
        names(queries, world),
        says.take(4).collect::<Vec<_>>().join(", "),
    )
}
