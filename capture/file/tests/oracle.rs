//! The same files read by others: Wireshark's tools, libpcap, pcap-parser, pcap-file.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stderr, reason = "a test that is skipped says so")]

mod build;
mod corpus;

use build::{BIG, Frame, LITTLE, MICROS, NANOS, Ng, Pcap, frame, read};
use kcap_file::{Direction, Interface, InterfaceStats, LinkType, NameRecord, Packet, Section, Writer};
use pcap_file::pcapng::blocks::block_common::Block;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption, InterfaceTsResolution,
};
use pcap_file::pcapng::{PcapNgBlock, PcapNgReader, PcapNgWriter};
use pcap_file::{DataLink, Endianness};
use std::borrow::Cow;
use std::io::Cursor;
use std::process::Command;
use std::time::Duration;

/// Time, captured and original length of a frame.
type Seen = (i64, u32, u32);

fn seen(frames: &[Frame]) -> Vec<Seen> {
    frames.iter().map(|f| (f.ts_ns, f.data.len() as u32, f.orig_len)).collect()
}

/// Frames of a pcapng as pcap-file reads them, up to its first error.
fn by_pcap_file(bytes: &[u8]) -> Vec<Seen> {
    let mut reader = PcapNgReader::with_capacity(bytes, 1 << 24).unwrap();
    let mut frames = Vec::new();
    while let Some(Ok((block, _))) = reader.next_block() {
        if let Block::EnhancedPacket(packet) = block {
            let ts_ns = i64::try_from(packet.timestamp.as_nanos()).unwrap();
            frames.push((ts_ns, packet.data.len() as u32, packet.original_len));
        }
    }
    frames
}

/// Records of a classic file as pcap-parser reads them, up to its first error; none when it is of another kind. Times
/// in the file's unit.
fn by_pcap_parser(bytes: &[u8]) -> Vec<(u32, u32, u32, u32)> {
    use pcap_parser::traits::PcapReaderIterator;
    use pcap_parser::{LegacyPcapReader, PcapBlockOwned, PcapError};
    let mut frames = Vec::new();
    let Ok(mut reader) = LegacyPcapReader::new(1 << 16, Cursor::new(bytes.to_vec())) else { return frames };
    loop {
        match reader.next() {
            Ok((used, block)) => {
                if let PcapBlockOwned::Legacy(block) = block {
                    frames.push((block.ts_sec, block.ts_usec, block.caplen, block.origlen));
                }
                reader.consume(used);
            }
            Err(PcapError::Incomplete(_)) => reader.refill().unwrap(),
            Err(_) => return frames,
        }
    }
}

#[test]
fn classic_files_read_as_pcap_parser_and_libpcap_read_them() {
    for order in [LITTLE, BIG] {
        for magic in [MICROS, NANOS] {
            let mut file = Pcap::new(order, magic, 262_144, 1);
            file.frames(2000).header(1_700_000_002, 5, 200, 300).bytes.extend([7; 100]);
            let ours = seen(&read(&file.bytes).1);
            let unit = if magic == NANOS { 1 } else { 1000 };
            let time = |s: u32, f: u32| i64::from(s) * 1_000_000_000 + i64::from(f) * unit;
            let theirs = by_pcap_parser(&file.bytes);
            assert_eq!(ours, theirs.into_iter().map(|(s, f, c, o)| (time(s, f), c, o)).collect::<Vec<_>>());
            assert_eq!(ours.len(), 2000);
            let path = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(path.path(), &file.bytes).unwrap();
            if let Some(theirs) = corpus::by_libpcap(path.path()) {
                assert_eq!(ours, theirs.frames.iter().map(|f| f.0).collect::<Vec<_>>());
            }
        }
    }
}

#[test]
fn times_that_other_readers_get_wrong() {
    let mut file = Ng::new(BIG);
    file.interface(1, 0, &[(9, &[0x94]), (14, &BIG.u64(-3600i64 as u64))]);
    file.packet(0, (1_700_000_000 << 20) + (1 << 19), &[0; 60], &[]);
    file.block(5, &[&[0; 12][..], &file.options(&[(4, &BIG.u64(7))])].concat());
    let (info, frames) = read(&file.bytes);
    assert_eq!(seen(&frames), [(1_699_996_400_500_000_000, 60, 60)]);
    assert_eq!(seen(&frames), by_pcap_file(&file.bytes));
    assert_eq!(info.interfaces[0].stats.received, Some(7));
}

