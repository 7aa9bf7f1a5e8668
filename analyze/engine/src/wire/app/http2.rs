//! HTTP/2 in clear text (RFC 9113): recognised by its preface, or by SETTINGS as the first frame of a server.

use super::{Said, Text, Traits};
use nom::IResult;
use nom::Parser;
use nom::number::complete::{be_u8, be_u24, be_u32};

/// RFC 9113 3.4; a capture may have cut it.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: u8 = 4;
/// A setting takes six bytes, and there are seven of them.
const LONGEST_SETTINGS: u32 = 6 * 16;

/// The preface: from here on requests interleave.
pub(super) fn request(bytes: &[u8]) -> Option<Said> {
    let shared = bytes.len().min(PREFACE.len());
    let is_preface = shared >= b"PRI * HTTP/2.0".len() && bytes.get(..shared) == PREFACE.get(..shared);
    is_preface.then(|| Said::new(Text::of(b"preface")).with(Traits::STREAM))
}

/// SETTINGS on stream 0.
pub(super) fn response(bytes: &[u8]) -> Option<Said> {
    let (_, (len, kind, flags, stream)) = frame(bytes).ok()?;
    let is_settings = kind == SETTINGS && flags == 0 && stream == 0 && len <= LONGEST_SETTINGS && len % 6 == 0;
    is_settings.then(|| Said::new(Text::of(b"SETTINGS")).with(Traits::STREAM))
}

fn frame(bytes: &[u8]) -> IResult<&[u8], (u32, u8, u8, u32)> {
    (be_u24, be_u8, be_u8, be_u32).parse(bytes)
}
