//! Where the packets of attempts that fail were seen last, among several captures.

use super::attempts::Outcome;
use super::services::{Failing, Service};
use super::world::World;
use crate::path::{Connection, Kept};
use crate::track::event::{Flow, LegSeen};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// A place, and what lies behind it.
pub(super) struct LastSeen {
    pub(super) place: String,
    /// Captures that connections which come about pass next, and these attempts never come to.
    pub(super) missing: Vec<String>,
}

/// Where most of the unanswered attempts were seen last; nothing where a single capture cannot tell.
pub(super) fn last_seen(service: &Service, failing: &Failing<'_>, world: &World<'_>) -> Option<LastSeen> {
    let spans = world.unit_spans();
    if spans.len() < 2 {
        return None;
    }
    let kept = &world.facts.servers.kept;
    let all = || service.connections.iter().filter_map(|at| kept.connections().get(*at as usize));
    let silent = all().filter(|connection| connection.outcome == Outcome::Unanswered);
    let silent: Vec<&Connection> = silent.filter(|c| failing.clients.contains(&c.front().orig.addr)).collect();
    let mut places: BTreeMap<(u32, u16, u32), u64> = BTreeMap::new();
    for (flow, leg) in silent.iter().filter_map(|connection| last(connection, kept)) {
        *places.entry((flow.unit, leg.point, leg.tunnel)).or_default() += 1;
    }
    let ((unit, point, tunnel), _) = places.into_iter().max_by_key(|(place, count)| (*count, *place))?;
    let reached: BTreeSet<u32> = silent.iter().flat_map(|c| c.flows(kept)).map(|flow| flow.unit).collect();
    // What sees nothing more ends early: that it captured when one attempt began is enough.
    let begun = |(first, last): &(i64, i64)| failing.failures.iter().any(|f| (*first..=*last).contains(&f.span_ns.0));
    let captured = |unit: &u32| spans.get(unit).is_some_and(begun);
    let granted = all().filter(|connection| connection.outcome == Outcome::Established);
    let mut missing: BTreeSet<u32> = granted.flat_map(|connection| behind(connection, unit, kept)).collect();
    missing.retain(|unit| !reached.contains(unit) && captured(unit));
    let name = |unit: u32| {
        let point = world.points.iter().find(|point| point.unit == unit);
        point.map(|point| world.capture_name(point.capture).to_owned())
    };
    let missing = missing.into_iter().filter_map(name).collect();
    Some(LastSeen { place: world.place_name(point, tunnel), missing })
}

/// The last place of a connection's originator: behind all translations and routers, which use up TTL, and of what shows
/// the same TTL, as the inside of a tunnel and what comes out of it do, the last to see it.
pub(super) fn last<'a>(connection: &'a Connection, kept: &'a Kept) -> Option<(&'a Flow, &'a LegSeen)> {
    let flows = connection.stages.iter().enumerate().flat_map(|(at, stage)| stage.flows(kept).map(move |f| (at, f)));
    let legs = flows.flat_map(|(at, flow)| flow.legs().map(move |leg| (at, flow, leg)));
    let sent = legs.filter(|(.., leg)| leg.orig_packets > 0);
    let place = |(at, _, leg): &(usize, &Flow, &LegSeen)| (*at, Reverse(leg.orig_ttl.unwrap_or(u8::MAX)), leg.first_ns);
    sent.max_by_key(place).map(|(_, flow, leg)| (flow, leg))
}

/// Units that a connection passes after this one.
fn behind(connection: &Connection, unit: u32, kept: &Kept) -> Vec<u32> {
    let units: Vec<u32> = connection.flows(kept).map(|flow| flow.unit).collect();
    let at = units.iter().rposition(|one| *one == unit);
    at.map_or_else(Vec::new, |at| units[at + 1..].to_vec())
}

impl LastSeen {
    /// In words.
    pub(super) fn sentence(&self) -> String {
        match self.missing.as_slice() {
            [] => format!(" The SYNs were last seen on {}.", self.place),
            missing => format!(
                " The SYNs were last seen on {}; connections that come about go on to {}, where these never come.",
                self.place,
                missing.join(" and ")
            ),
        }
    }

    /// Where to look next.
    pub(super) fn next(&self) -> String {
        match self.missing.as_slice() {
            [] => format!("behind {}: where the SYN is last seen is where it is dropped", self.place),
            [missing, ..] => format!("between {} and {missing}: what is there drops the SYNs", self.place),
        }
    }
}
