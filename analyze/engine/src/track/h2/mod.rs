//! Streams of a connection that speaks HTTP/2 in clear text (RFC 9113): each is a turn of its own, whatever the order in
//! which the two sides speak. Seen by the first leg only.

mod reader;
mod stream;
mod table;
#[cfg(test)]
mod tests;

use super::key::End;
use super::talk::{Heard, Parting};
use super::turn::{Resent, Turn};
use crate::wire::app::http2::{self, REFUSED_STREAM, kind};
use reader::{Frame, Reader};
use stream::{Headers, Stream};
use table::Table;

/// One direction.
#[derive(Clone, Debug, Default)]
struct Side {
    reader: Reader,
    fields: Fields,
}

/// Header blocks of one direction.
#[derive(Clone, Debug, Default)]
struct Fields {
    table: Table,
    /// One that goes on in the next frame.
    block: Option<Block>,
}

/// A header block.
#[derive(Clone, Debug)]
struct Block {
    stream: u32,
    ends_stream: bool,
    /// Whether it is of a request that the server thought of itself.
    is_pushed: bool,
    bytes: Vec<u8>,
}

/// A frame, and the packet with which it was complete.
struct Word<'a> {
    frame: &'a Frame<'a>,
    heard: &'a Heard<'a>,
    by_client: bool,
}

/// Streams of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Streams {
    sides: [Side; 2],
    open: Vec<Stream>,
    /// What all turns have in common.
    base: Turn,
    /// Open streams whose request is not acknowledged.
    unacked: usize,
    /// The last stream with which the server will deal, and why there are no more.
    goaway: Option<(u32, u32)>,
}

/// Streams followed at a time; servers allow 100 to 250 as a rule.
const MAX_STREAMS: usize = 256;
/// The longest header block that is put together.
const MAX_BLOCK: usize = 32 * 1024;

impl Streams {
    /// The streams of a connection; `base` has what all turns have in common, `starts` the sequence numbers with which
    /// the ends begin to speak, by [`End`], where that is known.
    pub(crate) fn new(base: Turn, starts: [Option<u32>; 2]) -> Self {
        let sides = starts.map(|start| Side { reader: Reader::from(start), ..Side::default() });
        Self { sides, open: Vec::new(), base, unacked: 0, goaway: None }
    }

    /// The request that opened the first stream while HTTP/1 was spoken; it ends before a sequence number.
    pub(crate) fn upgrade(&mut self, turn: Turn, end: u32) {
        self.unacked += usize::from(turn.acked_ns.is_none());
        self.open.push(Stream::upgraded(turn, end));
    }

    /// Bytes held.
    pub(crate) fn held(&self) -> usize {
        let side = |side: &Side| side.reader.held() + side.fields.held();
        size_of::<Self>() + self.open.capacity() * size_of::<Stream>() + self.sides.iter().map(side).sum::<usize>()
    }

    /// Takes a packet; hands on the turns that end with it. `again` says that it was sent before, or came late.
    pub(crate) fn hear(&mut self, heard: &Heard<'_>, client: End, again: bool, ended: &mut dyn FnMut(Turn)) {
        let packet = heard.packet;
        if again {
            self.open.iter_mut().for_each(Stream::resent);
        }
        if heard.end != client && self.unacked > 0 {
            self.acknowledge(packet.ack, packet.ts_ns);
        }
        let end = heard.end as usize;
        let mut side = std::mem::take(&mut self.sides[end]);
        let Side { reader, fields } = &mut side;
        let by_client = heard.end == client;
        let mut each = |frame: Frame<'_>| self.frame(&Word { frame: &frame, heard, by_client }, fields, ended);
        reader.push(packet.seq, heard.bytes, packet.payload_len, &mut each);
        let missed = reader.has_missed();
        if missed {
            fields.forget();
        }
        if missed && !by_client {
            self.open.iter_mut().for_each(|stream| stream.is_unsure = true);
        }
        self.sides[end] = side;
    }

    /// The connection is over: what becomes of the streams that are still open.
    pub(crate) fn end(&self, own: Option<Parting>, peer: Option<Parting>, ended: &mut dyn FnMut(Turn)) {
        for stream in &self.open {
            let beyond = self.goaway.filter(|(last, _)| stream.id > *last);
            let mut turn = match (beyond, own, peer) {
                (Some((_, code)), ..) => stream.clone().refused("GOAWAY ", code),
                (None, Some(own), peer) if peer.is_none_or(|peer| own.goodbye.ns <= peer.goodbye.ns) => {
                    stream.clone().given_up(own.goodbye)
                }
                (None, _, Some(peer)) => stream.clone().left(peer),
                (None, _, None) => stream.turn.clone(),
            };
            turn.client_goodbye = own.map(|parting| parting.goodbye);
            turn.server_goodbye = peer.map(|parting| parting.goodbye);
            ended(turn);
        }
    }

    /// What the server's host has.
    fn acknowledge(&mut self, ack: u32, now_ns: i64) {
        for stream in self.open.iter_mut().filter(|stream| stream.is_acknowledged_by(ack)) {
            self.unacked = self.unacked.saturating_sub(1);
            let turn = &mut stream.turn;
            turn.acked_ns = Some(now_ns);
            let way_ns = now_ns.saturating_sub(turn.request_end_ns).max(0);
            if turn.resent == Resent::No {
                self.base.rtt_ns = Some(self.base.rtt_ns.map_or(way_ns, |rtt| rtt.min(way_ns)));
            }
            turn.rtt_ns = self.base.rtt_ns;
        }
    }

