use super::About;
use super::Outcome;
use super::behind::{self, Behind, Failed};
use super::evidence::{count_of, servers_filter, some_of};
use super::slow_server::millis;
use super::turns::{BAD_GATEWAY, SLOW_NS, TurnService};
use super::world::World;
use crate::Addr;
use crate::finding::{Finding, Role, Severity};
use crate::track::{Endpoint, Turn};
use crate::wire::app::Protocol;
use std::collections::{BTreeMap, BTreeSet};

pub(super) const ABOUT: About = About {
    code: "APP008",
    slug: "gateway-errors",
    title: "requests are answered with 502 or 503",
    severity: Severity::Warning,
    what: "An ingress, a proxy or the server itself answers requests with 502 or 503 (gRPC: UNAVAILABLE): it has no server \
           that answers them.",
    why: "These requests failed for their users although the network and the gateway are fine; the fault is behind the \
          gateway, or it is overloaded.",
    how: "Answers with status 502 or 503, or gRPC's UNAVAILABLE, where they can be read: three or more, and at least 1 % of \
          the requests. The gateway's own connections, where the capture has them, tell what it met at the same time: \
          servers that refuse, are silent, close, answer late or with the same words, or none. Where another finding is \
          about that server, nothing more is said. 504 is a server that does not answer in time (APP001).",
    false_positives: "A server that starts and says 503 until it is ready is left out, and so is a probe: one client that \
                      asks for one thing on a connection each and never gets another answer. A limit of requests \
                      may answer 503 by intent.",
    fix: "Read the gateway's log at these times: it says which server it tried and what it met (nginx: connect() failed, \
          prematurely closed, no live upstreams; haproxy: the flags SC, SH, sQ; Envoy: UF, UH, UO). 502 is a server behind \
          it that refuses, resets or is spoken to in the wrong protocol. 503 is no server that is ready, a full queue, a \
          limit of connections or requests, or the application's own word.",
    filter: "http.response.code == 502 || http.response.code == 503 || grpc.status_code == 14",
    judge: find,
};

/// Answers before it is a pattern, and of so many one.
const PATTERN: u64 = 3;
const ONE_OF: u64 = 100;
const MS: i64 = 1_000_000;
/// What is answered within this time was not waited for.
const AT_ONCE_NS: i64 = 50_000_000;

/// Turns of a TLS connection until it is up and one side says goodbye.
const TLS_HANDSHAKE: u32 = 3;

/// What a gateway met at a server behind it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Met {
    Refused,
    Silence,
    Rejected,
    Closed,
    TlsFailure,
    Unasked,
    Late,
    SameWords,
}

impl Met {
    fn in_words(self) -> &'static str {
        match self {
            Self::Refused => "refuses its connections",
            Self::Silence => "does not answer its attempts to connect",
            Self::Rejected => "cannot be reached from it, as ICMP errors say",
            Self::Closed => "closes its connections instead of answering",
            Self::TlsFailure => "fails in the TLS handshake",
            Self::Unasked => "loses TLS connections right after the handshake, as where a certificate is rejected",
            Self::Late => "does not answer it in time",
            Self::SameWords => "answers so itself",
        }
    }
}

/// A service that answers so.
struct Failing<'a> {
    service: &'a TurnService,
    turns: Vec<&'a Turn>,
    front: BTreeSet<Addr>,
}

/// What most of its requests met, and where.
struct Cause {
    at: Endpoint,
    met: Met,
    count: usize,
}

fn find(world: &World<'_>) -> Vec<Finding> {
    let services = world.facts.turns.services().iter();
    let failing: Vec<Failing<'_>> = services.filter_map(Failing::of).collect();
    let behind = Behind::of(&failing.iter().flat_map(|one| one.front.iter().copied()).collect(), world);
    failing.iter().filter_map(|one| one.judge(&failing, &behind, world)).collect()
}

/// Whether it is a server's start: nothing else was answered before, and then something was.
fn is_start(service: &TurnService) -> bool {
    let unserved = &service.facts.unserved;
    let all = unserved.count == unserved.turns.len() as u64;
    let is_before = |turn: &Turn| service.facts.served_ns.is_some_and(|ns| turn.asked_ns < ns);
    all && unserved.turns.iter().all(|turn| turn.answered.status != Some(BAD_GATEWAY) && is_before(turn))
}

