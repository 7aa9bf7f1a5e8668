//! Facts that trackers hand to detectors and tables.

mod flow;

pub(crate) use flow::Odd;
pub use flow::{ConnState, Flow, LegSeen, Rejection, Reset, Side, Stall};

use super::compat::Flagged;
use super::endpoint::Endpoint;
use super::few::Few;
pub use super::frame::FrameId;
use super::quic::Quic;
use super::tcp::TcpEvent;
use super::turn::Turn;
use crate::Addr;
use crate::wire::TunnelKind;
use std::fmt;

/// One fact.
#[derive(Clone, Debug)]
pub enum Event {
    /// A connection ended, was evicted, or the capture ended.
    Flow(Box<Flow>),
    /// A segment was sent again, came late, or is a probe.
    Tcp(Box<TcpEvent>),
    /// An ICMP error was seen.
    IcmpError(Box<IcmpError>),
    /// A ping was answered, or given up.
    Echo(Box<Echo>),
    /// A request was answered, or its connection ended.
    Turn(Box<Turn>),
    /// A QUIC connection ended.
    Quic(Box<Quic>),
    /// tshark would flag a frame; stated only on demand.
    Flagged(Box<Flagged>),
    /// An address did not answer ARP or neighbour discovery.
    ArpUnanswered(Box<ArpUnanswered>),
    /// Who spoke in ARP or neighbour discovery outside of tunnels.
    Speakers(Box<Speakers>),
    /// Several link addresses claim one address.
    AddressConflict(Box<AddressConflict>),
    /// A segment to count in its second.
    Tally {
        /// Seconds since the epoch.
        second: u32,
        /// Capture point.
        point: u16,
        /// What it is.
        what: Tally,
    },
}

// Thousands are sorted and moved at a time.
const _: () = assert!(size_of::<Event>() <= 16, "an event is small, or in a box");

/// Who spoke in ARP or neighbour discovery, some of them.
#[derive(Clone, Debug, Default)]
pub struct Speakers {
    /// Unit of the inputs.
    pub unit: u32,
    /// Addresses.
    pub addrs: Vec<Addr>,
    /// Addresses whose questions were answered, some of them: what is sent to them is seen.
    pub answered: Vec<Addr>,
}

impl Event {
    /// The turn, where it is one.
    pub(crate) fn turn(&self) -> Option<&Turn> {
        if let Self::Turn(turn) = self { Some(turn) } else { None }
    }
}

/// What is counted by second and point beside packets and bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tally {
    /// A segment with payload sent before.
    Retransmission,
    /// A reset.
    Reset,
}

/// Type and code of an ICMP or ICMPv6 message.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct IcmpCode {
    /// ICMP, not ICMPv6.
    pub v4: bool,
    /// Type.
    pub kind: u8,
    /// Code.
    pub code: u8,
}

impl IcmpCode {
    /// Nobody on the way knows the destination: net or host unreachable, no route, address unreachable.
    pub fn is_no_route(self) -> bool {
        let code = (self.v4, self.kind, self.code);
        matches!(code, (true, 3, 0 | 1 | 5 | 6 | 7 | 8 | 11 | 12) | (false, 1, 0 | 2 | 3))
    }

    /// A router next to the destination knows the way and finds nobody there.
    pub fn is_host_unreachable(self) -> bool {
        matches!((self.v4, self.kind, self.code), (true, 3, 1) | (false, 1, 3))
    }

    /// Somebody on the way forbids it.
    pub fn is_prohibited(self) -> bool {
        matches!((self.v4, self.kind, self.code), (true, 3, 9 | 10 | 13) | (false, 1, 1 | 5 | 6))
    }

    /// Nobody listens there.
    pub fn is_port_unreachable(self) -> bool {
        matches!((self.v4, self.kind, self.code), (true, 3, 3) | (false, 1, 4))
    }

    /// A packet was too big for the next hop and may not be fragmented.
    pub fn is_too_big(self) -> bool {
        matches!((self.v4, self.kind, self.code), (true, 3, 4) | (false, 2, _))
    }

    /// Fragments of a datagram are missing (RFC 792, RFC 4443 3.3).
    pub fn is_reassembly_timeout(self) -> bool {
        matches!((self.v4, self.kind, self.code), (true, 11, 1) | (false, 3, 1))
    }

    /// The connection cannot come about: any kind of unreachable but "fragmentation needed".
    pub fn is_unreachable(self) -> bool {
        matches!((self.v4, self.kind, self.code), (true, 3, code) if code != 4) || (!self.v4 && self.kind == 1)
    }

