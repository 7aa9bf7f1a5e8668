//! Answers with an error code, by server: what SERVFAIL and REFUSED have in common.

use super::Query;
use super::cite::{by_server, names, servers_filter};
use crate::detect::About;
use crate::detect::evidence::{count_of, some_of};
use crate::detect::ties::groups;
use crate::detect::world::World;
use crate::finding::{Finding, Severity};
use crate::track::Endpoint;
use std::collections::BTreeSet;

/// Errors before they are more than a hiccup.
const PATTERN: usize = 3;

/// Queries that servers answered with an error, and all that they answered.
pub(super) struct Errors {
    /// Several where the same question of the same client fails at each: replicas of one service.
    pub(super) servers: Vec<Endpoint>,
    pub(super) failed: Vec<Query>,
    pub(super) answered: u64,
}

/// Servers that answer with this code, replicas together.
pub(super) fn errors(code: u16, world: &World<'_>) -> Vec<Errors> {
    let dns = &world.facts.dns;
    let failed = by_server(dns.queries().iter().filter(|query| query.rcode == Some(code))).into_iter();
    let errors = |(server, failed): (Endpoint, Vec<Query>)| {
        let answered = dns.of_server(server).with_rcode + dns.folded_of(server);
        Errors { servers: vec![server], failed, answered }
    };
    let asked = |errors: &Errors| {
        let asked = errors.failed.iter().map(|query| (query.client.addr, query.name));
        asked.collect::<BTreeSet<_>>().into_iter()
    };
    groups(failed.map(errors), asked).into_iter().filter_map(|of| of.into_iter().reduce(Errors::with)).collect()
}

impl Errors {
    fn with(mut self, other: Self) -> Self {
        self.servers.extend(other.servers);
        self.failed.extend(other.failed);
        self.answered += other.answered;
        self
    }

    /// In words.
    pub(super) fn servers(&self) -> String {
        some_of(&self.servers, 2)
    }
}

/// The finding about a server's errors, its explanation begun.
pub(super) fn finding(about: &About, code: &str, errors: &Errors, world: &World<'_>) -> Finding {
    let count = errors.failed.len();
    let answers = count_of(count as u64, &format!("{code} answer"));
    let answer = if errors.servers.len() == 1 { "answers" } else { "answer" };
    let mut finding = Finding::of(about, format!("{} {answer} {code} ({answers})", errors.servers()));
    if count < PATTERN {
        finding.severity = Severity::Warning.min(about.severity);
    }
    let servers = errors.servers.iter().map(|server| server.addr);
    finding.of_queries(&errors.failed, &servers_filter(servers), world);
    finding.counts.insert("queries", count as i64);
    finding.counts.insert("answers_in_all", errors.answered as i64);
    finding.explanation = format!(
        "{} answered {count} of {} questions with {code}: {}.",
        errors.servers(),
        errors.answered,
        names(&errors.failed, world)
    );
    finding.rule_out("DNS004", "every one of these questions was answered");
    finding
}
