//! One stream: a request and its answer.

use crate::track::lane::after;
use crate::track::talk::{Heard, Parting};
use crate::track::turn::{Fate, Goodbye, Resent, Turn};
use crate::wire::app::http2::{Header, error_name, grpc_status_name};
use crate::wire::app::{Protocol, Said, Text, Traits};

/// A stream whose answer is not over.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    pub(super) id: u32,
    pub(super) turn: Turn,
    /// Sequence number behind what the client said so far.
    pub(super) end: u32,
    /// Whether the client has said everything.
    has_asked: bool,
    /// How long the client waits.
    timeout_ns: Option<i64>,
    /// Whether the capture missed something that the server said meanwhile, which may have been the answer.
    pub(super) is_unsure: bool,
}

/// What a header block says.
#[derive(Clone, Debug, Default)]
pub(super) struct Headers {
    method: Text,
    path: Text,
    waits: bool,
    status: Option<u16>,
    is_grpc: bool,
    grpc_status: Option<u16>,
    timeout_ns: Option<i64>,
}

impl Headers {
    pub(super) fn add(&mut self, header: &Header) {
        match header {
            Header::Other => {}
            Header::Method(method) => self.method = method.clone(),
            Header::Path(path, waits) => (self.path, self.waits) = (path.clone(), *waits),
            Header::Status(status) => self.status = Some(*status),
            Header::Grpc => self.is_grpc = true,
            Header::GrpcStatus(status) => self.grpc_status = Some(*status),
            Header::GrpcTimeout(ns) => self.timeout_ns = Some(*ns),
        }
    }

    fn request(&self) -> Said {
        let mut text = if self.is_grpc { Text::default() } else { self.method.clone() };
        if !text.is_empty() {
            text.append(b" ");
        }
        text.append(self.path.as_str().as_bytes());
        Said { text, traits: Traits::WAITS.only_if(self.waits), ..Said::default() }
    }

    /// Whether the answer is still to come (RFC 9110 15.2).
    fn is_interim(&self) -> bool {
        self.status.is_some_and(|status| (100..200).contains(&status))
    }
}

impl Stream {
    /// A stream that the client opens.
    pub(super) fn new(id: u32, mut turn: Turn, headers: &Headers) -> Self {
        turn.protocol = if headers.is_grpc { Protocol::Grpc } else { Protocol::Http2 };
        turn.asked = headers.request();
        Self { id, turn, end: 0, has_asked: false, timeout_ns: headers.timeout_ns, is_unsure: false }
    }

    /// The request with which HTTP/1 changed to HTTP/2: the first stream, on which the client says nothing more (RFC 7540
    /// 3.2). It ends before this sequence number.
    pub(super) fn upgraded(mut turn: Turn, end: u32) -> Self {
        turn.protocol = Protocol::Http2;
        Self { id: 1, turn, end, has_asked: true, timeout_ns: None, is_unsure: false }
    }

    /// The client says something.
    pub(super) fn ask(&mut self, len: u32, end: u32, now_ns: i64, is_all: bool) {
        self.turn.request_bytes = self.turn.request_bytes.saturating_add(len);
        if self.turn.answered_ns.is_none() {
            (self.end, self.turn.request_end_ns) = (end, now_ns);
        }
        self.has_asked |= is_all;
    }

    /// Whether the server's host has everything that was said, and nobody noted that yet.
    pub(super) fn is_acknowledged_by(&self, ack: u32) -> bool {
        self.turn.acked_ns.is_none() && !after(self.end, ack)
    }

    /// The server says something in a header block.
    pub(super) fn answer(&mut self, headers: &Headers, heard: &Heard<'_>) {
        if headers.is_interim() {
            return;
        }
        self.begin(heard);
        let answered = &mut self.turn.answered;
        answered.status = answered.status.or(headers.status);
        let failed = answered.status.is_some_and(|status| status >= 400);
        answered.traits = answered.traits.and(Traits::ERROR.only_if(failed));
        if let Some(status) = headers.grpc_status.filter(|_| self.turn.protocol == Protocol::Grpc) {
            let text = Text::of(grpc_status_name(status).as_bytes());
            *answered =
                Said { text, status: Some(status), traits: Traits::ERROR.only_if(status != 0), ..Said::default() };
        }
    }

