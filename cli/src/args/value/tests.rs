use super::*;

#[test]
fn moments_are_absolute_or_after_the_start() {
    assert_eq!("2024-05-01T12:00:00.5+02:00".parse(), Ok(Moment::Absolute(1_714_557_600_500_000_000)));
    assert_eq!("+1.5m".parse(), Ok(Moment::AfterStart(90_000_000_000)));
    assert_eq!("+200ms".parse(), Ok(Moment::AfterStart(200_000_000)));
    assert_eq!(Moment::AfterStart(5).ns(10), 15);
    assert_eq!(Moment::AfterStart(5).ns(i64::MAX), i64::MAX);
    assert_eq!("-5m".parse::<Moment>(), Err(ValueError::FromEnd));
    for text in ["", "+", "+5", "+s", "+1e300h", "now", "2024-05-01", "+9999999d9"] {
        assert_eq!(text.parse::<Moment>(), Err(ValueError::Time), "{text:?}");
    }
}

#[test]
fn connections_take_both_families() {
    let four: Connection = "10.0.0.1:4000-10.0.0.2:80".parse().expect("IPv4");
    assert_eq!((four.0.to_string(), four.1.to_string()), ("10.0.0.1:4000".into(), "10.0.0.2:80".into()));
    let six: Connection = "[fd00::1]:4000-[fd00::2]:80".parse().expect("IPv6");
    assert_eq!(six.1.to_string(), "[fd00::2]:80");
    for text in ["", "10.0.0.1:1", "10.0.0.1-10.0.0.2", "fd00::1:80-fd00::2:80", "a:1-b:2", "1.1.1.1:70000-1.1.1.1:1"] {
        assert_eq!(text.parse::<Connection>(), Err(ValueError::Connection), "{text:?}");
    }
}

#[test]
fn sizes_are_powers_of_1024() {
    assert_eq!(bytes("512M"), Ok(512 << 20));
    assert_eq!(bytes("2GiB"), Ok(2 << 30));
    assert_eq!(bytes("4096"), Ok(4096));
    assert_eq!(bytes("1kB"), Ok(1024));
    for text in ["", "M", "0", "1.5G", "99999999999T", "5X", "-1"] {
        assert_eq!(bytes(text), Err(ValueError::Size), "{text:?}");
    }
}

#[test]
fn hosts_are_addresses() {
    assert!(host("10.0.0.1").is_ok() && host("fd00::1").is_ok());
    assert_eq!(host("web-0"), Err(ValueError::Address));
}
