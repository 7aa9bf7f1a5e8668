use super::FileKind;

#[test]
fn kinds_are_told_by_content() {
    let mut tar = vec![0; 512];
    tar[257..262].copy_from_slice(b"ustar");
    let mut etl = vec![0; 128];
    etl[..4].copy_from_slice(&0x1_0000u32.to_le_bytes());
    etl[0x48..0x4c].copy_from_slice(&[2, 0, 2, 0xc0]);
    let cases: &[(&[u8], FileKind)] = &[
        (b"snoop\0\0\0\0\0\0\x02", FileKind::Snoop),
        (b"btsnoop\0\0\0\0\x01", FileKind::BtSnoop),
        (b"\xfd7zXZ\0\0", FileKind::Xz),
        (b"PK\x03\x04\x14", FileKind::Zip),
        (&tar, FileKind::Tar),
        (&etl, FileKind::Etl),
        (b"[\n  {\n \"_index\": \"packets\"", FileKind::Json),
        (b"{\"index\":{\"_index\":\"packets\"}}", FileKind::Json),
        (b"<?xml version=\"1.0\"?>\n<pdml>", FileKind::Xml),
        (b"<!DOCTYPE html><html>", FileKind::Html),
        (b"12:00:01.000001 IP 10.0.0.1.80 > 10.0.0.2.99: Flags [S]", FileKind::TcpdumpText),
        (b"2026-01-01 12:00:01.000001 eth0 Out IP 10.0.0.1", FileKind::TcpdumpText),
        (b"0000  45 00 00 3c 1c 46 40 00", FileKind::HexDump),
        (b"00000000: d4c3 b2a1 0200 0400", FileKind::HexDump),
        (b"hello world, this is no capture\n", FileKind::Text),
        (b"version https://git-lfs.github.com/spec/v1\n", FileKind::LfsPointer),
        (b"\0\x01\x02\x03", FileKind::Unknown),
        (b"", FileKind::Unknown),
    ];
    for (head, kind) in cases {
        assert_eq!(FileKind::of(head), *kind, "{:?}", String::from_utf8_lossy(head));
        assert!(!kind.hint().is_empty());
    }
}

#[test]
fn erf_needs_two_records_in_a_row() {
    let record = |seconds: u32| {
        let mut record = vec![0, 0, 0, 0];
        record.extend(seconds.to_le_bytes());
        record.extend([2, 4, 0, 80, 0, 0, 0, 60]);
        record.resize(80, 0);
        record
    };
    let one = record(1_700_000_000);
    assert_eq!(FileKind::of(&one), FileKind::Unknown);
    assert_eq!(FileKind::of(&[one.clone(), record(1_700_000_001)].concat()), FileKind::Erf);
    assert_eq!(FileKind::of(&[one, record(5)].concat()), FileKind::Unknown);
}
