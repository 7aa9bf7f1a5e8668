//! TLS (RFC 8446, RFC 5246): hellos and alerts, as far as they are readable.

use super::{Said, Text, Traits};
use nom::IResult;
use nom::Parser;
use nom::bytes::complete::{tag, take};
use nom::multi::length_data;
use nom::number::complete::{be_u8, be_u16, be_u24};

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;

/// Extensions: `server_name` (RFC 6066), ALPN (RFC 7301), `supported_versions` (RFC 8446 4.2.1).
const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;
const SUPPORTED_VERSIONS: u16 = 43;

/// A record holds at most 2^14 bytes and what encryption adds (RFC 5246 6.2.3).
const LONGEST_RECORD: u16 = (1 << 14) + 2048;
/// An encrypted alert of TLS 1.3: level, description, type, authentication tag (RFC 8446 5.2).
const SECRET_ALERT: u16 = 2 + 1 + 16;
/// The same of Finished, by hash (SHA-256, SHA-384), and of a Certificate without certificates (4.4.2).
const FINISHED: [u16; 2] = [4 + 32 + 1 + 16, 4 + 48 + 1 + 16];
const EMPTY_CERTIFICATE: u16 = 4 + 4 + 1 + 16;

struct Record<'a> {
    kind: u8,
    len: u16,
    /// What was captured of it.
    body: &'a [u8],
}

fn record(bytes: &[u8]) -> Option<(&[u8], Record<'_>)> {
    let (rest, (kind, major, minor, len)) = header(bytes).ok()?;
    let known = (CHANGE_CIPHER_SPEC..=APPLICATION_DATA).contains(&kind) && major == 3 && minor <= 4;
    let body = rest.get(..len.into()).unwrap_or(rest);
    let rest = rest.get(body.len()..).unwrap_or_default();
    (known && len > 0 && len <= LONGEST_RECORD).then_some((rest, Record { kind, len, body }))
}

fn header(bytes: &[u8]) -> IResult<&[u8], (u8, u8, u8, u16)> {
    (be_u8, be_u8, be_u8, be_u16).parse(bytes)
}

/// What a client says first, and what it says while the handshake runs.
pub(super) fn request(bytes: &[u8]) -> Option<Said> {
    let (rest, first) = record(bytes)?;
    match first.kind {
        HANDSHAKE => client_hello(first.body).or(Some(Said::default())),
        ALERT => Some(alert(&first)),
        // Middlebox compatibility (RFC 8446 D.4): an empty gesture before what counts.
        CHANGE_CIPHER_SPEC => Some(record(rest).map_or_else(Said::default, |(_, second)| secret(&second))),
        _ => Some(secret(&first)),
    }
}

/// What a server says.
pub(super) fn response(bytes: &[u8]) -> Option<Said> {
    let (_, first) = record(bytes)?;
    match first.kind {
        HANDSHAKE => server_hello(first.body).or(Some(Said::default())),
        ALERT => Some(alert(&first)),
        _ => Some(secret(&first)),
    }
}

/// Encrypted data; only its length tells an alert, or a client's first words that are not Finished alone.
fn secret(record: &Record<'_>) -> Said {
    let is_secret = record.kind == APPLICATION_DATA;
    let is_alert = is_secret && record.len == SECRET_ALERT;
    let is_certificate = is_secret && record.len >= EMPTY_CERTIFICATE && !FINISHED.contains(&record.len);
    Said::default().with(Traits::GOODBYE.only_if(is_alert)).with(Traits::AUTHENTICATES.only_if(is_certificate))
}

fn alert(record: &Record<'_>) -> Said {
    let [level, code] = *record.body else { return Said::default().with(Traits::GOODBYE) };
    let mut text = Text::of(b"alert ");
    text.append(alert_name(code).as_bytes());
    let harmless = matches!(code, 0 | 90 | 100) || level == 1;
    let traits = if harmless { Traits::GOODBYE } else { Traits::ERROR };
    Said { text, status: Some(code.into()), traits, ..Said::default() }
}

