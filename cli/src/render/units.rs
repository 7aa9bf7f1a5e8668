//! Numbers as people read them.

use kcap_analyze::finding::plural;
use std::time::Duration;

/// `1,234,567`.
pub(super) fn count(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut out = String::from(if number < 0 { "-" } else { "" });
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 packet`, `2 packets`.
pub(super) fn counted(number: i64, thing: &str) -> String {
    let things = if number == 1 { thing.to_owned() } else { plural(thing) };
    format!("{} {things}", count(number))
}

/// `512 B`, `8.2 MB`, powers of 1000 as on the wire.
pub(super) fn bytes(number: i64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if number.unsigned_abs() < 1000 {
        return format!("{number} B");
    }
    let mut value = number as f64 / 1000.0;
    let mut unit = UNITS[0];
    for next in &UNITS[1..] {
        if value.abs() < 999.95 {
            break;
        }
        value /= 1000.0;
        unit = next;
    }
    format!("{value:.1} {unit}")
}

/// `12.3 s`, `2 h 5 min`.
pub(super) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 if duration.subsec_millis() < 1 => format!("{} µs", duration.subsec_micros()),
        0 => format!("{:.1} ms", duration.as_secs_f64() * 1e3),
        1..120 => format!("{:.1} s", duration.as_secs_f64()),
        120..7200 => format!("{} min {} s", seconds / 60, seconds % 60),
        7200..172_800 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_separators() {
        let numbers = [0, 999, 1000, 1_234_567, -1000, i64::MIN].map(count);
        assert_eq!(numbers, ["0", "999", "1,000", "1,234,567", "-1,000", "-9,223,372,036,854,775,808"]);
        assert_eq!(counted(1, "packet"), "1 packet");
        assert_eq!(counted(0, "packet"), "0 packets");
    }

    #[test]
    fn bytes_have_units() {
        let sizes = [0, 999, 1000, 8_249_000, 999_999, 5_000_000_000_000_000].map(bytes);
        assert_eq!(sizes, ["0 B", "999 B", "1.0 kB", "8.2 MB", "1.0 MB", "5000.0 TB"]);
    }

    #[test]
    fn durations_have_two_digits_at_least() {
        let text = |micros| duration(Duration::from_micros(micros));
        assert_eq!([0, 500, 1500, 12_345_678].map(text), ["0 µs", "500 µs", "1.5 ms", "12.3 s"]);
        assert_eq!([125_000_000, 7_500_000_000, 200_000_000_000].map(text), ["2 min 5 s", "2 h 5 min", "2 d 7 h"]);
    }
}
