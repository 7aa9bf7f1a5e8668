//! What most segments are: of a connection that both ends use, seen where those before were seen, in order, answering to
//! nothing that waits. Only counters change, and these are changed here in one go.
//!
//! The general way takes twice as long for these, in asking again at each step what is decided here at once. Nothing is
//! judged here: whatever is out of the ordinary is left to the general way, and for the rest a test holds both to the
//! same result.

use super::flow::{Hot, PAUSE_NS};
use super::flows::Source;
use super::key::End;
use super::lane::fingerprint;
use super::tcp::Watch;
use crate::packet::{Kind, Packet, TcpFlags};

impl Hot {
    /// Counts a segment, `gap_ns` after the one before, where nothing about it is out of the ordinary. False, and nothing
    /// done, where something is.
    #[inline]
    pub(crate) fn goes_on(
        &mut self,
        watch: Option<&mut Watch>,
        packet: &Packet,
        (end, gap_ns): (End, i64),
        source: &Source<'_>,
    ) -> bool {
        let Some(watch) = watch.filter(|_| gap_ns < PAUSE_NS && is_plain(packet)) else { return false };
        let mark = fingerprint(packet);
        let lane = &self.lanes[end as usize];
        let is_usual = self.is_usual(packet, end) && self.is_first_leg(packet, end) && self.is_same_turn(packet, end);
        if !is_usual || !lane.is_next(packet, mark) || !watch.is_calm(packet, end) {
            return false;
        }
        self.last_ns = self.last_ns.max(packet.ts_ns);
        self.lanes[end.other() as usize].was_answered();
        self.lanes[end as usize].go_on(packet, mark);
        let largest = &mut self.largest[end as usize];
        *largest = (*largest).max(packet.ip_len.min(u16::MAX.into()) as u16);
        watch.go_on(packet, end, source);
        if packet.payload_len > 0 {
            self.spoken(packet, end);
        }
        true
    }
}

/// Whether it is a segment that acknowledges and does nothing else to its connection, by its header.
#[inline]
fn is_plain(packet: &Packet) -> bool {
    const SPECIAL: u16 = TcpFlags::SYN | TcpFlags::FIN | TcpFlags::RST;
    let acknowledges = packet.flags.0 & (SPECIAL | TcpFlags::ACK) == TcpFlags::ACK;
    packet.kind == Kind::Tcp && acknowledges && !packet.bits.hides_interface()
}

#[cfg(test)]
mod tests;
