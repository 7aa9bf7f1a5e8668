//! A connection while it lives: what every packet touches, and the rest.

mod cold;

pub(crate) use cold::{Cold, IcmpSeen, More};

use super::flows::Source;
use super::key::{End, Key};
use super::lane::{Lane, Rare, Taken, Told};
use super::leg::{may_be_same_way, way};
use super::tcp::resend::Verdict;
use super::tcp::{Context, Ledger, Watch};
use crate::packet::{Kind, Packet, TcpFlags};
use crate::track::handshake::{Handshake, Hello};
use crate::track::tcp::side::Idle;
use crate::wire::app::quic;

/// What every packet of a connection touches: two cache lines.
#[derive(Clone, Debug, Default)]
#[repr(C, align(64))]
pub(crate) struct Hot {
    pub(crate) key: Key,
    /// The first leg's [`way`].
    pub(crate) way: u8,
    pub(crate) phase: Phase,
    /// Who talks ([`super::talk::Bit`]).
    pub(crate) talk: u8,
    pub(crate) last_ns: i64,
    /// The first leg's lanes, by [`End`].
    pub(crate) lanes: [Lane; 2],
    /// The first leg's tunnel.
    pub(crate) tunnel: u32,
    /// When somebody spoke last, in units of [`super::talk`].
    pub(crate) said: u32,
    /// The first leg's point.
    pub(crate) point: u16,
    /// Most IP bytes of a packet of each end, on the first leg.
    pub(crate) largest: [u16; 2],
    /// What was seen of each end ([`Seen`]), over all legs.
    pub(crate) seen: [u8; 2],
}

const _: () = assert!(size_of::<Hot>() == 128, "two cache lines");

/// A silence as long as this is remembered: longer than what TCP does on its own while it waits.
pub(crate) const PAUSE_NS: i64 = 1_000_000_000;

/// How far a connection is; decides how long it may idle.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Phase {
    /// The slot is free.
    #[default]
    Free,
    /// Nothing came back yet.
    Attempt,
    /// Both ends spoke.
    Open,
    /// Reset, or both ends finished.
    Closed,
}

/// Bits of `Hot::seen`: what an end did at least once.
pub(crate) struct Seen;

impl Seen {
    pub(crate) const SYN: u8 = 1;
    pub(crate) const SYN_ACK: u8 = 2;
    pub(crate) const ACK: u8 = 4;
    pub(crate) const DATA: u8 = 8;
    pub(crate) const FIN: u8 = 16;
    pub(crate) const RST: u8 = 32;
    pub(crate) const ZERO_WINDOW: u8 = 64;
    pub(crate) const RETRANSMITTED: u8 = 128;
}

/// A leg that a packet passes, but for its own state.
pub(crate) struct Passing<'a> {
    pub(crate) ledger: &'a mut Ledger,
    pub(crate) handshake: &'a Handshake,
    pub(crate) source: &'a Source<'a>,
    /// Whether events of this leg that cannot wait are told.
    pub(crate) tells: bool,
}

impl Passing<'_> {
    /// Counts a packet and watches its data.
    #[inline]
    pub(crate) fn take(
        self,
        lanes: &mut [Lane; 2],
        watch: &mut Option<Box<Watch>>,
        rare: &mut Rare,
        packet: &Packet,
        end: End,
        gap_ns: i64,
    ) -> Taken {
        let other = &mut lanes[end.other() as usize];
        let ack = other.acked();
        other.was_answered();
        let lane = &mut lanes[end as usize];
        let out_of_window =
            packet.kind == Kind::Tcp && watch.as_ref().is_some_and(|watch| watch.is_out_of_window(packet, end, lane));
        let taken = lane.take(packet, gap_ns, Told { ack, out_of_window }, rare);
        if taken.is_again() && packet.payload_len > 0 {
            rare.note_resent(packet, &lanes[end.other() as usize], self.source.frame(packet));
        } else if taken.is_again() {
            rare.note_fin_again();
        } else if let Taken::Ahead { .. } = taken {
            rare.note_skipped(packet, self.source.frame(packet));
        }
        if packet.kind == Kind::Tcp && taken != Taken::Copy && !packet.flags.any(TcpFlags::SYN | TcpFlags::RST) {
            let context = Context { source: self.source, handshake: self.handshake, tells: self.tells };
            if self.ledger.take(watch, packet, end, &taken, &context) == Some(Verdict::Duplicate) {
                rare.was_copy(packet);
                return Taken::Nothing;
            }
        }
        taken
    }
}

impl End {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Low => Self::High,
            Self::High => Self::Low,
        }
    }
}

