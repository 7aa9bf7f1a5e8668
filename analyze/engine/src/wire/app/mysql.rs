//! `MySQL` client/server protocol: the kind of a command, the first word of a query, the code of an error.

use super::sql::keyword;
use super::{Said, Text, Traits};
use nom::IResult;
use nom::Parser;
use nom::number::complete::{be_u8, le_u16, le_u24};

/// Version of the greeting.
const GREETING: u8 = 10;
const ERROR: u8 = 0xff;
/// A request for TLS has the capabilities of a login and nothing else.
const SSL_REQUEST: u32 = 32;

struct Message<'a> {
    len: u32,
    number: u8,
    body: &'a [u8],
}

fn message(bytes: &[u8]) -> Option<Message<'_>> {
    let header: IResult<&[u8], (u32, u8)> = (le_u24, be_u8).parse(bytes);
    let (body, (len, number)) = header.ok()?;
    Some(Message { len, number, body })
}

/// A command. Its length must agree with what was captured, as nothing else tells it from other protocols.
pub(super) fn request(bytes: &[u8]) -> Option<Said> {
    let message = message(bytes)?;
    let whole = u32::try_from(message.body.len()) == Ok(message.len);
    if message.number == 1 && message.len == SSL_REQUEST {
        return Some(Said::new(Text::of(b"SSLRequest")).with(Traits::RESTARTS));
    }
    if !whole || message.number != 0 {
        return None;
    }
    let (command, rest) = message.body.split_first()?;
    let name: &[u8] = match (command, rest.len()) {
        (1, 0) => return Some(Said::new(Text::of(b"Quit")).with(Traits::GOODBYE)),
        (3, _) => return Some(Said::new(Text::of(keyword(rest)?.as_bytes()))),
        (0x0e, 0) => b"Ping",
        (0x12 | 0x1e, 10..) => return Some(Said::new(Text::of(b"BinlogDump")).with(Traits::STREAM)),
        (0x16, _) => {
            let mut text = Text::of(b"Prepare ");
            text.append(keyword(rest)?.as_bytes());
            return Some(Said::new(text));
        }
        (0x17, 9..) => b"Execute",
        (0x1f, 0) => b"ResetConnection",
        _ => return None,
    };
    Some(Said::new(Text::of(name)))
}

/// The greeting, which comes first, or an error.
pub(super) fn response(bytes: &[u8]) -> Option<Said> {
    let message = message(bytes)?;
    match message.body {
        [GREETING, version @ ..] if message.number == 0 => {
            let version = version.split(|byte| *byte == 0).next().filter(|version| is_version(version))?;
            let mut text = Text::of(b"greeting ");
            text.append(version);
            Some(Said::new(text))
        }
        [ERROR, error @ ..] if message.number > 0 && message.len < 512 => {
            let code: IResult<&[u8], u16> = le_u16.parse(error);
            let (_, code) = code.ok().filter(|(_, code)| (1000..10_000).contains(code))?;
            Some(Said { status: Some(code), traits: Traits::ERROR, ..Said::default() })
        }
        _ => None,
    }
}

fn is_version(version: &[u8]) -> bool {
    version.first().is_some_and(u8::is_ascii_digit)
        && version.contains(&b'.')
        && version.iter().all(u8::is_ascii_graphic)
}
