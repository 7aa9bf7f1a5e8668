//! Judging one range below what was already sent.

use super::Context;
use super::half::Half;
use super::resend::{Proof, Resend, Trigger, Verdict};
use super::trouble::Gap;
use crate::packet::Packet;
use crate::track::FrameId;
use crate::track::lane::after;

/// What of a segment lies below what was already sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    pub(crate) start: u32,
    pub(crate) end: u32,
    /// After the highest byte sent before.
    pub(crate) next: u32,
    /// Bytes of it that had never been seen here.
    pub(crate) filled: u32,
}

impl Range {
    /// What a packet brings of it.
    fn of(self, packet: &Packet, context: &Context<'_>) -> Resend {
        let mss = context.handshake.segment_len(packet);
        let data = packet.payload_len.min(self.end.wrapping_sub(self.start));
        Resend {
            ns: packet.ts_ns,
            start: self.start,
            end: self.end,
            tsval: packet.tsval,
            ip_id: packet.ip_id,
            segments: u16::try_from(data.div_ceil(mss)).unwrap_or(u16::MAX),
            full: packet.payload_len >= mss,
            tail: self.end == self.next,
            ..Resend::default()
        }
    }
}

/// What is known of how fast a sender hears and counts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    /// The whole round trip.
    pub(crate) rtt_ns: Option<i64>,
    /// When its SYN passed, and the timestamp of that.
    pub(crate) asked: Option<(i64, u32)>,
}

const MS: i64 = 1_000_000;
/// The least a retransmission timer waits: Linux 200 ms (`TCP_RTO_MIN`), less a tenth for the clock's ticks.
const RTO_MIN_NS: i64 = 180 * MS;
/// A sender whose round trip is not known cannot have heard of a loss within this time.
const TOO_SOON_NS: i64 = 3 * MS;
/// Copies of one packet that the network makes come within this time, as far as an identification tells them.
const COPY_NS: i64 = 50 * MS;
/// Path MTU discovery sends again what was too big within this time.
const PMTU_NS: i64 = 50 * MS;

/// The transmission before, as far as it is remembered.
#[derive(Clone, Copy, Debug)]
struct Before {
    ns: i64,
    frame: FrameId,
    tsval: u32,
    ip_id: u16,
    start: u32,
    end: u32,
}

/// Payload that every way passes (RFC 791: 576 bytes with headers).
const SMALL: u32 = 512;

impl Before {
    /// Whether a segment was sent again in smaller pieces, though it was a single one: its sender has learned that it is
    /// too long for the way (RFC 1191, 4821).
    fn was_too_long(&self, resend: &Resend, mss: u32) -> bool {
        let (before, now) = (self.end.wrapping_sub(self.start), resend.end.wrapping_sub(resend.start));
        resend.start == self.start && now < before && before <= mss && before > SMALL && now > 1
    }
}

impl Half {
    /// Says what a segment that starts below the highest byte sent is.
    pub(crate) fn judge(
        &mut self,
        packet: &Packet,
        range: Range,
        pace: Pace,
        context: &Context<'_>,
        frame: FrameId,
    ) -> Resend {
        let rtt_ns = pace.rtt_ns;
        let resend = Resend { frame, rtt_ns, first: range.start == self.first, ..range.of(packet, context) };
        let gap = self.trouble().gap_at(range.start).copied().filter(|_| range.filled > 0);
        // What comes before the first that was seen here may have been overtaken by it, or lost before the capture began.
        let unseen = range.filled > 0 || after(self.begun, range.start);
        let unknown = unseen || self.trouble().forgot;
        match gap {
            Some(gap) => self.fill(resend, packet, &gap, pace),
            None if unknown && self.before(range.start).is_none() => self.unplaced(resend),
            None => self.repeat_range(resend, packet, range, context),
        }
    }

    /// A segment of which nobody can tell any more whether it had passed here, and what overtook it.
    fn unplaced(&self, resend: Resend) -> Resend {
        if after(resend.end, self.una) { Resend { verdict: Verdict::Unanswered, ..resend } } else { needless(resend) }
    }