/// A file of ours with a bit of everything.
fn written() -> (Vec<u8>, Vec<Seen>) {
    let section = Section {
        hardware: Some("amd64".to_owned()),
        os: Some("Linux 6.18".to_owned()),
        application: Some("kcap".to_owned()),
        comments: vec!["kcap capture pod/web-0".to_owned()],
    };
    let interface = |name: &str, link_type| Interface {
        link_type,
        snaplen: 262_144,
        name: Some(name.to_owned()),
        filter: Some("port 53".to_owned()),
        addresses: vec!["10.244.1.10".parse().unwrap(), "fd00::10".parse().unwrap()],
        mac: Some([2, 0, 0, 0, 0, 1]),
        speed: Some(10_000_000_000),
        ..Interface::default()
    };
    let mut writer = Writer::new(Vec::new(), &section).unwrap();
    writer.interface(&interface("default/web-0/eth0", LinkType::ETHERNET)).unwrap();
    let mut expected = Vec::new();
    for i in 0..500u32 {
        if i == 250 {
            writer.interface(&interface("default/web-1/eth0", LinkType::LINUX_SLL2)).unwrap();
            let names = vec!["web-1.default.pod".to_owned()];
            writer.names(&[NameRecord { address: "10.244.1.11".parse().unwrap(), names }]).unwrap();
        }
        let data = frame(i);
        let packet = Packet {
            interface: i / 250,
            ts_ns: 1_700_000_000_123_456_789 + i64::from(i),
            data: &data,
            orig_len: data.len() as u32 + i % 3,
            direction: if i % 2 == 0 { Direction::In } else { Direction::Out },
            dropped: u64::from(i == 9),
            id: (i == 8).then_some(88),
            comment: (i == 7).then_some("seven"),
        };
        expected.push((packet.ts_ns, data.len() as u32, packet.orig_len));
        writer.packet(&packet).unwrap();
    }
    let stats = InterfaceStats { received: Some(251), dropped_by_os: Some(1), ..InterfaceStats::default() };
    writer.statistics(0, 1_700_000_001_000_000_000, &stats).unwrap();
    writer.custom(32_473, b"trailer!").unwrap();
    (writer.finish().unwrap(), expected)
}

#[test]
fn what_is_written_reads_alike_everywhere() {
    let (file, expected) = written();
    let (info, frames) = read(&file);
    assert!(info.problems.is_empty());
    assert_eq!(seen(&frames), expected);
    assert_eq!(by_pcap_file(&file), expected);
    let mut rest = &file[..];
    let mut blocks = 0;
    while !rest.is_empty() {
        (rest, _) = pcap_parser::parse_block_le(rest).expect("a block that pcap-parser reads");
        blocks += 1;
    }
    // Section, two interfaces, names, frames, statistics, custom.
    assert_eq!(blocks, 1 + 2 + 1 + 500 + 1 + 1);
}

/// The output of a tool, or nothing (said aloud) when it is not there.
fn tool(name: &str, args: &[&str]) -> Option<String> {
    match Command::new(name).args(args).env("LC_ALL", "C").env("TZ", "UTC").output() {
        Ok(output) => {
            assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
            Some(String::from_utf8(output.stdout).unwrap())
        }
        Err(error) => {
            eprintln!("skipped: {name}: {error}");
            None
        }
    }
}

