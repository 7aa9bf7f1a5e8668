//! One window of segments and what becomes of them.

use super::super::leg::Side;
use super::super::tags::Tags;
use super::super::world::{MS, US, World};
use super::{Conn, Faults, Segment};
use kcap_samples::Rng;
use kcap_samples::packet::flags;

/// What happens to one segment of a round.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    /// All arrive.
    None,
    /// This one is lost behind the capture.
    LostBehind(usize),
    /// This one is lost before the capture.
    LostBefore(usize),
    /// This one is overtaken by the next.
    Overtaken(usize),
}

/// One window's worth of segments and what comes back for them.
pub(super) struct Round {
    from: Side,
    at: u64,
    /// Sequence number before the round.
    base: u32,
    /// Bytes of each segment.
    sizes: Vec<u64>,
    fate: Fate,
}

/// Time a full segment takes on the wire, and the delay of an acknowledgement.
const WIRE: u64 = 12 * US;
/// Linux's smallest retransmission timeout.
const RTO_MIN: u64 = 200 * MS;

impl Round {
    pub(super) fn new(conn: &Conn, world: &mut World, at: u64, from: Side, bytes: u64) -> Self {
        let sizes: Vec<u64> = (0..bytes.div_ceil(conn.mss)).map(|n| conn.mss.min(bytes - n * conn.mss)).collect();
        let fate = fate(&mut world.rng, conn.faults, sizes.len());
        Self { from, at, base: conn.halves[from.index()].seq, sizes, fate }
    }

    fn seq(&self, n: usize) -> u32 {
        self.base.wrapping_add(self.sizes[..n].iter().sum::<u64>() as u32)
    }

    fn sent_at(&self, n: usize) -> u64 {
        let place = match self.fate {
            Fate::Overtaken(late) if n == late => n + 1,
            Fate::Overtaken(late) if n == late + 1 => late,
            _ => n,
        };
        self.at + place as u64 * WIRE
    }

    fn data(&self, conn: &mut Conn, world: &mut World, n: usize, at: u64, tags: Tags) {
        let push = if n + 1 == self.sizes.len() { flags::PSH } else { 0 };
        let (seq, len) = (self.seq(n), self.sizes[n]);
        conn.emit(world, &Segment { at, from: self.from, seq, len, flags: flags::ACK | push, sack: None, tags });
    }

    /// An acknowledgement of everything before segment `n`.
    fn ack(&self, conn: &mut Conn, world: &mut World, at: u64, n: usize, sack: Option<(u32, u32)>) {
        let to = self.from.other();
        conn.half(self.from).seq = self.seq(n);
        let seq = conn.half(to).seq;
        conn.emit(world, &Segment { at, from: to, seq, len: 0, flags: flags::ACK, sack, tags: Tags::default() });
    }

    /// Emits the whole round; returns when its last acknowledgement has passed and the sender may go on.
    pub(super) fn send(&self, conn: &mut Conn, world: &mut World) -> u64 {
        for n in 0..self.sizes.len() {
            match self.fate {
                Fate::LostBefore(lost) if n == lost => {}
                Fate::Overtaken(late) if n == late => self.data(conn, world, n, self.sent_at(n), Tags::REORDERED),
                _ => self.data(conn, world, n, self.sent_at(n), Tags::default()),
            }
        }
        let end = match self.fate {
            Fate::LostBehind(lost) => self.recover(conn, world, lost, Tags::RETRANSMIT_SEEN),
            Fate::LostBefore(lost) if lost + 1 == self.sizes.len() => {
                self.recover(conn, world, lost, Tags::RETRANSMIT_HIDDEN)
            }
            Fate::LostBefore(lost) => self.recover(conn, world, lost, Tags::RETRANSMIT_UNSEEN),
            Fate::None | Fate::Overtaken(_) => self.acks(conn, world),
        };
        conn.half(self.from).seq = self.seq(self.sizes.len());
        end + conn.turn(self.from)
    }

    /// One acknowledgement for two segments, one for the last.
    fn acks(&self, conn: &mut Conn, world: &mut World) -> u64 {
        let delay = conn.turn(self.from.other()) + 4 * US;
        let count = self.sizes.len();
        let mut at = self.at;
        for n in (2..=count).step_by(2).chain((count % 2 == 1).then_some(count)) {
            at = self.at + n as u64 * WIRE + delay;
            self.ack(conn, world, at, n, None);
        }
        at
    }

    /// Duplicate acknowledgements, the lost segment again (at once after three of them, else by timeout), the rest.
    fn recover(&self, conn: &mut Conn, world: &mut World, lost: usize, tags: Tags) -> u64 {
        let delay = conn.turn(self.from.other()) + 4 * US;
        let count = self.sizes.len();
        let mut at = self.sent_at(lost);
        for n in lost + 1..count {
            at = self.sent_at(n) + delay;
            self.ack(conn, world, at, lost, Some((self.seq(lost + 1), self.seq(n + 1))));
        }
        let resent = if count - lost > 3 { at + conn.turn(self.from) } else { at + RTO_MIN };
        conn.half(self.from).seq = self.seq(count);
        self.data(conn, world, lost, resent, tags);
        self.ack(conn, world, resent + delay, count, None);
        resent + delay
    }
}

fn fate(rng: &mut Rng, faults: Faults, segments: usize) -> Fate {
    let any = |p: f64| 1.0 - (1.0 - p).powi(segments as i32);
    let at = |rng: &mut Rng, n: usize| rng.below(n as u64) as usize;
    if rng.chance(any(faults.loss)) {
        let lost = at(rng, segments);
        return if rng.chance(0.5) { Fate::LostBehind(lost) } else { Fate::LostBefore(lost) };
    }
    if segments > 1 && rng.chance(any(faults.reorder)) {
        return Fate::Overtaken(at(rng, segments - 1));
    }
    Fate::None
}
