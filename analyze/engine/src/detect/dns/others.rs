//! What passes besides questions and their answers, which shows whether answers would be seen.

use crate::packet::TCP;
use crate::track::event::Flow;
use std::collections::BTreeMap;

/// What passes between a client and others besides DNS.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Elsewhere {
    pub(super) two_way: u64,
    /// Connections that were not answered at once, or never.
    pub(super) stalled: u64,
    /// Sum and count of the times from SYN to SYN-ACK.
    rtt_ns: (i64, i64),
}

/// Other traffic flows where so many times as many connections show both directions as were not answered at once.
const MOSTLY: u64 = 4;

impl Elsewhere {
    pub(super) fn add(&mut self, flow: &Flow) {
        self.two_way += u64::from(flow.is_two_way());
        self.stalled += u64::from(flow.proto == TCP && flow.from_orig.syns > 1);
        if let Some(rtt) = flow.rtt_resp_ns.get() {
            self.rtt_ns = (self.rtt_ns.0.saturating_add(rtt), self.rtt_ns.1 + 1);
        }
    }

    /// Whether it has both directions, nearly all of it, so that answers would be seen too.
    pub(super) fn is_heard(&self) -> bool {
        self.two_way > self.stalled * MOSTLY
    }

    /// Mean time from SYN to SYN-ACK.
    pub(super) fn mean_rtt_ns(&self) -> Option<i64> {
        self.rtt_ns.0.checked_div(self.rtt_ns.1)
    }
}

/// Answers without their question, and connections of which one end acknowledges another that is not there, by unit: as
/// many show that it has one direction, where nothing in it has both.
#[derive(Debug, Default)]
pub(super) struct Halves(BTreeMap<u32, u64>);

/// As many are no chance, nor is one connection of as many times so many packets.
const ENOUGH: u64 = 3;
const LONG: u64 = 4;

impl Halves {
    pub(super) fn add(&mut self, unit: u32) {
        *self.0.entry(unit).or_default() += 1;
    }

    pub(super) fn flow(&mut self, flow: &Flow) {
        let acknowledges = || [&flow.from_orig, &flow.from_resp].iter().any(|side| side.acknowledged.is_some());
        if flow.proto == TCP && !flow.is_two_way() && acknowledges() {
            *self.0.entry(flow.unit).or_default() += flow.packets().min(ENOUGH * LONG) / LONG + 1;
        }
    }

    pub(super) fn are_all_of(&self, unit: u32) -> bool {
        self.0.get(&unit).is_some_and(|halves| *halves >= ENOUGH)
    }
}
