//! Steps of connections through the capture points of one unit.

use super::{Connection, Kept};
use crate::track::event::{Flow, LegSeen};
use crate::track::passage::Times;

/// A place where a connection was seen, under the addresses that it had there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) flow: &'a Flow,
    pub(crate) leg: &'a LegSeen,
    /// Packets and payload bytes of the responder there, under whatever addresses.
    pub(crate) resp: (u64, u64),
    /// When packets of the originator and of the responder passed it, where that was noted.
    passed: [Option<&'a Times>; 2],
}

impl<'a> Place<'a> {
    /// All places at which one unit saw a connection under the same addresses.
    fn all(flow: &'a Flow) -> impl Iterator<Item = Self> {
        let passed = |at: usize| flow.passed.as_ref().and_then(|passed| passed.get(at));
        flow.legs().enumerate().map(move |(at, leg)| Place {
            flow,
            leg,
            resp: (leg.resp_packets, leg.resp_payload),
            passed: passed(at).map_or([None; 2], |[orig, resp]| [Some(orig), Some(resp)]),
        })
    }

    /// Nanoseconds that packets of the originator took from here to the next place, and those of the responder from there
    /// to here, ascending.
    pub(super) fn delays_ns(&self, next: &Self) -> [Vec<i64>; 2] {
        let delays =
            |from: Option<&Times>, to: Option<&Times>| from.zip(to).map_or(Vec::new(), |(from, to)| from.to(to));
        [delays(self.passed[0], next.passed[0]), delays(next.passed[1], self.passed[1])]
    }
}

/// Places of a connection that follow each other on the originator's way, unit by unit.
pub(crate) fn hops<'a>(connection: &'a Connection, kept: &'a Kept) -> Vec<(Place<'a>, Place<'a>)> {
    // Most connections are seen at one place.
    if connection.has_one_place() {
        return Vec::new();
    }
    let mut places: Vec<Place<'a>> = connection.flows(kept).flat_map(Place::all).collect();
    // Who was seen by the responder's packets alone has no place on this way.
    // A bridge that translates shows answers under the addresses of the other side.
    let all = places.clone();
    for place in places.iter_mut().filter(|place| place.resp.0 == 0) {
        let here = |other: &&Place<'_>| (other.flow.unit, other.leg.point) == (place.flow.unit, place.leg.point);
        if let Some(other) = all.iter().filter(here).max_by_key(|other| other.resp) {
            (place.resp, place.passed[1]) = (other.resp, other.passed[1]);
        }
    }
    places.retain(|place| place.leg.orig_packets > 0);
    places.sort_by_key(|place| (place.flow.unit, place.leg.first_ns));
    let pairs = places.windows(2).filter(|pair| pair[0].flow.unit == pair[1].flow.unit);
    pairs.map(|pair| (pair[0], pair[1])).collect()
}

/// Longest payload of a packet on most links; a longer mean is of packets that offload will still cut, or has put together.
const ON_WIRE: u64 = 1500;

/// Packets that one place saw and the next did not, of packets and payload bytes at each. Segmentation offload shows other
/// packets in some places: then bytes tell, in segments as they are at the next.
pub(super) fn lost(from: (u64, u64), to: (u64, u64)) -> u64 {
    let mean = |(packets, payload): (u64, u64)| payload / packets.max(1);
    if mean(from).max(mean(to)) <= ON_WIRE {
        return from.0.saturating_sub(to.0);
    }
    let segment = if to.1 > 0 { mean(to) } else { mean(from) };
    from.1.saturating_sub(to.1).div_ceil(segment.max(1))
}

#[cfg(test)]
mod tests {
    use super::lost;

    #[test]
    fn offload_is_no_loss() {
        assert_eq!(lost((100, 100_000), (97, 97_000)), 3);
        assert_eq!(lost((50, 0), (49, 0)), 1);
        assert_eq!(lost((10, 14_480), (0, 0)), 10);
        // One long packet before the interface, its segments behind; and put together again.
        assert_eq!(lost((4, 57_920), (40, 57_920)), 0);
        assert_eq!(lost((40, 57_920), (4, 57_920)), 0);
        assert_eq!(lost((4, 57_920), (38, 55_024)), 2);
    }
}