#[test]
fn tshark_and_capinfos_read_what_is_written() {
    let (file, expected) = written();
    let path = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(path.path(), &file).unwrap();
    let path = path.path().to_str().unwrap();
    let fields =
        "frame.time_epoch frame.cap_len frame.len frame.interface_name frame.packet_flags_direction frame.comment";
    let mut args = vec!["-n", "-r", path, "-T", "fields"];
    args.extend(fields.split(' ').flat_map(|field| ["-e", field]));
    if let Some(output) = tool("tshark", &args) {
        let lines: Vec<Vec<_>> = output.lines().map(|line| line.split('\t').collect()).collect();
        // The last is the custom block, which Wireshark numbers.
        assert_eq!(lines.len(), 501);
        for (i, (line, (ts_ns, caplen, len))) in lines.iter().zip(expected).enumerate() {
            let time = format!("{}.{:09}", ts_ns / 1_000_000_000, ts_ns % 1_000_000_000);
            assert_eq!(line[..3], [time, caplen.to_string(), len.to_string()]);
            assert_eq!(line[3], format!("default/web-{}/eth0", i / 250));
            assert!(line[4].ends_with(if i % 2 == 0 { '1' } else { '2' }), "{}", line[4]);
            assert_eq!(line[5], if i == 7 { "seven" } else { "" });
        }
    }
    if let Some(output) = tool("capinfos", &[path]) {
        for text in ["web-0/eth0", "Filter string = port 53", "Number of packets:   500", "Capture application: kcap"] {
            assert!(output.contains(text), "{text}: {output}");
        }
        assert!(output.contains("nanoseconds (9)") && output.contains("kcap capture pod/web-0"), "{output}");
    }
}

#[test]
fn frames_have_the_numbers_of_tshark() {
    let mut file = Ng::new(LITTLE);
    file.interface(1, 0, &[]);
    let sysdig =
        [&LITTLE.u16(0)[..], &LITTLE.u64(1), &LITTLE.u64(2), &LITTLE.u32(26), &LITTLE.u16(3), &[0; 8]].concat();
    let custom = [&LITTLE.u32(32_473)[..], b"data"].concat();
    let journal = b"__CURSOR=x\n__REALTIME_TIMESTAMP=1478389147837945\n";
    for (kind, body) in
        [(0x0bad, &custom[..]), (0x4000_0bad, &custom), (9, journal), (0x204, &sysdig), (0x216, &sysdig)]
    {
        file.frames(2).block(kind, body).block(kind, body);
    }
    for kind in [7, 8, 10, 11, 0x99, 0x8000_0001] {
        file.block(kind, b"KLST\0\0\0\0").frames(1);
    }
    let (info, frames) = read(&file.bytes);
    assert_eq!((info.numbered_blocks, frames.len()), (10, 16));
    let path = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(path.path(), &file.bytes).unwrap();
    let args = ["-n", "-r", path.path().to_str().unwrap(), "-T", "fields", "-e", "frame.number"];
    if let Some(output) = tool("tshark", &[&args[..], &["-Y", "eth"]].concat()) {
        let theirs: Vec<u64> = output.lines().map(|line| line.parse().unwrap()).collect();
        assert_eq!(frames.iter().map(|f| f.number).collect::<Vec<_>>(), theirs);
    }
}

#[test]
fn what_pcap_file_writes_is_read() {
    for endianness in [Endianness::Little, Endianness::Big] {
        let mut writer = PcapNgWriter::with_endianness(Vec::new(), endianness).unwrap();
        let interface = InterfaceDescriptionBlock {
            linktype: DataLink::LINUX_SLL2,
            snaplen: 2000,
            options: vec![
                InterfaceDescriptionOption::IfName(Cow::Borrowed("any")),
                InterfaceDescriptionOption::IfTsResol(InterfaceTsResolution::NANO),
            ],
        };
        writer.write_block(&interface.into_block()).unwrap();
        let mut expected = Vec::new();
        for i in 0..500u32 {
            let data = frame(i);
            let ts_ns = 1_700_000_000_000_000_000 + u64::from(i);
            expected.push((ts_ns as i64, data.len() as u32, data.len() as u32 + 1));
            let packet = EnhancedPacketBlock {
                interface_id: 0,
                timestamp: Duration::from_nanos(ts_ns),
                original_len: data.len() as u32 + 1,
                data: Cow::Owned(data),
                options: vec![EnhancedPacketOption::Flags(2), EnhancedPacketOption::DropCount(1)],
            };
            writer.write_block(&packet.into_block()).unwrap();
        }
        let (info, frames) = read(&writer.into_inner());
        assert_eq!(seen(&frames), expected);
        assert!(frames.iter().all(|f| f.direction == Direction::Out));
        assert_eq!((info.dropped_between, info.problems.len()), (500, 0));
        let any = Interface {
            link_type: LinkType::LINUX_SLL2,
            snaplen: 2000,
            name: Some("any".to_owned()),
            ..Interface::default()
        };
        assert_eq!(info.interfaces, [any]);
    }
}
