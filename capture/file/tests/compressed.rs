//! What the reader makes of compressed files, and of files that are no captures.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod build;

use build::{Pcap, read};
use flate2::Compression as Level;
use flate2::write::GzEncoder;
use kcap_file::{Compression, FileKind, ProblemKind, ReadError, Reader};
use std::io::{Cursor, Write};

fn kinds(info: &kcap_file::CaptureInfo) -> Vec<ProblemKind> {
    info.problems.iter().map(|problem| problem.kind).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Level::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn compressed_files_read_as_their_contents() {
    let mut file = Pcap::ethernet();
    file.frames(3000);
    let plain = read(&file.bytes);
    let (one, two) = file.bytes.split_at(100_000);
    let members = [gzip(one), gzip(two), vec![0; 600]].concat();
    let frames = [zstd::encode_all(one, 1).unwrap(), zstd::encode_all(two, 1).unwrap()].concat();
    for (bytes, compression) in [(members, Compression::Gzip), (frames, Compression::Zstd)] {
        let (info, frames) = read(&bytes);
        assert_eq!((info.compression, info.problems.len()), (compression, 0));
        assert_eq!(frames, plain.1);
        assert_eq!(info.file_bytes, file.bytes.len() as u64);
    }
}

#[test]
fn what_comes_before_corrupt_compression_is_kept() {
    let mut file = Pcap::ethernet();
    file.frames(3000);
    let packed = gzip(&file.bytes);
    let (info, frames) = read(&packed[..packed.len() / 2]);
    assert!(frames.len() > 500 && frames.len() < 3000, "{}", frames.len());
    assert!(kinds(&info).contains(&ProblemKind::CorruptCompression));
    let (info, frames) = read(&[&packed[..], b"garbage"].concat());
    assert_eq!((frames.len(), kinds(&info)), (3000, vec![ProblemKind::TrailingGarbage]));
    let (info, frames) = read(&[&packed[..], &[0x1f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]].concat());
    assert_eq!((frames.len(), kinds(&info)), (3000, vec![ProblemKind::TrailingGarbage]));
}

fn refused(bytes: &[u8]) -> ReadError {
    Reader::from_read(Box::new(Cursor::new(bytes.to_vec())), "x").err().expect("not a capture")
}

#[test]
fn other_files_are_named() {
    let twice = gzip(&gzip(&Pcap::ethernet().bytes));
    for (bytes, kind) in
        [(&b"snoop\0\0\0"[..], FileKind::Snoop), (&twice, FileKind::Gzip), (&gzip(b"{}"), FileKind::Json)]
    {
        let error = refused(bytes);
        assert!(matches!(error, ReadError::NotACapture { kind: k, .. } if k == kind), "{error}");
        assert!(error.hint().is_some() && error.to_string().contains(&kind.to_string()));
    }
    assert!(matches!(refused(b""), ReadError::Empty { .. }));
    assert!(matches!(refused(&gzip(b"")), ReadError::Empty { .. }));
    assert!(matches!(refused(&Pcap::ethernet().bytes[..20]), ReadError::Short { .. }));
    assert!(matches!(refused(&gzip(b"x")[..8]), ReadError::Decompress { .. }));
}

#[test]
fn a_zstd_window_of_two_gibibytes_is_refused() {
    // Frame header: no content size, window log 31, then an empty last block.
    let error = refused(&[0x28, 0xb5, 0x2f, 0xfd, 0, (31 - 10) << 3, 1, 0, 0]);
    assert!(matches!(error, ReadError::Decompress { .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("128 MiB"));
}
