//! Table `dns_transactions` on every capture below `KCAP_CAPTURES` that was recorded for this project, against tshark:
//! which questions there are, which answer belongs to which, and how long it took. Differences are counted by their
//! reason. Skipped, visibly, without captures or tshark.
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

#[test]
fn transactions_are_those_of_tshark() {
    let Some(files) = recorded::captures(&["vectors", "faults", "k8s"]) else { return };
    if !tshark::is_installed() {
        return;
    }
    let total = recorded::total(&files, compare::file, Tally::add);
    println!("{total}");
    assert!(total.unexplained.is_empty(), "{} differences without a reason", total.unexplained.len());
    assert!(total.equal > 10_000, "{} compared", total.equal);
}
