//! What only a connection with trouble needs: holes, repeated acknowledgements, ranges sent again, closed windows.

use super::resend::{Proof, Resend, Trigger, Verdict};
use super::sum::Sum;
use crate::packet::Packet;
use crate::track::holes::MOST;
use crate::track::lane::after;
use smallvec::SmallVec;
use std::collections::VecDeque;

/// A range that a later segment jumped over, and that segment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Gap {
    pub(crate) start: u32,
    pub(crate) end: u32,
    pub(crate) ns: i64,
    pub(crate) tsval: u32,
    pub(crate) ip_id: u16,
    pub(crate) frame: crate::track::FrameId,
}

impl Gap {
    /// From there to the segment that jumped over it.
    pub(crate) fn of(packet: &Packet, start: u32, frame: crate::track::FrameId) -> Self {
        let Packet { seq: end, ts_ns: ns, tsval, ip_id, .. } = *packet;
        Self { start, end, ns, tsval, ip_id, frame }
    }
}

/// Data that was on its way when the receiver took its window back: it came, and was thrown away (RFC 9293 3.8.6 calls
/// that shrinking the window; Linux does it when its memory is short).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refused {
    pub(crate) start: u32,
    pub(crate) end: u32,
    pub(crate) ns: i64,
}

impl Refused {
    /// Whether a byte that was sent at a time was refused.
    pub(crate) fn has(&self, seq: u32, sent_ns: i64) -> bool {
        !after(self.start, seq) && after(self.end, seq) && sent_ns <= self.ns
    }
}

/// When an end announced that it takes no more data.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Closed {
    pub(crate) since_ns: i64,
    pub(crate) total_ns: i64,
    pub(crate) longest_ns: i64,
    pub(crate) times: u32,
    /// Where the first announcement was.
    pub(crate) frame: crate::track::FrameId,
}

/// A timeout that may turn out needless (RFC 5682).
#[derive(Clone, Copy, Debug)]
struct Timeout {
    start: u32,
    end: u32,
    /// Highest sequence number sent before.
    max: u32,
    advanced: u8,
}

/// The trouble of one end's data.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trouble {
    gaps: VecDeque<Gap>,
    /// Whether one had to go that nobody had acknowledged, so that bytes not known to be missing may be.
    pub(crate) forgot: bool,
    /// What the receiver has refused, and when last.
    pub(crate) refused: Option<Refused>,
    /// What an acknowledgement of this end shows to have been sent, though it has not come.
    pub(crate) ahead: Option<Gap>,
    /// Acknowledgements that repeat the highest one, since it was reached.
    pub(crate) repeats: u32,
    /// Last repeated or selective acknowledgement.
    pub(crate) repeat_ns: i64,
    /// Highest selectively acknowledged sequence number, above the cumulative one.
    pub(crate) sacked: Option<u32>,
    /// Whether the tail was probed since the last acknowledgement of something new.
    pub(crate) probed: bool,
    /// End of what was in flight when the timer expired; below it, recovery goes on.
    pub(crate) recovery: Option<u32>,
    /// When a segment came again in smaller pieces: the sender has learned then what the way takes, though the ICMP error
    /// was not seen, or its quote was cut.
    pub(crate) shrunk_ns: Option<i64>,
    /// The longest that a segment came behind what overtook it, where its identification or timestamp shows that it did.
    pub(crate) latest_ns: i64,
    timeout: Option<Timeout>,
    pending: VecDeque<Resend>,
    /// How many of these wait for their acknowledgement.
    waiting: u32,
    pub(crate) sum: Sum,
    pub(crate) closed: Closed,
}

/// Gaps kept, as many as holes; the oldest goes when there are more.
const GAPS: usize = MOST;
/// Ranges that wait for their proof; the oldest is judged as it stands when there are more.
const PENDING: usize = 128;

impl Trouble {
    pub(crate) fn open(&mut self, gap: Gap) {
        if self.gaps.len() == GAPS {
            self.gaps.pop_front();
            self.forgot = true;
        }
        self.gaps.push_back(gap);
    }

    /// The gap that this byte is in.
    pub(crate) fn gap_at(&self, seq: u32) -> Option<&Gap> {
        self.gaps.iter().rev().find(|gap| !after(gap.start, seq) && after(gap.end, seq))
    }

