use super::cite::{clients, group, is_symptom, names, server_filter};
use super::heeded::{Named, name, unheeded};
use super::lookups::lookups;
use super::slow::took_ns;
use super::{
    Query, asked_again, blocked, conntrack_race, family, forwarded, rate_limited, stale_backend, upstream, would_hear,
};
use crate::Addr;
use crate::detect::About;
use crate::detect::evidence::{count_of, some_of};
use crate::detect::vantage::Spot;
use crate::detect::world::World;
use crate::finding::{Finding, Role, Severity};
use crate::packet::is_fresh;
use crate::track::Endpoint;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

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
    false_positives: "Questions of the last seconds of a capture are not counted. A point that shows no answers to \
                      anybody, nor other traffic both ways, may have them filtered away: that alone is information \
                      only, unless a resolver waited its seconds and asked the same again; one that has one direction of \
                      all that passes says nothing. What no client asked again for want of an answer is information \
                      too: the capture may have lost it. \
                      Ports pinned to a dead backend, one family that is never answered, the race of pairs, what a \
                      probed server leaves unanswered meanwhile, and what waits for a question that its server passed \
                      on, are other findings.",
    fix: "Capture at the client, its node and the server at once: where a query or an answer is seen last is before the \
          drop. NodeLocal DNSCache, which asks upstream over TCP, shortens what a loss costs.",
    filter: "dns.flags.response == 0 && dns.retransmission",
    judge: find,
};

/// Losses before they are called an error, and their share of attempts in per mille.
pub(super) const PATTERN: u32 = 2;
pub(super) const PER_MILLE: u64 = 5;
/// A share of attempts, one of as many, that is no loss of the network's where the capture has lost packets itself.
const DROPPED: u64 = 20;
/// Attempts without an answer that nobody minds are as many before they are a loss: fewer a capture loses at once.
const MANY: u64 = 10;

fn find(world: &World<'_>) -> Vec<Finding> {
    let races = conntrack_race::cases(world).chain(family::cases(world)).chain(stale_backend::cases(world));
    let more = upstream::cases(world).iter().chain(rate_limited::cases(world));
    let waiting = forwarded::waiting(world).values().flatten();
    let of_others: Vec<&Query> = blocked::cases(world).iter().chain(races).chain(more).chain(waiting).collect();
    let explained: Named = of_others.iter().map(|query| name(query)).collect();
    let troubled: BTreeSet<Option<u32>> = of_others.iter().map(|query| group(query, world)).collect();
    let mut servers: BTreeMap<Endpoint, Vec<Query>> = BTreeMap::new();
    let (slowest, rejections) = (slowest(world), rejections(world));
    let dead = upstream::dead(world);
    let known = Known { unheeded: unheeded(world), ends_ns: ends_ns(world) };
    for query in world.facts.dns.queries() {
        if query.unanswered == 0 || world.facts.dns.is_half(query.unit, world) {
            continue;
        }
        // A server that is known to answer late may have answered behind the end of the capture.
        let due_ns = slowest.get(&query.server).map_or(i64::MIN, |took| query.first_ns.saturating_add(*took));
        if query.is_silent() && known.ends_ns.get(&query.unit).is_some_and(|end_ns| due_ns >= *end_ns) {
            continue;
        }
        let is_explained = explained.contains(&name(query))
            || is_rejected_unsaid(query, &rejections, world)
            || dead.get(&query.server).is_some_and(|spans| spans.iter().any(|span| span.contains(&query.first_ns)));
        if !query.rejected && !query.tcp && !is_explained && !world.is_broken(query.tunnel) {
            servers.entry(query.server).or_default().push(*query);
        }
    }
    for (server, queries) in &mut servers {
        known.forget(queries, asked(*server, world), world);
    }
    let direct = servers.iter().filter_map(|(server, queries)| judge(*server, queries, &known, world));
    let is_new = |server: &Endpoint, queries: &[Query]| {
        !servers.contains_key(server) && queries.iter().all(|query| !troubled.contains(&group(query, world)))
    };
    let again = asked_again::asked_again(world).into_iter().filter(|(server, queries)| is_new(server, queries));
    direct.chain(asked_again::find(again, world)).collect()
}

