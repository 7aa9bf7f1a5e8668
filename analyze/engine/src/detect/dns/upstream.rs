use super::cite::{by_server, clients, server_filter};
use super::{Query, would_hear};
use crate::detect::About;
use crate::detect::evidence::{count_of, some_of};
use crate::detect::world::World;
use crate::finding::{Finding, Severity};
use crate::track::Endpoint;
use crate::wire::dns::name_hash;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

pub(crate) const ABOUT: About = About {
    code: "DNS012",
    slug: "dns-upstream-unhealthy",
    title: "the DNS server probes an upstream server that does not answer",
    severity: Severity::Error,
    what: "A DNS server asks another one for the root's name servers (NS of the root), twice a second, and gets nothing: \
           CoreDNS' way of finding out when a failing upstream is back.",
    why: "What this server does not know itself it cannot look up there: names outside of the cluster fail or are slow.",
    how: "Three or more questions for NS of the root to one server, at most 2 s apart, none of which is answered; an ICMP \
          error is no answer.",
    false_positives: "Once a probe is answered the server is back, and this is a warning only. Where the capture shows no \
                      answers to anybody it is information only. Single questions for NS of the root are how any \
                      resolver begins.",
    fix: "Check the upstream's address in the forward plugin (or in the resolv.conf of the node that CoreDNS runs on), and \
          whether UDP and TCP port 53 reach it from the DNS pods.",
    filter: "dns.qry.name == \"<Root>\" && dns.qry.type == 2",
    judge: find,
};

/// Type of the probe.
const NS: u16 = 2;
/// Probes without answer, and the most time between two.
const PATTERN: usize = 3;
const APART_NS: i64 = 2_000_000_000;

/// Probes, answered or not.
fn probes<'a>(world: &'a World<'_>) -> impl Iterator<Item = &'a Query> {
    let root = name_hash(b".");
    world.facts.dns.queries().iter().filter(move |query| query.qtype == NS && query.name == root)
}

/// Probes that are not answered.
pub(super) fn cases<'a>(world: &World<'a>) -> &'a [Query] {
    world.facts.dns.cases.probes.get_or_init(|| {
        let silent = by_server(probes(world).filter(|query| !query.is_answered())).into_values();
        silent.filter(|probes| is_series(probes)).flatten().collect()
    })
}

/// A question fails before its server is probed: CoreDNS gives up on it after 5 s.
const BEFORE_NS: i64 = 10_000_000_000;

/// When servers that are probed were found dead, each time from the questions that failed first on.
pub(super) fn dead(world: &World<'_>) -> BTreeMap<Endpoint, Vec<RangeInclusive<i64>>> {
    let mut times: BTreeMap<Endpoint, Vec<i64>> = BTreeMap::new();
    for probe in cases(world) {
        times.entry(probe.server).or_default().push(probe.first_ns);
    }
    let spans = |mut times: Vec<i64>| {
        times.sort_unstable();
        let runs = times.chunk_by(|a, b| b.saturating_sub(*a) < APART_NS);
        runs.map(|run| run[0].saturating_sub(BEFORE_NS)..=run[run.len() - 1].saturating_add(APART_NS)).collect()
    };
    times.into_iter().map(|(server, times)| (server, spans(times))).collect()
}

/// Whether enough follow each other.
fn is_series(probes: &[Query]) -> bool {
    let mut times: Vec<i64> = probes.iter().map(|query| query.first_ns).collect();
    times.sort_unstable();
    let decided = probes.iter().filter(|query| query.is_silent() || query.rejected).count();
    let close = times.windows(2).filter(|two| two[1].saturating_sub(two[0]) < APART_NS).count();
    // The next probe says that the one before was given up; that no answer comes later still, those decided.
    let given_up = if decided > 0 { decided.max(close) } else { 0 };
    given_up >= PATTERN && close + 1 >= PATTERN
}

fn find(world: &World<'_>) -> Vec<Finding> {
    let probes = cases(world);
    by_server(probes.iter()).iter().map(|(server, probes)| judge(*server, probes, world)).collect()
}

/// Why it may be nothing.
const HIDDEN: &str = "no answer to anybody is seen at this point: a capture filter may hide them";

fn judge(server: Endpoint, probes: &[Query], world: &World<'_>) -> Finding {
    let asked = count_of(probes.len() as u64, "probe");
    let mut finding = Finding::of(&ABOUT, format!("upstream {server} answers none of {asked}"));
    finding.of_queries(probes, &server_filter(server), world);
    finding.counts.insert("queries", probes.len() as i64);
    finding.counts.insert("unanswered", probes.iter().map(|query| i64::from(query.unanswered)).sum());
    let dns = &world.facts.dns;
    let visible = probes.iter().any(|query| dns.sees_answers(query) || would_hear(query, world));
    let last_ns = probes.iter().map(|query| query.first_ns).max().unwrap_or_default();
    let is_back =
        self::probes(world).any(|query| query.server == server && query.is_answered() && query.first_ns > last_ns);
    if is_back {
        finding.severity = Severity::Warning;
    }
    if !visible {
        (finding.severity, finding.confidence) = (Severity::Info, 0.4);
        finding.limits.push(HIDDEN.to_owned());
    }
    let then = if is_back { " After that it answered again." } else { "" };
    let others = dns.queries().iter().filter(|query| query.server == server && query.qtype != NS);
    let lost = others.filter(|query| query.unanswered > 0).count();
    finding.counts.insert("other_queries_unanswered", lost as i64);
    finding.explanation = format!(
        "{} asked {server} for the root's name servers {} times without an answer: it checks whether a server that \
         failed is back. Besides, {} to it went unanswered.{then}",
        some_of(clients(probes), 3),
        probes.len(),
        count_of(lost as u64, "question"),
    );
    finding.tell_who_waits(server, world);
    finding.rule_out("DNS004", "the server answers none of these, it is not a loss now and then");
    finding.fix.commands = vec![
        "kubectl -n kube-system get configmap coredns -o yaml | grep -A4 forward".to_owned(),
        format!("kubectl -n kube-system debug -it POD --image=busybox -- nslookup example.com {}", server.addr),
    ];
    finding
}
