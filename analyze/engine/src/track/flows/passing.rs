//! Noting when packets passed, for who wants to know.

use super::{BATCH, Flows, Probe};
use crate::packet::Packet;

impl Flows {
    /// Notes when packets of a batch passed that were just counted.
    #[cold]
    pub(super) fn pass(&mut self, probes: &[Probe; BATCH], packets: &[Packet]) {
        let Some(mut passages) = self.passages.take() else { return };
        for (probe, packet) in probes.iter().zip(packets) {
            if let Some(slot) = self.confirm(probe) {
                passages.take(slot, packet, probe.end);
            }
        }
        self.passages = Some(passages);
    }

    /// Packets whose passing was not noted for want of memory.
    pub(crate) fn unnoted(&self) -> u64 {
        self.passages.as_ref().map_or(0, |passages| passages.left_out)
    }
}
