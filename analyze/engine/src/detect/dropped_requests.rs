use super::About;
use super::backend_reset::attempts;
use super::behind::{self, Behind};
use super::evidence::{count_of, servers_filter, some_of};
use super::turns::TurnService;
use super::world::World;
use crate::Addr;
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
           answering it, or in the middle of its answer. New connections succeed: the server as a whole is up.",
    why: "Clients see \"connection reset by peer\" or \"empty reply\", behind a proxy 502, and may not know whether the \
          request was carried out.",
    how: "FINs or resets of the server that acknowledge a request, or follow its acknowledgement, with no byte of an answer, \
          where the request could be read, was sent to its end, and each is answered (HTTP/1, PostgreSQL, MySQL, Redis); or \
          FINs or resets of the server before as many bytes as the answer's Content-Length says, or before the last of its \
          chunks. Said from three on, \
          at several times, in at least 1 % of the requests, where the server accepts a connection afterwards.",
    false_positives: "A request that its client never sends to its end, a client that leaves in the middle of an answer or \
                      reads no more of it, answers to HEAD and with segments sent again, a reset after an answer, a request that meets an idle connection's end (APP002), a server that goes \
                      down (SVC008), a proxy that passes on what a server behind it does, a client that leaves, long polls and blocking reads are not counted.",
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

/// How a request ended without all of an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Loss {
    /// Nothing of the answer came.
    Dropped,
    /// The answer ended early.
    BrokenOff,
}

/// A service, and requests that it dropped.
struct Dropper<'a> {
    service: &'a TurnService,
    loss: Loss,
    turns: Vec<&'a Turn>,
    count: u64,
}

fn find(world: &World<'_>) -> Vec<Finding> {
    let services = || world.facts.turns.services().iter();
    let losses = [Loss::Dropped, Loss::BrokenOff].into_iter();
    let droppers = losses.flat_map(|loss| services().filter_map(move |service| Dropper::of(service, loss)));
    let is_explained = |dropper: &Dropper<'_>| CAUSES.iter().any(|code| dropper.service.is_subject(code, world));
    let droppers: Vec<Dropper<'_>> =
        droppers.filter(|dropper| dropper.recurs() && !is_explained(dropper) && dropper.goes_on(world)).collect();
    let behind = Behind::of(&droppers.iter().flat_map(|dropper| behind::addresses(dropper.service)).collect(), world);
    let causes = droppers.iter().filter(|one| {
        let front = behind::addresses(one.service);
        let passes_on = |other: &Dropper<'_>| {
            other.service.server != one.service.server && behind::pass_on(&one.turns, &front, &other.turns, other.count)
        };
        !droppers.iter().any(passes_on) && !behind.is_told(&one.turns, one.service, world)
    });
    causes.map(|dropper| dropper.judge(world)).collect()
}

/// Whether it is known to ask for an answer, and at once: all of it was sent.
fn is_read(turn: &Turn) -> bool {
    let answers = matches!(turn.protocol, Protocol::Http1 | Protocol::Postgres | Protocol::Mysql | Protocol::Redis);
    answers && turn.is_whole() && !turn.asked.text.is_empty() && !turn.asked.traits.has(Traits::WAITS)
}

impl<'a> Dropper<'a> {
    fn of(service: &'a TurnService, loss: Loss) -> Option<Self> {
        let facts = &service.facts;
        let ended = if loss == Loss::Dropped { &facts.dropped } else { &facts.broken_off };
        let turns: Vec<&Turn> = ended.turns.iter().filter(|turn| loss == Loss::BrokenOff || is_read(turn)).collect();
        let all = turns.len() == ended.turns.len();
        let count = if all { ended.count } else { turns.len() as u64 };
        (count >= PATTERN && count * ONE_OF >= facts.turns).then_some(Self { service, loss, turns, count })
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
        let facts = &self.service.facts;
        let mut finding = Finding::of(&ABOUT, self.title());
        let clients: BTreeSet<_> = self.turns.iter().map(|turn| turn.client.addr).collect();
        self.service.introduce(&mut finding, &clients);
        finding.counts.insert("turns", facts.turns as i64);
        let name = if self.loss == Loss::Dropped { "dropped_requests" } else { "broken_off_answers" };
        finding.counts.insert(name, self.count as i64);
        finding.counts.insert("resets", self.resets() as i64);
        let (first, last) = self.span_ns();
        finding.span(first, last);
        let frames = self.turns.iter().flat_map(|turn| turn.met_goodbye());
        finding.cite(world, frames, &servers_filter(self.service.endpoints()));
        finding.explanation = self.explain(&clients);
        finding.rule_out("SVC008", "new connections to it are accepted");
        finding.rule_out("APP002", "it had the request: it acknowledged it");
        let nothing_lost = match self.loss {
            Loss::Dropped => "nothing was lost: the request was acknowledged and the server itself ended it",
            Loss::BrokenOff => "nothing was sent again, and the server's own goodbye says where its data ends",
        };
        finding.rule_out("NET001", nothing_lost);
        finding.fix.commands =
            vec![format!("kubectl logs POD --timestamps   # of {}", some_of(self.service.endpoints(), 2))];
        finding
    }

    fn how(&self) -> &'static str {
        if self.resets() * 2 > self.turns.len() { "resets" } else { "closes" }
    }

    fn title(&self) -> String {
        let (server, all, how) = (self.service.server, self.service.facts.turns, self.how());
        match self.loss {
            Loss::Dropped => {
                format!("{server} drops {} of {all}: it {how} without an answer", count_of(self.count, "request"))
            }
            Loss::BrokenOff => {
                format!("{server} breaks off {} of {all}: it {how} in the middle", count_of(self.count, "answer"))
            }
        }
    }

    fn explain(&self, clients: &BTreeSet<Addr>) -> String {
        let (server, how) = (self.service.server, self.how());
        let names: BTreeSet<&str> = self.turns.iter().map(|turn| turn.asked.text.as_str()).collect();
        let (clients, names) = (some_of(clients, 3), some_of(names, 4));
        let others = if self.count < self.service.facts.turns { "Others it answers." } else { "It accepts new ones." };
        let example = self.turns.iter().find_map(|turn| Some((turn.answered.promised?, turn.response_bytes)));
        match (self.loss, example) {
            (Loss::BrokenOff, Some((promised, came))) => format!(
                "{server} began {} to {clients} ({names}) and {how} before it had sent all: by its Content-Length one was to \
                 have {promised} bytes, head included, and {came} came. Clients have half an answer and may take it for a \
                 whole one. {others}",
                count_of(self.count, "answer"),
            ),
            (Loss::BrokenOff, None) => format!(
                "{server} began {} to {clients} ({names}) in chunks and {how} before the last one, which is empty and says \
                 that no more comes. Clients have half an answer and may take it for a whole one. {others}",
                count_of(self.count, "answer"),
            ),
            (Loss::Dropped, _) => format!(
                "The host of {server} acknowledged {} of {clients} ({names}), and the server then {how} their connections, \
                 without a byte of an answer. {others}",
                count_of(self.count, "request"),
            ),
        }
    }

    fn resets(&self) -> usize {
        self.goodbyes().filter(|goodbye| goodbye.reset).count()
    }

    fn goodbyes(&self) -> impl Iterator<Item = Goodbye> {
        self.turns.iter().filter_map(|turn| turn.server_goodbye)
    }
}
