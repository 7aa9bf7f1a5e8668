//! Talk in streams: what HTTP/2 multiplexes is handed to who reads its frames.

use super::{Bit, Heard, Talk};
use crate::track::flow::Hot;
use crate::track::h2::Streams;
use crate::track::lane::Lane;
use crate::track::turn::Turn;
use crate::wire::app::{Protocol, Text};

impl Talk {
    /// The two speak HTTP/2: from here on each stream is a turn, and what went before, unread, was none.
    pub(super) fn open_streams(&mut self, hot: &mut Hot, heard: &Heard<'_>, ended: &mut dyn FnMut(Turn)) {
        hot.talk = hot.talk & !Bit::RESENT | Bit::OFF | Bit::STREAMS;
        let silent = |lane: &Lane| lane.sent().filter(|_| lane.payload == 0);
        let mut starts = [0, 1].map(|end: usize| silent(&hot.lanes[end]));
        starts[heard.end as usize] = Some(heard.packet.seq);
        self.streams = Some(Box::new(Streams::new(self.base(), starts)));
        self.hear_streams(hot, heard, ended);
    }

    /// The server changes from HTTP/1 to HTTP/2 (h2c): its frames follow the head of its answer, and the client's preface
    /// what it has said so far, which is the request of the first stream. The head's bytes are skipped.
    pub(super) fn upgrade(&mut self, hot: &mut Hot, heard: &Heard<'_>, skipped: usize, ended: &mut dyn FnMut(Turn)) {
        let now_ns = heard.packet.ts_ns;
        self.acknowledge(hot, now_ns, heard.end, heard.packet.ack);
        hot.talk = hot.talk & !Bit::RESENT | Bit::OFF | Bit::STREAMS;
        let asked = hot.lanes[hot.client() as usize].next_seq;
        let mut starts = [Some(asked); 2];
        starts[heard.end as usize] = Some(heard.packet.seq.wrapping_add(skipped as u32));
        let base = self.base();
        let mut streams = Streams::new(Turn { number: self.turn.number, ..base.clone() }, starts);
        if self.has_request() {
            self.close(hot, now_ns);
            streams.upgrade(std::mem::replace(&mut self.turn, base), asked);
        }
        self.streams = Some(Box::new(streams));
        self.hear_streams(hot, heard, ended);
    }

    /// What the turns of all streams have in common.
    fn base(&self) -> Turn {
        let Turn { unit, point, tunnel, client, server, .. } = self.turn;
        Turn { unit, point, tunnel, client, server, rtt_ns: self.rtt_ns, ..Turn::default() }
    }

    pub(super) fn hear_streams(&mut self, hot: &mut Hot, heard: &Heard<'_>, ended: &mut dyn FnMut(Turn)) {
        let again = hot.talk & Bit::RESENT != 0;
        hot.talk &= !Bit::RESENT;
        if let Some(streams) = &mut self.streams {
            streams.hear(heard, hot.client(), again, ended);
        }
    }

    /// Bytes held.
    pub(crate) fn held(&self) -> usize {
        // What is said in a protocol that is known, mostly.
        let texts = if self.protocol == Protocol::Unknown { 0 } else { 2 * Text::MAX };
        size_of::<Self>() + texts + self.streams.as_ref().map_or(0, |streams| streams.held())
    }
}
