//! A service that answered nobody for a while: its host, its node or the way to it was away, and is back.

use super::attempts::Outcome;
use super::backend_reset::{Attempt, attempts};
use super::connect_timeout::ABOUT;
use super::evidence::{count_of, server_filter, some_of};
use super::lot::are_adjacent;
use super::services::Service;
use super::slow_server::millis;
use super::vantage::Spot;
use super::world::World;
use crate::Addr;
use crate::finding::{Finding, Role, Severity};
use std::collections::BTreeSet;

/// Connections that came about before, attempts that failed, and those of them that met silence: a process that is only
/// restarted has its host refuse.
const WORKED: usize = 2;
const FAILED: usize = 3;
const SILENT: usize = 2;
/// Less is a burst of loss, which repeated SYNs outlast.
const AWAY_NS: i64 = 3_000_000_000;

/// A stretch in which every attempt failed, between others that came about.
struct Away {
    worked: Vec<Attempt>,
    failed: Vec<Attempt>,
    after: Vec<Attempt>,
}

/// What is to be said of a service, if it was away.
pub(super) fn find(service: &Service, world: &World<'_>) -> Option<Finding> {
    let addresses = std::iter::once(&service.server).chain(&service.behind);
    let away = Away::of(attempts(addresses, world))?;
    Some(judge(service, &away, world))
}

impl Away {
    fn of(mut all: Vec<Attempt>) -> Option<Self> {
        all.retain(|at| at.outcome.is_failure() || at.outcome.is_granted());
        let draws: Vec<bool> = all.iter().map(|at| at.outcome.is_failure()).collect();
        let first = draws.iter().position(|failed| *failed)?;
        let last = draws.iter().rposition(|failed| *failed)?;
        let lasting = all.get(last + 1)?.ns - all[first].ns >= AWAY_NS;
        let whole = draws[first..=last].iter().all(|failed| *failed) && are_adjacent(last + 1 - first, draws.len());
        let (after, failed) = (all.split_off(last + 1), all.split_off(first));
        let away = Self { worked: all, failed, after };
        (lasting && whole && away.worked.len() >= WORKED && away.is_silence()).then_some(away)
    }

    /// Whether clients that were served before met silence; others may be shut out by a rule.
    fn is_silence(&self) -> bool {
        let known: BTreeSet<Addr> = self.worked.iter().map(|at| at.orig.addr).collect();
        let silent = self.count(Outcome::Unanswered);
        let told = self.count(Outcome::Rejected) > 0;
        let all_known = self.failed.iter().all(|at| known.contains(&at.orig.addr));
        self.failed.len() >= FAILED && silent >= SILENT && !told && all_known
    }

    fn count(&self, outcome: Outcome) -> usize {
        self.failed.iter().filter(|at| at.outcome == outcome).count()
    }

    /// From the first attempt that failed to the next one that came about.
    fn span_ns(&self) -> (i64, i64) {
        let ns = |at: Option<&Attempt>| at.map_or(0, |at| at.ns);
        (ns(self.failed.first()), ns(self.after.first()))
    }
}

fn judge(service: &Service, away: &Away, world: &World<'_>) -> Finding {
    let (server, (first_ns, back_ns)) = (service.server, away.span_ns());
    let tries = count_of(away.failed.len() as u64, "attempt");
    let long = millis(Some(back_ns - first_ns));
    let mut finding = Finding::of(&ABOUT, format!("{server} answered no new connection for {long} ({tries})"));
    finding.severity = Severity::Warning;
    finding.confidence = 0.7;
    finding.about(Role::Server, &server);
    for endpoint in service.behind.iter().take(8) {
        finding.about(Role::Endpoint, endpoint);
    }
    let clients: BTreeSet<Addr> = away.failed.iter().map(|at| at.orig.addr).collect();
    for client in clients.iter().take(8) {
        finding.about(Role::Client, client);
    }
    finding.counts.insert("connections_before", away.worked.len() as i64);
    finding.counts.insert("failed_connects", away.failed.len() as i64);
    finding.counts.insert("connections_after", away.after.len() as i64);
    finding.span(first_ns, back_ns);
    let ends = [away.worked.last(), away.after.first()].into_iter().flatten();
    let frames = ends.chain(away.failed.iter().take(6)).map(|at| at.frame);
    finding.cite(world, frames, &server_filter(service));
    finding.explanation = explain(away, &clients, &tries, &long);
    finding.rule_out("SVC002", "all that fail lie in one stretch, and nothing came about in between");
    finding.rule_out("SVC003", "it is not only refused: some got no answer at all");
    finding.fix.commands = vec![
        "kubectl get nodes; kubectl get events -A --sort-by=.lastTimestamp | tail -50".to_owned(),
        format!("kubectl get pods -A -o wide | grep -wF {}   # restarts, age", server.addr),
    ];
    finding.capture_next = world.capture_next(service.hosts().map(Spot::NodeOf), "how far the SYNs get while it lasts");
    finding
}

fn explain(away: &Away, clients: &BTreeSet<Addr>, tries: &str, long: &str) -> String {
    let refused = match away.count(Outcome::Refused) {
        0 => String::new(),
        n => format!(", {n} were refused"),
    };
    format!(
        "{} to it came about. Then {tries} from {} failed within {long}: {} got no answer at all{refused}. From then on \
         connections come about again ({}). The server's host, its node or the way to it was away that long: a node or \
         pod that started anew, a network that was interrupted, or a rule that was there for a while.",
        count_of(away.worked.len() as u64, "connection"),
        some_of(clients, 3),
        away.count(Outcome::Unanswered),
        away.after.len(),
    )
}
