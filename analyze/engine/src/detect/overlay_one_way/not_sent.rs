//! What goes into a tunnel's interface on its node and never leaves in the tunnel.

use super::super::attempts::Outcome;
use super::super::evidence::count_of;
use super::super::overlay::{ATTEMPTS, PASSING_NS, Pair, SILENCE_NS, Units};
use super::super::world::World;
use super::Loss;
use crate::Addr;
use crate::packet::TCP;
use crate::time::rfc3339;
use crate::track::FrameId;
use crate::track::event::{Flow, LegSeen};
use std::collections::BTreeMap;

/// Attempts that never left, by the interface that they went into and the host they were for.
#[derive(Default)]
pub(super) struct Entrances<'a> {
    /// The tunnel that others left in, and whether from its end `a`.
    leads_to: BTreeMap<(u16, Addr), (Pair, bool)>,
    silent: BTreeMap<(u16, Addr), Vec<&'a Flow>>,
}

impl<'a> Entrances<'a> {
    /// Looks at all connections once.
    pub(super) fn of(world: &'a World<'a>) -> Self {
        let mut all = Self::default();
        let kept = &world.facts.servers.kept;
        let tcp = kept.connections().iter().filter(|connection| connection.proto == TCP);
        tcp.flat_map(|connection| connection.flows(kept)).for_each(|flow| all.add(flow, world));
        all.silent.retain(|entrance, _| all.leads_to.contains_key(entrance));
        all
    }

    fn add(&mut self, flow: &'a Flow, world: &World<'_>) {
        let host = flow.resp.addr;
        let entered = flow.legs().filter(|leg| leg.tunnel != 0 && leg.orig_packets > 0);
        for inside in entered {
            if let (Some(point), Some(tunnel)) = (entrance(flow, inside, world), world.tunnel(inside.tunnel)) {
                let pair = Pair { kind: tunnel.kind, a: tunnel.a, b: tunnel.b };
                self.leads_to.insert((point, host), (pair, inside.orig_from_a));
            }
        }
        if flow.outcome() == Outcome::Unanswered && flow.legs().all(|leg| leg.tunnel == 0) {
            let points = flow.legs().filter(|leg| leg.orig_packets > 0).map(|leg| leg.point);
            points.for_each(|point| self.silent.entry((point, host)).or_default().push(flow));
        }
    }

    /// Attempts after a time that went into a pair's tunnel at one end, as its node saw it.
    fn silent_since(&self, since_ns: i64, of: (Pair, bool), unit: u32) -> Vec<&'a Flow> {
        let into = self.silent.iter().filter(|(entrance, _)| self.leads_to.get(entrance) == Some(&of));
        let flows = into.flat_map(|(_, flows)| flows.iter().copied());
        flows.filter(|flow| flow.unit == unit && flow.first_ns > since_ns).collect()
    }
}

/// The interface through which a connection went into a tunnel: the last to see it before, routed already.
fn entrance(flow: &Flow, inside: &LegSeen, world: &World<'_>) -> Option<u16> {
    let hides = |leg: &LegSeen| world.points.get(usize::from(leg.point)).is_none_or(|point| point.hides_interface);
    let before = |leg: &&LegSeen| (1..PASSING_NS).contains(&inside.first_ns.saturating_sub(leg.first_ns));
    let outside = flow.legs().filter(|leg| leg.tunnel == 0 && leg.orig_packets > 0 && leg.orig_ttl == inside.orig_ttl);
    let last = outside.filter(before).max_by_key(|leg| leg.first_ns)?;
    (!hides(last)).then_some(last.point)
}

/// Attempts go into the interface of the tunnel, and nothing leaves in it any more.
pub(super) fn not_sent(pair: Pair, units: &Units, entrances: &Entrances<'_>) -> Option<Loss> {
    units.iter().find_map(|(unit, view)| {
        let ways = [(true, pair.a, pair.b, view.ab), (false, pair.b, pair.a, view.ba)];
        ways.into_iter().filter(|(.., way)| way.frames > 0).find_map(|(from_a, near, far, way)| {
            let silent = entrances.silent_since(way.last_ns, (pair, from_a), *unit);
            let lasts = silent.iter().any(|flow| flow.last_ns.saturating_sub(way.last_ns) >= SILENCE_NS);
            (lasts && silent.len() as u64 >= ATTEMPTS).then(|| loss(near, far, way.last_ns, &silent))
        })
    })
}

fn loss(near: Addr, far: Addr, last_ns: i64, silent: &[&Flow]) -> Loss {
    let attempts = count_of(silent.len() as u64, "attempt");
    let how = format!(
        "{attempts} went into the tunnel's interface on {near}, and nothing has left in the tunnel since {}, though \
         earlier connections to the same hosts did: {near} itself drops what the tunnel sends, by a firewall rule for \
         what it puts out, or because it lacks the route, the neighbour or the forwarding entry for {far}",
        rfc3339(last_ns)
    );
    let frames: Vec<FrameId> = silent.iter().flat_map(|flow| flow.syns.iter().copied().take(2)).take(8).collect();
    let until_ns = silent.iter().map(|flow| flow.last_ns).max().unwrap_or(last_ns);
    Loss {
        from: near,
        to: far,
        how,
        confidence: 0.9,
        limit: None,
        both_ends: true,
        unsent: Some(Unsent { attempts: silent.len() as u64, frames, span_ns: (last_ns, until_ns) }),
    }
}

/// What never left.
pub(super) struct Unsent {
    pub(super) attempts: u64,
    pub(super) frames: Vec<FrameId>,
    pub(super) span_ns: (i64, i64),
}
