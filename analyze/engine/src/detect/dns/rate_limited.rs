use super::Query;
use super::cite::server_filter;
use crate::Addr;
use crate::detect::About;
use crate::detect::world::World;
use crate::finding::{Finding, Severity};
use crate::track::Endpoint;
use std::collections::BTreeMap;

pub(crate) const ABOUT: About = About {
    code: "DNS013",
    slug: "dns-rate-limited",
    title: "a DNS server answers so many questions a second and no more",
    severity: Severity::Error,
    what: "Below a certain rate all questions of a host are answered, above it the surplus is not: a limit of packets a \
           second. AWS allows 1024 a second and interface to its resolver.",
    why: "In the peaks lookups stall for the resolver's timeout, whoever's they are on that host.",
    how: "By second: seconds with unanswered questions all have more of them than seconds without, and about as many \
          answers each, at 200 a second or more.",
    false_positives: "Random loss takes its share at any rate. An overloaded server slows down before it stops to answer, \
                      and the number of its answers varies.",
    fix: "Ask less: NodeLocal DNSCache, ndots:2 or names with a trailing dot, a cache in the application. Compare \
          linklocal_allowance_exceeded of ethtool -S on AWS.",
    filter: "dns.flags.response == 0",
    judge: find,
};

/// Answers a second of a limit worth the name.
const RATE: u64 = 200;
/// Seconds above and below it that make a knee.
const SECONDS: usize = 3;

/// What a second had.
#[derive(Clone, Copy, Default)]
struct Second {
    asked: u64,
    lost: u64,
}

/// A rate beyond which questions stay unanswered.
struct Knee {
    pair: (Addr, Endpoint),
    rate: u64,
    queries: Vec<Query>,
}

fn knees(world: &World<'_>) -> Vec<Knee> {
    let mut pairs: BTreeMap<(Addr, Endpoint), BTreeMap<i64, Second>> = BTreeMap::new();
    let queries = world.facts.dns.queries();
    if queries.iter().filter(|query| query.unanswered > 0).count() < SECONDS {
        return Vec::new();
    }
    let of = |query: &Query| (query.client.addr, query.server);
    for query in world.facts.dns.of_stalled(SECONDS as u32, of) {
        let seconds = pairs.entry(of(query)).or_default();
        let second = seconds.entry(query.first_ns.div_euclid(1_000_000_000)).or_default();
        second.asked += 1;
        second.lost += u64::from(query.unanswered > 0);
    }
    let knee = |(pair, seconds): (_, BTreeMap<i64, Second>)| {
        let rate = limit(&seconds.into_values().collect::<Vec<_>>())?;
        let lost = |query: &&Query| (query.client.addr, query.server) == pair && query.unanswered > 0;
        Some(Knee { pair, rate, queries: queries.iter().filter(lost).copied().collect() })
    };
    pairs.into_iter().filter_map(knee).collect()
}

/// The answers a second at which losses begin, where there is such a number.
fn limit(seconds: &[Second]) -> Option<u64> {
    let lossy: Vec<&Second> = seconds.iter().filter(|second| second.lost * 20 >= second.asked).collect();
    let clean = seconds.iter().filter(|second| second.lost == 0);
    let most_clean = clean.clone().map(|second| second.asked).max()?;
    let passed: Vec<u64> = lossy.iter().map(|second| second.asked - second.lost).collect();
    let (least, most) = (*passed.iter().min()?, *passed.iter().max()?);
    let enough = lossy.len() >= SECONDS && clean.count() >= SECONDS && least >= RATE;
    (enough && most * 10 <= least * 12 && most_clean <= most).then_some(least.midpoint(most))
}

/// Questions beyond a limit.
pub(super) fn cases(world: &World<'_>) -> Vec<Query> {
    knees(world).into_iter().flat_map(|knee| knee.queries).collect()
}

fn find(world: &World<'_>) -> Vec<Finding> {
    knees(world).iter().map(|knee| judge(knee, world)).collect()
}

fn judge(knee: &Knee, world: &World<'_>) -> Finding {
    let ((client, server), rate) = (knee.pair, knee.rate);
    let mut finding =
        Finding::of(&ABOUT, format!("{server} answers {client} about {rate} questions a second, no more"));
    finding.of_queries(&knee.queries, &server_filter(server), world);
    finding.counts.insert("unanswered", knee.queries.iter().map(|query| i64::from(query.unanswered)).sum());
    finding.counts.insert("answers_per_s", rate as i64);
    finding.explanation = format!(
        "In seconds in which {client} asks {server} more than about {rate} questions, about that many are answered and \
         the rest is not ({} in all); in slower seconds all are answered. That is a limit, not loss.",
        knee.queries.len()
    );
    finding.rule_out("DNS004", "loss begins at a rate, and the number of answers stays the same above it");
    finding.fix.commands = vec!["ethtool -S eth0 | grep allowance_exceeded".to_owned()];
    finding
}
