//! What is lost and how long it takes between each two units that saw the same connections.

use super::clock::{Clock, offset_ns, shared};
use super::hops::lost;
use super::{Connection, Kept, quantile};
use crate::packet::TCP;
use crate::track::event::{Flow, Side};
use std::collections::BTreeMap;

/// The way from one unit to another.
#[derive(Clone, Debug, Default)]
pub(crate) struct Segment {
    /// Directions of connections that were compared.
    pub(crate) lanes: u64,
    /// Packets where they were seen first, and where they should have been seen next.
    pub(crate) sent: u64,
    pub(crate) seen: u64,
    pub(crate) lost: u64,
    /// From the one to the other, nanoseconds, clocks put right, ascending: of handshakes.
    pub(crate) delays_ns: Vec<i64>,
    /// Delays are known to within this, nanoseconds.
    pub(crate) bound_ns: i64,
}

/// From when to when units saw something.
pub(crate) type Spans = BTreeMap<u32, (i64, i64)>;

/// Segments between all pairs of units, in the direction that packets took.
pub(crate) fn segments(
    kept: &Kept,
    clocks: &BTreeMap<(u32, u32), Clock>,
    spans: &Spans,
) -> BTreeMap<(u32, u32), Segment> {
    let mut all: BTreeMap<(u32, u32), Segment> = BTreeMap::new();
    for connection in shared(kept).filter(|connection| connection.proto == TCP) {
        let flows = by_unit(connection, kept);
        for (n, near) in flows.iter().enumerate() {
            for far in &flows[n + 1..] {
                compare(near, far, clocks, spans, &mut all);
            }
        }
    }
    for segment in all.values_mut() {
        segment.delays_ns.sort_unstable();
    }
    all
}

/// What units saw of a connection, one each: at the point nearest to the originator.
fn by_unit<'a>(connection: &'a Connection, kept: &'a Kept) -> Vec<&'a Flow> {
    let mut flows: Vec<&Flow> = Vec::new();
    for flow in connection.flows(kept).filter(|flow| flow.from_orig.isn.is_some() && !flow.evicted) {
        if flows.iter().all(|known| known.unit != flow.unit) {
            flows.push(flow);
        }
    }
    flows
}

fn compare(
    one: &Flow,
    other: &Flow,
    clocks: &BTreeMap<(u32, u32), Clock>,
    spans: &Spans,
    all: &mut BTreeMap<(u32, u32), Segment>,
) {
    let Some((offset, bound_ns)) = offset_ns(clocks, one.unit, other.unit) else { return };
    // Who waits longer for answers is nearer to the originator; else the order of the path, which TTLs tell.
    let turned = one.rtt_resp_ns.get().zip(other.rtt_resp_ns.get()).is_some_and(|(one, other)| other > one);
    let (near, far, offset) = if turned { (other, one, -offset) } else { (one, other, offset) };
    if !covers(spans, near, far, offset) {
        return;
    }
    let there = all.entry((near.unit, far.unit)).or_default();
    there.count(&near.from_orig, &far.from_orig, bound_ns);
    there.delays_ns.extend(
        delay(near.syn_ns.get(), far.syn_ns.get(), offset).filter(|_| far.from_orig.syns == near.from_orig.syns),
    );
    let back = all.entry((far.unit, near.unit)).or_default();
    back.count(&far.from_resp, &near.from_resp, bound_ns);
    let answered = |flow: &Flow| Some(flow.syn_ns.get()? + flow.rtt_resp_ns.get()?);
    back.delays_ns.extend(delay(answered(far), answered(near), -offset));
}

fn delay(from_ns: Option<i64>, to_ns: Option<i64>, offset: i64) -> Option<i64> {
    Some(to_ns? - from_ns? - offset)
}

/// A capture's last second may be missing from the file.
const TAIL_NS: i64 = 1_000_000_000;

/// Whether both units captured during the whole connection.
fn covers(spans: &Spans, near: &Flow, far: &Flow, offset: i64) -> bool {
    let within = |unit: u32, first: i64, last: i64| {
        spans.get(&unit).is_some_and(|span| first >= span.0 - TAIL_NS && last + TAIL_NS <= span.1)
    };
    within(far.unit, near.first_ns + offset, near.last_ns + offset)
        && within(near.unit, far.first_ns - offset, far.last_ns - offset)
}

impl Segment {
    fn count(&mut self, from: &Side, to: &Side, bound_ns: i64) {
        self.lanes += 1;
        self.sent += u64::from(from.packets);
        self.seen += u64::from(to.packets);
        self.lost += lost((from.packets.into(), from.payload_bytes), (to.packets.into(), to.payload_bytes));
        self.bound_ns = self.bound_ns.max(bound_ns);
    }

    /// The delay below which this share of the handshakes lies, nanoseconds.
    pub(crate) fn delay_ns(&self, share: f64) -> Option<i64> {
        quantile(&self.delays_ns, share)
    }
}
