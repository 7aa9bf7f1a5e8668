//! Bytes that never arrive: segments sent again and again, and bytes a sender has sent that are never seen.
//!
//! Kept only of lanes that show it. A retransmission is one segment of real size even where segmentation offload hides
//! the sizes of what was sent first, so what is sent again tells what the path does not pass.

use super::event::{FrameId, Stall};
use super::few::Few;
use super::flow::{Cold, Hot};
use super::key::End;
use super::lane::{Lane, Rare, after};
use crate::packet::Packet;

/// What a lane shows of bytes that do not arrive.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trouble {
    resent: Option<Resent>,
    skipped: Option<Skipped>,
    /// Whether a FIN without data was sent again.
    fin_again: bool,
}

/// The segment that is sent again because its first byte is never acknowledged.
#[derive(Clone, Copy, Debug, Default)]
struct Resent {
    seq: u32,
    /// Bytes of the smallest IP packet it was sent again in.
    ip_len: u32,
    /// Times it was sent again.
    times: u32,
    first_ns: i64,
    last_ns: i64,
    frames: Few<FrameId, 4>,
    /// Packets of the peer when it was first sent again.
    peer_packets: u32,
}

/// A segment without payload behind bytes that were never seen.
#[derive(Clone, Copy, Debug, Default)]
struct Skipped {
    /// Its sequence number.
    to: u32,
    ns: i64,
    frame: FrameId,
}

impl Rare {
    /// Notes a retransmission.
    #[cold]
    pub(crate) fn note_resent(&mut self, packet: &Packet, peer: &Lane, frame: FrameId) {
        let trouble = self.trouble_mut();
        let waits = |seq: u32| peer.acked().is_none_or(|acked| !after(acked, seq));
        // A tail loss probe sends the last segment again before the one that is waited for (RFC 8985 7).
        let is_nearer = |old: &Resent| after(old.seq, packet.seq) && waits(packet.seq);
        match &mut trouble.resent {
            Some(old) if old.seq == packet.seq => old.again(packet, frame),
            Some(old) if waits(old.seq) && !is_nearer(old) => {}
            resent => {
                let mut new = Resent {
                    seq: packet.seq,
                    ip_len: packet.ip_len,
                    first_ns: packet.ts_ns,
                    peer_packets: peer.packets,
                    ..Resent::default()
                };
                new.again(packet, frame);
                *resent = Some(new);
            }
        }
    }

    /// Notes a FIN without data that was sent again.
    #[cold]
    pub(crate) fn note_fin_again(&mut self) {
        self.trouble_mut().fin_again = true;
    }

    /// Notes a segment without payload that is ahead of everything seen (see [`Lane::skips`]).
    #[cold]
    pub(crate) fn note_skipped(&mut self, packet: &Packet, frame: FrameId) {
        let skipped = &mut self.trouble_mut().skipped;
        if skipped.is_none_or(|old| after(packet.seq, old.to)) {
            *skipped = Some(Skipped { to: packet.seq, ns: packet.ts_ns, frame });
        }
    }

    /// Bytes from `acked` on that the sender has sent and that were never seen here.
    fn missing_after(&self, lane: &Lane, acked: u32) -> u32 {
        let skipped = self.trouble().and_then(|trouble| trouble.skipped);
        let ahead = skipped.filter(|skipped| !after(acked, lane.next_seq) && after(skipped.to, lane.next_seq));
        ahead.map_or_else(|| self.hole_at(acked), |skipped| skipped.to.wrapping_sub(lane.next_seq))
    }
}

impl Resent {
    fn again(&mut self, packet: &Packet, frame: FrameId) {
        self.times += 1;
        self.ip_len = self.ip_len.min(packet.ip_len);
        self.last_ns = packet.ts_ns;
        self.frames.push(frame);
    }
}

/// One place that saw the connection.
struct Place<'a> {
    point: u16,
    tunnel: u32,
    lanes: &'a [Lane; 2],
    rare: &'a [Rare; 2],
}

/// What one side sent and its peer had never acknowledged when the connection ended: of the side with more signs.
pub(crate) fn stall(hot: &Hot, cold: &Cold) -> Option<Box<Stall>> {
    let first = Place { point: hot.point, tunnel: hot.tunnel, lanes: &hot.lanes, rare: &cold.rare };
    let others = cold.legs().iter().map(|leg| Place {
        point: leg.point,
        tunnel: leg.tunnel,
        lanes: &leg.lanes,
        rare: &leg.rare,
    });
    if !std::iter::once(&cold.rare).chain(cold.legs().iter().map(|leg| &leg.rare)).flatten().any(Rare::has_trouble) {
        return None;
    }
    let places: Vec<Place<'_>> = std::iter::once(first).chain(others).collect();
    let sides = [End::Low, End::High].into_iter().filter_map(|end| stall_of(end, &places, cold));
    sides.max_by_key(|stall| (stall.resent, stall.missing)).map(Box::new)
}

fn stall_of(end: End, places: &[Place<'_>], cold: &Cold) -> Option<Stall> {
    let (at, peer) = (end as usize, end.other() as usize);
    let furthest = |a: u32, b: u32| if after(b, a) { b } else { a };
    let acked = places.iter().filter_map(|place| place.lanes[peer].acked()).reduce(furthest)?;
    let mut stall = Stall { by_orig: end == cold.orig, seq: acked, ..Stall::default() };
    for place in places.iter().filter(|place| place.lanes[at].packets > 0) {
        let rare = &place.rare[at];
        let resent = rare.trouble().and_then(|trouble| trouble.resent).filter(|resent| resent.seq == acked);
        match resent {
            Some(resent) => {
                stall.seen_at.push((place.point, place.tunnel));
                stall.take(&resent, place.lanes[peer].packets);
            }
            None => stall.unseen_at.push((place.point, place.tunnel)),
        }
        stall.peer_repeats |= place.rare[peer].trouble().is_some_and(|trouble| trouble.fin_again);
        stall.miss(rare, rare.missing_after(&place.lanes[at], acked));
    }
    (stall.resent > 0 || stall.missing > 0).then_some(stall)
}

impl Stall {
    fn take(&mut self, resent: &Resent, peer_packets: u32) {
        if self.resent < resent.times {
            (self.resent, self.ip_len) = (resent.times, resent.ip_len);
            (self.first_ns, self.last_ns, self.frames) = (resent.first_ns, resent.last_ns, resent.frames);
        }
        self.peer_lives |= peer_packets > resent.peer_packets;
    }

    fn miss(&mut self, rare: &Rare, missing: u32) {
        if missing > self.missing {
            self.missing = missing;
            let skipped = rare.trouble().and_then(|trouble| trouble.skipped);
            self.revealed = skipped.map(|skipped| (skipped.ns, skipped.frame));
        }
    }
}
