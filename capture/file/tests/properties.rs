//! What holds for any bytes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod build;

use build::{BIG, Frame, LITTLE, MICROS, MODIFIED, NANOS, Ng, Order, Pcap, read, read_all};
use kcap_file::{CaptureInfo, ProblemKind, Reader};
use proptest::prelude::*;
use std::io::Cursor;

fn try_read(bytes: &[u8]) -> Option<(CaptureInfo, Vec<Frame>)> {
    Reader::from_read(Box::new(Cursor::new(bytes.to_vec())), "x").ok().map(read_all)
}

/// Every frame lies in the file, in file order, and the sums hold.
fn check(bytes: &[u8]) {
    let Some((info, frames)) = try_read(bytes) else { return };
    assert_eq!(info.packets, frames.len() as u64);
    assert_eq!(info.captured_bytes, frames.iter().map(|f| f.data.len() as u64).sum::<u64>());
    assert!(frames.iter().all(|f| (f.interface as usize) < info.interfaces.len()));
    assert!(frames.windows(2).all(|two| two[0].number < two[1].number));
    assert!(info.captured_bytes + 12 * info.packets <= bytes.len() as u64);
    assert!(info.problems.len() <= 100);
}

fn order() -> impl Strategy<Value = Order> {
    prop_oneof![Just(LITTLE), Just(BIG)]
}

fn frames() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(any::<u8>(), 1..200), 0..40)
}

fn classic() -> impl Strategy<Value = Vec<u8>> {
    (order(), prop_oneof![Just(MICROS), Just(NANOS), Just(MODIFIED)], frames()).prop_map(|(order, magic, frames)| {
        let mut file = Pcap::new(order, magic, 65_535, 1);
        for (i, data) in frames.iter().enumerate() {
            file.record(1_700_000_000 + i as u32, 0, data, data.len() as u32);
        }
        file.bytes
    })
}

fn pcapng() -> impl Strategy<Value = Vec<u8>> {
    (order(), frames(), prop::collection::vec(any::<u32>(), 0..8)).prop_map(|(order, frames, kinds)| {
        let mut file = Ng::new(order);
        file.interface(1, 0, &[(2, b"eth0"), (9, &[9])]);
        for (i, data) in frames.iter().enumerate() {
            file.packet(0, 1_700_000_000_000_000_000 + i as u64, data, &[(2, &order.u32(1))]);
            if let Some(kind) = kinds.get(i) {
                file.block(kind % 12, data);
            }
        }
        file.bytes
    })
}

fn file() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![classic(), pcapng()]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_behind_a_magic_are_read(big in order(), which in 0..4, rest in prop::collection::vec(any::<u8>(), 0..3000)) {
        let magic = [MICROS, NANOS, MODIFIED, 0x0a0d_0d0a][which as usize];
        let mut bytes = big.u32(magic).to_vec();
        if magic == 0x0a0d_0d0a {
            bytes = Ng::new(big).bytes;
        }
        bytes.extend(rest);
        check(&bytes);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        check(&bytes);
    }

    #[test]
    fn damaged_files_are_read(mut bytes in file(), damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        check(&bytes);
    }

    #[test]
    fn a_cut_file_gives_a_prefix(bytes in file(), cut in any::<prop::sample::Index>()) {
        let (whole_info, whole) = read(&bytes);
        let cut = cut.index(bytes.len());
        if let Some((info, frames)) = try_read(&bytes[..cut]) {
            prop_assert_eq!(&frames[..], &whole[..frames.len()]);
            let (torn, others): (Vec<_>, Vec<_>) = info.problems.iter().partition(|p| p.kind == ProblemKind::TornTail);
            prop_assert!(whole_info.problems.iter().take(others.len()).eq(others));
            prop_assert!(torn.len() <= 1);
            prop_assert!(torn.iter().all(|p| p.offset + p.skipped_bytes == cut as u64));
        }
    }

    #[test]
    fn a_cut_within_the_last_record_is_told(bytes in classic(), cut in any::<prop::sample::Index>()) {
        let (_, whole) = read(&bytes);
        if let Some(last) = whole.last() {
            let cut = bytes.len() - 1 - cut.index(last.data.len() + 15);
            let (info, frames) = read(&bytes[..cut]);
            prop_assert_eq!(frames.len(), whole.len() - 1);
            prop_assert_eq!(info.problems.len(), 1);
            prop_assert_eq!(info.problems[0].kind, ProblemKind::TornTail);
        }
    }

    #[test]
    fn classic_files_without_damage_have_no_problems(bytes in classic()) {
        let (info, _) = read(&bytes);
        prop_assert!(info.problems.is_empty());
    }

    #[test]
    fn compressed_bytes_with_damage_are_read(bytes in classic(), at in any::<prop::sample::Index>(), value in any::<u8>()) {
        let mut packed = zstd::encode_all(&bytes[..], 1).unwrap();
        let at = at.index(packed.len());
        packed[at] = value;
        check_packed(&packed);
    }
}

/// As [`check`], but the frames are not in these bytes.
fn check_packed(bytes: &[u8]) {
    if let Some((info, frames)) = try_read(bytes) {
        assert_eq!(info.packets, frames.len() as u64);
    }
}