    /// A segment in order that an acknowledgement of its sender has overtaken.
    pub(crate) fn overtaken(
        &mut self,
        packet: &Packet,
        pace: Pace,
        context: &Context<'_>,
        frame: FrameId,
    ) -> Option<Resend> {
        let trouble = self.trouble.as_mut()?;
        let gap = trouble.ahead?;
        let (start, end) = (packet.seq, packet.seq.wrapping_add(packet.payload_len));
        trouble.ahead = Some(gap).filter(|gap| after(gap.end, end));
        if packet.payload_len == 0 || !after(gap.end, start) {
            return None;
        }
        let range = Range { start, end, next: gap.end, filled: packet.payload_len };
        let resend = Resend { frame, rtt_ns: pace.rtt_ns, ..range.of(packet, context) };
        Some(self.fill(resend, packet, &gap, pace))
    }

    /// A segment that was overtaken: late, or sent again because it was lost before this point.
    fn fill(&mut self, resend: Resend, packet: &Packet, gap: &Gap, pace: Pace) -> Resend {
        let gap_ns = packet.ts_ns.saturating_sub(gap.ns);
        let resend = Resend { original: Some(gap.frame), gap_ns: Some(gap_ns), ..resend };
        if let Some(proof) = self.is_late(&resend, packet, gap, pace) {
            if let (true, Some(trouble)) = (matches!(proof, Proof::IpId | Proof::Timestamp), &mut self.trouble) {
                trouble.latest_ns = trouble.latest_ns.max(gap_ns);
            }
            return Resend { verdict: Verdict::Reordered, proof: Some(proof), ..resend };
        }
        let heard = self.trouble.as_ref().is_some_and(|trouble| trouble.repeat_ns >= gap.ns);
        let trigger = match (heard, gap_ns >= RTO_MIN_NS) {
            (true, _) => Trigger::RackOrFast,
            (false, true) => Trigger::Rto,
            (false, false) => Trigger::Unknown,
        };
        Resend { verdict: Verdict::LostUpstream, trigger, ..resend }
    }

    /// Whether a segment was sent before those that overtook it, and what shows that. A resend takes a new IP
    /// identification and a new timestamp.
    fn is_late(&self, resend: &Resend, packet: &Packet, gap: &Gap, pace: Pace) -> Option<Proof> {
        if let Some(before) = self.is_before_by_id(packet, gap.ip_id) {
            return before.then_some(Proof::IpId);
        }
        if let Some(before) = is_before_by_stamp(packet, gap.tsval) {
            return before.then_some(Proof::Timestamp);
        }
        let gap_ns = resend.gap_ns?;
        // Both were sent within one tick. To hear of a loss took the sender less than that, so the rest was on the way.
        let one_tick = || self.tick_ns(gap, pace).is_some_and(|tick_ns| gap_ns > 2 * tick_ns);
        if packet.bits.has_timestamps() && one_tick() {
            return Some(Proof::Timestamp);
        }
        // The way is known to hold back what was sent at once for as long: it takes no loss to explain it.
        let held_back = || self.trouble.as_ref().is_some_and(|trouble| gap_ns <= trouble.latest_ns);
        if packet.bits.has_timestamps() && held_back() {
            return Some(Proof::TooSoon);
        }
        let repeated = self.trouble.as_ref().is_some_and(|trouble| trouble.repeat_ns >= gap.ns);
        let too_soon = match resend.rtt_ns {
            Some(rtt_ns) => gap_ns < rtt_ns,
            None => gap_ns < TOO_SOON_NS && !repeated,
        };
        too_soon.then_some(Proof::TooSoon)
    }

