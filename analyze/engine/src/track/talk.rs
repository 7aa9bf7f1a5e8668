//! Requests and responses of a connection, told apart by the direction of payload, whatever the protocol. Only changes
//! of direction, the acknowledgement of a request and the end of the connection do work; packets that go on as before
//! note the time in the hot half. Seen by the first leg only.

use super::event::FrameId;
use super::flow::{Cold, Hot, Seen};
use super::h2::Streams;
use super::key::End;
use super::lane::{Taken, after};
use super::reuse;
use super::turn::{Resent, Turn};
use crate::packet::{Packet, TcpFlags};
use crate::wire::app::{Part, Protocol, Said, Text, Traits, http1};

mod chunks;
mod fate;
mod label;
mod streams;

use chunks::Chunks;
use fate::After;
pub(crate) use fate::Parting;

/// Bits of `Hot::talk`.
pub(crate) struct Bit;

impl Bit {
    /// Which [`End`] asks.
    const CLIENT: u8 = 1;
    /// Which [`End`] spoke last.
    const SPEAKER: u8 = 2;
    /// Somebody spoke.
    const SPOKE: u8 = 4;
    /// The request is not acknowledged yet.
    const AWAITS: u8 = 8;
    /// Segments of this turn were sent again or came late.
    const RESENT: u8 = 16;
    /// The two talk as they please: turns by direction mean nothing.
    const OFF: u8 = 32;
    /// The client left while it waited: what the server still sends tells whether it had answered.
    const LEFT: u8 = 64;
    /// The two talk in streams that are readable, and `OFF` is set too; or the server answers in chunks, and it is not.
    /// Either way the talk hears all of it.
    const STREAMS: u8 = 128;

    fn spoken_by(end: End) -> u8 {
        Self::SPOKE | (end as u8 * Self::SPEAKER)
    }
}

/// What only changes of direction touch.
#[derive(Clone, Debug)]
pub(crate) struct Talk {
    turn: Turn,
    /// Where each end's data ended when the other began to speak, by [`End`].
    position: [u32; 2],
    protocol: Protocol,
    /// Messages that no protocol was known by, one after another.
    unknown: u8,
    /// Server name that a `ClientHello` asked for.
    host: Text,
    /// Whether what is encrypted may carry several requests at a time.
    interleaves: bool,
    rtt_ns: Option<i64>,
    /// First FIN or RST of each end.
    goodbyes: [Option<Parting>; 2],
    /// Whether the client reset what came after its own FIN.
    refused_answer: bool,
    /// What the server still said when the client had left.
    after: After,
    /// How far an answer in chunks was heard.
    chunks: Option<Chunks>,
    /// Requests and responses in streams of their own (HTTP/2).
    streams: Option<Box<Streams>>,
}

/// Places of talks that ended, to be used again.
pub(crate) type Spare = reuse::Spare<Talk, 64>;

/// A packet on its way through the talk.
pub(crate) struct Heard<'a> {
    pub(crate) packet: &'a Packet,
    pub(crate) end: End,
    pub(crate) frame: FrameId,
    /// Captured payload.
    pub(crate) bytes: &'a [u8],
    pub(crate) unit: u32,
}

/// Times in `Hot::said` count this many bits of nanoseconds, so that they wrap after 73 minutes; connections that are
/// silent for an hour are over.
const TICK: u32 = 10;

fn tick(ns: i64) -> u32 {
    (ns >> TICK) as u32
}

impl Hot {
    /// Takes note of a packet that the first leg saw for the first time; says whether the talk has to hear it.
    #[inline]
    pub(crate) fn hears(&mut self, packet: &Packet, end: End, taken: Taken) -> bool {
        if taken == Taken::Copy || self.talk & Bit::OFF != 0 || !self.key.is_tcp() {
            return self.talk & Bit::STREAMS != 0 && self.hears_streams(packet, end, taken);
        }
        let (turns, ends) = (self.turns(packet, end), packet.flags.any(TcpFlags::FIN | TcpFlags::RST));
        if packet.payload_len == 0 {
            let all = self.talk & Bit::LEFT != 0 || packet.ack == self.lanes[end.other() as usize].next_seq;
            return ends || turns && all;
        }
        self.note_resent(packet, end, taken);
        if ends || turns || self.talk & Bit::STREAMS != 0 {
            return true;
        }
        self.spoken(packet, end);
        false
    }

