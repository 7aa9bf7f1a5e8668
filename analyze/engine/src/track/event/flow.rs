//! What is left of a connection.

use super::{FrameId, IcmpCode};
use crate::Addr;
use crate::track::endpoint::Endpoint;
use crate::track::few::{Few, History};
use crate::track::maybe::MaybeNs;
use crate::track::passage::Passed;
use crate::track::tcp::side::{Idle, TcpSide};

/// Outcome of a connection in Zeek's words (`conn_state`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum ConnState {
    /// Attempt without reply.
    S0,
    /// Established, not finished.
    S1,
    /// Finished normally by both.
    Sf,
    /// Attempt rejected.
    Rej,
    /// Originator closed, responder did not answer that.
    S2,
    /// Responder closed, originator did not answer that.
    S3,
    /// Established, then reset by the originator.
    Rsto,
    /// Established, then reset by the responder.
    Rstr,
    /// SYN, then reset by the originator itself.
    Rstos0,
    /// SYN-ACK, then reset by the responder, and never a SYN.
    Rstrh,
    /// SYN and FIN from the originator, never a SYN-ACK.
    Sh,
    /// SYN-ACK and FIN from the responder, never a SYN.
    Shr,
    /// No handshake seen.
    #[default]
    Oth,
}

impl ConnState {
    /// Zeek's spelling.
    pub fn name(self) -> &'static str {
        match self {
            Self::S0 => "S0",
            Self::S1 => "S1",
            Self::Sf => "SF",
            Self::Rej => "REJ",
            Self::S2 => "S2",
            Self::S3 => "S3",
            Self::Rsto => "RSTO",
            Self::Rstr => "RSTR",
            Self::Rstos0 => "RSTOS0",
            Self::Rstrh => "RSTRH",
            Self::Sh => "SH",
            Self::Shr => "SHR",
            Self::Oth => "OTH",
        }
    }
}

/// What one side of a connection did. Packets and bytes are those of the leg that saw most.
#[derive(Clone, Debug, Default)]
pub struct Side {
    /// Packets.
    pub packets: u32,
    /// IP bytes, headers included.
    pub bytes: u64,
    /// Payload bytes, retransmitted ones included.
    pub payload_bytes: u64,
    /// Payload bytes sent again.
    pub retransmitted_bytes: u64,
    /// Payload bytes the peer acknowledged although the capture does not have them.
    pub missed_bytes: u64,
    /// Segments with bytes sent again.
    pub retransmitted_packets: u32,
    /// Segments that filled a gap.
    pub out_of_order: u32,
    /// The same packet seen again on the same interface.
    pub duplicates: u32,
    /// SYN segments.
    pub syns: u32,
    /// Keep-alive probes.
    pub keepalives: u32,
    /// MSS announced.
    pub mss: Option<u16>,
    /// Window scale announced.
    pub window_scale: Option<u8>,
    /// TTL of its first packet.
    pub ttl: Option<u8>,
    /// Initial sequence number, when its SYN was seen.
    pub isn: Option<u32>,
    /// TCP timestamp of its first SYN.
    pub tsval: Option<u32>,
    /// Of datagrams: what tells the first one's payload from others'.
    pub sample: Option<u32>,
    /// Window and options of its SYN that no router changes; of datagrams, the length of the first.
    pub shape: u32,
    /// Sequence number behind the highest byte that it sent, where it was seen first.
    pub sent: Option<u32>,
    /// Highest acknowledgement that it sent, where it was seen first.
    pub acknowledged: Option<u32>,
    /// Whether it announced a window of 0.
    pub zero_window: bool,
    /// Whether it finished.
    pub fin: bool,
    /// Most IP bytes of a packet, where it was seen first.
    pub largest_packet: u16,
    /// Whether the peer acknowledged everything that was seen first.
    pub all_acked: bool,
    /// What became of its data, where it is TCP.
    pub tcp: TcpSide,
}

/// A reset of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Reset {
    /// Whether the originator's address sent it.
    pub by_orig: bool,
    /// When.
    pub ns: i64,
    /// Its TTL, which tells how far away it was made.
    pub ttl: u8,
    /// Capture point.
    pub point: u16,
    /// Tunnel it came in.
    pub tunnel: u32,
    /// Whether it acknowledges nothing: who sends it knows of no connection (RFC 9293 3.10.7.1).
    pub bare: bool,
    /// Where.
    pub frame: FrameId,
    /// Resets in all.
    pub count: u32,
}

