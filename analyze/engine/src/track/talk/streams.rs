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
        let Turn { unit, point, tunnel, client, server, .. } = self.turn;
        let base = Turn { unit, point, tunnel, client, server, rtt_ns: self.rtt_ns, ..Turn::default() };
        let silent = |lane: &Lane| lane.sent().filter(|_| lane.payload == 0);
        let mut starts = [0, 1].map(|end: usize| silent(&hot.lanes[end]));
        starts[heard.end as usize] = Some(heard.packet.seq);
        self.streams = Some(Box::new(Streams::new(base, starts)));
        self.hear_streams(hot, heard, ended);
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
