use chrono::{DateTime, SecondsFormat};

/// A time as RFC 3339 text in UTC with microseconds, or nothing when its year has more than six digits.
pub fn rfc3339(micros: i64) -> Option<String> {
    Some(DateTime::from_timestamp_micros(micros)?.to_rfc3339_opts(SecondsFormat::Micros, true))
}

#[cfg(test)]
mod tests {
    use super::rfc3339;

    #[test]
    fn keeps_microseconds_before_and_after_the_epoch() {
        assert_eq!(rfc3339(1_700_000_000_000_001).as_deref(), Some("2023-11-14T22:13:20.000001Z"));
        assert_eq!(rfc3339(-1).as_deref(), Some("1969-12-31T23:59:59.999999Z"));
        assert_eq!(rfc3339(i64::MAX), None);
    }
}
