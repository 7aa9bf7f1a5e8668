//! HTTP/2 in clear text (RFC 9113), and gRPC in it: recognised by its preface, by SETTINGS as the first frame of a server,
//! or where a segment is nothing but whole frames; heads of frames, and what fields of header blocks say. Which bytes are
//! a frame, and which fields a block refers to, is known to who remembers what came before ([`crate::track`]).

use super::hpack::Short;
use super::http1;
use super::{Said, Text, Traits};

/// RFC 9113 3.4; a capture may have cut it.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Kinds of frames (RFC 9113 6).
pub(crate) mod kind {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const PRIORITY: u8 = 2;
    pub(crate) const RST_STREAM: u8 = 3;
    pub(crate) const SETTINGS: u8 = 4;
    pub(crate) const PUSH_PROMISE: u8 = 5;
    pub(crate) const PING: u8 = 6;
    pub(crate) const GOAWAY: u8 = 7;
    pub(crate) const WINDOW_UPDATE: u8 = 8;
    pub(crate) const CONTINUATION: u8 = 9;
    /// The preface, which is no frame.
    pub(crate) const PREFACE: u8 = u8::MAX;
}

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITISED: u8 = 32;

/// A setting takes six bytes, and there are seven of them.
const LONGEST_SETTINGS: u32 = 6 * 16;
/// What follows GOAWAY's two words is for people.
const LONGEST_GOAWAY: u32 = 8 + 1024;

/// The preface, or frames: from here on requests interleave.
pub(super) fn request(bytes: &[u8]) -> Option<Said> {
    let shared = bytes.len().min(PREFACE.len());
    let is_preface = shared >= b"PRI * HTTP/2.0".len() && bytes.get(..shared) == PREFACE.get(..shared);
    (is_preface || is_all_frames(bytes)).then(frames)
}

/// SETTINGS on stream 0, or frames.
pub(super) fn response(bytes: &[u8]) -> Option<Said> {
    let starts = head(bytes).is_some_and(|head| head.kind == kind::SETTINGS && head.flags == 0 && head.is_sound());
    (starts || is_all_frames(bytes)).then(frames)
}

/// Messages of gRPC are known by the fields of their streams, not by their first bytes.
pub(super) fn never(_: &[u8]) -> Option<Said> {
    None
}

fn frames() -> Said {
    Said::new(Text::of(b"frames")).with(Traits::STREAM)
}

/// Head of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Head {
    /// Bytes behind the head.
    pub(crate) len: u32,
    /// One of [`kind`].
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    /// The stream; 0 is the connection.
    pub(crate) stream: u32,
}

/// Bytes of a head.
pub(crate) const HEAD: usize = 9;

/// The head of a frame at the start of bytes. The preface stands as a frame of a kind that does not exist, because what
/// counts is where it ends.
pub(crate) fn head(bytes: &[u8]) -> Option<Head> {
    let head: &[u8; HEAD] = bytes.first_chunk()?;
    if PREFACE.starts_with(head) {
        let len = PREFACE.len().saturating_sub(HEAD) as u32;
        return Some(Head { len, kind: kind::PREFACE, flags: 0, stream: 0 });
    }
    let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = *head;
    let (len, stream) = (u32::from_be_bytes([0, l0, l1, l2]), u32::from_be_bytes([s0, s1, s2, s3]));
    Some(Head { len, kind, flags, stream })
}