/// An ICMP error as it hit a connection.
#[derive(Clone, Copy, Debug)]
pub struct Rejection {
    /// Who sent it.
    pub from: Addr,
    /// Whether it is about what the originator sent, and not about an answer.
    pub of_orig: bool,
    /// Type and code.
    pub icmp: IcmpCode,
    /// Its TTL.
    pub ttl: u8,
    /// When.
    pub ns: i64,
    /// Where.
    pub frame: FrameId,
    /// Errors in all.
    pub count: u32,
}

/// What one side sent and its peer never acknowledged: the segment that is sent again and again, as the places saw it
/// that it reached, and bytes that never reached the others.
#[derive(Clone, Debug, Default)]
pub struct Stall {
    /// Whether the originator sent it.
    pub by_orig: bool,
    /// Sequence number of the first byte without acknowledgement.
    pub seq: u32,
    /// Times the segment there was sent again, where that was seen.
    pub resent: u32,
    /// Bytes of the IP packet it was sent again in, the smallest.
    pub ip_len: u32,
    /// When it was first sent again.
    pub first_ns: i64,
    /// When it was last sent again.
    pub last_ns: i64,
    /// Frames in which it was sent again, a few.
    pub frames: Few<FrameId, 4>,
    /// Whether the peer sent anything after that.
    pub peer_lives: bool,
    /// Whether the peer sent its FIN again, as who lacks the acknowledgement does.
    pub peer_repeats: bool,
    /// Bytes from there on that never came to the place that misses most of them, though later ones did.
    pub missing: u32,
    /// The segment without payload that shows it, if one does.
    pub revealed: Option<(i64, FrameId)>,
    /// Points and tunnels where it was seen to be sent again.
    pub seen_at: Few<(u16, u32), 16>,
    /// Points and tunnels that saw other packets of the side and not this.
    pub unseen_at: Few<(u16, u32), 16>,
}

/// Where a connection was seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LegSeen {
    /// Capture point.
    pub point: u16,
    /// Tunnel; 0 is none.
    pub tunnel: u32,
    /// Packets from the originator.
    pub orig_packets: u64,
    /// Packets from the responder.
    pub resp_packets: u64,
    /// Payload bytes of the originator.
    pub orig_payload: u64,
    /// Payload bytes of the responder.
    pub resp_payload: u64,
    /// SYNs of the originator.
    pub syns: u32,
    /// TTL of the originator's first packet here.
    pub orig_ttl: Option<u8>,
    /// TTL of the responder's first packet here.
    pub resp_ttl: Option<u8>,
    /// First packet here.
    pub first_ns: i64,
    /// Whether the originator's packets enter the tunnel at its end `a`.
    pub orig_from_a: bool,
    /// Whether the interface took the originator's first packet here for another host's, as a bridge's ports do with what
    /// they pass on, and hosts with what they drop.
    pub orig_strays: bool,
}

impl LegSeen {
    /// Whether packets of both ends were seen here.
    pub fn is_two_way(&self) -> bool {
        self.orig_packets > 0 && self.resp_packets > 0
    }
}

/// A connection, all legs rolled up.
#[derive(Clone, Debug)]
pub struct Flow {
    /// Unit of the inputs it belongs to (see [`kcap_file::Batch::unit`]).
    pub unit: u32,
    /// Who started it.
    pub orig: Endpoint,
    /// Who was addressed.
    pub resp: Endpoint,
    /// IP protocol.
    pub proto: u8,
    /// First packet.
    pub first_ns: i64,
    /// Last packet.
    pub last_ns: i64,
    /// First frame.
    pub first: FrameId,
    /// Outcome.
    pub state: ConnState,
    /// Zeek's history letters.
    pub history: History,
    /// Originator.
    pub from_orig: Side,
    /// Responder.
    pub from_resp: Side,
    /// SYN to SYN-ACK: the way to the responder and back, nanoseconds. Not measured when the SYN was sent again.
    pub rtt_resp_ns: MaybeNs,
    /// SYN-ACK to ACK: the way to the originator and back, nanoseconds. Not measured when the SYN-ACK was sent again.
    pub rtt_orig_ns: MaybeNs,
    /// First SYN to first data of the responder or end, as far as known.
    pub syn_ns: MaybeNs,
    /// What few connections have.
    pub(crate) odd: Option<Box<Odd>>,
    /// What was never acknowledged though it was sent again, or never arrived.
    pub stall: Option<Box<Stall>>,
    /// Its SYN frames, a few.
    pub syns: Few<FrameId, 4>,
    /// Where it was seen first.
    pub leg: LegSeen,
    /// Where else it was seen.
    pub other_legs: Vec<LegSeen>,
    /// Whether there are legs beyond the cap.
    pub has_more_legs: bool,
    /// SYN-ACKs that the responder sent again though the acknowledgement had passed: its backlog is full, or it was lost
    /// behind the point.
    pub ignored: u32,
    /// Whether the SYN was sent again before it was answered.
    pub syn_waited: bool,
    /// When the originator and the responder sent data first, nanoseconds since the epoch.
    pub data_ns: [MaybeNs; 2],
    /// When packets passed the places that saw it, where somebody wants to know.
    pub passed: Option<Passed>,
    /// Whether it left the table before it ended, because the memory was full.
    pub evicted: bool,
}

