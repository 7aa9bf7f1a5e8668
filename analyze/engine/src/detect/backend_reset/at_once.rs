//! Servers that end several connections at once, however long each had been silent: no timeout of theirs is over, they
//! stop. What comes next may go to others of the service, or to whoever takes its place, so that nothing need be refused.

use super::super::evidence::{count_of, servers_filter, some_of};
use super::super::slow_server::millis;
use super::super::turns::TurnService;
use super::super::world::World;
use super::{ABOUT, commands, drained, lost};
use crate::Addr;
use crate::finding::{Finding, Severity};
use crate::track::{Endpoint, Fate, Turn};
use std::collections::BTreeSet;

/// What a process leaves open when it ends is closed within this time.
const AT_ONCE_NS: i64 = 50_000_000;

/// Connections of a service that its server ended at once, with requests that were lost by that.
struct AtOnce<'a> {
    service: &'a TurnService,
    lost: Vec<&'a Turn>,
}

/// One finding for each service whose server stopped, but for those that are found already.
pub(super) fn find(world: &World<'_>, found: &[Finding]) -> Vec<Finding> {
    let is_found = |service: &TurnService| {
        found.iter().any(|finding| service.endpoints().any(|at| finding.names(at) || finding.names(&at.addr)))
    };
    let services = world.facts.turns.services().iter().filter(|service| !is_found(service));
    services.filter_map(AtOnce::of).map(|at_once| at_once.judge(world)).collect()
}

fn ended_ns(turn: &Turn) -> i64 {
    turn.server_goodbye.map_or(0, |goodbye| goodbye.ns)
}

/// How long a connection had been silent when its server ended it.
fn silence_ns(turn: &Turn) -> Option<i64> {
    match turn.fate {
        Fate::Dropped | Fate::BrokenOff => Some(0),
        _ => Some(ended_ns(turn).saturating_sub(turn.asked_ns.saturating_sub(turn.idle_ns?)).max(0)),
    }
}

/// Whether the silences are of no timeout: one of them is twice as long as another.
fn are_of_no_timeout(turns: &[&Turn]) -> bool {
    let silences = || turns.iter().filter_map(|turn| silence_ns(turn));
    silences().min().zip(silences().max()).is_some_and(|(least, most)| most >= least.saturating_mul(2) && most > 0)
}

impl<'a> AtOnce<'a> {
    /// Where it happened once, to all requests that were lost. Some were on their way: what only drops requests is told
    /// of elsewhere.
    fn of(service: &'a TurnService) -> Option<Self> {
        let mut lost: Vec<&Turn> = lost(service).filter(|turn| turn.server_goodbye.is_some()).collect();
        lost.sort_unstable_by_key(|turn| ended_ns(turn));
        let span_ns = ended_ns(lost.last()?).saturating_sub(ended_ns(lost.first()?));
        let clients: BTreeSet<Endpoint> = lost.iter().map(|turn| turn.client).collect();
        let met = lost.iter().any(|turn| matches!(turn.fate, Fate::Crossed | Fate::Stale));
        let stopped = met && clients.len() > 1 && span_ns <= AT_ONCE_NS && are_of_no_timeout(&lost);
        stopped.then_some(Self { service, lost })
    }

    fn judge(&self, world: &World<'_>) -> Finding {
        let connections = count_of(self.lost.len() as u64, "connection");
        let title = format!("{} ended {connections} at once that its clients still used", self.service.server);
        let mut finding = Finding::of(&ABOUT, title);
        (finding.severity, finding.confidence) = (Severity::Warning, 0.75);
        let clients: BTreeSet<Addr> = self.lost.iter().map(|turn| turn.client.addr).collect();
        self.service.introduce(&mut finding, &clients);
        finding.counts.insert("dropped_requests", self.lost.len() as i64);
        finding.counts.insert("failed_connects", 0);
        let ends = || self.lost.iter().map(|turn| ended_ns(turn));
        let (first, last) = (ends().min().unwrap_or_default(), ends().max().unwrap_or_default());
        finding.span(first, last);
        let frames = self.lost.iter().flat_map(|turn| turn.met_goodbye());
        finding.cite(world, frames, &servers_filter(self.service.endpoints()));
        finding.explanation = self.explain(&clients, last.saturating_sub(first));
        finding.limits.push(
            "no new connection failed after that: others of the service took over, it was back at once, or it only \
             loaded its configuration anew"
                .to_owned(),
        );
        finding.rule_out("APP002", "what ended at once had been silent for different times, so no timeout was over");
        finding.fix.commands = commands(self.service.endpoints().last().unwrap_or(&self.service.server).addr);
        finding.fix.yaml = Some(drained());
        finding
    }

    fn explain(&self, clients: &BTreeSet<Addr>, within_ns: i64) -> String {
        let mut silences: Vec<i64> = self.lost.iter().filter_map(|turn| silence_ns(turn)).collect();
        silences.sort_unstable();
        format!(
            "{} of {} ended within {}, each from the server's side, when one had been silent for {} and another for {}. {} were \
             lost with them: in the server's hands, on the way to it, or sent to what was closed. The process ended or \
             was told to.",
            count_of(self.lost.len() as u64, "connection"),
            some_of(clients, 3),
            millis(Some(within_ns)),
            millis(silences.first().copied()),
            millis(silences.last().copied()),
            count_of(self.lost.len() as u64, "request"),
        )
    }
}
