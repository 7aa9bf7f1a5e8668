use super::About;
use super::evidence::{count_of, servers_filter, some_of};
use super::turns::TurnService;
use super::world::World;
use crate::finding::{Finding, Severity};
use crate::track::{FrameId, TlsFailure, Turn};
use crate::wire::app::tls::alert_name;
use std::collections::{BTreeMap, BTreeSet};

pub(super) const ABOUT: About = About {
    code: "APP004",
    slug: "tls-failure",
    title: "TLS handshakes fail",
    severity: Severity::Error,
    what: "TLS handshakes end in an alert, in a reset or close right after the ClientHello, or in silence.",
    why: "The connection is up and nothing can be said on it: certificates, names, versions or a box in between.",
    how: "A ClientHello and what follows it: an alert that is readable (before TLS 1.2 encrypts, or instead of a \
          ServerHello), a client's first words after the ServerHello that have the length of an encrypted alert of TLS \
          1.3, the same as all that a server says after a client's certificate (or its word that it has none), a FIN or \
          reset of the server in place of a ServerHello, or a client that gives up after the server's \
          host acknowledged the ClientHello.",
    false_positives: "close_notify, user_canceled, no_renegotiation and warnings are no failures. Probes that connect \
                      and leave send no ClientHello. Encrypted alerts later on cannot be told from data and are not \
                      counted. One failure alone is a warning.",
    fix: "By alert: unknown_ca, bad_certificate and certificate_expired are the sender not trusting the other's \
          certificate (CA bundle, dates, chain); unrecognized_name and a reset right after the ClientHello are the name \
          (SNI) that no ingress or policy knows; protocol_version and handshake_failure are versions and ciphers; \
          certificate_required is a missing client certificate; no_application_protocol is ALPN.",
    filter: "tls.alert_message || tls.handshake.type == 1",
    judge: find,
};

/// What swallows the server's certificates, so that its silence is a symptom.
const CAUSES: [&str; 2] = ["MTU001", "MTU003"];

fn find(world: &World<'_>) -> Vec<Finding> {
    let services = world.facts.turns.services().iter().filter(|service| service.facts.tls_failures.count > 0);
    let unexplained = services.filter(|service| !CAUSES.iter().any(|code| service.is_subject(code, world)));
    unexplained.map(|service| judge(service, world)).collect()
}

fn judge(service: &TurnService, world: &World<'_>) -> Finding {
    let (server, failures) = (service.server, &service.facts.tls_failures);
    let what = count_of(failures.count, "TLS handshake");
    let kinds = kinds(&failures.turns);
    let main = kinds.iter().max_by_key(|(_, count)| **count).map(|(kind, _)| in_words(*kind)).unwrap_or_default();
    let mut finding = Finding::of(&ABOUT, format!("{what} with {server} failed: {main}"));
    finding.severity = if failures.count > 1 { ABOUT.severity } else { Severity::Warning };
    let clients: BTreeSet<_> = failures.clients().collect();
    service.introduce(&mut finding, &clients);
    finding.counts.insert("failed_handshakes", failures.count as i64);
    finding.counts.insert("handshakes", service.facts.hellos as i64);
    finding.counts.insert("clients", clients.len() as i64);
    let first = failures.turns.iter().map(|turn| turn.asked_ns).min().unwrap_or_default();
    finding.span(first, failures.turns.iter().filter_map(end_ns).max().unwrap_or(first).max(first));
    finding.cite(world, failures.turns.iter().flat_map(frames), &servers_filter(service.endpoints()));
    let hosts: BTreeSet<&str> = failures.turns.iter().map(|turn| turn.host.as_str()).collect();
    let hosts: Vec<&str> = hosts.into_iter().filter(|host| !host.is_empty()).collect();
    let asked = if hosts.is_empty() { String::new() } else { format!(" They asked for {}.", some_of(&hosts, 4)) };
    let each = kinds.iter().map(|(kind, count)| format!("{} ({count})", in_words(*kind)));
    finding.explanation = format!(
        "Of {} with {server}, {} from {} failed: {}.{asked}",
        count_of(service.facts.hellos.max(failures.count), "TLS handshake"),
        failures.count,
        some_of(&clients, 3),
        some_of(each, 4),
    );
    finding.rule_out("SVC004", "the TCP connections came about");
    finding.fix.commands = vec![format!(
        "openssl s_client -connect {server} -servername {} </dev/null",
        hosts.first().copied().unwrap_or("NAME")
    )];
    finding
}

fn kinds(turns: &[Turn]) -> BTreeMap<TlsFailure, usize> {
    let mut kinds = BTreeMap::new();
    for kind in turns.iter().filter_map(Turn::tls_failure) {
        *kinds.entry(kind).or_default() += 1;
    }
    kinds
}

fn in_words(kind: TlsFailure) -> String {
    let name = |code: u16| alert_name(code.try_into().unwrap_or(u8::MAX));
    match kind {
        TlsFailure::ServerAlert(code) => format!("the server sends alert {code}, {}", name(code)),
        TlsFailure::ClientAlert(code) => format!("the client sends alert {code}, {}", name(code)),
        TlsFailure::SecretAlert => "the client ends the handshake with an encrypted alert after it saw the server's \
                                    certificate"
            .to_owned(),
        TlsFailure::SecretServerAlert => "the server asks for a client certificate and answers what it gets with an \
                                          encrypted alert"
            .to_owned(),
        TlsFailure::Closed => "the server closes right after the ClientHello".to_owned(),
        TlsFailure::Silence => "the server takes the ClientHello and says nothing".to_owned(),
    }
}

fn end_ns(turn: &Turn) -> Option<i64> {
    turn.answered_ns.or(turn.server_goodbye.or(turn.client_goodbye).map(|goodbye| goodbye.ns))
}

fn frames(turn: &Turn) -> impl Iterator<Item = FrameId> {
    let goodbye = turn.server_goodbye.or(turn.client_goodbye).filter(|_| turn.response.is_none());
    std::iter::once(turn.request).chain(turn.response).chain(goodbye.map(|goodbye| goodbye.frame))
}
