//! What was transferred meanwhile: a transfer fills the queues on its way, and all that passes them waits.

use super::super::losses::connections;
use super::super::world::World;
use crate::time::widen;
use crate::track::event::Flow;

/// Bytes a second that fill a way, where they are as many times what passes otherwise.
const FILLS: i128 = 1_000_000;
const TIMES: i128 = 4;
const SECOND_NS: i128 = 1_000_000_000;

/// Bytes within a span of time and outside of it.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    within: i128,
    outside: i128,
}

impl Load {
    /// Adds bytes that passed evenly over a time.
    fn add(&mut self, bytes: u64, (first, last): (i64, i64), (from, to): (i64, i64)) {
        let all = i128::from(last.saturating_sub(first)) + 1;
        let shared = i128::from(last.min(to)) - i128::from(first.max(from)) + 1;
        let within = i128::from(bytes) * shared.clamp(0, all) / all;
        self.within += within;
        self.outside += i128::from(bytes) - within;
    }

    /// Whether far more passed within a span than in the rest of the time.
    fn fills(&self, span: (i64, i64), all: (i64, i64)) -> bool {
        let length = |(from, to): (i64, i64)| i128::from(to.saturating_sub(from)).max(1);
        let (own, rest) = (length(span), (length(all) - length(span)).max(1));
        self.within * SECOND_NS >= FILLS * own && self.within * rest >= self.outside * own * TIMES
    }
}

/// Whether transfers filled the way within a span of time, and not otherwise.
pub(super) fn is_loaded(span: (i64, i64), world: &World<'_>) -> bool {
    let (mut load, mut all) = (Load::default(), None);
    let bytes = |flow: &Flow| flow.from_orig.payload_bytes + flow.from_resp.payload_bytes;
    for flow in connections(world).filter_map(|(_, _, flows)| flows.first().copied()) {
        widen(&mut all, flow.first_ns, flow.last_ns);
        load.add(bytes(flow), (flow.first_ns, flow.last_ns), span);
    }
    all.is_some_and(|all| load.fills(span, all))
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000_000;

    fn fills(bytes: u64, transfer: (i64, i64), others: u64) -> bool {
        let (span, all) = ((10 * S, 20 * S), (0, 30 * S));
        let mut load = Load::default();
        load.add(bytes, transfer, span);
        load.add(others, all, span);
        load.fills(span, all)
    }

    #[test]
    fn a_transfer_meanwhile_fills_the_way() {
        assert!(fills(20_000_000, (9 * S, 21 * S), 1_000_000));
        assert!(!fills(9_000_000, (10 * S, 20 * S), 0), "too little");
        assert!(!fills(20_000_000, (0, 9 * S), 0), "before");
        assert!(!fills(60_000_000, (0, 30 * S), 0), "all the time");
        assert!(fills(20_000_000, (15 * S, 15 * S), 0), "in a moment of it");
    }
}
