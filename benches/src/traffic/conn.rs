//! TCP connections.

mod round;

use super::leg::{Inside, Leg, Side};
use super::tags::Tags;
use super::world::{Actor, MS, S, US, World};
use kcap_samples::Rng;
use kcap_samples::packet::{Tcp, flags, options};

use round::Round;

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
            let transport = Tcp { src, dst, ..tcp.clone() }.into();
            let inside = Inside { id: me.id, transport, payload: &payload };
            let tags = if n == 0 { first } else { Tags::default() };
            leg.emit(world, segment.at + n as u64 * NAT_DELAY, segment.from, &inside, tags);
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
