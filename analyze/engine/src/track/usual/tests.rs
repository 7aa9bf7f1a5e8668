use super::*;
use crate::Chunk;
use crate::packet::TCP;
use crate::track::FrameId;
use crate::track::flow::Cold;
use crate::track::key::Key;
use crate::track::lane::Taken;
use crate::track::tcp::Ledger;
use proptest::prelude::*;

/// A connection that the general way takes each packet of.
struct Connection {
    hot: Hot,
    cold: Cold,
    watch: Option<Box<Watch>>,
    ledger: Ledger,
}

impl Connection {
    fn of(first: &Packet) -> Self {
        let (key, end) = Key::of(first);
        let cold = Cold::new(first, end, 0, FrameId::default());
        Self { hot: Hot::new(key, first, end), cold, watch: None, ledger: Ledger::default() }
    }

    /// Takes a packet the general way. Says whether it could have gone the short way, having compared both.
    fn take(&mut self, packet: &Packet, source: &Source<'_>) -> bool {
        let (_, end) = Key::of(packet);
        let gap_ns = packet.ts_ns - self.hot.last_ns;
        let (mut hot, mut watch) = (self.hot.clone(), self.watch.clone());
        let is_short = hot.goes_on(watch.as_deref_mut(), packet, (end, gap_ns), source);
        let before = self.rest();
        let taken = self.hot.take(&mut self.cold, &mut self.watch, &mut self.ledger, packet, (end, gap_ns), source);
        let is_heard = self.hot.hears(packet, end, taken);
        if is_short {
            assert!(matches!(taken, Taken::Next | Taken::Nothing) && !is_heard, "{taken:?} {is_heard} {packet:?}");
            assert_eq!((format!("{hot:?}"), format!("{watch:?}")), (self.seen(), format!("{:?}", self.watch)));
            assert_eq!(before, self.rest(), "{packet:?}");
        }
        is_short
    }

    fn seen(&self) -> String {
        format!("{:?}", self.hot)
    }

    /// What the short way does not touch.
    fn rest(&self) -> String {
        format!("{:?} {} {}", self.cold, self.ledger.held, self.ledger.judged.len())
    }
}

/// What a sender does next: its end, what of its data it sends, what it acknowledges, and when.
#[derive(Clone, Copy, Debug)]
struct Step {
    from_a: bool,
    len: u32,
    /// Where the data begins, counted from where it would go on.
    skip: i32,
    /// How many bytes of what the peer sent it does not acknowledge.
    short: u32,
    flags: u16,
    window: u16,
    wait_ms: i64,
    point: u16,
    header: u8,
    said: u8,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let skip = prop_oneof![20 => Just(0), 1 => -300..300i32];
    let short = prop_oneof![4 => Just(0u32), 1 => 0..3000u32];
    let flags = prop_oneof![20 => Just(TcpFlags::ACK), 4 => Just(TcpFlags::ACK | TcpFlags::PSH),
        1 => prop::sample::select(vec![0x11, 0x14, 0x04, 0x02, 0x12, 0x00, 0x38])];
    let window = prop_oneof![20 => 1..9000u16, 1 => Just(0u16)];
    let wait_ms = prop_oneof![20 => 0..40i64, 1 => 900..1100i64, 1 => -5..0i64];
    let rare = |usual: u8, other: u8| prop_oneof![20 => Just(usual), 1 => Just(other)];
    let len = prop_oneof![3 => Just(0u32), 5 => 1..1500u32];
    let who = (any::<bool>(), len, skip, short, flags);
    let how = (window, wait_ms, rare(0, 1), rare(32, 44), prop::sample::select(vec![0u8, 4, 5, 7, 15]));
    let step = (who, how).prop_map(|((from_a, len, skip, short, flags), (window, wait_ms, point, header, said))| {
        Step { from_a, len, skip, short, flags, window, wait_ms, point: point.into(), header, said }
    });
    prop::collection::vec(step, 1..120)
}

/// The packets of a conversation.
fn packets(steps: &[Step]) -> Vec<Packet> {
    let (mut next, mut now_ns) = ([1000u32, 5000], 1_000_000_000);
    let mut all = Vec::new();
    for (index, step) in (0u16..).zip(steps) {
        let (own, other) = (usize::from(!step.from_a), usize::from(step.from_a));
        now_ns += step.wait_ms * 1_000_000;
        let seq = next[own].wrapping_add_signed(step.skip);
        next[own] = seq.wrapping_add(step.len);
        let mut packet = Packet {
            ts_ns: now_ns,
            src_port: [40_000, 80][own],
            dst_port: [40_000, 80][other],
            index: index.into(),
            seq,
            ack: next[other].wrapping_sub(step.short),
            payload_len: step.len,
            ip_len: 40 + step.len,
            point: step.point,
            window: step.window,
            flags: TcpFlags(step.flags),
            l4_header_len: step.header,
            l4_caplen: u32::from(step.header) + step.len,
            ip_id: index + 1,
            proto: TCP,
            kind: Kind::Tcp,
            ttl: 64,
            ..Packet::default()
        };
        packet.bits.set_timestamps();
        all.push(packet);
    }
    all
}

/// How many of the packets could go the short way. `said` of each step is what the talk knew before, as one bit for each of
/// its first four.
fn shortened(steps: &[Step]) -> usize {
    let chunk = Chunk::default();
    let source = Source { chunk: &chunk, first: FrameId::default(), unit: 0, has_points: false };
    let packets = packets(steps);
    let mut connection = Connection::of(&packets[0]);
    let mut short = 0;
    for (packet, step) in packets.iter().zip(steps) {
        connection.hot.talk = step.said;
        short += usize::from(connection.take(packet, &source));
    }
    short
}

proptest! {
    #[test]
    fn both_ways_come_to_the_same(steps in steps()) {
        shortened(&steps);
    }
}

#[test]
fn most_of_a_download_goes_the_short_way() {
    let data = Step {
        from_a: false,
        len: 1448,
        skip: 0,
        short: 0,
        flags: TcpFlags::ACK,
        window: 500,
        wait_ms: 1,
        point: 0,
        header: 32,
        said: 4,
    };
    let steps: Vec<Step> =
        (0..100).map(|at| if at % 3 == 2 { Step { from_a: true, len: 0, ..data } } else { data }).collect();
    // All but the first packets of each end, and those for which the ring has to grow.
    assert!(shortened(&steps) > 90, "{}", shortened(&steps));
}
