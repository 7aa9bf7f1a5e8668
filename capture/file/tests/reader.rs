//! What the reader makes of good and bad files.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod build;

use build::{BIG, Frame, LITTLE, MICROS, MODIFIED, NANOS, Ng, Pcap, frame, read};
use kcap_file::{Batch, Direction, Format, LinkType, ProblemKind, Reader};
use std::io::{self, Cursor, Read};
use std::net::IpAddr;

fn kinds(info: &kcap_file::CaptureInfo) -> Vec<ProblemKind> {
    info.problems.iter().map(|problem| problem.kind).collect()
}

fn data(frames: &[Frame]) -> Vec<Vec<u8>> {
    frames.iter().map(|frame| frame.data.clone()).collect()
}

#[test]
fn classic_in_every_form() {
    for order in [LITTLE, BIG] {
        for (magic, format, fraction_ns) in
            [(MICROS, Format::Pcap, 7000), (NANOS, Format::PcapNanos, 7), (MODIFIED, Format::PcapModified, 7000)]
        {
            let mut file = Pcap::new(order, magic, 65_535, 113);
            file.record(u32::MAX, 7, b"abcd", 90).record(1, 0, b"", 4);
            let (info, frames) = read(&file.bytes);
            let direction = if magic == MODIFIED { Direction::Out } else { Direction::Unknown };
            let first = Frame {
                number: 1,
                ts_ns: i64::from(u32::MAX) * 1_000_000_000 + fraction_ns,
                orig_len: 90,
                interface: 0,
                direction,
                data: b"abcd".to_vec(),
            };
            assert_eq!(frames[0], first, "{order:?} {magic:x}");
            assert_eq!((frames.len(), info.format, info.problems.len()), (2, format, 0));
            assert_eq!((info.interfaces[0].link_type, info.interfaces[0].snaplen), (LinkType::LINUX_SLL, 65_535));
            assert_eq!((info.bytes, info.captured_bytes, info.packets), (94, 4, 2));
            assert_eq!((info.first_ns, info.file_bytes), (Some(1_000_000_000), file.bytes.len() as u64));
        }
    }
}

#[test]
fn flags_above_the_link_type_are_left_out() {
    let (info, _) = read(&Pcap::new(LITTLE, MICROS, 0, 0x2400_0001).bytes);
    assert_eq!(info.interfaces[0].link_type, LinkType::ETHERNET);
}

#[test]
fn old_writers_swapped_the_lengths() {
    let mut file = Pcap::ethernet();
    file.bytes[6] = 2;
    file.header(1, 0, 90, 4).bytes.extend(b"abcd");
    let (_, frames) = read(&file.bytes);
    assert_eq!((frames[0].orig_len, &frames[0].data[..]), (90, &b"abcd"[..]));
}

#[test]
fn a_record_longer_than_the_snap_length_is_kept_whole() {
    let mut file = Pcap::new(LITTLE, MICROS, 1500, 1);
    file.record(1, 0, &[1; 60], 60).record(2, 0, &[2; 9000], 9000).record(3, 0, &[3; 9000], 9000);
    file.record(4, 0, &[4; 60], 60).bytes.truncate(24 + 4 * 16 + 60 + 18_000 + 20);
    let (info, frames) = read(&file.bytes);
    assert_eq!(frames.iter().map(|f| f.data.len()).collect::<Vec<_>>(), [60, 9000, 9000]);
    assert_eq!(info.longer_than_snaplen, 2);
    assert_eq!(kinds(&info), [ProblemKind::LongerThanSnaplen, ProblemKind::TornTail]);
    let torn = &info.problems[1];
    assert_eq!((torn.offset, torn.after_frame, torn.skipped_bytes), (24 + 3 * 16 + 60 + 18_000, 3, 36));
}

#[test]
fn records_of_any_length_pass_the_chunk_border() {
    for len in [0, 1, 65_535, 262_143, 262_144, 300_000, 3_000_000] {
        let mut file = Pcap::new(LITTLE, MICROS, 4_000_000, 1);
        file.frames(300).record(1_700_000_001, 0, &vec![9; len], len as u32).frames(300);
        let (info, frames) = read(&file.bytes);
        assert_eq!((frames.len(), info.problems.len()), (601, 0), "{len}");
        assert_eq!(frames[300].data.len(), len);
        assert_eq!(frames[600].data, frame(299));
    }
}

/// Offset of the header of a record of [`Pcap::frames`].
fn header_of(record: u32) -> usize {
    24 + (0..record).map(|i| 16 + frame(i).len()).sum::<usize>()
}

