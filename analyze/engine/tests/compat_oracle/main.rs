//! `--compat wireshark-4.0` on every capture below `KCAP_CAPTURES`, frame by frame against tshark. Compared are all
//! frames in which tshark sees exactly one TCP header; fragments and what an ICMP error quotes are left out, and counted.
//! Skipped, visibly, without captures or tshark 4.0.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "all of it is a test, and what it compared is told"
)]

mod compare;
mod ours;
#[path = "../recorded/files.rs"]
mod recorded;
mod theirs;
#[path = "../recorded/tshark.rs"]
mod tshark;

use compare::Tally;
use std::path::Path;
use std::process::Command;

/// Recorded for this project: every frame is equal.
const OWN: [&str; 3] = ["vectors", "faults", "k8s"];
/// Made by others: what differs has a reason.
const PUBLIC: [&str; 1] = ["public"];

#[test]
fn our_captures_are_flagged_as_by_tshark() {
    let Some(tally) = compared(&OWN) else { return };
    assert!(tally.explained.is_empty(), "differences in captures of our own");
}

#[test]
fn public_captures_are_flagged_as_by_tshark() {
    let Some(tally) = compared(&PUBLIC) else { return };
    let differ: u64 = tally.explained.values().map(|(count, _)| count).sum();
    assert!(differ * 1000 <= tally.equal, "{differ} differ and {} are equal", tally.equal);
}

fn compared(folders: &[&str]) -> Option<Tally> {
    let files = recorded::captures(folders)?;
    if !tshark::is_installed() || !is_4_0() {
        return None;
    }
    let of_file = |file: &Path| {
        let mut tally = Tally::default();
        compare::file(file, &mut tally);
        tally
    };
    let total = recorded::total(&files, of_file, Tally::add);
    println!("{folders:?}: {total}");
    assert!(total.unexplained.is_empty(), "{} frames differ without a reason", total.unexplained.len());
    assert!(total.equal > 0, "nothing was compared");
    Some(total)
}

/// Other versions have other rules.
fn is_4_0() -> bool {
    let output = Command::new("tshark").arg("--version").output().expect("tshark is there");
    let is_4_0 = String::from_utf8_lossy(&output.stdout).contains("TShark (Wireshark) 4.0.");
    if !is_4_0 {
        println!("skipped: tshark is not 4.0");
    }
    is_4_0
}
