use super::Query;
use super::cite::{clients, names, servers_filter};
use super::lookups::{lookups, pairs};
use crate::detect::About;
use crate::detect::evidence::{count_of, some_of};
use crate::detect::vantage::Spot;
use crate::detect::world::World;
use crate::finding::{Finding, Severity};
use crate::track::Endpoint;
use crate::track::dns::transaction::Outcome;
use foldhash::fast::RandomState;
use std::collections::{BTreeSet, HashMap, HashSet};

pub(crate) const ABOUT: About = About {
    code: "DNS005",
    slug: "dns-conntrack-race",
    title: "one of two DNS questions from one port is lost at NAT",
    severity: Severity::Error,
    what: "A resolver sends the questions for A and AAAA back to back from one port. Both need the same new conntrack entry, \
           and the one that comes second is dropped when its entry is confirmed.",
    why: "The lookup stalls until the resolver asks again: 5 s with glibc, 2.5 s with musl.",
    how: "Of pairs from one port exactly one question goes unanswered, again and again; always the second of the two, or \
          seen before NAT and not behind it while the first passes. No answer is lost, no pair loses both, no question \
          outside of a pair is lost, and what is asked again is answered. A stall of 5 s alone says nothing.",
    false_positives: "Random loss hits first and second, queries and answers, pairs and single questions alike. A server \
                      that never answers one family does not answer the repetition either. Kernels since 5.0 resolve the \
                      clash; there pairs go to different backends and nothing is lost.",
    fix: "Kernel 5.0 or later resolves the race of UDP; compare insert_failed and drop of conntrack -S while it happens. \
          NodeLocal DNSCache avoids NAT for DNS. For glibc only: options single-request-reopen, or use-vc (TCP); musl \
          ignores both.",
    filter: "dns.flags.response == 0 && dns.retransmission",
    judge: find,
};

/// Losses that make a pattern: by chance all of five are the second of their pair once in 32 times.
const PATTERN: usize = 5;
/// The same where each was seen before NAT and not behind it.
const SEEN_PATTERN: usize = 3;

/// Pairs of which one question was lost.
#[derive(Debug)]
pub(super) struct Race {
    losers: Vec<Query>,
    pairs: usize,
    /// Losers that were the second of their pair, and that were seen not to get as far as others.
    second: usize,
    stopped: usize,
}

/// Questions lost to the race.
pub(super) fn cases<'a>(world: &World<'a>) -> impl Iterator<Item = &'a Query> {
    races(world).iter().flat_map(|race| &race.losers)
}

/// Among those who have to do with each other: what strangers lose says nothing.
fn races<'a>(world: &World<'a>) -> &'a [Race] {
    world.facts.dns.cases.races.get_or_init(|| groups(world).iter().filter_map(|queries| race(queries)).collect())
}

/// Queries by who has to do with whom, where enough of them were lost.
fn groups<'a>(world: &World<'a>) -> Vec<Vec<&'a Query>> {
    let mut groups: Vec<(Option<u32>, Vec<&Query>)> = Vec::new();
    let mut places: HashMap<Option<u32>, usize, RandomState> = HashMap::default();
    for queries in world.facts.dns.clients() {
        let of_client = queries.first().and_then(|query| world.group(query.client.addr));
        for queries in queries.chunk_by(|a, b| of_client.is_some() || a.server == b.server) {
            let of = of_client.or_else(|| world.group(queries.first()?.server.addr));
            let at = *places.entry(of).or_insert(groups.len());
            if at == groups.len() {
                groups.push((of, Vec::new()));
            }
            groups[at].1.extend(queries);
        }
    }
    groups.retain(|(_, queries)| queries.iter().filter(|query| query.unanswered > 0).count() >= SEEN_PATTERN);
    groups.into_iter().map(|(_, queries)| queries).collect()
}

