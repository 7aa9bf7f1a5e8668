/// How often durations occurred, in steps of an eighth: enough for quantiles of any number of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Times {
    /// Steps that are not counted yet: most servers have few, and counting them one by one is a miss in the cache each.
    recent: [u16; RECENT],
    waiting: u8,
    counts: Vec<u32>,
    total: u64,
    longest_ns: i64,
}

/// Steps an octave, as bits.
const STEPS: u32 = 3;
/// Steps counted at a time.
const RECENT: usize = 16;
/// Room is made for so many steps at a time, less one.
const ROOM: usize = 31;
/// Durations from 2^42 ns (73 minutes) on are one.
const LONGEST: u64 = 1 << 42;

impl Times {
    /// Counts a duration, nanoseconds.
    pub(crate) fn add(&mut self, ns: i64) {
        if usize::from(self.waiting) == RECENT {
            self.count();
        }
        self.recent[usize::from(self.waiting)] = step(ns.max(0) as u64) as u16;
        self.waiting += 1;
        self.total += 1;
        self.longest_ns = self.longest_ns.max(ns);
    }

    fn waiting(&self) -> &[u16] {
        &self.recent[..self.waiting.into()]
    }

    /// Counts what waits.
    fn count(&mut self) {
        for step in self.recent[..self.waiting.into()].iter().map(|step| usize::from(*step)) {
            if self.counts.len() <= step {
                self.counts.resize((step | ROOM) + 1, 0);
            }
            self.counts[step] = self.counts[step].saturating_add(1);
        }
        self.waiting = 0;
    }

    /// Durations counted.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// A duration that this share of all does not exceed, nanoseconds, at most an eighth too long.
    pub(crate) fn quantile(&self, percent: u64) -> Option<i64> {
        let rank = (self.total * percent).div_ceil(100).max(1);
        let mut waiting = self.waiting().to_vec();
        waiting.sort_unstable();
        if self.counts.is_empty() {
            let at = waiting.get(rank as usize - 1).map(|step| usize::from(*step));
            return at.map(|step| upper(step).min(self.longest_ns));
        }
        let (mut waiting, mut seen) = (waiting.into_iter().peekable(), 0);
        let mut reaches = |step: usize| {
            seen += self.counts.get(step).copied().map_or(0, u64::from);
            while waiting.next_if(|waits| usize::from(*waits) <= step).is_some() {
                seen += 1;
            }
            seen >= rank
        };
        let at = (0..=step(LONGEST)).find(|step| reaches(*step)).filter(|_| self.total > 0);
        at.map(|step| upper(step).min(self.longest_ns))
    }
}

/// Durations below 1024 ns are one.
const SHORTEST: u32 = 10;

fn step(ns: u64) -> usize {
    let ns = ns.clamp(1 << SHORTEST, LONGEST);
    let octave = ns.ilog2();
    let part = (ns >> (octave - STEPS)) & ((1 << STEPS) - 1);
    (((octave - SHORTEST) << STEPS) as usize) + part as usize
}

/// Where a step ends.
fn upper(step: usize) -> i64 {
    let (octave, part) = ((step >> STEPS) as u32 + SHORTEST, (step & ((1 << STEPS) - 1)) as i64);
    (1 << octave) + ((part + 1) << (octave - STEPS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_close() {
        let mut times = Times::default();
        (1..=100).for_each(|ms| times.add(ms * 1_000_000));
        assert!(times.waiting > 0, "some are counted and some wait");
        for percent in [1, 50, 95, 100] {
            let (given, exact) = (times.quantile(percent).unwrap(), percent as i64 * 1_000_000);
            assert!(given >= exact && given <= exact + exact / 7, "{percent}: {given}");
        }
        assert_eq!(Times::default().quantile(50), None);
    }
}
