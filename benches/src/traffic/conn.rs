//! TCP connections.

use super::leg::{Leg, Side};
use super::tags::Tags;
use super::world::{Actor, MS, S, US, World};
use kcap_samples::Rng;
use kcap_samples::packet::{Layer, Tcp, flags, options};

/// How often things go wrong on the way, for each data segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Faults {
    /// Lost, before or behind the capture with equal chance.
    pub(super) loss: f64,
    /// Overtaken by the next one.
    pub(super) reorder: f64,
}

/// What a connection does between its handshake and its end.
#[derive(Clone, Copy, Debug)]
pub(super) enum Script {
    /// One request and a long answer of so many bytes.
    Bulk(u64),
    /// Turns of request and answer with pauses of this mean between them.
    Turns {
        /// Turns to go.
        left: u32,
        /// Mean pause.
        pause_ns: u64,
        /// Bytes of a request, at most.
        request: u64,
        /// Bytes of an answer, at most.
        answer: u64,
    },
    /// Nobody answers.
    Unanswered,
    /// The server resets.
    Refused,
}

/// One direction of a connection.
#[derive(Clone, Copy, Debug)]
struct Half {
    /// Next sequence number.
    seq: u32,
    /// Next IP identification.
    id: u16,
    /// Offset of the timestamp clock.
    clock: u32,
    /// Time from the capture to this side and back.
    turn_ns: u64,
}

/// A connection.
pub(super) struct Conn {
    legs: Vec<Leg>,
    halves: [Half; 2],
    mss: u64,
    script: Script,
    faults: Faults,
    state: State,
    number: u64,
    /// Tags of the first segment.
    first: Tags,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    New,
    Open,
    /// SYNs sent without an answer.
    Trying(u32),
}

/// Gaps between SYNs of Linux 6.5 and later: five linear ones, then doubling.
const SYN_GAPS_S: [u64; 7] = [1, 1, 1, 1, 1, 2, 4];

/// Time between the sightings of one packet on both sides of address translation.
const NAT_DELAY: u64 = 25 * US;

/// A segment to be.
struct Segment {
    at: u64,
    from: Side,
    seq: u32,
    len: u64,
    flags: u8,
    /// SACK block to report.
    sack: Option<(u32, u32)>,
    tags: Tags,
}

impl Conn {
    pub(super) fn new(world: &mut World, legs: Vec<Leg>, script: Script, faults: Faults) -> Self {
        world.flows += 1;
        let rtt = world.rng.between(200, 4000) * US;
        let near = rtt / world.rng.between(8, 40);
        let mut half = |turn_ns| {
            let rng = &mut world.rng;
            Half { seq: rng.next_u64() as u32, id: rng.next_u64() as u16, clock: rng.next_u64() as u32, turn_ns }
        };
        let halves = [half(near), half(rtt - near)];
        let tunnelled = legs.iter().any(|leg| leg.tunnel.is_some());
        let v6 = legs.first().is_some_and(|leg| leg.client.0.is_ipv6());
        let mss = if tunnelled { 1398 } else { 1448 } - if v6 { 20 } else { 0 };
        let first = birth(&legs, script);
        Self { legs, halves, mss, script, faults, state: State::New, number: world.flows, first }
    }

    /// The same, but open before the capture began.
    pub(super) fn midstream(mut self) -> Self {
        self.state = State::Open;
        self.first = Tags::MIDSTREAM;
        self
    }

    fn half(&mut self, side: Side) -> &mut Half {
        &mut self.halves[side.index()]
    }

    fn turn(&self, side: Side) -> u64 {
        self.halves[side.index()].turn_ns
    }

    fn emit(&mut self, world: &mut World, segment: &Segment) {
        let payload = self.payload(world, segment);
        let (me, peer) = (self.halves[segment.from.index()], self.halves[segment.from.other().index()]);
        let tcp = self.header(segment, me, peer);
        self.half(segment.from).id = me.id.wrapping_add(1);
        let first = segment.tags | std::mem::take(&mut self.first);
        let legs = self.legs.len();
        for n in 0..legs {
            let leg = if segment.from == Side::Client { self.legs[n] } else { self.legs[legs - 1 - n] };
            let (src, dst) = leg.ports(segment.from);
            let tcp: Layer = Tcp { src, dst, ..tcp.clone() }.into();
            let tags = if n == 0 { first } else { Tags::default() };
            leg.emit(world, segment.at + n as u64 * NAT_DELAY, segment.from, me.id, &[tcp], &payload, tags);
        }
    }

    fn header(&self, segment: &Segment, me: Half, peer: Half) -> Tcp {
        let tsval = (segment.at / MS) as u32;
        let tsval = tsval.wrapping_add(me.clock);
        let tsecr = tsval.wrapping_sub(me.clock).wrapping_add(peer.clock);
        let options = match (segment.flags & flags::SYN != 0, segment.sack) {
            (true, _) => {
                options::syn(self.mss as u16 + 12, tsval, if segment.flags & flags::ACK != 0 { tsecr } else { 0 })
            }
            (_, Some((left, right))) => options::sack(tsval, tsecr, left, right),
            _ => options::timestamps(tsval, tsecr),
        };
        let ack = if segment.flags & flags::ACK != 0 { peer.seq } else { 0 };
        let window = if segment.flags & flags::SYN != 0 { 64_240 } else { 501 }; // The SYN's is unscaled.
        Tcp { seq: segment.seq, ack, flags: segment.flags, window, options, ..Tcp::default() }
    }

