//! QUIC (RFC 9000): the header of a connection's first datagrams, and the server name in the client's first one.
//!
//! All but the header is encrypted; only of Initial packets everybody knows the keys (RFC 9001 5.2).

mod initial;
#[cfg(test)]
mod tests;

use super::{Text, tls};
use nom::IResult;
use nom::Parser;
use nom::bytes::complete::take;
use nom::multi::length_data;
use nom::number::complete::{be_u8, be_u32};

/// What a long header says (RFC 9000 17.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header<'a> {
    /// Version; 0 is an offer of versions.
    pub version: u32,
    /// What the packet is for.
    pub kind: Kind,
    /// Connection identifier that the receiver chose, or the client at random.
    pub destination: &'a [u8],
    /// Where the fields of the kind begin.
    at: usize,
}

/// Kinds of packets with a long header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The first of a connection.
    Initial,
    /// Data before the handshake is over.
    ZeroRtt,
    /// The rest of the handshake.
    Handshake,
    /// The server wants to hear that the client is where it says.
    Retry,
    /// The server offers other versions.
    VersionNegotiation,
}

impl Kind {
    /// The standard's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Initial => "Initial",
            Self::ZeroRtt => "0-RTT",
            Self::Handshake => "Handshake",
            Self::Retry => "Retry",
            Self::VersionNegotiation => "Version Negotiation",
        }
    }
}

const V1: u32 = 1;
/// RFC 9369.
const V2: u32 = 0x6b33_43cf;
/// Datagrams with a client's Initial have at least this (RFC 9000 14.1).
pub(crate) const SMALLEST: u32 = 1200;
/// The longest connection identifier (RFC 9000 17.2), and the shortest that a client makes up (7.2).
const IDENTIFIER: std::ops::RangeInclusive<usize> = 8..=20;

/// Whether a version is one: standards, drafts, Google's, and those that are there to be refused (RFC 9000 15).
fn is_version(version: u32) -> bool {
    let draft = version >> 8 == 0x00ff_0000;
    let google = matches!(version.to_be_bytes(), [b'Q' | b'T', b'0', b'0'..=b'9', b'0'..=b'9']);
    draft || google || matches!(version, V1 | V2) || version & 0x0f0f_0f0f == 0x0a0a_0a0a
}

/// The long header at the start of a datagram.
pub fn header(datagram: &[u8]) -> Option<Header<'_>> {
    let (rest, (first, version, destination, source)) = fields(datagram).ok()?;
    let is_long = first & 0x80 != 0 && destination.len() <= 20 && source.len() <= 20;
    let kind = match (version, first >> 4 & 3) {
        (0, _) => Kind::VersionNegotiation,
        _ if first & 0x40 == 0 || !is_version(version) => return None,
        (V2, kind) => of_bits(kind.wrapping_sub(1) & 3),
        (_, kind) => of_bits(kind),
    };
    let at = datagram.len().checked_sub(rest.len())?;
    is_long.then_some(Header { version, kind, destination, at })
}

/// First byte, version, identifiers of the receiver and of the sender.
fn fields(datagram: &[u8]) -> IResult<&[u8], Fields<'_>> {
    (be_u8, be_u32, length_data(be_u8), length_data(be_u8)).parse(datagram)
}

type Fields<'a> = (u8, u32, &'a [u8], &'a [u8]);

fn of_bits(bits: u8) -> Kind {
    match bits {
        0 => Kind::Initial,
        1 => Kind::ZeroRtt,
        2 => Kind::Handshake,
        _ => Kind::Retry,
    }
}

/// The header of a datagram that only a client sends that opens a connection. `len` are the datagram's bytes, of which some
/// may not have been captured.
pub fn opening(datagram: &[u8], len: u32) -> Option<Header<'_>> {
    let header = header(datagram)?;
    let opens = header.kind == Kind::Initial && len >= SMALLEST && IDENTIFIER.contains(&header.destination.len());
    opens.then_some(header)
}

/// Pieces of the `ClientHello` that a client's datagram carries, with their places in it, as far as they were captured.
/// `origin` is the identifier in the client's first datagram, or the first one after a Retry.
pub fn hello_pieces(datagram: &[u8], origin: &[u8]) -> Vec<(usize, Vec<u8>)> {
    let header = header(datagram).filter(|header| header.kind == Kind::Initial);
    header.and_then(|header| initial::pieces(datagram, &header, origin)).unwrap_or_default()
}

/// The server name in a `ClientHello`, as far as that is there.
pub fn server_name(hello: &[u8]) -> Text {
    tls::client_hello(hello).map(|said| said.text).unwrap_or_default()
}

/// Name of a version.
pub fn version_name(version: u32) -> String {
    match version.to_be_bytes() {
        _ if version == V1 => "QUIC v1".to_owned(),
        _ if version == V2 => "QUIC v2".to_owned(),
        [0xff, 0, 0, draft] => format!("QUIC draft-{draft}"),
        [a @ (b'Q' | b'T'), b, c, d] => format!("gQUIC {}", Text::of(&[a, b, c, d])),
        _ => format!("QUIC version {version:#010x}"),
    }
}

/// A number whose first two bits tell its length (RFC 9000 16).
fn varint(bytes: &[u8]) -> IResult<&[u8], usize> {
    let (_, first) = be_u8.parse(bytes)?;
    let (rest, bytes) = take(1usize << (first >> 6)).parse(bytes)?;
    let tail = bytes.get(1..).unwrap_or_default();
    let value = tail.iter().fold(u64::from(first & 0x3f), |value, byte| value << 8 | u64::from(*byte));
    Ok((rest, usize::try_from(value).unwrap_or(usize::MAX)))
}
