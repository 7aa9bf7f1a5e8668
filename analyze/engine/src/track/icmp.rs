//! ICMP errors, tied to the connection they quote, and pings.

use super::Endpoint;
use super::event::{Echo, Event, FrameId, IcmpCode, IcmpError};
use super::events::Events;
use super::flow::IcmpSeen;
use super::flows::{Flows, Source};
use crate::packet::Packet;
use crate::wire::icmp::{Quote, Quoted, quote};
use std::collections::{HashMap, VecDeque};

/// The packet that an ICMP error quotes, as far as a connection is looked up by it.
pub(crate) fn quoted(quote: &Quote) -> Packet {
    head(&quote.packet)
}

/// The packet of a connection that an ICMP error is about: where a tunnel's is quoted, what is inside, because the outer
/// packet is of no connection.
pub(crate) fn concerned(quote: &Quote) -> Packet {
    head(&quote.inner.unwrap_or(quote.packet))
}

fn head(quoted: &Quoted) -> Packet {
    let &Quoted { src, dst, src_port, dst_port, proto, .. } = quoted;
    Packet { src, dst, src_port, dst_port, proto, ..Packet::default() }
}

/// What an ICMP error says, read from its bytes.
pub(crate) fn read(packet: &Packet, source: &Source<'_>) -> Option<Quote> {
    quote(source.chunk.bytes(packet.l4_offset, packet.l4_caplen), packet.src.is_v4())
}

/// Recent ICMP errors, so that one seen at several points counts once.
#[derive(Debug, Default)]
pub(crate) struct Errors {
    recent: VecDeque<(Sighting, i64)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Sighting {
    icmp: IcmpCode,
    ip_id: u16,
    orig: Endpoint,
    resp: Endpoint,
    seq: Option<u32>,
}

const RECENT: usize = 64;
const FOLD_NS: u64 = 50_000_000;

impl Errors {
    pub(crate) fn take(&mut self, packet: &Packet, source: &Source<'_>, flows: &mut Flows, events: &mut Events) {
        let Some(quote) = read(packet, source) else { return };
        let icmp = IcmpCode { v4: packet.src.is_v4(), kind: quote.icmp_type, code: quote.code };
        let Quoted { src, dst, src_port, dst_port, proto, seq, ip_len, .. } = quote.packet;
        let (orig, resp) = (Endpoint { addr: src, port: src_port }, Endpoint { addr: dst, port: dst_port });
        if self.is_known(Sighting { icmp, ip_id: packet.ip_id, orig, resp, seq }, packet.ts_ns) {
            return;
        }
        let frame = source.frame(packet);
        let flow_known = mark(flows, &quote, icmp, packet, frame);
        let error = IcmpError {
            unit: source.unit,
            ns: packet.ts_ns,
            frame,
            point: packet.point,
            tunnel: packet.tunnel,
            from: packet.src,
            to: packet.dst,
            ttl: packet.ttl,
            icmp,
            mtu: quote.mtu,
            orig,
            resp,
            proto,
            seq,
            quoted_len: ip_len,
            quoted_tunnel: quote.tunnel,
            flow_known,
        };
        events.push((packet.index, Event::IcmpError(Box::new(error))));
    }

    fn is_known(&mut self, sighting: Sighting, ns: i64) -> bool {
        if self.recent.iter().any(|&(known, at)| known == sighting && ns.abs_diff(at) < FOLD_NS) {
            return true;
        }
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back((sighting, ns));
        false
    }
}

/// Writes the error down at the connection it is about, if there is one.
fn mark(flows: &mut Flows, quote: &Quote, icmp: IcmpCode, packet: &Packet, frame: FrameId) -> bool {
    if icmp.is_too_big() {
        note_too_big(flows, quote, packet.ts_ns);
    }
    let Some((slot, of)) = flows.find(&quoted(quote)) else { return false };
    let Some(cold) = flows.cold(slot) else { return false };
    let known = &mut cold.more_mut().icmp;
    match known {
        Some(seen) => seen.count += 1,
        None => {
            *known = Some(IcmpSeen { from: packet.src, of, icmp, ttl: packet.ttl, ns: packet.ts_ns, frame, count: 1 });
        }
    }
    flows.charge(slot as usize);
    true
}

/// Notes when a connection's packet was too big for its way, or the tunnel's packet that it was in: the tunnel's end tells
/// who sent the one inside (RFC 2003 5.1), and what is sent again for that is not lost.
fn note_too_big(flows: &mut Flows, quote: &Quote, ns: i64) {
    let slot = flows.find(&concerned(quote)).map(|(slot, _)| slot);
    if let Some(cold) = slot.and_then(|slot| flows.cold(slot)) {
        cold.handshake.too_big_ns = Some(ns).into();
    }
}

/// Pings waiting for their reply.
#[derive(Debug, Default)]
pub(crate) struct Echoes {
    waiting: HashMap<EchoKey, Waiting>,
    order: VecDeque<(EchoKey, i64)>,
    /// Requests that were given up early because too many wait.
    pub(crate) evicted: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct EchoKey {
    orig: crate::Addr,
    resp: crate::Addr,
    id: u16,
    seq: u16,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    ns: i64,
    frame: FrameId,
    point: u16,
    tunnel: u32,
    /// A reply at another point; that of the request's own point is waited for, because only it can be measured.
    reply: Option<FrameId>,
    /// Whether this was told.
    told: bool,
}

/// Requests that wait at once, in one shard.
const MAX_WAITING: usize = 8192;
/// A ping is given up after this time; `ping` itself waits 10 s at most.
const GIVE_UP_NS: i64 = 10_000_000_000;

impl Echoes {
    pub(crate) fn take(&mut self, packet: &Packet, source: &Source<'_>, events: &mut Events) {
        let request = is_request(packet, source);
        let (orig, resp) = if request { (packet.src, packet.dst) } else { (packet.dst, packet.src) };
        let key = EchoKey { orig, resp, id: packet.src_port, seq: packet.seq as u16 };
        let frame = source.frame(packet);
        if request {
            self.ask(key, packet, frame, source.unit, events);
        } else {
            self.answer(key, packet, frame, source.unit, events);
        }
    }

