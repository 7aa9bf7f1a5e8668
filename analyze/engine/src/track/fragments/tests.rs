use super::*;
use crate::Addr;

const MS: i64 = 1_000_000;
const BUDGET: usize = 1 << 20;

fn key(id: u32) -> Key {
    key_at(0, id)
}

fn key_at(point: u16, id: u32) -> Key {
    let (src, dst) = (Addr::v4([10, 0, 0, 1]), Addr::v4([10, 0, 0, 2]));
    Key { point, outer: None, src, dst, proto: Some(17), id }
}

fn v6_key(id: u32) -> Key {
    Key { proto: None, src: Addr::v6([1; 16]), dst: Addr::v6([2; 16]), ..key(id) }
}

fn part(offset: u32, len: u32, more: bool) -> Fragment {
    Fragment { offset, payload_len: len, payload_caplen: len, more, proto: 17, ..Fragment::default() }
}

/// Byte `n` of every test datagram is `n` modulo 251.
fn payload(offset: u32, len: u32) -> Vec<u8> {
    (offset..offset + len).map(|n| (n % 251) as u8).collect()
}

fn seen(ns: i64) -> Seen {
    Seen { ns, ..Seen::default() }
}

fn push(all: &mut Reassembler, key: Key, ts_ns: i64, (offset, len, more): (u32, u32, bool)) -> Option<Datagram> {
    all.push(key, seen(ts_ns), &part(offset, len, more), &payload(offset, len))
}

#[test]
fn puts_parts_together_in_any_order() {
    let parts = [(0, 16, true), (16, 8, true), (24, 5, false)];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut all = Reassembler::new(BUDGET);
        let done: Vec<_> = order.iter().filter_map(|&at| push(&mut all, key(7), 0, parts[at])).collect();
        assert_eq!(done, [Datagram { proto: 17, bytes: payload(0, 29), parts: 3 }], "{order:?}");
        assert_eq!(all.counts(), Counts { complete: 1, ..Counts::default() });
        assert_eq!(all.waiting(), 0);
    }
}

#[test]
fn keeps_points_identifications_and_tunnels_apart() {
    let mut all = Reassembler::new(BUDGET);
    let in_tunnel = Key { outer: Some((Addr::v4([1; 4]), Addr::v4([2; 4]), Some(1))), ..key(1) };
    for other in [key_at(1, 1), key(2), in_tunnel] {
        assert_eq!(push(&mut all, key(1), 0, (0, 8, true)), None);
        assert_eq!(push(&mut all, other, 0, (8, 8, false)), None);
    }
    assert_eq!(all.counts().complete, 0);
    assert_eq!(all.waiting(), 4);
}

#[test]
fn protocol_comes_from_the_first_part() {
    let mut all = Reassembler::new(BUDGET);
    let second = Fragment { proto: 60, ..part(8, 8, false) };
    assert_eq!(all.push(v6_key(1), seen(0), &second, &payload(8, 8)), None);
    let datagram = push(&mut all, v6_key(1), 0, (0, 8, true)).expect("both parts are there");
    assert_eq!(datagram.proto, 17);
}

#[test]
fn ignores_repetitions_and_copies_of_a_complete_datagram() {
    let mut all = Reassembler::new(BUDGET);
    push(&mut all, key(1), 0, (0, 16, true));
    push(&mut all, key(1), 0, (16, 16, true));
    // Inside one part; across two that touch.
    assert_eq!(push(&mut all, key(1), 0, (8, 8, true)), None);
    assert_eq!(push(&mut all, key(1), 0, (8, 16, true)), None);
    assert!(push(&mut all, key(1), MS, (32, 8, false)).is_some());
    assert_eq!(push(&mut all, key(1), 2 * MS, (32, 8, false)), None);
    assert_eq!(all.counts(), Counts { complete: 1, repeated: 3, ..Counts::default() });
    assert_eq!(all.waiting(), 0);
}

#[test]
fn the_identification_may_come_round_again() {
    let mut all = Reassembler::new(BUDGET);
    // An older datagram that waits must not keep the complete one remembered for longer.
    push(&mut all, key(9), 0, (0, 8, true));
    for round in 0..3 {
        let ts_ns = round * 200 * MS;
        push(&mut all, key(1), ts_ns, (0, 8, true));
        assert!(push(&mut all, key(1), ts_ns, (8, 8, false)).is_some(), "round {round}");
    }
    assert_eq!(all.counts().repeated, 0);
}

