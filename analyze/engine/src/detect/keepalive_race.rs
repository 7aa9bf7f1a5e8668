use super::About;
use super::evidence::{count_of, servers_filter, some_of};
use super::slow_server::millis;
use super::turns::TurnService;
use super::world::World;
use crate::Addr;
use crate::finding::{Finding, Severity};
use crate::rfc3339;
use crate::track::event::Flow;
use crate::track::{Endpoint, Fate, Goodbye, Turn};
use crate::wire::app::Protocol;
use std::collections::BTreeSet;

pub(super) const ABOUT: About = About {
    code: "APP002",
    slug: "keepalive-race",
    title: "a server closes connections that its clients still use",
    severity: Severity::Error,
    what: "The server closes an idle connection while the next request is on its way, and answers the request with a \
           reset.",
    why: "The request is lost through nobody's fault: a proxy answers 502, or sends it again where it may. It happens \
          now and then, under load, and looks like a crash.",
    how: "A request meets the server's FIN: the FIN does not acknowledge the request, and the request does not \
          acknowledge the FIN, or the client had the FIN and asked all the same. The silence before the FIN is the \
          server's keep-alive timeout where it is the same each time.",
    false_positives: "A FIN that acknowledges the request is a server that took it and closed (SVC008). A reset without \
                      any FIN may be a forgotten translation (NAT002) and is not counted. Words of goodbye (TLS \
                      close_notify, QUIT) that meet a FIN are no requests, nor is what a connection says that never served \
                      any and was not idle: a server that refuses a client's certificate closes as well.",
    fix: "Let the client side give up idle connections first: the server's keep-alive timeout must be longer than the \
          proxy's (nginx's upstream keepalive_timeout is 60 s, so give the server 75 s; Node.js has 5 s, gunicorn 2 s, \
          uvicorn 5 s by default), or the proxy's shorter than the server's. Let the proxy repeat idempotent requests.",
    filter: "tcp.flags.fin == 1 || tcp.flags.reset == 1",
    judge: find,
};

/// Requests of one server that met its goodbye.
struct Races<'a> {
    count: u64,
    turns: Vec<&'a Turn>,
}

/// What a process leaves open when it ends is closed within this time.
const AT_ONCE_NS: i64 = 50_000_000;

impl<'a> Races<'a> {
    fn of(service: &'a TurnService, world: &World<'_>) -> Option<Self> {
        let all = &service.facts.races;
        let mut turns: Vec<&Turn> = all.turns.iter().filter(|turn| was_in_use(turn) && did_meet(turn)).collect();
        if !turns.is_empty() {
            let held_up = held_up(service, world);
            turns.retain(|turn| !held_up.contains(&turn.client));
        }
        let count = all.count - (all.turns.len() - turns.len()) as u64;
        (!turns.is_empty()).then_some(Self { count, turns })
    }

    /// Whether the clients had the server's FIN in all of them, so that nothing was on the way.
    fn are_stale(&self) -> bool {
        self.turns.iter().all(|turn| turn.fate == Fate::Stale)
    }

    /// Whether all of them met the moment at which a server on the same port went down: one process, at another address
    /// of its pod.
    fn are_of_stop(&self, service: &TurnService, world: &World<'_>) -> bool {
        let ports: Vec<String> = service.endpoints().map(|at| format!(":{}", at.port)).collect();
        let is_its = |finding: &&Finding| {
            finding.subjects.iter().any(|who| ports.iter().any(|port| who.address.ends_with(port.as_str())))
        };
        let mut stops = world.found(&["SVC008"]).filter(is_its);
        stops.any(|finding| {
            let meets = |ns: i64| {
                let (from, to) = (ns.saturating_sub(AT_ONCE_NS), ns.saturating_add(AT_ONCE_NS));
                (rfc3339(from)..=rfc3339(to)).contains(&finding.first)
            };
            self.closed_ns().all(meets)
        })
    }

    fn clients(&self) -> BTreeSet<Addr> {
        self.turns.iter().map(|turn| turn.client.addr).collect()
    }

    fn closed_ns(&self) -> impl Iterator<Item = i64> + Clone {
        self.turns.iter().filter_map(|turn| turn.server_goodbye).map(|goodbye| goodbye.ns)
    }
}

/// Turns of a TLS connection that are its handshake's; in the second the client's certificate may be refused.
const TLS_HANDSHAKE: u32 = 3;
/// A silence of so many round trips and so long is no part of an exchange.
const IDLE_TRIPS: i64 = 10;
const IDLE_NS: i64 = 20_000_000;

