//! Who made a reset: hosts on the way use up TTL, so what arrives with more was made nearer.

use super::attempts::Outcome;
use super::world::World;
use crate::track::Endpoint;
use crate::track::event::Flow;
use std::collections::BTreeMap;

/// Unit, point, tunnel and addressed server.
type Place = (u32, u16, u32, Endpoint);

/// More hops than this within a cluster are another initial TTL.
const HOPS: u8 = 8;

/// The TTLs of resets that refuse and of answers before, where at each place all resets come from nearer.
pub(super) fn resets_from_nearer(of: &[Endpoint], world: &World<'_>) -> Option<(u8, u8)> {
    let kept = &world.facts.servers.kept;
    let mut answers: BTreeMap<Place, u8> = BTreeMap::new();
    let mut resets: BTreeMap<Place, u8> = BTreeMap::new();
    for connection in of.iter().flat_map(|at| kept.sent_to(*at)) {
        for flow in connection.flows(kept) {
            if connection.outcome == Outcome::Established {
                note_answers(flow, &mut answers);
            } else if let Some(reset) = flow.reset().filter(|reset| !reset.by_orig) {
                let least = resets.entry((flow.unit, reset.point, reset.tunnel, flow.resp)).or_insert(reset.ttl);
                *least = reset.ttl.min(*least);
            }
        }
    }
    let both = resets.iter().filter_map(|(place, reset)| Some((*reset, *answers.get(place)?)));
    let nearer = |(reset, answer): (u8, u8)| reset > answer && reset - answer <= HOPS;
    both.clone().next().filter(|_| both.clone().all(nearer))
}

/// The highest TTL of answers at each place.
fn note_answers(flow: &Flow, answers: &mut BTreeMap<Place, u8>) {
    for leg in flow.legs() {
        if let Some(ttl) = leg.resp_ttl {
            let most = answers.entry((flow.unit, leg.point, leg.tunnel, flow.resp)).or_insert(ttl);
            *most = ttl.max(*most);
        }
    }
}
