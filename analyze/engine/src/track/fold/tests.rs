use super::*;
use crate::packet::TcpFlags;
use kcap_samples::Rng;

fn segment(seq: u32, len: u32, ip_id: u16, tsval: u32, ms: i64) -> Packet {
    let flags = TcpFlags(TcpFlags::ACK);
    Packet { kind: Kind::Tcp, seq, payload_len: len, ip_id, tsval, flags, ts_ns: ms * 1_000_000, ..Packet::default() }
}

#[test]
fn segments_of_a_long_packet_are_it_and_what_is_sent_again_is_not() {
    for seed in 0..500 {
        let mut rng = Rng::new(seed);
        let mss = rng.between(500, 1460) as u32;
        let (count, last) = (rng.between(2, 10) as u32, rng.between(1, 400) as u32);
        let seq = if seed % 3 == 0 { u32::MAX - 900 } else { rng.next_u64() as u32 };
        let id = if seed % 5 == 0 { u16::MAX - 1 } else { rng.between(1, 60_000) as u16 };
        let mut recent = Recent::default();
        assert!(!recent.has(&segment(seq, mss * (count - 1) + last, id, 7, 0), End::Low));
        for n in 0..count {
            let len = if n + 1 == count { last } else { mss };
            let (seq, part) = (seq.wrapping_add(n * mss), id.wrapping_add(n as u16));
            assert!(recent.has(&segment(seq, len, part, 7, 1), End::Low), "seed {seed}, part {n}");
            // The same from the other end, later, or of another time stamp, is another packet.
            assert!(!recent.clone().has(&segment(seq, len, part, 7, 1), End::High));
            assert!(!recent.clone().has(&segment(seq, len, part, 7, 60), End::Low));
            assert!(!recent.clone().has(&segment(seq, len, part, 8, 1), End::Low));
            // Sent again it has a number behind those of the long packet.
            let again = id.wrapping_add((count + n) as u16);
            assert!(!recent.clone().has(&segment(seq, len, again, 7, 1), End::Low), "seed {seed}, again {n}");
        }
        // What comes next is new.
        let next = seq.wrapping_add(mss * (count - 1) + last);
        assert!(!recent.has(&segment(next, mss, id.wrapping_add(count as u16), 7, 1), End::Low));
    }
}

#[test]
fn without_identification_only_a_moment_counts() {
    let mut recent = Recent::default();
    assert!(!recent.has(&segment(1, 2800, 0, 7, 0), End::Low));
    assert!(recent.has(&segment(1, 1400, 0, 7, 1), End::Low));
    assert!(recent.has(&segment(1401, 1400, 0, 7, 1), End::Low));
    assert!(!recent.has(&segment(1401, 1400, 0, 7, 10), End::Low));
}

#[test]
fn acknowledgements_are_never_parts() {
    let mut recent = Recent::default();
    assert!(!recent.has(&segment(1, 2800, 50, 7, 0), End::Low));
    assert!(!recent.has(&segment(1, 0, 50, 7, 0), End::Low));
    assert!(!recent.has(&segment(1401, 0, 51, 7, 0), End::Low));
}
