//! Answers with an error code, by server: what SERVFAIL and REFUSED have in common.

use super::Query;
use super::cite::{by_server, names, server_filter};
use crate::detect::About;
use crate::detect::evidence::count_of;
use crate::detect::world::World;
use crate::finding::{Finding, Severity};
use crate::track::Endpoint;

/// Errors before they are more than a hiccup.
const PATTERN: usize = 3;

/// Queries to a server that it answered with an error, and all that it answered.
pub(super) struct Errors {
    pub(super) server: Endpoint,
    pub(super) failed: Vec<Query>,
    pub(super) answered: u64,
}

/// Servers that answer with this code.
pub(super) fn errors(code: u16, world: &World<'_>) -> Vec<Errors> {
    let dns = &world.facts.dns;
    let failed = by_server(dns.queries().iter().filter(|query| query.rcode == Some(code))).into_iter();
    let errors = |(server, failed): (Endpoint, Vec<Query>)| {
        let answered = dns.of_server(server).with_rcode + dns.folded_of(server);
        Errors { server, failed, answered }
    };
    failed.map(errors).collect()
}

/// The finding about a server's errors, its explanation begun.
pub(super) fn finding(about: &About, code: &str, errors: &Errors, world: &World<'_>) -> Finding {
    let count = errors.failed.len();
    let answers = count_of(count as u64, &format!("{code} answer"));
    let mut finding = Finding::of(about, format!("{} answers {code} ({answers})", errors.server));
    if count < PATTERN {
        finding.severity = Severity::Warning.min(about.severity);
    }
    finding.of_queries(&errors.failed, &server_filter(errors.server), world);
    finding.counts.insert("queries", count as i64);
    finding.counts.insert("answers_in_all", errors.answered as i64);
    finding.explanation = format!(
        "{} answered {count} of {} questions with {code}: {}.",
        errors.server,
        errors.answered,
        names(&errors.failed, world)
    );
    finding.rule_out("DNS004", "every one of these questions was answered");
    finding
}