    /// In words.
    pub fn name(self) -> &'static str {
        match (self.v4, self.kind, self.code) {
            (true, 3, 0) => "net unreachable",
            (true, 3, 1) | (false, 1, 3) => "host unreachable",
            (true, 3, 2) => "protocol unreachable",
            (true, 3, 3) | (false, 1, 4) => "port unreachable",
            (true, 3, 4) => "fragmentation needed",
            (true, 3, 9 | 10 | 13) | (false, 1, 1) => "administratively prohibited",
            (true, 3, _) | (false, 1, _) => "unreachable",
            (true, 11, 0) | (false, 3, 0) => "TTL exceeded",
            (true, 11, _) | (false, 3, _) => "reassembly time exceeded",
            (true, 12, _) | (false, 4, _) => "parameter problem",
            (false, 2, _) => "packet too big",
            (true, 4, _) => "source quench",
            _ => "ICMP error",
        }
    }
}

impl fmt::Display for IcmpCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = if self.v4 { "ICMP" } else { "ICMPv6" };
        write!(f, "{family} {}/{} ({})", self.kind, self.code, self.name())
    }
}

/// An ICMP error and the packet it quotes.
#[derive(Clone, Debug)]
pub struct IcmpError {
    /// Unit of the inputs.
    pub unit: u32,
    /// When.
    pub ns: i64,
    /// Where.
    pub frame: FrameId,
    /// Capture point.
    pub point: u16,
    /// Tunnel it came in.
    pub tunnel: u32,
    /// Who says so.
    pub from: Addr,
    /// To whom.
    pub to: Addr,
    /// TTL of the error.
    pub ttl: u8,
    /// Type and code.
    pub icmp: IcmpCode,
    /// Next-hop MTU, where the type has one.
    pub mtu: Option<u32>,
    /// Source of the quoted packet.
    pub orig: Endpoint,
    /// Destination of the quoted packet.
    pub resp: Endpoint,
    /// Protocol of the quoted packet.
    pub proto: u8,
    /// Sequence number of the quoted segment.
    pub seq: Option<u32>,
    /// Bytes that the quoted packet had, as its header says.
    pub quoted_len: u32,
    /// What kind of tunnel's outer packet is quoted, when it is one.
    pub quoted_tunnel: Option<TunnelKind>,
    /// Whether a connection that this capture has is meant.
    pub flow_known: bool,
}

impl IcmpError {
    /// Whether it says that a tunnel's packet is not taken: nobody listens for its port or knows its protocol, or somebody
    /// forbids it.
    pub(crate) fn refuses_tunnel(&self) -> bool {
        let unknown = (self.icmp.v4, self.icmp.kind, self.icmp.code) == (true, 3, 2);
        let refused = unknown || self.icmp.is_port_unreachable() || self.icmp.is_prohibited();
        self.quoted_tunnel.is_some() && refused
    }
}

/// A ping.
#[derive(Clone, Debug)]
pub struct Echo {
    /// Unit of the inputs.
    pub unit: u32,
    /// When it was sent.
    pub ns: i64,
    /// The request's frame, or the reply's when the request was not seen.
    pub frame: FrameId,
    /// Capture point.
    pub point: u16,
    /// Tunnel it came in.
    pub tunnel: u32,
    /// Who pings.
    pub orig: Addr,
    /// Who is pinged.
    pub resp: Addr,
    /// Identifier.
    pub id: u16,
    /// Sequence number.
    pub seq: u16,
    /// Frame of the reply.
    pub reply: Option<FrameId>,
    /// Request to reply, nanoseconds.
    pub rtt_ns: Option<i64>,
    /// Whether no reply came though the capture went on long enough to see it.
    pub unanswered: bool,
}

/// An address that was asked for and did not answer.
#[derive(Clone, Debug)]
pub struct ArpUnanswered {
    /// Unit of the inputs.
    pub unit: u32,
    /// Who asked.
    pub sender: Addr,
    /// For whom.
    pub target: Addr,
    /// First request.
    pub first_ns: i64,
    /// Last request.
    pub last_ns: i64,
    /// Requests, copies at several points left out.
    pub requests: u32,
    /// Their frames, a few.
    pub frames: Vec<FrameId>,
    /// Capture point.
    pub point: u16,
    /// Tunnel the requests came in.
    pub tunnel: u32,
}

/// An address that several link addresses claim at one place.
#[derive(Clone, Debug)]
pub struct AddressConflict {
    /// Unit of the inputs.
    pub unit: u32,
    /// Capture point.
    pub point: u16,
    /// Tunnel.
    pub tunnel: u32,
    /// The address.
    pub addr: Addr,
    /// Who claims it, in order of appearance; the first four.
    pub owners: Vec<Owner>,
    /// Times one claims it again after another did: 0 when it passed from one to the next.
    pub returns: u32,
    /// Questions that two of them answered.
    pub double_answers: u32,
}

/// Who claims an address.
#[derive(Clone, Copy, Debug, Default)]
pub struct Owner {
    /// Link address.
    pub mac: [u8; 6],
    /// First claim.
    pub first_ns: i64,
    /// Last claim.
    pub last_ns: i64,
    /// Claims.
    pub claims: u64,
    /// Frames of claims, a few.
    pub frames: Few<FrameId, 4>,
    /// Addresses that it claims at the place, this one included.
    pub addresses: u32,
}
