//! One direction of a conversation: what tshark remembers of it, and the rules that look only at it and its peer.

use super::flags::Flags;
use super::segment::Segment;
use super::unacked::Unacked;
use crate::packet::TcpFlags;
use crate::track::lane::after;

/// What is known of a direction's window scale.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Scale {
    /// No SYN was seen.
    #[default]
    Unknown,
    /// A SYN came without the option.
    Unused,
    /// Bits to shift.
    Shift(u8),
}

/// State of one direction. Sequence numbers of 0 stand for "not known yet", as they do in tshark.
#[derive(Clone, Debug, Default)]
pub(super) struct Side {
    /// Initial sequence number, or one before the first one seen or acknowledged.
    pub(super) base: Option<u32>,
    /// End of the highest segment.
    pub(super) next: u32,
    next_ns: i64,
    /// What the peer may acknowledge: all before it was seen without a gap, or was found missing before.
    pub(super) ackable: u32,
    last_ack: u32,
    last_ack_ns: i64,
    window: Option<u16>,
    pub(super) scale: Scale,
    /// Whether its last SYN was followed by no acknowledgement yet, so that its window is not scaled.
    pub(super) is_first_ack: bool,
    /// Duplicate acknowledgements in a row. `u32::MAX` stands for "one acknowledged what was not seen", and since tshark
    /// compares without sign, that is many.
    dup_acks: u32,
    /// Flags of its last segment.
    last_flags: Flags,
    pub(super) unacked: Unacked,
}

const AFTER_UNSEEN: u32 = u32::MAX;
/// Duplicate acknowledgements that make a retransmission a fast one: two, as one may be missing in the capture.
const FAST_DUP_ACKS: u32 = 2;
const FAST_NS: u64 = 20_000_000;
/// A late segment is out of order and no retransmission within this time where the round trip is not known.
const OUT_OF_ORDER_NS: u64 = 3_000_000;

impl Side {
    /// Learns where both directions begin.
    pub(super) fn begin(&mut self, peer: &mut Self, segment: &Segment) {
        let is_syn = segment.flags.any(TcpFlags::SYN);
        self.base.get_or_insert(if is_syn { segment.seq } else { segment.seq.wrapping_sub(1) });
        if segment.flags.any(TcpFlags::ACK) {
            peer.base.get_or_insert(segment.ack.wrapping_sub(1));
        }
    }

    /// What the segment's place and window say.
    pub(super) fn place(&self, peer: &Self, segment: &Segment) -> Flags {
        let Segment { seq, len, window, .. } = *segment;
        let mut flags = Flags::default();
        if len == 1 && seq == self.next && peer.window == Some(0) {
            return Flags::ZERO_WINDOW_PROBE;
        }
        let is_plain = !segment.is_special();
        flags.add_if(window == 0 && is_plain, Flags::ZERO_WINDOW);
        let is_ahead = self.next != 0 && after(seq, self.next);
        flags.add_if(is_ahead && !segment.flags.any(TcpFlags::RST), Flags::LOST_SEGMENT);
        flags.add_if(len <= 1 && seq == self.next.wrapping_sub(1) && is_plain, Flags::KEEP_ALIVE);
        flags.add_if(len > 0 && is_plain && peer.is_filled_by(segment), Flags::WINDOW_FULL);
        if is_plain && self.repeats_ack(segment) {
            flags.add(self.repeated(peer, window));
        }
        flags
    }

    /// Whether the peer's segment ends where this side's window does.
    fn is_filled_by(&self, segment: &Segment) -> bool {
        let bits = match self.scale {
            Scale::Unknown => return false,
            Scale::Shift(bits) if !self.is_first_ack => bits,
            Scale::Unused | Scale::Shift(_) => 0,
        };
        let window = self.window.map_or(u32::MAX, u32::from) << bits;
        segment.seq.wrapping_add(segment.len) == self.last_ack.wrapping_add(window)
    }

    /// Whether the segment is an acknowledgement at the place and of the number of the one before.
    fn repeats_ack(&self, segment: &Segment) -> bool {
        segment.len == 0 && segment.seq == self.next && segment.ack == self.last_ack
    }

