use super::Query;
use super::cases::stalled;
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
#[derive(Debug)]
pub(super) struct Knee {
    pair: (Addr, Endpoint),
    rate: u64,
    queries: Vec<Query>,
}

fn knees<'a>(world: &World<'a>) -> &'a [Knee] {
    let dns = &world.facts.dns;
    dns.cases.knees.get_or_init(|| {
        let lost = dns.queries().iter().filter(|query| query.unanswered > 0).count();
        if lost < SECONDS { Vec::new() } else { dns.clients().flat_map(of_client).collect() }
    })
}

fn of_client(queries: &[Query]) -> Vec<Knee> {
    let stalled = stalled(queries, SECONDS as u32, |query| query.server);
    if stalled.is_empty() {
        return Vec::new();
    }
    let mut servers: BTreeMap<Endpoint, Vec<(i64, Second)>> = BTreeMap::new();
    for of_server in queries.chunk_by(|a, b| a.server == b.server) {
        let Some(server) = of_server.first().map(|query| query.server).filter(|server| stalled.contains(server)) else {
            continue;
        };
        let seconds = servers.entry(server).or_default();
        for query in of_server {
            count(seconds, query);
        }
    }
    let knee = |(server, seconds): (Endpoint, Vec<(i64, Second)>)| {
        let rate = limit(&seconds.into_iter().map(|(_, second)| second).collect::<Vec<_>>())?;
        let lost: Vec<Query> =
            queries.iter().filter(|query| query.server == server && query.unanswered > 0).copied().collect();
        Some(Knee { pair: (lost.first()?.client.addr, server), rate, queries: lost })
    };
    servers.into_iter().filter_map(knee).collect()
}

/// Counts a query in its second; queries come in order of time.
fn count(seconds: &mut Vec<(i64, Second)>, query: &Query) {
    let second = query.first_ns.div_euclid(1_000_000_000);
    if seconds.last().is_none_or(|(last, _)| *last != second) {
        seconds.push((second, Second::default()));
    }
    if let Some((_, counts)) = seconds.last_mut() {
        counts.asked += 1;
        counts.lost += u64::from(query.unanswered > 0);
    }
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
pub(super) fn cases<'a>(world: &World<'a>) -> impl Iterator<Item = &'a Query> {
    knees(world).iter().flat_map(|knee| &knee.queries)
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
