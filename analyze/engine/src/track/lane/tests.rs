use super::*;
use kcap_samples::Rng;

/// A direction that remembers every byte. Positions are relative to the first byte of all.
#[derive(Default)]
struct Model {
    seen: Vec<bool>,
    start: Option<usize>,
    high: usize,
    retransmitted_bytes: u64,
    retransmitted_packets: u32,
    out_of_order: u32,
}

impl Model {
    /// Says whether any of the bytes was sent before.
    fn take(&mut self, at: usize, len: usize) -> bool {
        let before = self.retransmitted_packets;
        let start = *self.start.get_or_insert(at);
        if self.high == 0 {
            self.high = at;
        }
        let old = at..(at + len).min(self.high);
        if old.start < old.end && !(len == 1 && at + 1 == self.high) {
            let filled = old.clone().filter(|&byte| byte >= start && !self.seen[byte]).count();
            self.out_of_order += u32::from(filled > 0);
            self.retransmitted_packets += u32::from(old.len() > filled);
            self.retransmitted_bytes += (old.len() - filled) as u64;
        }
        self.seen.resize(self.seen.len().max(at + len), false);
        self.seen[at..at + len].fill(true);
        self.high = self.high.max(at + len);
        self.retransmitted_packets > before
    }

    /// Ranges between the first byte and the highest that were never seen.
    fn gaps(&self) -> Vec<(usize, usize)> {
        let mut gaps: Vec<(usize, usize)> = Vec::new();
        for byte in (self.start.unwrap_or(0)..self.high).filter(|&byte| !self.seen[byte]) {
            match gaps.last_mut() {
                Some(gap) if gap.1 == byte => gap.1 += 1,
                _ => gaps.push((byte, byte + 1)),
            }
        }
        gaps
    }
}

fn segment(base: u32, at: usize, len: usize, ip_id: u16) -> Packet {
    let flags = TcpFlags(TcpFlags::ACK);
    let seq = base.wrapping_add(at as u32);
    Packet { kind: Kind::Tcp, seq, payload_len: len as u32, ip_id, flags, ..Packet::default() }
}

/// A lane that acknowledged up to a position.
fn acknowledging(base: u32, at: usize) -> Lane {
    let mut lane = Lane::default();
    let ack = base.wrapping_add(at as u32);
    let packet = Packet { ack, ..segment(0, 0, 0, 1) };
    lane.take(&packet, COPY_NS, Told::default(), &mut Rare::default());
    lane
}

const SPAN: u64 = 400;

#[test]
fn counts_like_one_that_remembers_every_byte() {
    let mut steps = 0;
    for seed in 0..3000 {
        let mut rng = Rng::new(seed);
        // Every fourth run wraps.
        let base = if seed % 4 == 0 { u32::MAX - rng.below(SPAN) as u32 } else { rng.next_u64() as u32 };
        let (mut lane, mut rare, mut model) = (Lane::default(), Rare::default(), Model::default());
        for ip_id in 1..60 {
            let (at, len) = (rng.below(SPAN) as usize, rng.between(1, 40) as usize);
            let again = model.take(at, len);
            let taken = lane.take(&segment(base, at, len, ip_id), COPY_NS, Told::default(), &mut rare);
            let gaps = model.gaps();
            if gaps.len() > crate::track::holes::MOST {
                break;
            }
            steps += 1;
            let odd = rare.counts();
            let counts = (odd.retransmitted_bytes, odd.retransmitted_packets, odd.out_of_order);
            let expected = (model.retransmitted_bytes, model.retransmitted_packets, model.out_of_order);
            assert_eq!(counts, expected, "seed {seed}, segment {ip_id}: {at}+{len}");
            assert_eq!(taken.is_again(), again, "seed {seed}, segment {ip_id}");
            assert_eq!(lane.next_seq, base.wrapping_add(model.high as u32));
            let ack = rng.below(SPAN) as usize;
            let missed: usize = gaps.iter().filter(|gap| gap.1 <= ack).map(|gap| gap.1 - gap.0).sum();
            assert_eq!(rare.acknowledged_unseen(&acknowledging(base, ack)), missed as u64, "seed {seed}");
        }
    }
    assert!(steps > 50_000, "only {steps} steps were compared");
}