    /// Whether the packet may change who speaks, so that the talk has to hear it.
    #[inline]
    pub(crate) fn turns(&self, packet: &Packet, end: End) -> bool {
        let spoken = self.talk & (Bit::SPEAKER | Bit::SPOKE) != Bit::spoken_by(end);
        if packet.payload_len > 0 { spoken } else { self.talk & (Bit::AWAITS | Bit::LEFT) != 0 && self.client() != end }
    }

    /// Whether the talk need not hear a segment in order, neither the first nor the last of its end.
    #[inline]
    pub(super) fn is_same_turn(&self, packet: &Packet, end: End) -> bool {
        self.talk & (Bit::OFF | Bit::STREAMS) == 0 && !self.turns(packet, end)
    }

    /// Notes whether a segment with payload was sent before, or comes late.
    #[inline]
    fn note_resent(&mut self, packet: &Packet, end: End, taken: Taken) {
        let end_seq = packet.seq.wrapping_add(packet.payload_len);
        let late =
            after(self.lanes[end as usize].next_seq, end_seq) && !packet.flags.any(TcpFlags::FIN | TcpFlags::RST);
        if taken.is_again() || late {
            self.talk |= Bit::RESENT;
        }
    }

    /// Streams hear everything but copies.
    #[cold]
    fn hears_streams(&mut self, packet: &Packet, end: End, taken: Taken) -> bool {
        if packet.payload_len > 0 {
            self.note_resent(packet, end, taken);
        }
        taken != Taken::Copy
    }

    /// The end spoke.
    #[inline]
    pub(super) fn spoken(&mut self, packet: &Packet, end: End) {
        self.said = tick(packet.ts_ns);
        if self.client() == end {
            self.talk |= Bit::AWAITS;
        }
    }

    #[inline]
    fn client(&self) -> End {
        if self.talk & Bit::CLIENT == 0 { End::Low } else { End::High }
    }

    fn speaker(&self) -> Option<End> {
        let end = if self.talk & Bit::SPEAKER == 0 { End::Low } else { End::High };
        (self.talk & Bit::SPOKE != 0).then_some(end)
    }

    /// When somebody spoke last, given the time now.
    fn said_ns(&self, now_ns: i64) -> i64 {
        let ago = tick(now_ns).wrapping_sub(self.said);
        if ago > u32::MAX / 2 { now_ns } else { now_ns - (i64::from(ago) << TICK) }
    }

    /// Who asks: who began, where that was seen; else the end with the port that clients are given (above 32767 by
    /// Linux), where the other one's is not.
    fn guess_client(&self, cold: &Cold) -> End {
        let (from, to) = (self.key.endpoint(cold.orig).port, self.key.endpoint(cold.orig.other()).port);
        let greeted = (self.seen[0] | self.seen[1]) & (Seen::SYN | Seen::SYN_ACK) != 0;
        let is_answer = !greeted && from < EPHEMERAL && to >= EPHEMERAL;
        if is_answer { cold.orig.other() } else { cold.orig }
    }

    /// Hears a packet; hands on the turns that it ends.
    pub(crate) fn hear(
        &mut self,
        cold: &Cold,
        talk: &mut Option<Box<Talk>>,
        spare: &mut Spare,
        heard: &Heard<'_>,
        ended: &mut dyn FnMut(Turn),
    ) {
        if talk.is_none() {
            if heard.packet.payload_len == 0 {
                return;
            }
            let client = self.guess_client(cold);
            self.talk |= client as u8 * Bit::CLIENT;
            *talk = Some(spare.boxed(Talk::new(self, cold, heard.unit)));
        }
        let Some(talk) = talk.as_mut() else { return };
        if talk.streams.is_some() {
            talk.hear_streams(self, heard, ended);
        } else if heard.packet.payload_len == 0 {
            talk.acknowledge(self, heard.packet.ts_ns, heard.end, heard.packet.ack);
            talk.reveal(self, heard);
        } else if self.speaker() == Some(heard.end) {
            self.spoken(heard.packet, heard.end);
            talk.go_on(self, heard);
        } else if talk.is_new(self, heard) {
            talk.turn(self, heard, ended);
            self.talk = self.talk & !Bit::SPEAKER | Bit::spoken_by(heard.end);
            self.spoken(heard.packet, heard.end);
        }
        if heard.packet.flags.any(TcpFlags::FIN | TcpFlags::RST) {
            talk.part(heard, self.client());
            if heard.end == self.client() && self.speaker() == Some(heard.end) {
                self.talk |= Bit::LEFT;
            }
        }
    }
}

