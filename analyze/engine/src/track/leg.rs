//! Places that saw a connection beside the first.

use super::flow::{Cold, More, Passing};
use super::flows::Source;
use super::key::End;
use super::lane::{Lane, Rare, Taken};
use super::tcp::{Ledger, Watch};
use crate::packet::{Packet, TcpFlags};
use kcap_file::Direction;

/// Another (point, way, tunnel) that saw the connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Leg {
    pub(crate) point: u16,
    pub(crate) way: u8,
    pub(crate) tunnel: u32,
    /// What it watches of its data, once there is data.
    pub(crate) watch: Option<Box<Watch>>,
    pub(crate) lanes: [Lane; 2],
    pub(crate) rare: [Rare; 2],
    /// Whether the originator's packets enter the tunnel at its end `a`.
    pub(crate) orig_from_a: bool,
    pub(crate) first_ns: i64,
    pub(crate) last_ns: i64,
}

/// Legs kept of a connection.
const MAX_LEGS: usize = 16;

/// Which of two passings a packet is, where the capture tells directions: an interface that shows packets both as sent
/// and as received (loopback, a router that sends them back) sees each of a connection's packets twice.
#[inline]
pub(crate) fn way(packet: &Packet, end: End) -> u8 {
    match packet.direction {
        Direction::In if !packet.bits.hides_interface() => 1 + end as u8,
        Direction::Out if !packet.bits.hides_interface() => 2 - end as u8,
        _ => 0,
    }
}

/// Whether two passings may be one; a file may tell the direction of some packets only.
#[inline]
pub(crate) fn may_be_same_way(a: u8, b: u8) -> bool {
    a == b || a == 0 || b == 0
}

/// A place that sees a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spot {
    pub(crate) point: u16,
    pub(crate) tunnel: u32,
    pub(crate) way: u8,
}

impl Spot {
    /// Where a packet was seen.
    pub(crate) fn of(packet: &Packet, end: End) -> Self {
        Self { point: packet.point, tunnel: packet.tunnel, way: way(packet, end) }
    }

    /// Whether two are one.
    pub(crate) fn is(self, other: Self) -> bool {
        self.point == other.point && self.tunnel == other.tunnel && may_be_same_way(self.way, other.way)
    }
}

impl Leg {
    pub(crate) fn spot(&self) -> Spot {
        Spot { point: self.point, tunnel: self.tunnel, way: self.way }
    }
}

impl Cold {
    /// Counts a packet on a leg that is not the first.
    pub(crate) fn take_on_leg(&mut self, ledger: &mut Ledger, packet: &Packet, end: End, source: &Source<'_>) {
        let spot = Spot::of(packet, end);
        let More { legs, legs_left_out, .. } = self.more.get_or_insert_default().as_mut();
        let known = legs.iter().position(|leg| leg.spot().is(spot));
        let at = match known {
            Some(at) => at,
            None if legs.len() < MAX_LEGS => {
                let orig_from_a = packet.bits.is_from_b() == (end != self.orig);
                legs.reserve_exact(1);
                let Spot { point, tunnel, way } = spot;
                legs.push(Leg { point, way, tunnel, orig_from_a, first_ns: packet.ts_ns, ..Leg::default() });
                legs.len() - 1
            }
            None => {
                *legs_left_out += 1;
                return;
            }
        };
        let leg = &mut legs[at];
        let gap_ns = packet.ts_ns.saturating_sub(leg.last_ns);
        leg.last_ns = packet.ts_ns;
        let passing = Passing { ledger, handshake: &self.handshake, source, tells: false };
        let rare = &mut leg.rare[end as usize];
        let taken = passing.take(&mut leg.lanes, &mut leg.watch, rare, packet, end, gap_ns);
        rare.syns += u32::from(packet.flags.any(TcpFlags::SYN) && taken != Taken::Copy);
    }
}
