//! What the sizes of packets tell of paths: what passed, what never did, and what ICMP says.

use crate::Addr;
use crate::packet::{TCP, is_fresh};
use crate::time::widen;
use crate::track::event::{Flow, Side, Stall};
use crate::track::{Endpoint, FrameId, IcmpError};
use crate::wire::TunnelKind;
use foldhash::fast::RandomState;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// One direction between two addresses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Path {
    pub(crate) from: Addr,
    pub(crate) to: Addr,
}

/// A connection that stopped because its big segments do not arrive.
#[derive(Clone, Debug)]
pub(crate) struct Stalled {
    /// Whether this alone shows that size is the reason; else ICMP must say so, or another connection.
    pub(crate) certain: bool,
    /// Whether all of that is shown but that the peer lives.
    pub(crate) unheard: bool,
    /// Whether smaller segments of the sender had been acknowledged.
    pub(crate) had_acknowledged: bool,
    pub(crate) path: Path,
    pub(crate) server: Endpoint,
    pub(crate) client: Endpoint,
    pub(crate) stall: Stall,
    /// Bytes of the IP packets that do not arrive.
    pub(crate) size: u32,
    /// What the two announced, the sender's first.
    pub(crate) mss: (Option<u16>, Option<u16>),
    pub(crate) tunnels: BTreeSet<u32>,
    pub(crate) span_ns: (i64, i64),
}

/// What passed one way between two addresses.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Passed {
    /// Bytes of the biggest IP packet of connections whose every byte was acknowledged.
    pub(crate) largest: u32,
    pub(crate) connections: u64,
    pub(crate) last_ns: i64,
}

/// ICMP errors that packets of one path are too big.
#[derive(Clone, Debug, Default)]
pub(crate) struct TooBig {
    /// Smallest next-hop MTU named, bytes; 0 where none was.
    pub(crate) mtu: u32,
    /// Bytes of the biggest packet quoted.
    pub(crate) largest: u32,
    /// Who says so, a few.
    pub(crate) hops: BTreeSet<Addr>,
    /// To whom, a few.
    pub(crate) told: BTreeSet<Addr>,
    /// Kind of tunnel whose outer packets are meant.
    pub(crate) tunnel: Option<TunnelKind>,
    /// Errors by unit: one error may be seen by several.
    by_unit: BTreeMap<u32, u64>,
    pub(crate) frames: Vec<FrameId>,
    pub(crate) span_ns: Option<(i64, i64)>,
}

/// Long transfers in packets of one size that is below what both ends allow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Adapted {
    pub(crate) size: u32,
    pub(crate) full: u32,
    pub(crate) connections: u64,
    pub(crate) frame: FrameId,
    pub(crate) span_ns: (i64, i64),
}

/// What connections inside a tunnel allow, and what passed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TunnelSizes {
    /// Bytes of the biggest IP packet that both ends of a connection allow.
    pub(crate) allowed: u32,
    /// Bytes of the biggest that was acknowledged.
    pub(crate) passed: u32,
    pub(crate) connections: u64,
    pub(crate) frame: FrameId,
    pub(crate) span_ns: (i64, i64),
}

/// Facts about sizes, of all units.
#[derive(Debug, Default)]
pub(crate) struct PathMtu {
    pub(crate) stalled: Vec<Stalled>,
    passed: HashMap<Path, Passed, RandomState>,
    pub(crate) too_big: BTreeMap<Path, TooBig>,
    pub(crate) adapted: BTreeMap<Path, Adapted>,
    /// Biggest MSS that an address announced outside of tunnels.
    pub(crate) announced: HashMap<Addr, u16, RandomState>,
    pub(crate) tunnels: BTreeMap<u32, TunnelSizes>,
    /// Whether a full-size packet passed anywhere.
    pub(crate) full_size_passed: bool,
    /// Facts beyond the caps.
    pub(crate) left_out: u64,
}

const MAX_STALLED: usize = 4096;
const MAX_PATHS: usize = 16_384;
const FEW: usize = 16;

impl PathMtu {
    /// Takes note of a connection.
    pub(crate) fn add(&mut self, flow: &Flow) {
        if flow.proto != TCP {
            return;
        }
        if let Some(stalled) = Stalled::of(flow) {
            if self.stalled.len() < MAX_STALLED { self.stalled.push(stalled) } else { self.left_out += 1 }
        }
        let (orig, resp) = (flow.orig.addr, flow.resp.addr);
        self.pass(Path { from: orig, to: resp }, flow, &flow.from_orig);
        self.pass(Path { from: resp, to: orig }, flow, &flow.from_resp);
        match flow.leg.tunnel {
            0 if flow.other_legs.iter().all(|leg| leg.tunnel == 0) => {
                self.announce(orig, &flow.from_orig);
                self.announce(resp, &flow.from_resp);
            }
            0 => {}
            tunnel => self.inside(tunnel, flow),
        }
    }