#[test]
fn too_many_gaps_forget_the_oldest_and_never_invent() {
    for seed in 0..2 {
        let mut rng = Rng::new(seed);
        let (mut lane, mut rare, mut model) = (Lane::default(), Rare::default(), Model::default());
        for ip_id in 1..1500 {
            let (at, len) = (rng.below(40_000) as usize, rng.between(1, 10) as usize);
            model.take(at, len);
            lane.take(&segment(7, at, len, ip_id), COPY_NS, Told::default(), &mut rare);
            let held: u32 = rare.holes().iter().map(|(a, b)| b.wrapping_sub(*a)).sum();
            let gaps: usize = model.gaps().iter().map(|gap| gap.1 - gap.0).sum();
            assert!(held as usize <= gaps && rare.counts().out_of_order <= model.out_of_order, "seed {seed}");
        }
        assert_eq!(lane.payload, model_payload(seed));
    }
}

/// Payload of the run above: all segments are counted, whatever they are.
fn model_payload(seed: u64) -> u64 {
    let mut rng = Rng::new(seed);
    (1..1500).map(|_| (rng.below(40_000), rng.between(1, 10)).1).sum()
}

#[test]
fn order_of_numbers_is_that_of_the_rfc() {
    // RFC 9293 3.4: less than half the numbers ahead is after.
    for base in [0, 1, 0x7fff_ffff, 0x8000_0000, u32::MAX] {
        assert!(after(base.wrapping_add(1), base) && !after(base, base.wrapping_add(1)));
        assert!(after(base.wrapping_add(0x7fff_ffff), base) && !after(base, base));
    }
}

#[test]
fn segments_that_follow_each_other_are_no_copies() {
    // Without an identification (IPv6), only number and length tell segments of one tick apart.
    let mut rng = Rng::new(3);
    for _ in 0..40_000 {
        let (seq, first, second) = (rng.next_u64() as u32, rng.between(1, 9000) as u32, rng.between(1, 9000) as u32);
        let segment = |seq: u32, len: u32| Packet { seq, payload_len: len, ..segment(0, 0, 0, 0) };
        let (one, next) = (segment(seq, first), segment(seq.wrapping_add(first), second));
        assert_ne!(fingerprint(&one) & !STATE, fingerprint(&next) & !STATE, "{seq}: {first}, then {second}");
    }
}

#[test]
fn samples_tell_datagrams_apart() {
    let mut rng = Rng::new(1);
    let mut payload = Vec::new();
    rng.fill(&mut payload, 60);
    let whole = sample(&payload);
    assert_eq!(whole, sample(&payload.clone()));
    // The identification of a DNS message, and the type that it asks for.
    for at in [0, 1, 57, 59] {
        let mut other = payload.clone();
        other[at] ^= 1;
        assert_ne!(sample(&other), whole, "byte {at}");
    }
    assert_ne!(sample(b"a"), sample(b"b"));
    assert_ne!(sample(b"short"), sample(b"shore"));
    assert_eq!(sample(b""), sample(b""));
}

#[test]
fn the_next_segment_is_no_copy_of_the_last() {
    // An answer in two segments of the same sizes, from wherever its numbers begin.
    let parts = [(6890, 2151), (1448, 1448), (1448, 724), (2896, 1448), (100, 50), (3, 1)];
    let mut rng = Rng::new(7);
    for (first, second) in parts.into_iter().cycle().take(60_000) {
        let base = rng.next_u64() as u32;
        let [one, next] = [segment(base, 0, first, 0), segment(base, first, second, 0)];
        assert_ne!(fingerprint(&one) & !STATE, fingerprint(&next) & !STATE, "{base} {first} {second}");
    }
}
