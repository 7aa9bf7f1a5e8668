//! `PostgreSQL`, frontend/backend protocol 3 (its documentation, chapter "Message Formats"): the kind of a message, the
//! first word of a simple query, the code of an error.

use super::sql::keyword;
use super::{Said, Text, Traits};
use nom::IResult;
use nom::Parser;
use nom::number::complete::{be_u8, be_u32};

const PROTOCOL_3: u32 = 196_608;
const CANCEL: u32 = 80_877_102;
const SSL: u32 = 80_877_103;
const GSS: u32 = 80_877_104;
/// The longest message that is believed to be one.
const LONGEST: u32 = 1 << 24;

/// A message of the client.
pub(super) fn request(bytes: &[u8]) -> Option<Said> {
    startup(bytes).or_else(|| message(bytes))
}

fn startup(bytes: &[u8]) -> Option<Said> {
    let (_, (len, code)) = lengths(bytes).ok()?;
    let name: &[u8] = match code {
        PROTOCOL_3 if (9..10_000).contains(&len) => b"startup",
        CANCEL if len == 16 => b"cancel",
        SSL if len == 8 => b"SSLRequest",
        GSS if len == 8 => b"GSSENCRequest",
        _ => return None,
    };
    let goodbye = Traits::GOODBYE.only_if(code == CANCEL);
    Some(Said::new(Text::of(name)).with(Traits::RESTARTS.only_if(matches!(code, SSL | GSS))).with(goodbye))
}

fn lengths(bytes: &[u8]) -> IResult<&[u8], (u32, u32)> {
    (be_u32, be_u32).parse(bytes)
}

fn typed(bytes: &[u8]) -> IResult<&[u8], (u8, u32)> {
    (be_u8, be_u32).parse(bytes)
}

/// One typed message. Its length must agree with what was captured, as nothing else tells it from other protocols.
fn message(bytes: &[u8]) -> Option<Said> {
    let (body, (kind, len)) = typed(bytes).ok()?;
    let body_len = usize::try_from(len.checked_sub(4).filter(|_| len < LONGEST)?).ok()?;
    let next = body.get(body_len..)?;
    if next.first().is_some_and(|byte| !b"QPBEDCSHXpFdcf".contains(byte)) {
        return None;
    }
    let name: &[u8] = match kind {
        b'Q' => return query(body),
        b'P' => b"Parse",
        b'B' => b"Bind",
        b'E' => b"Execute",
        b'D' => b"Describe",
        b'C' => b"Close",
        b'S' if body_len == 0 => b"Sync",
        b'H' if body_len == 0 => b"Flush",
        b'F' => b"FunctionCall",
        b'p' => b"password",
        b'X' if body_len == 0 => return Some(Said::new(Text::of(b"Terminate")).with(Traits::GOODBYE)),
        _ => return None,
    };
    Some(Said::new(Text::of(name)))
}

fn query(body: &[u8]) -> Option<Said> {
    let word = keyword(body)?;
    let streams = matches!(word, "COPY" | "START_REPLICATION");
    Some(Said::new(Text::of(word.as_bytes())).with(Traits::STREAM.only_if(streams)))
}

/// A message of the server: the code of an error (SQLSTATE).
pub(super) fn response(bytes: &[u8]) -> Option<Said> {
    let (body, (kind, len)) = typed(bytes).ok()?;
    if kind != b'E' || !(20..LONGEST).contains(&len) || body.first() != Some(&b'S') {
        return None;
    }
    let code = body.split(|byte| *byte == 0).find_map(|field| field.strip_prefix(b"C"))?;
    let code = code.get(..5).filter(|code| code.iter().all(u8::is_ascii_alphanumeric))?;
    Some(Said::new(Text::of(code)).with(Traits::ERROR))
}