/// Those of queries that are asked from the ports, for the names, of lost ones.
fn near_lost<'a>(queries: &[&'a Query]) -> Vec<&'a Query> {
    let lost = queries.iter().filter(|query| query.unanswered > 0);
    let ports: HashSet<(Endpoint, u64), RandomState> = lost.map(|query| (query.client, query.name)).collect();
    queries.iter().filter(|query| ports.contains(&(query.client, query.name))).copied().collect()
}

fn race(queries: &[&Query]) -> Option<Race> {
    let lost = |query: &Query| query.unanswered > 0;
    let (mut losers, mut second, mut both) = (Vec::new(), 0, 0);
    for (first, last) in pairs(near_lost(queries)) {
        match (lost(first), lost(last)) {
            (true, true) => both += 1,
            (true, false) => losers.push(*first),
            (false, true) => {
                losers.push(*last);
                second += 1;
            }
            (false, false) => {}
        }
    }
    let known: BTreeSet<(u64, i64)> = losers.iter().map(|query| (query.identity, query.first_ns)).collect();
    let single = queries.iter().filter(|q| lost(q) && !known.contains(&(q.identity, q.first_ns))).count();
    let answers_lost: u32 = losers.iter().map(|query| query.lost().1).sum();
    let recovered = losers.iter().filter(|query| query.is_answered()).count();
    let stopped = losers.iter().filter(|query| query.lost().0 > 0).count();
    let count = losers.len();
    let open = losers.iter().filter(|query| query.outcome == Outcome::Open).count();
    let pattern = second * 20 >= count * 19 && count >= PATTERN
        || stopped == count && count >= SEEN_PATTERN && second * 3 >= count * 2;
    let clean = both == 0 && answers_lost == 0 && single * 20 <= count;
    (pattern && clean && (recovered + open) * 10 >= count * 8).then(|| Race {
        losers,
        pairs: pairs(queries.iter().copied()).len(),
        second,
        stopped,
    })
}

fn find(world: &World<'_>) -> Vec<Finding> {
    races(world).iter().map(|race| judge(race, world)).collect()
}

fn judge(race: &Race, world: &World<'_>) -> Finding {
    let losers = &race.losers;
    let count = losers.len();
    let lost = format!("{} of {}", count, count_of(race.pairs as u64, "pair"));
    let title = format!("{lost} of questions for A and AAAA lose one of the two, asked from one port at once");
    let mut finding = Finding::of(&ABOUT, title);
    finding.confidence = if race.stopped > 0 { 0.9 } else { 0.75 };
    finding.of_queries(losers, &servers_filter(losers.iter().map(|query| query.server.addr)), world);
    finding.counts.insert("queries_lost", count as i64);
    finding.counts.insert("unanswered", count as i64);
    finding.counts.insert("pairs", race.pairs as i64);
    finding.counts.insert("stalled_lookups", lookups(losers, &world.facts.dns) as i64);
    let stopped = match race.stopped {
        0 => "Where they are lost is not seen from here.".to_owned(),
        n => format!("{n} of them were seen here on their way and not where others pass: they are dropped at NAT."),
    };
    finding.explanation = format!(
        "{} asked for A and AAAA from one port at once ({}). Of {lost} exactly one question stayed unanswered, {} of \
         them the second; the other one of the pair and the repetition were answered, and no answer was lost. That is \
         what conntrack does when both packets race for one new entry. {stopped}",
        some_of(clients(losers), 3),
        names(losers, world),
        race.second,
    );
    finding.rule_out("DNS004", "only one of a pair from one port is lost, never both and never another question");
    finding.rule_out("DNS014", "the same question is answered when it is asked again");
    finding.fix.commands = vec!["conntrack -S".to_owned(), "uname -r".to_owned()];
    finding.fix.yaml = Some("spec:\n  dnsConfig:\n    options:\n    - name: single-request-reopen\n".to_owned());
    if race.stopped == 0 {
        let nodes = clients(losers).into_iter().take(1).map(Spot::NodeOf);
        finding.capture_next = world.capture_next(nodes, "the lost question is there before NAT");
    }
    finding
}