/// Whether the connection had served a request before, or been idle: a server that refuses a client that just came closes
/// as well.
fn was_in_use(turn: &Turn) -> bool {
    let first = if turn.protocol == Protocol::Tls { TLS_HANDSHAKE } else { 1 };
    let trips_ns = turn.rtt_ns.unwrap_or_default().saturating_mul(IDLE_TRIPS);
    turn.number > first || idle_ns(turn) > Some(trips_ns.max(IDLE_NS))
}

/// Clients' ends of connections in which they had to send again: what they asked was held up on the way, and what they
/// send again acknowledges a FIN that came after they had asked.
fn held_up(service: &TurnService, world: &World<'_>) -> BTreeSet<Endpoint> {
    let kept = &world.facts.servers.kept;
    let again = |flow: &Flow| {
        let losses = flow.from_orig.tcp.losses.as_ref();
        flow.from_orig.retransmitted_packets > 0 || losses.is_some_and(|losses| losses.before() > 0)
    };
    let flows = service.endpoints().flat_map(|server| kept.sent_to(*server)).flat_map(|connection| {
        let resent = connection.flows(kept).any(again);
        connection.stages.iter().filter(move |_| resent).map(|stage| stage.orig)
    });
    flows.collect()
}

/// A FIN that is lost on the way is sent again within this time, twice (RTO 0.2 s, doubled).
const AGAIN_NS: i64 = 1_000_000_000;

/// Whether request and FIN can have met: each sets out before the other comes, so that both pass here within a round trip.
/// What is further apart was held up by a way that was cut.
fn did_meet(turn: &Turn) -> bool {
    let limit_ns = turn.rtt_ns.unwrap_or_default().saturating_add(AGAIN_NS);
    let apart = |goodbye: Goodbye| goodbye.ns.abs_diff(turn.asked_ns) > limit_ns.unsigned_abs();
    turn.fate != Fate::Crossed || !turn.server_goodbye.is_some_and(apart)
}

/// How long a connection had been idle when the server closed it.
fn idle_ns(turn: &Turn) -> Option<i64> {
    let silent_since = turn.asked_ns.saturating_sub(turn.idle_ns?);
    Some(turn.server_goodbye?.ns.saturating_sub(silent_since))
}

fn find(world: &World<'_>) -> Vec<Finding> {
    let races = world.facts.turns.services().iter().filter_map(|service| Some((service, Races::of(service, world)?)));
    // A server that goes down closes everything: its connections are that finding's.
    let own =
        races.filter(|(service, races)| !service.is_subject("SVC008", world) && !races.are_of_stop(service, world));
    own.map(|(service, races)| judge(service, &races, world)).collect()
}

fn judge(service: &TurnService, races: &Races<'_>, world: &World<'_>) -> Finding {
    let (server, what) = (service.server, count_of(races.count, "request"));
    let stale = races.are_stale();
    let title = if stale {
        format!("{what} went out on connections that {server} had closed")
    } else {
        format!("{server} closed idle connections as {what} came in")
    };
    let mut finding = Finding::of(&ABOUT, title);
    let proven = races.turns.iter().any(|turn| closed_first(turn));
    finding.confidence = if proven { 0.95 } else { 0.85 };
    service.introduce(&mut finding, &races.clients());
    finding.counts.insert("races", races.count as i64);
    finding.counts.insert("turns", service.facts.turns as i64);
    let timeout = timeout_ns(races);
    if let Some((ns, _)) = timeout {
        finding.counts.insert("idle_ms", ns / 1_000_000);
    }
    let asked = || races.turns.iter().map(|turn| turn.asked_ns);
    let (first, last) = (asked().min().unwrap_or_default(), asked().chain(races.closed_ns()).max().unwrap_or_default());
    finding.span(first, last);
    finding.cite(world, races.turns.iter().flat_map(|turn| turn.met_goodbye()), &servers_filter(service.endpoints()));
    if stale {
        tell_stale(&mut finding, races, &what);
    } else {
        tell_crossed(&mut finding, races, &what, proven);
    }
    finding.rule_out("NET001", "the request arrived: the server's host answered it with a reset");
    finding.rule_out("NAT007", "the server itself said goodbye; a box in between would not");
    finding
}