    /// The last time a byte was sent again.
    pub(crate) fn last(&self, seq: u32) -> Option<&Resend> {
        let covers = |resend: &&Resend| !after(resend.start, seq) && after(resend.end, seq);
        self.pending.iter().rev().filter(|resend| resend.verdict != Verdict::Probe).find(covers)
    }

    /// Remembers a range; what there is no room for comes back, judged as it stands.
    pub(crate) fn remember(&mut self, resend: Resend) -> Option<Resend> {
        self.waiting += u32::from(resend.waits());
        self.pending.push_back(resend);
        let first = self.pending.len() > PENDING;
        first.then(|| self.settle()).flatten()
    }

    /// Judges the oldest range.
    fn settle(&mut self) -> Option<Resend> {
        let resend = self.pending.pop_front()?;
        self.waiting -= u32::from(resend.waits());
        self.sum.add(&resend);
        Some(resend)
    }

    /// Judges everything.
    pub(crate) fn settle_all(&mut self) -> Vec<Resend> {
        std::iter::from_fn(|| self.settle()).collect()
    }

    /// A timeout: what was in flight, `start..max`, is taken for lost.
    pub(crate) fn expire(&mut self, start: u32, end: u32, max: u32) {
        self.recovery = Some(max);
        let quiet = self.repeats == 0 && self.sacked.is_none();
        self.timeout = quiet.then_some(Timeout { start, end, max, advanced: 0 });
    }

    /// Something new was acknowledged. `echo` is the timestamp it echoes, read only where it matters.
    pub(crate) fn acknowledged(&mut self, packet: &Packet, rtt_ns: Option<i64>, echo: impl FnOnce() -> Option<u32>) {
        let ack = packet.ack;
        (self.repeats, self.probed) = (0, false);
        self.recovery = self.recovery.filter(|end| after(*end, ack));
        self.sacked = self.sacked.filter(|high| after(*high, ack));
        self.gaps.retain(|gap| after(gap.end, ack));
        self.ahead = self.ahead.filter(|gap| after(gap.end, ack));
        self.refused = self.refused.filter(|refused| after(refused.end, ack));
        self.advance_timeout(ack);
        let answered = |resend: &Resend| resend.waits() && !after(resend.end, ack);
        if self.waiting == 0 || !self.pending.iter().any(answered) {
            return;
        }
        let first = self.pending.iter().find(|resend| resend.waits()).map(|resend| resend.tsval);
        let echo = echo();
        let older = matches!((first, echo), (Some(first), Some(echo)) if after(first, echo));
        // An acknowledgement that echoes the resend's timestamp answers it, however soon it comes.
        let answers = |resend: &Resend| {
            resend.tsval != resend.tsval_before && echo.is_some_and(|echo| !after(resend.tsval, echo))
        };
        let early_ns = rtt_ns.filter(|&ns| ns >= MEASURABLE_NS).unwrap_or(0) / 2;
        let last_ns = self.pending.iter().filter(|resend| answered(resend)).map(|resend| resend.ns).max();
        let at_once_ns = rtt_ns.unwrap_or(0) + HELD_BACK_NS;
        let late = last_ns.is_some_and(|last_ns| packet.ts_ns - last_ns > at_once_ns);
        for resend in self.pending.iter_mut().filter(|resend| answered(resend)) {
            resend.acknowledged = true;
            self.waiting -= 1;
            if older {
                resend.excuse(Proof::Eifel);
            } else if packet.ts_ns - resend.ns < early_ns && !answers(resend) {
                resend.excuse(Proof::EarlyAck);
            } else if late {
                resend.excuse_unheard();
            }
        }
    }

    /// Whether another acknowledgement of something new changes nothing.
    pub(crate) fn is_settled(&self) -> bool {
        let nothing_told = self.repeats == 0 && !self.probed && self.sacked.is_none() && self.refused.is_none();
        let nothing_open = self.gaps.is_empty() && self.ahead.is_none() && self.waiting == 0;
        nothing_told && nothing_open && self.recovery.is_none() && self.timeout.is_none()
    }

    /// After a timeout, two acknowledgements in a row that go on into data never sent again: it had all arrived.
    fn advance_timeout(&mut self, ack: u32) {
        let Some(timeout) = &mut self.timeout else { return };
        if self.sacked.is_some() || after(ack, timeout.max) {
            self.timeout = None;
            return;
        }
        if after(ack, timeout.end) {
            timeout.advanced += 1;
        }
        if timeout.advanced >= 2 {
            let start = timeout.start;
            self.timeout = None;
            if let Some(resend) = self.pending.iter_mut().rev().find(|resend| resend.start == start) {
                resend.excuse(Proof::Frto);
            }
        }
    }

