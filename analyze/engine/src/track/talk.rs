//! Requests and responses of a connection, told apart by the direction of payload, whatever the protocol. Only changes
//! of direction, the acknowledgement of a request and the end of the connection do work; packets that go on as before
//! note the time in the hot half. Seen by the first leg only.

use super::end::between;
use super::endpoint::Endpoint;
use super::event::FrameId;
use super::flow::{Cold, Hot, Seen};
use super::key::End;
use super::lane::{Taken, after};
use super::turn::{Fate, Goodbye, Resent, Turn};
use crate::packet::{Packet, TcpFlags};
use crate::wire::app::{self, Part, Protocol, Said, Text, Traits};

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
    /// The two talk as they please: turns mean nothing.
    const OFF: u8 = 32;
    /// The client left while it waited: what the server still sends tells whether it had answered.
    const LEFT: u8 = 64;

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
}

/// What a server still says when its client has left while it waited.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum After {
    /// Nothing so far.
    #[default]
    Nothing,
    /// It knows, and had not answered.
    Silence,
    /// It had answered, but not so that this point saw it.
    LostAnswer,
}

/// A FIN or RST.
#[derive(Clone, Copy, Debug)]
struct Parting {
    goodbye: Goodbye,
    /// Sequence number of the FIN.
    seq: u32,
    /// What it acknowledges.
    ack: Option<u32>,
}

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
            return false;
        }
        let speaks = Bit::spoken_by(end);
        let ends = packet.flags.any(TcpFlags::FIN | TcpFlags::RST);
        if packet.payload_len == 0 {
            let awaited = self.talk & (Bit::AWAITS | Bit::LEFT) != 0 && self.client() != end;
            let all = self.talk & Bit::LEFT != 0 || packet.ack == self.lanes[end.other() as usize].next_seq;
            return ends || awaited && all;
        }
        let end_seq = packet.seq.wrapping_add(packet.payload_len);
        if taken.is_again() || after(self.lanes[end as usize].next_seq, end_seq) && !ends {
            self.talk |= Bit::RESENT;
        }
        if ends || self.talk & (Bit::SPEAKER | Bit::SPOKE) != speaks {
            return true;
        }
        self.spoken(packet, end);
        false
    }

    /// The end spoke.
    #[inline]
    fn spoken(&mut self, packet: &Packet, end: End) {
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
        let (from, to) = (cold.src_port, cold.dst_port);
        let greeted = (self.seen[0] | self.seen[1]) & (Seen::SYN | Seen::SYN_ACK) != 0;
        let is_answer = !greeted && from < EPHEMERAL && to >= EPHEMERAL;
        if is_answer { cold.orig.other() } else { cold.orig }
    }

    /// Hears a packet; gives the turn that it ends.
    pub(crate) fn hear(&mut self, cold: &mut Cold, heard: &Heard<'_>) -> Option<Box<Turn>> {
        if cold.talk.is_none() {
            if heard.packet.payload_len == 0 {
                return None;
            }
            let client = self.guess_client(cold);
            self.talk |= client as u8 * Bit::CLIENT;
            cold.talk = Some(Box::new(Talk::new(self, cold, heard.unit)));
        }
        let talk = cold.talk.as_mut()?;
        let mut ended = None;
        if heard.packet.payload_len == 0 {
            talk.acknowledge(self, heard.packet.ts_ns, heard.end, heard.packet.ack);
            talk.reveal(self, heard);
        } else if self.speaker() == Some(heard.end) {
            self.spoken(heard.packet, heard.end);
        } else if talk.is_new(self, heard.end) {
            ended = talk.turn(self, heard);
            self.talk = self.talk & !Bit::SPEAKER | Bit::spoken_by(heard.end);
            self.spoken(heard.packet, heard.end);
        }
        if heard.packet.flags.any(TcpFlags::FIN | TcpFlags::RST) {
            talk.part(heard, self.client());
            if heard.end == self.client() && self.speaker() == Some(heard.end) {
                self.talk |= Bit::LEFT;
            }
        }
        ended
    }

    /// The last turn of a connection that ends.
    pub(crate) fn last_turn(&self, cold: &Cold) -> Option<Box<Turn>> {
        let talk = cold.talk.as_ref().filter(|talk| talk.has_request())?;
        let mut turn = talk.closed(self, self.last_ns);
        turn.fate = talk.fate(self.client());
        let goodbye = |end: End| talk.goodbyes[end as usize].map(|parting| parting.goodbye);
        (turn.client_goodbye, turn.server_goodbye) = (goodbye(self.client()), goodbye(self.client().other()));
        Some(turn)
    }
}