impl Head {
    /// Whether it is as the standard wants it: flags that exist, a stream that a client opened where one is needed, and a
    /// length that fits. Odd numbers are the client's (RFC 9113 5.1.1); what servers push is not followed.
    pub(crate) fn is_sound(&self) -> bool {
        let flags = |known: u8| self.flags & !known == 0;
        let on_stream = self.stream % 2 == 1 && self.stream >> 31 == 0;
        let on_connection = self.stream == 0;
        match self.kind {
            kind::DATA => on_stream && flags(END_STREAM | PADDED),
            kind::HEADERS => on_stream && self.len > 0 && flags(END_STREAM | END_HEADERS | PADDED | PRIORITISED),
            kind::PRIORITY => self.stream != 0 && self.len == 5 && flags(0),
            kind::RST_STREAM => on_stream && self.len == 4 && flags(0),
            kind::SETTINGS => {
                let acknowledges = self.flags == END_STREAM && self.len == 0;
                on_connection
                    && (acknowledges || flags(0) && self.len.is_multiple_of(6) && self.len <= LONGEST_SETTINGS)
            }
            kind::PUSH_PROMISE => on_stream && self.len > 4 && flags(END_HEADERS | PADDED),
            kind::PING => on_connection && self.len == 8 && flags(END_STREAM),
            kind::GOAWAY => on_connection && (8..=LONGEST_GOAWAY).contains(&self.len) && flags(0),
            kind::WINDOW_UPDATE => self.len == 4 && flags(0) && (on_connection || on_stream),
            kind::CONTINUATION => on_stream && flags(END_HEADERS),
            kind::PREFACE => true,
            _ => false,
        }
    }

    /// Whether the sender says nothing more on the stream.
    pub(crate) fn ends_stream(&self) -> bool {
        matches!(self.kind, kind::DATA | kind::HEADERS) && self.flags & END_STREAM != 0
    }

    /// Whether the header block is complete.
    pub(crate) fn ends_block(&self) -> bool {
        self.flags & END_HEADERS != 0
    }

    /// What of a header block is in the frame's body: without padding, priority and the number of what is pushed.
    pub(crate) fn block<'a>(&self, body: &'a [u8]) -> Option<&'a [u8]> {
        let has = |flag: u8| self.kind != kind::CONTINUATION && self.flags & flag != 0;
        let (padding, body) = if has(PADDED) { body.split_first()? } else { (&0, body) };
        let skipped = match self.kind {
            kind::HEADERS if has(PRIORITISED) => 5,
            kind::PUSH_PROMISE => 4,
            _ => 0,
        };
        let end = body.len().checked_sub(usize::from(*padding))?;
        body.get(skipped..end)
    }
}

/// Whether bytes can be the start of a frame, and of those that follow it as far as they are there.
pub(crate) fn starts_frame(bytes: &[u8]) -> bool {
    walk(bytes).is_some()
}

/// Whether bytes are frames from their first to their last, and not only data.
fn is_all_frames(bytes: &[u8]) -> bool {
    walk(bytes).is_some_and(|walked| walked.all && walked.says_more_than_data)
}

struct Walked {
    all: bool,
    says_more_than_data: bool,
}

/// Steps over frames; none where one is not sound.
fn walk(bytes: &[u8]) -> Option<Walked> {
    let (mut rest, mut says_more_than_data) = (bytes, false);
    while let Some(head) = head(rest) {
        if !head.is_sound() {
            return None;
        }
        says_more_than_data |= head.kind != kind::DATA;
        match rest.get(HEAD.checked_add(head.len as usize)?..) {
            Some([]) => return Some(Walked { all: true, says_more_than_data }),
            Some(behind) => rest = behind,
            None => return Some(Walked { all: false, says_more_than_data }),
        }
    }
    (rest.len() < bytes.len()).then_some(Walked { all: false, says_more_than_data })
}

/// A word of a frame's body: the error of `RST_STREAM`; last stream and error of GOAWAY.
pub(crate) fn word(body: &[u8], nth: usize) -> Option<u32> {
    body.as_chunks::<4>().0.get(nth).map(|bytes| u32::from_be_bytes(*bytes))
}

