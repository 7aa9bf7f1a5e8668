//! Data of one end as one leg saw it, and its acknowledgement.

use super::rtt::{Rtt, Samples};
use super::sent::{Segment, Sent};
use super::trouble::Trouble;
use crate::packet::Packet;
use crate::track::lane::after;

/// Windows may grow unseen by this much before a segment is an outlier.
const SLACK: u32 = 1 << 18;

/// Data of one end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Half {
    pub(crate) sent: Sent,
    /// First sequence number of it.
    pub(crate) first: u32,
    /// Where what was seen of it begins.
    pub(crate) begun: u32,
    /// Highest acknowledgement of it, once data was seen.
    pub(crate) una: u32,
    /// Highest sequence number that the other end's window allows, once it announced one.
    pub(crate) edge: u32,
    /// Bytes of the longest segment that was acknowledged and sent once.
    pub(crate) delivered_len: u32,
    pub(crate) in_flight_max: u32,
    /// Packets with data.
    pub(crate) packets: u32,
    pub(crate) rtt: Rtt,
    /// When the last segment passed.
    pub(crate) last_ns: i64,
    /// Window scale of the other end's announcements.
    pub(crate) scale: Option<u8>,
    pub(crate) edge_known: bool,
    /// Keep-alive probes since the other end was heard last.
    pub(crate) asks: u32,
    /// Whether this end's own window is closed.
    pub(crate) closed: bool,
    pub(crate) trouble: Option<Box<Trouble>>,
    /// Whether an acknowledgement may change anything of `trouble`.
    pub(crate) unsettled: bool,
}

impl Half {
    /// A segment with data that goes on where the last ended.
    #[inline]
    pub(crate) fn push(&mut self, segment: Segment) {
        let in_flight = segment.end.wrapping_sub(self.una).wrapping_sub(segment.fin.into());
        // Half of the number space is a jump, not data in flight.
        if in_flight < 1 << 31 {
            self.in_flight_max = self.in_flight_max.max(in_flight);
        }
        if self.packets == 0 {
            self.begun = segment.start();
        }
        self.packets += 1;
        self.last_ns = segment.ns;
        self.sent.push(segment);
    }

    /// An acknowledgement of something new.
    #[inline]
    pub(crate) fn advance(&mut self, packet: &Packet, samples: &mut Samples) {
        self.una = packet.ack;
        let done = self.sent.acknowledge(packet.ack);
        self.delivered_len = self.delivered_len.max(done.longest);
        if done.segments > 0 && !done.again {
            // Where data comes with it, it may have waited for the data.
            let alone = done.segments == 1;
            if !alone || packet.payload_len == 0 {
                self.rtt.sample(samples, packet.ts_ns - done.ns, alone);
            }
        }
        self.open_to(packet);
    }

    #[inline]
    pub(crate) fn open_to(&mut self, packet: &Packet) {
        let Some(scale) = self.scale else { return };
        let edge = packet.ack.wrapping_add(u32::from(packet.window) << scale);
        if !self.edge_known || after(edge, self.edge) {
            (self.edge, self.edge_known) = (edge, true);
        }
    }

    /// Whether a segment of this end cannot be data of the connection: far outside of what the other end allows. Only
    /// said where both directions and the window scale are known. `next` is where data is to go on.
    pub(crate) fn is_out_of_window(&self, seq: u32, next: u32) -> bool {
        if !self.edge_known || self.scale.is_none() {
            return false;
        }
        let edge = if after(next, self.edge) { next } else { self.edge };
        let window = edge.wrapping_sub(self.una).clamp(SLACK, 1 << 30);
        after(seq, edge.wrapping_add(window)) || after(self.una.wrapping_sub(window), seq)
    }

    pub(crate) fn trouble(&mut self) -> &mut Trouble {
        self.unsettled = true;
        self.trouble.get_or_insert_default()
    }

    /// Whether an acknowledgement has shown data that has not come.
    #[inline]
    pub(crate) fn is_behind(&self) -> bool {
        self.unsettled && self.trouble.as_ref().is_some_and(|trouble| trouble.ahead.is_some())
    }

    /// Bytes held beside its own.
    pub(crate) fn held(&self) -> usize {
        self.sent.held() + self.trouble.as_ref().map_or(0, |trouble| trouble.held())
    }
}