#[test]
fn a_corrupt_length_costs_one_record() {
    for lie in [0xffff_ffff, 0x0100_0001, 0x7fff_ffff, 1_000_000, 20_000, 3000] {
        let mut file = Pcap::ethernet();
        file.frames(1000);
        let at = header_of(500) + 8;
        file.bytes[at..at + 4].copy_from_slice(&LITTLE.u32(lie));
        let (info, frames) = read(&file.bytes);
        assert_eq!(frames.len(), 999, "{lie}");
        assert_eq!(data(&frames)[500..], (501..1000).map(frame).collect::<Vec<_>>()[..]);
        assert_eq!(kinds(&info), [ProblemKind::CorruptLength]);
        let problem = &info.problems[0];
        assert_eq!((problem.offset, problem.after_frame), (header_of(500) as u64, 500));
        assert_eq!(problem.skipped_bytes, 16 + frame(500).len() as u64);
    }
}

#[test]
fn a_corrupt_length_near_the_end_costs_one_record() {
    let mut file = Pcap::ethernet();
    file.frames(20);
    for bad in [0, 17, 18] {
        let mut bytes = file.bytes.clone();
        bytes[header_of(bad) + 11] = 0xff;
        let (info, frames) = read(&bytes);
        assert_eq!((frames.len(), kinds(&info)), (19, vec![ProblemKind::CorruptLength]), "{bad}");
    }
    let mut bytes = file.bytes.clone();
    bytes[header_of(19) + 11] = 0xff;
    assert_eq!(read(&bytes).1.len(), 19);
}

#[test]
fn garbage_between_records_is_skipped() {
    for garbage in
        [vec![0; 5000], vec![0xff; 5000], (0..2_000_000u32).map(|i| (i.wrapping_mul(i) >> 7) as u8 | 0x80).collect()]
    {
        let mut file = Pcap::ethernet();
        file.frames(700);
        file.bytes.extend(&garbage);
        file.frames(700);
        let (info, frames) = read(&file.bytes);
        assert_eq!((frames.len(), kinds(&info)), (1400, vec![ProblemKind::CorruptLength]));
        assert_eq!(info.problems[0].skipped_bytes, garbage.len() as u64);
    }
}

#[test]
fn zeros_at_the_end_are_no_frames() {
    let mut file = Pcap::ethernet();
    file.frames(10).bytes.extend([0; 4096]);
    let (info, frames) = read(&file.bytes);
    assert_eq!((frames.len(), kinds(&info)), (10, vec![ProblemKind::CorruptLength]));
    assert_eq!(info.problems[0].skipped_bytes, 4096);
}

#[test]
fn pcapng_with_everything() {
    for order in [LITTLE, BIG] {
        let mut file = Ng { order, bytes: Vec::new() };
        file.section(order, &[(1, b"why"), (2, b"arm64"), (3, b"Linux"), (4, b"kcap"), (1, b"more\0")]);
        let filter = b"\0port 53";
        let speed = order.u64(1_000_000_000);
        file.interface(1, 0, &[(2, b"eth0"), (11, filter), (9, &[9]), (4, &[10, 0, 0, 1, 255, 0, 0, 0]), (8, &speed)]);
        let flags = order.u32(0xffff_fffe);
        file.packet(0, 1_700_000_000_000_000_001, b"frame", &[(2, &flags), (4, &order.u64(3)), (1, b"comment")]);
        // Simple: on interface 0.
        file.block(3, &[&order.u32(6)[..], b"simple"].concat());
        file.interface(276, 4, &[]);
        // The obsolete packet block, on interface 1, in microseconds, two lost.
        let times = [5u32, 4, 9].map(|v| order.u32(v)).concat();
        let obsolete =
            [&order.u16(1)[..], &order.u16(2), &order.u32(0), &times, b"old!", &file.options(&[(2, &order.u32(1))])];
        file.block(2, &obsolete.concat());
        let name = [&order.u16(1)[..], &order.u16(4 + 4), &[10, 0, 0, 9], b"a\0b\0", &[0; 4]].concat();
        file.block(4, &name).block(4, &name);
        let statistics = [order.u32(0), order.u32(0), order.u32(0)].concat();
        file.block(5, &[statistics, file.options(&[(4, &order.u64(7)), (7, &order.u64(2))])].concat());
        file.block(10, b"secret!!").block(0x4bad_4bad, b"what").block(0x0bad, &[&order.u32(99)[..], b"data"].concat());
        file.packet(0, 0, b"last", &[]);
        let (info, frames) = read(&file.bytes);
        assert_eq!(data(&frames), [&b"frame"[..], b"simple", b"old!", b"last"]);
        assert_eq!(frames.iter().map(|f| f.number).collect::<Vec<_>>(), [1, 2, 3, 5]);
        assert_eq!(frames.iter().map(|f| f.ts_ns).collect::<Vec<_>>(), [1_700_000_000_000_000_001, 0, 5000, 0]);
        assert_eq!(frames.iter().map(|f| f.interface).collect::<Vec<_>>(), [0, 0, 1, 0]);
        assert_eq!((frames[0].direction, frames[2].direction), (Direction::Out, Direction::In));
        assert_eq!((info.dropped_between, info.sections, info.secrets_blocks, info.unknown_blocks), (5, 1, 1, 1));
        assert_eq!((info.custom_blocks, info.numbered_blocks), (vec![(99, b"data".to_vec())], 1));
        assert_eq!(
            (info.comments, info.hardware),
            (vec!["why".to_owned(), "more".to_owned()], Some("arm64".to_owned()))
        );
        assert_eq!((info.os.as_deref(), info.application.as_deref()), (Some("Linux"), Some("kcap")));
        assert_eq!((info.names.len(), &info.names[0].names[..]), (1, &["a".to_owned(), "b".to_owned()][..]));
        let eth0 = &info.interfaces[0];
        assert_eq!((eth0.name.as_deref(), eth0.filter.as_deref()), (Some("eth0"), Some("port 53")));
        assert_eq!(
            (eth0.speed, &eth0.addresses[..]),
            (Some(1_000_000_000), &["10.0.0.1".parse::<IpAddr>().unwrap()][..])
        );
        assert_eq!((eth0.stats.received, eth0.stats.dropped_by_os), (Some(7), Some(2)));
        assert_eq!((info.interfaces[1].link_type, info.problems.len()), (LinkType::LINUX_SLL2, 0));
    }
}

