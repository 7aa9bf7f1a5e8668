use super::About;
use super::evidence::{count_of, servers_filter, some_of};
use super::slow_server::millis;
use super::turns::TurnService;
use super::world::World;
use crate::finding::{Finding, Severity};
use crate::track::{Fate, Turn};
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
                      close_notify, QUIT) that meet a FIN are no requests.",
    fix: "Let the client side give up idle connections first: the server's keep-alive timeout must be longer than the \
          proxy's (nginx's upstream keepalive_timeout is 60 s, so give the server 75 s; Node.js has 5 s, gunicorn 2 s, \
          uvicorn 5 s by default), or the proxy's shorter than the server's. Let the proxy repeat idempotent requests.",
    filter: "tcp.flags.fin == 1 || tcp.flags.reset == 1",
    judge: find,
};

fn find(world: &World<'_>) -> Vec<Finding> {
    let services = world.facts.turns.services().iter().filter(|service| service.facts.races.count > 0);
    // A server that goes down closes everything: its connections are that finding's.
    services.filter(|service| !service.is_subject("SVC008", world)).map(|service| judge(service, world)).collect()
}

fn judge(service: &TurnService, world: &World<'_>) -> Finding {
    let (server, races) = (service.server, &service.facts.races);
    let what = count_of(races.count, "request");
    let mut finding = Finding::of(&ABOUT, format!("{server} closed idle connections as {what} came in"));
    let proven = races.turns.iter().any(closed_first);
    finding.confidence = if proven { 0.95 } else { 0.85 };
    let clients: BTreeSet<_> = races.clients().collect();
    service.introduce(&mut finding, &clients);
    finding.counts.insert("races", races.count as i64);
    finding.counts.insert("turns", service.facts.turns as i64);
    let timeout = timeout_ns(&races.turns);
    if let Some((ns, _)) = timeout {
        finding.counts.insert("idle_ms", ns / 1_000_000);
    }
    let first = races.turns.iter().map(|turn| turn.asked_ns).min().unwrap_or_default();
    let last = races.turns.iter().filter_map(|turn| turn.server_goodbye).map(|goodbye| goodbye.ns).max();
    finding.span(first, last.unwrap_or(first).max(first));
    finding.cite(world, races.turns.iter().flat_map(Turn::met_goodbye), &servers_filter(service.endpoints()));
    finding.explanation = format!(
        "{what} from {} met the server's FIN on a connection that had been idle: {}. The server had closed before it \
         could know of the request, and answered it with a reset; behind a proxy that is a 502.{}",
        some_of(&clients, 3),
        if proven {
            "here, near the server, the FIN comes first"
        } else {
            "the FIN that came back does not acknowledge the request"
        },
        idle_in_words(timeout),
    );
    finding.rule_out("SVC008", "the server did not take the request: its FIN does not acknowledge it");
    finding.rule_out("NET001", "the request arrived: the server's host answered it with a reset");
    finding.rule_out("NAT007", "the server itself said goodbye; a box in between would not");
    finding.fix.yaml = Some(
        "# ingress-nginx ConfigMap: idle connections to upstreams leave before the server closes them\ndata:\n  \
         upstream-keepalive-timeout: \"4\"   # seconds; below the server's own timeout\n  proxy-next-upstream: \"error \
         timeout\"\n"
            .to_owned(),
    );
    finding
}

/// How long the connections had been idle when the server closed: the median, and whether it is always the same.
fn timeout_ns(races: &[Turn]) -> Option<(i64, bool)> {
    let idle = |turn: &Turn| {
        let silent_since = turn.asked_ns.saturating_sub(turn.idle_ns?);
        Some(turn.server_goodbye?.ns.saturating_sub(silent_since))
    };
    let mut idle: Vec<i64> = races.iter().filter_map(idle).filter(|ns| *ns > 0).collect();
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
