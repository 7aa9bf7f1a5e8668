//! What passed one way between two addresses, and until when: a path may shrink while it is captured.

use crate::Addr;
use smallvec::SmallVec;

/// One direction between two addresses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Path {
    pub(crate) from: Addr,
    pub(crate) to: Addr,
}

impl Path {
    /// The path between the two that begins at the lower address, and which of its two ways this one is.
    pub(super) fn ordered(self) -> (Self, usize) {
        if self.from <= self.to { (self, 0) } else { (Self { from: self.to, to: self.from }, 1) }
    }
}

/// What passed one way between two addresses.
#[derive(Clone, Debug, Default)]
pub(crate) struct Passed {
    /// Connections whose every byte was acknowledged.
    pub(crate) connections: u64,
    /// When the last of them ended that had a packet of so many bytes, and none bigger ended later: in order of time,
    /// the sizes falling.
    sizes: SmallVec<[(i64, u32); SIZES + 1]>,
}

/// Sizes kept; of more, the oldest two become one that passed as late as the later and was as big as the bigger.
const SIZES: usize = 4;

impl Passed {
    /// Takes note of the biggest packet of a connection that ended.
    pub(crate) fn add(&mut self, bytes: u32, ended_ns: i64) {
        self.connections += 1;
        if self.largest_since(ended_ns) >= bytes {
            return;
        }
        self.sizes.retain(|&mut (ns, smaller)| ns > ended_ns || smaller > bytes);
        let at = self.sizes.partition_point(|&(ns, _)| ns < ended_ns);
        self.sizes.insert(at, (ended_ns, bytes));
        if self.sizes.len() > SIZES {
            let (_, biggest) = self.sizes.remove(0);
            if let Some(oldest) = self.sizes.first_mut() {
                oldest.1 = biggest;
            }
        }
    }

    /// Bytes of the biggest packet that may have passed at a time or later.
    pub(crate) fn largest_since(&self, since_ns: i64) -> u32 {
        self.sizes.iter().find(|(ns, _)| *ns >= since_ns).map_or(0, |(_, bytes)| *bytes)
    }

    /// When the last connection ended in which a packet of so many bytes or more passed.
    pub(crate) fn last_ns(&self, bytes: u32) -> Option<i64> {
        self.sizes.iter().rev().find(|(_, size)| *size >= bytes).map(|(ns, _)| *ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(ends: &[(i64, u32)]) -> Passed {
        let mut passed = Passed::default();
        for (ns, bytes) in ends {
            passed.add(*bytes, *ns);
        }
        passed
    }

    #[test]
    fn what_passed_depends_on_since_when() {
        let passed = passed(&[(10, 1450), (30, 400), (20, 1450), (25, 300), (40, 100)]);
        assert_eq!(passed.connections, 5);
        assert_eq!([0, 20, 21, 30, 31, 41].map(|ns| passed.largest_since(ns)), [1450, 1450, 400, 400, 100, 0]);
        assert_eq!([1450, 1451, 101, 100].map(|bytes| passed.last_ns(bytes)), [Some(20), None, Some(30), Some(40)]);
    }

    #[test]
    fn what_is_forgotten_counts_as_later_and_bigger() {
        let ends: Vec<(i64, u32)> = (0..20).map(|at| (at, 2000 - at as u32)).collect();
        let passed = passed(&ends);
        assert!(passed.sizes.len() <= SIZES);
        assert_eq!((passed.largest_since(0), passed.largest_since(19)), (2000, 1981));
        assert!(ends.iter().all(|(ns, bytes)| passed.largest_since(*ns) >= *bytes));
    }
}
