use super::{Packet, Section, WriteError, Writer};
use crate::{Batch, Direction, Interface, InterfaceStats, LinkType, NameRecord, Reader};
use std::io::{self, Write};

fn read(file: Vec<u8>) -> (Reader, Vec<Batch>) {
    let mut reader = Reader::from_read(Box::new(io::Cursor::new(file)), "test").unwrap();
    let mut batches = Vec::new();
    let mut batch = Batch::default();
    while reader.next_batch(&mut batch) {
        batches.push(std::mem::take(&mut batch));
    }
    (reader, batches)
}

fn pod() -> Interface {
    Interface {
        link_type: LinkType::ETHERNET,
        snaplen: 262_144,
        name: Some("default/web-0/eth0".to_owned()),
        description: Some("pod eth0 of production/web-0 – node-1".to_owned()),
        filter: Some("tcp port 80".to_owned()),
        os: Some("Linux 6.18".to_owned()),
        hardware: Some("veth".to_owned()),
        addresses: vec!["10.244.1.10".parse().unwrap(), "fd00::10".parse().unwrap()],
        mac: Some([2, 0, 0, 0, 0, 1]),
        speed: Some(10_000_000_000),
        comments: vec!["one".to_owned(), "two".to_owned()],
        ..Interface::default()
    }
}

#[test]
fn everything_written_is_read_back() {
    let section = Section {
        hardware: Some("amd64".to_owned()),
        os: Some("Linux".to_owned()),
        application: Some("kcap".to_owned()),
        comments: vec!["kcap capture pod/web-0".to_owned()],
    };
    let names =
        [NameRecord { address: "10.96.0.10".parse().unwrap(), names: vec!["kube-dns".to_owned(), "b".to_owned()] }];
    let stats = InterfaceStats { received: Some(9), dropped_by_os: Some(1), ..InterfaceStats::default() };
    let first = Packet {
        ts_ns: 1_700_000_000_123_456_789,
        data: &[1, 2, 3],
        orig_len: 60,
        direction: Direction::Out,
        dropped: 4,
        id: Some(77),
        comment: Some("first"),
        ..Packet::default()
    };
    let mut writer = Writer::new(Vec::new(), &section).unwrap();
    assert_eq!(writer.interface(&pod()).unwrap(), 0);
    writer.packet(&first).unwrap();
    writer.names(&names).unwrap();
    let cooked = Interface { link_type: LinkType::LINUX_SLL2, ..Interface::default() };
    assert_eq!(writer.interface(&cooked).unwrap(), 1);
    writer.packet(&Packet { interface: 1, ts_ns: 5, data: &[], orig_len: 0, ..Packet::default() }).unwrap();
    writer.statistics(0, 6, &stats).unwrap();
    writer.custom(32_473, b"context!").unwrap();
    writer.packet(&Packet { direction: Direction::In, ..first }).unwrap();
    let written = writer.written();
    let file = writer.finish().unwrap();
    assert_eq!(file.len() as u64, written);

    let (reader, batches) = read(file);
    let info = reader.info();
    assert_eq!(info.hardware, section.hardware);
    assert_eq!((&info.os, &info.application), (&section.os, &section.application));
    assert_eq!((&info.comments, &info.names[..]), (&section.comments, &names[..]));
    assert_eq!(info.interfaces, [Interface { stats, ..pod() }, cooked]);
    assert_eq!(info.custom_blocks, [(32_473, b"context!".to_vec())]);
    assert_eq!((info.dropped_between, info.packets, info.problems.len()), (8, 3, 0));
    // The custom block takes number 3.
    assert_eq!(batches.iter().map(|b| (b.first_frame, b.records.len())).collect::<Vec<_>>(), [(1, 2), (4, 1)]);
    let record = batches[0].records[0];
    assert_eq!((record.ts_ns, record.orig_len, record.direction), (first.ts_ns, 60, Direction::Out));
    assert_eq!(batches[0].frame(&record), first.data);
    assert_eq!((batches[0].records[1].interface, batches[1].records[0].direction), (1, Direction::In));
    assert_eq!(Packet::of(&batches[0], &record, 0).data, first.data);
}

#[test]
fn a_frame_is_cut_at_the_snap_length_it_was_announced_with() {
    let mut writer = Writer::new(Vec::new(), &Section::default()).unwrap();
    writer.interface(&Interface { snaplen: 4, ..pod() }).unwrap();
    writer.packet(&Packet { data: &[7; 9], orig_len: 9, ..Packet::default() }).unwrap();
    let (reader, batches) = read(writer.finish().unwrap());
    assert_eq!((batches[0].records[0].caplen, batches[0].records[0].orig_len), (4, 9));
    assert_eq!(reader.info().longer_than_snaplen, 0);
}

#[test]
fn many_names_and_long_texts_fit() {
    let long = "é".repeat(40_000);
    let section = Section { comments: vec![long.clone()], ..Section::default() };
    let names: Vec<_> = (0..40_000u32)
        .map(|i| NameRecord { address: std::net::Ipv4Addr::from(i).into(), names: vec![format!("pod-{i}.default")] })
        .collect();
    let many = NameRecord { address: "::1".parse().unwrap(), names: (0..9000).map(|i| format!("name-{i}")).collect() };
    let mut writer = Writer::new(Vec::new(), &section).unwrap();
    writer.names(&names).unwrap();
    writer.names(std::slice::from_ref(&many)).unwrap();
    let (reader, _) = read(writer.finish().unwrap());
    let info = reader.info();
    assert!(long.starts_with(&info.comments[0]) && info.comments[0].len() > 65_000);
    assert_eq!(info.names[..names.len()], names[..]);
    assert_eq!(info.names[names.len()..].iter().flat_map(|r| r.names.clone()).collect::<Vec<_>>(), many.names);
}

/// Takes so many bytes.
struct Disk(usize);

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0 == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let len = bytes.len().min(self.0);
        self.0 -= len;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_is_an_error() {
    let mut writer = Writer::new(Disk(1000), &Section::default()).unwrap();
    writer.interface(&pod()).unwrap();
    writer.packet(&Packet { data: &[0; 900], ..Packet::default() }).unwrap();
    let error = writer.flush().unwrap_err();
    assert!(matches!(&error, WriteError::Write { source, .. } if source.kind() == io::ErrorKind::StorageFull));
}

#[test]
fn what_cannot_be_written_is_refused() {
    let mut writer = Writer::new(Vec::new(), &Section::default()).unwrap();
    assert!(matches!(writer.packet(&Packet::default()), Err(WriteError::UnknownInterface { index: 0 })));
    assert!(matches!(
        writer.statistics(3, 0, &InterfaceStats::default()),
        Err(WriteError::UnknownInterface { index: 3 })
    ));
    let long = vec![0; 16 << 20];
    assert!(matches!(writer.custom(1, &long), Err(WriteError::TooLong { .. })));
}
