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
use crate::track::prefetch::prefetch_all;
use crate::track::quic::Opening;
use crate::track::tcp::side::Idle;
use std::sync::LazyLock;

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
    /// Whose packet it is about.
    pub(crate) of: End,
    pub(crate) icmp: IcmpCode,
    pub(crate) ttl: u8,
    pub(crate) ns: i64,
    pub(crate) frame: FrameId,
    pub(crate) count: u32,
}

/// What few packets touch.
#[derive(Clone, Debug)]
pub(crate) struct Cold {
    pub(crate) tag: u32,
    pub(crate) orig: End,
    /// Whether the originator's packets enter the first leg's tunnel at its end `a`.
    pub(crate) orig_from_a: bool,
    pub(crate) first_ns: i64,
    pub(crate) first: FrameId,
    pub(crate) handshake: Handshake,
    /// When each end sent data first.
    pub(crate) data_ns: [MaybeNs; 2],
    pub(crate) history: History,
    pub(crate) rare: [Rare; 2],
    syn: Option<FrameId>,
    pub(in crate::track) more: Option<Box<More>>,
    /// What of [`Cold::extra_bytes`] the table has counted.
    pub(crate) charged: u64,
}

const _: () = assert!(size_of::<Cold>() <= 224, "a million of them are to fit beside their hot halves");

/// What few connections have.
#[derive(Clone, Debug, Default)]
pub(crate) struct More {
    /// The last time nothing was sent for long while nothing was on its way.
    pub(crate) idle: Option<Idle>,
    pub(crate) reset: Option<ResetSeen>,
    pub(crate) icmp: Option<IcmpSeen>,
    /// The last silence of [`PAUSE_NS`] or more: how long it was, and when it ended.
    pub(crate) pause: Option<(i64, i64)>,
    pub(crate) legs: Vec<Leg>,
    /// Legs beyond the cap, whose packets are not counted.
    pub(crate) legs_left_out: u32,
    /// How it began, where it speaks QUIC.
    pub(crate) quic: Option<Box<Opening>>,
    /// SYNs after the first.
    syns: Few<FrameId, 3>,
    recent: Option<Box<Recent>>,
}

static NOTHING_MORE: LazyLock<More> = LazyLock::new(More::default);

impl Cold {
    /// State of a new connection whose first packet this is.
    pub(crate) fn new(packet: &Packet, end: End, tag: u32, frame: FrameId) -> Self {
        // A SYN-ACK as first packet was asked for by the other end.
        let answered = packet.kind == Kind::Tcp && packet.flags.is_syn_ack();
        let orig = if answered { end.other() } else { end };
        Self {
            tag,
            orig,
            orig_from_a: packet.bits.is_from_b() == (end != orig),
            first_ns: packet.ts_ns,
            first: frame,
            handshake: Handshake::by(orig),
            data_ns: [MaybeNs::default(); 2],
            history: History::default(),
            rare: [Rare::default(), Rare::default()],
            syn: None,
            more: None,
            charged: 0,
        }
    }

    /// Asks for what it leads to.
    #[inline]
    pub(crate) fn prefetch(&self) {
        self.more.as_deref().inspect(|more| prefetch_all(*more));
        self.rare.iter().for_each(Rare::prefetch);
    }

    /// What few connections have.
    pub(crate) fn more(&self) -> &More {
        self.more.as_deref().unwrap_or_else(|| &NOTHING_MORE)
    }

    /// The same, to be added to.
    pub(crate) fn more_mut(&mut self) -> &mut More {
        self.more.get_or_insert_default()
    }

    /// Places that saw it beside the first.
    pub(crate) fn legs(&self) -> &[Leg] {
        self.more.as_ref().map_or(&[], |more| &more.legs)
    }

    /// The same, to be changed.
    pub(crate) fn legs_mut(&mut self) -> &mut [Leg] {
        self.more.as_mut().map_or(&mut [], |more| &mut more.legs)
    }

    /// How it began, where it speaks QUIC.
    pub(crate) fn quic_mut(&mut self) -> Option<&mut Opening> {
        self.more.as_mut()?.quic.as_deref_mut()
    }

    /// The same, to be told at its end.
    pub(crate) fn take_quic(&mut self) -> Option<Box<Opening>> {
        self.more.as_mut()?.quic.take()
    }

    /// Remembers a SYN.
    pub(crate) fn note_syn(&mut self, frame: FrameId) {
        match self.syn {
            Some(_) => self.more_mut().syns.push(frame),
            None => self.syn = Some(frame),
        }
    }

    /// The first SYNs, for evidence.
    pub(crate) fn syns(&self) -> Few<FrameId, 4> {
        let mut syns = Few::default();
        self.syn.iter().chain(&self.more().syns).for_each(|frame| syns.push(*frame));
        syns
    }

    /// Bytes held beside the connection's own: further legs, what folding remembers, what does not arrive.
    pub(crate) fn extra_bytes(&self) -> u64 {
        let more = self.more.as_ref().map_or(0, |more| more.held());
        let rare = self.rare.iter().chain(self.legs().iter().flat_map(|leg| &leg.rare));
        (more + rare.map(Rare::held).sum::<usize>()) as u64
    }

    /// Lets go of them.
    pub(crate) fn release(&mut self) {
        self.rare.iter_mut().for_each(Rare::release);
        (self.more, self.charged) = (None, 0);
    }

    /// Whether this packet was seen a moment ago at the same depth, where the capture hides interfaces (SLL).
    pub(crate) fn is_folded(&mut self, packet: &Packet, end: End) -> bool {
        self.more_mut().recent.get_or_insert_default().has(packet, end)
    }

    pub(super) fn note(&mut self, end: End, letter: u8) {
        self.history.push(if end == self.orig { letter.to_ascii_uppercase() } else { letter });
    }

    pub(super) fn reset_by(&mut self, end: End, packet: &Packet, frame: FrameId, first_leg: bool) {
        let Packet { ts_ns: ns, ttl, point, tunnel, .. } = *packet;
        let bare = !packet.flags.any(TcpFlags::ACK);
        let first = ResetSeen { by: end, ns, ttl, point, tunnel, bare, frame, count: 0 };
        self.more_mut().reset.get_or_insert(first).count += u32::from(first_leg);
    }
}

impl More {
    /// Bytes held.
    fn held(&self) -> usize {
        let recent = if self.recent.is_some() { size_of::<Recent>() } else { 0 };
        let quic = self.quic.as_ref().map_or(0, |quic| quic.held());
        size_of::<Self>() + self.legs.capacity() * size_of::<Leg>() + recent + quic
    }
}
