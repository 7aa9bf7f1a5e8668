use super::*;

fn segment(seq: u32, ns: i64, point: u16) -> Packet {
    Packet { seq, ts_ns: ns, point, kind: Kind::Tcp, payload_len: 100, ip_id: seq as u16, ..Packet::default() }
}

/// What of packets is left at points 0 and 1.
fn passed(packets: &[Packet], room: u64) -> ([Times; 2], u64) {
    let mut passages = Passages::new(room);
    for packet in packets {
        passages.take(0, packet, End::Low);
    }
    let mut places = std::mem::take(&mut passages.by_slot[0]);
    places.sort_by_key(|(spot, _)| spot.point);
    let mut times = places.into_iter().map(|(_, [low, _])| Times::of(low));
    ([times.next().unwrap_or_default(), times.next().unwrap_or_default()], passages.left_out)
}

const ROOM: u64 = 1 << 20;

#[test]
fn few_packets_are_all_compared() {
    let pairs = (0..200).flat_map(|n| [segment(n, 1000, 0), segment(n, 1000 + i64::from(n), 1)]);
    let ([here, there], left_out) = passed(&pairs.collect::<Vec<_>>(), ROOM);
    assert_eq!(here.to(&there), (0..200).collect::<Vec<_>>());
    assert_eq!(left_out, 0);
}

#[test]
fn of_many_packets_the_same_sample_is_kept_everywhere() {
    // The way takes a second, in which thousands of other packets pass: nothing is ever near its counterpart.
    let delay = |n: u32| 1_000_000_000 + i64::from(n % 1000);
    let mut packets: Vec<Packet> = (0..20_000)
        .flat_map(|n| [segment(n, i64::from(n) * 100, 0), segment(n, i64::from(n) * 100 + delay(n), 1)])
        .collect();
    packets.sort_by_key(|packet| packet.ts_ns);
    let ([here, there], _) = passed(&packets, ROOM);
    let delays = here.to(&there);
    // The one with the highest hash is not told from those left out.
    assert_eq!(delays.len(), SAMPLE - 1);
    let median = delays[delays.len() / 2] - 1_000_000_000;
    assert!((400..600).contains(&median), "{median}");
    assert!(delays.iter().all(|delay| (0..1000).contains(&(delay - 1_000_000_000))));
}

#[test]
fn what_was_lost_or_came_twice_is_not_compared() {
    let again = segment(7, 500_000_000, 0);
    let packets =
        [segment(5, 0, 0), segment(6, 1, 0), segment(6, 11, 1), segment(7, 2, 0), again, segment(7, 500_000_010, 1)];
    let ([here, there], _) = passed(&packets, ROOM);
    assert_eq!(here.to(&there), [10]);
    // Twice at either: the first belongs to the first.
    let ([here, there], _) = passed(&[&packets[3..], &[segment(7, 12, 1)]].concat(), ROOM);
    assert_eq!(here.to(&there), [10, 10]);
    // A copy on one interface is one packet.
    let ([here, there], _) = passed(&[segment(6, 0, 0), segment(6, 900, 0), segment(6, 10, 1)], ROOM);
    assert_eq!(here.to(&there), [10]);
}

#[test]
fn a_long_packet_is_the_first_of_its_segments() {
    let long = Packet { payload_len: 3000, ..segment(1, 0, 0) };
    let ([here, there], _) = passed(&[long, segment(1, 40, 1), segment(101, 41, 1)], ROOM);
    assert_eq!(here.to(&there), [40]);
}

#[test]
fn what_finds_no_room_is_counted() {
    let packets: Vec<Packet> = (0..300).map(|n| segment(n, 0, 0)).collect();
    let ([here, _], left_out) = passed(&packets, 1000);
    assert!(here.marks.len() < 100 && left_out + here.marks.len() as u64 == 300, "{left_out}");
    assert_eq!(passed(&packets, 10).1, 300);
}