/// What is known of all queries, to judge those of each server.
struct Known {
    /// Questions without an answer that no client minds.
    unheeded: Named,
    /// Last time that anything of DNS was seen, or listened for, by unit.
    ends_ns: BTreeMap<u32, i64>,
}

impl Known {
    fn is_heeded(&self, query: &Query) -> bool {
        !self.unheeded.contains(&name(query))
    }

    /// Leaves out what no client minds of those that a server got so many of, but where nothing else is known, or so
    /// many are lost beyond doubt that the others are as well.
    fn forget(&self, queries: &mut Vec<Query>, all: u64, world: &World<'_>) {
        let has_holes = queries.iter().any(|query| world.facts.flows.holes.contains(&query.unit));
        let heeded: u32 = queries.iter().filter(|query| self.is_heeded(query)).map(|query| query.unanswered).sum();
        let is_loss = heeded > PATTERN && !has_holes && u64::from(heeded) * DROPPED > all;
        if heeded > 0 && !is_loss {
            queries.retain(|query| self.is_heeded(query));
        }
    }

    /// Whether a question was asked so long before the end that no answer would come any more.
    fn is_old(&self, query: &Query) -> bool {
        self.ends_ns.get(&query.unit).is_some_and(|end_ns| end_ns.saturating_sub(query.first_ns) >= NEVER_NS)
    }

    /// Whether questions stay unanswered for good, or those that wait for them, though other traffic of their clients
    /// passes here both ways.
    fn stays_silent(&self, server: Endpoint, queries: &[Query], world: &World<'_>) -> bool {
        let silent = |query: &&Query| query.is_silent() && self.is_old(query);
        let waiting = forwarded::waiting(world).get(&server).into_iter().flatten();
        queries.iter().chain(waiting).filter(silent).any(|query| would_hear(query, world))
    }
}

/// No server answers later, nor does a resolver wait for it.
const NEVER_NS: i64 = 10_000_000_000;

/// When questions met ICMP errors, by who asked whom, and at which backend as far as it was seen.
type Rejections = BTreeMap<(Addr, Endpoint, Option<Addr>), Vec<i64>>;

fn rejections(world: &World<'_>) -> Rejections {
    let mut times = Rejections::new();
    for query in world.facts.dns.queries().iter().filter(|query| query.rejected && !query.tcp) {
        times.entry((query.client.addr, query.server, query.backend)).or_default().push(query.first_ns);
    }
    for times in times.values_mut() {
        times.sort_unstable();
    }
    times
}

/// Hosts send ICMP errors one a second to each address, after a few at once (Linux `icmp_ratelimit`).
const RATE_NS: i64 = 1_000_000_000;

/// Whether the host that rejects other questions at that time was not allowed to reject this one as well, or at any time
/// if the server answers none: then its errors say why.
fn is_rejected_unsaid(query: &Query, rejections: &Rejections, world: &World<'_>) -> bool {
    let who = (query.client.addr, query.server, query.backend);
    let (from, to) = (query.first_ns.saturating_sub(RATE_NS), query.last_ns.saturating_add(RATE_NS));
    rejections.get(&who).is_some_and(|times| {
        let next = times.partition_point(|ns| *ns < from);
        times.get(next).is_some_and(|ns| *ns <= to) || world.facts.dns.answers_nothing(query.server, query.client.addr)
    })
}

/// Least time that is more than a server's usual one.
const LATE_NS: i64 = 1_000_000_000;

/// Servers that answer late, and how late at most, somewhat more added.
fn slowest(world: &World<'_>) -> BTreeMap<Endpoint, i64> {
    let mut slowest: BTreeMap<Endpoint, i64> = BTreeMap::new();
    for query in world.facts.dns.queries() {
        if let Some(took) = took_ns(query).filter(|took| *took >= LATE_NS) {
            let of_server = slowest.entry(query.server).or_default();
            *of_server = took.saturating_add(LATE_NS).max(*of_server);
        }
    }
    slowest
}

