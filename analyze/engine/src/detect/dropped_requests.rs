use super::About;
use super::backend_reset::attempts;
use super::evidence::{count_of, servers_filter, some_of};
use super::turns::TurnService;
use super::world::World;
use crate::finding::{Finding, Severity};
use crate::track::{Goodbye, Turn};
use crate::wire::app::{Protocol, Traits};
use std::collections::BTreeSet;

pub(super) const ABOUT: About = About {
    code: "APP007",
    slug: "dropped-requests",
    title: "a server takes requests and closes without an answer",
    severity: Severity::Warning,
    what: "The server's host had acknowledged a request, and the server then closes or resets the connection instead of \
           answering it. New connections succeed: the server as a whole is up.",
    why: "Clients see \"connection reset by peer\" or \"empty reply\", behind a proxy 502, and may not know whether the \
          request was carried out.",
    how: "FINs or resets of the server that acknowledge a request, or follow its acknowledgement, with no byte of an answer, \
          where the request could be read and each is answered (HTTP/1, PostgreSQL, MySQL, Redis). Said from three on, \
          at several times, in at least 1 % of the requests, where the server accepts a connection afterwards.",
    false_positives: "A reset after an answer, a request that meets an idle connection's end (APP002), a server that goes \
                      down (SVC008), a client that leaves, long polls and blocking reads are not counted.",
    fix: "See the server's log at these times: a worker that crashes or is recycled in the middle, a limit on requests, \
          connections or header sizes, a rule that closes without answering (nginx: return 444), a proxy whose own \
          upstream failed.",
    filter: "tcp.flags.reset == 1 || tcp.flags.fin == 1",
    judge: find,
};

/// Requests before it is a pattern, and of so many requests one.
const PATTERN: u64 = 3;
const ONE_OF: u64 = 100;
/// What ends within this time is one event, such as a restart.
const EVENT_NS: i64 = 1_000_000_000;
/// What explains connections that end early.
const CAUSES: [&str; 4] = ["SVC008", "NAT001", "NAT002", "NAT008"];

/// A service, and requests that it dropped.
struct Dropper<'a> {
    service: &'a TurnService,
    turns: Vec<&'a Turn>,
    count: u64,
}

fn find(world: &World<'_>) -> Vec<Finding> {
    let droppers = world.facts.turns.services().iter().filter_map(Dropper::of);
    let is_explained = |dropper: &Dropper<'_>| CAUSES.iter().any(|code| dropper.service.is_subject(code, world));
    let droppers = droppers.filter(|dropper| dropper.recurs() && !is_explained(dropper) && dropper.goes_on(world));
    droppers.map(|dropper| dropper.judge(world)).collect()
}

/// Whether it is known to ask for an answer, and at once.
fn is_read(turn: &Turn) -> bool {
    let answers = matches!(turn.protocol, Protocol::Http1 | Protocol::Postgres | Protocol::Mysql | Protocol::Redis);
    answers && !turn.asked.text.is_empty() && !turn.asked.traits.has(Traits::WAITS)
}

impl<'a> Dropper<'a> {
    fn of(service: &'a TurnService) -> Option<Self> {
        let dropped = &service.facts.dropped;
        let turns: Vec<&Turn> = dropped.turns.iter().filter(|turn| is_read(turn)).collect();
        let all = turns.len() == dropped.turns.len();
        let count = if all { dropped.count } else { turns.len() as u64 };
        (count >= PATTERN && count * ONE_OF >= service.facts.turns).then_some(Self { service, turns, count })
    }

    /// From the first to the last that it dropped.
    fn span_ns(&self) -> (i64, i64) {
        let times = || self.goodbyes().map(|goodbye| goodbye.ns);
        (times().min().unwrap_or_default(), times().max().unwrap_or_default())
    }

    /// Whether it happened at several times.
    fn recurs(&self) -> bool {
        let (first, last) = self.span_ns();
        last.saturating_sub(first) >= EVENT_NS
    }

    /// Whether the endpoints that dropped requests, or the server where they are not known, accept connections afterwards.
    fn goes_on(&self, world: &World<'_>) -> bool {
        let own = [self.service.server];
        let endpoints = if self.service.behind.is_empty() { &own[..] } else { &self.service.behind };
        let first = self.span_ns().0;
        attempts(endpoints.iter(), world).iter().any(|at| at.ns > first && at.outcome.is_granted())
    }

    fn judge(&self, world: &World<'_>) -> Finding {
        let (server, facts) = (self.service.server, &self.service.facts);
        let dropped = count_of(self.count, "request");
        let how = if self.resets() * 2 > self.turns.len() { "resets" } else { "closes" };
        let title = format!("{server} drops {dropped} of {}: it {how} without an answer", facts.turns);
        let mut finding = Finding::of(&ABOUT, title);
        let clients: BTreeSet<_> = self.turns.iter().map(|turn| turn.client.addr).collect();
        self.service.introduce(&mut finding, &clients);
        finding.counts.insert("turns", facts.turns as i64);
        finding.counts.insert("dropped_requests", self.count as i64);
        finding.counts.insert("resets", self.resets() as i64);
        let (first, last) = self.span_ns();
        finding.span(first, last);
        let frames = self.turns.iter().flat_map(|turn| turn.met_goodbye());
        finding.cite(world, frames, &servers_filter(self.service.endpoints()));
        let names: BTreeSet<&str> = self.turns.iter().map(|turn| turn.asked.text.as_str()).collect();
        finding.explanation = format!(
            "The host of {server} acknowledged {dropped} of {} ({}), and the server then {how} their connections, \
             without a byte of an answer. {}",
            some_of(&clients, 3),
            some_of(names, 4),
            if self.count < facts.turns { "Others it answers." } else { "It accepts new ones." },
        );
        finding.rule_out("SVC008", "new connections to it are accepted");
        finding.rule_out("APP002", "it had the request: it acknowledged it");
        finding.rule_out("NET001", "nothing was lost: the request was acknowledged and the server itself ended it");
        finding.fix.commands =
            vec![format!("kubectl logs POD --timestamps   # of {}", some_of(self.service.endpoints(), 2))];
        finding
    }

    fn resets(&self) -> usize {
        self.goodbyes().filter(|goodbye| goodbye.reset).count()
    }

    fn goodbyes(&self) -> impl Iterator<Item = Goodbye> {
        self.turns.iter().filter_map(|turn| turn.server_goodbye)
    }
}
