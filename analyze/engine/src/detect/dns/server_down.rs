use super::Query;
use super::cases::OfServer;
use super::cite::{by_server, clients, names, server_filter};
use super::over_tcp::over_tcp;
use crate::Addr;
use crate::detect::About;
use crate::detect::evidence::{count_of, some_of};
use crate::detect::vantage::Spot;
use crate::detect::world::World;
use crate::finding::{Finding, Role, Severity};
use crate::rfc3339;
use crate::track::Endpoint;
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
          where that is seen. A client that rejects late answers is not meant.",
    false_positives: "An error from the client's own node about every question to a service is a service without \
                      endpoints (SVC001): nothing is down there, nothing is ready. One or two errors at a restart are a \
                      warning only.",
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

fn judge(server: Endpoint, queries: &[Query], world: &World<'_>) -> Finding {
    let dns = &world.facts.dns;
    let stories = queries.iter().filter_map(|query| Some((query, dns.story(query)?.rejection?)));
    let mut senders: BTreeMap<(Addr, String), u64> = BTreeMap::new();
    for (_, rejection) in stories {
        *senders.entry((rejection.from, rejection.icmp.to_string())).or_default() += 1;
    }
    let backends: BTreeSet<Addr> = queries.iter().filter_map(|query| query.backend).collect();
    let errors = count_of(queries.len() as u64, "question");
    let mut finding = Finding::of(&ABOUT, format!("{server} is down for {errors}: ICMP unreachable"));
    let answered = dns.of_server(server);
    if queries.len() < PATTERN {
        finding.severity = Severity::Warning;
    }
    finding.of_queries(queries, &server_filter(server), world);
    for backend in &backends {
        finding.about(Role::Endpoint, backend);
    }
    for (hop, _) in senders.keys() {
        finding.about(Role::Hop, hop);
    }
    finding.counts.insert("queries", queries.iter().map(|query| i64::from(query.attempts)).sum());
    finding.counts.insert("icmp_errors", queries.len() as i64);
    finding.counts.insert("answered", answered.answered as i64);
    let stalled = queries.iter().filter(|query| query.attempts > 1 || !query.is_answered()).count();
    finding.counts.insert("stalled_queries", stalled as i64);
    finding.counts.insert("tcp_refused", over_tcp(server, world).refused as i64);
    finding.explanation = explain(server, queries, &senders, &backends, answered, world);
    finding.tell_who_waits(server, world);
    finding.rule_out("DNS003", "the questions are answered by an error, not by silence");
    finding.rule_out("DNS004", "an ICMP error came for each of these");
    finding.fix.commands = vec![
        "kubectl -n kube-system get pods,endpointslices -l k8s-app=kube-dns -o wide".to_owned(),
        "kubectl -n kube-system describe pods -l k8s-app=kube-dns".to_owned(),
    ];
    if backends.is_empty() && answers_still(queries, answered) {
        let nodes = clients(queries).into_iter().take(1).map(Spot::NodeOf);
        finding.capture_next = world.capture_next(nodes, "which backend the refused questions go to");
    }
    finding
}

/// Whether questions are answered after the first of these.
fn answers_still(queries: &[Query], answered: OfServer) -> bool {
    answered.last_answered_ns.get() > queries.iter().map(|query| query.first_ns).min()
}

fn explain(
    server: Endpoint,
    queries: &[Query],
    senders: &BTreeMap<(Addr, String), u64>,
    backends: &BTreeSet<Addr>,
    answered: OfServer,
    world: &World<'_>,
) -> String {
    let says = senders.iter().map(|((from, icmp), count)| format!("{from} sent {icmp} {count} times"));
    let behind = match backends.len() {
        0 => String::new(),
        _ => format!(" Behind it these went to {}.", some_of(backends, 3)),
    };
    let others = count_of(answered.answered, "other question");
    let others = match answered.last_answered_ns.get() {
        None => "No question to it was answered in these captures.".to_owned(),
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
