//! One of several endpoints that refused for a while, as a server does that ends before it is out of its service.
//!
//! A server that is the only one refuses while it is restarted, which nothing but a second one would spare its clients.

use super::attempts::Outcome;
use super::backend_reset::{ABOUT, Attempt, attempts, commands, drained};
use super::evidence::{count_of, server_filter, some_of};
use super::lot::{is_spell, served};
use super::services::{Service, are_neighbours};
use super::slow_server::millis;
use super::world::World;
use crate::Addr;
use crate::finding::{Finding, Role, Severity};
use crate::path::Connection;
use crate::track::Endpoint;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// Connections that came about before, and those that were refused after: fewer may be a probe before its time.
const WORKED: usize = 2;
const REFUSED: usize = 5;

/// A stretch of refusals after successes.
struct Spell {
    /// The endpoint, where it is known.
    endpoint: Option<Endpoint>,
    worked: Vec<Attempt>,
    failed: Vec<Attempt>,
    /// Attempts that came about in between, and afterwards.
    between: usize,
    after: usize,
    /// Endpoints that served meanwhile.
    others: BTreeSet<Endpoint>,
}

/// The endpoints of a service that did, or the one that the translation hides.
pub(super) fn find(service: &Service, world: &World<'_>) -> Vec<Finding> {
    let addresses = std::iter::once(&service.server).chain(&service.behind);
    let mut spells: Vec<Spell> = addresses.filter_map(|at| of_endpoint(*at, service, world)).collect();
    if spells.is_empty() {
        spells.extend(hidden(service, world));
    }
    spells.iter().map(|spell| judge(service, spell, world)).collect()
}

/// An endpoint that refused everything for a while, others serving the same clients meanwhile.
fn of_endpoint(endpoint: Endpoint, service: &Service, world: &World<'_>) -> Option<Spell> {
    let spell = Spell::of(attempts(std::iter::once(&endpoint), world)).filter(|spell| spell.between == 0)?;
    let kept = &world.facts.servers.kept;
    let translated = |at: &u32| {
        let connection = &kept.connections()[*at as usize];
        (connection, connection.endpoint().filter(|other| *other != endpoint))
    };
    let siblings = service.connections.iter().map(translated);
    let mut others = spell.serve_meanwhile(siblings.filter_map(|(connection, at)| Some((connection, at?))), world);
    // Neighbours of one that is back may be any servers.
    if others.is_empty() && spell.after == 0 {
        let near = |at: Endpoint| at != endpoint && at.port == endpoint.port && are_neighbours(at.addr, endpoint.addr);
        let all = world.facts.servers.outcomes().map(|(_, connection, _)| (connection, connection.back().resp));
        others = spell.serve_meanwhile(all.filter(|(_, at)| near(*at)), world);
    }
    (!others.is_empty()).then_some(Spell { endpoint: Some(endpoint), others, ..spell })
}

/// Refusals in one stretch, and successes in between, where nobody saw the translation.
fn hidden(service: &Service, world: &World<'_>) -> Option<Spell> {
    let of = std::iter::once(&service.server).filter(|_| service.behind.is_empty());
    let all = attempts(of, world);
    let told = all.iter().filter(|at| at.outcome.is_failure() || at.outcome == Outcome::Established);
    let draws: Vec<bool> = told.map(|at| at.outcome.is_failure()).collect();
    let spell = Spell::of(all)?;
    (spell.between > 0 && (served(&draws) || is_spell(&draws))).then_some(spell)
}

impl Spell {
    /// From first to last refusal of clients that were served before; others may be refused by a rule.
    fn of(mut all: Vec<Attempt>) -> Option<Self> {
        all.retain(|at| at.outcome.is_failure() || at.outcome.is_granted());
        let first = all.iter().position(|at| at.outcome.is_failure())?;
        let last = all.iter().rposition(|at| at.outcome.is_failure())?;
        let client = |at: &Attempt| at.orig.addr;
        let known: BTreeSet<Addr> = all[..first].iter().map(client).collect();
        let (failed, between): (Vec<Attempt>, Vec<Attempt>) =
            all[first..=last].iter().partition(|at| at.outcome.is_failure());
        let refused = failed.iter().all(|at| at.outcome == Outcome::Refused && known.contains(&client(at)));
        let failing: BTreeSet<Addr> = failed.iter().map(client).collect();
        let by_client = !between.is_empty() && !between.iter().any(|at| failing.contains(&client(at)));
        (first >= WORKED && failed.len() >= REFUSED && refused && !by_client).then(|| Self {
            endpoint: None,
            between: between.len(),
            after: all.len() - last - 1,
            worked: all[..first].to_vec(),
            failed,
            others: BTreeSet::new(),
        })
    }

