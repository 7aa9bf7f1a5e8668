//! Segments in order, and acknowledgements of them, while nothing is missing, repeated or closed.

use super::Watch;
use super::sent::Segment;
use crate::packet::Packet;
use crate::track::flows::Source;
use crate::track::key::End;
use crate::track::lane::after;

impl Watch {
    /// Whether a segment that acknowledges, and whose data is the next where it has any, changes nothing here but what
    /// [`Self::go_on`] does.
    #[inline]
    pub(crate) fn is_calm(&self, packet: &Packet, end: End) -> bool {
        let (mine, other) = (&self.halves[end as usize], &self.halves[end.other() as usize]);
        let usual_header = 20 + if packet.bits.has_timestamps() { 12 } else { 0 };
        let repeats = packet.payload_len == 0 && packet.ack == other.una && other.sent.outstanding() > 0;
        let fits = packet.payload_len == 0 || !other.closed && mine.sent.has_room();
        let nothing_open = !mine.unsettled && !other.unsettled && !mine.closed;
        nothing_open && fits && !repeats && packet.l4_header_len <= usual_header
    }

    /// Takes it.
    #[inline]
    pub(crate) fn go_on(&mut self, packet: &Packet, end: End, source: &Source<'_>) {
        let (samples, (mine, other)) = (&mut self.samples[end.other() as usize], pair(&mut self.halves, end));
        if packet.payload_len > 0 {
            mine.push(Segment::of(packet, source.frame(packet), packet.payload_len));
        }
        other.asks = 0;
        if after(packet.ack, other.una) {
            other.advance(packet, samples);
        }
    }
}

/// What an end has, and what the other has.
#[inline]
pub(super) fn pair<T>(both: &mut [T; 2], end: End) -> (&mut T, &mut T) {
    let [low, high] = both;
    if end == End::Low { (low, high) } else { (high, low) }
}
