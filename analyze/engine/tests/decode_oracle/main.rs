//! Decoding on every capture below `KCAP_CAPTURES`: against tshark (innermost addresses, ports, protocol and lengths of
//! each frame, up to the first layer that is not ours), and against itself on cut frames. Skipped, visibly, without
//! captures or tshark.
#![allow(clippy::expect_used, clippy::print_stdout, reason = "all of it is a test, and what it compared is told")]

mod compare;
mod cut;
mod tshark;

use compare::Tally;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

const FOLDERS: [&str; 4] = ["public", "faults", "k8s", "vectors"];
/// Frames compared of one file: the long ones repeat themselves.
const MAX_FRAMES: u64 = 10_000;
const THREADS: usize = 2;

#[test]
fn decoding_equals_tshark() {
    let Some(files) = captures() else { return };
    if Command::new("tshark").arg("--version").output().is_err() {
        return println!("skipped: tshark is not installed");
    }
    let total = Mutex::new(Tally::default());
    for_each(&files, |file| {
        let mut tally = Tally::default();
        compare::file(file, MAX_FRAMES, &mut tally);
        total.lock().expect("no thread panics with the tally").add(tally);
    });
    let total = total.into_inner().expect("no thread panics with the tally");
    println!("{total}");
    assert!(total.unexplained.is_empty(), "{} frames differ without a reason", total.unexplained.len());
    assert!(total.equal > 0, "nothing was compared");
}

#[test]
fn cut_frames_tell_a_prefix() {
    let Some(files) = captures() else { return };
    let compared = Mutex::new(0);
    for_each(&files, |file| *compared.lock().expect("no thread panics with the count") += cut::file(file));
    let compared = compared.into_inner().expect("no thread panics with the count");
    println!("compared {compared} cut frames with their whole ones");
    assert!(compared > 0, "nothing was compared");
}

fn captures() -> Option<Vec<PathBuf>> {
    let Some(root) = std::env::var_os("KCAP_CAPTURES") else {
        println!("skipped: KCAP_CAPTURES is not set");
        return None;
    };
    let mut files = Vec::new();
    for folder in FOLDERS {
        list(&Path::new(&root).join(folder), &mut files);
    }
    files.sort();
    assert!(!files.is_empty(), "no captures below {}", Path::new(&root).display());
    Some(files)
}

/// Calls `work` for each file, on as many threads as tshark may take.
fn for_each(files: &[PathBuf], work: impl Fn(&Path) + Sync) {
    let queue = Mutex::new(files.iter());
    let take = || queue.lock().expect("no thread panics with the queue").next();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(file) = take() {
                    work(file);
                }
            });
        }
    });
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            list(&path, files);
        } else {
            files.push(path);
        }
    }
}