    fn clients(&self) -> BTreeSet<Addr> {
        self.failed.iter().map(|at| at.orig.addr).collect()
    }

    fn span_ns(&self) -> RangeInclusive<i64> {
        let ns = |at: Option<&Attempt>| at.map_or(0, |at| at.ns);
        ns(self.failed.first())..=ns(self.failed.last())
    }

    /// Those of these endpoints that accepted connections of the same clients in the stretch.
    fn serve_meanwhile<'a>(
        &self,
        connections: impl Iterator<Item = (&'a Connection, Endpoint)>,
        world: &World<'_>,
    ) -> BTreeSet<Endpoint> {
        let (clients, span_ns) = (self.clients(), self.span_ns());
        let meanwhile = |connection: &Connection| {
            let mut flows = connection.flows(&world.facts.servers.kept);
            connection.outcome == Outcome::Established
                && clients.contains(&connection.front().orig.addr)
                && flows.any(|flow| flow.from_orig.isn.is_some() && span_ns.contains(&flow.first_ns))
        };
        connections.filter(|(connection, _)| meanwhile(connection)).map(|(_, at)| at).collect()
    }

    fn name(&self, service: &Service) -> String {
        match self.endpoint {
            Some(endpoint) if endpoint != service.server => format!("endpoint {endpoint} of {}", service.server),
            Some(endpoint) => endpoint.to_string(),
            None => format!("one endpoint of {}", service.server),
        }
    }
}

fn judge(service: &Service, spell: &Spell, world: &World<'_>) -> Finding {
    let refused = count_of(spell.failed.len() as u64, "connection");
    let title = match spell.endpoint {
        Some(_) => format!("{} refused {refused} after it had served {}", spell.name(service), spell.worked.len()),
        None => format!("{} refused {refused} for a while", spell.name(service)),
    };
    let mut finding = Finding::of(&ABOUT, title);
    finding.severity = Severity::Warning;
    finding.confidence = if spell.endpoint.is_some() { 0.85 } else { 0.7 };
    finding.about(Role::Server, &service.server);
    if let Some(endpoint) = spell.endpoint.filter(|at| *at != service.server) {
        finding.about(Role::Endpoint, &endpoint);
    }
    for client in spell.clients().iter().take(8) {
        finding.about(Role::Client, client);
    }
    finding.counts.insert("connections_before", spell.worked.len() as i64);
    finding.counts.insert("failed_connects", spell.failed.len() as i64);
    finding.span(*spell.span_ns().start(), *spell.span_ns().end());
    let frames = spell.worked.last().into_iter().chain(spell.failed.iter().take(6)).map(|at| at.frame);
    finding.cite(world, frames, &server_filter(service));
    finding.explanation = explain(spell);
    finding.rule_out("SVC002", "it served at first, and refused only for a while");
    finding.rule_out("SVC003", "connections before and others meanwhile came about, so address and port are right");
    finding.fix.commands = commands(spell.endpoint.unwrap_or(service.server).addr);
    finding.fix.yaml = Some(drained());
    finding
}

fn explain(spell: &Spell) -> String {
    let worked_ns = spell.worked.last().map_or(0, |at| at.ns);
    let (first_ns, last_ns) = (*spell.span_ns().start(), *spell.span_ns().end());
    let worked = count_of(spell.worked.len() as u64, "connection");
    let refused = count_of(spell.failed.len() as u64, "connection");
    let met = format!(
        "From {} after the last of them on, {refused} from {} met a reset instead of a SYN-ACK, within {}",
        millis(Some(first_ns - worked_ns)),
        some_of(spell.clients(), 3),
        millis(Some(last_ns - first_ns)),
    );
    let others = some_of(&spell.others, 3);
    match (spell.endpoint, spell.after) {
        (Some(_), 0) => format!(
            "{worked} to it came about. {met}, while {others} served the same clients; none was sent to it later. Its \
             process ended before clients stopped going there: it left the service too late, and clients saw errors."
        ),
        (Some(_), after) => format!(
            "{worked} to it came about. {met}, while {others} served the same clients; later it accepted {after} again. \
             It was restarted, and clients were still sent there meanwhile."
        ),
        (None, after) => format!(
            "{worked} came about. {met}; {} in between were accepted, {after} later, and no later one failed. One of \
             several endpoints ended while clients were still sent to it, and is gone from the service or back since. \
             Which one is hidden by the translation on the client's node.",
            spell.between,
        ),
    }
}
