//! One direction of one leg: counters and the sequence rule.

use super::holes::Holes;
use super::prefetch::prefetch_all;
use super::stall::Trouble;
use crate::packet::{Kind, Packet, TcpFlags};
use kcap_file::Direction;

/// One direction of a connection as one leg saw it. Half a cache line, because it is touched for every packet.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(crate) struct Lane {
    /// IP bytes.
    pub(crate) bytes: u64,
    /// Payload bytes.
    pub(crate) payload: u64,
    /// Sequence number after the highest byte sent, once `started`.
    pub(crate) next_seq: u32,
    /// Highest acknowledgement sent, once `acked`.
    pub(crate) ack: u32,
    /// Packets.
    pub(crate) packets: u32,
    /// Fingerprint of the last packet, its [`STATE`] bits replaced by the lane's state.
    marks: u32,
}

const _: () = assert!(size_of::<Lane>() == 32, "half a cache line");

/// Bits of `Lane::marks` that are state: the direction of the last packet, and the three below.
const STATE: u32 = 0x1f;
const DIRECTION: u32 = 0x3;
/// `next_seq` holds.
const STARTED: u32 = 0x4;
/// `ack` holds.
const ACKED: u32 = 0x8;
/// The other end has sent nothing since.
const LAST: u32 = 0x10;

/// Whether it has a place in the sequence though it has no data.
fn takes_a_number(packet: &Packet) -> bool {
    packet.flags.any(TcpFlags::SYN | TcpFlags::FIN)
}

/// What is rare about a lane, kept apart from what every packet touches.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rare {
    /// TTL of the first packet.
    pub(crate) ttl: u8,
    /// Whether the interface that saw the first packet took it for another host's.
    pub(crate) strays: bool,
    /// SYN segments.
    pub(crate) syns: u32,
    /// Made when anything is out of order.
    odd: Option<Box<Odd>>,
}

/// What an orderly lane has none of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Odd {
    counts: OddCounts,
    /// What was jumped over.
    holes: Holes,
    /// Bytes that do not arrive; made when the lane shows any.
    trouble: Option<Box<Trouble>>,
}

/// Counts of what an orderly lane has none of.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OddCounts {
    /// Payload bytes sent again below `next_seq` that fill no hole.
    pub(crate) retransmitted_bytes: u64,
    /// Segments with such bytes.
    pub(crate) retransmitted_packets: u32,
    /// Segments that fill a hole: late, or sent again after a loss before this point.
    pub(crate) out_of_order: u32,
    /// The same packet again: another sighting on the same interface, or a copy made by the network.
    pub(crate) repeats: u32,
    /// Keep-alive probes.
    pub(crate) keepalives: u32,
}

/// What a lane made of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Taken {
    /// The last packet once more; not counted.
    Copy,
    /// Nothing that has a place in the sequence.
    Nothing,
    /// The first segment, or the one that goes on where the last ended.
    Next,
    /// A segment beyond the next: bytes from here on are left out.
    Jump {
        /// Where it was to go on.
        from: u32,
    },
    /// A segment that starts below what was sent before.
    Behind {
        /// After the highest byte sent before.
        next: u32,
        /// Sequence numbers of it below that.
        old: u32,
        /// How many of these had been left out.
        filled: u32,
    },
    /// Nothing, but from beyond the next: bytes before it were sent and passed elsewhere, or were lost.
    Ahead {
        /// Where it was to go on.
        from: u32,
    },
    /// A byte or none before the next: asks whether somebody is there.
    Probe,
    /// A segment that cannot be of the connection (see [`super::tcp::Watch::is_out_of_window`]).
    OutOfWindow,
}

impl Taken {
    /// Whether the connection may have come to remember more.
    pub(crate) fn may_grow(self) -> bool {
        !matches!(self, Self::Nothing | Self::Next)
    }

    /// Whether bytes passed that had passed before.
    pub(crate) fn is_again(self) -> bool {
        matches!(self, Self::Behind { old, filled, .. } if old > filled)
    }
}

/// What the other direction tells about a packet.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Told {
    /// Highest acknowledgement of the other end.
    pub(crate) ack: Option<u32>,
    /// Whether the segment is far outside of the window.
    pub(crate) out_of_window: bool,
}

/// Copies of one packet on one interface come within this time; a retransmission takes at least a round trip.
const COPY_NS: i64 = 2_000_000;

impl Lane {
    /// Counts a packet. `gap_ns` is the time since the connection's last packet.
    #[inline]
    pub(crate) fn take(&mut self, packet: &Packet, gap_ns: i64, told: Told, rare: &mut Rare) -> Taken {
        let fingerprint = fingerprint(packet) & !STATE;
        if fingerprint == self.marks & !STATE && gap_ns < COPY_NS && self.is_copy(packet) {
            rare.odd().counts.repeats += 1;
            return Taken::Copy;
        }
        if self.packets == 0 {
            rare.ttl = packet.ttl;
            rare.strays = packet.bits.is_other_host() && !packet.bits.hides_interface();
        }
        self.marks = fingerprint | self.marks & (STARTED | ACKED) | LAST | packet.direction as u32;
        self.packets = self.packets.saturating_add(1);
        self.bytes += u64::from(packet.ip_len);
        self.payload += u64::from(packet.payload_len);
        if packet.kind != Kind::Tcp {
            return Taken::Nothing;
        }
        if told.out_of_window {
            return Taken::OutOfWindow;
        }
        self.acknowledge(packet);
        self.sequence(packet, told, rare)
    }

