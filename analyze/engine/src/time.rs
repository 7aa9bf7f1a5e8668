//! Times as text, and spans of time.

use std::fmt::Write as _;

/// RFC 3339 in UTC with microseconds, from nanoseconds since the epoch.
pub fn rfc3339(ns: i64) -> String {
    let (days, in_day) = (ns.div_euclid(DAY_NS), ns.rem_euclid(DAY_NS));
    let (year, month, day) = civil(days);
    let seconds = in_day / 1_000_000_000;
    let mut text = String::with_capacity(27);
    let _ = write!(
        text,
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:06}Z",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        in_day % 1_000_000_000 / 1000
    );
    text
}

/// Makes a span of time hold another.
#[inline]
pub(crate) fn widen(span_ns: &mut Option<(i64, i64)>, first_ns: i64, last_ns: i64) {
    let (first, last) = span_ns.unwrap_or((first_ns, last_ns));
    *span_ns = Some((first.min(first_ns), last.max(last_ns)));
}

/// Makes a span of time hold a moment, which nearly always is later than all before.
#[inline]
pub(crate) fn reach(span_ns: &mut Option<(i64, i64)>, ns: i64) {
    match span_ns {
        Some((_, last_ns)) if ns >= *last_ns => *last_ns = ns,
        span_ns => widen(span_ns, ns, ns),
    }
}

/// The span that holds all of these.
pub(crate) fn union(spans_ns: impl Iterator<Item = (i64, i64)>) -> Option<(i64, i64)> {
    spans_ns.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
}

const DAY_NS: i64 = 86_400_000_000_000;

/// Year, month and day of a day number since 1970-01-01, proleptic Gregorian calendar: years are counted from March, so
/// that the leap day is the last of its year.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(rfc3339(951_827_696_789_012_345), "2000-02-29T12:34:56.789012Z");
        assert_eq!(rfc3339(-1), "1969-12-31T23:59:59.999999Z");
        assert_eq!(rfc3339(4_102_444_800_000_000_000), "2100-01-01T00:00:00.000000Z");
    }

    #[test]
    fn every_day_of_four_centuries_follows_the_one_before() {
        let mut last = civil(-1);
        for day in 0..146_097 {
            let this = civil(day);
            let (year, month, date) = last;
            let next_day = this == (year, month, date + 1);
            let next_month = this == (year, month + 1, 1) && date >= 28;
            let next_year = this == (year + 1, 1, 1) && (month, date) == (12, 31);
            assert!(next_day || next_month || next_year, "{last:?} then {this:?}");
            last = this;
        }
    }
}
