//! Open transactions of one shard, which has all sightings of a question: datagrams go by their identification, which
//! neither NAT nor a tunnel changes.

use super::Seen;
use super::answer::Zones;
use super::open::{Asks, Fits, Open};
use super::stream::Streams;
use super::transaction::{Transaction, Transport};
use crate::packet::{Kind, Packet};
use crate::track::event::Rejection;
use crate::track::events::Events;
use crate::track::flows::Source;
use crate::track::icmp::read;
use crate::track::index::Index;
use crate::track::key::SHARDS;
use crate::track::prefetch::prefetch_all;
use crate::track::{Endpoint, IcmpCode};
use crate::wire::dns::{self, Message, Question, message};
use std::collections::VecDeque;

/// A packet with DNS in it, or about it, among those of a chunk's shards.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DnsRef {
    /// Shard whose packet it is.
    pub(crate) shard: u8,
    /// Which of its packets.
    pub(crate) at: u32,
}

/// Open transactions, bounded.
#[derive(Debug)]
pub(crate) struct Dns {
    index: Index,
    slots: Vec<Option<Open>>,
    free: Vec<u32>,
    /// Those whose answer may come any moment, oldest first.
    young: VecDeque<(u32, i64)>,
    /// Those that wait for the client to ask again, by when they began to.
    waiting: VecDeque<(u32, i64)>,
    /// Identifications of questions opened last, and their slots: what SNAT gave another port is found by them.
    recent_ids: [u16; RECENT],
    recent_slots: [u32; RECENT],
    recent_at: usize,
    zones: Zones,
    streams: Streams,
    /// What was given up early, to be told.
    given_up: Vec<Transaction>,
    cap: usize,
    /// Transactions given up early because of the cap.
    pub(crate) evicted: u64,
}

const RECENT: usize = 32;
/// How many packets, or transactions, ahead memory is asked for: first where something is, then what it is.
const SOON: usize = 8;
const NEXT: usize = 4;
/// Bytes of an open transaction with its answer.
const OPEN_BYTES: u64 = 1200;
/// Answered transactions stay as long for copies and duplicates; others then begin to wait.
const YOUNG_NS: i64 = 1_500_000_000;
/// Unanswered ones wait as long for a late answer or the client's next attempt.
const WAIT_NS: i64 = 10_000_000_000;

/// Whether a message that is no answer can be one that is answered: what a server's port sends to another is none, and
/// neither is what asks nothing.
fn may_ask(packet: &Packet, message: &Message<'_>) -> bool {
    let from_server = packet.src_port == dns::PORT && packet.dst_port != dns::PORT;
    !from_server && message.question != Question::Absent
}

impl Dns {
    /// `memory` is what all shards together may hold, bytes.
    pub(crate) fn new(memory: u64) -> Self {
        let cap = memory / SHARDS as u64 / OPEN_BYTES;
        Self {
            index: Index::default(),
            slots: Vec::new(),
            free: Vec::new(),
            young: VecDeque::new(),
            waiting: VecDeque::new(),
            recent_ids: [0; RECENT],
            recent_slots: [u32::MAX; RECENT],
            recent_at: 0,
            zones: Zones::default(),
            streams: Streams::default(),
            given_up: Vec::new(),
            cap: usize::try_from(cap).unwrap_or(usize::MAX).max(64),
            evicted: 0,
        }
    }

