//! Tunnels: pairs of outer addresses and what passed between them.

use super::event::FrameId;
use super::few::Few;
use crate::Addr;
use crate::packet::Packet;
use crate::time::reach;
use crate::wire::{Outer, TunnelKind, udp};
use foldhash::fast::RandomState;
use kcap_file::Direction;
use std::collections::HashMap;

mod macs;

pub use macs::{EndMacs, Mac, Macs};

/// A tunnel: two ends and an identifier, both directions together.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Tunnel {
    /// Unit of the inputs it was seen in.
    pub unit: u32,
    /// Kind.
    pub kind: TunnelKind,
    /// The lower address.
    pub a: Addr,
    /// The higher address.
    pub b: Addr,
    /// VNI, key or session.
    pub id: Option<u32>,
    /// Tunnel it is nested in; 0 is none.
    pub parent: u32,
}

/// What passed a tunnel.
#[derive(Clone, Debug, Default)]
pub struct TunnelUse {
    /// First frame.
    pub first: FrameId,
    /// Times of the first and last frame.
    pub span_ns: Option<(i64, i64)>,
    /// From `a` to `b`.
    pub ab: Way,
    /// From `b` to `a`.
    pub ba: Way,
    /// Outer UDP port; 0 where the tunnel is no UDP.
    pub port: u16,
    /// Handshakes of WireGuard.
    pub handshakes: Option<Box<Handshakes>>,
    /// Checksums of its packets, where they have any.
    pub sums: Option<Box<Sums>>,
    /// Link addresses inside.
    pub macs: Macs,
}

/// UDP checksums of outer packets that open connections, by who sent them.
#[derive(Clone, Debug, Default)]
pub struct Sums {
    /// Of `a`.
    pub a: Checked,
    /// Of `b`.
    pub b: Checked,
}

/// How many checksums are right and how many wrong. What an interface sends mostly has its checksum still to come.
#[derive(Clone, Copy, Debug, Default)]
pub struct Checked {
    /// Right ones.
    pub right: u64,
    /// Wrong ones.
    pub wrong: u64,
    /// Wrong ones of frames that came in, where the file says so.
    pub arrived_wrong: u64,
    /// Frames of wrong ones, a few.
    pub frames: Few<FrameId, 8>,
}

impl Checked {
    fn take(&mut self, right: bool, direction: Direction, frame: FrameId) {
        if right {
            self.right += 1;
            return;
        }
        self.wrong += 1;
        self.arrived_wrong += u64::from(direction == Direction::In);
        self.frames.push(frame);
    }
}

impl Way {
    /// Takes in what passed elsewhere the same way.
    pub(crate) fn add(&mut self, other: Self) {
        self.frames += other.frames;
        self.bytes += other.bytes;
        self.last_ns = self.last_ns.max(other.last_ns);
        self.alone += other.alone;
    }
}

/// WireGuard handshakes that nobody answered, by who began them.
#[derive(Clone, Debug, Default)]
pub struct Handshakes {
    /// Of `a`.
    pub a: Unanswered,
    /// Of `b`.
    pub b: Unanswered,
}

/// Handshakes begun since the peer last answered or sent data.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unanswered {
    /// Initiations, copies at several points left out.
    pub initiations: u64,
    /// Those that came soon after the one before, for want of an answer.
    pub retries: u64,
    /// First and last.
    pub span_ns: (i64, i64),
    /// Their frames, a few.
    pub frames: Few<FrameId, 8>,
}

/// One direction of a tunnel. Counted per frame: a capture with several points counts a packet at each.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Way {
    /// Frames.
    pub frames: u64,
    /// Outer IP bytes.
    pub bytes: u64,
    /// Time of the last frame.
    pub last_ns: i64,
    /// Frames since the last one of the other way.
    pub alone: u64,
}

/// Bytes of the message that begins a handshake (<https://www.wireguard.com/protocol/>); no other has as many.
const INITIATION: u32 = 148;
/// A peer begins again 5 s later at the soonest; what comes sooner is the same message at another point.
const SAME_INITIATION_NS: i64 = 1_000_000_000;
/// It begins again every 5 s while nobody answers, and changes keys after 120 s (`REKEY_TIMEOUT`, `REKEY_AFTER_TIME`).
const RETRY_NS: i64 = 30_000_000_000;

impl Handshakes {
    fn take(&mut self, outer: &Outer, from_a: bool, ns: i64, frame: FrameId) {
        let headers = if outer.src.is_v4() { 28 } else { 48 };
        let (own, peer) = if from_a { (&mut self.a, &mut self.b) } else { (&mut self.b, &mut self.a) };
        if outer.ip_len.saturating_sub(headers) == INITIATION {
            own.begin(ns, frame);
        } else if peer.initiations > 0 {
            // An answer, a cookie of a peer under load, or data, which needs a session that an answer made.
            *peer = Unanswered::default();
        }
    }
}

impl Unanswered {
    fn begin(&mut self, ns: i64, frame: FrameId) {
        let since_ns = ns.saturating_sub(self.span_ns.1);
        if self.initiations > 0 && since_ns < SAME_INITIATION_NS {
            return;
        }
        self.retries += u64::from(self.initiations > 0 && since_ns < RETRY_NS);
        self.span_ns = (if self.initiations == 0 { ns } else { self.span_ns.0 }, ns);
        self.initiations += 1;
        self.frames.push(frame);
    }
}