    fn ask(&mut self, key: EchoKey, packet: &Packet, frame: FrameId, unit: u32, events: &mut Events) {
        if self.waiting.len() >= MAX_WAITING {
            self.evicted += 1;
            self.expire(i64::MAX, 1, unit, packet.index, events);
        }
        let first = !self.waiting.contains_key(&key);
        if first {
            self.waiting.insert(key, Waiting::new(packet, frame));
            self.order.push_back((key, packet.ts_ns));
        }
    }

    fn answer(&mut self, key: EchoKey, packet: &Packet, frame: FrameId, unit: u32, events: &mut Events) {
        let event = match self.waiting.get_mut(&key) {
            Some(waiting) if waiting.told => return,
            Some(waiting) if waiting.point != packet.point => {
                waiting.reply.get_or_insert(frame);
                return;
            }
            Some(waiting) => {
                waiting.told = true;
                let rtt_ns = Some(packet.ts_ns.saturating_sub(waiting.ns));
                Echo { reply: Some(frame), rtt_ns, ..waiting.echo(key, unit) }
            }
            None => {
                let seen = Waiting { reply: Some(frame), told: true, ..Waiting::new(packet, frame) };
                self.waiting.insert(key, seen);
                self.order.push_back((key, packet.ts_ns));
                seen.echo(key, unit)
            }
        };
        events.push((packet.index, Event::Echo(Box::new(event))));
    }

    /// Gives up what waits too long.
    pub(crate) fn sweep(&mut self, now_ns: i64, unit: u32, events: &mut Events) {
        self.expire(now_ns, usize::MAX, unit, u32::MAX, events);
    }

    /// Gives up everything; `last_ns` is when the capture ended.
    pub(crate) fn drain(&mut self, last_ns: i64, unit: u32, events: &mut Events) {
        for (key, ns) in std::mem::take(&mut self.order) {
            if let Some(waiting) = self.waiting.remove(&key).filter(|waiting| !waiting.told) {
                // A reply to a request of the last two seconds may lie behind the end of the capture.
                let unanswered = waiting.reply.is_none() && last_ns.saturating_sub(ns) > 2_000_000_000;
                let echo = Echo { unanswered, ..waiting.echo(key, unit) };
                events.push((u32::MAX, Event::Echo(Box::new(echo))));
            }
        }
    }

    fn expire(&mut self, now_ns: i64, most: usize, unit: u32, at: u32, events: &mut Events) {
        for _ in 0..most {
            let due = self.order.front().filter(|(_, ns)| now_ns.saturating_sub(*ns) > GIVE_UP_NS);
            let Some(&(key, _)) = due else { break };
            self.order.pop_front();
            if let Some(waiting) = self.waiting.remove(&key).filter(|waiting| !waiting.told) {
                let echo = Echo { unanswered: waiting.reply.is_none(), ..waiting.echo(key, unit) };
                events.push((at, Event::Echo(Box::new(echo))));
            }
        }
    }
}

/// Echo (8) of ICMP, echo request (128) of ICMPv6.
fn is_request(packet: &Packet, source: &Source<'_>) -> bool {
    matches!(source.chunk.bytes(packet.l4_offset, 1), [8 | 128])
}

impl Waiting {
    fn new(packet: &Packet, frame: FrameId) -> Self {
        Self { ns: packet.ts_ns, frame, point: packet.point, tunnel: packet.tunnel, reply: None, told: false }
    }

    fn echo(&self, key: EchoKey, unit: u32) -> Echo {
        Echo {
            unit,
            ns: self.ns,
            frame: self.frame,
            point: self.point,
            tunnel: self.tunnel,
            orig: key.orig,
            resp: key.resp,
            id: key.id,
            seq: key.seq,
            reply: self.reply,
            rtt_ns: None,
            unanswered: false,
        }
    }
}