/// Linux gives clients ports from here on (`ip_local_port_range`).
const EPHEMERAL: u16 = 32768;
/// A client that closes this soon after its last words does not wait for an answer.
const LAST_WORDS_NS: i64 = 2_000_000;

impl Talk {
    fn new(hot: &Hot, cold: &Cold, unit: u32) -> Self {
        let (from, to) =
            (Endpoint { addr: cold.src, port: cold.src_port }, Endpoint { addr: cold.dst, port: cold.dst_port });
        let is_orig = hot.client() == cold.orig;
        let (client, server) = if is_orig { (from, to) } else { (to, from) };
        let asked_again = cold.syns.as_slice().len() > 1;
        let rtt_ns = between(cold.handshake.syn_ns, cold.handshake.syn_ack_ns).filter(|_| is_orig && !asked_again);
        Self {
            turn: Turn { unit, client, server, point: hot.point, tunnel: hot.tunnel, ..Turn::default() },
            position: [0, 1].map(|end: usize| hot.lanes[end].next_seq),
            protocol: Protocol::Unknown,
            host: Text::default(),
            interleaves: false,
            rtt_ns,
            goodbyes: [None; 2],
            refused_answer: false,
            after: After::default(),
        }
    }

    /// Whether `turn` has a request.
    fn has_request(&self) -> bool {
        self.turn.number > 0
    }

    /// Whether an end has more to say than when it was interrupted: repetitions and probes are no new words.
    fn is_new(&self, hot: &Hot, end: End) -> bool {
        hot.speaker().is_none() || after(hot.lanes[end as usize].next_seq, self.position[end as usize])
    }

    /// The direction of payload changes.
    fn turn(&mut self, hot: &mut Hot, heard: &Heard<'_>) -> Option<Box<Turn>> {
        let other = heard.end.other() as usize;
        let part = if heard.end == hot.client() { Part::Client } else { Part::Server };
        let said = self.label(part, heard.bytes);
        self.position[other] = hot.lanes[other].next_seq;
        if said.is_some_and(|said| said.traits.has(Traits::STREAM)) {
            hot.talk |= Bit::OFF;
        }
        match part {
            Part::Client => self.ask(hot, heard, said.unwrap_or_default()),
            Part::Server => {
                self.answer(hot, heard, said.unwrap_or_default());
                None
            }
        }
    }

    fn label(&mut self, part: Part, bytes: &[u8]) -> Option<Said> {
        let (protocol, said) = app::read(self.protocol, part, bytes)?;
        if protocol == Protocol::Tls {
            self.greet(part, &said);
        }
        self.protocol = protocol;
        Some(said)
    }

    /// What hellos of TLS tell about what follows; where they were not seen, nothing is known.
    fn greet(&mut self, part: Part, said: &Said) {
        let hello = said.traits.has(Traits::HELLO);
        match part {
            Part::Client if hello => {
                self.host = said.text;
                self.interleaves = said.traits.has(Traits::INTERLEAVES);
            }
            Part::Server if hello && said.traits.has(Traits::SETTLED) => {
                self.interleaves = said.traits.has(Traits::INTERLEAVES);
            }
            _ => self.interleaves |= self.protocol == Protocol::Unknown,
        }
    }

