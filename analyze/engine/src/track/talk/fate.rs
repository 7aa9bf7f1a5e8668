//! How a connection ended for its last turn: who said goodbye first, and what they knew then.

use super::{Bit, Heard, Talk};
use crate::packet::TcpFlags;
use crate::track::flow::Hot;
use crate::track::key::End;
use crate::track::lane::after;
use crate::track::turn::{Fate, Goodbye, Resent, Turn};
use crate::wire::app::Traits;

/// What a server still says when its client has left while it waited.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum After {
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
pub(crate) struct Parting {
    pub(crate) goodbye: Goodbye,
    /// Sequence number of the FIN.
    seq: u32,
    /// What it acknowledges.
    pub(crate) ack: Option<u32>,
}

/// A server that pauses this long before it leaves may have waited for a client that reads no more.
const STALLED_NS: i64 = 5_000_000_000;
/// A client that closes this soon after its last words does not wait for an answer.
const LAST_WORDS_NS: i64 = 2_000_000;

impl Hot {
    /// The last turns of a connection that ends.
    pub(crate) fn last_turns(&self, talk: &mut Talk, ended: &mut dyn FnMut(Turn)) {
        if let Some(streams) = &talk.streams {
            let [low, high] = talk.goodbyes;
            let (own, peer) = if self.client() == End::Low { (low, high) } else { (high, low) };
            streams.end(own, peer, ended);
            talk.streams = None;
        } else if talk.has_request() {
            talk.close(self, self.last_ns);
            talk.part_for_ever(self.client());
            ended(std::mem::take(&mut talk.turn));
        }
    }
}

impl Talk {
    /// An empty segment of the server whose sequence number is ahead of what this point saw of it: it had answered, and
    /// the answer was lost on the way here.
    pub(super) fn reveal(&mut self, hot: &Hot, heard: &Heard<'_>) {
        if hot.talk & Bit::LEFT == 0 || heard.end == hot.client() || self.after == After::LostAnswer {
            return;
        }
        let fin = u32::from(heard.packet.flags.any(TcpFlags::FIN));
        let ahead = after(heard.packet.seq.wrapping_add(fin), hot.lanes[heard.end as usize].next_seq);
        self.after = if ahead { After::LostAnswer } else { After::Silence };
    }

    pub(super) fn part(&mut self, heard: &Heard<'_>, client: End) {
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

    /// The turn was the last.
    pub(super) fn part_for_ever(&mut self, client: End) {
        self.turn.fate = self.fate(client);
        let [low, high] = self.goodbyes.map(|parting| parting.map(|parting| parting.goodbye));
        let of_client = if client == End::Low { (low, high) } else { (high, low) };
        (self.turn.client_goodbye, self.turn.server_goodbye) = of_client;
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
                (own, Some(peer)) if self.breaks_off(own, peer) => Fate::BrokenOff,
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

    /// The server left before its answer was as long as the head says, or before the last of its chunks, though the client was there and took it. Numbers
    /// of segments count, not what the capture has of them.
    fn breaks_off(&self, own: Option<Parting>, peer: Parting) -> bool {
        let turn = &self.turn;
        let sent = peer.seq.wrapping_sub(turn.identity as u32).cast_signed().max(0).cast_unsigned();
        let is_short = turn.answered.promised.is_some_and(|promised| promised > turn.response_bytes.max(sent));
        let lacks_end = self.chunks.is_some_and(|chunks| chunks.are_open(peer.seq));
        let left_first = own.is_some_and(|own| own.goodbye.ns <= peer.goodbye.ns);
        let stalled = turn.response_end_ns.is_none_or(|ns| peer.goodbye.ns.saturating_sub(ns) > STALLED_NS);
        (is_short || lacks_end)
            && !left_first
            && !stalled
            && turn.resent == Resent::No
            && !turn.asked.text.as_str().starts_with("HEAD ")
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
