use super::cite::{by_server, millis, names, quantile, server_filter};
use super::forwarded::forwarded;
use super::{Query, SLOW_NS};
use crate::Addr;
use crate::detect::About;
use crate::detect::evidence::count_of;
use crate::detect::world::World;
use crate::finding::{Finding, Role, Severity};
use crate::track::Endpoint;
use crate::track::dns::transaction::rcode;
use std::collections::{BTreeMap, BTreeSet};

pub(crate) const ABOUT: About = About {
    code: "DNS008",
    slug: "dns-slow",
    title: "a DNS server is slow to answer",
    severity: Severity::Warning,
    what: "Answers take a quarter of a second and more, counted from the attempt that they answer.",
    why: "Every connection to a name waits for it, twice and more where a search list is walked. Beyond the resolver's \
          timeout questions are asked again, which adds load.",
    how: "Time from the last attempt before an answer to that answer, by server and, where it is seen, by backend. Three \
          or more slow answers that are a twentieth of all, and slower than the network by connections of the same \
          client.",
    false_positives: "SERVFAIL that comes late is that, and what waits for an upstream server is told of that one. \
                      A lookup that stalled because a packet was lost is not slow: it counts from the attempt that was \
                      answered. A distant server is as far away as the network says.",
    fix: "Compare the latency at the server's own pod: when it is the same there, the server is slow (CPU limit and \
          throttling, too few replicas, a slow upstream), else the way to it.",
    filter: "dns.time > 0.25",
    judge: find,
};

/// Slow answers that make a pattern, and their share in percent.
const PATTERN: usize = 3;
const PERCENT: usize = 5;

fn find(world: &World<'_>) -> Vec<Finding> {
    // What waits for another server is told of that one, and a failure is none of slowness.
    let forwarded = forwarded(world);
    let is_own = |query: &Query| {
        let other = || query.rcode == Some(rcode::SERVFAIL) || forwarded.waits_for(query).is_some();
        !(is_slow(query) && other())
    };
    let answered = || {
        let queries = world.facts.dns.queries().iter();
        queries.filter(|query| query.is_answered() && !query.rejected).filter(|query| is_own(query))
    };
    let slow: BTreeSet<Endpoint> = answered().filter(|query| is_slow(query)).map(|query| query.server).collect();
    by_server(answered().filter(|query| slow.contains(&query.server)))
        .iter()
        .filter_map(|(server, queries)| judge(*server, queries, world))
        .collect()
}

/// Whether so many slow answers of all are more than now and then.
pub(super) fn is_pattern(slow: usize, all: usize) -> bool {
    slow >= PATTERN && slow * 100 >= all * PERCENT
}

/// Time that the server and the way took for the answer: of the attempt answered; of the first where each attempt was
/// answered in its turn, too late.
pub(super) fn took_ns(query: &Query) -> Option<i64> {
    let late = query.answers >= query.attempts && query.attempts > 1;
    let took = if late { query.rtt_ns } else { query.last_rtt_ns };
    took.get()
}

pub(super) fn is_slow(query: &Query) -> bool {
    took_ns(query).is_some_and(|took| took >= SLOW_NS)
}

fn judge(server: Endpoint, queries: &[Query], world: &World<'_>) -> Option<Finding> {
    let folded = world.facts.dns.folded_of(server);
    let slow: Vec<Query> = queries.iter().filter(|query| is_slow(query)).copied().collect();
    let all = queries.len() + folded as usize;
    let slowest_group = backends(queries).into_iter().max_by_key(|(_, group)| group.slow * 1000 / group.all.max(1));
    let is_outlier = |group: &Group| is_pattern(group.slow, group.all) && group.slow * 10 >= slow.len() * 8;
    let outlier = slowest_group.filter(|(_, group)| is_outlier(group));
    if !is_pattern(slow.len(), all) && outlier.is_none() || is_network(&slow, world) {
        return None;
    }
    let mut took: Vec<i64> = queries.iter().filter_map(took_ns).collect();
    took.sort_unstable();
    let (p50, p95, p99) = (quantile(&took, 500), quantile(&took, 950), quantile(&took, 990));
    let answers = count_of(slow.len() as u64, "answer");
    let mut finding =
        Finding::of(&ABOUT, format!("{server} is slow: {answers} take up to {} ms", millis(*took.last()?)));
    finding.of_queries(&slow, &server_filter(server), world);
    for (name, value) in [("p50_ms", p50), ("p95_ms", p95), ("p99_ms", p99), ("max_ms", *took.last()?)] {
        finding.counts.insert(name, millis(value));
    }
    finding.counts.insert("queries", all as i64);
    finding.counts.insert("slow_answers", slow.len() as i64);
    let which = match outlier {
        Some((backend, group)) if backends(queries).len() > 1 => {
            finding.about(Role::Endpoint, &backend);
            format!(" The slow ones come from the backend {backend}: {} of its {} answers.", group.slow, group.all)
        }
        _ => String::new(),
    };
    finding.explanation = format!(
        "{} of {all} answers of {server} took {} ms or longer: half of all {} ms, one in twenty {} ms and more; {}.{which}",
        slow.len(),
        millis(SLOW_NS),
        millis(p50),
        millis(p95),
        names(&slow, world),
    );
    finding.tell_who_waits(server, world);
    advise(&mut finding, server);
    Some(finding)
}

fn advise(finding: &mut Finding, server: Endpoint) {
    finding.rule_out(
        "DNS004",
        "the time counts from the attempt that was answered, so waiting for lost ones is not in it",
    );
    finding.rule_out("NET006", "connections of the same clients are set up faster than that");
    finding.fix.commands = vec![
        "kubectl -n kube-system top pods -l k8s-app=kube-dns".to_owned(),
        "kubectl -n kube-system get deployment coredns -o yaml | grep -A6 resources".to_owned(),
    ];
    finding.capture_next = Some(format!("at the pods behind {server}: whether the time passes in them or before them"));
}

/// Answers of a backend, and the slow ones.
#[derive(Clone, Copy, Default)]
struct Group {
    all: usize,
    slow: usize,
}

fn backends(queries: &[Query]) -> BTreeMap<Addr, Group> {
    let mut backends: BTreeMap<Addr, Group> = BTreeMap::new();
    for query in queries {
        let Some(backend) = query.backend else { continue };
        let group = backends.entry(backend).or_default();
        group.all += 1;
        group.slow += usize::from(is_slow(query));
    }
    backends
}

/// Whether setting up a connection takes as long for these clients.
fn is_network(slow: &[Query], world: &World<'_>) -> bool {
    let mut took: Vec<i64> = slow.iter().filter_map(took_ns).collect();
    took.sort_unstable();
    let rtts = slow.iter().filter_map(|query| world.facts.dns.elsewhere.get(&query.client.addr)?.mean_rtt_ns());
    rtts.max().is_some_and(|rtt| rtt * 2 >= quantile(&took, 500))
}
