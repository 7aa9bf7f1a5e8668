//! SYNs that one capture has and the next on the way has not, though it has their repetitions: lost in between.

use super::evidence::{count_of, some_of};
use super::packet_loss::ABOUT;
use super::world::World;
use crate::Addr;
use crate::finding::{Finding, Role, Severity};
use crate::packet::TCP;
use crate::path::Connection;
use crate::time::union;
use crate::track::FrameId;
use crate::track::event::Flow;
use std::collections::BTreeSet;

/// Connections that lose their first SYN before it is more than chance, and one in how many at least.
const LOST: usize = 3;
const RARE: usize = 50;
/// A SYN is sent again after a second, so what is this much younger by its timestamp is none of the first.
const AGAIN_MS: i32 = 500;

/// A connection whose first SYN one capture has and the next has not.
struct Lost<'a> {
    connection: &'a Connection,
    here: &'a Flow,
    there: &'a Flow,
}

/// One finding about all of them, unless others explain it.
pub(super) fn find(world: &World<'_>, found: &[Finding]) -> Option<Finding> {
    let one_unit = world.points.windows(2).all(|pair| pair[0].unit == pair[1].unit);
    if one_unit || world.lacks_packets() || world.found(&["NAT003", "NAT004", "NAT005"]).next().is_some() {
        return None;
    }
    let kept = &world.facts.servers.kept;
    let shared = kept.connections().iter().filter(|connection| connection.proto == TCP);
    let shared = shared.filter_map(|connection| Some((connection, next_pair(connection, world)?)));
    let mut all = 0;
    let mut lost = Vec::new();
    for (connection, (here, there, is_lost)) in shared {
        all += 1;
        lost.extend(is_lost.then_some(Lost { connection, here, there }));
    }
    lost.retain(|one| !is_known(one, found));
    (lost.len() >= LOST && lost.len() * RARE >= all).then(|| judge(&lost, all, world))
}

/// Two captures next to each other on the way that both have SYNs of a connection: those between which the first was lost,
/// if any.
fn next_pair<'a>(connection: &'a Connection, world: &'a World<'a>) -> Option<(&'a Flow, &'a Flow, bool)> {
    let flows = || connection.flows(&world.facts.servers.kept).filter(|flow| flow.from_orig.syns > 0);
    let pairs = || flows().zip(flows().skip(1)).filter(|(here, there)| here.unit != there.unit);
    let lost = pairs().find(|(here, there)| is_lost(here, there)).map(|(here, there)| (here, there, true));
    lost.or_else(|| pairs().next().map(|(here, there)| (here, there, false)))
}

fn is_lost(here: &Flow, there: &Flow) -> bool {
    let (Some(first), Some(came)) = (here.from_orig.tsval, there.from_orig.tsval) else { return false };
    let again = came.wrapping_sub(first).cast_signed() >= AGAIN_MS;
    again && here.syn_waited && here.from_orig.syns > there.from_orig.syns
}

/// Whether lost data between the two is a finding already.
fn is_known(lost: &Lost<'_>, found: &[Finding]) -> bool {
    let ends = |flow: &Flow, finding: &Finding| finding.names(&flow.orig.addr) && finding.names(&flow.resp.addr);
    let mut alarms = found.iter().filter(|finding| finding.severity > Severity::Info);
    alarms.any(|finding| ends(lost.here, finding) || ends(lost.there, finding))
}

fn judge(lost: &[Lost<'_>], all: usize, world: &World<'_>) -> Finding {
    let set = |of: fn(&Lost<'_>) -> Addr| lost.iter().map(of).collect::<BTreeSet<Addr>>();
    let clients = set(|lost| lost.connection.front().orig.addr);
    let servers = set(|lost| lost.connection.back().resp.addr);
    let count = count_of(lost.len() as u64, "connection");
    let (from, to) = (some_of(&clients, 2), some_of(&servers, 2));
    let mut finding = Finding::of(&ABOUT, format!("SYNs of {count} lost from {from} to {to}"));
    finding.confidence = 0.85;
    for address in clients.iter().take(4).chain(servers.difference(&clients).take(4)) {
        finding.about(Role::Endpoint, address);
    }
    finding.counts.insert("lost_handshakes", lost.len() as i64);
    finding.counts.insert("connections", all as i64);
    let (begin, end) = union(lost.iter().map(|one| (one.here.first_ns, one.here.first_ns))).unwrap_or_default();
    finding.span(begin, end);
    let frames: Vec<FrameId> = lost.iter().flat_map(|one| [one.here.first, one.there.first]).collect();
    finding.cite(world, frames, "tcp.flags.syn == 1 && tcp.flags.ack == 0");
    finding.explanation = explain(lost, all, world);
    finding.rule_out("SVC006", "the SYNs do not come to the capture that is nearer to the server");
    let points = lost.iter().map(|one| one.here.leg.point);
    finding.fix.commands = vec!["ip -s -s link show".to_owned(), world.link_counters(points)];
    finding
}

fn explain(lost: &[Lost<'_>], all: usize, world: &World<'_>) -> String {
    let places = |flows: Vec<&Flow>| -> BTreeSet<&str> {
        flows.into_iter().map(|flow| world.capture_name(flow.first.capture())).collect()
    };
    format!(
        "Of {} that two captures have, {} had to repeat the SYN: {} has the first one, {} only a repetition. The SYNs are \
         lost in between; each costs a second and more.",
        count_of(all as u64, "connection"),
        lost.len(),
        some_of(places(lost.iter().map(|one| one.here).collect()), 2),
        some_of(places(lost.iter().map(|one| one.there).collect()), 2),
    )
}
