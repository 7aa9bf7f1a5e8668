//! Telling that a packet was seen a moment ago, where the capture hides on which interface (SLL).

use super::key::End;
use super::lane::fingerprint;
use crate::packet::{Kind, Packet};

/// The last packets of a connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recent {
    sightings: [Sighting; 16],
    at: u8,
}

/// What a packet is known again by.
#[derive(Clone, Copy, Debug, Default)]
struct Sighting {
    ns: i64,
    fingerprint: u32,
    /// The tunnel that it was in: what goes into one and what is in it are seen at two places, whatever the interface.
    tunnel: u32,
    seq: u32,
    /// Payload bytes of a TCP segment; 0 of others.
    len: u32,
    /// Payload of its segments, once the first was seen.
    segment: u32,
    tsval: u32,
    ip_id: u16,
}

/// Copies of a packet on one host come within this time.
const FOLD_NS: i64 = 50_000_000;
/// The same where no identification tells a copy from a retransmission, which takes at least a round trip.
const ANONYMOUS_NS: i64 = 2_000_000;

impl Recent {
    /// Whether this packet was seen a moment ago, in the same tunnel or both times outside, whole or in another cut:
    /// segmentation offload shows one long packet before an interface and its segments behind it. What was not is
    /// remembered.
    pub(crate) fn has(&mut self, packet: &Packet, end: End) -> bool {
        let new = Sighting::of(packet, end);
        let seen = self.sightings.iter_mut().any(|old| old.fingerprint != 0 && new.repeats(old));
        if !seen {
            self.sightings[usize::from(self.at)] = new;
            self.at = (self.at + 1) % self.sightings.len() as u8;
        }
        seen
    }
}

impl Sighting {
    fn of(packet: &Packet, end: End) -> Self {
        Self {
            ns: packet.ts_ns,
            // The lowest bit is always set before, so this is never 0.
            fingerprint: fingerprint(packet) << 1 | end as u32 | 1 << 31,
            tunnel: packet.tunnel,
            seq: packet.seq,
            len: if packet.kind == Kind::Tcp { packet.payload_len } else { 0 },
            segment: 0,
            tsval: packet.tsval,
            ip_id: packet.ip_id,
        }
    }

    fn repeats(&self, old: &mut Self) -> bool {
        let gap_ns = self.ns.saturating_sub(old.ns);
        if self.tunnel != old.tunnel {
            return false;
        }
        if self.fingerprint == old.fingerprint {
            return gap_ns < FOLD_NS;
        }
        let same_end = (self.fingerprint ^ old.fingerprint) & 1 == 0;
        let limit_ns = if old.ip_id == 0 { ANONYMOUS_NS } else { FOLD_NS };
        same_end && self.len > 0 && old.len > 0 && self.tsval == old.tsval && gap_ns < limit_ns && self.is_cut_of(old)
    }

    /// Whether one of the two is cut from the other. The segments of a long packet are numbered from its identification
    /// on, one each (`inet_gso_segment`); GRO keeps that of the first. A retransmission has a number of its own.
    fn is_cut_of(&self, old: &mut Self) -> bool {
        let (offset, number) = (self.seq.wrapping_sub(old.seq), u32::from(self.ip_id.wrapping_sub(old.ip_id)));
        if offset == 0 {
            let cut = number == 0 && self.len != old.len;
            old.segment = if cut { self.len } else { old.segment };
            return cut;
        }
        let inside = offset < old.len && self.len <= old.len - offset;
        let in_place = if old.ip_id == 0 {
            offset.checked_rem(old.segment) == Some(0)
        } else {
            number.checked_mul(old.segment) == Some(offset)
        };
        inside && in_place && self.len <= old.segment
    }
}

#[cfg(test)]
mod tests;
