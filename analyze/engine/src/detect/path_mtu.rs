//! What the sizes of packets tell of paths: what passed, what never did, and what ICMP says.

mod too_big;

use super::passed::Passed;
pub(crate) use super::passed::Path;
use crate::Addr;
use crate::packet::{TCP, is_fresh};
use crate::track::event::{Flow, Side, Stall};
use crate::track::{Endpoint, FrameId, IcmpError};
use foldhash::fast::RandomState;
use std::collections::{BTreeMap, BTreeSet, HashMap};
pub(crate) use too_big::TooBig;

/// A connection that stopped because its big segments do not arrive.
#[derive(Clone, Debug)]
pub(crate) struct Stalled {
    pub(crate) sign: Sign,
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

/// What a connection that stopped shows of the reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sign {
    /// A big segment that is sent again and again, or several that never came here, while the peer lives: size.
    Size,
    /// A big segment that is sent again and again after small ones were acknowledged, but the peer may have died.
    Unheard,
    /// The same, with nothing before it but a handshake that the peer finished.
    First,
    /// A big segment that is sent again and again while the peer lives, where as big ones passed in the same connection.
    Later,
    /// One or two big segments that never came here, though a smaller one behind them did.
    Few,
    /// Nothing but that it stopped.
    Stop,
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
    /// When small segments were sent again and again and never acknowledged: a way that takes nothing.
    cut: Vec<(Path, (i64, i64))>,
    /// What passed between two addresses, and back: there is one look-up a connection.
    passed: HashMap<Path, [Passed; 2], RandomState>,
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
/// Pairs of addresses, each of two paths.
const MAX_PAIRS: usize = MAX_PATHS / 2;
const FEW: usize = 16;

impl PathMtu {
    /// Takes note of a connection.
    pub(crate) fn add(&mut self, flow: &Flow) {
        if flow.proto != TCP {
            return;
        }
        if let Some(stalled) = Stalled::of(flow) {
            self.stall(stalled);
        }
        let (orig, resp) = (flow.orig.addr, flow.resp.addr);
        self.pass(flow, [Path { from: orig, to: resp }, Path { from: resp, to: orig }]);
        match flow.leg.tunnel {
            0 if flow.other_legs.iter().all(|leg| leg.tunnel == 0) => {
                self.announce(orig, &flow.from_orig);
                self.announce(resp, &flow.from_resp);
            }
            0 => {}
            tunnel => self.inside(tunnel, flow),
        }
    }