/// Name of an alert (IANA "TLS Alerts").
pub(crate) fn alert_name(code: u8) -> &'static str {
    match code {
        0 => "close_notify",
        10 => "unexpected_message",
        20 => "bad_record_mac",
        22 => "record_overflow",
        40 => "handshake_failure",
        42 => "bad_certificate",
        43 => "unsupported_certificate",
        44 => "certificate_revoked",
        45 => "certificate_expired",
        46 => "certificate_unknown",
        47 => "illegal_parameter",
        48 => "unknown_ca",
        49 => "access_denied",
        50 => "decode_error",
        51 => "decrypt_error",
        70 => "protocol_version",
        71 => "insufficient_security",
        80 => "internal_error",
        86 => "inappropriate_fallback",
        90 => "user_canceled",
        100 => "no_renegotiation",
        109 => "missing_extension",
        110 => "unsupported_extension",
        112 => "unrecognized_name",
        113 => "bad_certificate_status_response",
        115 => "unknown_psk_identity",
        116 => "certificate_required",
        120 => "no_application_protocol",
        _ => "unknown",
    }
}

/// What a `ClientHello` says.
pub(super) fn client_hello(body: &[u8]) -> Option<Said> {
    let (_, extensions) = hello(body, CLIENT_HELLO).ok()?;
    // What the capture, or the segment, cut off may be the offer of HTTP/2.
    let said = Said::default().with(Traits::HELLO).with(Traits::INTERLEAVES.only_if(extensions.cut));
    Some(extensions.fold(said, |said, (kind, value)| match kind {
        SERVER_NAME => Said { text: Text::of(server_name(value).unwrap_or_default()), ..said },
        ALPN if value.windows(3).any(|window| window == b"\x02h2") => said.with(Traits::INTERLEAVES),
        _ => said,
    }))
}

fn server_hello(body: &[u8]) -> Option<Said> {
    let (_, extensions) = hello(body, SERVER_HELLO).ok()?;
    let legacy = body.get(5).copied().unwrap_or_default();
    let (mut version, mut protocol) = (legacy, b"".as_slice());
    for (kind, value) in extensions {
        match (kind, value) {
            (SUPPORTED_VERSIONS, [3, minor]) => version = *minor,
            (ALPN, [_, _, _, name @ ..]) => protocol = name,
            _ => {}
        }
    }
    let mut text = Text::of(version_name(version).as_bytes());
    if !protocol.is_empty() {
        text.append(b" ");
        text.append(protocol);
    }
    let settled = Traits::SETTLED.only_if(!protocol.is_empty());
    Some(Said::new(text).with(Traits::HELLO).with(settled).with(Traits::INTERLEAVES.only_if(protocol == b"h2")))
}

fn version_name(minor: u8) -> &'static str {
    match minor {
        0 => "SSL 3.0",
        1 => "TLS 1.0",
        2 => "TLS 1.1",
        3 => "TLS 1.2",
        4 => "TLS 1.3",
        _ => "TLS",
    }
}

/// The extensions of a hello that were captured, whole ones only.
fn hello(bytes: &[u8], kind: u8) -> IResult<&[u8], Extensions<'_>> {
    let (bytes, _) = (tag(&[kind][..]), be_u24, take(2usize + 32)).parse(bytes)?;
    let (bytes, _) = length_data(be_u8).parse(bytes)?;
    let bytes = if kind == CLIENT_HELLO {
        (length_data(be_u16), length_data(be_u8)).parse(bytes)?.0
    } else {
        take(3usize).parse(bytes)?.0
    };
    let len: IResult<&[u8], u16> = be_u16.parse(bytes);
    let len = len.map_or(usize::from(u16::MAX), |(_, len)| len.into());
    let rest = bytes.get(2..).unwrap_or_default();
    Ok((bytes, Extensions { rest, cut: rest.len() < len }))
}

struct Extensions<'a> {
    rest: &'a [u8],
    /// Whether some are missing.
    cut: bool,
}

impl<'a> Iterator for Extensions<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (rest, extension) = extension(self.rest).ok()?;
        self.rest = rest;
        Some(extension)
    }
}

fn extension(bytes: &[u8]) -> IResult<&[u8], (u16, &[u8])> {
    (be_u16, length_data(be_u16)).parse(bytes)
}

/// The first host name.
fn server_name(value: &[u8]) -> Option<&[u8]> {
    let name: IResult<&[u8], &[u8]> =
        nom::sequence::preceded((be_u16, tag(&[0][..])), length_data(be_u16)).parse(value);
    name.ok().map(|(_, name)| name)
}