/// 2^-20 s, an hour off, in the byte order that the other crates get wrong.
fn big_endian_binary_resolution() -> Vec<u8> {
    let mut file = Ng::new(BIG);
    let offset = BIG.u64(-3600i64 as u64);
    file.interface(1, 0, &[(9, &[0x94]), (14, &offset)]);
    file.packet(0, (1_700_000_000 << 20) + (1 << 19), b"half a second past", &[]);
    file.bytes
}

#[test]
fn times_are_in_the_unit_of_the_interface() {
    assert_eq!(read(&big_endian_binary_resolution()).1[0].ts_ns, 1_699_996_400_500_000_000);
}

#[test]
fn sections_count_interfaces_anew_and_change_the_byte_order() {
    let mut file = Ng::new(LITTLE);
    file.interface(1, 0, &[(9, &[9])]).packet(0, 3, b"a", &[]);
    file.section(BIG, &[]).interface(101, 0, &[]).interface(228, 0, &[]).packet(1, 3, b"b", &[]);
    file.section(LITTLE, &[]).interface(113, 0, &[(9, &[3])]).packet(0, 3, b"c", &[]).packet(1, 3, b"lost", &[]);
    let (info, frames) = read(&file.bytes);
    assert_eq!(frames.iter().map(|f| (f.interface, f.ts_ns)).collect::<Vec<_>>(), [(0, 3), (2, 3000), (3, 3_000_000)]);
    assert_eq!(info.interfaces.iter().map(|i| i.link_type.0).collect::<Vec<_>>(), [1, 101, 228, 113]);
    assert_eq!((info.sections, kinds(&info)), (3, vec![ProblemKind::UnknownInterface]));
}

#[test]
fn a_section_of_another_version_is_left_out() {
    let mut file = Ng::new(LITTLE);
    file.interface(1, 0, &[]).frames(2);
    let at = file.bytes.len();
    file.section(LITTLE, &[]).interface(1, 0, &[]).frames(3);
    file.bytes[at + 12] = 2;
    file.section(LITTLE, &[]).interface(1, 0, &[]).frames(4);
    let (info, frames) = read(&file.bytes);
    assert_eq!((frames.len(), info.unknown_blocks, kinds(&info)), (6, 4, vec![ProblemKind::UnknownVersion]));
}

#[test]
fn options_that_do_not_fit_and_options_without_end() {
    let mut file = Ng::new(LITTLE);
    let unended = [&LITTLE.u16(2)[..], &LITTLE.u16(4), b"eth0"].concat();
    file.block(1, &[&[1, 0, 0, 0, 0, 0, 0, 0][..], &unended].concat());
    let long = [&LITTLE.u16(2)[..], &LITTLE.u16(999), b"eth1"].concat();
    file.block(1, &[&[1, 0, 0, 0, 0, 0, 0, 0][..], &unended, &long].concat());
    file.packet(1, 0, b"frame", &[]);
    let (info, frames) = read(&file.bytes);
    assert_eq!((frames.len(), kinds(&info)), (1, vec![ProblemKind::MalformedBlock]));
    assert!(info.interfaces.iter().all(|i| i.name.as_deref() == Some("eth0")));
}

