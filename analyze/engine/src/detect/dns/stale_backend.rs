use super::cases::stalled;
use super::cite::names;
use super::{Dns, Query};
use crate::detect::About;
use crate::detect::evidence::count_of;
use crate::detect::vantage::Spot;
use crate::detect::world::World;
use crate::finding::{Finding, Role, Severity};
use crate::track::Endpoint;
use std::collections::{BTreeMap, BTreeSet};

pub(crate) const ABOUT: About = About {
    code: "DNS016",
    slug: "dns-stale-backend",
    title: "a reused source port is pinned to a DNS backend that is gone",
    severity: Severity::Error,
    what: "A client keeps asking from one port, and conntrack keeps sending these questions to the backend that it chose \
           first, which does not answer any more. Questions from other ports are answered.",
    why: "The client gets no answer for as long as it keeps the port busy: its own questions keep the entry alive.",
    how: "Three or more different questions from one port over 5 s or more, none of which is answered, while the same \
          server answers other ports of the client, or other clients.",
    false_positives: "Resolvers that take a new port for each lookup cannot be pinned: two questions of one lookup and \
                      their repetitions from one port are not enough.",
    fix: "Restart the client, or delete the entry on its node. kube-proxy deletes entries of endpoints that go away; let \
          CoreDNS go on answering while it is taken out (lameduck in its health plugin).",
    filter: "dns.flags.response == 0",
    judge: find,
};

/// Different questions from one port that make it a reused one.
const PATTERN: usize = 3;
const SPAN_NS: i64 = 5_000_000_000;

/// Questions from ports that are pinned, by port.
fn pinned<'a>(world: &World<'a>) -> &'a BTreeMap<(Endpoint, Endpoint), Vec<Query>> {
    let dns = &world.facts.dns;
    dns.cases.pinned.get_or_init(|| find_pinned(dns))
}

fn find_pinned(dns: &Dns) -> BTreeMap<(Endpoint, Endpoint), Vec<Query>> {
    let mut ports: BTreeMap<(Endpoint, Endpoint), Vec<Query>> = BTreeMap::new();
    for queries in dns.clients() {
        let stalled = stalled(queries, PATTERN as u32, |query| (query.client, query.server));
        if stalled.is_empty() {
            continue;
        }
        for query in queries.iter().filter(|query| !query.tcp && stalled.contains(&(query.client, query.server))) {
            ports.entry((query.client, query.server)).or_default().push(*query);
        }
    }
    let lives = |server: Endpoint| {
        let mut answered = dns.queries().iter().filter(|query| !query.tcp && query.is_answered());
        dns.folded.keys().any(|(_, of)| *of == server) || answered.any(|query| query.server == server)
    };
    ports.retain(|(_, server), queries| {
        // The port may have been answered before its backend went.
        let from = queries.iter().rposition(Query::is_answered).map_or(0, |last| last + 1);
        queries.drain(..from);
        queries.retain(|query| query.is_silent() && query.most_answers == 0);
        let span = queries.first().zip(queries.last()).map_or(0, |(a, b)| b.first_ns.saturating_sub(a.first_ns));
        let names: BTreeSet<u64> = queries.iter().map(|query| query.name).collect();
        queries.len() >= PATTERN && names.len() > 1 && span >= SPAN_NS && lives(*server)
    });
    ports
}

/// Questions from ports that are pinned.
pub(super) fn cases<'a>(world: &World<'a>) -> impl Iterator<Item = &'a Query> {
    pinned(world).values().flatten()
}

fn find(world: &World<'_>) -> Vec<Finding> {
    pinned(world).iter().map(|((client, server), queries)| judge(*client, *server, queries, world)).collect()
}

fn judge(client: Endpoint, server: Endpoint, queries: &[Query], world: &World<'_>) -> Finding {
    let asked = count_of(queries.len() as u64, "question");
    let mut finding = Finding::of(&ABOUT, format!("{client} gets no answer from {server} any more ({asked})"));
    let backends: BTreeSet<_> = queries.iter().filter_map(|query| query.backend).collect();
    let behind = match backends.first() {
        Some(backend) if backends.len() == 1 => format!(" All of them go to the backend {backend}."),
        _ => String::new(),
    };
    finding.confidence = if behind.is_empty() { 0.7 } else { 0.9 };
    finding.of_queries(queries, &format!("udp.port == {} && dns", client.port), world);
    for backend in &backends {
        finding.about(Role::Endpoint, backend);
    }
    finding.counts.insert("queries", queries.iter().map(|query| i64::from(query.attempts)).sum());
    finding.counts.insert("unanswered", queries.iter().map(|query| i64::from(query.unanswered)).sum());
    finding.explanation = format!(
        "{asked} from {client} ({}) stayed unanswered, one after the other from the same port, while {server} answers \
         others.{behind} A conntrack entry that outlived its backend does that.",
        names(queries, world),
    );
    finding.rule_out("DNS003", "the same server answers other ports");
    finding.rule_out("DNS004", "every question from this port is lost and none of others");
    finding.fix.commands = vec![format!(
        "conntrack -D -p udp --orig-src {} --orig-dst {} --sport {} --dport {}",
        client.addr, server.addr, client.port, server.port
    )];
    if backends.is_empty() {
        finding.capture_next = world.capture_next([Spot::NodeOf(client.addr)], "which backend the questions go to");
    }
    finding
}
