//! Ranges of sequence numbers that were jumped over.

use super::lane::after;

/// Ranges that were jumped over and not filled since.
#[derive(Clone, Debug, Default)]
pub(crate) struct Holes {
    ranges: Vec<(u32, u32)>,
    /// Bytes of those that had to go, and that the peer had acknowledged.
    passed: u64,
}

/// Ranges kept. A queue that overflows, or every second packet on a slower way, makes dozens at a time.
pub(crate) const MOST: usize = 256;

impl Holes {
    /// A segment beyond the next one came. `ack` is the peer's highest acknowledgement.
    pub(crate) fn open(&mut self, start: u32, end: u32, ack: Option<u32>) {
        if self.ranges.len() >= MOST {
            self.make_room(ack);
        }
        self.ranges.push((start, end));
    }

    /// What the peer has went by unseen; of what it has not, the oldest goes.
    #[cold]
    fn make_room(&mut self, ack: Option<u32>) {
        self.passed = self.acknowledged(ack);
        self.ranges.retain(|range| !is_acknowledged(*range, ack));
        if self.ranges.len() >= MOST {
            self.ranges.remove(0);
        }
    }

    /// Bytes that the peer acknowledged although they were never seen.
    pub(crate) fn acknowledged(&self, ack: Option<u32>) -> u64 {
        let ranges = self.ranges.iter().filter(|range| is_acknowledged(**range, ack));
        self.passed + ranges.map(|(start, end)| u64::from(end.wrapping_sub(*start))).sum::<u64>()
    }

    /// Those kept.
    pub(crate) fn ranges(&self) -> &[(u32, u32)] {
        &self.ranges
    }

    /// Bytes held.
    pub(crate) fn held(&self) -> usize {
        self.ranges.capacity() * size_of::<(u32, u32)>()
    }

    /// Takes `start..end` out of the holes and says how many bytes of it were hole.
    pub(crate) fn fill(&mut self, start: u32, end: u32) -> u32 {
        let mut filled = 0;
        for at in (0..self.ranges.len()).rev() {
            let (from, to) = self.ranges[at];
            let low = if after(start, from) { start } else { from };
            let high = if after(end, to) { to } else { end };
            if after(high, low) {
                filled += high.wrapping_sub(low);
                self.cut(at, low, high);
            }
        }
        filled
    }

    fn cut(&mut self, at: usize, low: u32, high: u32) {
        let (from, to) = self.ranges.remove(at);
        let rests = [(from, low), (high, to)].into_iter().filter(|(start, end)| start != end);
        for rest in rests.take(MOST.saturating_sub(self.ranges.len())) {
            self.ranges.insert(at, rest);
        }
    }
}

fn is_acknowledged((_, end): (u32, u32), ack: Option<u32>) -> bool {
    ack.is_some_and(|ack| !after(end, ack))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_had_to_go_was_acknowledged_or_is_forgotten() {
        let mut holes = Holes::default();
        let count = MOST as u32;
        (0..count).for_each(|n| holes.open(n * 10, n * 10 + 4, None));
        assert_eq!((holes.acknowledged(Some(24)), holes.ranges().len()), (12, MOST));
        // The first three were acknowledged: they count for ever.
        holes.open(count * 10, count * 10 + 4, Some(24));
        assert_eq!((holes.acknowledged(Some(24)), holes.ranges().len()), (12, MOST - 2));
        // Where nothing is acknowledged the oldest goes.
        (1..4).for_each(|n| holes.open((count + n) * 10, (count + n) * 10 + 4, Some(24)));
        assert_eq!((holes.acknowledged(Some(24)), holes.ranges().len()), (12, MOST));
        assert_eq!((holes.fill(30, 34), holes.fill(40, 44)), (0, 4));
    }

    #[test]
    fn a_piece_in_the_middle_leaves_both_ends() {
        let mut holes = Holes::default();
        holes.open(10, 30, None);
        assert_eq!((holes.fill(15, 20), holes.fill(0, 12)), (5, 2));
        let mut left = holes.ranges().to_vec();
        left.sort_unstable();
        assert_eq!(left, [(12, 15), (20, 30)]);
    }
}
