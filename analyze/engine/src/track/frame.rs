//! Frames by number.

use std::fmt;
use std::num::NonZeroU64;

/// A frame of a capture: its file among the inputs and its number as Wireshark shows it. Sorts by file, then number. One
/// word, because millions are kept as evidence.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameId(NonZeroU64);

/// Bits of the number: files of 17 trillion frames.
const BITS: u32 = 44;
const MASK: u64 = (1 << BITS) - 1;

impl FrameId {
    /// A frame by the number of its file, in reading order, and its own, from 1.
    pub fn new(capture: u32, frame: u64) -> Self {
        let packed = u64::from(capture) << BITS | frame & MASK;
        Self(NonZeroU64::MIN.saturating_add(packed))
    }

    /// File, in reading order; of more than a million files the number wraps.
    pub fn capture(self) -> u32 {
        (self.packed() >> BITS) as u32
    }

    /// Frame number, from 1.
    pub fn frame(self) -> u64 {
        self.packed() & MASK
    }

    /// The frame that comes so many later.
    pub(crate) fn after(self, frames: u64) -> Self {
        Self(self.0.saturating_add(frames))
    }

    fn packed(self) -> u64 {
        self.0.get() - 1
    }
}

impl Default for FrameId {
    fn default() -> Self {
        Self(NonZeroU64::MIN)
    }
}

impl fmt::Debug for FrameId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameId").field("capture", &self.capture()).field("frame", &self.frame()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_one_word_and_sorts_by_file() {
        let (a, b) = (FrameId::new(1, MASK - 1), FrameId::new(2, 1));
        assert_eq!((a.capture(), a.frame(), b.capture(), b.frame()), (1, MASK - 1, 2, 1));
        assert_eq!(b.after(3), FrameId::new(2, 4));
        assert_eq!((FrameId::default().capture(), FrameId::default().frame()), (0, 0));
        assert!(a < b && FrameId::default() < a);
        assert_eq!(size_of::<Option<FrameId>>(), 8);
    }
}