/// Whether it may be a probe of what is not ready: one client asks for one thing, on a connection each.
fn is_probe(service: &TurnService) -> bool {
    let turns = &service.facts.unserved.turns;
    let asks: BTreeSet<_> = turns.iter().map(|turn| (turn.client.addr, turn.asked.text.as_str())).collect();
    let alone = |turn: &Turn| turn.number == 1 && turn.answered.status != Some(BAD_GATEWAY);
    service.facts.served_ns.is_none() && asks.len() == 1 && turns.iter().all(alone)
}

impl<'a> Failing<'a> {
    fn of(service: &'a TurnService) -> Option<Self> {
        let unserved = &service.facts.unserved;
        let is_pattern = unserved.count >= PATTERN && unserved.count * ONE_OF >= service.facts.turns;
        if !is_pattern || is_start(service) || is_probe(service) {
            return None;
        }
        Some(Self { service, turns: unserved.turns.iter().collect(), front: behind::addresses(service) })
    }

    fn judge(&self, failing: &[Self], behind: &Behind, world: &World<'_>) -> Option<Finding> {
        let cause = self.cause(behind, world);
        let is_told =
            |at: &Endpoint| behind::is_alarmed(at, world) || failing.iter().any(|other| other.service.server == *at);
        if cause.as_ref().is_some_and(|cause| is_told(&cause.at)) {
            return None;
        }
        Some(self.tell(cause.as_ref(), behind, world))
    }

    fn tell(&self, cause: Option<&Cause>, behind: &Behind, world: &World<'_>) -> Finding {
        let facts = &self.service.facts;
        let mut finding = Finding::of(&ABOUT, self.title(cause));
        let clients: BTreeSet<_> = facts.unserved.clients().collect();
        self.service.introduce(&mut finding, &clients);
        if let Some(cause) = cause {
            finding.about(Role::Endpoint, &cause.at);
        }
        finding.counts.insert("turns", facts.turns as i64);
        finding.counts.insert("unserved", facts.unserved.count as i64);
        let first = self.turns.iter().map(|turn| turn.asked_ns).min().unwrap_or_default();
        finding.span(first, self.turns.iter().filter_map(|turn| turn.answered_ns).max().unwrap_or(first).max(first));
        let frames = self.turns.iter().flat_map(|turn| std::iter::once(turn.request).chain(turn.response));
        finding.cite(world, frames, &servers_filter(self.service.endpoints()));
        finding.explanation = self.explain(cause, behind);
        finding.rule_out("NET001", "the requests arrived and were answered");
        finding.fix.commands =
            vec![format!("kubectl get pods -A -o wide | grep -wF {}   # then its log", self.pod().addr)];
        if cause.is_none() && !behind.asks(&self.front) {
            finding.capture_next = Some(format!(
                "in the pod or on the node of {}, all ports: its own connections to the servers behind it",
                self.pod().addr
            ));
        }
        finding
    }

    /// Whom to look at.
    fn pod(&self) -> Endpoint {
        self.service.behind.first().copied().unwrap_or(self.service.server)
    }

    /// What most of these requests met behind the gateway.
    fn cause(&self, behind: &Behind, world: &World<'_>) -> Option<Cause> {
        let mut met: BTreeMap<(Met, Endpoint), usize> = BTreeMap::new();
        let inner = self.inner(world);
        for turn in &self.turns {
            let failed = behind.failed(&self.front, turn).map(|failed| (met_of(failed), failed.to));
            let asked = inner.iter().filter(|(_, _, inner)| behind::is_within(inner, turn));
            let all: BTreeSet<_> = failed.chain(asked.map(|(met, at, _)| (*met, *at))).collect();
            for one in all {
                *met.entry(one).or_default() += 1;
            }
        }
        let ((met, at), count) = met.into_iter().max_by_key(|(one, count)| (*count, std::cmp::Reverse(*one)))?;
        (count * 2 >= self.turns.len()).then_some(Cause { at, met, count })
    }

