//! Servers that accepted connections and, from some time on, accept none any more.

mod how;
mod together;
mod words;

use super::attempts::Counts;
use super::backend_reset::{Attempt, attempts};
use super::evidence::servers_filter;
use super::services::Service;
use super::vantage::Spot;
use super::world::World;
use super::{Outcome, connect_timeout, last_seen, nearer, refused_for_a_while, silent_for_a_while};
use crate::Addr;
use crate::finding::{Finding, Role, Severity};
use crate::path::Connection;
use crate::track::event::Flow;
use crate::track::{Endpoint, FrameId};
use how::How;
use std::collections::{BTreeMap, BTreeSet};

/// Connections that came about before, and those that were refused after, before it is more than a restart or chance.
const WORKED: usize = 2;
const REFUSED: usize = 5;
/// Silence is none of a restart: its host would refuse.
const SILENT: usize = 3;
/// A process that is only restarted listens again sooner.
const DOWN_NS: i64 = 3_000_000_000;
/// Open connections that fall silent show as much as [`SILENT`] new ones over [`DOWN_NS`]: an endpoint may be out of its
/// service sooner.
const CUT: usize = 2;

/// What else may stop connections to a server; where it is known, it is no matter of the server's process.
const KNOWN: &[&str] = &[
    "SVC001", "SVC002", "SVC003", "SVC004", "SVC005", "SVC006", "SVC007", "SVC008", "SVC011", "NAT002", "NAT004",
    "NAT005", "NAT008", "NET004", "DNS010",
];

/// One finding for each server that went down, but for those that are found already.
pub(super) fn find(world: &World<'_>, found: &[Finding]) -> Vec<Finding> {
    let known = |service: &&Service| {
        let is_it = |finding: &Finding| addresses(service).any(|at| finding.names(at));
        let told = |finding: &Finding| finding.severity > Severity::Info && is_it(finding);
        // What another host answers that has taken the address is not the server's doing.
        if service.hosts().any(|host| world.has_double_end(host, host)) {
            return true;
        }
        found.iter().any(is_it) || world.found(KNOWN).any(told) || connect_timeout::is_in_broken_tunnel(service, world)
    };
    let services = world.facts.servers.services().iter().filter(|service| !known(service));
    let (mut found, mut down) = (Vec::new(), Vec::new());
    for service in services {
        let downs = downs(service, world);
        if downs.is_empty() {
            found.extend(for_a_while(service, world));
        }
        // What finds no way back is told as that.
        let no_way = |down: &Down| down.failed.iter().any(|at| world.has_no_way_to(at.orig.addr));
        down.extend(downs.into_iter().filter(|one| !no_way(one)).map(|one| (service.clone(), one)));
    }
    found.extend(together::together(down).iter().map(|(service, down)| judge(service, down, world)));
    found
}

fn for_a_while(service: &Service, world: &World<'_>) -> Vec<Finding> {
    let refused = refused_for_a_while::find(service, world);
    if refused.is_empty() { silent_for_a_while::find(service, world).into_iter().collect() } else { refused }
}

fn addresses(service: &Service) -> impl Iterator<Item = &Endpoint> {
    [&service.server].into_iter().chain(&service.behind)
}

/// The server as a whole, or those of its endpoints that went down while others serve, or for those clients that it
/// answers no more.
fn downs(service: &Service, world: &World<'_>) -> Vec<Down> {
    let of: Vec<Endpoint> = addresses(service).copied().collect();
    // One of several whose addresses are not seen: its failures are dealt out among others' successes.
    let dealt_out = world.found(&["SVC002"]).any(|finding| finding.names(&service.server));
    let all = attempts(of.iter(), world);
    let whole = Down::of(&of, dealt_out, all.clone(), service, world);
    if let Some(down) = whole {
        return vec![down];
    }
    let one = |endpoint: &Endpoint| {
        let down = Down::of(&[*endpoint], false, attempts([endpoint].into_iter(), world), service, world)?;
        // A rule is about all endpoints of a service, or about clients.
        let how = if down.how == How::Filtered && down.alive == 0 { How::Gone } else { down.how };
        Some(Down { how, ..down })
    };
    let some: Vec<Down> = service.behind.iter().filter_map(one).collect();
    if !some.is_empty() {
        return some;
    }
    let of_all = for_clients(&of, &all, service, world);
    let of_one =
        |endpoint: &Endpoint| for_clients(&[*endpoint], &attempts([endpoint].into_iter(), world), service, world);
    of_all.map_or_else(|| service.behind.iter().filter_map(of_one).collect(), |down| vec![down])
}