    fn frame(&mut self, word: &Word<'_>, fields: &mut Fields, ended: &mut dyn FnMut(Turn)) {
        let head = &word.frame.head;
        match head.kind {
            kind::HEADERS | kind::PUSH_PROMISE | kind::CONTINUATION => {
                let Some((block, headers)) = fields.take(word.frame) else { return };
                self.make_room(ended);
                self.headers(&block, &headers, word);
                self.say(block.stream, block.ends_stream, word, ended);
            }
            kind::DATA => self.say(head.stream, head.ends_stream(), word, ended),
            kind::RST_STREAM => self.reset(word, ended),
            kind::GOAWAY if !word.by_client => self.go_away(word.frame.body.unwrap_or_default(), ended),
            _ => {}
        }
    }

    fn reset(&mut self, word: &Word<'_>, ended: &mut dyn FnMut(Turn)) {
        let code = word.frame.body.and_then(|body| http2::word(body, 0));
        if let Some((code, stream)) = code.zip(self.close(word.frame.head.stream)) {
            ended(match code {
                _ if word.by_client => stream.cancelled(word.heard),
                REFUSED_STREAM => stream.refused("RST_STREAM ", code),
                _ => stream.failed(code, word.heard),
            });
        }
    }

    /// The server names the last stream with which it will deal (RFC 9113 6.8).
    fn go_away(&mut self, body: &[u8], ended: &mut dyn FnMut(Turn)) {
        let Some((last, code)) = http2::word(body, 0).map(|last| last & !(1 << 31)).zip(http2::word(body, 1)) else {
            return;
        };
        self.goaway = Some((last, code));
        let beyond: Vec<u32> = self.open.iter().map(|stream| stream.id).filter(|id| *id > last).collect();
        for stream in beyond.into_iter().filter_map(|id| self.close(id)) {
            ended(stream.refused("GOAWAY ", code));
        }
    }

    fn close(&mut self, id: u32) -> Option<Stream> {
        let at = self.open.iter().position(|stream| stream.id == id)?;
        let stream = self.open.swap_remove(at);
        self.unacked = self.unacked.saturating_sub(usize::from(stream.turn.acked_ns.is_none()));
        Some(stream)
    }

    fn find(&mut self, id: u32) -> Option<&mut Stream> {
        self.open.iter_mut().find(|stream| stream.id == id)
    }

    /// Where too many streams are open, the oldest is told of as it stands.
    fn make_room(&mut self, ended: &mut dyn FnMut(Turn)) {
        let oldest = self.open.iter().map(|stream| stream.id).min();
        if let Some(stream) = oldest.filter(|_| self.open.len() >= MAX_STREAMS).and_then(|id| self.close(id)) {
            ended(stream.turn);
        }
    }

    fn headers(&mut self, block: &Block, headers: &Headers, word: &Word<'_>) {
        let (id, heard) = (block.stream, word.heard);
        if !word.by_client {
            if let Some(stream) = self.find(id) {
                stream.answer(headers, heard);
            }
        } else if self.find(id).is_none() {
            self.base.number = self.base.number.saturating_add(1);
            let turn = Turn {
                identity: u64::from(word.frame.seq) << 32 | u64::from(id),
                request: heard.frame,
                asked_ns: heard.packet.ts_ns,
                request_end_ns: heard.packet.ts_ns,
                ..self.base.clone()
            };
            self.open.push(Stream::new(id, turn, headers));
            self.unacked += 1;
        }
    }

    /// One side says something on a stream, and perhaps nothing more.
    fn say(&mut self, id: u32, is_all: bool, word: &Word<'_>, ended: &mut dyn FnMut(Turn)) {
        let (len, now_ns) = (word.frame.head.len, word.heard.packet.ts_ns);
        let Some(stream) = self.find(id) else { return };
        if word.by_client {
            let acked = stream.turn.acked_ns.take_if(|_| stream.turn.answered_ns.is_none()).is_some();
            stream.ask(len, word.frame.end, now_ns, is_all);
            self.unacked += usize::from(acked);
            return;
        }
        stream.answer_bytes(len, now_ns);
        if is_all && let Some(stream) = self.close(id) {
            ended(stream.finished());
        }
    }
}

impl Fields {
    /// What a header block says, once its last frame is there; what a server pushes is only remembered.
    fn take(&mut self, frame: &Frame<'_>) -> Option<(Block, Headers)> {
        self.gather(frame)?;
        let block = self.block.take_if(|_| frame.head.ends_block())?;
        let mut headers = Headers::default();
        if self.table.read(&block.bytes, |header| headers.add(header)).is_none() {
            self.table.forget();
        }
        (!block.is_pushed).then_some((block, headers))
    }

    fn gather(&mut self, frame: &Frame<'_>) -> Option<()> {
        let head = &frame.head;
        let bytes = frame.body.and_then(|body| head.block(body)).unwrap_or_default();
        if head.kind != kind::CONTINUATION {
            let (stream, ends_stream) = (head.stream, head.ends_stream());
            let is_pushed = head.kind == kind::PUSH_PROMISE;
            self.block = Some(Block { stream, ends_stream, is_pushed, bytes: bytes.to_vec() });
            return Some(());
        }
        let begun = self.block.as_mut().filter(|block| block.stream == head.stream)?;
        begun.bytes.extend_from_slice(bytes);
        self.block.take_if(|block| block.bytes.len() > MAX_BLOCK).is_none().then_some(())
    }

    fn forget(&mut self) {
        self.table.forget();
        self.block = None;
    }

    fn held(&self) -> usize {
        self.table.held() + self.block.as_ref().map_or(0, |block| block.bytes.capacity())
    }
}
