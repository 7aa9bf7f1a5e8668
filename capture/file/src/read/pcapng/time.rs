//! `if_tsresol` and `if_tsoffset`.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

const NANOS: u128 = 1_000_000_000;

/// How an interface counts time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Ticks {
    scale: Scale,
    offset_ns: i64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Scale {
    /// Nanoseconds in a tick.
    Times(u64),
    /// Ticks in a nanosecond.
    Divided(u128),
    /// Ticks of 2^-n s.
    Shifted(u32),
}

impl Default for Ticks {
    fn default() -> Self {
        Self::new(6, 0)
    }
}

impl Ticks {
    /// From the option values: the resolution as a negative power of 10, or of 2 with the top bit set, and seconds to
    /// add.
    pub(super) fn new(resolution: u8, offset_seconds: i64) -> Self {
        let power = u32::from(resolution & 0x7f);
        let scale = if resolution & 0x80 != 0 {
            Scale::Shifted(power)
        } else if power <= 9 {
            Scale::Times(10u64.saturating_pow(9u32.saturating_sub(power)))
        } else {
            Scale::Divided(10u128.saturating_pow(power.saturating_sub(9)))
        };
        Self { scale, offset_ns: offset_seconds.saturating_mul(1_000_000_000) }
    }

    /// Nanoseconds since the epoch, at the limits of `i64` where they do not fit.
    #[inline]
    pub(super) fn nanos(self, ticks: u64) -> i64 {
        let nanos = match self.scale {
            Scale::Times(factor) => ticks.checked_mul(factor).map_or(i64::MAX, clamped),
            scale => far(scale, ticks),
        };
        nanos.saturating_add(self.offset_ns)
    }
}

fn clamped<T: TryInto<i64>>(nanos: T) -> i64 {
    nanos.try_into().unwrap_or(i64::MAX)
}

fn far(scale: Scale, ticks: u64) -> i64 {
    let ticks = u128::from(ticks);
    clamped(match scale {
        Scale::Times(factor) => ticks.saturating_mul(u128::from(factor)),
        Scale::Divided(divisor) => ticks.checked_div(divisor).unwrap_or_default(),
        // Both factors are below 2^64, and the shift below 2^7.
        Scale::Shifted(bits) => ticks.saturating_mul(NANOS).checked_shr(bits).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::Ticks;

    #[test]
    fn decimal_and_binary_resolutions() {
        assert_eq!(Ticks::default().nanos(1_500_000), 1_500_000_000);
        assert_eq!(Ticks::new(9, 1).nanos(5), 1_000_000_005);
        assert_eq!(Ticks::new(0, 0).nanos(7), 7_000_000_000);
        assert_eq!(Ticks::new(12, 0).nanos(1_999), 1);
        assert_eq!(Ticks::new(127, 0).nanos(u64::MAX), 0);
        assert_eq!(Ticks::new(0x94, -3600).nanos(3 << 19), -3_598_500_000_000);
        assert_eq!(Ticks::new(0x80, 0).nanos(2), 2_000_000_000);
        assert_eq!(Ticks::new(0xff, 0).nanos(u64::MAX), 0);
    }

    #[test]
    fn out_of_range_times_stop_at_the_limits() {
        assert_eq!(Ticks::new(0, 0).nanos(u64::MAX), i64::MAX);
        assert_eq!(Ticks::new(9, 0).nanos(u64::MAX), i64::MAX);
        assert_eq!(Ticks::new(9, i64::MIN).nanos(0), i64::MIN);
    }
}