    /// Notes what a host announced itself: what it passes on, as for a NodePort, is of others.
    fn announce(&mut self, addr: Addr, side: &Side) {
        let Some(mss) = side.mss.filter(|_| is_fresh(side.ttl)) else { return };
        if self.announced.len() >= MAX_PATHS && !self.announced.contains_key(&addr) {
            self.left_out += 1;
            return;
        }
        let known = self.announced.entry(addr).or_default();
        *known = mss.max(*known);
    }

    /// Takes note of a connection that was seen in a tunnel first, where its MSS is as it is on the underlay.
    fn inside(&mut self, tunnel: u32, flow: &Flow) {
        let Some(allowed) = full_size(flow) else { return };
        if self.tunnels.len() >= MAX_PATHS && !self.tunnels.contains_key(&tunnel) {
            self.left_out += 1;
            return;
        }
        let (frame, span_ns) = (flow.first, (flow.first_ns, flow.last_ns));
        let new = TunnelSizes { allowed: 0, passed: 0, connections: 0, frame, span_ns };
        let sizes = self.tunnels.entry(tunnel).or_insert(new);
        sizes.allowed = sizes.allowed.max(allowed);
        let acked = [&flow.from_orig, &flow.from_resp].into_iter().filter(|side| side.all_acked);
        sizes.passed = acked.map(|side| real_size(flow, side)).fold(sizes.passed, u32::max);
        sizes.connections += 1;
        sizes.span_ns.1 = sizes.span_ns.1.max(flow.last_ns);
    }

    fn pass(&mut self, path: Path, flow: &Flow, side: &Side) {
        if !side.all_acked || side.payload_bytes == 0 {
            return;
        }
        if self.passed.len() >= MAX_PATHS && !self.passed.contains_key(&path) {
            self.left_out += 1;
            return;
        }
        let largest = real_size(flow, side);
        self.full_size_passed |= full_size(flow).is_some_and(|full| largest + 2 * TIMESTAMPS >= full);
        let passed = self.passed.entry(path).or_default();
        passed.largest = passed.largest.max(largest);
        passed.connections += 1;
        passed.last_ns = passed.last_ns.max(flow.last_ns);
        if let Some(full) = full_size(flow).filter(|full| is_adapted(side, *full)) {
            let new = Adapted {
                size: side.largest_packet.into(),
                full,
                connections: 0,
                frame: flow.first,
                span_ns: (flow.first_ns, flow.last_ns),
            };
            self.adapted.entry(path).or_insert(new).connections += 1;
        }
    }

    /// Takes note of an ICMP error that a packet is too big.
    pub(crate) fn too_big(&mut self, error: &IcmpError) {
        let path = Path { from: error.orig.addr, to: error.resp.addr };
        if self.too_big.len() >= MAX_PATHS && !self.too_big.contains_key(&path) {
            self.left_out += 1;
            return;
        }
        self.too_big.entry(path).or_default().add(error);
    }

    /// What passed one way between two addresses.
    pub(crate) fn passed(&self, path: Path) -> Passed {
        self.passed.get(&path).copied().unwrap_or_default()
    }
}

/// MTUs of paths with a tunnel on usual underlays: 1500 less IPIP, GRE, VXLAN, WireGuard and their sums; OVN's, clouds',
/// and the least of IPv6.
const TUNNEL_MTUS: [u16; 12] = [1480, 1476, 1460, 1450, 1440, 1430, 1420, 1410, 1400, 1370, 1360, 1280];
/// Packets of a transfer that is long enough to tell the size it is cut to.
const LONG: u64 = 8;

/// Whether a side cuts what it sends to the MTU of a tunnel, which is less than both ends allow: most of its packets must
/// be as long as the longest.
fn is_adapted(side: &Side, full: u32) -> bool {
    let largest = u64::from(side.largest_packet);
    u32::from(side.largest_packet) + TIMESTAMPS < full
        && TUNNEL_MTUS.contains(&side.largest_packet)
        && side.packets >= LONG
        && side.bytes * 3 >= side.packets * largest * 2
}

/// Bytes of the biggest packet of a side, as it was on the wire: segmentation offload shows packets that are longer than
/// the peer takes segments.
fn real_size(flow: &Flow, side: &Side) -> u32 {
    let largest = u32::from(side.largest_packet);
    full_size(flow).map_or(largest, |full| largest.min(full))
}

/// Bytes of the biggest IP packet that both sides allow, where both said.
pub(crate) fn full_size(flow: &Flow) -> Option<u32> {
    let headers = if flow.orig.addr.is_v4() { 40 } else { 60 };
    let mss = flow.from_orig.mss.zip(flow.from_resp.mss).map(|(a, b)| a.min(b))?;
    Some(u32::from(mss) + headers)
}

