//! HTTP/1 (RFC 9112): the first line of a message, and how long it is.

use super::{Said, Text, Traits};
use nom::IResult;
use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::{tag, take, take_till};
use nom::combinator::map_res;
use nom::sequence::preceded;

/// The methods of RFC 9110 9.3, RFC 5789 and `WebDAV`'s most used.
const METHODS: [&[u8]; 14] = [
    b"GET ",
    b"POST ",
    b"PUT ",
    b"HEAD ",
    b"DELETE ",
    b"PATCH ",
    b"OPTIONS ",
    b"CONNECT ",
    b"TRACE ",
    b"PROPFIND ",
    b"REPORT ",
    b"MKCOL ",
    b"COPY ",
    b"MOVE ",
];

/// Parameters with which a request asks to be kept waiting: Kubernetes and etcd (`watch`), Consul (`wait`), and what
/// long polls commonly use.
const WAITING: [&[u8]; 5] = [b"watch=", b"wait=", b"wait_index=", b"poll=", b"follow="];
/// The same as parts of a path, or of the name of a method of gRPC.
const WAITING_PATHS: [&[u8]; 5] = [b"poll", b"watch", b"/events", b"/stream", b"/subscribe"];

/// A request line: method and path, the query cut off.
pub(super) fn request(bytes: &[u8]) -> Option<Said> {
    let method = METHODS.into_iter().find(|method| bytes.starts_with(method))?;
    let rest = bytes.strip_prefix(method)?;
    let is_connect = method == b"CONNECT ";
    if !is_connect && !rest.first().is_none_or(|first| matches!(first, b'/' | b'*' | b'h')) {
        return None;
    }
    let (path, waits) = target(rest, !rest.iter().any(u8::is_ascii_whitespace));
    let mut text = Text::of(method);
    text.append(path);
    let said = Said { promised: length(bytes, Some(0)), ..Said::new(text) };
    Some(said.with(Traits::WAITS.only_if(waits)).with(Traits::STREAM.only_if(is_connect)))
}

/// The path at the start of bytes, and whether it or its query asks to be kept waiting: what is cut off may do so.
pub(super) fn target(bytes: &[u8], cut: bool) -> (&[u8], bool) {
    let (query, path) = path(bytes).unwrap_or((&[], bytes));
    (path, cut || WAITING_PATHS.iter().any(|word| contains(path, word)) || waits(query))
}

fn path(bytes: &[u8]) -> IResult<&[u8], &[u8]> {
    take_till(|byte: u8| matches!(byte, b'?' | b'#') || byte.is_ascii_whitespace()).parse(bytes)
}

/// Whether a query asks to be kept waiting.
fn waits(query: &[u8]) -> bool {
    let line = query.split(u8::is_ascii_whitespace).next().unwrap_or_default();
    let parameters = || line.split(|byte| matches!(byte, b'?' | b'&'));
    parameters().any(|parameter| WAITING.iter().any(|word| parameter.starts_with(word)))
}

fn contains(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word))
}

/// A status line.
pub(super) fn response(bytes: &[u8]) -> Option<Said> {
    let (_, status) = status(bytes).ok()?;
    let traits = match status {
        101 => Traits::STREAM,
        100..200 => Traits::INTERIM,
        400.. => Traits::ERROR,
        _ => Traits::default(),
    };
    // Without a body, whatever the head says (RFC 9112 6.3).
    let has_body = !matches!(status, 100..200 | 204 | 304);
    let promised = if has_body { length(bytes, None) } else { None };
    let said = Said { status: Some(status), traits, promised, ..Said::default() };
    Some(said.with(Traits::CHUNKS.only_if(has_body && comes_in_chunks(bytes))))
}

/// Whether a body comes in chunks, and is to end: a stream of events goes on until somebody leaves.
fn comes_in_chunks(bytes: &[u8]) -> bool {
    let head = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).take_while(|line| !line.is_empty());
    let says = |line: &[u8], name: &[u8], word: &[u8]| is_named(line, name) && contains(line, word);
    let (mut chunks, mut events) = (false, false);
    for line in head {
        chunks |= says(line, b"transfer-encoding:", b"chunked");
        events |= says(line, b"content-type:", b"event-stream");
    }
    chunks && !events
}

/// Bytes of a message, where all of its head is there and says it, or says nothing and `silent` is what that means. Of a
/// body in chunks nothing is said.
fn length(bytes: &[u8], silent: Option<u32>) -> Option<u32> {
    let (mut head, mut body) = (0, silent);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        head = u32::try_from(line.len()).ok()?.checked_add(head)?;
        match line.trim_ascii() {
            [] => return body?.checked_add(head).filter(|_| line.ends_with(b"\n")),
            header if is_named(header, b"transfer-encoding:") => return None,
            header if is_named(header, b"content-length:") => body = Some(number(header)?),
            _ => {}
        }
    }
    None
}

fn is_named(header: &[u8], name: &[u8]) -> bool {
    header.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
}

/// The number behind the name of a header.
fn number(header: &[u8]) -> Option<u32> {
    let value = header.splitn(2, |byte| *byte == b':').nth(1)?;
    std::str::from_utf8(value.trim_ascii()).ok()?.parse().ok()
}

/// Bytes of the head of an answer that changes to HTTP/2 in clear text (RFC 7540 3.2), where all of it is there.
pub(crate) fn head_of_h2c(bytes: &[u8]) -> Option<usize> {
    status(bytes).ok().filter(|(_, status)| *status == 101)?;
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let is_h2c = |line: &[u8]| {
        let mut parts = line.splitn(2, |byte| *byte == b':').map(<[u8]>::trim_ascii);
        let mut is = |word: &[u8]| parts.next().is_some_and(|part| part.eq_ignore_ascii_case(word));
        is(b"upgrade") && is(b"h2c")
    };
    bytes.get(..end)?.split(|byte| *byte == b'\n').any(is_h2c).then_some(end.saturating_add(4))
}

fn status(bytes: &[u8]) -> IResult<&[u8], u16> {
    let digits = map_res(take(3usize), |digits: &[u8]| std::str::from_utf8(digits).unwrap_or_default().parse());
    preceded(alt((tag(&b"HTTP/1.1 "[..]), tag(&b"HTTP/1.0 "[..]))), digits).parse(bytes)
}