/// The tunnels found so far; 0 is "no tunnel".
#[derive(Debug)]
pub(crate) struct Tunnels {
    list: Vec<Tunnel>,
    uses: Vec<TunnelUse>,
    ids: HashMap<Tunnel, u32, RandomState>,
    /// Tunnels asked for last, by [`place`]: frames of several tunnels take turns.
    recent: [u32; RECENT],
    /// Frames of tunnels beyond the cap.
    pub(crate) left_out: u64,
}

/// Tunnels kept; frames of further ones count as the first.
const MAX_TUNNELS: usize = 65_536;

/// Tunnels remembered in front of the map.
const RECENT: usize = 256;

/// Where a tunnel is remembered, whichever end sends: ends of one network differ in their last bytes.
#[inline]
fn place(outer: &Outer) -> usize {
    let low = |addr: Addr| {
        let [.., high, low] = addr.0;
        u32::from(u16::from_be_bytes([high, low])).wrapping_add(1)
    };
    let (src, dst) = (low(outer.src), low(outer.dst));
    let ends = src.wrapping_mul(dst).wrapping_add(src).wrapping_add(dst);
    let mixed = (ends ^ outer.id.unwrap_or(0).rotate_left(8)).wrapping_mul(0x9e37_79b9);
    (mixed >> 24) as usize % RECENT
}

impl Tunnel {
    fn of(outer: &Outer, parent: u32, unit: u32) -> Self {
        let (a, b) = if outer.src <= outer.dst { (outer.src, outer.dst) } else { (outer.dst, outer.src) };
        Self { unit, kind: outer.kind, a, b, id: outer.id, parent }
    }

    #[inline]
    fn is_of(&self, outer: &Outer, parent: u32, unit: u32) -> bool {
        let (src, dst) = if self.a == outer.src { (self.a, self.b) } else { (self.b, self.a) };
        (src, dst) == (outer.src, outer.dst)
            && (self.unit, self.kind, self.id, self.parent) == (unit, outer.kind, outer.id, parent)
    }
}

impl Tunnels {
    pub(crate) fn new() -> Self {
        let none = Tunnel::default();
        Self {
            list: vec![none],
            uses: vec![TunnelUse::default()],
            ids: HashMap::default(),
            recent: [0; RECENT],
            left_out: 0,
        }
    }

    /// Index of the innermost of these tunnels, each counted.
    #[inline]
    pub(crate) fn enter(&mut self, outers: &[Outer], unit: u32, ts_ns: i64, frame: FrameId) -> u32 {
        let mut parent = 0;
        for outer in outers {
            let id = self.id(outer, parent, unit, frame);
            self.count(id, outer, ts_ns, frame);
            parent = id;
        }
        parent
    }

    /// Looks closer at a frame of the packet's tunnel, which [`Self::enter`] gave: of segments those with a SYN, and those
    /// that were cut before their flags. What is sent has no checksum yet.
    pub(crate) fn check(&mut self, packet: &Packet, outer: &Outer, frame: &[u8], at: FrameId) {
        let id = packet.tunnel as usize;
        let (Some(tunnel), Some(usage)) = (self.list.get(id), self.uses.get_mut(id)) else { return };
        let from_a = outer.src == tunnel.a;
        usage.macs.take(outer, frame, from_a, packet.ts_ns, at);
        let sum = || udp::has_right_sum(outer, frame, packet).filter(|_| packet.direction != Direction::Out);
        let Some(right) = packet.flags.is_syn().then(sum).flatten() else { return };
        let sums = usage.sums.get_or_insert_default();
        let of = if from_a { &mut sums.a } else { &mut sums.b };
        of.take(right, packet.direction, at);
    }

    #[inline]
    fn id(&mut self, outer: &Outer, parent: u32, unit: u32, frame: FrameId) -> u32 {
        let place = place(outer);
        let recent = self.recent[place];
        if recent != 0 && self.list.get(recent as usize).is_some_and(|tunnel| tunnel.is_of(outer, parent, unit)) {
            return recent;
        }
        let id = self.search(Tunnel::of(outer, parent, unit), outer.port, frame);
        self.recent[place] = id;
        id
    }

    #[cold]
    fn search(&mut self, tunnel: Tunnel, port: u16, frame: FrameId) -> u32 {
        match self.ids.get(&tunnel) {
            Some(&id) => id,
            None if self.list.len() >= MAX_TUNNELS => {
                self.left_out += 1;
                1
            }
            None => self.add(tunnel, TunnelUse { first: frame, port, ..TunnelUse::default() }),
        }
    }

    fn add(&mut self, tunnel: Tunnel, usage: TunnelUse) -> u32 {
        let id = self.list.len() as u32;
        self.list.push(tunnel);
        self.uses.push(usage);
        self.ids.insert(tunnel, id);
        id
    }

    fn count(&mut self, id: u32, outer: &Outer, ts_ns: i64, frame: FrameId) {
        let (tunnel, usage) = (&self.list[id as usize], &mut self.uses[id as usize]);
        let from_a = outer.src == tunnel.a;
        let (way, other) = if from_a { (&mut usage.ab, &mut usage.ba) } else { (&mut usage.ba, &mut usage.ab) };
        way.frames += 1;
        way.alone += 1;
        other.alone = 0;
        way.bytes += u64::from(outer.ip_len);
        way.last_ns = ts_ns;
        if outer.kind == TunnelKind::WireGuard {
            usage.handshakes.get_or_insert_default().take(outer, from_a, ts_ns, frame);
        }
        reach(&mut usage.span_ns, ts_ns);
    }

    /// All tunnels, by index.
    pub(crate) fn list(&self) -> &[Tunnel] {
        &self.list
    }

    /// What passed them, by index.
    pub(crate) fn uses(&self) -> &[TunnelUse] {
        &self.uses
    }
}