    /// Something else is sent again, so that acknowledgements prove nothing about the timeout any more.
    pub(crate) fn forget_timeout(&mut self) {
        self.timeout = None;
    }

    /// The receiver says that it had these bytes already: several segments where it merged them (GRO). Of each one copy is
    /// excused for each such report, the latest first.
    pub(crate) fn received_twice(&mut self, start: u32, end: u32) {
        let mut excused: SmallVec<[u32; 8]> = SmallVec::new();
        let meant = |resend: &&mut Resend| {
            let needless = matches!(resend.verdict, Verdict::LostDownstream | Verdict::LostUpstream);
            needless && after(end, resend.start) && after(resend.end, start)
        };
        for resend in self.pending.iter_mut().rev().filter(meant) {
            let inside = !after(start, resend.start) && !after(resend.end, end);
            if excused.contains(&resend.start) || !excused.is_empty() && !inside {
                // It had arrived before, and what was said then was lost: nothing tells how often.
                resend.excuse_unheard();
            } else {
                excused.push(resend.start);
                resend.excuse(Proof::Dsack);
            }
        }
    }

    /// The transmission before the one that filled a hole comes after it: it had not been lost, and this shows it.
    pub(crate) fn came_late(&mut self, seq: u32, proof: Proof) {
        let covers = |resend: &&mut Resend| !after(resend.start, seq) && after(resend.end, seq);
        let filled =
            self.pending.iter_mut().rev().filter(|resend| resend.verdict == Verdict::LostUpstream).find(covers);
        if let Some(resend) = filled {
            resend.excuse(proof);
        }
    }

    /// Bytes held.
    pub(crate) fn held(&self) -> usize {
        size_of::<Self>() + self.gaps.capacity() * size_of::<Gap>() + self.pending.capacity() * size_of::<Resend>()
    }
}

/// The longest a receiver holds an acknowledgement back: Linux 200 ms (`TCP_DELACK_MAX`), and a tick of the clock. One that
/// comes later answers nothing that was sent: the receiver sent it again, with data, because the one before was lost.
const HELD_BACK_NS: i64 = 210_000_000;
/// Round trips below this vary too much for an acknowledgement to come too early.
const MEASURABLE_NS: i64 = 1_000_000;

impl Resend {
    /// Whether its acknowledgement is still to come.
    fn waits(&self) -> bool {
        !self.acknowledged && self.verdict != Verdict::Probe
    }

    /// It was needless, and this shows it.
    fn excuse(&mut self, proof: Proof) {
        let excusable = match self.verdict {
            Verdict::LostDownstream => true,
            Verdict::LostUpstream => matches!(proof, Proof::Dsack | Proof::IpId | Proof::Timestamp),
            _ => false,
        };
        if excusable {
            (self.verdict, self.proof) = (Verdict::Spurious, Some(proof));
        }
    }

    /// Acknowledgements of it were lost, so that what was sent because nothing was heard tells no loss. What was sent
    /// because the receiver missed it does.
    fn excuse_unheard(&mut self) {
        if self.trigger != Trigger::RackOrFast {
            self.excuse(Proof::AckLost);
        }
    }

    /// Whether the segment was needed: what it carries had been lost.
    pub(crate) fn is_lost(&self) -> bool {
        let lost = match self.verdict {
            // What is never acknowledged may have met a dead end, not a lossy way.
            Verdict::LostDownstream => self.acknowledged,
            Verdict::LostUpstream => true,
            _ => false,
        };
        lost && self.trigger != Trigger::Pmtu
    }
}

impl Closed {
    /// The window closes.
    pub(crate) fn close(&mut self, ns: i64, frame: crate::track::FrameId) {
        if self.times == 0 {
            self.frame = frame;
        }
        self.times += 1;
        self.since_ns = ns;
    }

    /// It opens, or the connection ends.
    pub(crate) fn open(&mut self, ns: i64) {
        let closed_ns = ns.saturating_sub(self.since_ns).max(0);
        self.total_ns += closed_ns;
        self.longest_ns = self.longest_ns.max(closed_ns);
    }
}