    /// The longest that a tick of the sender's timestamps may be, as what it sent earlier shows: whole ticks lie between
    /// two stamps but for a part of one at each end.
    fn tick_ns(&self, gap: &Gap, pace: Pace) -> Option<i64> {
        let longest = |(ns, tsval): (i64, u32)| {
            let ticks = i64::from(gap.tsval.wrapping_sub(tsval) as i32);
            (ticks >= 2).then(|| gap.ns.saturating_sub(ns) / (ticks - 1)).filter(|tick_ns| *tick_ns > 0)
        };
        let kept = self.sent.kept_longest().map(|segment| (segment.ns, segment.tsval));
        pace.asked.into_iter().chain(kept).filter_map(longest).max()
    }

    /// Bytes that had been seen here.
    fn repeat_range(&mut self, resend: Resend, packet: &Packet, range: Range, context: &Context<'_>) -> Resend {
        let before = self.before(range.start);
        let gap_ns = before.map(|before| packet.ts_ns.saturating_sub(before.ns));
        let tsval_before = before.map_or(packet.tsval, |before| before.tsval);
        let resend = Resend { original: before.map(|before| before.frame), gap_ns, tsval_before, ..resend };
        let told_ns = context.handshake.too_big_ns.get();
        let told_since = |before: &Before| told_ns.is_some_and(|ns| ns >= before.ns);
        if before.is_some_and(|before| is_copy(packet, &resend, &before) && !told_since(&before)) {
            return Resend { verdict: Verdict::Duplicate, ..resend };
        }
        if let Some(proof) = before.and_then(|before| self.was_sent_before(packet, &before)) {
            self.trouble().came_late(range.start, proof);
            return Resend { verdict: Verdict::Reordered, proof: Some(proof), acknowledged: true, ..resend };
        }
        let sent_ns = before.map_or(i64::MIN, |before| before.ns);
        if self.trouble().refused.is_some_and(|refused| refused.has(range.start, sent_ns)) {
            return Resend { trigger: Trigger::Persist, verdict: Verdict::Probe, ..resend };
        }
        let trigger = match before {
            Some(before) if before.was_too_long(&resend, context.handshake.segment_len(packet)) => Trigger::Pmtu,
            _ => self.trigger(&resend, packet, range, context),
        };
        let una = self.una;
        let quiet = self.trouble();
        quiet.forget_timeout();
        if trigger == Trigger::Pmtu {
            quiet.shrunk_ns = Some(packet.ts_ns);
        }
        match trigger {
            Trigger::Rto if quiet.recovery.is_none() => quiet.expire(range.start, range.end, range.next),
            Trigger::Tlp => quiet.probed = true,
            _ => {}
        }
        if after(range.end, una) {
            Resend { trigger, verdict: Verdict::LostDownstream, ..resend }
        } else {
            Resend { trigger, ..needless(resend) }
        }
    }

    /// Whether a segment was sent before the one that brought its bytes here first, and what shows that. Timestamps come
    /// first: identifications may have gone round since.
    fn was_sent_before(&self, packet: &Packet, first: &Before) -> Option<Proof> {
        if let Some(before) = is_before_by_stamp(packet, first.tsval) {
            return before.then_some(Proof::Timestamp);
        }
        self.is_before_by_id(packet, first.ip_id)?.then_some(Proof::IpId)
    }

    /// Whether a packet was sent before another with this identification, where that tells.
    fn is_before_by_id(&self, packet: &Packet, ip_id: u16) -> Option<bool> {
        let tells = packet.ip_id != 0 && ip_id != 0 && self.sent.ids_count_up();
        tells.then(|| (packet.ip_id.wrapping_sub(ip_id) as i16) < 0)
    }

    fn before(&self, seq: u32) -> Option<Before> {
        let again = self.trouble.as_ref().and_then(|trouble| trouble.last(seq)).map(|resend| Before {
            ns: resend.ns,
            frame: resend.frame,
            tsval: resend.tsval,
            ip_id: resend.ip_id,
            start: resend.start,
            end: resend.end,
        });
        again.or_else(|| {
            let sent = self.sent.find(seq)?;
            Some(Before {
                ns: sent.ns,
                frame: sent.frame(),
                tsval: sent.tsval,
                ip_id: sent.ip_id,
                start: sent.start(),
                end: sent.end,
            })
        })
    }

