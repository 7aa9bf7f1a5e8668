//! Clocks of units against each other, from packets that both saw.
//!
//! A packet that passes `a` first is seen at `b` not before it was at `a`, so that the difference of its two times is at
//! least the offset of the clocks; a packet the other way bounds it from below. The offset is in the middle of what all
//! packets leave, and half of that is the error bound (V. Paxson, On Calibrating Measurements of Packet Transit Times).
//! Drift is the slope that the hulls of both kinds of bounds share (S. Moon et al., Estimation and Removal of Clock Skew).

use super::{Connection, Kept};
use crate::track::event::Flow;
use std::collections::BTreeMap;

/// How the clock of one unit differs from another's.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Clock {
    /// The clock of `b` minus that of `a`, nanoseconds, at `at_ns`.
    pub(crate) offset_ns: i64,
    /// The offset is known to within this, nanoseconds.
    pub(crate) bound_ns: i64,
    /// How much faster the clock of `b` goes, parts per million, where it was seen for long enough.
    pub(crate) drift_ppm: Option<f64>,
    /// When the offset holds, by the clock of `a`.
    pub(crate) at_ns: i64,
    /// Packets that passed `a` first, and `b` first.
    pub(crate) samples: (usize, usize),
}

/// One packet at two units.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Sample {
    /// When it was at `a`.
    at_ns: i64,
    /// Its time at `b` minus that at `a`.
    difference_ns: i64,
}

/// Packets between two units, by which of the two they passed first.
#[derive(Clone, Debug, Default)]
struct Samples {
    from_a: Vec<Sample>,
    from_b: Vec<Sample>,
}

/// Samples kept of a pair.
const MAX_SAMPLES: usize = 65_536;
/// A drift shows after this time, and in this many packets each way.
const DRIFT_NS: i64 = 30_000_000_000;
const DRIFT_SAMPLES: usize = 8;
/// Slopes that differ by more are of a path that changed.
const DRIFT_PPM: f64 = 5.0;

/// Clocks of all pairs of units, the lower first, that exchanged packets both ways.
pub(crate) fn clocks(kept: &Kept) -> BTreeMap<(u32, u32), Clock> {
    let mut pairs: BTreeMap<(u32, u32), Samples> = BTreeMap::new();
    for connection in kept.connections() {
        let handshakes: Vec<&Flow> = connection.flows(kept).filter(|flow| has_handshake(flow)).collect();
        for (n, near) in handshakes.iter().enumerate() {
            for far in handshakes[n + 1..].iter().filter(|far| far.unit != near.unit) {
                add(near, far, &mut pairs);
            }
        }
    }
    pairs.iter().filter_map(|(pair, samples)| Some((*pair, samples.clock()?))).collect()
}

/// Whether SYN and SYN-ACK were seen, each once.
fn has_handshake(flow: &Flow) -> bool {
    flow.syn_ns.is_some() && flow.rtt_resp_ns.is_some() && flow.from_orig.syns == 1
}

fn add(one: &Flow, other: &Flow, pairs: &mut BTreeMap<(u32, u32), Samples>) {
    let (a, b) = if one.unit < other.unit { (one, other) } else { (other, one) };
    let (Some(syn_a), Some(syn_b), Some(rtt_a), Some(rtt_b)) =
        (a.syn_ns.get(), b.syn_ns.get(), a.rtt_resp_ns.get(), b.rtt_resp_ns.get())
    else {
        return;
    };
    let samples = pairs.entry((a.unit, b.unit)).or_default();
    if samples.from_a.len() + samples.from_b.len() >= MAX_SAMPLES {
        return;
    }
    let syn = Sample { at_ns: syn_a, difference_ns: syn_b - syn_a };
    let syn_ack = Sample { at_ns: syn_a + rtt_a, difference_ns: syn_b + rtt_b - syn_a - rtt_a };
    // The nearer to the originator the longer an answer takes, whatever the clocks say.
    let (first, second) = if rtt_a >= rtt_b { (syn, syn_ack) } else { (syn_ack, syn) };
    samples.from_a.push(first);
    samples.from_b.push(second);
}

impl Samples {
    fn clock(&self) -> Option<Clock> {
        let times = || self.from_a.iter().chain(&self.from_b).map(|sample| sample.at_ns);
        let (first, last) = (times().min()?, times().max()?);
        let at_ns = first + (last - first) / 2;
        let drift = if last - first >= DRIFT_NS { self.drift(at_ns) } else { None };
        let slope = drift.unwrap_or_default();
        // What is left when the drift is taken out.
        let level = |sample: &Sample| sample.difference_ns - (slope * (sample.at_ns - at_ns) as f64) as i64;
        let (high, low) = (self.from_a.iter().map(level).min()?, self.from_b.iter().map(level).max()?);
        Some(Clock {
            offset_ns: low.midpoint(high),
            bound_ns: (high.abs_diff(low) / 2).max(1) as i64,
            drift_ppm: drift.map(|slope| slope * 1e6),
            at_ns,
            samples: (self.from_a.len(), self.from_b.len()),
        })
    }

