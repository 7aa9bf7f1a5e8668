//! Several files as one stream.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod build;

use build::{Frame, LITTLE, MICROS, Pcap, frames_of};
use kcap_file::{Batch, CaptureInfo, Inputs, ReadError, Source};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Number of the file, of the unit, and a frame.
type Numbered = (u32, u32, Frame);

/// Reads to the end.
fn read(mut inputs: Inputs) -> (Vec<CaptureInfo>, Vec<Numbered>, Vec<ReadError>) {
    let mut batch = Batch::default();
    let (mut all, mut last_units) = (Vec::new(), Vec::new());
    while inputs.next_batch(&mut batch) {
        last_units.extend(batch.is_last_unit.then_some(batch.unit));
        all.extend(frames_of(&batch).into_iter().map(|frame| (batch.capture, batch.unit, frame)));
    }
    assert!(!inputs.next_batch(&mut batch) && batch.records.is_empty());
    let last = all.last().map(|(_, unit, _)| *unit);
    assert!(last_units.iter().all(|unit| Some(*unit) == last), "no other unit follows");
    let captures = inputs.captures().to_vec();
    (captures, all, inputs.into_errors())
}

/// A capture of one frame for each time, in seconds.
fn capture(link_type: u32, seconds: &[u32]) -> Vec<u8> {
    let mut file = Pcap::new(LITTLE, MICROS, 0, link_type);
    for &second in seconds {
        file.record(second, 0, b"frame", 5);
    }
    file.bytes
}

struct Folder(TempDir);