    /// Whether a segment that acknowledges is the one to come, or has nothing to come; `mark` is its fingerprint.
    #[inline]
    pub(crate) fn is_next(&self, packet: &Packet, mark: u32) -> bool {
        let is_new = (self.marks ^ mark) & !STATE != 0 && self.marks & ACKED != 0 && self.packets < u32::MAX;
        is_new && if self.marks & STARTED != 0 { packet.seq == self.next_seq } else { packet.payload_len == 0 }
    }

    /// Counts it.
    #[inline]
    pub(crate) fn go_on(&mut self, packet: &Packet, mark: u32) {
        self.marks = mark & !STATE | self.marks & (STARTED | ACKED) | LAST | packet.direction as u32;
        self.packets += 1;
        self.bytes += u64::from(packet.ip_len);
        self.payload += u64::from(packet.payload_len);
        self.next_seq = self.next_seq.wrapping_add(packet.payload_len);
        if after(packet.ack, self.ack) {
            self.ack = packet.ack;
        }
    }

    /// Highest acknowledgement sent.
    #[inline]
    pub(crate) fn acked(&self) -> Option<u32> {
        (self.marks & ACKED != 0).then_some(self.ack)
    }

    /// Whether the peer acknowledged everything that was sent.
    pub(crate) fn is_acked_by(&self, peer: &Self) -> bool {
        self.marks & STARTED != 0 && peer.acked().is_some_and(|ack| !after(self.next_seq, ack))
    }

    /// Equal fingerprints mean one packet only where something tells packets apart: an IPv4 identification, the two
    /// directions in which a loopback or bridge device shows one packet, or a place in a sequence. Linux gives SYN-ACKs and
    /// IPv6 no identification; who sends a SYN again by itself waits far longer, and an answer to one comes after it.
    fn is_copy(&self, packet: &Packet) -> bool {
        packet.ip_id != 0
            || (packet.direction != Direction::Unknown && self.marks & DIRECTION != packet.direction as u32)
            || (packet.kind == Kind::Tcp
                && (packet.payload_len > 0 || self.marks & LAST != 0 && takes_a_number(packet)))
    }

    /// Notes that the other end sent something.
    #[inline]
    pub(crate) fn was_answered(&mut self) {
        self.marks &= !LAST;
    }

    /// Sequence number behind the highest byte sent, where any was seen.
    pub(crate) fn sent(&self) -> Option<u32> {
        (self.marks & STARTED != 0).then_some(self.next_seq)
    }

    /// Highest acknowledgement sent.
    pub(crate) fn acknowledged(&self) -> Option<u32> {
        (self.marks & ACKED != 0).then_some(self.ack)
    }

    fn acknowledge(&mut self, packet: &Packet) {
        if packet.flags.any(TcpFlags::ACK) && (self.marks & ACKED == 0 || after(packet.ack, self.ack)) {
            self.ack = packet.ack;
            self.marks |= ACKED;
        }
    }

    #[inline]
    fn sequence(&mut self, packet: &Packet, told: Told, rare: &mut Rare) -> Taken {
        let flags = u32::from(packet.flags.any(TcpFlags::SYN)) + u32::from(packet.flags.any(TcpFlags::FIN));
        let len = packet.payload_len + flags;
        if len == 0 || packet.flags.any(TcpFlags::RST) {
            return self.nothing(packet, rare);
        }
        let end = packet.seq.wrapping_add(len);
        let next = self.next_seq;
        if self.marks & STARTED == 0 || packet.seq == next {
            self.marks |= STARTED;
            self.next_seq = end;
            return Taken::Next;
        }
        if after(packet.seq, next) {
            rare.odd().holes.open(next, packet.seq, told.ack);
            self.next_seq = end;
            return Taken::Jump { from: next };
        }
        if after(end, next) {
            self.next_seq = end;
        }
        rare.behind(packet, next, told)
    }

    #[inline]
    fn nothing(&self, packet: &Packet, rare: &mut Rare) -> Taken {
        if packet.seq == self.next_seq || self.marks & STARTED == 0 || packet.flags.any(TcpFlags::RST) {
            return Taken::Nothing;
        }
        if packet.seq.wrapping_add(1) == self.next_seq {
            rare.odd().counts.keepalives += 1;
        }
        if after(self.next_seq, packet.seq) { Taken::Probe } else { Taken::Ahead { from: self.next_seq } }
    }
}

impl Rare {
    /// Asks for what is odd.
    #[inline]
    pub(crate) fn prefetch(&self) {
        self.odd.as_deref().inspect(|odd| prefetch_all(*odd));
    }

    fn odd(&mut self) -> &mut Odd {
        self.odd.get_or_insert_default()
    }

