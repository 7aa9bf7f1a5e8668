//! Tunnels whose far end cannot be reached: what is for the pods behind it fails with it.

use super::services::Failing;
use super::world::{FEW, World};
use crate::Addr;
use crate::track::IcmpError;
use std::collections::BTreeSet;

/// A host gives up the neighbour that does not answer, and says so, within this time (`mcast_solicit`, `retrans_time_ms`).
const GIVES_UP_NS: i64 = 4_000_000_000;
/// Errors that make a pattern.
const ERRORS: usize = 2;

/// The far end of a tunnel of which a capture with these attempts has it that it could not be reached, all the time.
pub(super) fn unreachable_end(failing: &Failing<'_>, world: &World<'_>) -> Option<Addr> {
    world.found(&["NET004"]).next()?;
    let units: BTreeSet<u32> = failing.frames().filter_map(|frame| world.unit(frame.capture())).collect();
    let begun = || failing.failures.iter().map(|failure| failure.span_ns.0);
    let is_cause = |errors: &[IcmpError]| {
        let of_tunnel = errors.iter().filter(|error| error.quoted_tunnel.is_some() && units.contains(&error.unit));
        let (Some(first), Some(last)) = (errors.first(), errors.last()) else { return false };
        // Of many errors the first are kept.
        let last_ns = if errors.len() < FEW { last.ns } else { i64::MAX };
        let span = first.ns.saturating_sub(GIVES_UP_NS)..=last_ns;
        of_tunnel.count() >= ERRORS && begun().all(|ns| span.contains(&ns))
    };
    let mut ends = world.facts.no_route.iter().filter(|(_, errors)| is_cause(errors)).map(|((_, end), _)| *end);
    ends.find(|end| world.knows(&["NET004"], end))
}