impl Folder {
    fn new(files: &[(&str, &[u8])]) -> Self {
        let folder = Self(TempDir::new().unwrap());
        for (name, bytes) in files {
            let path = folder.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// Capture, unit and second of each frame.
fn order(all: &[Numbered]) -> Vec<(u32, u32, i64)> {
    all.iter().map(|(capture, unit, frame)| (*capture, *unit, frame.ts_ns / 1_000_000_000)).collect()
}

#[test]
fn the_only_file_is_known_to_be_the_last() {
    let folder = Folder::new(&[("x.pcap", &capture(1, &[1]))]);
    let mut inputs = Inputs::open([folder.path("x.pcap")]);
    let mut batch = Batch::default();
    assert!(inputs.next_batch(&mut batch) && batch.is_last_unit);
}

#[test]
fn rotated_parts_are_one_unit_in_time_order() {
    let folder = Folder::new(&[
        ("x.pcap2", &capture(1, &[30, 31])),
        ("x.pcap", &capture(1, &[10, 11])),
        ("x.pcap1", &capture(1, &[20])),
        ("node1.pcap", &capture(1, &[15])),
        ("node2.pcap", &capture(1, &[5])),
    ]);
    let paths = ["x.pcap2", "node1.pcap", "x.pcap1", "node2.pcap", "x.pcap"].map(|name| folder.path(name));
    let (captures, all, errors) = read(Inputs::open(&paths));
    let expected = [(0, 0, 5), (1, 1, 10), (1, 1, 11), (2, 1, 20), (3, 1, 30), (3, 1, 31), (4, 2, 15)];
    assert_eq!(order(&all), expected);
    assert_eq!(all.iter().map(|(_, _, frame)| frame.number).collect::<Vec<_>>(), [1, 1, 2, 1, 1, 2, 1]);
    assert_eq!(captures.iter().map(|c| c.packets).collect::<Vec<_>>(), [1, 2, 1, 2, 1]);
    assert!(errors.is_empty());
    let backwards: Vec<_> = paths.iter().rev().collect();
    assert_eq!(order(&read(Inputs::open(backwards)).1), expected);
}

#[test]
fn parts_that_overlap_or_differ_are_units_of_their_own() {
    let folder = Folder::new(&[
        ("x.pcap", &capture(1, &[10, 30])),
        ("x.pcap1", &capture(1, &[20])),
        ("x.pcap2", &capture(1, &[40])),
        ("x.pcap3", &capture(113, &[50])),
    ]);
    let (_, all, _) = read(Inputs::open([folder.0.path()]));
    assert_eq!(order(&all), [(0, 0, 10), (0, 0, 30), (1, 1, 20), (2, 1, 40), (3, 2, 50)]);
}

#[test]
fn folders_give_the_captures_in_them() {
    let folder = Folder::new(&[
        ("a.pcap", &capture(1, &[1])),
        ("notes.txt", b"these are notes\n"),
        ("empty.pcap", b""),
        ("sub/b", &capture(1, &[2])),
        ("sub/deeper/c.pcap", &capture(1, &[3])),
    ]);
    let inputs = Inputs::open([folder.0.path()]);
    assert_eq!((inputs.skipped_count(), inputs.skipped().len()), (2, 2));
    let (captures, all, errors) = read(inputs);
    assert_eq!((all.len(), errors.len()), (2, 0));
    let names: Vec<_> = captures.iter().map(|c| Path::new(&c.name).file_name().unwrap()).collect();
    assert_eq!(names, ["a.pcap", "b"]);
}

#[test]
fn a_file_named_twice_is_read_once() {
    let folder = Folder::new(&[("a.pcap", &capture(1, &[1])), ("sub/x", b"")]);
    let paths = [folder.path("a.pcap"), folder.path("sub/../a.pcap"), folder.0.path().to_owned()];
    let (captures, all, errors) = read(Inputs::open(&paths));
    assert_eq!((captures.len(), all.len(), errors.len()), (1, 1, 0));
}

#[test]
fn what_cannot_be_read_is_told_and_reading_goes_on() {
    let folder = Folder::new(&[("a.pcap", &capture(1, &[1])), ("b.json", b"{}"), ("none/x", b"x")]);
    let paths = ["b.json", "missing.pcap", "none", "a.pcap"].map(|name| folder.path(name));
    let (captures, all, errors) = read(Inputs::open(&paths));
    assert_eq!((all.len(), captures.len(), errors.len()), (1, 4, 3));
    assert_eq!(captures.iter().filter(|c| c.failure.is_some()).count(), 3);
    assert!(captures[0].failure.is_none());
    assert!(matches!(errors[0], ReadError::NotACapture { .. }));
    assert!(errors.iter().any(|e| matches!(e, ReadError::Open { .. })));
    assert!(errors.iter().any(|e| matches!(e, ReadError::NothingInFolder { .. })));
}

#[cfg(unix)]
#[test]
fn a_pipe_is_opened_once() {
    let folder = Folder::new(&[("a.pcap", &capture(1, &[9]))]);
    let pipe = folder.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let writer = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::write(pipe, capture(1, &[8]))
    });
    let (_, all, _) = read(Inputs::open([folder.path("a.pcap"), pipe]));
    writer.join().unwrap().unwrap();
    assert_eq!(order(&all), [(0, 0, 8), (1, 1, 9)]);
}

#[test]
fn thousands_of_parts_need_one_file_descriptor() {
    let folder = TempDir::new().unwrap();
    for part in 0..2000u32 {
        fs::write(folder.path().join(format!("x.pcap{part}")), capture(1, &[1000 + part])).unwrap();
    }
    let (captures, all, _) = read(Inputs::open([folder.path()]));
    assert_eq!((captures.len(), all.len()), (2000, 2000));
    assert!(all.iter().all(|(_, unit, _)| *unit == 0));
    assert!(all.windows(2).all(|two| two[0].2.ts_ns < two[1].2.ts_ns));
}

#[test]
fn a_split_file_reads_as_the_whole() {
    let seconds: Vec<u32> = (100..4000).collect();
    let whole = Folder::new(&[("x.pcap", &capture(1, &seconds))]);
    let parts: Vec<_> = seconds.chunks(700).map(|part| capture(1, part)).collect();
    let names: Vec<_> = (0..parts.len()).map(|i| format!("x_{i:05}_20260101120000.pcap")).collect();
    let files: Vec<_> = names.iter().zip(&parts).map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    let split = Folder::new(&files);
    let frames = |folder: &Folder| {
        let all = read(Inputs::open([folder.0.path()])).1;
        all.into_iter().map(|(_, unit, frame)| (unit, frame.ts_ns, frame.data)).collect::<Vec<_>>()
    };
    assert_eq!(frames(&whole), frames(&split));
}