    fn stall(&mut self, one: Stalled) {
        let least = least(one.path.from);
        let is_small = one.stall.resent >= RESENT && one.stall.ip_len <= least;
        if self.stalled.len() + self.cut.len() >= MAX_STALLED {
            self.left_out += 1;
        } else if is_small {
            self.cut.push((one.path, (one.stall.first_ns, one.stall.last_ns)));
        } else if one.size > least {
            self.stalled.push(one);
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

    /// Takes note of what passed from a connection's originator and from its responder.
    fn pass(&mut self, flow: &Flow, paths: [Path; 2]) {
        let sides = [&flow.from_orig, &flow.from_resp];
        let all = || paths.into_iter().zip(sides).filter(|(_, side)| side.all_acked && side.payload_bytes > 0);
        if all().next().is_none() {
            return;
        }
        let (there, _) = paths[0].ordered();
        if self.passed.len() >= MAX_PAIRS && !self.passed.contains_key(&there) {
            self.left_out += 1;
            return;
        }
        let full = full_size(flow);
        let passed = self.passed.entry(there).or_default();
        for (path, side) in all() {
            let largest = real_size(flow, side);
            self.full_size_passed |= full.is_some_and(|full| largest + 2 * TIMESTAMPS >= full);
            passed[path.ordered().1].add(largest, flow.last_ns);
        }
        all().for_each(|(path, side)| self.adapt(path, flow, side));
    }

    fn adapt(&mut self, path: Path, flow: &Flow, side: &Side) {
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
    pub(crate) fn passed(&self, path: Path) -> Option<&Passed> {
        let (there, way) = path.ordered();
        Some(&self.passed.get(&there)?[way]).filter(|passed| passed.connections > 0)
    }

    /// Bytes of the biggest packet that may have passed one way at a time or later.
    pub(crate) fn largest_since(&self, path: Path, ns: i64) -> u32 {
        self.passed(path).map_or(0, |passed| passed.largest_since(ns))
    }

    /// Whether small segments did not arrive either while a connection waited.
    pub(crate) fn is_cut(&self, one: &Stalled) -> bool {
        let (first_ns, last_ns) = (one.since_ns(), one.span_ns.1);
        let meanwhile = |(from_ns, to_ns): (i64, i64)| from_ns <= last_ns && to_ns >= first_ns;
        self.cut.iter().any(|(path, span_ns)| *path == one.path && meanwhile(*span_ns))
    }
}

/// MTUs of paths with a tunnel on usual underlays: 1500 less IPIP, GRE, VXLAN, WireGuard and their sums; OVN's, clouds',
/// and the least of IPv6.
const TUNNEL_MTUS: [u16; 12] = [1480, 1476, 1460, 1450, 1440, 1430, 1420, 1410, 1400, 1370, 1360, 1280];
/// Packets of a transfer that is long enough to tell the size it is cut to.
const LONG: u32 = 8;

/// Whether a side cuts what it sends to the MTU of a tunnel, which is less than both ends allow: most of its packets must
/// be as long as the longest.
fn is_adapted(side: &Side, full: u32) -> bool {
    let largest = u64::from(side.largest_packet);
    u32::from(side.largest_packet) + TIMESTAMPS < full
        && TUNNEL_MTUS.contains(&side.largest_packet)
        && side.packets >= LONG
        && side.bytes * 3 >= u64::from(side.packets) * largest * 2
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

/// Time in which a SYN-ACK without an answer was sent again (RFC 6298 2.1: after a second), and came.
const SYN_ACK_AGAIN_NS: i64 = 2 * PATIENCE_NS;

/// Smallest packets that any path must pass (RFC 791, RFC 8200 5).
fn least(addr: Addr) -> u32 {
    if addr.is_v4() { 576 } else { 1280 }
}

/// Times that a receiver sends again what only big segments acknowledged: as a probe, and when its timer is over. Then the
/// sender's empty acknowledgement is there.
const PIGGYBACK: u32 = 2;

/// Whether a receiver sends its own data again and again, as the sender does: it lacks the small acknowledgements too, and
/// nothing arrives.
fn lacks_all(stall: &Stall, receiver: &Side) -> bool {
    let again = receiver.retransmitted_packets;
    let heard_small = again <= PIGGYBACK && stall.revealed.is_some();
    again > 0 && again * 2 > stall.resent && !heard_small
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
        if receiver.1.zero_window || lacks_all(stall, receiver.1) || stall.peer_repeats {
            return None;
        }
        let (sign, size) = Sign::of(flow, stall, sender.1, receiver.1);
        let waited = flow.last_ns.saturating_sub(flow.first_ns);
        (sign == Sign::Size || waited >= PATIENCE_NS).then(|| Self {
            sign,
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

    /// When the first big segment is known to have been lost.
    pub(crate) fn since_ns(&self) -> i64 {
        if self.stall.resent > 0 { self.stall.first_ns } else { self.span_ns.0 }
    }
}

impl Sign {
    /// What a connection shows, and bytes of the packets that do not arrive.
    fn of(flow: &Flow, stall: &Stall, sender: &Side, receiver: &Side) -> (Self, u32) {
        if is_big(stall, sender) {
            return (Self::of_resent(flow, stall, sender, receiver), stall.ip_len);
        }
        if stall.resent >= RESENT && stall.peer_lives {
            return (Self::Later, stall.ip_len);
        }
        let full = full_size(flow);
        let hidden = full.and_then(|full| Self::of_hidden(flow, stall, sender, full));
        (hidden.unwrap_or(Self::Stop), full.unwrap_or(stall.ip_len))
    }

    fn of_resent(flow: &Flow, stall: &Stall, sender: &Side, receiver: &Side) -> Self {
        let had_acknowledged = sender.isn.is_some_and(|isn| stall.seq.wrapping_sub(isn) > 1);
        if stall.peer_lives {
            Self::Size
        } else if had_acknowledged {
            Self::Unheard
        } else if is_open(flow, stall, sender, receiver) {
            Self::First
        } else {
            Self::Stop
        }
    }

    /// What segments show that never came here although the sender has sent them, unless as big ones did come.
    fn of_hidden(flow: &Flow, stall: &Stall, sender: &Side, full: u32) -> Option<Self> {
        let headers = if flow.orig.addr.is_v4() { 40 } else { 60 };
        let segment = full.checked_sub(headers + TIMESTAMPS)?;
        let waited = flow.last_ns.saturating_sub(flow.first_ns);
        let big_ones_came = u32::from(sender.largest_packet) + 2 * TIMESTAMPS >= full;
        if waited < PATIENCE_NS || stall.resent > 0 || big_ones_came || stall.missing < segment {
            return None;
        }
        Some(if stall.missing >= HIDDEN * segment { Self::Size } else { Self::Few })
    }

    /// Whether a connection that stops with the other sign says more of the same.
    pub(crate) fn is_backed_by(self, other: Self) -> bool {
        match self {
            Self::Unheard | Self::First => matches!(other, Self::Unheard | Self::First),
            Self::Later => other == Self::Size,
            Self::Few => other == Self::Few,
            Self::Size | Self::Stop => false,
        }
    }
}

/// Whether a segment was sent again and again, unless as big ones passed before.
fn is_big(stall: &Stall, sender: &Side) -> bool {
    let acked = sender.isn.map_or(0, |isn| stall.seq.wrapping_sub(isn.wrapping_add(1)));
    let usual = u64::from(acked) / u64::from(sender.packets.saturating_sub(stall.resent).max(1));
    stall.resent >= RESENT && usual * 2 < u64::from(stall.ip_len)
}

/// Whether both ends finished the handshake: a server that lacks its last segment repeats its SYN-ACK meanwhile.
fn is_open(flow: &Flow, stall: &Stall, sender: &Side, receiver: &Side) -> bool {
    let waited = stall.last_ns.saturating_sub(flow.first_ns);
    sender.isn.and(receiver.isn).is_some() && receiver.syns <= 1 && waited >= SYN_ACK_AGAIN_NS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_is_sent_again_once_may_lack_what_big_segments_carried() {
        let lacks = |resent, revealed, again| {
            let revealed = bool::then_some(revealed, (0, FrameId::default()));
            let receiver = Side { retransmitted_packets: again, ..Side::default() };
            lacks_all(&Stall { resent, revealed, ..Stall::default() }, &receiver)
        };
        assert!(!lacks(3, false, 1), "at the sender");
        assert!(!lacks(0, true, 1), "at the receiver, which has the empty acknowledgement");
        assert!(lacks(3, false, 3), "both send again and again");
        assert!(lacks(0, true, 3), "the empty one passes here and does not arrive");
        assert!(lacks(0, false, 1), "nothing empty came");
    }
}
