//! What one end's data went through, in numbers.

use super::resend::{Proof, Resend, Trigger, Verdict};
use crate::track::{Few, FrameId};

/// Numbers of one end's data at one place. Segments are real ones: an offloaded packet counts as what it is cut into.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum {
    /// Segments sent again here that the other end acknowledged in the end, needless ones included.
    pub again: u32,
    /// Segments sent again here and never acknowledged.
    pub unanswered: u32,
    /// Of those sent again, needless ones.
    pub spurious: u32,
    /// Of the needless ones, those that the receiver asked for though they had only been overtaken.
    pub overtaken: u32,
    /// Of the needless ones, those that may have been lost as well, as acknowledgements of them were.
    pub unheard: u32,
    /// Segments lost before they came here.
    pub upstream: u32,
    /// Segments overtaken by later ones.
    pub reordered: u32,
    /// Segments that came twice.
    pub duplicates: u32,
    /// Segments sent again because ICMP asked for smaller ones.
    pub too_big: u32,
    /// Zero window probes.
    pub persist: u32,
    /// Segments far outside the window.
    pub out_of_window: u32,
    /// Of those lost: brought back by a timeout.
    pub by_rto: u32,
    /// Of those lost: brought back by repeated or selective acknowledgements.
    pub by_fast: u32,
    /// Of those lost: brought back by a tail loss probe.
    pub by_tlp: u32,
    /// Of those lost: in runs of three or more.
    pub burst: u32,
    /// Of those lost: alone at the end of what was sent.
    pub tail: u32,
    /// Of those lost: the first that this end sent.
    pub first: u32,
    /// Of those lost: shorter than a full segment.
    pub short: u32,
    /// Time from the first transmission to the one that was needed, waits that overlap counted once, nanoseconds.
    pub stall_ns: i64,
    /// The longest of these waits, nanoseconds.
    pub longest_ns: i64,
    /// First and last lost segment, nanoseconds since the epoch.
    pub span_ns: Option<(i64, i64)>,
    /// Frames of lost segments, a few.
    pub lost_frames: Few<FrameId, 6>,
    /// Frames of reordered segments and duplicates, a few.
    pub odd_frames: Few<FrameId, 3>,
    run: Run,
}

/// Lost segments one after another.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    start: u32,
    end: u32,
    segments: u32,
    stalled_to_ns: i64,
}

/// Segments in a row before their loss is a burst.
const BURST: u32 = 3;

impl Sum {
    /// Segments lost, before this place and behind it.
    pub fn lost(&self) -> u32 {
        self.upstream + self.downstream()
    }

    /// Segments lost behind this place.
    pub fn downstream(&self) -> u32 {
        self.again.saturating_sub(self.spurious)
    }

    pub(crate) fn add(&mut self, resend: &Resend) {
        let segments = u32::from(resend.segments);
        match resend.verdict {
            Verdict::Probe => self.persist += u32::from(resend.trigger == Trigger::Persist),
            Verdict::OutOfWindow => self.out_of_window += 1,
            _ if resend.trigger == Trigger::Pmtu => self.too_big += segments,
            Verdict::LostDownstream if resend.acknowledged => self.again += segments,
            Verdict::LostDownstream => self.unanswered += segments,
            Verdict::LostUpstream => self.upstream += segments,
            Verdict::Spurious => {
                self.again += segments;
                self.spurious += segments;
                self.unheard += if resend.proof == Some(Proof::AckLost) { segments } else { 0 };
                self.overtaken += if resend.trigger == Trigger::RackOrFast { segments } else { 0 };
            }
            Verdict::Reordered => self.reordered += segments,
            Verdict::Duplicate => self.duplicates += segments,
            Verdict::Unanswered => {}
        }
        if matches!(resend.verdict, Verdict::Reordered | Verdict::Duplicate) {
            self.odd_frames.push(resend.frame);
        }
        if resend.is_lost() && segments > 0 {
            self.lose(resend, segments);
        }
    }

    fn lose(&mut self, resend: &Resend, segments: u32) {
        match resend.trigger {
            Trigger::Rto => self.by_rto += segments,
            Trigger::Tlp => self.by_tlp += segments,
            Trigger::RackOrFast => self.by_fast += segments,
            _ => {}
        }
        self.short += if resend.full { 0 } else { segments };
        self.first += if resend.first { segments } else { 0 };
        self.tail += if resend.tail { segments } else { 0 };
        self.lost_frames.push(resend.frame);
        let (first, _) = self.span_ns.unwrap_or((resend.ns, resend.ns));
        self.span_ns = Some((first, resend.ns));
        self.run_on(resend, segments);
        self.stall(resend);
    }

    fn run_on(&mut self, resend: &Resend, segments: u32) {
        let goes_on = self.run.segments > 0 && (resend.start == self.run.end || resend.start == self.run.start);
        let before = if goes_on { self.run.segments } else { 0 };
        let now = before + segments;
        if now >= BURST {
            self.burst += if before >= BURST { segments } else { now };
        }
        self.run = Run { start: resend.start, end: resend.end, segments: now, ..self.run };
    }

    fn stall(&mut self, resend: &Resend) {
        let Some(gap_ns) = resend.gap_ns else { return };
        let from = (resend.ns - gap_ns).max(self.run.stalled_to_ns);
        self.stall_ns += (resend.ns - from).max(0);
        self.longest_ns = self.longest_ns.max(gap_ns);
        self.run.stalled_to_ns = self.run.stalled_to_ns.max(resend.ns);
    }
}
