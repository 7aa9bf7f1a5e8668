use super::unacked::Unacked;
use super::{Compat, LIVE_BYTES};
use crate::packet::{Kind, TcpFlags};
use crate::track::events::Events;
use crate::track::flows::Source;
use crate::track::{Event, FrameId};
use crate::{Addr, Chunk, Packet};

fn syn(port: u16) -> Packet {
    Packet {
        kind: Kind::Tcp,
        src: Addr::v4([10, 0, 0, 1]),
        dst: Addr::v4([10, 0, 0, 2]),
        src_port: port,
        dst_port: 80,
        proto: 6,
        seq: 1000,
        flags: TcpFlags(TcpFlags::SYN),
        l4_caplen: 20,
        l4_header_len: 20,
        ..Packet::default()
    }
}

/// Flags of each packet that has some, and conversations evicted.
fn flags(packets: &[Packet], memory: usize) -> (Vec<String>, u64) {
    let (mut compat, mut events, chunk) = (Compat::new(memory), Events::default(), Chunk::default());
    let source = Source { chunk: &chunk, first: FrameId::default(), unit: 0, has_points: false };
    for packet in packets {
        compat.take(packet, &source, &mut events);
    }
    let names = events.drain(..).filter_map(|(_, event)| match event {
        Event::Flagged(flagged) => Some(flagged.flags.names()),
        _ => None,
    });
    (names.collect(), compat.evicted)
}

#[test]
fn conversations_silent_for_longest_leave() {
    let ports = (1..=16).chain([1, 17, 1, 2, 3, 4]);
    let packets: Vec<_> = ports.map(syn).collect();
    // Room for 16: the 17th drives out 2, 3 and 4, for 1 was heard again; when they come back, three more have to go.
    let (flags, evicted) = flags(&packets, 16 * LIVE_BYTES + 16 * 4 * 16);
    assert_eq!(evicted, 6);
    assert_eq!(flags, ["retransmission"; 2], "those of 1; the others began anew");
}

#[test]
fn a_header_cut_before_its_window_is_nothing() {
    let cut = Packet { l4_caplen: 15, ..syn(1) };
    assert!(flags(&[cut, cut], usize::MAX).0.is_empty());
}

#[test]
fn a_header_with_cut_options_counts_and_shows_nothing() {
    let cut = Packet { l4_header_len: 40, ..syn(1) };
    assert!(flags(&[cut, cut], usize::MAX).0.is_empty());
    assert_eq!(flags(&[cut, syn(1)], usize::MAX).0, ["retransmission"]);
}

#[test]
fn acknowledging_drops_what_ends_before() {
    let mut unacked = Unacked::default();
    for (at, end) in [100, 300, 200, 200, u32::MAX].into_iter().enumerate() {
        unacked.push(end, at as i64 + 1);
    }
    assert_eq!(unacked.acknowledge(50), None);
    assert_eq!(unacked.oldest_ns(), Some(1));
    assert_eq!(unacked.acknowledge(200), Some(3), "the oldest that ends there");
    assert_eq!(unacked.oldest_ns(), Some(2));
    assert_eq!(unacked.acknowledge(250), None);
    assert_eq!(unacked.acknowledge(300), Some(2));
    assert_eq!(unacked.oldest_ns(), None);
}

#[test]
fn unacknowledged_segments_are_bounded() {
    let mut unacked = Unacked::default();
    for n in 0..20_000 {
        if !unacked.is_full() {
            unacked.push(n, i64::from(n));
        }
    }
    assert!(unacked.is_full() && unacked.bytes() <= 16_384 * 16);
}