impl Hot {
    /// A connection whose first packet this is, sent by `end`; nothing counted yet.
    pub(crate) fn new(key: Key, packet: &Packet, end: End) -> Self {
        Self {
            key,
            last_ns: packet.ts_ns,
            tunnel: packet.tunnel,
            point: packet.point,
            way: way(packet, end),
            phase: Phase::Attempt,
            ..Self::default()
        }
    }

    /// Whether it is the live connection with a key.
    #[inline]
    pub(super) fn is_of(&self, key: &Key) -> bool {
        self.phase != Phase::Free && self.key == *key
    }

    /// Whether this SYN asks for another connection with the same five-tuple.
    pub(crate) fn is_reused_by(&self, cold: &Cold, packet: &Packet, end: End) -> bool {
        if packet.kind != Kind::Tcp || !packet.flags.is_syn() {
            return false;
        }
        if self.seen[end as usize] & Seen::SYN != 0 {
            return cold.handshake.hello[end as usize].isn != packet.seq;
        }
        // Both may ask at once (RFC 9293 3.5, simultaneous open).
        let asked = self.seen[end.other() as usize] & Seen::SYN != 0;
        !(asked && self.phase == Phase::Attempt)
    }

    /// Counts one packet of the connection, `gap_ns` after the one before, and says what it was to the first leg; packets
    /// of other legs are copies.
    #[inline]
    pub(crate) fn take(
        &mut self,
        cold: &mut Cold,
        watch: &mut Option<Box<Watch>>,
        ledger: &mut Ledger,
        packet: &Packet,
        (end, gap_ns): (End, i64),
        source: &Source<'_>,
    ) -> Taken {
        if packet.bits.hides_interface() && cold.is_folded(packet, end) {
            return Taken::Copy;
        }
        if gap_ns >= PAUSE_NS {
            self.idle(cold, packet, end, gap_ns);
        }
        self.last_ns = self.last_ns.max(packet.ts_ns);
        let first_leg = self.is_first_leg(packet, end);
        let mut taken = Taken::Copy;
        if first_leg {
            let leg = Passing { ledger, handshake: &cold.handshake, source, tells: true };
            let rare = &mut cold.rare[end as usize];
            taken = leg.take(&mut self.lanes, watch, rare, packet, end, gap_ns);
            if taken == Taken::Copy {
                return taken;
            }
            if taken.is_again() && packet.payload_len > 0 {
                self.mark_once(cold, end, Seen::RETRANSMITTED, b't');
            }
            let largest = &mut self.largest[end as usize];
            *largest = (*largest).max(packet.ip_len.min(u16::MAX.into()) as u16);
        } else {
            cold.take_on_leg(ledger, packet, end, source);
        }
        if packet.kind == Kind::Tcp {
            self.segment(cold, ledger, packet, end, first_leg, source);
        } else {
            self.datagram(cold, packet, end, source);
        }
        taken
    }

    /// Notes a silence in which nobody waited for anything.
    #[cold]
    fn idle(&self, cold: &mut Cold, packet: &Packet, end: End, gap_ns: i64) {
        let by_orig = end == cold.orig;
        let more = cold.more_mut();
        more.pause = Some((gap_ns, packet.ts_ns));
        let [low, high] = &self.lanes;
        if packet.kind == Kind::Tcp && low.is_acked_by(high) && high.is_acked_by(low) {
            more.idle = Some(Idle { gap_ns, until_ns: packet.ts_ns, by_orig });
        }
    }

    fn datagram(&mut self, cold: &mut Cold, packet: &Packet, end: End, source: &Source<'_>) {
        // Of a segment that was cut before its flags only the addresses count.
        let datagram = !self.key.is_tcp() && packet.payload_len > 0;
        if datagram && self.seen[end as usize] & Seen::DATA == 0 {
            cold.handshake.hello[end as usize] = Hello::of_datagram(packet);
            self.mark(cold, end, Seen::DATA, b'd');
            self.talk |= u8::from(packet.payload_len >= quic::SMALLEST);
        }
        // Of datagrams this byte says that QUIC may be opening.
        if datagram && self.talk != 0 {
            self.meet(cold, packet, end, source);
        }
        if self.lanes[end.other() as usize].packets > 0 {
            self.phase = Phase::Open;
        }
    }

    /// Whether the packet ends a silence that is remembered.
    #[inline]
    pub(crate) fn was_silent(&self, packet: &Packet) -> bool {
        packet.ts_ns.saturating_sub(self.last_ns) >= PAUSE_NS
    }

    /// Whether the packet only does what its end did before, so that nothing but counters changes.
    #[inline]
    pub(crate) fn is_usual(&self, packet: &Packet, end: End) -> bool {
        let usual = if packet.payload_len > 0 { Seen::DATA } else { Seen::ACK };
        let special = TcpFlags::SYN | TcpFlags::FIN | TcpFlags::RST;
        self.seen[end as usize] & usual != 0 && !packet.flags.any(special) && !packet.closes_window()
    }