#[test]
fn an_overlap_discards_the_datagram() {
    for overlapping in [(8, 16, true), (24, 16, true), (0, 40, true)] {
        let mut all = Reassembler::new(BUDGET);
        push(&mut all, key(1), 0, (0, 16, true));
        push(&mut all, key(1), 0, (32, 16, true));
        assert_eq!(push(&mut all, key(1), 0, overlapping), None);
        assert_eq!(all.counts().overlapping, 1, "{overlapping:?}");
        // What comes late is ignored.
        assert_eq!(push(&mut all, key(1), 0, (16, 16, true)), None);
        assert_eq!(push(&mut all, key(1), 0, (48, 8, false)), None);
        assert_eq!(all.counts().complete, 0);
        assert_eq!(all.waiting(), 0);
    }
}

#[test]
fn contradictions_discard_the_datagram() {
    let cases: [&[(u32, u32, bool)]; 6] = [
        &[(0, 0, true)],
        &[(65_528, 8, false)],
        &[(8, 8, false), (16, 8, true)],
        &[(8, 8, false), (24, 8, false)],
        &[(16, 8, true), (0, 8, false)],
        &[(8, 8, false), (8, 4, false)],
    ];
    for parts in cases {
        let mut all = Reassembler::new(BUDGET);
        for &part in parts {
            assert_eq!(push(&mut all, key(1), 0, part), None);
        }
        assert_eq!(all.counts().malformed, 1, "{parts:?}");
        assert_eq!(all.waiting(), 0);
    }
}

#[test]
fn an_odd_part_is_trimmed_in_ipv4_and_refused_in_ipv6() {
    let mut all = Reassembler::new(BUDGET);
    assert_eq!(push(&mut all, v6_key(1), 0, (0, 10, true)), None);
    assert_eq!(all.counts().malformed, 1);
    push(&mut all, key(1), 0, (0, 10, true));
    assert_eq!(push(&mut all, key(1), 0, (8, 2, false)).map(|datagram| datagram.bytes), Some(payload(0, 10)));
}

#[test]
fn cut_parts_never_complete_and_are_counted() {
    let mut all = Reassembler::new(BUDGET);
    let first = part(0, 16, true);
    assert_eq!(all.push(key(1), seen(0), &first, &payload(0, 4)), None);
    assert_eq!(push(&mut all, key(1), 0, (16, 8, false)), None);
    assert_eq!(all.counts(), Counts { snapped: 1, ..Counts::default() });
    // With a part missing too, it is the missing part that counts.
    assert_eq!(all.push(key(2), seen(0), &first, &payload(0, 4)), None);
    push(&mut all, key(3), TIMEOUT_NS + 1, (0, 8, true));
    assert_eq!(all.counts(), Counts { snapped: 1, timed_out: 1, ..Counts::default() });
}

#[test]
fn gives_up_after_the_timeout() {
    let mut all = Reassembler::new(BUDGET);
    push(&mut all, key(1), 0, (0, 8, true));
    push(&mut all, key(2), TIMEOUT_NS, (0, 8, true));
    assert_eq!(all.waiting(), 2);
    assert_eq!(push(&mut all, key(1), TIMEOUT_NS + 1, (8, 8, false)), None);
    assert_eq!(all.counts().timed_out, 1);
    assert!(push(&mut all, key(2), TIMEOUT_NS + 1, (8, 8, false)).is_some());
}

#[test]
fn a_clock_that_steps_back_loses_nothing() {
    let mut all = Reassembler::new(BUDGET);
    push(&mut all, key(1), 1_000_000 * MS, (0, 8, true));
    assert!(push(&mut all, key(1), -1_000_000 * MS, (8, 8, false)).is_some());
    push(&mut all, key(1), i64::MAX, (0, 8, true));
    push(&mut all, key(1), i64::MIN, (0, 8, true));
}

#[test]
fn memory_is_bounded_and_the_oldest_leaves_first() {
    let budget = 100 * (DATAGRAM_COST + PART_COST + 8);
    let mut all = Reassembler::new(budget);
    for id in 0..1000 {
        push(&mut all, key(id), i64::from(id), (0, 8, true));
        assert!(all.cost <= budget);
    }
    assert_eq!(all.counts().evicted, 900);
    assert_eq!(all.waiting(), 100);
    assert_eq!(all.pending.len(), all.by_age.len());
    assert!(push(&mut all, key(999), 1000, (8, 8, false)).is_some());
    assert_eq!(push(&mut all, key(0), 1000, (8, 8, false)), None);
}

#[test]
fn cost_returns_to_nothing() {
    let mut all = Reassembler::new(BUDGET);
    for id in 0..50 {
        push(&mut all, key(id), 0, (0, 800, true));
        push(&mut all, key(id), 0, (if id % 3 == 0 { 792 } else { 800 }, 100, id % 2 == 0));
    }
    push(&mut all, key(99), 2 * TIMEOUT_NS, (0, 8, true));
    assert_eq!((all.cost, all.pending.len()), (DATAGRAM_COST + PART_COST + 8, 1));
}