/// Clients of a service looked at one by one.
const CLIENTS: usize = 32;

/// What goes for some clients while others are served on.
fn for_clients(of: &[Endpoint], all: &[Attempt], service: &Service, world: &World<'_>) -> Option<Down> {
    let stopped = |counts: &Counts| counts.failed() >= SILENT as u64 && counts.granted() >= WORKED as u64;
    let mut troubled = service.attempts.by_client.iter().filter(|(_, counts)| stopped(counts)).take(CLIENTS);
    let of_client = |client: &Addr| all.iter().filter(|at| at.orig.addr == *client).copied().collect();
    let mut first = troubled.find_map(|(client, _)| Down::of(of, false, of_client(client), service, world))?;
    let others = troubled.filter_map(|(client, _)| Down::of(of, false, of_client(client), service, world));
    let others: Vec<Down> = others.filter(|other| other.how == first.how).collect();
    for other in others {
        first.worked.extend(other.worked);
        first.failed.extend(other.failed);
        first.cut += other.cut;
        first.alive += other.alive;
    }
    first.worked.sort_unstable();
    first.failed.sort_unstable();
    first.others = true;
    // Who goes on serving is not gone.
    first.how = if first.how == How::Gone { How::Filtered } else { first.how };
    (!matches!(first.how, How::Refuses | How::Closed)).then_some(first)
}

/// When it went down.
#[derive(Default)]
struct Down {
    how: How,
    /// What of the service.
    of: Vec<Endpoint>,
    /// Attempts that came about, all before the first that failed.
    worked: Vec<Attempt>,
    failed: Vec<Attempt>,
    /// Whether they all began at once.
    at_once: bool,
    /// Connections that were open when it began, and of which nothing was answered since.
    cut: usize,
    /// When the last of them was still asking.
    cut_until_ns: i64,
    /// Of these, those whose originator still sent [`DOWN_NS`] after that.
    dead: usize,
    /// Connections that were open and went on.
    alive: usize,
    /// Connections whose requests the host took and the server never answered: it does not accept (SVC006).
    unserved: usize,
    /// Whether it is one of several, and connections to the others succeed.
    dealt_out: bool,
    /// Whether other clients are served.
    others: bool,
    /// Other servers that went away at the same time.
    with: Vec<Endpoint>,
    /// TTLs of resets and of answers before, where the resets were made nearer.
    nearer: Option<(u8, u8)>,
}

/// What worked, and what came from the first failure on; of endpoints dealt out, the failures alone.
fn parted(mut worked: Vec<Attempt>, dealt_out: bool) -> Option<(Vec<Attempt>, Vec<Attempt>)> {
    worked.retain(|at| at.outcome.is_failure() || at.outcome.is_granted());
    let first = worked.iter().position(|at| at.outcome.is_failure())?;
    let mut failed = worked.split_off(first);
    if dealt_out {
        failed.retain(|at| at.outcome.is_failure());
    }
    Some((worked, failed))
}

/// Attempts at once, none of whose SYNs, sent again and again, is answered for as long as attempts over [`DOWN_NS`].
const BURST: usize = 5;

fn is_burst(failed: &[Attempt]) -> bool {
    let first_ns = failed.first().map_or(0, |at| at.ns);
    let lasting = failed.iter().filter(|at| at.last_ns - first_ns >= DOWN_NS);
    lasting.count() >= BURST
}

