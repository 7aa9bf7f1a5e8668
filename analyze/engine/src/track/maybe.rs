//! Times that may not be known.

use std::fmt;

/// A time or span in nanoseconds that may not be known, in one word: connections have a dozen of them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MaybeNs(i64);

/// No time of a capture (the year 1677), nor a span of one.
const NONE: i64 = i64::MIN;

impl MaybeNs {
    /// The time, where it is known.
    #[inline]
    pub fn get(self) -> Option<i64> {
        (self.0 != NONE).then_some(self.0)
    }

    /// Whether it is known.
    #[inline]
    pub fn is_some(self) -> bool {
        self.0 != NONE
    }

    /// The span from here to another time, where both are known and it came later.
    pub(crate) fn until(self, to: Self) -> Option<i64> {
        Some(to.get()?.saturating_sub(self.get()?)).filter(|&ns| ns >= 0)
    }

    /// Notes a time unless one is known.
    #[inline]
    pub(crate) fn note(&mut self, ns: i64) {
        if self.0 == NONE {
            self.0 = ns;
        }
    }
}

impl Default for MaybeNs {
    fn default() -> Self {
        Self(NONE)
    }
}

impl From<Option<i64>> for MaybeNs {
    #[inline]
    fn from(ns: Option<i64>) -> Self {
        Self(ns.unwrap_or(NONE))
    }
}

impl fmt::Debug for MaybeNs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_first() {
        let mut time = MaybeNs::default();
        assert_eq!((time.get(), time.is_some()), (None, false));
        time.note(0);
        time.note(7);
        assert_eq!((time.get(), time.is_some(), MaybeNs::from(Some(-1)).get()), (Some(0), true, Some(-1)));
    }
}
