//! A conversation: both directions of an address and port pair since its last new SYN.

use super::flags::Flags;
use super::segment::{Handshake, Segment};
use super::side::{Scale, Side};
use crate::track::key::End;

/// What tshark says of one segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Verdict {
    pub(super) flags: Flags,
    /// Since when a retransmission was due, nanoseconds.
    pub(super) rto_ns: Option<i64>,
    /// Since when the segment that this one acknowledges waited, nanoseconds.
    pub(super) ack_rtt_ns: Option<i64>,
}

/// State of a conversation.
#[derive(Clone, Debug, Default)]
pub(super) struct Conversation {
    low: Side,
    high: Side,
    /// The last SYN; 0 is none.
    syn_ns: i64,
    /// Last SYN to first acknowledgement; 0 is not known.
    rtt_ns: i64,
    /// Whether a SYN carried a cookie and data.
    has_early_data: bool,
}

impl Conversation {
    /// Counts a segment.
    pub(super) fn take(&mut self, end: End, segment: &Segment) -> Verdict {
        let mut flags = self.begin_anew(end, segment);
        let rtt_ns = self.rtt_ns;
        let (fwd, rev) = self.sides(end);
        let mut verdict = analyse(fwd, rev, segment, rtt_ns, &mut flags);
        self.handshake(end, segment, &mut flags);
        verdict.flags = flags;
        if segment.is_whole { verdict } else { Verdict::default() }
    }

    /// The sender's direction, and the other.
    fn sides(&mut self, end: End) -> (&mut Side, &mut Side) {
        match end {
            End::Low => (&mut self.low, &mut self.high),
            End::High => (&mut self.high, &mut self.low),
        }
    }

    /// A SYN with another number than the one before begins a new conversation; a SYN-ACK with another one is only told.
    fn begin_anew(&mut self, end: End, segment: &Segment) -> Flags {
        let (fwd, _) = self.sides(end);
        let Some(base) = fwd.base else { return Flags::default() };
        match segment.handshake() {
            Handshake::Syn if base != segment.seq => *self = Self::default(),
            Handshake::SynAck if base != segment.seq => fwd.base = Some(segment.seq),
            // What a reset said in between of the sequence does not count.
            Handshake::Syn => {
                fwd.next = fwd.ackable;
                return Flags::default();
            }
            _ => return Flags::default(),
        }
        Flags::REUSED_PORTS
    }

    /// What the handshake tells: round trip, window scale, fast open.
    fn handshake(&mut self, end: End, segment: &Segment, flags: &mut Flags) {
        match segment.handshake() {
            Handshake::Syn => self.syn_ns = segment.ts_ns,
            Handshake::SynAck => flags.add(self.early_data_answered(end, segment)),
            Handshake::Ack => {
                if self.syn_ns != 0 && self.rtt_ns == 0 {
                    self.rtt_ns = segment.ts_ns.saturating_sub(self.syn_ns);
                }
                self.sides(end).0.is_first_ack = false;
                return;
            }
            Handshake::None => return,
        }
        self.sides(end).0.is_first_ack = true;
        if segment.is_whole {
            self.options(end, segment, flags);
        }
    }

    /// How a SYN-ACK answers data sent with the SYN.
    fn early_data_answered(&mut self, end: End, segment: &Segment) -> Flags {
        let has_early_data = self.has_early_data;
        let (_, rev) = self.sides(end);
        match segment.ack.wrapping_sub(rev.base.unwrap_or_default()) {
            2.. => Flags::TFO_ACK,
            _ if has_early_data => Flags::TFO_IGNORED,
            _ => Flags::default(),
        }
    }

    fn options(&mut self, end: End, segment: &Segment, flags: &mut Flags) {
        let is_syn = segment.handshake() == Handshake::Syn;
        if is_syn && segment.has_cookie {
            flags.add(Flags::TFO_SYN);
            self.has_early_data |= segment.len > 0;
        }
        let (fwd, rev) = self.sides(end);
        if let Some(bits) = segment.window_scale {
            fwd.scale = Scale::Shift(bits);
        }
        if fwd.scale == Scale::Unknown {
            (fwd.scale, rev.scale) = (Scale::Unused, Scale::Unused);
        } else if !is_syn && rev.scale == Scale::Unused {
            fwd.scale = Scale::Unused;
        }
    }

    /// Bytes that segments waiting for their acknowledgement take.
    pub(super) fn extra_bytes(&self) -> usize {
        self.low.unacked.bytes() + self.high.unacked.bytes()
    }
}

/// The rules of one segment, in tshark's order.
fn analyse(fwd: &mut Side, rev: &mut Side, segment: &Segment, rtt_ns: i64, flags: &mut Flags) -> Verdict {
    fwd.begin(rev, segment);
    flags.add(fwd.place(rev, segment));
    fwd.count_dup_ack(segment, *flags);
    let acknowledges = matches!(segment.handshake(), Handshake::Ack | Handshake::SynAck);
    flags.add_if(acknowledges && rev.is_unseen(segment.ack), Flags::ACK_LOST_SEGMENT);
    let may_be_resent = segment.takes_sequence() && !flags.has(Flags::KEEP_ALIVE);
    let resent = if may_be_resent { fwd.resent(rev, segment, rtt_ns) } else { Flags::default() };
    flags.add(resent);
    // The other two kinds are retransmissions as well, but tshark gives no time for them.
    let due_ns = Some(fwd.due_since_ns()).filter(|_| resent == Flags::RETRANSMISSION);
    flags.add_if(!resent.is_empty() && resent != Flags::OUT_OF_ORDER, Flags::RETRANSMISSION);
    fwd.store(segment, *flags);
    let sent_ns = rev.unacked.acknowledge(segment.ack);
    let since = |then_ns: i64| Some(segment.ts_ns.saturating_sub(then_ns)).filter(|ns| *ns != 0);
    Verdict { flags: *flags, rto_ns: due_ns.and_then(since), ack_rtt_ns: sent_ns.and_then(since) }
}