/// What few connections have: no reset, no error, no silence is the rule.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Odd {
    pub(crate) reset: Option<Reset>,
    pub(crate) rejection: Option<Rejection>,
    pub(crate) pause: Option<(i64, i64)>,
    pub(crate) idle: Option<Idle>,
}

const _: () = assert!(size_of::<Flow>() <= 624, "one is kept of every connection");

impl Side {
    /// Whether a sequence number lies in what it sent, or right behind: its next bytes may have taken another way.
    pub(crate) fn may_have_sent(&self, seq: u32) -> bool {
        const NEXT: u32 = 1 << 16;
        match (self.isn, self.sent) {
            (Some(isn), Some(sent)) => {
                seq.wrapping_sub(isn) <= sent.wrapping_sub(isn).saturating_add(NEXT) && seq != isn
            }
            _ => false,
        }
    }
}

impl Flow {
    /// First reset.
    pub fn reset(&self) -> Option<Reset> {
        self.odd.as_ref()?.reset
    }

    /// First ICMP error about it.
    pub fn rejection(&self) -> Option<Rejection> {
        self.odd.as_ref()?.rejection
    }

    /// The last silence of a second or more: how long it was, and when it ended.
    pub fn pause(&self) -> Option<(i64, i64)> {
        self.odd.as_ref()?.pause
    }

    /// The last silence in which nothing was on its way.
    pub fn idle(&self) -> Option<Idle> {
        self.odd.as_ref()?.idle
    }

    /// The whole round trip of the handshake, and its part towards the responder, nanoseconds.
    pub(crate) fn trip_ns(&self) -> Option<(i64, i64)> {
        let there = self.rtt_resp_ns.get()?;
        Some((there + self.rtt_orig_ns.get().unwrap_or(0), there))
    }

    /// Packets of both sides.
    pub fn packets(&self) -> u64 {
        u64::from(self.from_orig.packets) + u64::from(self.from_resp.packets)
    }

    /// Whether both directions were seen.
    pub(crate) fn is_two_way(&self) -> bool {
        self.from_orig.packets > 0 && self.from_resp.packets > 0
    }

    /// Whether nothing was seen of its handshake.
    pub(crate) fn is_midstream(&self) -> bool {
        self.state == ConnState::Oth && self.from_orig.isn.is_none() && self.from_resp.isn.is_none()
    }

    /// Whether one of its ends reset it.
    pub(crate) fn was_reset(&self, by_orig: bool) -> bool {
        self.history.as_str().contains(if by_orig { 'R' } else { 'r' })
    }

    /// The silence that the first reset ended, nanoseconds: the reset answered what was sent after it.
    pub fn idle_before_reset_ns(&self) -> Option<i64> {
        let (idle, reset) = (self.idle()?, self.reset()?);
        let since_ns = reset.ns.saturating_sub(idle.until_ns);
        (0..1_000_000_000).contains(&since_ns).then_some(idle.gap_ns)
    }

    /// Who ended it first and how: a side and `fin` or `rst`.
    pub fn closed_by(&self) -> Option<&'static str> {
        let mut letters = self.history.as_str().bytes();
        letters.find_map(|letter| match letter {
            b'F' => Some("orig_fin"),
            b'f' => Some("resp_fin"),
            b'R' => Some("orig_rst"),
            b'r' => Some("resp_rst"),
            _ => None,
        })
    }

    /// Where it was seen, first leg first.
    pub fn legs(&self) -> impl Iterator<Item = &LegSeen> + Clone {
        std::iter::once(&self.leg).chain(&self.other_legs)
    }
}
