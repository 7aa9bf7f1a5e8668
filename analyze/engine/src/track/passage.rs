//! When packets of a connection passed the places that see it: of each lane a sample, bounded.
//!
//! A packet is known again by what neither NAT nor segmentation offload changes. Those with the lowest hashes of it are
//! kept, so all places keep the same packets and what two of them have in common is a uniform sample of what passed both
//! (bottom-k sampling), whatever was on its way between them, and whichever shards track what comes before and behind a
//! translation.

use super::flow::{Cold, Hot};
use super::key::End;
use super::leg::{Leg, Spot};
use crate::packet::{Kind, Packet, TcpFlags};
use std::collections::BinaryHeap;

/// Packets kept of a lane.
pub(crate) const SAMPLE: usize = 256;

/// What one packet is known by, and when it passed, nanoseconds since the epoch.
type Mark = (u64, i64);

/// When packets of one lane passed one place.
#[derive(Clone, Debug, Default)]
pub struct Times {
    marks: Box<[Mark]>,
    /// Of packets with marks from here on some are missing.
    limit: Option<u64>,
}

/// Copies of one packet at one place come within this time.
const COPY_NS: i64 = 2_000_000;

impl Times {
    fn of(heap: BinaryHeap<Mark>) -> Self {
        let limit = heap.peek().filter(|_| heap.len() == SAMPLE).map(|(mark, _)| *mark);
        let mut marks = heap.into_sorted_vec();
        marks.dedup_by(|new, old| new.0 == old.0 && new.1.saturating_sub(old.1) < COPY_NS);
        Self { marks: marks.into_boxed_slice(), limit }
    }

    /// Nanoseconds that packets took from here to another place, ascending: of all packets that passed both, or of a
    /// sample of them where they are many.
    pub fn to(&self, next: &Self) -> Vec<i64> {
        let limit = self.limit.unwrap_or(u64::MAX).min(next.limit.unwrap_or(u64::MAX));
        let known = |times: &Self| times.marks.partition_point(|(mark, _)| *mark < limit);
        let mut there = next.marks[..known(next)].chunk_by(|a, b| a.0 == b.0).peekable();
        let mut delays = Vec::new();
        for here in self.marks[..known(self)].chunk_by(|a, b| a.0 == b.0) {
            let mark = here[0].0;
            while there.next_if(|next| next[0].0 < mark).is_some() {}
            // Where one passed more often than the other, nobody can tell which was lost.
            if let Some(there) = there.next_if(|next| next[0].0 == mark && next.len() == here.len()) {
                delays.extend(here.iter().zip(there).map(|(from, to)| to.1.saturating_sub(from.1)));
            }
        }
        delays.sort_unstable();
        delays
    }
}

/// What of a packet stays as it is on its way, hashed. Of a long packet and the first of the segments that offload makes
/// of it this is the same.
fn mark(packet: &Packet) -> u64 {
    let has_payload = packet.payload_len > 0;
    let (len, window) = match packet.kind {
        Kind::Tcp if has_payload => (1, 0),
        Kind::Tcp => (0, packet.window),
        _ => (packet.payload_len, 0),
    };
    let flags = packet.flags.0 & (TcpFlags::SYN | TcpFlags::RST);
    let a = u64::from(packet.seq) << 32 | u64::from(packet.ack);
    let b = u64::from(packet.tsval) << 32 | u64::from(len) << 16 ^ u64::from(packet.ip_id);
    let c = u64::from(flags) << 16 | u64::from(window);
    mix(mix(mix(a) ^ b) ^ c)
}

/// The finalizer of `MurmurHash3`: every bit of the result depends on every bit.
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ bits >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    bits = (bits ^ bits >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    bits ^ bits >> 33
}

/// What the places of a connection saw of the originator and of the responder, in the order of [`super::Flow::legs`].
pub type Passed = Box<[[Times; 2]]>;

/// The places of one live connection, with what each saw of both ends.
type Places = Vec<(Spot, [BinaryHeap<Mark>; 2])>;

/// Samples of the live connections of a shard, by slot. What they take is never given back, as what is left of
/// connections keeps it.
#[derive(Debug)]
pub(crate) struct Passages {
    by_slot: Vec<Places>,
    /// Bytes that may still be taken.
    room: usize,
    /// Packets that were not looked at for want of room.
    pub(crate) left_out: u64,
}

impl Passages {
    /// Samples that together take `bytes`.
    pub(crate) fn new(bytes: u64) -> Self {
        let room = usize::try_from(bytes).unwrap_or(usize::MAX);
        Self { by_slot: Vec::new(), room, left_out: 0 }
    }

    /// Takes a packet of the connection in a slot.
    pub(crate) fn take(&mut self, slot: u32, packet: &Packet, end: End) {
        let slot = slot as usize;
        if self.by_slot.len() <= slot {
            self.by_slot.resize_with(slot + 1, Vec::new);
        }
        let place = Spot::of(packet, end);
        let Some(heap) = lane(&mut self.by_slot[slot], place, end, &mut self.room) else {
            self.left_out += 1;
            return;
        };
        let new = (mark(packet), packet.ts_ns);
        if heap.len() < SAMPLE {
            push(heap, new, &mut self.room, &mut self.left_out);
        } else if let Some(mut most) = heap.peek_mut().filter(|most| new < **most) {
            *most = new;
        }
    }

    /// What is left of the connection in a slot.
    pub(crate) fn end(&mut self, slot: u32, hot: &Hot, cold: &Cold) -> Option<Passed> {
        let mut places = std::mem::take(self.by_slot.get_mut(slot as usize)?);
        if places.is_empty() {
            return None;
        }
        let first = Spot { point: hot.point, tunnel: hot.tunnel, way: hot.way };
        let others = cold.legs().iter().map(Leg::spot);
        let of = |spot: Spot| {
            let found = places.iter_mut().find(|(place, _)| place.is(spot));
            let mut times = found.map(|(_, heaps)| std::mem::take(heaps).map(Times::of)).unwrap_or_default();
            times.rotate_left(cold.orig as usize);
            times
        };
        Some(std::iter::once(first).chain(others).map(of).collect())
    }
}

/// The sample that a packet belongs to.
fn lane<'a>(places: &'a mut Places, spot: Spot, end: End, room: &mut usize) -> Option<&'a mut BinaryHeap<Mark>> {
    let known = places.iter().position(|(place, _)| place.is(spot));
    let at = known.unwrap_or(places.len());
    if known.is_none() {
        *room = room.checked_sub(size_of::<(Spot, [BinaryHeap<Mark>; 2])>() + size_of::<[Times; 2]>())?;
        places.reserve_exact(1);
        places.push((spot, <[BinaryHeap<Mark>; 2]>::default()));
    }
    Some(&mut places[at].1[end as usize])
}

/// Adds to a sample that is not full; a quarter more room at a time.
fn push(heap: &mut BinaryHeap<Mark>, new: Mark, room: &mut usize, left_out: &mut u64) {
    if heap.len() == heap.capacity() {
        let more = (heap.len() / 4).max(4).min(SAMPLE - heap.len());
        let Some(left) = room.checked_sub(more * size_of::<Mark>()) else {
            *left_out += 1;
            return;
        };
        *room = left;
        heap.reserve_exact(more);
    }
    heap.push(new);
}

#[cfg(test)]
mod tests;
