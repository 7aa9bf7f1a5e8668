//! Servers that accepted connections and, from some time on, refuse every one, though none was open when it began.

use super::Outcome;
use super::backend_reset::{ABOUT, Attempt, attempts, commands};
use super::evidence::{count_of, server_filter, some_of};
use super::services::Service;
use super::slow_server::millis;
use super::world::World;
use crate::Addr;
use crate::finding::{Finding, Role, Severity};
use std::collections::BTreeSet;

/// Connections that came about before, and those that failed after, before it is more than a restart or chance.
const WORKED: usize = 2;
const FAILED: usize = 5;
/// A process that is only restarted listens again sooner.
const DOWN_NS: i64 = 3_000_000_000;

/// What else may stop connections to a server; where it is known, it is no matter of the server's process.
const KNOWN: &[&str] =
    &["SVC001", "SVC002", "SVC003", "SVC005", "SVC008", "SVC011", "NAT002", "NAT005", "NAT008", "NET004"];

/// One finding for each server that went down, but for those that are found already.
pub(super) fn find(world: &World<'_>, found: &[Finding]) -> Vec<Finding> {
    let known = |service: &&Service| {
        let is_it =
            |finding: &Finding| [&service.server].into_iter().chain(&service.behind).any(|at| finding.names(at));
        found.iter().any(is_it) || world.found(KNOWN).any(is_it)
    };
    let services = world.facts.servers.services().iter().filter(|service| !known(service));
    services.filter_map(|service| Some(judge(service, &Down::of(service, world)?, world))).collect()
}

/// When it went down.
struct Down {
    /// Attempts that came about, all before the first that failed.
    worked: Vec<Attempt>,
    failed: Vec<Attempt>,
}

impl Down {
    fn of(service: &Service, world: &World<'_>) -> Option<Self> {
        let endpoints = [&service.server].into_iter().chain(&service.behind);
        let mut worked = attempts(endpoints, world);
        worked.retain(|at| at.outcome.is_failure() || at.outcome.is_granted());
        let first = worked.iter().position(|at| at.outcome.is_failure())?;
        let failed = worked.split_off(first);
        let span_ns = failed.last()?.ns - failed.first()?.ns;
        let all_refused = failed.iter().all(|at| at.outcome == Outcome::Refused);
        let lasts = failed.len() >= FAILED && span_ns >= DOWN_NS;
        (worked.len() >= WORKED && lasts && all_refused).then_some(Self { worked, failed })
    }
}

fn judge(service: &Service, down: &Down, world: &World<'_>) -> Finding {
    let (server, tries) = (service.server, count_of(down.failed.len() as u64, "connection"));
    let mut finding =
        Finding::of(&ABOUT, format!("{server} went down and has refused every connection since ({tries})"));
    finding.confidence = 0.75;
    finding.severity = if service.sibling { Severity::Warning } else { ABOUT.severity };
    let clients: BTreeSet<Addr> = down.failed.iter().map(|at| at.orig.addr).collect();
    finding.about(Role::Server, &server);
    for endpoint in service.behind.iter().take(8) {
        finding.about(Role::Endpoint, endpoint);
    }
    for client in clients.iter().take(8) {
        finding.about(Role::Client, client);
    }
    finding.counts.insert("connections_before", down.worked.len() as i64);
    finding.counts.insert("failed_connects", down.failed.len() as i64);
    let ns = |at: Option<&Attempt>| at.map_or(0, |at| at.ns);
    let (worked_ns, first_ns, last_ns) = (ns(down.worked.last()), ns(down.failed.first()), ns(down.failed.last()));
    finding.span(first_ns, last_ns);
    let frames = down.worked.last().into_iter().chain(down.failed.iter().take(6)).map(|at| at.frame);
    finding.cite(world, frames, &server_filter(service));
    finding.explanation = format!(
        "{} to it came about. From {} after the last of them on, {tries} from {} met a reset instead of a SYN-ACK, for {}, \
         and none was accepted any more: the process is gone, and clients still go there.",
        count_of(down.worked.len() as u64, "connection"),
        millis(Some(first_ns - worked_ns)),
        some_of(&clients, 3),
        millis(Some(last_ns - first_ns)),
    );
    finding.rule_out("SVC003", "it accepted connections before, so address and port are right");
    finding.rule_out("SVC002", "refusals and successes do not take turns, so it is not one endpoint of several");
    finding.fix.commands = commands(server.addr);
    finding
}