    /// The first word of the answer.
    fn begin(&mut self, heard: &Heard<'_>) {
        if self.turn.answered_ns.is_some() {
            return;
        }
        self.turn.answered_ns = Some(heard.packet.ts_ns);
        self.turn.response = Some(heard.frame);
        // Who is answered while they still ask is in a dialogue, which takes as long as it likes.
        self.turn.asked.traits = self.turn.asked.traits.and(Traits::WAITS.only_if(!self.has_asked));
    }

    pub(super) fn answer_bytes(&mut self, len: u32, now_ns: i64) {
        self.turn.response_bytes = self.turn.response_bytes.saturating_add(len);
        self.turn.response_end_ns = Some(now_ns);
    }

    /// Segments were sent again or came late.
    pub(super) fn resent(&mut self) {
        let when = if self.turn.answered_ns.is_some() { Resent::InResponse } else { Resent::Before };
        self.turn.resent = self.turn.resent.max(when);
    }

    /// The answer is over.
    pub(super) fn finished(mut self) -> Turn {
        self.turn.fate = Fate::Finished;
        self.turn
    }

    /// The server ends the stream with an error.
    pub(super) fn failed(mut self, code: u32, heard: &Heard<'_>) -> Turn {
        self.begin(heard);
        self.turn.response_end_ns = Some(heard.packet.ts_ns);
        self.turn.answered = error("RST_STREAM ", code);
        self.finished()
    }

    /// The server never began with it.
    pub(super) fn refused(mut self, by: &str, code: u32) -> Turn {
        self.turn.answered = error(by, code);
        self.turn.fate = Fate::Refused;
        self.turn
    }

    /// The server leaves.
    pub(super) fn left(mut self, peer: Parting) -> Turn {
        let asked = (self.turn.identity >> 32) as u32;
        let has_request = self.turn.acked_ns.is_some() || peer.ack.is_some_and(|ack| after(ack, asked));
        self.turn.fate = match (self.turn.answered_ns.is_some(), has_request, peer.goodbye.reset) {
            (true, ..) => Fate::Finished,
            _ if self.is_unsure => Fate::Unseen,
            (false, true, _) => Fate::Dropped,
            (false, false, true) => Fate::Forgotten,
            (false, false, false) => Fate::Crossed,
        };
        self.turn
    }

    /// The client ends the stream.
    pub(super) fn cancelled(self, heard: &Heard<'_>) -> Turn {
        let packet = heard.packet;
        self.given_up(Goodbye { ns: packet.ts_ns, frame: heard.frame, reset: true, ttl: packet.ttl })
    }

    /// The client does not want the answer any more. A call of gRPC without a deadline may take as long as it likes, and
    /// one that is given up before it is given up for another reason.
    pub(super) fn given_up(mut self, goodbye: Goodbye) -> Turn {
        if self.turn.answered_ns.is_some() {
            return self.finished();
        }
        let waited_ns = goodbye.ns.saturating_sub(self.turn.asked_ns);
        let is_over = self.timeout_ns.is_some_and(|ns| waited_ns >= ns - ns / 20);
        let waits = self.turn.protocol == Protocol::Grpc && !is_over || !self.has_asked;
        self.turn.asked.traits = self.turn.asked.traits.and(Traits::WAITS.only_if(waits));
        self.turn.client_goodbye = Some(goodbye);
        self.turn.fate = if self.is_unsure { Fate::Unseen } else { Fate::GaveUp };
        self.turn
    }
}

fn error(by: &str, code: u32) -> Said {
    let mut text = Text::of(by.as_bytes());
    text.append(error_name(code).as_bytes());
    Said { text, status: u16::try_from(code).ok(), traits: Traits::ERROR, ..Said::default() }
}