/// Last time that anything of DNS was seen, or listened for, by unit.
fn ends_ns(world: &World<'_>) -> BTreeMap<u32, i64> {
    let mut ends = world.facts.vantage.until_ns.clone();
    let end = |query: &Query| query.last_ns.max(query.first_ns + query.rtt_ns.get().unwrap_or_default());
    for of_unit in world.facts.dns.queries().chunk_by(|a, b| a.unit == b.unit) {
        let Some((unit, end)) = of_unit.first().map(|query| query.unit).zip(of_unit.iter().map(end).max()) else {
            continue;
        };
        ends.entry(unit).and_modify(|last: &mut i64| *last = end.max(*last)).or_insert(end);
    }
    ends
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

/// Attempts that a server got.
fn asked(server: Endpoint, world: &World<'_>) -> u64 {
    let dns = &world.facts.dns;
    dns.of_server(server).attempts + dns.folded_of(server)
}

/// Why it is no rule against a client's DNS alone, if the capture says that it is none.
fn not_blocked(server: Endpoint, queries: &[Query], world: &World<'_>) -> Option<&'static str> {
    let dns = &world.facts.dns;
    if !dns.answers_nothing(server, queries.first()?.client.addr) {
        Some("the server answers other questions")
    } else if queries.iter().any(|query| query.forwarded || !is_fresh(Some(query.ttl))) {
        Some("the questions left the client's host")
    } else if !queries.iter().any(|query| would_hear(query, world)) {
        Some("the client's other traffic does not pass here both ways either, or there is none")
    } else {
        None
    }
}

/// How long resolvers wait before they ask again: musl 2.5 s, c-ares 3 s and more, glibc and Go 5 s.
const RESOLVER_NS: RangeInclusive<i64> = 2_000_000_000..=6_500_000_000;

/// Whether a client waited in vain as resolvers do and asked the same again, so that no answer came to it, whatever this
/// capture may lack.
fn is_waited_for(query: &Query) -> bool {
    let waited_ns = query.last_ns.saturating_sub(query.first_ns).checked_div(i64::from(query.attempts) - 1);
    waited_ns.is_some_and(|ns| RESOLVER_NS.contains(&ns))
}

/// How surely it is loss.
#[allow(clippy::struct_excessive_bools, reason = "they are independent of each other")]
struct Grade {
    /// Whether answers would be seen where the questions were.
    visible: bool,
    /// Whether a client waited for an answer as resolvers do and asked again.
    waited: bool,
    /// Whether clients mind.
    minded: bool,
    /// Whether the capture itself may have lost as much.
    dropped: bool,
    few: bool,
}

impl Grade {
    fn of(server: Endpoint, queries: &[Query], (lost, all): (Lost, u64), known: &Known, world: &World<'_>) -> Self {
        // Of what the capture itself lost as much may be missing.
        let is_few = u64::from(lost.attempts) * DROPPED <= all;
        let many = !is_few && u64::from(lost.attempts) >= MANY;
        let dns = &world.facts.dns;
        Self {
            visible: queries.iter().any(|query| dns.sees_answers(query) || world.has_both_ways(query.unit))
                || known.stays_silent(server, queries, world),
            // Where none of many answers is there, those that nobody asks again for came.
            waited: queries.iter().any(|query| is_waited_for(query) && known.is_old(query))
                && queries.iter().filter(|query| known.is_heeded(query)).count() * 2 >= queries.len(),
            minded: queries.iter().any(|query| known.is_heeded(query))
                || many && queries.iter().all(|query| !world.facts.flows.holes.contains(&query.unit)),
            dropped: world.lacks_packets() && is_few,
            few: lost.attempts < PATTERN || u64::from(lost.attempts) * 1000 < all * PER_MILLE,
        }
    }

    fn severity(&self, is_symptom: bool) -> Severity {
        match (self.minded && !self.dropped && !is_symptom, self.visible, self.waited) {
            (true, true, _) if !self.few => ABOUT.severity,
            (true, true, _) | (true, false, true) => Severity::Warning,
            _ => Severity::Info,
        }
    }

    fn confidence(&self) -> f64 {
        match (self.visible, self.waited) {
            (true, _) => 0.9,
            (false, true) => 0.7,
            (false, false) => 0.4,
        }
    }

    /// What else it may be.
    fn doubts(&self) -> impl Iterator<Item = String> {
        let filtered = "no answer to anybody is seen at this point: a capture filter may hide them";
        let missing = "no client asked again, so the answers may have come: they are not in the capture";
        let limits = [(!self.visible && !self.waited, filtered), (!self.minded, missing)].into_iter();
        limits.filter(|(holds, _)| *holds).map(|(_, why)| why.to_owned())
    }
}

fn judge(server: Endpoint, queries: &[Query], known: &Known, world: &World<'_>) -> Option<Finding> {
    let dns = &world.facts.dns;
    let (all, lost) = (asked(server, world), Lost::of(queries));
    let grade = Grade::of(server, queries, (lost, all), known, world);
    if !grade.visible && !grade.minded {
        return None;
    }
    let stalled = lookups(queries, dns);
    let nothing = all > 1 && queries.iter().all(|query| dns.answers_nothing(server, query.client.addr));
    let mut finding = Finding::of(&ABOUT, title(server, lost, all, nothing));
    finding.severity = grade.severity(is_symptom(queries, world));
    finding.confidence = grade.confidence();
    finding.of_queries(queries, &server_filter(server), world);
    if let Some(backend) = backends(queries) {
        finding.about(Role::Endpoint, &backend);
    }
    let failed = queries.iter().filter(|query| query.is_silent()).count();
    let counts = [
        ("queries", all as i64),
        ("unanswered", lost.attempts.into()),
        ("queries_lost", lost.queries.into()),
        ("answers_lost", lost.answers.into()),
        ("stalled_lookups", stalled as i64),
        ("failed_queries", failed as i64),
    ];
    finding.counts.extend(counts);
    finding.explanation = explain(server, queries, lost, stalled, world);
    finding.explanation += &if nothing { unwaited(all.saturating_sub(lost.attempts.into())) } else { String::new() };
    finding.tell_who_waits(server, world);
    finding.limits.extend(grade.doubts());
    rule_out(&mut finding, not_blocked(server, queries, world));
    finding.fix.commands = vec!["conntrack -S".to_owned(), "nstat -az UdpInErrors UdpRcvbufErrors".to_owned()];
    if lost.queries + lost.answers < lost.attempts {
        let servers = queries.iter().map(|query| Spot::Host(query.backend.unwrap_or(server.addr)));
        let nodes = clients(queries).into_iter().take(1).map(Spot::NodeOf);
        finding.capture_next = world.capture_next(servers.chain(nodes), "where the questions or answers are last seen");
    }
    Some(finding)
}

/// What is said of attempts without an answer that nobody waited for.
fn unwaited(others: u64) -> String {
    match others {
        0 => String::new(),
        others => format!(" The other {others} show no answer either, but nobody waited so long for one."),
    }
}

fn rule_out(finding: &mut Finding, not_blocked: Option<&str>) {
    if let Some(why) = not_blocked {
        finding.rule_out("DNS003", why);
    }
    finding.rule_out("DNS005", "the losses are not one of each pair from one port");
}

fn title(server: Endpoint, lost: Lost, all: u64, nothing: bool) -> String {
    if nothing {
        return format!("{server} answered none of {all} attempts");
    }
    format!("{server} left {} of {all} without an answer", count_of(lost.attempts.into(), "attempt"))
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
fn backends(queries: &[Query]) -> Option<Addr> {
    let first = queries.first()?.backend?;
    queries.iter().all(|query| query.backend == Some(first)).then_some(first)
}
