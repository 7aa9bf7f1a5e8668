//! Connections that leave the table: because they were idle for long, because there are too many, or because all ends.

use super::{Flows, is_over};
use crate::track::events::Events;
use crate::track::flow::Phase;
use crate::track::prefetch::{prefetch, prefetch_all};

/// What of connections is asked for before they end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    /// Itself.
    Connection,
    /// What it leads to.
    Data,
    /// What these lead to.
    Rest,
}

impl Flows {
    /// Makes room: the eighth of the connections that was idle longest leaves.
    pub(super) fn evict(&mut self, at: u32, events: &mut Events) {
        let mut idle: Vec<(i64, u32)> = self.live().map(|slot| (self.hot[slot as usize].last_ns, slot)).collect();
        let leave = (idle.len() / 8).max(1);
        idle.select_nth_unstable(leave - 1);
        idle.truncate(leave);
        idle.sort_unstable();
        for (_, slot) in idle {
            self.evicted += 1;
            self.end(slot, at, true, events);
        }
    }

    fn live(&self) -> impl Iterator<Item = u32> {
        let slots = self.hot.iter().zip(0u32..);
        slots.filter(|(hot, _)| hot.phase != Phase::Free).map(|(_, slot)| slot)
    }

    /// Ends connections that were idle too long, looking at a few slots for each packet seen, so that the cost stays
    /// in proportion whatever the packet rate.
    pub(crate) fn sweep(&mut self, now_ns: i64, packets: usize, events: &mut Events) {
        for _ in 0..self.steps(packets) {
            self.sweep_at = self.after(self.sweep_at);
            if self.is_left(self.sweep_at, now_ns) {
                self.end(self.sweep_at as u32, u32::MAX, false, events);
            }
        }
    }

    /// Slots that are looked at for so many packets.
    fn steps(&self, packets: usize) -> usize {
        (packets / 4 + 1).min(self.hot.len())
    }

    fn after(&self, slot: usize) -> usize {
        if slot + 1 < self.hot.len() { slot + 1 } else { 0 }
    }

    /// Whether the connection in a slot has been idle too long.
    fn is_left(&self, slot: usize, now_ns: i64) -> bool {
        let hot = &self.hot[slot];
        hot.phase != Phase::Free && is_over(hot, now_ns.saturating_sub(hot.last_ns))
    }

    /// Asks for what the next [`Self::sweep`] is likely to end: first where it is, then what it leads to.
    pub(crate) fn expect_sweep(&self, now_ns: i64, packets: usize, what: Expected) {
        let slots = std::iter::successors(Some(self.after(self.sweep_at)), |slot| Some(self.after(*slot)));
        let slots = slots.take(self.steps(packets));
        if what == Expected::Connection {
            slots.clone().for_each(|slot| prefetch(&self.hot[slot]));
        }
        for slot in slots {
            if self.is_left(slot, now_ns) {
                let (hot, cold, data) = (&self.hot[slot], &self.cold[slot], &self.data[slot]);
                match what {
                    Expected::Connection => {
                        prefetch_all(hot);
                        prefetch_all(cold);
                        prefetch(data);
                    }
                    Expected::Data => {
                        self.index.prefetch(cold.tag);
                        data.watch.as_deref().inspect(|watch| prefetch_all(*watch));
                        data.talk.as_deref().inspect(|talk| prefetch_all(*talk));
                    }
                    Expected::Rest => {
                        cold.prefetch();
                        data.watch.as_deref().inspect(|watch| watch.prefetch());
                    }
                }
            }
        }
    }

    /// The places of all connections, in the order in which they began.
    pub(crate) fn in_order(&self) -> Vec<u32> {
        let mut live: Vec<u32> = self.live().collect();
        live.sort_by_key(|&slot| self.cold[slot as usize].first);
        live
    }

    /// Ends these connections.
    pub(crate) fn end_all(&mut self, slots: &[u32], events: &mut Events) {
        for &slot in slots {
            self.end(slot, u32::MAX, false, events);
        }
    }
}
