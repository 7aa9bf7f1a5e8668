//! Round-trip times as acknowledgements show them.

/// Round trips of one direction, in units of 16 ns; every n-th is kept once there are many.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rtt {
    len: u8,
    every: u32,
    wait: u32,
    min: u32,
}

/// Those kept. Apart from [`Rtt`], because they are written once and then lie there.
pub(crate) type Samples = [u32; 16];

/// Nanoseconds a unit.
const UNIT_NS: i64 = 16;

/// A receiver may hold back the acknowledgement of a single segment for so long: Linux 40 ms (`TCP_DELACK_MIN`), other
/// systems up to 200 ms.
const DELAYED_NS: (i64, i64) = (35_000_000, 210_000_000);

impl Default for Rtt {
    fn default() -> Self {
        Self { len: 0, every: 1, wait: 0, min: u32::MAX }
    }
}

impl Rtt {
    /// Takes the time from a segment to its acknowledgement. `alone`: nothing but one segment is acknowledged, so that
    /// the receiver may have waited for another.
    #[inline]
    pub(crate) fn sample(&mut self, samples: &mut Samples, ns: i64, alone: bool) {
        if ns < 0 || alone && self.may_be_delayed(ns) {
            return;
        }
        let sample = u32::try_from(ns / UNIT_NS).unwrap_or(u32::MAX - 1);
        self.min = self.min.min(sample);
        if self.wait > 0 {
            self.wait -= 1;
            return;
        }
        self.keep(samples, sample);
    }

    fn may_be_delayed(&self, ns: i64) -> bool {
        let waited = ns - self.min_ns().unwrap_or(0);
        (DELAYED_NS.0..DELAYED_NS.1).contains(&waited)
    }

    fn keep(&mut self, samples: &mut Samples, sample: u32) {
        if usize::from(self.len) == samples.len() {
            for at in 0..samples.len() / 2 {
                samples[at] = samples[at * 2];
            }
            self.len /= 2;
            self.every = self.every.saturating_mul(2);
        }
        samples[usize::from(self.len)] = sample;
        self.len += 1;
        self.wait = self.every - 1;
    }

    /// The shortest, nanoseconds.
    pub(crate) fn min_ns(&self) -> Option<i64> {
        (self.min != u32::MAX).then(|| i64::from(self.min) * UNIT_NS)
    }

    /// The median and the 95th percentile, nanoseconds.
    pub(crate) fn quantiles_ns(&self, samples: &Samples) -> Option<(i64, i64)> {
        let mut sorted = *samples;
        let sorted = &mut sorted[..self.len.into()];
        sorted.sort_unstable();
        let at = |share: usize| {
            Some(i64::from(*sorted.get((sorted.len() * share / 100).min(sorted.len().checked_sub(1)?))?) * UNIT_NS)
        };
        Some((at(50)?, at(95)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    #[test]
    fn a_delayed_acknowledgement_is_no_round_trip() {
        let (mut rtt, mut samples) = (Rtt::default(), Samples::default());
        rtt.sample(&mut samples, 2 * MS, true);
        rtt.sample(&mut samples, 42 * MS, true);
        rtt.sample(&mut samples, 3 * MS, true);
        assert_eq!(rtt.quantiles_ns(&samples), Some((3 * MS, 3 * MS)));
        // Two segments at once are acknowledged at once.
        rtt.sample(&mut samples, 42 * MS, false);
        assert_eq!(rtt.quantiles_ns(&samples), Some((3 * MS, 42 * MS)));
    }

    #[test]
    fn a_long_way_is_no_delay() {
        let (mut rtt, mut samples) = (Rtt::default(), Samples::default());
        rtt.sample(&mut samples, 150 * MS, false);
        rtt.sample(&mut samples, 152 * MS, true);
        assert_eq!(rtt.quantiles_ns(&samples), Some((152 * MS, 152 * MS)));
        assert_eq!(rtt.min_ns(), Some(150 * MS));
    }

    #[test]
    fn samples_are_spread_over_all() {
        let (mut rtt, mut samples) = (Rtt::default(), Samples::default());
        (0..10_000).for_each(|n| rtt.sample(&mut samples, n * MS, false));
        let (half, most) = rtt.quantiles_ns(&samples).expect("there are samples");
        assert!((4_000 * MS..6_000 * MS).contains(&half) && most > 8_500 * MS, "{half} {most}");
    }
}
