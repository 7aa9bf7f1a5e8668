//! Decoding against tshark on every capture below `KCAP_CAPTURES`: innermost addresses, ports and protocol of each
//! frame, up to the first layer that is not ours. Skipped, visibly, without captures or tshark.

mod compare;
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
    let Some(root) = std::env::var_os("KCAP_CAPTURES") else {
        return println!("skipped: KCAP_CAPTURES is not set");
    };
    if Command::new("tshark").arg("--version").output().is_err() {
        return println!("skipped: tshark is not installed");
    }
    let mut files = Vec::new();
    for folder in FOLDERS {
        list(&Path::new(&root).join(folder), &mut files);
    }
    files.sort();
    assert!(!files.is_empty(), "no captures below {}", Path::new(&root).display());
    let queue = Mutex::new(files.iter());
    let total = Mutex::new(Tally::default());
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let mut tally = Tally::default();
                let take = || queue.lock().expect("no thread panics with the queue").next();
                while let Some(file) = take() {
                    compare::file(file, MAX_FRAMES, &mut tally);
                }
                total.lock().expect("no thread panics with the tally").add(tally);
            });
        }
    });
    let total = total.into_inner().expect("no thread panics with the tally");
    println!("{total}");
    assert!(total.unexplained.is_empty(), "{} frames differ without a reason", total.unexplained.len());
    assert!(total.equal > 0, "nothing was compared");
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
