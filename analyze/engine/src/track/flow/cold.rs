//! The part of a connection that few packets touch.

use crate::packet::{Kind, Packet, TcpFlags};
use crate::track::event::{FrameId, IcmpCode};
use crate::track::few::{Few, History};
use crate::track::fold::Recent;
use crate::track::handshake::Handshake;
use crate::track::key::End;
use crate::track::lane::Rare;
use crate::track::leg::Leg;
use crate::track::maybe::MaybeNs;
use crate::track::quic::Opening;
use crate::track::tcp::side::Idle;

/// A reset or ICMP error that hit a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResetSeen {
    pub(crate) by: End,
    pub(crate) ns: i64,
    pub(crate) ttl: u8,
    pub(crate) point: u16,
    pub(crate) tunnel: u32,
    /// Whether it acknowledges nothing: who sends it knows of no connection (RFC 9293 3.10.7.1).
    pub(crate) bare: bool,
    pub(crate) frame: FrameId,
    pub(crate) count: u32,
}

/// The first ICMP error about a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IcmpSeen {
    pub(crate) from: crate::Addr,
    pub(crate) icmp: IcmpCode,
    pub(crate) ttl: u8,
    pub(crate) frame: FrameId,
    pub(crate) count: u32,
}

/// What few packets touch.
#[derive(Clone, Debug)]
pub(crate) struct Cold {
    pub(crate) tag: u32,
    pub(crate) orig: End,
    pub(crate) proto: u8,
    pub(crate) first_ns: i64,
    pub(crate) first: FrameId,
    pub(crate) src: crate::Addr,
    pub(crate) src_port: u16,
    pub(crate) dst: crate::Addr,
    pub(crate) dst_port: u16,
    pub(crate) handshake: Handshake,
    /// When each end sent data first.
    pub(crate) data_ns: [MaybeNs; 2],
    /// The last time nothing was sent for long while nothing was on its way.
    pub(crate) idle: Option<Idle>,
    pub(crate) reset: Option<ResetSeen>,
    pub(crate) icmp: Option<IcmpSeen>,
    pub(crate) history: History,
    /// The first SYNs, for evidence.
    pub(crate) syns: Few<FrameId, 4>,
    pub(crate) rare: [Rare; 2],
    /// The last silence of [`PAUSE_NS`] or more: how long it was, and when it ended.
    pub(crate) pause: Option<(i64, i64)>,
    pub(crate) legs: Vec<Leg>,
    /// Whether the originator's packets enter the first leg's tunnel at its end `a`.
    pub(crate) orig_from_a: bool,
    /// Legs beyond the cap, whose packets are not counted.
    pub(crate) legs_left_out: u32,
    /// How it began, where it speaks QUIC.
    pub(crate) quic: Option<Box<Opening>>,
    recent: Option<Box<Recent>>,
    /// What of [`Cold::extra_bytes`] the table has counted.
    pub(crate) charged: u64,
}

impl Cold {
    /// State of a new connection whose first packet this is.
    pub(crate) fn new(packet: &Packet, end: End, tag: u32, frame: FrameId) -> Self {
        // A SYN-ACK as first packet was asked for by the other end.
        let answered = packet.kind == Kind::Tcp && packet.flags.is_syn_ack();
        let orig = if answered { end.other() } else { end };
        let (src, dst) = ((packet.src, packet.src_port), (packet.dst, packet.dst_port));
        let (from, to) = if answered { (dst, src) } else { (src, dst) };
        Self {
            tag,
            orig,
            proto: packet.proto,
            first_ns: packet.ts_ns,
            first: frame,
            src: from.0,
            src_port: from.1,
            dst: to.0,
            dst_port: to.1,
            handshake: Handshake::by(orig),
            data_ns: [MaybeNs::default(); 2],
            idle: None,
            reset: None,
            icmp: None,
            history: History::default(),
            syns: Few::default(),
            rare: [Rare::default(), Rare::default()],
            pause: None,
            legs: Vec::new(),
            orig_from_a: packet.bits.is_from_b() == (end != orig),
            legs_left_out: 0,
            quic: None,
            recent: None,
            charged: 0,
        }
    }

    /// Bytes held beside the connection's own: further legs, what folding remembers, what does not arrive.
    pub(crate) fn extra_bytes(&self) -> u64 {
        let recent = if self.recent.is_some() { size_of::<Recent>() } else { 0 };
        let rare = self.rare.iter().chain(self.legs.iter().flat_map(|leg| &leg.rare));
        let rare: usize = rare.map(Rare::held).sum();
        let quic = self.quic.as_ref().map_or(0, |quic| quic.held());
        (self.legs.capacity() * size_of::<Leg>() + recent + quic + rare) as u64
    }

    /// Lets go of them.
    pub(crate) fn release(&mut self) {
        self.rare.iter_mut().for_each(Rare::release);
        (self.legs, self.recent, self.charged) = (Vec::new(), None, 0);
        self.quic = None;
    }

    /// Whether this packet was seen a moment ago, where the capture hides interfaces (SLL).
    pub(crate) fn is_folded(&mut self, packet: &Packet, end: End) -> bool {
        self.recent.get_or_insert_default().has(packet, end)
    }

    pub(super) fn note(&mut self, end: End, letter: u8) {
        self.history.push(if end == self.orig { letter.to_ascii_uppercase() } else { letter });
    }

    pub(super) fn reset_by(&mut self, end: End, packet: &Packet, frame: FrameId, first_leg: bool) {
        let count = u32::from(first_leg);
        if let Some(reset) = &mut self.reset {
            reset.count += count;
        } else {
            let Packet { ts_ns: ns, ttl, point, tunnel, .. } = *packet;
            let bare = !packet.flags.any(TcpFlags::ACK);
            self.reset = Some(ResetSeen { by: end, ns, ttl, point, tunnel, bare, frame, count });
        }
    }
}