#[test]
fn a_corrupt_block_costs_itself() {
    let mut file = Ng::new(BIG);
    file.interface(1, 0, &[]).frames(400);
    let start = file.bytes.len();
    file.packet(0, 0, &[0xaa; 100], &[]).frames(400);
    for (at, value) in [(4, 0xff), (7, 0x90), (7, 0x10), (6, 0x7f), (20, 0xff), (0, 0xff)] {
        let mut bytes = file.bytes.clone();
        bytes[start + at] = value;
        let (info, frames) = read(&bytes);
        assert_eq!((frames.len(), info.packets), (800, 800), "{at} {value}");
        assert_eq!(data(&frames)[400..], (0..400).map(frame).collect::<Vec<_>>()[..]);
        assert!(info.problems.len() == 1 || info.unknown_blocks == 1, "{:?}", info.problems);
    }
    // The length behind the block alone: the block is good.
    let mut bytes = file.bytes;
    bytes[start + 131] ^= 1;
    let (info, frames) = read(&bytes);
    assert_eq!((frames.len(), kinds(&info)), (801, vec![ProblemKind::CorruptLength]));
}

#[test]
fn a_torn_block_is_told() {
    let mut file = Ng::new(LITTLE);
    file.interface(1, 0, &[]).frames(3);
    let whole = file.bytes.len();
    file.frames(1).bytes.truncate(whole + 50);
    let (info, frames) = read(&file.bytes);
    assert_eq!((frames.len(), kinds(&info)), (3, vec![ProblemKind::TornTail]));
    assert_eq!((info.problems[0].offset, info.problems[0].skipped_bytes), (whole as u64, 50));
}

#[test]
fn what_is_kept_of_custom_blocks_is_bounded() {
    let mut file = Ng::new(LITTLE);
    file.interface(1, 0, &[]);
    for _ in 0..40 {
        file.block(0x0bad, &vec![1; 1 << 20]);
    }
    file.frames(1);
    let (info, frames) = read(&file.bytes);
    assert_eq!((frames[0].number, info.custom_blocks.len(), info.metadata_left_out), (41, 15, 25));
}

#[test]
fn problems_are_bounded() {
    let mut file = Ng::new(LITTLE);
    for _ in 0..1000 {
        file.packet(7, 0, b"", &[]);
    }
    let (info, _) = read(&file.bytes);
    assert_eq!((info.problems.len(), info.problems_left_out), (100, 900));
}

/// Gives a few bytes at a time.
struct Trickle(Cursor<Vec<u8>>, usize);

impl Read for Trickle {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.1 = self.1 * 7 % 1009 + 1;
        let len = buffer.len().min(self.1);
        self.0.read(&mut buffer[..len])
    }
}

fn borders(mut reader: Reader) -> Vec<(u64, usize)> {
    let mut batch = Batch::default();
    let mut borders = Vec::new();
    while reader.next_batch(&mut batch) {
        borders.push((batch.first_frame, batch.records.len()));
    }
    borders
}

#[test]
fn batches_depend_on_the_bytes_only() {
    let mut file = Pcap::ethernet();
    file.frames(3000);
    let whole = borders(Reader::from_read(Box::new(Cursor::new(file.bytes.clone())), "x").unwrap());
    let trickled = borders(Reader::from_read(Box::new(Trickle(Cursor::new(file.bytes), 3)), "x").unwrap());
    assert_eq!(whole, trickled);
    assert!(whole.len() > 5);
}

/// Fails after its bytes.
struct Failing(Cursor<Vec<u8>>);

impl Read for Failing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(io::Error::other("the disk is on fire")),
            len => Ok(len),
        }
    }
}

#[test]
fn a_failing_input_keeps_what_was_read() {
    let mut file = Pcap::ethernet();
    file.frames(3000);
    let reader = Reader::from_read(Box::new(Failing(Cursor::new(file.bytes))), "x").unwrap();
    let (info, frames) = build::read_all(reader);
    assert_eq!((frames.len(), kinds(&info)), (3000, vec![ProblemKind::ReadFailed]));
    assert_eq!(info.problems[0].after_frame, 3000);
    assert!(info.failure.unwrap().contains("on fire"));
}