    fn trigger(&self, resend: &Resend, packet: &Packet, range: Range, context: &Context<'_>) -> Trigger {
        let since_ns = resend.gap_ns.unwrap_or(i64::MAX);
        let rtt_ns = resend.rtt_ns.unwrap_or(0);
        let trouble = self.trouble.as_deref();
        let told_ns = context.handshake.too_big_ns.get().max(trouble.and_then(|trouble| trouble.shrunk_ns));
        let too_big = told_ns.map(|ns| packet.ts_ns.saturating_sub(ns));
        if too_big.is_some_and(|ns| (0..PMTU_NS.max(rtt_ns)).contains(&ns)) {
            return Trigger::Pmtu;
        }
        if trouble.and_then(|trouble| trouble.recovery).is_some_and(|end| after(end, range.start)) {
            return Trigger::Rto;
        }
        let told = trouble
            .is_some_and(|trouble| trouble.repeats > 0 || trouble.sacked.is_some_and(|high| after(high, range.start)));
        let told_ns = trouble.map_or(i64::MAX, |trouble| packet.ts_ns.saturating_sub(trouble.repeat_ns));
        if told && (told_ns <= rtt_ns + rtt_ns / 4 + 5 * MS || since_ns < RTO_MIN_NS) {
            return Trigger::RackOrFast;
        }
        if self.is_tail_probe(packet, resend, context) && !told {
            return Trigger::Tlp;
        }
        let first = !after(range.start, self.una);
        if since_ns >= RTO_MIN_NS && (first || !told) {
            return Trigger::Rto;
        }
        // Only somebody who heard of it sends again what is not the first in flight.
        if told || !first { Trigger::RackOrFast } else { Trigger::Unknown }
    }

    /// The highest segment once more, after about two round trips; with one segment in flight a delayed acknowledgement
    /// is waited for too (RFC 8985 7.2, Linux `tcp_schedule_loss_probe`).
    fn is_tail_probe(&self, packet: &Packet, resend: &Resend, context: &Context<'_>) -> bool {
        let quiet_ns = packet.ts_ns.saturating_sub(self.last_ns);
        let rtt_ns = resend.rtt_ns.unwrap_or(0);
        let alone = self.sent.outstanding() <= 1;
        let most_ns = 2 * rtt_ns + if alone { 250 * MS } else { 40 * MS };
        let probed = self.trouble.as_ref().is_some_and(|trouble| trouble.probed);
        let one = resend.segments <= 1 && resend.tail;
        one && !probed && context.handshake.may_sack() && (rtt_ns.max(MS)..=most_ns).contains(&quiet_ns)
    }
}

/// What had been acknowledged before.
fn needless(resend: Resend) -> Resend {
    Resend { verdict: Verdict::Spurious, proof: Some(Proof::Acknowledged), acknowledged: true, ..resend }
}

/// Whether a packet was sent before another with this timestamp, where that tells.
fn is_before_by_stamp(packet: &Packet, tsval: u32) -> Option<bool> {
    (packet.bits.has_timestamps() && packet.tsval != tsval).then(|| after(tsval, packet.tsval))
}

/// Whether a packet is the one before once more: a resend takes a new IP identification, and a new timestamp as soon as
/// the clock has gone on.
fn is_copy(packet: &Packet, resend: &Resend, before: &Before) -> bool {
    let gap_ns = packet.ts_ns.saturating_sub(before.ns);
    let stamped = packet.bits.has_timestamps();
    let same = packet.ip_id == before.ip_id && packet.tsval == before.tsval && resend.end == before.end;
    let limit_ns = match (packet.ip_id, resend.rtt_ns) {
        (1.., _) => COPY_NS,
        (0, Some(rtt_ns)) if stamped => rtt_ns.min(COPY_NS),
        (0, None) if stamped => TOO_SOON_NS,
        _ => 0,
    };
    same && gap_ns < limit_ns
}