/// Linux gives clients ports from here on (`ip_local_port_range`).
const EPHEMERAL: u16 = 32768;
impl Talk {
    fn new(hot: &Hot, cold: &Cold, unit: u32) -> Self {
        let is_orig = hot.client() == cold.orig;
        let (client, server) = (hot.key.endpoint(hot.client()), hot.key.endpoint(hot.client().other()));
        let asked_again = cold.syns().as_slice().len() > 1;
        let rtt_ns = cold.handshake.syn_ns.until(cold.handshake.syn_ack_ns).filter(|_| is_orig && !asked_again);
        Self {
            turn: Turn { unit, client, server, point: hot.point, tunnel: hot.tunnel, ..Turn::default() },
            position: [0, 1].map(|end: usize| hot.lanes[end].next_seq),
            protocol: Protocol::Unknown,
            unknown: 0,
            host: Text::default(),
            interleaves: false,
            rtt_ns,
            goodbyes: [None; 2],
            refused_answer: false,
            after: After::default(),
            chunks: None,
            streams: None,
        }
    }

    /// Whether `turn` has a request.
    fn has_request(&self) -> bool {
        self.turn.number > 0
    }

    /// Whether an end has more to say than when it was interrupted: repetitions and probes are no new words, nor are they
    /// after its FIN, which has a sequence number of its own.
    fn is_new(&self, hot: &Hot, heard: &Heard<'_>) -> bool {
        let said_to = heard.packet.seq.wrapping_add(heard.packet.payload_len);
        hot.speaker().is_none() || after(said_to, self.position[heard.end as usize])
    }

    /// The direction of payload changes.
    fn turn(&mut self, hot: &mut Hot, heard: &Heard<'_>, ended: &mut dyn FnMut(Turn)) {
        let other = heard.end.other() as usize;
        let part = if heard.end == hot.client() { Part::Client } else { Part::Server };
        let said = self.label(part, heard.bytes);
        if self.protocol == Protocol::Http2 {
            return self.open_streams(hot, heard, ended);
        }
        let switches = part == Part::Server && said.as_ref().is_some_and(|said| said.status == Some(101));
        if switches && let Some(head) = http1::head_of_h2c(heard.bytes) {
            return self.upgrade(hot, heard, head, ended);
        }
        // Of an end that has said nothing yet where the capture begins, this one says where it will go on.
        self.position[other] = hot.lanes[other].sent().unwrap_or(heard.packet.ack);
        let said = said.unwrap_or_default();
        if said.traits.has(Traits::STREAM) {
            hot.talk |= Bit::OFF;
        }
        match part {
            Part::Client => self.ask(hot, heard, said).into_iter().for_each(ended),
            Part::Server => self.answer(hot, heard, said),
        }
    }

    fn ask(&mut self, hot: &mut Hot, heard: &Heard<'_>, said: Said) -> Option<Turn> {
        if self.has_request() && self.turn.answered.traits.has(Traits::INTERIM) {
            (self.turn.answered_ns, self.turn.response, self.turn.acked_ns) = (None, None, None);
            self.turn.answered = Said::default();
            return None;
        }
        let now_ns = heard.packet.ts_ns;
        let is_first = !self.has_request();
        self.close_chunks(hot);
        if !is_first {
            self.close(hot, now_ns);
        }
        let answered_ns = (hot.talk & Bit::SPOKE != 0).then(|| hot.said_ns(now_ns));
        hot.talk &= !Bit::RESENT;
        let Turn { unit, point, tunnel, client, server, number, .. } = self.turn;
        let greeted = self.turn.asked.traits.has(Traits::HELLO) && self.turn.answered.traits.has(Traits::HELLO);
        let restarts = said.traits.has(Traits::RESTARTS);
        let next = Turn {
            unit,
            point,
            tunnel,
            client,
            server,
            number: number.saturating_add(1),
            identity: u64::from(heard.packet.seq) << 32 | u64::from(heard.packet.ack),
            request: heard.frame,
            asked_ns: now_ns,
            request_end_ns: now_ns,
            idle_ns: answered_ns.map(|ns| now_ns.saturating_sub(ns).max(0)),
            asked: said,
            protocol: self.protocol,
            host: self.host.clone(),
            greeted,
            ..Turn::default()
        };
        if restarts {
            self.protocol = Protocol::Unknown;
        }
        let ended = std::mem::replace(&mut self.turn, next);
        (!is_first).then_some(ended)
    }

