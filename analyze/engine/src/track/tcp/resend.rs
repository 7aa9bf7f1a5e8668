//! What is said about one range of sequence numbers that passed again, late, or as a probe.

use crate::track::{Endpoint, FrameId};

/// What made the sender send.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Trigger {
    /// Nothing that was seen explains it.
    #[default]
    Unknown,
    /// The SYN's timer (RFC 6298; Linux `tcp_syn_linear_timeouts` since 6.5).
    SynRto,
    /// The SYN-ACK's timer.
    SynAckRto,
    /// The retransmission timer (RFC 6298), or the recovery after it.
    Rto,
    /// Selective or repeated acknowledgements (RFC 5681, 6675, 8985).
    RackOrFast,
    /// Tail loss probe (RFC 8985 7).
    Tlp,
    /// Zero window probe (RFC 9293 3.8.6.1).
    Persist,
    /// Keep-alive probe (RFC 9293 3.8.4).
    KeepAlive,
    /// ICMP said that the packet is too big (RFC 1191, 8201).
    Pmtu,
}

impl Trigger {
    /// Name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::SynRto => "syn_rto",
            Self::SynAckRto => "synack_rto",
            Self::Rto => "rto",
            Self::RackOrFast => "rack_or_fast",
            Self::Tlp => "tlp",
            Self::Persist => "persist",
            Self::KeepAlive => "keepalive",
            Self::Pmtu => "pmtu",
        }
    }
}

/// What it means.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Verdict {
    /// Sent again; the original passed this point and was lost behind it.
    #[default]
    LostDownstream,
    /// Sent again; the original was lost before this point.
    LostUpstream,
    /// Overtaken by later segments, not lost.
    Reordered,
    /// One packet that the network or the capture made two of.
    Duplicate,
    /// Sent again though the original had arrived.
    Spurious,
    /// A probe, which carries nothing new.
    Probe,
    /// A handshake segment sent again because nothing came back, or one of which nobody can tell any more whether it had
    /// passed before.
    Unanswered,
    /// Far outside of the window: not part of the connection's data.
    OutOfWindow,
}

impl Verdict {
    /// Name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::LostDownstream => "lost_downstream",
            Self::LostUpstream => "lost_upstream",
            Self::Reordered => "reordered",
            Self::Duplicate => "duplicate",
            Self::Spurious => "spurious",
            Self::Probe => "probe",
            Self::Unanswered => "unanswered",
            Self::OutOfWindow => "out_of_window",
        }
    }
}

/// Why a resend is known to have been needless, or a late segment to be late only.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Proof {
    /// The receiver reported the range as received twice (RFC 2883, 3708).
    Dsack,
    /// The acknowledgement answers the original: it echoes an older timestamp (RFC 3522).
    Eifel,
    /// After a timeout, data that was never sent again was acknowledged (RFC 5682).
    Frto,
    /// The acknowledgement came sooner than a round trip takes.
    EarlyAck,
    /// It had been acknowledged at this point before it was sent again.
    Acknowledged,
    /// The IP identification shows the order of sending.
    IpId,
    /// The TCP timestamp shows the order of sending.
    Timestamp,
    /// There was no time for the sender to hear of a loss.
    TooSoon,
    /// An acknowledgement of it was lost: one came later than any is held back, or told of a copy after several were
    /// sent. Whether the segment was lost as well, nobody can tell.
    AckLost,
}

impl Proof {
    /// Name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dsack => "dsack",
            Self::Eifel => "eifel",
            Self::Frto => "frto",
            Self::EarlyAck => "early_ack",
            Self::Acknowledged => "acknowledged",
            Self::IpId => "ip_id",
            Self::Timestamp => "timestamp",
            Self::TooSoon => "too_soon",
            Self::AckLost => "ack_lost",
        }
    }
}

/// One range that passed out of order, and what became of it.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Resend {
    pub(crate) ns: i64,
    pub(crate) frame: FrameId,
    /// The transmission before, or the segment that overtook a late one.
    pub(crate) original: Option<FrameId>,
    /// Since then.
    pub(crate) gap_ns: Option<i64>,
    pub(crate) start: u32,
    pub(crate) end: u32,
    pub(crate) tsval: u32,
    /// Timestamp of the transmission before.
    pub(crate) tsval_before: u32,
    pub(crate) ip_id: u16,
    /// Segments with payload it stands for; 0 where it has none.
    pub(crate) segments: u16,
    pub(crate) trigger: Trigger,
    pub(crate) verdict: Verdict,
    pub(crate) proof: Option<Proof>,
    /// Whether the other end acknowledged it.
    pub(crate) acknowledged: bool,
    /// Whether it is as long as segments of the connection can be.
    pub(crate) full: bool,
    /// Whether it is the end of all that was sent until then.
    pub(crate) tail: bool,
    /// Whether it begins with the first byte that this end sent.
    pub(crate) first: bool,
    /// Round trip of the connection then.
    pub(crate) rtt_ns: Option<i64>,
}

/// One row of `tcp_events`.
#[derive(Clone, Debug)]
pub struct TcpEvent {
    /// Capture point.
    pub point: u16,
    /// Tunnel; 0 is none.
    pub tunnel: u32,
    /// Who started the connection.
    pub orig: Endpoint,
    /// Who was addressed.
    pub resp: Endpoint,
    /// Whether the originator sent it.
    pub from_orig: bool,
    /// When.
    pub ns: i64,
    /// Where.
    pub frame: FrameId,
    /// Frame of the transmission before, or of the segment that overtook it.
    pub original: Option<FrameId>,
    /// Since that frame, nanoseconds.
    pub gap_ns: Option<i64>,
    /// First sequence number.
    pub seq: u32,
    /// Bytes of sequence space.
    pub len: u32,
    /// Segments with payload it stands for.
    pub segments: u16,
    /// What made the sender send.
    pub trigger: Trigger,
    /// What it means.
    pub verdict: Verdict,
    /// What proves it.
    pub proof: Option<Proof>,
    /// Whether the other end acknowledged it.
    pub acknowledged: bool,
    /// Round trip of the connection then, nanoseconds.
    pub rtt_ns: Option<i64>,
}
