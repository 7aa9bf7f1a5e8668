//! One capture of each case, as frames to do something with.

use crate::support::{Outcome, file, run, source};
use kcap_analyze::Options;
use kcap_samples::file::Frame;
use std::path::Path;

/// Largest capture taken of a case, and how many frames of it.
const FRAMES: usize = 4000;
const LARGEST: usize = 400_000;

/// A capture and what it says alone.
pub(crate) struct Capture {
    pub(crate) name: String,
    pub(crate) frames: Vec<Frame>,
    pub(crate) outcome: Outcome,
}

/// Frames of a classic capture of Ethernet, microseconds, little-endian.
fn frames(file: &[u8]) -> Option<Vec<Frame>> {
    let word = |at: usize| Some(u32::from_le_bytes(file.get(at..at + 4)?.try_into().ok()?));
    if (word(0)?, word(20)?) != (0xa1b2_c3d4, 1) {
        return None;
    }
    let (mut at, mut frames) = (24, Vec::new());
    while let (Some(seconds), Some(micros), Some(len), Some(orig_len)) =
        (word(at), word(at + 4), word(at + 8), word(at + 12))
    {
        let data = file.get(at + 16..at + 16 + len as usize)?.to_vec();
        frames.push(Frame { ts_ns: u64::from(seconds) * 1_000_000_000 + u64::from(micros) * 1000, data, orig_len });
        at += 16 + len as usize;
    }
    Some(frames).filter(|frames| !frames.is_empty() && frames.len() <= FRAMES)
}

pub(crate) fn analyzed(frames: &[Frame]) -> Outcome {
    run(source(file(1, frames.to_vec())), Options::default())
}

/// One capture of each case, the largest that is not too large.
pub(crate) fn captures() -> Vec<Capture> {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples/cases");
    let mut folders: Vec<_> = std::fs::read_dir(cases).expect("the cases are there").flatten().collect();
    folders.sort_by_key(std::fs::DirEntry::file_name);
    let of_case = |folder: &std::fs::DirEntry| {
        let files = std::fs::read_dir(folder.path()).into_iter().flatten().flatten().map(|entry| entry.path());
        let pcaps = files.filter(|path| path.extension().is_some_and(|end| end == "pcap"));
        let mut read: Vec<_> = pcaps.filter_map(|path| std::fs::read(path).ok()).collect();
        read.retain(|file| file.len() <= LARGEST);
        read.sort_by_key(Vec::len);
        let frames = read.iter().rev().find_map(|file| frames(file))?;
        let (name, outcome) = (folder.file_name().to_string_lossy().into_owned(), analyzed(&frames));
        Some(Capture { name, frames, outcome })
    };
    folders.iter().filter_map(of_case).collect()
}
