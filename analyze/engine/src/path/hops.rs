//! Steps of connections through the capture points of one unit.

use super::{Connection, Kept};
use crate::track::event::{Flow, LegSeen};

/// A place where a connection was seen, under the addresses that it had there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) flow: &'a Flow,
    pub(crate) leg: &'a LegSeen,
    /// Packets and payload bytes of the responder there, under whatever addresses.
    pub(crate) resp: (u64, u64),
}

/// Places of a connection that follow each other on the originator's way, unit by unit.
pub(crate) fn hops<'a>(connection: &'a Connection, kept: &'a Kept) -> Vec<(Place<'a>, Place<'a>)> {
    // Most connections are seen at one place.
    if connection.flows(kept).flat_map(Flow::legs).nth(1).is_none() {
        return Vec::new();
    }
    let mut places: Vec<Place<'a>> = connection
        .flows(kept)
        .flat_map(|flow| flow.legs().map(move |leg| Place { flow, leg, resp: (leg.resp_packets, leg.resp_payload) }))
        .collect();
    // Who was seen by the responder's packets alone has no place on this way.
    // A bridge that translates shows answers under the addresses of the other side.
    let all = places.clone();
    for place in places.iter_mut().filter(|place| place.resp.0 == 0) {
        let here = |other: &&Place<'_>| (other.flow.unit, other.leg.point) == (place.flow.unit, place.leg.point);
        place.resp = all.iter().filter(here).map(|other| other.resp).max().unwrap_or_default();
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
