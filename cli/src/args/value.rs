//! Values of arguments.

use chrono::DateTime;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use kcap_analyze::{
    Addr, Compat,
    detect::{About, DETECTORS},
    finding::Severity,
    track::Endpoint,
    wire::{DecodeAs, DecodeAsError},
};
use std::{
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

/// Why a value cannot be taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ValueError {
    #[error("not an IP address; kcap never looks names up")]
    Address,
    #[error("not of the form ADDRESS:PORT-ADDRESS:PORT, IPv6 addresses in brackets")]
    Connection,
    #[error("not a program whose judgement is known")]
    Compat,
    #[error("not a size such as 512M or 2G")]
    Size,
    #[error("neither RFC 3339, as in 2024-05-01T12:00:00Z, nor a time after the first packet, as in +30s")]
    Time,
    #[error("the end of a capture is only known when it has been read; use RFC 3339 or +30s after the first packet")]
    FromEnd,
}

/// A point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Nanoseconds since the epoch.
    Absolute(i64),
    /// Nanoseconds after the first packet.
    AfterStart(i64),
}

impl Moment {
    /// Nanoseconds since the epoch, for a capture that starts at `first_ns`.
    pub(crate) fn ns(self, first_ns: i64) -> i64 {
        match self {
            Self::Absolute(ns) => ns,
            Self::AfterStart(ns) => first_ns.saturating_add(ns),
        }
    }
}

impl FromStr for Moment {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if let Some(text) = text.strip_prefix('+') {
            return duration(text).map(Self::AfterStart).ok_or(ValueError::Time);
        }
        if text.strip_prefix('-').and_then(duration).is_some() {
            return Err(ValueError::FromEnd);
        }
        let time = DateTime::parse_from_rfc3339(text).map_err(|_| ValueError::Time)?;
        time.timestamp_nanos_opt().map(Self::Absolute).ok_or(ValueError::Time)
    }
}

/// Nanoseconds of `30s`, `1.5m`, `200ms`, `2h`.
fn duration(text: &str) -> Option<i64> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(digits);
    let unit = match unit {
        "ns" => 1.0,
        "us" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        "m" => 60e9,
        "h" => 3600e9,
        "d" => 86_400e9,
        _ => return None,
    };
    let ns = number.parse::<f64>().ok()? * unit;
    (ns < i64::MAX as f64).then_some(ns as i64)
}

/// Two ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Connection(pub(crate) Endpoint, pub(crate) Endpoint);

impl FromStr for Connection {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let (a, b) = text.split_once('-').ok_or(ValueError::Connection)?;
        Ok(Self(endpoint(a)?, endpoint(b)?))
    }
}

fn endpoint(text: &str) -> Result<Endpoint, ValueError> {
    let socket = text.parse::<SocketAddr>().map_err(|_| ValueError::Connection)?;
    Ok(Endpoint { addr: socket.ip().into(), port: socket.port() })
}

/// An IP address.
pub(super) fn host(text: &str) -> Result<Addr, ValueError> {
    text.parse::<IpAddr>().map(Addr::from).map_err(|_| ValueError::Address)
}

/// A size in bytes; K, M and G are powers of 1024, with or without `B` or `iB` after them.
pub(super) fn bytes(text: &str) -> Result<u64, ValueError> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim_end_matches("iB").trim_end_matches('B');
    let shift = match unit.to_ascii_uppercase().as_str() {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err(ValueError::Size),
    };
    let number = number.parse::<u64>().map_err(|_| ValueError::Size)?;
    number.checked_mul(1 << shift).filter(|&bytes| bytes > 0).ok_or(ValueError::Size)
}

pub(super) fn decode_as(text: &str) -> Result<DecodeAs, DecodeAsError> {
    text.parse()
}

/// Another program whose judgement is shown beside ours.
pub(super) fn compat() -> impl TypedValueParser<Value = Compat> {
    PossibleValuesParser::new(Compat::ALL.iter().map(|compat| compat.name()))
        .try_map(|name| Compat::ALL.iter().copied().find(|compat| compat.name() == name).ok_or(ValueError::Compat))
}

/// Severities by name.
pub(super) fn severity() -> impl TypedValueParser<Value = Severity> {
    PossibleValuesParser::new(["info", "warning", "error", "critical"]).map(|name| match name.as_str() {
        "info" => Severity::Info,
        "warning" => Severity::Warning,
        "error" => Severity::Error,
        _ => Severity::Critical,
    })
}

/// A finding by its code or name.
pub(crate) fn about(text: &str) -> Result<&'static About, String> {
    let matches = |about: &&About| about.code.eq_ignore_ascii_case(text) || about.slug.eq_ignore_ascii_case(text);
    DETECTORS.iter().find(matches).ok_or_else(|| "no finding has this code or name; kcap explain lists them".to_owned())
}

/// The code of a finding, given by it or by name.
#[cfg(all(target_os = "linux", feature = "libpcap"))]
pub(super) fn code(text: &str) -> Result<&'static str, String> {
    about(text).map(|about| about.code)
}

#[cfg(test)]
mod tests;