/// Name of an error (RFC 9113 7).
pub(crate) fn error_name(code: u32) -> &'static str {
    match code {
        0 => "NO_ERROR",
        1 => "PROTOCOL_ERROR",
        2 => "INTERNAL_ERROR",
        3 => "FLOW_CONTROL_ERROR",
        4 => "SETTINGS_TIMEOUT",
        5 => "STREAM_CLOSED",
        6 => "FRAME_SIZE_ERROR",
        REFUSED_STREAM => "REFUSED_STREAM",
        8 => "CANCEL",
        9 => "COMPRESSION_ERROR",
        10 => "CONNECT_ERROR",
        11 => "ENHANCE_YOUR_CALM",
        12 => "INADEQUATE_SECURITY",
        13 => "HTTP_1_1_REQUIRED",
        _ => "unknown error",
    }
}

/// The server has not begun with the stream (RFC 9113 8.7).
pub(crate) const REFUSED_STREAM: u32 = 7;

/// Fields that say something here, by their names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Named {
    /// None of those below.
    #[default]
    Other,
    Method,
    Path,
    Status,
    ContentType,
    GrpcStatus,
    GrpcTimeout,
}

/// A field, as far as it says something here.
#[derive(Clone, Debug)]
pub(crate) enum Header {
    /// Nothing.
    Other,
    Method(Text),
    /// The path without its query, and whether it asks to be kept waiting.
    Path(Text, bool),
    Status(u16),
    /// The stream is gRPC's.
    Grpc,
    GrpcStatus(u16),
    /// How long the client waits, nanoseconds.
    GrpcTimeout(i64),
}

impl Named {
    /// The field of this name.
    pub(crate) fn of(name: &[u8]) -> Self {
        match name {
            b":method" => Self::Method,
            b":path" => Self::Path,
            b":status" => Self::Status,
            b"content-type" => Self::ContentType,
            b"grpc-status" => Self::GrpcStatus,
            b"grpc-timeout" => Self::GrpcTimeout,
            _ => Self::Other,
        }
    }

    /// What the field says with this value.
    pub(crate) fn says(self, value: &Short) -> Header {
        let text = value.bytes();
        let known = match self {
            Self::Other => None,
            Self::Method => Some(Header::Method(Text::of(text))),
            Self::Path => {
                let (path, waits) = http1::target(text, value.is_cut());
                Some(Header::Path(Text::of(path), waits))
            }
            Self::Status => number(text).map(Header::Status),
            Self::ContentType => text.starts_with(b"application/grpc").then_some(Header::Grpc),
            Self::GrpcStatus => number(text).map(Header::GrpcStatus),
            Self::GrpcTimeout => timeout_ns(text).map(Header::GrpcTimeout),
        };
        known.unwrap_or(Header::Other)
    }
}

fn number(text: &[u8]) -> Option<u16> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// At most eight digits and a unit (gRPC over HTTP/2, "Requests").
fn timeout_ns(text: &[u8]) -> Option<i64> {
    let (unit, digits) = text.split_last()?;
    let count: i64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let unit_ns = match unit {
        b'H' => 3_600_000_000_000,
        b'M' => 60_000_000_000,
        b'S' => 1_000_000_000,
        b'm' => 1_000_000,
        b'u' => 1000,
        b'n' => 1,
        _ => return None,
    };
    count.checked_mul(unit_ns)
}

/// Name of a status of gRPC.
pub(crate) fn grpc_status_name(status: u16) -> &'static str {
    match status {
        0 => "OK",
        1 => "CANCELLED",
        2 => "UNKNOWN",
        3 => "INVALID_ARGUMENT",
        4 => "DEADLINE_EXCEEDED",
        5 => "NOT_FOUND",
        6 => "ALREADY_EXISTS",
        7 => "PERMISSION_DENIED",
        8 => "RESOURCE_EXHAUSTED",
        9 => "FAILED_PRECONDITION",
        10 => "ABORTED",
        11 => "OUT_OF_RANGE",
        12 => "UNIMPLEMENTED",
        13 => "INTERNAL",
        14 => "UNAVAILABLE",
        15 => "DATA_LOSS",
        16 => "UNAUTHENTICATED",
        _ => "unknown status",
    }
}
