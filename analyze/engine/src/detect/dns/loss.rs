use super::cite::{clients, is_symptom, names, server_filter};
use super::lookups::lookups;
use super::{Query, blocked, conntrack_race, family, rate_limited, stale_backend, upstream};
use crate::detect::About;
use crate::detect::evidence::{count_of, some_of};
use crate::detect::world::World;
use crate::finding::{Finding, Role, Severity};
use crate::track::Endpoint;
use std::collections::{BTreeMap, BTreeSet};

pub(crate) const ABOUT: About = About {
    code: "DNS004",
    slug: "dns-loss",
    title: "DNS questions or answers are lost, or a server leaves some unanswered",
    severity: Severity::Error,
    what: "Some questions get no answer, and the resolver waits before it asks again.",
    why: "A lookup stalls for 5 s (glibc, Go), 2.5 s (musl) or 3 s to 5 s (c-ares) for each loss, and fails after two or \
          three.",
    how: "Attempts without an answer by the time the client asked again, or for 5 s, at a point that shows answers. Where \
          several places saw the query, one that did not get as far as others is lost on the way, an answer that was seen \
          elsewhere is lost on its way back, and for the rest the server was silent, or the place is not known.",
    false_positives: "Questions of the last seconds of a capture are not counted. A point that shows no answers to anybody \
                      may have them filtered away: that alone is information only. Ports pinned to a dead backend, one \
                      family that is never answered, the race of pairs and probes of dead servers are other findings.",
    fix: "Capture at the client, its node and the server at once: where a query or an answer is seen last is before the \
          drop. NodeLocal DNSCache, which asks upstream over TCP, shortens what a loss costs.",
    filter: "dns.flags.response == 0 && dns.retransmission",
    judge: find,
};

/// Losses before they are called an error, and their share of attempts in per mille.
const PATTERN: u32 = 2;
const PER_MILLE: u64 = 5;

fn find(world: &World<'_>) -> Vec<Finding> {
    let cases = [blocked::cases, conntrack_race::cases, family::cases, stale_backend::cases];
    let more = [upstream::cases, rate_limited::cases];
    let explained: BTreeSet<(u64, i64)> = cases
        .iter()
        .chain(&more)
        .flat_map(|cases| cases(world))
        .map(|query| (query.identity, query.first_ns))
        .collect();
    let mut servers: BTreeMap<Endpoint, Vec<Query>> = BTreeMap::new();
    for query in world.facts.dns.queries() {
        let known = explained.contains(&(query.identity, query.first_ns));
        if query.unanswered > 0 && !query.rejected && !query.tcp && !known && !world.is_broken(query.tunnel) {
            servers.entry(query.server).or_default().push(*query);
        }
    }
    servers.iter().map(|(server, queries)| judge(*server, queries, world)).collect()
}

/// Where attempts were lost.
#[derive(Clone, Copy, Default)]
struct Lost {
    attempts: u32,
    queries: u32,
    answers: u32,
}

impl Lost {
    fn of(queries: &[Query]) -> Self {
        queries.iter().fold(Self::default(), |sum, query| {
            let (lost, answers) = query.lost();
            Self {
                attempts: sum.attempts + query.unanswered,
                queries: sum.queries + lost,
                answers: sum.answers + answers,
            }
        })
    }

    fn words(self) -> String {
        let rest = self.attempts - self.queries - self.answers;
        let parts = [
            (self.queries, "did not get as far as others: the query was lost"),
            (self.answers, "were answered, but the answer did not come back"),
            (rest, "show no answer anywhere in these captures: the server was silent, or the loss is beyond them"),
        ];
        let said: Vec<String> =
            parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
        said.join("; ")
    }
}

fn judge(server: Endpoint, queries: &[Query], world: &World<'_>) -> Finding {
    let dns = &world.facts.dns;
    let of_server = dns.queries().iter().filter(|query| query.server == server);
    let folded: u64 = dns.folded.iter().filter(|((_, of), _)| *of == server).map(|(_, count)| count).sum();
    let all = of_server.map(|query| u64::from(query.attempts)).sum::<u64>() + folded;
    let lost = Lost::of(queries);
    let attempts = count_of(lost.attempts.into(), "attempt");
    let stalled = lookups(queries, dns);
    let mut finding = Finding::of(&ABOUT, format!("{server} left {attempts} of {all} without an answer"));
    let few = lost.attempts < PATTERN || u64::from(lost.attempts) * 1000 < all * PER_MILLE;
    let visible = queries.iter().any(|query| dns.sees_answers(query));
    finding.severity = match (visible && !is_symptom(world), few) {
        (false, _) => Severity::Info,
        (true, true) => Severity::Warning,
        (true, false) => ABOUT.severity,
    };
    finding.confidence = if visible { 0.9 } else { 0.4 };
    finding.of_queries(queries, &server_filter(server), world);
    if let Some(backend) = backends(queries) {
        finding.about(Role::Endpoint, &backend);
    }
    finding.counts.insert("queries", all as i64);
    finding.counts.insert("unanswered", lost.attempts.into());
    finding.counts.insert("queries_lost", lost.queries.into());
    finding.counts.insert("answers_lost", lost.answers.into());
    finding.counts.insert("stalled_lookups", stalled as i64);
    finding.counts.insert("failed_queries", queries.iter().filter(|query| query.is_silent()).count() as i64);
    finding.explanation = explain(server, queries, lost, stalled, world);
    if !visible {
        finding.limits.push("no answer to anybody is seen at this point: a capture filter may hide them".to_owned());
    }
    finding.rule_out("DNS003", "not everything that the client asks or does is lost");
    finding.rule_out("DNS005", "the losses are not one of each pair from one port");
    finding.fix.commands = vec!["conntrack -S".to_owned(), "nstat -az UdpInErrors UdpRcvbufErrors".to_owned()];
    if lost.queries + lost.answers < lost.attempts {
        finding.capture_next = Some(format!("at {server} and the client's node, at the same time"));
    }
    finding
}

fn explain(server: Endpoint, queries: &[Query], lost: Lost, stalled: u64, world: &World<'_>) -> String {
    let attempts = count_of(lost.attempts.into(), "attempt");
    let wait = waited(queries);
    format!(
        "{attempts} at {server} from {} ({}) got no answer. Of these {}. {} waited{wait} before the resolver asked again \
         or gave up.",
        some_of(clients(queries), 3),
        names(queries, world),
        lost.words(),
        count_of(stalled, "lookup"),
    )
}

/// How long resolvers waited, which is how their kind is known.
fn waited(queries: &[Query]) -> String {
    let again = queries.iter().filter(|query| query.attempts > 1);
    let mut waits: Vec<i64> =
        again.map(|query| query.last_ns.saturating_sub(query.first_ns) / i64::from(query.attempts - 1)).collect();
    waits.sort_unstable();
    match waits.get(waits.len() / 2) {
        None => String::new(),
        Some(ns) => format!(" {:.1} s", *ns as f64 / 1e9),
    }
}

/// The one backend of all, where it is one.
fn backends(queries: &[Query]) -> Option<crate::Addr> {
    let first = queries.first()?.backend?;
    queries.iter().all(|query| query.backend == Some(first)).then_some(first)
}