    /// Takes packets with DNS, or ICMP errors about some. What the next ones need is asked for while one is looked at.
    pub(crate) fn take_all<'p>(&mut self, packets: impl Iterator<Item = &'p Packet> + Clone, source: &Source<'_>) {
        let mut soon = packets.clone().skip(SOON);
        let mut next = packets.clone().skip(NEXT);
        for packet in packets {
            if let Some(tag) = soon.next().and_then(|packet| tag_of(packet, source)) {
                self.index.prefetch(tag);
            }
            if let Some(tag) = next.next().and_then(|packet| tag_of(packet, source)) {
                self.prefetch(self.index.guess(tag));
            }
            self.take(packet, source);
        }
    }

    /// Asks for a transaction, where it is one.
    #[inline]
    fn prefetch(&self, slot: Option<u32>) {
        if let Some(place) = slot.and_then(|slot| self.slots.get(slot as usize)) {
            prefetch_all(place);
        }
    }

    /// Takes a packet with DNS, or an ICMP error about one.
    fn take(&mut self, packet: &Packet, source: &Source<'_>) {
        match packet.kind {
            Kind::Udp => {
                let bytes = source.chunk.payload(packet);
                if let Some(message) = message(bytes, packet.payload_len as usize) {
                    self.message(packet, source, Transport::Udp, message);
                }
            }
            Kind::Tcp => self.segment(packet, source),
            Kind::IcmpError => self.error(packet, source),
            _ => {}
        }
    }

    fn segment(&mut self, packet: &Packet, source: &Source<'_>) {
        let bytes = source.chunk.payload(packet);
        let Some(mut whole) = self.streams.take(packet, bytes) else { return };
        while let Some((bytes, len)) = whole.next_message() {
            if let Some(message) = message(bytes, len) {
                self.message(packet, source, Transport::Tcp, message);
            }
        }
        self.streams.put_back(packet, whole);
    }

    fn message(&mut self, packet: &Packet, source: &Source<'_>, transport: Transport, message: Message<'_>) {
        let seen = Seen::new(packet, source.frame(packet), source.unit, transport, message);
        if seen.message.is_response() {
            self.answer(&seen);
        } else if may_ask(packet, &seen.message) {
            self.ask(&seen);
        }
    }

    fn ask(&mut self, seen: &Seen<'_>) {
        let tag = tag(seen.message.id, seen.client().port);
        let known = self.find_question(tag, seen).or_else(|| self.find_renumbered(tag, seen));
        match known.and_then(|(slot, asks)| Some((self.slots.get_mut(slot as usize)?.as_mut()?, asks))) {
            Some((open, Asks::Again)) => open.ask(seen),
            Some((open, _)) if open.told.attempt_count == 0 => open.ask_late(seen),
            Some((open, _)) => open.pass(seen),
            None => drop(self.open(tag, seen)),
        }
    }

    fn answer(&mut self, seen: &Seen<'_>) {
        let tag = tag(seen.message.id, seen.client().port);
        let (slot, fits) = match self.find_answered(tag, seen) {
            Some(found) => found,
            None => (self.open(tag, seen), Fits::Leg),
        };
        if let Some(Some(open)) = self.slots.get_mut(slot as usize) {
            open.answer(seen, fits, &mut self.zones);
        }
    }

    /// The transaction that a question is an attempt of.
    fn find_question(&self, tag: u32, seen: &Seen<'_>) -> Option<(u32, Asks)> {
        let mut best: Option<(Asks, i64, u32)> = None;
        self.index.find(tag, |slot| {
            if let Some(Some(open)) = self.slots.get(slot as usize)
                && let Some(asks) = open.asks(seen)
            {
                // The next attempt is the youngest's, a further sighting the oldest's.
                let age = if asks == Asks::Again { -open.told.first_ns } else { open.told.first_ns };
                let this = (asks, age, slot);
                best = Some(best.map_or(this, |best| best.min(this)));
            }
            false
        });
        best.map(|(asks, _, slot)| (slot, asks))
    }

    /// The same where SNAT gave the question another port.
    fn find_renumbered(&mut self, tag: u32, seen: &Seen<'_>) -> Option<(u32, Asks)> {
        let id = seen.message.id;
        // Mostly none has it, which the processor sees at once.
        if self.recent_ids.iter().map(|known| u32::from(*known == id)).sum::<u32>() == 0 {
            return None;
        }
        let same = self.recent_ids.iter().zip(&self.recent_slots).filter(|(known, _)| **known == id);
        let renumbered = same.filter_map(|(_, slot)| {
            let open = self.slots.get(*slot as usize)?.as_ref()?;
            let asks = open.asks(seen).filter(|asks| *asks < Asks::Elsewhere)?;
            Some((asks, open.told.first_ns, *slot))
        });
        let (asks, _, slot) = renumbered.min()?;
        self.index.insert(tag, slot);
        Some((slot, asks))
    }

    /// The transaction that an answer is to.
    fn find_answered(&self, tag: u32, seen: &Seen<'_>) -> Option<(u32, Fits)> {
        let mut best: Option<(bool, Fits, i64, u32)> = None;
        self.index.find(tag, |slot| {
            if let Some(Some(open)) = self.slots.get(slot as usize)
                && let Some(fits) = open.fits(seen)
            {
                let late = fits == Fits::Mismatched || !open.waits();
                let this = (late, fits, -open.told.first_ns, slot);
                best = Some(best.map_or(this, |best| best.min(this)));
            }
            false
        });
        best.map(|(_, fits, _, slot)| (slot, fits))
    }

    fn open(&mut self, tag: u32, seen: &Seen<'_>) -> u32 {
        if self.young.len() + self.waiting.len() >= self.cap {
            self.evict();
        }
        let open = Some(Open::new(seen));
        let slot = self.free.pop().unwrap_or(self.slots.len() as u32);
        self.prefetch(self.free.iter().rev().nth(NEXT).copied());
        match self.slots.get_mut(slot as usize) {
            Some(place) => *place = open,
            None => self.slots.push(open),
        }
        self.index.insert(tag, slot);
        self.young.push_back((slot, seen.ns()));
        self.recent_ids[self.recent_at] = seen.message.id;
        self.recent_slots[self.recent_at] = slot;
        self.recent_at = (self.recent_at + 1) % RECENT;
        slot
    }

    /// An ICMP error that quotes a question.
    fn error(&mut self, packet: &Packet, source: &Source<'_>) {
        let Some(quote) = read(packet, source) else { return };
        let Some(id) = quote.packet.head else { return };
        let orig = Endpoint { addr: quote.packet.src, port: quote.packet.src_port };
        let resp = Endpoint { addr: quote.packet.dst, port: quote.packet.dst_port };
        let icmp = IcmpCode { v4: packet.src.is_v4(), kind: quote.icmp_type, code: quote.code };
        let slot = self.index.find(tag(id, orig.port), |slot| {
            let open = self.slots.get(slot as usize).and_then(Option::as_ref);
            open.is_some_and(|open| open.told.id == id && open.is_quoted(orig, resp))
        });
        if let Some(open) = slot.and_then(|slot| self.slots.get_mut(slot as usize)?.as_mut()) {
            let frame = source.frame(packet);
            open.reject(Rejection {
                from: packet.src,
                of_orig: true,
                icmp,
                ttl: packet.ttl,
                ns: packet.ts_ns,
                frame,
                count: 1,
            });
        }
    }

    /// Closes what is over at `now_ns`.
    pub(crate) fn sweep(&mut self, now_ns: i64, events: &mut Events) {
        let told = &mut events.transactions;
        told.append(&mut self.given_up);
        while let Some(&(slot, since)) = self.young.front() {
            if now_ns.saturating_sub(since) < YOUNG_NS {
                break;
            }
            self.young.pop_front();
            self.prefetch(self.young.get(NEXT).map(|young| young.0));
            let Some(Some(open)) = self.slots.get(slot as usize) else { continue };
            if open.waits() || now_ns.saturating_sub(open.last_ns) < YOUNG_NS {
                self.waiting.push_back((slot, now_ns));
            } else {
                self.close(slot, None, false, told);
            }
        }
        self.sweep_waiting(now_ns, told);
    }

    fn sweep_waiting(&mut self, now_ns: i64, told: &mut Vec<Transaction>) {
        while let Some(&(slot, since)) = self.waiting.front() {
            if now_ns.saturating_sub(since) < WAIT_NS {
                break;
            }
            self.waiting.pop_front();
            let Some(Some(open)) = self.slots.get(slot as usize) else { continue };
            if open.waits() && now_ns.saturating_sub(open.last_ns) < WAIT_NS {
                self.waiting.push_back((slot, now_ns));
            } else {
                self.close(slot, None, false, told);
            }
        }
    }

    /// Makes room: what is answered has nothing to lose but a duplicate; else the oldest leaves.
    fn evict(&mut self) {
        let mut told = std::mem::take(&mut self.given_up);
        for _ in 0..self.cap.div_ceil(8) {
            let Some((slot, _)) = self.young.pop_front().or_else(|| self.waiting.pop_front()) else { break };
            let waits = self.slots.get(slot as usize).and_then(Option::as_ref).is_some_and(Open::waits);
            self.evicted += u64::from(waits);
            self.close(slot, None, waits, &mut told);
        }
        self.given_up = told;
    }

    /// Closes everything; `last_ns` is when the capture ended.
    pub(crate) fn drain(&mut self, last_ns: i64, events: &mut Events) {
        let mut all: Vec<u32> = self.young.drain(..).chain(self.waiting.drain(..)).map(|(slot, _)| slot).collect();
        all.sort_by_key(|slot| self.slots.get(*slot as usize).and_then(Option::as_ref).map(|open| open.told.first));
        let told = &mut events.transactions;
        told.append(&mut self.given_up);
        told.reserve_exact(all.len());
        for slot in all {
            self.close(slot, Some(last_ns), false, told);
        }
        self.streams = Streams::default();
    }

    fn close(&mut self, slot: u32, end_ns: Option<i64>, evicted: bool, told: &mut Vec<Transaction>) {
        let Some(place) = self.slots.get_mut(slot as usize) else { return };
        let Some(open) = place else { return };
        let id = open.told.id;
        for (at, leg) in open.told.legs.iter().enumerate() {
            let port = leg.client.port;
            if open.told.legs.iter().take(at).all(|before| before.client.port != port) {
                self.index.remove(tag(id, port), slot);
            }
        }
        open.settle(end_ns, evicted);
        self.free.push(slot);
        told.extend(place.take().map(|open| open.told));
    }
}

/// The tag of a datagram's message, as its first bytes say.
#[inline]
fn tag_of(packet: &Packet, source: &Source<'_>) -> Option<u32> {
    let bytes = source.chunk.payload(packet);
    let &[high, low, flags] = bytes.first_chunk()?;
    let port = if flags & 0x80 != 0 { packet.dst_port } else { packet.src_port };
    Some(tag(u16::from_be_bytes([high, low]), port))
}

/// Where a transaction is found: by identification and the client's port.
#[inline]
fn tag(id: u16, port: u16) -> u32 {
    (u32::from(id) << 16 | u32::from(port)).wrapping_mul(0x9e37_79b1).rotate_left(15)
}

/// The shard that has all sightings of a datagram with DNS, by its identification.
#[inline]
pub(crate) fn shard_of_id(id: u16) -> usize {
    usize::from((id ^ id >> 8).wrapping_mul(0x9e37) >> 13) % SHARDS
}

/// Whether UDP between these ports is DNS.
#[inline]
pub(crate) fn is_dns_port(packet: &Packet) -> bool {
    packet.dst_port == dns::PORT || packet.src_port == dns::PORT
}