    /// What a repeated acknowledgement means.
    fn repeated(&self, peer: &Self, window: u16) -> Flags {
        let same_window = self.window == Some(window);
        match window {
            0 if same_window && peer.last_flags.has(Flags::ZERO_WINDOW_PROBE) => Flags::ZERO_WINDOW_PROBE_ACK,
            0 => Flags::default(),
            _ if !same_window => Flags::WINDOW_UPDATE,
            _ if peer.last_flags.has(Flags::KEEP_ALIVE) => Flags::KEEP_ALIVE_ACK,
            _ => Flags::DUPLICATE_ACK,
        }
    }

    /// Counts a duplicate acknowledgement; the count begins anew where another number is acknowledged.
    pub(super) fn count_dup_ack(&mut self, segment: &Segment, flags: Flags) {
        if flags.has(Flags::DUPLICATE_ACK) {
            self.dup_acks = if self.dup_acks == AFTER_UNSEEN { 1 } else { self.dup_acks.saturating_add(1) };
        }
        if segment.ack != self.last_ack {
            self.dup_acks = 0;
        }
    }

    /// Whether the peer acknowledges what was not seen of this direction; said once a gap.
    pub(super) fn is_unseen(&mut self, ack: u32) -> bool {
        if self.ackable == 0 || !after(ack, self.ackable) {
            return false;
        }
        if after(self.next, self.ackable) {
            self.ackable = self.next;
            return true;
        }
        std::mem::replace(&mut self.dup_acks, AFTER_UNSEEN) == 0
    }

    /// Whether the segment was sent before, and how it looks; `rtt_ns` is 0 where it is not known.
    pub(super) fn resent(&self, peer: &Self, segment: &Segment, rtt_ns: i64) -> Flags {
        let Segment { seq, len, .. } = *segment;
        let end = seq.wrapping_add(len);
        if len > 0 && peer.last_ack != 0 && !after(end, peer.last_ack) {
            return Flags::SPURIOUS_RETRANSMISSION;
        }
        // New data behind what may have been a probe of the window.
        let follows_probe = len > 1 && seq == self.next.wrapping_sub(1);
        if self.next == 0 || !after(self.next, seq) || follows_probe {
            return Flags::default();
        }
        let is_fast = peer.dup_acks >= FAST_DUP_ACKS && peer.last_ack == seq;
        if is_fast && since(segment, peer.last_ack_ns) < FAST_NS {
            return Flags::FAST_RETRANSMISSION;
        }
        let limit = if rtt_ns == 0 { OUT_OF_ORDER_NS } else { rtt_ns as u64 };
        let ends_highest = self.next == end.wrapping_add(segment.virtual_len());
        if since(segment, self.next_ns) < limit && !ends_highest {
            return Flags::OUT_OF_ORDER;
        }
        Flags::RETRANSMISSION
    }

    /// When a retransmission of now was due for the first time.
    pub(super) fn due_since_ns(&self) -> i64 {
        self.unacked.oldest_ns().unwrap_or(self.next_ns)
    }

    /// Remembers the segment.
    pub(super) fn store(&mut self, segment: &Segment, flags: Flags) {
        let mut end = segment.seq.wrapping_add(segment.len);
        if segment.takes_sequence() && !self.unacked.is_full() {
            end = end.wrapping_add(segment.virtual_len());
            self.unacked.push(end, segment.ts_ns);
        }
        if !flags.has(Flags::ZERO_WINDOW_PROBE) {
            self.advance(segment, end);
        }
        self.window = Some(segment.window);
        self.last_ack = segment.ack;
        self.last_ack_ns = segment.ts_ns;
        self.last_flags = flags;
    }

    fn advance(&mut self, segment: &Segment, end: u32) {
        if self.next == 0 || after(end, self.next) {
            self.next = end;
            self.next_ns = segment.ts_ns;
        }
        if self.ackable == 0 || segment.seq == self.ackable {
            self.ackable = self.next;
        }
    }
}

/// Time from then to the segment; one that goes backwards is longer than any limit.
fn since(segment: &Segment, then_ns: i64) -> u64 {
    segment.ts_ns.wrapping_sub(then_ns) as u64
}