/// The request and the FIN met on the way.
fn tell_crossed(finding: &mut Finding, races: &Races<'_>, what: &str, proven: bool) {
    finding.explanation = format!(
        "{what} from {} met the server's FIN on a connection that had been idle: {}. The server had closed before it \
         could know of the request, and answered it with a reset; behind a proxy that is a 502.{}",
        some_of(races.clients(), 3),
        if proven {
            "here, near the server, the FIN comes first"
        } else {
            "the FIN that came back does not acknowledge the request"
        },
        idle_in_words(timeout_ns(races)),
    );
    finding.rule_out("SVC008", "the server did not take the request: its FIN does not acknowledge it");
    finding.fix.yaml = shorter(timeout_ns(races).map(|(ns, _)| ns));
}

/// The proxy's setting that is shorter than the server's timeout, in whole seconds, where there is one.
fn shorter(timeout_ns: Option<i64>) -> Option<String> {
    let seconds = timeout_ns.map_or(4, |ns| (ns - 1) / 1_000_000_000);
    let setting = format!(
        "# ingress-nginx ConfigMap: idle connections to upstreams leave before the server closes them\ndata:\n  \
         upstream-keepalive-timeout: \"{seconds}\"   # seconds; below the server's own timeout\n"
    );
    (seconds > 0).then_some(setting)
}

/// The client had the FIN long before.
fn tell_stale(finding: &mut Finding, races: &Races<'_>, what: &str) {
    let after = |turn: &&Turn| Some(turn.asked_ns.saturating_sub(turn.server_goodbye?.ns));
    let mut after: Vec<i64> = races.turns.iter().filter_map(after).collect();
    after.sort_unstable();
    finding.explanation = format!(
        "{what} from {} went out on connections that the server had ended: the client's host had its FIN for {}, and the \
         client used them again. They met resets: its pool keeps connections without a look whether the server closed \
         them.{}",
        some_of(races.clients(), 3),
        from_to(after.first().copied(), after.last().copied()),
        end_in_words(races).unwrap_or_else(|| idle_in_words(timeout_ns(races))),
    );
    finding.rule_out("SVC008", "the server had ended the connections before the requests, and accepts new ones");
    STALE_FIX.clone_into(&mut finding.fix.text);
}

const STALE_FIX: &str = "Let the client's pool test a connection before it is used again, or drop what the server closed \
    (JDBC and HikariCP: a short maxLifetime and keepaliveTime; SQLAlchemy: pool_pre_ping; Go's database/sql: \
    SetConnMaxIdleTime; HTTP clients: validate after inactivity), and let it repeat what is idempotent on a new connection.";

/// So many connections that end within this time did not run out of time one by one.
const TOGETHER: usize = 3;
const TOGETHER_NS: i64 = 1_000_000_000;

/// That the server ended all of them at once, where it did.
fn end_in_words(races: &Races<'_>) -> Option<String> {
    let (first, last) = (races.closed_ns().min()?, races.closed_ns().max()?);
    let apart_ns = last - first;
    let connections: BTreeSet<_> = races.turns.iter().map(|turn| turn.client).collect();
    (connections.len() >= TOGETHER && apart_ns <= TOGETHER_NS).then(|| {
        format!(
            " The server ended {} at once ({} apart), as one does that is stopped or restarted.",
            count_of(connections.len() as u64, "connection"),
            millis(Some(apart_ns)),
        )
    })
}

fn from_to(least: Option<i64>, most: Option<i64>) -> String {
    let (least, most) = (millis(least), millis(most));
    if least == most { least } else { format!("{least} to {most}") }
}

/// How long the connections had been idle when the server closed: the median, and whether it is always the same.
fn timeout_ns(races: &Races<'_>) -> Option<(i64, bool)> {
    let mut idle: Vec<i64> = races.turns.iter().filter_map(|turn| idle_ns(turn)).filter(|ns| *ns > 0).collect();
    idle.sort_unstable();
    let (first, last) = (*idle.first()?, *idle.last()?);
    Some((idle[idle.len() / 2], idle.len() > 1 && last - first <= first / 10))
}

fn idle_in_words(timeout: Option<(i64, bool)>) -> String {
    match timeout {
        Some((ns, true)) => {
            format!(" It closed after {} of silence each time: its keep-alive timeout.", millis(Some(ns)))
        }
        Some((ns, false)) => format!(" It closed after {} of silence.", millis(Some(ns))),
        None => String::new(),
    }
}

/// Whether the FIN passed here before the request did.
fn closed_first(turn: &Turn) -> bool {
    turn.fate == Fate::Crossed && turn.server_goodbye.is_some_and(|goodbye| goodbye.ns < turn.asked_ns)
}
