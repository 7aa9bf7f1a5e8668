//! What became of each segment: acknowledged, sent again and why, reordered, doubled. One leg at a time.
//!
//! In-order data costs an entry in a ring, an acknowledgement takes entries off. All else is on the slow path, whose
//! state is only there once it was taken.

mod half;
pub mod resend;
mod rtt;
mod sent;
pub(crate) mod side;
mod spare;
pub mod sum;
mod trigger;
mod trouble;
mod usual;

use super::event::FrameId;
use super::flows::Source;
use super::handshake::{Handshake, Hello};
use super::key::End;
use super::lane::{Lane, Taken, after};
use crate::packet::{Packet, TcpFlags};
use half::Half;
use resend::{Resend, Trigger, Verdict};
use rtt::Samples;
use sent::Segment;
use spare::Spare;
use trigger::Pace;
use trouble::{Gap, Refused};

pub use resend::TcpEvent;

/// The data of both ends of a connection as one leg saw it, by [`End`].
#[derive(Clone, Debug, Default)]
#[repr(C)]
pub(crate) struct Watch {
    pub(crate) halves: [Half; 2],
    pub(crate) samples: [Samples; 2],
    /// What of its bytes the ledger has counted.
    counted: u64,
}

/// What the watches of a shard share.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Ranges that had to be judged before their connection ended, to be told at once.
    pub(crate) judged: Vec<(End, Resend)>,
    /// Bytes that all watches hold.
    pub(crate) held: u64,
    spare: Spare,
}

/// Nobody asks whether the other end lives after a shorter silence (`TCP_KEEPIDLE` is in seconds).
const KEEP_ALIVE_NS: i64 = 900_000_000;

/// What is known where a packet is taken.
pub(crate) struct Context<'a> {
    pub(crate) source: &'a Source<'a>,
    pub(crate) handshake: &'a Handshake,
    /// Whether ranges judged early are to be told; one leg's are.
    pub(crate) tells: bool,
}

impl Ledger {
    /// Watches one packet of a leg, whose lane has `taken` it.
    #[inline]
    pub(crate) fn take(
        &mut self,
        watch: &mut Option<Box<Watch>>,
        packet: &Packet,
        end: End,
        taken: &Taken,
        context: &Context<'_>,
    ) -> Option<Verdict> {
        if watch.is_none() && packet.payload_len == 0 && !packet.flags.any(TcpFlags::FIN) {
            return None;
        }
        let is_new = watch.is_none();
        let watch = watch.get_or_insert_with(|| self.spare.place(Watch::new(packet, end, context.handshake)));
        let room = watch.halves[end as usize].sent.held();
        let verdict = watch.take(packet, end, taken, context, &mut self.judged);
        if is_new || taken.may_grow() || watch.halves[end as usize].sent.held() != room {
            self.count(watch);
        }
        verdict
    }

    #[cold]
    fn count(&mut self, watch: &mut Watch) {
        let halves: usize = watch.halves.iter().map(Half::held).sum();
        let held = (size_of::<Watch>() + halves) as u64;
        self.held = (self.held + held).saturating_sub(watch.counted);
        watch.counted = held;
    }

    /// A watch ended.
    pub(crate) fn end(&mut self, watch: Box<Watch>) {
        self.held = self.held.saturating_sub(watch.counted);
        self.spare.keep(watch);
    }
}

impl Half {
    fn new(of: End, packet: &Packet, sender: End, handshake: &Handshake) -> Self {
        let known = if of == sender { packet.seq } else { packet.ack };
        let scales = handshake.hello.map(|hello| hello.window_scale());
        // Scaling holds where both ends offered it (RFC 7323 2.2).
        let scale = match scales {
            _ if !handshake.is_whole() || handshake.hello.iter().any(Hello::is_cut) => None,
            [Some(_), Some(_)] => scales[of.other() as usize],
            _ => Some(0),
        };
        // A SYN's window is never scaled.
        let edge = known.wrapping_add(handshake.hello[of.other() as usize].window().into());
        Self { una: known, first: known, scale, edge, edge_known: scale.is_some(), ..Self::default() }
    }
}

impl Watch {
    #[cold]
    fn new(packet: &Packet, end: End, handshake: &Handshake) -> Self {
        Self { halves: [End::Low, End::High].map(|of| Half::new(of, packet, end, handshake)), ..Self::default() }
    }

    /// Whether a segment cannot be data of its connection and must not shape what is known of it.
    #[inline]
    pub(crate) fn is_out_of_window(&self, packet: &Packet, end: End, lane: &Lane) -> bool {
        packet.seq != lane.next_seq && self.is_far(packet, end, lane)
    }

    #[cold]
    fn is_far(&self, packet: &Packet, end: End, lane: &Lane) -> bool {
        let special = packet.flags.any(TcpFlags::SYN | TcpFlags::RST);
        !special && self.halves[end as usize].is_out_of_window(packet.seq, lane.next_seq)
    }