    /// Counts of what is out of order.
    pub(crate) fn counts(&self) -> OddCounts {
        self.odd.as_ref().map(|odd| odd.counts).unwrap_or_default()
    }

    /// Bytes that do not arrive.
    pub(crate) fn trouble(&self) -> Option<&Trouble> {
        self.odd.as_ref()?.trouble.as_deref()
    }

    /// Bytes that do not arrive, to be added to.
    pub(crate) fn trouble_mut(&mut self) -> &mut Trouble {
        self.odd().trouble.get_or_insert_default()
    }

    /// Bytes that the peer acknowledged although this point never saw them.
    pub(crate) fn acknowledged_unseen(&self, peer: &Lane) -> u64 {
        self.odd.as_ref().map_or(0, |odd| odd.holes.acknowledged(peer.acked()))
    }

    fn holes(&self) -> &[(u32, u32)] {
        self.odd.as_ref().map_or(&[], |odd| odd.holes.ranges())
    }

    /// Bytes held beside it.
    pub(crate) fn held(&self) -> usize {
        let trouble = if self.trouble().is_some() { size_of::<Trouble>() } else { 0 };
        trouble + self.odd.as_ref().map_or(0, |odd| size_of::<Odd>() + odd.holes.held())
    }

    /// Lets go of that.
    pub(crate) fn release(&mut self) {
        self.odd = None;
    }

    /// Whether anything was skipped or sent again.
    pub(crate) fn has_trouble(&self) -> bool {
        self.trouble().is_some() || !self.holes().is_empty()
    }

    /// Bytes of the hole that starts at `seq`.
    pub(crate) fn hole_at(&self, seq: u32) -> u32 {
        self.holes().iter().find(|(start, _)| *start == seq).map_or(0, |(start, end)| end.wrapping_sub(*start))
    }

    /// A segment that starts below what was already sent.
    fn behind(&mut self, packet: &Packet, next: u32, told: Told) -> Taken {
        if packet.flags.any(TcpFlags::SYN) {
            return Taken::Nothing;
        }
        if packet.payload_len == 1 && packet.seq == next.wrapping_sub(1) && told.ack.is_none_or(|ack| !after(next, ack))
        {
            self.odd().counts.keepalives += u32::from(!packet.flags.any(TcpFlags::FIN));
            return Taken::Probe;
        }
        let len = packet.payload_len + u32::from(packet.flags.any(TcpFlags::FIN));
        let end = packet.seq.wrapping_add(len);
        let old_end = if after(end, next) { next } else { end };
        let old = old_end.wrapping_sub(packet.seq);
        let Odd { counts, holes, .. } = self.odd();
        let filled = holes.fill(packet.seq, old_end);
        counts.out_of_order += u32::from(filled > 0);
        if old > filled && packet.payload_len > 0 {
            counts.retransmitted_packets += 1;
            counts.retransmitted_bytes += u64::from((old - filled).min(packet.payload_len));
        }
        Taken::Behind { next, old, filled }
    }

    /// The segment taken last was no resend but a copy that the network or the capture made.
    pub(crate) fn was_copy(&mut self, packet: &Packet) {
        let counts = &mut self.odd().counts;
        counts.repeats += 1;
        counts.retransmitted_packets = counts.retransmitted_packets.saturating_sub(1);
        counts.retransmitted_bytes = counts.retransmitted_bytes.saturating_sub(packet.payload_len.into());
    }
}

/// Whether sequence number `a` comes after `b` (RFC 9293 3.4, modulo 2^32).
#[inline]
pub(crate) fn after(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) > 0
}

/// What tells datagrams of one length apart, which often have no identification: their first and last bytes. Goes where
/// TCP has its timestamp.
#[inline]
pub(crate) fn sample(payload: &[u8]) -> u32 {
    let word = |bytes: Option<&[u8; 8]>| bytes.map(|bytes| u64::from_le_bytes(*bytes));
    let ends = match (word(payload.first_chunk()), word(payload.last_chunk())) {
        (Some(first), Some(last)) => first ^ last.rotate_left(29),
        _ => payload.iter().fold(0, |all, byte| all << 8 | u64::from(*byte)),
    };
    (ends.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32
}

/// What stays equal when one packet is seen twice, and differs between two packets. The numbers are multiplied before the
/// rest joins them: a segment's number goes on by the length of the one before, so that sums of both may be equal.
#[inline]
pub(crate) fn fingerprint(packet: &Packet) -> u32 {
    let a = u64::from(packet.seq) << 32 | u64::from(packet.ack);
    let b = u64::from(packet.tsval) << 32 | u64::from(packet.payload_len) << 16 | u64::from(packet.ip_id);
    let c = u64::from(packet.flags.0) << 16 | u64::from(packet.window);
    // Multiplied first: the next segment's number is this one's plus its length, which would often cancel out the lengths.
    let spread = a.wrapping_mul(0xff51_afd7_ed55_8ccd);
    let mixed = (spread ^ b.rotate_left(17) ^ c.rotate_left(44)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 32) as u32 | 1
}

#[cfg(test)]
mod tests;
