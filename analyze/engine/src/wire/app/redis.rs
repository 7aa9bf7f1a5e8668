//! Redis (RESP 2 and 3): the name of the command, and errors.

use super::{Said, Text, Traits};
use nom::IResult;
use nom::Parser;
use nom::bytes::complete::{tag, take_while_m_n};
use nom::sequence::{delimited, preceded, terminated};

/// Commands that wait until there is something, or for a time that the client names.
const WAITING: [&[u8]; 13] = [
    b"BLPOP",
    b"BRPOP",
    b"BRPOPLPUSH",
    b"BLMOVE",
    b"BLMPOP",
    b"BZPOPMIN",
    b"BZPOPMAX",
    b"BZMPOP",
    b"XREAD",
    b"XREADGROUP",
    b"WAIT",
    b"WAITAOF",
    b"DEBUG",
];
/// Commands after which the server speaks when it likes.
const STREAMS: [&[u8]; 6] = [b"SUBSCRIBE", b"PSUBSCRIBE", b"SSUBSCRIBE", b"MONITOR", b"SYNC", b"PSYNC"];

/// An array of bulk strings, the first of which is the command.
pub(super) fn request(bytes: &[u8]) -> Option<Said> {
    let (_, name) = command(bytes).ok()?;
    let name = name.to_ascii_uppercase();
    let is = |names: &[&[u8]]| names.contains(&name.as_slice());
    let said = Said::new(Text::of(&name));
    let goodbye = Traits::GOODBYE.only_if(name == b"QUIT");
    Some(said.with(Traits::WAITS.only_if(is(&WAITING))).with(Traits::STREAM.only_if(is(&STREAMS))).with(goodbye))
}

fn command(bytes: &[u8]) -> IResult<&[u8], &[u8]> {
    let number = |sign: &'static [u8]| delimited(tag(sign), digits, tag(&b"\r\n"[..]));
    let name = terminated(take_while_m_n(2, 32, |byte: u8| byte.is_ascii_alphabetic()), tag(&b"\r\n"[..]));
    preceded((number(b"*"), number(b"$")), name).parse(bytes)
}

fn digits(bytes: &[u8]) -> IResult<&[u8], &[u8]> {
    take_while_m_n(1, 6, |byte: u8| byte.is_ascii_digit()).parse(bytes)
}

/// An error and its kind; other answers say nothing. Alone it is too little to know the protocol by.
pub(super) fn response(bytes: &[u8]) -> Option<Said> {
    let (_, kind) = error(bytes).ok()?;
    Some(Said::new(Text::of(kind)).with(Traits::ERROR))
}

fn error(bytes: &[u8]) -> IResult<&[u8], &[u8]> {
    preceded(tag(&b"-"[..]), terminated(take_while_m_n(3, 20, |byte: u8| byte.is_ascii_uppercase()), tag(&b" "[..])))
        .parse(bytes)
}