    #[inline]
    fn take(
        &mut self,
        packet: &Packet,
        end: End,
        taken: &Taken,
        context: &Context<'_>,
        judged: &mut Vec<(End, Resend)>,
    ) -> Option<Verdict> {
        let mut verdict = None;
        let (mine, other) = self.pair(end);
        if let Taken::Next = taken
            && !other.closed
            && !mine.is_behind()
        {
            let len = packet.payload_len + u32::from(packet.flags.any(TcpFlags::FIN));
            mine.push(Segment::of(packet, context.source.frame(packet), len));
        } else if !matches!(taken, Taken::Nothing) {
            let resend = self.out_of_order(packet, end, taken, context);
            verdict = resend.map(|resend| resend.verdict);
            self.remember(resend, end, context, judged);
            if verdict == Some(Verdict::OutOfWindow) {
                return verdict;
            }
        }
        if packet.flags.any(TcpFlags::ACK) {
            self.acknowledge(packet, end, context);
        }
        let (mine, other) = self.pair(end);
        if packet.closes_window() || mine.closed {
            mine.window(packet, context);
            other.be_refused(packet);
        }
        verdict
    }

    fn pair(&mut self, end: End) -> (&mut Half, &mut Half) {
        usual::pair(&mut self.halves, end)
    }

    fn remember(&mut self, resend: Option<Resend>, end: End, context: &Context<'_>, judged: &mut Vec<(End, Resend)>) {
        let Some(resend) = resend else { return };
        if let Some(done) = self.halves[end as usize].trouble().remember(resend)
            && context.tells
        {
            judged.push((end, done));
        }
    }

    #[inline]
    fn acknowledge(&mut self, packet: &Packet, end: End, context: &Context<'_>) {
        let usual = 20 + if packet.bits.has_timestamps() { 12 } else { 0 };
        if packet.l4_header_len > usual {
            self.selective(packet, end, context);
        }
        let of = end.other() as usize;
        let (other, samples) = (&mut self.halves[of], &mut self.samples[of]);
        other.asks = 0;
        if after(packet.ack, other.una) {
            other.advance(packet, samples);
            if other.unsettled {
                other.resolve(packet, context);
            }
        } else if packet.ack == other.una && packet.payload_len == 0 && other.sent.outstanding() > 0 {
            other.repeat(packet);
        }
    }

    /// Options beyond timestamps: selective acknowledgements, and reports of what came twice (RFC 2883: the first block
    /// is below the cumulative acknowledgement or inside the second).
    #[cold]
    fn selective(&mut self, packet: &Packet, end: End, context: &Context<'_>) {
        if packet.flags.any(TcpFlags::SYN) {
            return;
        }
        let (_, other) = self.pair(end);
        let blocks = context.source.options(packet).sack;
        let [Some(first), second, ..] = blocks else { return };
        let inside = second.is_some_and(|second| !after(second.0, first.0) && !after(first.1, second.1));
        let twice = inside || !after(first.1, packet.ack);
        let trouble = other.trouble();
        if twice {
            trouble.received_twice(first.0, first.1);
        }
        let above = blocks.into_iter().flatten().skip(usize::from(twice)).map(|block| block.1);
        if let Some(high) = above.filter(|high| after(*high, packet.ack)).reduce(|a, b| if after(a, b) { a } else { b })
        {
            trouble.sacked = Some(high);
            trouble.repeat_ns = packet.ts_ns;
        }
    }

    /// What a segment is that is not simply the next.
    #[cold]
    fn out_of_order(&mut self, packet: &Packet, end: End, taken: &Taken, context: &Context<'_>) -> Option<Resend> {
        let frame = context.source.frame(packet);
        match *taken {
            Taken::Next => self.next(packet, end, context, frame),
            Taken::Jump { from } => {
                let (mine, _) = self.pair(end);
                mine.trouble().open(Gap::of(packet, from, frame));
                let len = packet.payload_len + u32::from(packet.flags.any(TcpFlags::FIN));
                mine.push(Segment::of(packet, frame, len));
                None
            }
            Taken::Probe => self.probe(packet, end, frame),
            Taken::Behind { next, old, filled } => Some(self.behind(packet, end, context, (next, old, filled))),
            Taken::OutOfWindow => Some(Resend::of(packet, frame, Trigger::Unknown, Verdict::OutOfWindow)),
            Taken::Ahead { from } => {
                let (mine, _) = self.pair(end);
                mine.trouble().ahead.get_or_insert(Gap::of(packet, from, frame));
                None
            }
            Taken::Copy | Taken::Nothing => None,
        }
    }

    /// One byte or none before the next: to keep the connection alive, or to learn of a window. An old acknowledgement
    /// that comes late looks like it, but for the pause before.
    fn probe(&mut self, packet: &Packet, end: End, frame: FrameId) -> Option<Resend> {
        let (mine, other) = self.pair(end);
        let quiet_ns = packet.ts_ns.saturating_sub(mine.last_ns);
        let trigger = if other.closed { Trigger::Persist } else { Trigger::KeepAlive };
        let probes = other.closed || quiet_ns >= KEEP_ALIVE_NS;
        mine.asks += u32::from(probes);
        probes.then(|| Resend { gap_ns: Some(quiet_ns), ..Resend::of(packet, frame, trigger, Verdict::Probe) })
    }