    fn answer(&mut self, hot: &mut Hot, heard: &Heard<'_>, said: Said) {
        if !self.has_request() || self.turn.answered_ns.is_some() {
            return;
        }
        let now_ns = heard.packet.ts_ns;
        self.end_request(hot, now_ns);
        self.acknowledge(hot, now_ns, heard.end, heard.packet.ack);
        self.turn.answered_ns = Some(now_ns);
        self.turn.response = Some(heard.frame);
        self.turn.resent = if hot.talk & Bit::RESENT == 0 { Resent::No } else { Resent::Before };
        if said.traits.has(Traits::CHUNKS) {
            self.open_chunks(hot, heard);
        }
        self.turn.answered = said;
        if self.turn.protocol == Protocol::Unknown {
            self.turn.protocol = self.protocol;
        }
    }

    /// The request ended with the last word so far.
    fn end_request(&mut self, hot: &Hot, now_ns: i64) {
        if hot.speaker() == Some(hot.client()) {
            self.turn.request_end_ns = hot.said_ns(now_ns).max(self.turn.asked_ns);
        }
    }

    fn acknowledge(&mut self, hot: &mut Hot, now_ns: i64, end: End, ack: u32) {
        let awaited = hot.talk & Bit::AWAITS != 0 && self.has_request() && end != hot.client();
        if !awaited || ack != hot.lanes[end.other() as usize].next_seq {
            return;
        }
        hot.talk &= !Bit::AWAITS;
        self.end_request(hot, now_ns);
        self.turn.acked_ns = Some(now_ns);
        if hot.talk & Bit::RESENT == 0 {
            let way_ns = now_ns.saturating_sub(self.turn.request_end_ns).max(0);
            self.rtt_ns = Some(self.rtt_ns.map_or(way_ns, |rtt| rtt.min(way_ns)));
        }
    }

    /// Completes the turn, when the next begins or the connection ends.
    fn close(&mut self, hot: &Hot, now_ns: i64) {
        let turn = &mut self.turn;
        let (client, server) = (hot.client() as usize, hot.client().other() as usize);
        let answered = turn.answered_ns.is_some();
        let is_last = hot.speaker() == Some(hot.client());
        if answered && !is_last {
            turn.response_end_ns = Some(hot.said_ns(now_ns).max(turn.answered_ns.unwrap_or_default()));
        } else if is_last {
            turn.request_end_ns = hot.said_ns(now_ns).max(turn.asked_ns);
        }
        let (seq, ack) = ((turn.identity >> 32) as u32, turn.identity as u32);
        let asked_to = if answered { self.position[client] } else { hot.lanes[client].next_seq };
        let fin = |end: usize| u32::from(self.goodbyes[end].is_some_and(|parting| !parting.goodbye.reset));
        turn.request_bytes = asked_to.wrapping_sub(seq).saturating_sub(if answered { 0 } else { fin(client) });
        // Numbers of another connection that took the ports over are not followed: its FIN ends nothing that was counted.
        let answer = hot.lanes[server].next_seq.wrapping_sub(ack).saturating_sub(fin(server));
        turn.response_bytes = if answered { answer } else { 0 };
        if hot.talk & Bit::RESENT != 0 {
            turn.resent = turn.resent.max(if answered { Resent::InResponse } else { Resent::Before });
        }
        (turn.rtt_ns, turn.interleaves) = (self.rtt_ns, self.interleaves);
    }
}

#[cfg(test)]
mod tests;