    fn ask(&mut self, hot: &mut Hot, heard: &Heard<'_>, said: Said) -> Option<Box<Turn>> {
        if self.has_request() && self.turn.answered.traits.has(Traits::INTERIM) {
            (self.turn.answered_ns, self.turn.response, self.turn.acked_ns) = (None, None, None);
            self.turn.answered = Said::default();
            return None;
        }
        let now_ns = heard.packet.ts_ns;
        let ended = self.has_request().then(|| self.closed(hot, now_ns));
        let answered_ns = (hot.talk & Bit::SPOKE != 0).then(|| hot.said_ns(now_ns));
        hot.talk &= !Bit::RESENT;
        let Turn { unit, point, tunnel, client, server, number, .. } = self.turn;
        let greeted = self.turn.asked.traits.has(Traits::HELLO) && self.turn.answered.traits.has(Traits::HELLO);
        self.turn = Turn {
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
            host: self.host,
            greeted,
            ..Turn::default()
        };
        if said.traits.has(Traits::RESTARTS) {
            self.protocol = Protocol::Unknown;
        }
        ended
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

    /// An empty segment of the server whose sequence number is ahead of what this point saw of it: it had answered, and
    /// the answer was lost on the way here.
    fn reveal(&mut self, hot: &Hot, heard: &Heard<'_>) {
        if hot.talk & Bit::LEFT == 0 || heard.end == hot.client() || self.after == After::LostAnswer {
            return;
        }
        let fin = u32::from(heard.packet.flags.any(TcpFlags::FIN));
        let ahead = after(heard.packet.seq.wrapping_add(fin), hot.lanes[heard.end as usize].next_seq);
        self.after = if ahead { After::LostAnswer } else { After::Silence };
    }

    fn part(&mut self, heard: &Heard<'_>, client: End) {
        let packet = heard.packet;
        let reset = packet.flags.any(TcpFlags::RST);
        let known = &mut self.goodbyes[heard.end as usize];
        if known.is_some() {
            self.refused_answer |= reset && heard.end == client;
            return;
        }
        *known = Some(Parting {
            goodbye: Goodbye { ns: packet.ts_ns, frame: heard.frame, reset, ttl: packet.ttl },
            seq: packet.seq.wrapping_add(packet.payload_len),
            ack: packet.flags.any(TcpFlags::ACK).then_some(packet.ack),
        });
    }

    /// The turn, as it stands when the next begins or the connection ends.
    fn closed(&self, hot: &Hot, now_ns: i64) -> Box<Turn> {
        let mut turn = Box::new(self.turn.clone());
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
        turn.response_bytes = if answered { hot.lanes[server].next_seq.wrapping_sub(ack) - fin(server) } else { 0 };
        if hot.talk & Bit::RESENT != 0 {
            turn.resent = turn.resent.max(if answered { Resent::InResponse } else { Resent::Before });
        }
        (turn.rtt_ns, turn.interleaves) = (self.rtt_ns, self.interleaves);
        turn
    }

    fn fate(&self, client: End) -> Fate {
        let (own, peer) = (self.goodbyes[client as usize], self.goodbyes[client.other() as usize]);
        if self.turn.asked.traits.has(Traits::GOODBYE) {
            return Fate::Finished;
        }
        if let Some(answered_ns) = self.turn.answered_ns {
            let closed_first = own.is_some_and(|own| own.goodbye.ns < answered_ns);
            return match (own, peer) {
                _ if closed_first && self.refused_answer => Fate::GaveUp,
                (None, None) => Fate::GoesOn,
                _ => Fate::Finished,
            };
        }
        match (own, peer) {
            _ if self.after == After::LostAnswer => Fate::Unseen,
            (_, Some(peer)) if after(peer.seq, self.position[client.other() as usize]) => Fate::Unseen,
            (None, None) => Fate::GoesOn,
            (Some(own), None) => self.left(own),
            (Some(own), Some(peer)) if own.goodbye.ns <= peer.goodbye.ns => self.left(own),
            (own, Some(peer)) => self.abandoned(own, peer),
        }
    }

    /// The client left without an answer.
    fn left(&self, own: Parting) -> Fate {
        match self.after {
            _ if self.are_last_words(own) => Fate::Finished,
            // Only what the server says next tells whether it had answered.
            After::Nothing if !own.goodbye.reset => Fate::GoesOn,
            _ => Fate::GaveUp,
        }
    }

    fn are_last_words(&self, own: Parting) -> bool {
        own.goodbye.ns.saturating_sub(self.turn.request_end_ns) < LAST_WORDS_NS
    }

    /// The server left without an answer.
    fn abandoned(&self, own: Option<Parting>, peer: Parting) -> Fate {
        let (asked, knew) = ((self.turn.identity >> 32) as u32, self.turn.identity as u32);
        let has_request = peer.ack.is_some_and(|ack| after(ack, asked)) || self.turn.acked_ns.is_some();
        match (peer.goodbye.reset, has_request) {
            (_, true) => Fate::Dropped,
            (true, false) => Fate::Forgotten,
            (false, false) if after(knew, peer.seq) && own.is_some_and(|own| self.are_last_words(own)) => {
                Fate::Finished
            }
            (false, false) if after(knew, peer.seq) => Fate::Stale,
            (false, false) => Fate::Crossed,
        }
    }
}

#[cfg(test)]
mod tests;
