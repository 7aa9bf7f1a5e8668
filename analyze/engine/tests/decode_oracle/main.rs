//! Decoding on every capture below `KCAP_CAPTURES`: against tshark (innermost addresses, ports, protocol and lengths of
//! each frame, up to the first layer that is not ours), and against itself on cut frames. Skipped, visibly, without
//! captures or tshark.
#![allow(clippy::expect_used, clippy::print_stdout, reason = "all of it is a test, and what it compared is told")]

mod compare;
mod cut;
#[path = "../recorded/files.rs"]
mod recorded;
mod theirs;
#[path = "../recorded/tshark.rs"]
mod tshark;

use compare::Tally;
use std::path::Path;

const FOLDERS: [&str; 4] = ["public", "faults", "k8s", "vectors"];
/// Frames compared of one file: the long ones repeat themselves.
const MAX_FRAMES: u64 = 10_000;

#[test]
fn decoding_equals_tshark() {
    let Some(files) = recorded::captures(&FOLDERS).filter(|_| tshark::is_installed()) else { return };
    let of_file = |file: &Path| {
        let mut tally = Tally::default();
        compare::file(file, MAX_FRAMES, &mut tally);
        tally
    };
    let total = recorded::total(&files, of_file, Tally::add);
    println!("{total}");
    assert!(total.unexplained.is_empty(), "{} frames differ without a reason", total.unexplained.len());
    assert!(total.equal > 0, "nothing was compared");
}

#[test]
fn cut_frames_tell_a_prefix() {
    let Some(files) = recorded::captures(&FOLDERS) else { return };
    let compared = recorded::total(&files, cut::file, |all, of_file| *all += of_file);
    println!("compared {compared} cut frames with their whole ones");
    assert!(compared > 0, "nothing was compared");
}