    /// A segment that goes on where the last ended, after something that makes it special: an acknowledgement that has
    /// overtaken it, or a closed window. Data into that is a probe where it is a byte (RFC 9293 3.8.6.1), else it was on
    /// its way before.
    fn next(&mut self, packet: &Packet, end: End, context: &Context<'_>, frame: FrameId) -> Option<Resend> {
        let pace = self.pace(end, context);
        let (mine, other) = self.pair(end);
        let overtaken = mine.overtaken(packet, pace, context, frame);
        let len = packet.payload_len + u32::from(packet.flags.any(TcpFlags::FIN));
        mine.push(Segment::of(packet, frame, len));
        let probes = other.closed && packet.payload_len == 1;
        if probes { Some(Resend::of(packet, frame, Trigger::Persist, Verdict::Probe)) } else { overtaken }
    }

    fn behind(
        &mut self,
        packet: &Packet,
        end: End,
        context: &Context<'_>,
        (next, old, filled): (u32, u32, u32),
    ) -> Resend {
        let frame = context.source.frame(packet);
        let pace = self.pace(end, context);
        let len = packet.payload_len + u32::from(packet.flags.any(TcpFlags::FIN));
        let (mine, _) = self.pair(end);
        let start = packet.seq;
        let resend = mine.judge(
            packet,
            trigger::Range { start, end: start.wrapping_add(old), next, filled },
            pace,
            context,
            frame,
        );
        mine.sent.mark_again(start, start.wrapping_add(old));
        if old < len {
            mine.push(Segment::of(packet, frame, len).sent_again());
        }
        mine.last_ns = packet.ts_ns;
        mine.packets += u32::from(old == len);
        resend
    }

    fn pace(&self, end: End, context: &Context<'_>) -> Pace {
        Pace { rtt_ns: self.rtt_ns(end, context), asked: context.handshake.asked(end) }
    }

    /// The whole round trip: the shortest seen, of both ways from this point.
    fn rtt_ns(&self, end: End, context: &Context<'_>) -> Option<i64> {
        let (mine, other) = (&self.halves[end as usize], &self.halves[end.other() as usize]);
        let part = |half: &Half, sender: End| {
            let first = context.handshake.rtt_ns(sender);
            first.into_iter().chain(half.rtt.min_ns()).min()
        };
        let there = part(mine, end)?;
        Some(there + part(other, end.other()).unwrap_or(0))
    }
}

impl Half {
    /// Ranges sent again are answered.
    #[cold]
    fn resolve(&mut self, packet: &Packet, context: &Context<'_>) {
        let rtt_ns = self.rtt.min_ns();
        if let Some(trouble) = &mut self.trouble {
            let echo = || context.source.options(packet).timestamps.map(|stamps| stamps.1);
            trouble.acknowledged(packet, rtt_ns, echo);
            self.unsettled = !trouble.is_settled();
        }
    }

    /// The highest acknowledgement once more, while data is on its way.
    #[cold]
    fn repeat(&mut self, packet: &Packet) {
        if packet.flags.any(TcpFlags::SYN | TcpFlags::FIN | TcpFlags::RST) {
            return;
        }
        let edge = self.edge;
        self.open_to(packet);
        if edge == self.edge {
            let trouble = self.trouble();
            trouble.repeats += 1;
            trouble.repeat_ns = packet.ts_ns;
        }
    }

    /// The receiver takes its window back while data is on its way: Linux throws away what it has no memory for, and says
    /// so with a window of nothing (kernel commit e2142825c120).
    #[cold]
    fn be_refused(&mut self, packet: &Packet) {
        let step = 1u32 << self.scale.unwrap_or(0);
        let taken_back = self.edge_known && after(self.edge, packet.ack.wrapping_add(step));
        let closes = packet.closes_window() && !packet.flags.any(TcpFlags::RST | TcpFlags::SYN);
        if closes && taken_back && packet.ack == self.una && self.sent.outstanding() > 0 {
            let refused = Refused { start: packet.ack, end: self.edge, ns: packet.ts_ns };
            self.trouble().refused = Some(refused);
        }
    }

    /// The end's own window closes or opens.
    #[cold]
    fn window(&mut self, packet: &Packet, context: &Context<'_>) {
        if packet.flags.any(TcpFlags::RST | TcpFlags::SYN) {
            return;
        }
        match (packet.closes_window(), self.closed) {
            (true, false) => {
                self.closed = true;
                let frame = context.source.frame(packet);
                self.trouble().closed.close(packet.ts_ns, frame);
            }
            (false, true) => {
                self.closed = false;
                self.trouble().closed.open(packet.ts_ns);
            }
            _ => {}
        }
    }
}

impl Resend {
    fn of(packet: &Packet, frame: FrameId, trigger: Trigger, verdict: Verdict) -> Self {
        let end = packet.seq.wrapping_add(packet.payload_len);
        Self { ns: packet.ts_ns, frame, start: packet.seq, end, trigger, verdict, ..Self::default() }
    }
}
