//! Recorded captures, where they are there.

use crate::recorded::{captures, for_each, total};
use crate::support::{Collected, Outcome, run};
use kcap_analyze::{Compat, Options, analyze};
use kcap_file::Inputs;
use std::path::{Path, PathBuf};

fn analyzed(file: &Path, threads: usize) -> Outcome {
    let compat = Some(Compat::Wireshark40);
    run(Box::new(Inputs::open([file])), Options { threads, memory: 64 << 20, compat, ..Options::default() })
}

/// Files and packets of two parts.
fn add(all: &mut (u64, u64), part: (u64, u64)) {
    *all = (all.0 + part.0, all.1 + part.1);
}

#[test]
fn every_file_is_analysed_and_its_counts_agree() {
    let Some(files) = captures(&["public", "faults", "k8s", "vectors"]) else { return };
    let of_file = |file: &Path| {
        let mut rows = Collected { only: Some("points"), ..Collected::default() };
        let options = Options { threads: 1, memory: 64 << 20, ..Options::default() };
        let report = analyze(Box::new(Inputs::open([file])), options, &mut rows).expect("the sink takes everything");
        let counted: i64 = report.captures.iter().map(|capture| capture.packets).sum();
        let tracked = if rows.rows("points").is_empty() { 0 } else { rows.sum("points", "frames") };
        assert_eq!(counted, tracked, "{}: packets read, frames tracked", file.display());
        (u64::from(counted > 0), counted as u64)
    };
    let (read, packets) = total(&files, of_file, add);
    println!("{read} of {} files with {packets} packets", files.len());
}

#[test]
fn threads_change_nothing_on_recorded_captures() {
    let Some(files) = captures(&["faults", "k8s", "vectors/net"]) else { return };
    let of_file = |file: &Path| {
        let alone = analyzed(file, 1);
        let counted: i64 = alone.report.captures.iter().map(|capture| capture.packets).sum();
        if counted == 0 {
            return (0, 0);
        }
        let expected = alone.text();
        for threads in [2, 3, 8] {
            assert!(analyzed(file, threads).text() == expected, "{} with {threads} threads", file.display());
        }
        (1, counted as u64)
    };
    let (compared, packets) = total(&files, of_file, add);
    println!("{compared} files with {packets} packets, each with 1, 2, 3 and 8 threads");
}

#[test]
fn little_memory_ends_and_says_partial() {
    let Some(files) = captures(&["faults", "vectors/net"]) else { return };
    for_each(&files, |file| {
        let little = run(Box::new(Inputs::open([file])), Options { threads: 2, memory: 1, ..Options::default() });
        let evicted = little.rows.column("flows", "evicted").contains(&"true");
        let told = little.report.limits_hit.iter().any(|limit| limit.contains("connections were cut"));
        assert_eq!(evicted, told, "{}: {:?}", file.display(), little.report.limits_hit);
    });
}

#[test]
fn packets_seen_on_several_interfaces_are_no_retransmissions() {
    // Nothing was lost in these; every packet is in the file two to four times, before and after DNAT and VXLAN.
    let healthy = ["t1-nodea-any", "t10-nodea-any", "t1-rtr-any", "t10-rtr-any"];
    let Some(files) = captures(&["vectors/net"]) else { return };
    let named = |file: &&PathBuf| file.file_stem().is_some_and(|stem| healthy.iter().any(|name| stem == *name));
    let files: Vec<_> = files.iter().filter(named).cloned().collect();
    for_each(&files, |file| {
        let rows = analyzed(file, 2).rows;
        // One of them lacks 86,020 bytes that were acknowledged: the capture dropped them, and that is no loss either.
        for column in ["orig_retransmitted_packets", "resp_retransmitted_packets"] {
            assert_eq!(rows.sum("flows", column), 0, "{}: {column}", file.display());
        }
    });
    println!("{} files", files.len());
}