    /// The slope that both hulls have in the middle of the time.
    fn drift(&self, at_ns: i64) -> Option<f64> {
        let upper = slope_below(&self.from_a, at_ns)?;
        let mirrored: Vec<Sample> =
            self.from_b.iter().map(|sample| Sample { difference_ns: -sample.difference_ns, ..*sample }).collect();
        let lower = -slope_below(&mirrored, at_ns)?;
        ((upper - lower).abs() * 1e6 <= DRIFT_PPM).then_some(upper.midpoint(lower))
    }
}

/// Slope of the lower convex hull of the samples at a time.
fn slope_below(samples: &[Sample], at_ns: i64) -> Option<f64> {
    if samples.len() < DRIFT_SAMPLES {
        return None;
    }
    let mut samples = samples.to_vec();
    samples.sort_unstable();
    let mut hull: Vec<Sample> = Vec::new();
    for sample in samples {
        while let [.., a, b] = hull.as_slice()
            && turns_up(*a, *b, sample)
        {
            hull.pop();
        }
        hull.push(sample);
    }
    let around = hull.windows(2).find(|pair| pair[1].at_ns >= at_ns)?;
    let (x, y) = (around[1].at_ns - around[0].at_ns, around[1].difference_ns - around[0].difference_ns);
    (x > 0).then(|| y as f64 / x as f64)
}

/// Whether `b` lies on or above the line from `a` to `c`.
fn turns_up(a: Sample, b: Sample, c: Sample) -> bool {
    let cross = |p: Sample, q: Sample| {
        (i128::from(p.at_ns) - i128::from(a.at_ns)) * (i128::from(q.difference_ns) - i128::from(a.difference_ns))
    };
    cross(b, c) <= cross(c, b)
}

/// Times of a unit by the clock of another.
pub(crate) fn offset_ns(clocks: &BTreeMap<(u32, u32), Clock>, from: u32, to: u32) -> Option<(i64, i64)> {
    let clock = clocks.get(&(from.min(to), from.max(to)))?;
    Some((if from < to { clock.offset_ns } else { -clock.offset_ns }, clock.bound_ns))
}

/// All connections that two or more units saw.
pub(crate) fn shared(kept: &Kept) -> impl Iterator<Item = &Connection> {
    let is_shared = |connection: &&Connection| {
        let mut flows = connection.flows(kept);
        flows.next().is_some_and(|first| flows.any(|flow| flow.unit != first.unit))
    };
    kept.connections().iter().filter(is_shared)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A clock that is `offset` behind and `ppm` fast, with delays of 100 µs and some waiting, for this many seconds.
    fn samples(offset: i64, ppm: f64, seconds: i64) -> Samples {
        let mut samples = Samples::default();
        let mut wait = 12_345_u64;
        for n in 0..seconds {
            let at_ns = n * 1_000_000_000;
            wait = wait.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let delay = 100_000 + (wait >> 44) as i64;
            let clock = offset + (at_ns as f64 * ppm / 1e6) as i64;
            samples.from_a.push(Sample { at_ns, difference_ns: clock + delay });
            samples.from_b.push(Sample { at_ns: at_ns + 500, difference_ns: clock - delay });
        }
        samples
    }

    #[test]
    fn an_offset_lies_within_its_bound() {
        for offset in [-250_000_000, 0, 7, 3_600_000_000_000] {
            let clock = samples(offset, 0.0, 20).clock().unwrap();
            assert!((clock.offset_ns - offset).abs() <= clock.bound_ns, "{clock:?}");
            assert!(clock.bound_ns < 1_300_000 && clock.drift_ppm.is_none(), "{clock:?}");
        }
    }

    #[test]
    fn a_drift_is_found_and_taken_out() {
        let clock = samples(-250_000_000, 40.0, 600).clock().unwrap();
        assert!((clock.drift_ppm.unwrap() - 40.0).abs() < 1.0, "{clock:?}");
        let middle = -250_000_000 + (clock.at_ns as f64 * 40.0 / 1e6) as i64;
        assert!((clock.offset_ns - middle).abs() <= clock.bound_ns, "{clock:?}");
    }

    #[test]
    fn one_way_tells_nothing() {
        let one_way = Samples { from_b: Vec::new(), ..samples(0, 0.0, 20) };
        assert_eq!(one_way.clock(), None);
    }
}