impl Down {
    fn of(of: &[Endpoint], dealt_out: bool, all: Vec<Attempt>, service: &Service, world: &World<'_>) -> Option<Self> {
        let (worked, failed) = parted(all, dealt_out)?;
        let (first_ns, last_ns) = (failed.first()?.ns, failed.last()?.ns);
        let all_fail = failed.iter().all(|at| at.outcome.is_failure());
        let refused = failed.iter().filter(|at| at.outcome == Outcome::Refused).count();
        let least = if refused == 0 { SILENT } else { REFUSED };
        let uniform = refused == 0 || refused == failed.len();
        // One that served requests shows as much as two that only came about.
        let served = worked.len() >= WORKED || refused > 0 && worked.iter().any(|at| at.spoke);
        if !served || !all_fail || !uniform {
            return None;
        }
        let nearer = if refused > 0 { nearer::resets_from_nearer(of, world) } else { None };
        // A process that is restarted has its own host refuse meanwhile.
        let silent = failed.iter().all(|at| at.outcome == Outcome::Unanswered);
        let at_once = last_ns - first_ns < DOWN_NS && nearer.is_none();
        let enough = failed.len() >= least && (!at_once || silent && is_burst(&failed));
        let how = if refused > 0 { How::Refuses } else { How::told(&failed, service).unwrap_or(How::Gone) };
        let of = of.to_vec();
        let mut down = Self { how, of, worked, failed, at_once, dealt_out, nearer, ..Self::default() };
        down.look_at_open(first_ns, world);
        let silenced = refused == 0 && !dealt_out && down.dead >= CUT && down.alive == 0;
        if !enough && !silenced {
            return None;
        }
        let full = || world.found(&["SVC006"]).any(|finding| down.of.iter().any(|at| finding.names(at)));
        if down.unserved > 0 && (at_once || full()) {
            return None;
        }
        down.look_at_those_left(silent);
        if silent && !dealt_out && stays_on_node(&down, world) {
            down.how = How::Held;
        }
        Some(down)
    }

    /// What became of the connections that were open tells a process that is gone from one that closed its socket, and a
    /// host that is gone from a rule.
    fn look_at_those_left(&mut self, silent: bool) {
        if self.how == How::Refuses && !self.dealt_out && self.alive > 0 && self.cut == 0 {
            self.how = How::Closed;
        }
        if silent && !self.dealt_out && (self.alive > 0 || self.cut == 0) {
            self.how = How::Filtered;
        }
    }

    /// When the last attempt came about, when the first failed, and when the last was given up.
    fn times_ns(&self) -> (i64, i64, i64) {
        let ns = |at: Option<&Attempt>| at.map_or(0, |at| at.ns);
        let last = self.failed.iter().map(|at| at.last_ns).max();
        (ns(self.worked.last()), ns(self.failed.first()), last.unwrap_or_default())
    }

    /// What became of the connections that were open when the first attempt failed.
    fn look_at_open(&mut self, first_ns: i64, world: &World<'_>) {
        let kept = &world.facts.servers.kept;
        let clients: BTreeSet<Addr> = self.failed.iter().map(|at| at.orig.addr).collect();
        let all = self.of.iter().flat_map(|at| kept.sent_to(*at));
        let open = all.filter(|connection| connection.outcome == Outcome::Established);
        let open = open.filter(|connection| clients.contains(&connection.front().orig.addr));
        let flows = open.filter_map(|connection| connection.flows(kept).find(|flow| flow.is_two_way()));
        // A connection may have passed several of the addresses.
        let flows: BTreeMap<FrameId, &Flow> = flows.map(|flow| (flow.first, flow)).collect();
        let before = |flow: &&&Flow| flow.first_ns < first_ns;
        let count = |is_it: &dyn Fn(&Flow) -> bool| flows.values().filter(before).filter(|flow| is_it(flow)).count();
        let is_silenced = |flow: &Flow| is_cut(flow) && flow.last_ns >= first_ns - DOWN_NS;
        self.cut = count(&is_silenced);
        let silenced = flows.values().filter(before).filter(|flow| is_silenced(flow));
        self.cut_until_ns = silenced.map(|flow| flow.last_ns).max().unwrap_or(first_ns);
        self.dead = count(&|flow| is_cut(flow) && flow.last_ns >= first_ns.saturating_add(DOWN_NS));
        self.unserved = count(&|flow| flow.from_orig.all_acked && is_unserved(flow));
        self.alive = count(&|flow| !self.dealt_out && flow.from_orig.all_acked && flow.last_ns > first_ns + ALIVE_NS);
    }
}