    /// The bytes at a sequence number, the same whenever they are sent; half of all connections' do not compress.
    fn payload(&self, world: &World, segment: &Segment) -> Vec<u8> {
        let len = segment.len as usize;
        let mut out = Vec::with_capacity(len + 8);
        if self.number.is_multiple_of(2) {
            Rng::new(self.number << 32 ^ u64::from(segment.seq)).fill(&mut out, len);
        } else {
            let start = segment.seq as usize % (world.text.len() - 65_536);
            out.extend_from_slice(&world.text[start..start + len]);
        }
        out
    }

    /// A bare acknowledgement, or one with other flags, from the current sequence number.
    fn bare(&mut self, world: &mut World, at: u64, from: Side, flags: u8, tags: Tags) {
        let seq = self.half(from).seq;
        self.emit(world, &Segment { at, from, seq, len: 0, flags, sack: None, tags });
    }

    /// SYN, SYN-ACK, ACK; returns when the client may send.
    fn handshake(&mut self, world: &mut World, at: u64) -> u64 {
        self.bare(world, at, Side::Client, flags::SYN, Tags::default());
        self.half(Side::Client).seq = self.halves[0].seq.wrapping_add(1);
        let at = at + self.turn(Side::Server);
        self.bare(world, at, Side::Server, flags::SYN | flags::ACK, Tags::default());
        self.half(Side::Server).seq = self.halves[1].seq.wrapping_add(1);
        let at = at + self.turn(Side::Client);
        self.bare(world, at, Side::Client, flags::ACK, Tags::default());
        self.state = State::Open;
        at + 20 * US
    }

    /// FIN both ways, or now and then a reset.
    fn close(&mut self, world: &mut World, at: u64) {
        if world.rng.chance(0.02) {
            return self.bare(world, at, Side::Client, flags::RST | flags::ACK, Tags::RESET);
        }
        self.bare(world, at, Side::Client, flags::FIN | flags::ACK, Tags::default());
        self.half(Side::Client).seq = self.halves[0].seq.wrapping_add(1);
        let at = at + self.turn(Side::Server);
        self.bare(world, at, Side::Server, flags::FIN | flags::ACK, Tags::default());
        self.half(Side::Server).seq = self.halves[1].seq.wrapping_add(1);
        self.bare(world, at + self.turn(Side::Client), Side::Client, flags::ACK, Tags::default());
    }

    /// Sends `bytes` window by window; returns when the last is acknowledged.
    fn transfer(&mut self, world: &mut World, mut at: u64, from: Side, mut bytes: u64) -> u64 {
        let window = world.rng.between(8, 24);
        while bytes > 0 {
            let round = bytes.min(window * self.mss);
            at = Round::new(self, world, at, from, round).send(self, world);
            bytes -= round;
        }
        at
    }

    fn turn_around(&mut self, world: &mut World, at: u64, request: u64, answer: u64) -> u64 {
        let request = world.rng.between(request / 5 + 1, request);
        let at = self.transfer(world, at, Side::Client, request);
        let think = (world.rng.exponential(5e6) as u64).min(80 * MS);
        let answer = world.rng.between(answer / 10 + 1, answer);
        self.transfer(world, at + think, Side::Server, answer)
    }

    fn open(&mut self, world: &mut World, now: u64) -> u64 {
        if self.state == State::New { self.handshake(world, now) } else { now }
    }

    fn bulk(&mut self, world: &mut World, now: u64, left: u64) -> Option<u64> {
        let at = self.open(world, now);
        let part = left.min(64 * self.mss);
        let at = self.transfer(world, at, Side::Server, part);
        self.script = Script::Bulk(left - part);
        if left == part {
            self.close(world, at + MS);
            return None;
        }
        Some(at)
    }

    fn turns(&mut self, world: &mut World, now: u64, script: Script) -> Option<u64> {
        let Script::Turns { left, pause_ns, request, answer } = script else { return None };
        let at = self.open(world, now);
        let at = self.turn_around(world, at, request, answer);
        self.script = Script::Turns { left: left - 1, pause_ns, request, answer };
        if left <= 1 {
            self.close(world, at + MS);
            return None;
        }
        Some(at + world.rng.exponential(pause_ns as f64) as u64)
    }

    fn refused(&mut self, world: &mut World, now: u64) {
        self.bare(world, now, Side::Client, flags::SYN, Tags::default());
        self.half(Side::Client).seq = self.halves[0].seq.wrapping_add(1);
        self.half(Side::Server).seq = 0;
        self.bare(world, now + self.turn(Side::Server), Side::Server, flags::RST | flags::ACK, Tags::default());
    }

    fn unanswered(&mut self, world: &mut World, now: u64) -> Option<u64> {
        let tried = if let State::Trying(tried) = self.state { tried } else { 0 };
        self.bare(world, now, Side::Client, flags::SYN, Tags::default());
        self.state = State::Trying(tried + 1);
        SYN_GAPS_S.get(tried as usize).map(|gap| now + gap * S)
    }
}

impl Actor for Conn {
    fn act(&mut self, now: u64, world: &mut World) -> Option<u64> {
        match self.script {
            Script::Bulk(left) => self.bulk(world, now, left),
            Script::Turns { .. } => self.turns(world, now, self.script),
            Script::Unanswered => self.unanswered(world, now),
            Script::Refused => {
                self.refused(world, now);
                None
            }
        }
    }
}

fn birth(legs: &[Leg], script: Script) -> Tags {
    let translated = if legs.len() > 1 { Tags::NAT } else { Tags::default() };
    let outcome = match script {
        Script::Refused => Tags::REFUSED,
        Script::Unanswered => Tags::UNANSWERED,
        Script::Bulk(_) | Script::Turns { .. } => Tags::default(),
    };
    Tags::NEW_TCP | translated | outcome
}

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
struct Round {
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
    fn new(conn: &Conn, world: &mut World, at: u64, from: Side, bytes: u64) -> Self {
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
    fn send(&self, conn: &mut Conn, world: &mut World) -> u64 {
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