    #[inline]
    fn segment(
        &mut self,
        cold: &mut Cold,
        ledger: &mut Ledger,
        packet: &Packet,
        end: End,
        first_leg: bool,
        source: &Source<'_>,
    ) {
        if self.is_usual(packet, end) {
            return;
        }
        let seen = self.seen[end as usize];
        if packet.flags.any(TcpFlags::SYN) {
            self.syn(cold, ledger, packet, end, first_leg, source);
        } else {
            self.not_syn(cold, packet, end);
        }
        if packet.flags.any(TcpFlags::FIN) && seen & Seen::FIN == 0 {
            self.mark(cold, end, Seen::FIN, b'f');
        }
        if packet.flags.any(TcpFlags::RST) {
            cold.reset_by(end, packet, source.frame(packet), first_leg);
            self.mark_once(cold, end, Seen::RST, b'r');
        }
        self.settle(cold, end);
    }

    fn syn(
        &mut self,
        cold: &mut Cold,
        ledger: &mut Ledger,
        packet: &Packet,
        end: End,
        first_leg: bool,
        source: &Source<'_>,
    ) {
        let granted = packet.flags.any(TcpFlags::ACK);
        let bit = if granted { Seen::SYN_ACK } else { Seen::SYN };
        if self.seen[end as usize] & bit == 0 {
            cold.handshake.hello[end as usize] = source.hello(packet);
            self.mark(cold, end, bit, if granted { b'h' } else { b's' });
        }
        if self.is_vantage(packet, end) {
            let time = if granted { &mut cold.handshake.syn_ack_ns } else { &mut cold.handshake.syn_ns };
            time.note(packet.ts_ns);
        }
        if first_leg {
            let again = cold.handshake.take_syn(packet, end, source.frame(packet));
            ledger.judged.extend(again.map(|resend| (end, resend)));
            cold.rare[end as usize].syns += 1;
            if !granted {
                cold.note_syn(source.frame(packet));
            }
        }
    }

    /// Whether the packet was seen where the first leg was.
    #[inline]
    pub(super) fn is_first_leg(&self, packet: &Packet, end: End) -> bool {
        self.point == packet.point && self.tunnel == packet.tunnel && self.is_way_of(packet, end)
    }

    #[inline]
    fn is_way_of(&self, packet: &Packet, end: End) -> bool {
        may_be_same_way(self.way, way(packet, end))
    }

    /// Whether the packet was seen where the first leg was, though the tunnel's number may be of the other direction
    /// (Cilium's and OVN's name the sender).
    pub(crate) fn is_vantage(&self, packet: &Packet, end: End) -> bool {
        let same_depth = (self.tunnel == 0) == (packet.tunnel == 0);
        self.point == packet.point && same_depth && self.is_way_of(packet, end)
    }

    fn not_syn(&mut self, cold: &mut Cold, packet: &Packet, end: End) {
        let opens = cold.handshake.syn_ack_ns.is_some() && !cold.handshake.ack_ns.is_some() && end == cold.orig;
        let acknowledges = packet.flags.any(TcpFlags::ACK) && !packet.flags.any(TcpFlags::RST);
        if opens && acknowledges && self.is_vantage(packet, end) {
            cold.handshake.take_ack(packet);
        }
        if packet.payload_len > 0 {
            cold.data_ns[end as usize].note(packet.ts_ns);
            self.mark_once(cold, end, Seen::DATA, b'd');
        } else if !packet.flags.any(TcpFlags::FIN | TcpFlags::RST) {
            self.mark_once(cold, end, Seen::ACK, b'a');
        }
        if packet.closes_window() && !packet.flags.any(TcpFlags::RST) {
            self.mark_once(cold, end, Seen::ZERO_WINDOW, b'w');
        }
    }

    fn mark_once(&mut self, cold: &mut Cold, end: End, bit: u8, letter: u8) {
        if self.seen[end as usize] & bit == 0 {
            self.mark(cold, end, bit, letter);
        }
    }

    fn mark(&mut self, cold: &mut Cold, end: End, bit: u8, letter: u8) {
        if self.seen[end as usize] & bit == 0 {
            cold.note(end, letter);
        }
        self.seen[end as usize] |= bit;
    }

    fn settle(&mut self, cold: &Cold, end: End) {
        let both_finished = self.seen[0] & self.seen[1] & Seen::FIN != 0;
        if (self.seen[0] | self.seen[1]) & Seen::RST != 0 || both_finished {
            self.phase = Phase::Closed;
        } else if end != cold.orig {
            self.phase = Phase::Open;
        }
    }
}