/// Whether all that worked was seen to leave the clients' node, translated or in a tunnel, and of what failed nothing was.
fn stays_on_node(down: &Down, world: &World<'_>) -> bool {
    let kept = &world.facts.servers.kept;
    let Some(service) = down.of.first() else { return false };
    // Some may be made to an endpoint itself.
    let all = kept.sent_to(*service).filter(|connection| connection.front().resp == *service);
    let leaves = |connection: &Connection| {
        let in_tunnel = last_seen::last(connection, kept).is_some_and(|(_, leg)| leg.tunnel != 0);
        (connection.front().orig, (connection.endpoint().is_some(), in_tunnel))
    };
    let ways: BTreeMap<Endpoint, (bool, bool)> = all.map(leaves).collect();
    let of = |attempts: &[Attempt]| attempts.iter().filter_map(|at| ways.get(&at.orig).copied()).collect();
    let (worked, failed): (Vec<_>, Vec<_>) = (of(&down.worked), of(&down.failed));
    let differs = |way: fn(&(bool, bool)) -> bool| worked.iter().all(way) && !failed.iter().any(way);
    !worked.is_empty() && !failed.is_empty() && (differs(|way| way.0) || differs(|way| way.1))
}

/// An answer this long after new connections began to fail shows that the server lives.
const ALIVE_NS: i64 = 1_000_000_000;

/// Whether a request was sent and nothing came back.
fn is_unserved(flow: &Flow) -> bool {
    flow.from_orig.isn.is_some() && flow.from_orig.payload_bytes > 0 && flow.from_resp.payload_bytes == 0
}

/// Whether the originator's last words were sent again and never acknowledged.
fn is_cut(flow: &Flow) -> bool {
    let resent = flow.from_orig.retransmitted_packets > 0 || flow.stall.is_some();
    // After a FIN of the server, which still has to take what comes, the originator's own may just not have been seen to
    // be acknowledged.
    let resent = resent || flow.from_orig.fin && !flow.from_resp.fin;
    !flow.from_orig.all_acked && resent && flow.reset().is_none()
}

fn judge(service: &Service, down: &Down, world: &World<'_>) -> Finding {
    let about = down.how.about();
    let mut finding = Finding::of(about, words::title(service, down));
    finding.confidence = 0.75;
    finding.severity = if service.sibling { Severity::Warning } else { about.severity };
    let clients: BTreeSet<Addr> = down.failed.iter().map(|at| at.orig.addr).collect();
    finding.about(Role::Server, &service.server);
    let behind = if down.of.len() == 1 { &down.of } else { &service.behind };
    for endpoint in behind.iter().filter(|endpoint| **endpoint != service.server).take(8) {
        finding.about(Role::Endpoint, endpoint);
    }
    down.with.iter().take(8).for_each(|server| finding.about(Role::Server, server));
    clients.iter().take(8).for_each(|client| finding.about(Role::Client, client));
    finding.counts.insert("connections_before", down.worked.len() as i64);
    finding.counts.insert("failed_connects", down.failed.len() as i64);
    finding.counts.insert("cut_connections", down.cut as i64);
    let (_, first_ns, last_ns) = down.times_ns();
    finding.span(first_ns, last_ns);
    let frames = down.worked.last().into_iter().chain(down.failed.iter().take(6)).map(|at| at.frame);
    finding.cite(world, frames, &servers_filter([service.server].iter().chain(&service.behind).chain(&down.with)));
    finding.explanation = words::explain(down, &clients);
    reasons(&mut finding, down, world);
    finding.fix.commands = words::commands(down.how, down.of.last().unwrap_or(&service.server).addr);
    if let Some(advice) = words::advice(down.how) {
        advice.clone_into(&mut finding.fix.text);
    }
    finding
}

fn reasons(finding: &mut Finding, down: &Down, world: &World<'_>) {
    let why = if down.dealt_out {
        "no connection failed before, so it served at first"
    } else {
        "failures and successes do not take turns, so it is not one endpoint of several"
    };
    finding.rule_out("SVC002", why);
    if down.how == How::Closed {
        finding.rule_out("SVC008", "connections that were open go on, so its process lives");
    } else if down.how == How::Refuses {
        finding.rule_out("SVC003", "it accepted connections before, so address and port are right");
    } else {
        if down.at_once && down.cut == 0 {
            doubt(finding);
        } else {
            finding.rule_out("SVC006", "no repeated SYN is ever answered");
        }
        let server = down.of.last().map(|server| Spot::NodeOf(server.addr));
        finding.capture_next = world.capture_next(server, "how far the SYNs get");
    }
}

/// Says what else it may be where all that failed began at once.
fn doubt(finding: &mut Finding) {
    finding.severity = finding.severity.min(Severity::Warning);
    finding.confidence = 0.6;
    finding.limits.push(
        "all that failed began at once: a server that accepts more slowly than they come, so that its listen queue is \
         full, looks the same from the clients' side (SVC006)"
            .to_owned(),
    );
}