    /// What this server asked others, where they failed it.
    fn inner<'w>(&self, world: &'w World<'_>) -> Vec<(Met, Endpoint, &'w Turn)> {
        let others = world.facts.turns.services().iter().filter(|other| other.server != self.service.server);
        let kinds = others.flat_map(|other| {
            let facts = &other.facts;
            let closed = [&facts.races, &facts.dropped, &facts.broken_off].map(|kept| (Met::Closed, kept));
            let rest = [
                (Met::Late, &facts.gave_up),
                (Met::TlsFailure, &facts.tls_failures),
                (Met::SameWords, &facts.unserved),
            ];
            closed.into_iter().chain(rest).map(|(met, kept)| (met, other.server, kept))
        });
        let turns = kinds.flat_map(|(met, at, kept)| kept.turns.iter().map(move |turn| (met, at, turn)));
        let own = turns.filter(|(_, _, turn)| self.front.contains(&turn.client.addr));
        let unasked = |met: Met, turn: &Turn| met == Met::Closed && is_handshake(turn);
        own.map(|(met, at, turn)| (if unasked(met, turn) { Met::Unasked } else { met }, at, turn)).collect()
    }

    /// Servers that it could not connect to at any time, in words.
    fn passed_over(&self, behind: &Behind) -> String {
        let tried: BTreeSet<Endpoint> = behind.all_failed(&self.front).map(|failed| failed.to).collect();
        if tried.is_empty() {
            return String::new();
        }
        let tried = some_of(tried, 3);
        format!(" Attempts to connect to {tried} failed before or after, and it may have taken that out of use.")
    }

    fn title(&self, cause: Option<&Cause>) -> String {
        let facts = &self.service.facts;
        let what = format!(
            "{} answers {} of {} with {}",
            self.service.server,
            facts.unserved.count,
            count_of(facts.turns, "request"),
            self.words()
        );
        match cause {
            Some(cause) => format!("{what}: {} behind it {}", cause.at, cause.met.in_words()),
            None => what,
        }
    }

    /// What it says.
    fn words(&self) -> String {
        let word = |turn: &&Turn| match (turn.protocol, turn.answered.status) {
            (Protocol::Grpc, Some(status)) if status < 100 => "UNAVAILABLE".to_owned(),
            (_, status) => status.unwrap_or_default().to_string(),
        };
        self.turns.iter().map(word).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(" and ")
    }

    fn explain(&self, cause: Option<&Cause>, behind: &Behind) -> String {
        let facts = &self.service.facts;
        let names: BTreeSet<&str> = self.turns.iter().map(|turn| turn.asked.text.as_str()).collect();
        let clients: BTreeSet<_> = facts.unserved.clients().collect();
        let asked = format!(
            "Of {} to {}, {} got {} ({}; asked by {}).",
            count_of(facts.turns, "request"),
            self.service.server,
            facts.unserved.count,
            self.words(),
            some_of(names, 3),
            some_of(clients, 3),
        );
        let pace = if cause.is_none() { self.pace() } else { String::new() };
        format!("{asked}{pace} {}", self.behind_it(cause, behind))
    }

    /// How long it took for such an answer, and what that tells.
    fn pace(&self) -> String {
        let mut waits: Vec<i64> =
            self.turns.iter().filter_map(|turn| Some(turn.answered_ns?.saturating_sub(turn.asked_ns))).collect();
        waits.sort_unstable();
        let (first, last) = (waits.first().copied().unwrap_or_default(), waits.last().copied().unwrap_or_default());
        let half = waits.get(waits.len() / 2).copied().unwrap_or_default();
        if half <= AT_ONCE_NS {
            format!(" Half of these answers took {} or less: nothing timed out.", millis(Some(half.max(MS))))
        } else if first >= SLOW_NS && last - first <= first / 10 {
            format!(" Each came after {}: a timeout, of connecting or of a queue.", millis(Some(half)))
        } else {
            format!(" They came after {} to {}.", millis(Some(first)), millis(Some(last)))
        }
    }

    /// What was seen of the servers behind it.
    fn behind_it(&self, cause: Option<&Cause>, behind: &Behind) -> String {
        match cause {
            Some(cause) => format!(
                "While it had {} of {} of them, {} {}: that is the fault to look for.",
                cause.count,
                self.turns.len(),
                cause.at,
                cause.met.in_words()
            ),
            None if behind.asks(&self.front) => "It has connections to others here, and for most of these requests none of \
                them refused, fell silent or broke off: it found no usable server (health checks, no endpoints), a queue \
                or a limit was full, it ran out of local ports, it did not like an answer (headers too long), or the \
                server behind said so in what cannot be read here."
                .to_owned()
                + &self.passed_over(behind),
            None => "Connections of its own to servers behind it are not in this capture, at least not from this address. \
                A gateway says 502 of a server that refuses, resets or speaks another protocol, and 503 of none that is \
                usable; an application says 503 of itself."
                .to_owned(),
        }
    }
}

/// Whether TLS is not yet up, or nothing was asked since.
fn is_handshake(turn: &Turn) -> bool {
    turn.protocol == Protocol::Tls && turn.number <= TLS_HANDSHAKE
}

fn met_of(failed: &Failed) -> Met {
    match failed.outcome {
        Outcome::Refused => Met::Refused,
        Outcome::Rejected => Met::Rejected,
        _ => Met::Silence,
    }
}