/// Options of a segment where timestamps are used, as Linux does.
const TIMESTAMPS: u32 = 12;
/// Times a segment is sent again before it is no chance: a fifth of all packets lost leaves 1 of 600 of these.
const RESENT: u32 = 3;
/// Full-size segments of which none arrives before it is no chance.
const HIDDEN: u32 = 3;
/// Time in which a lost segment would have been sent again more than once (RTO 0.2 s, doubled).
const PATIENCE_NS: i64 = 1_000_000_000;

/// Smallest packets that any path must pass (RFC 791, RFC 8200 5).
fn least(addr: Addr) -> u32 {
    if addr.is_v4() { 576 } else { 1280 }
}

impl Stalled {
    /// The stall of a connection whose sizes are the reason, as far as it alone can tell.
    fn of(flow: &Flow) -> Option<Self> {
        let stall = flow.stall.as_deref()?;
        let (sender, receiver) = if stall.by_orig {
            ((flow.orig, &flow.from_orig), (flow.resp, &flow.from_resp))
        } else {
            ((flow.resp, &flow.from_resp), (flow.orig, &flow.from_orig))
        };
        // A receiver that sends its own data or FIN again lacks the small acknowledgements too: nothing arrives.
        if receiver.1.zero_window || receiver.1.retransmitted_packets > 0 || stall.peer_repeats {
            return None;
        }
        let certain = resent_size(stall, sender.1).or_else(|| hidden_size(flow, stall, sender.1));
        let unheard = resent_size_unheard(stall, sender.1).filter(|_| certain.is_none());
        let waited = flow.last_ns.saturating_sub(flow.first_ns);
        if certain.is_none() && waited < PATIENCE_NS {
            return None;
        }
        let size = certain.or(unheard).or(full_size(flow)).unwrap_or(stall.ip_len);
        (size > least(sender.0.addr)).then(|| Self {
            certain: certain.is_some(),
            unheard: unheard.is_some(),
            had_acknowledged: sender.1.isn.is_some_and(|isn| stall.seq.wrapping_sub(isn) > 1),
            path: Path { from: sender.0.addr, to: receiver.0.addr },
            server: flow.resp,
            client: flow.orig,
            stall: stall.clone(),
            size,
            mss: (sender.1.mss, receiver.1.mss),
            tunnels: flow.legs().map(|leg| leg.tunnel).filter(|tunnel| *tunnel != 0).collect(),
            span_ns: (flow.first_ns, flow.last_ns),
        })
    }
}

/// The size of a segment that was sent again and again, unless as big ones passed before.
fn resent_size(stall: &Stall, sender: &Side) -> Option<u32> {
    resent_size_unheard(stall, sender).filter(|_| stall.peer_lives)
}

/// The same, where the peer may have died: it has nothing to send while it waits for the rest of an upload.
fn resent_size_unheard(stall: &Stall, sender: &Side) -> Option<u32> {
    if stall.resent < RESENT {
        return None;
    }
    let acked = sender.isn.map_or(0, |isn| stall.seq.wrapping_sub(isn.wrapping_add(1)));
    let usual = u64::from(acked) / sender.packets.saturating_sub(stall.resent.into()).max(1);
    (usual * 2 < u64::from(stall.ip_len)).then_some(stall.ip_len)
}

/// The size of segments that never came here although the sender has sent them, unless as big ones did come.
fn hidden_size(flow: &Flow, stall: &Stall, sender: &Side) -> Option<u32> {
    let full = full_size(flow)?;
    let headers = if flow.orig.addr.is_v4() { 40 } else { 60 };
    let segment = full.checked_sub(headers + TIMESTAMPS)?;
    let waited = flow.last_ns.saturating_sub(flow.first_ns);
    let big_ones_came = u32::from(sender.largest_packet) + 2 * TIMESTAMPS >= full;
    let hidden = stall.missing >= HIDDEN * segment && waited >= PATIENCE_NS && stall.resent == 0;
    (hidden && !big_ones_came).then_some(full)
}

impl TooBig {
    /// Errors, as many as one capture saw at least.
    pub(crate) fn errors(&self) -> u64 {
        self.by_unit.values().copied().max().unwrap_or_default()
    }

    fn add(&mut self, error: &IcmpError) {
        *self.by_unit.entry(error.unit).or_default() += 1;
        self.largest = self.largest.max(error.quoted_len);
        self.tunnel = self.tunnel.or(error.quoted_tunnel);
        let mtu = error.mtu.unwrap_or_default();
        self.mtu = if self.mtu == 0 || mtu > 0 && mtu < self.mtu { mtu } else { self.mtu };
        for (set, addr) in [(&mut self.hops, error.from), (&mut self.told, error.to)] {
            if set.len() < FEW {
                set.insert(addr);
            }
        }
        if self.frames.len() < FEW {
            self.frames.push(error.frame);
        }
        widen(&mut self.span_ns, error.ns, error.ns);
    }
}
