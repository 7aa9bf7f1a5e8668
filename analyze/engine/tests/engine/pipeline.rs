//! What holds whatever the number of threads, the memory and the source.

use crate::support::{Collected, Outcome, analyzed, file, run, source};
use crate::traffic::{MS, S, Talk, mixed, pod};
use kcap_analyze::{Compat, Options, analyze};
use kcap_file::{Batch, CaptureInfo, Inputs, Source};
use kcap_samples::file::Frame;
use std::panic::AssertUnwindSafe;
use std::path::Path;

const THREADS: [usize; 6] = [0, 1, 2, 3, 8, 100];

fn with_threads(file: &[u8], threads: usize, memory: u64) -> Outcome {
    run(source(file.to_vec()), Options { threads, memory, compat: Some(Compat::Wireshark40), ..Options::default() })
}

fn same_for_all_threads(file: &[u8], memory: u64) -> Outcome {
    let first = with_threads(file, 1, memory);
    let expected = first.text();
    for threads in THREADS {
        let text = with_threads(file, threads, memory).text();
        assert!(text == expected, "{threads} threads: {}", difference(&expected, &text));
    }
    first
}

fn difference(a: &(String, String), b: &(String, String)) -> String {
    let (a, b) = if a.0 == b.0 { (&a.1, &b.1) } else { (&a.0, &b.0) };
    let at = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    let near = |text: &str| {
        String::from_utf8_lossy(&text.as_bytes()[at.saturating_sub(200)..text.len().min(at + 200)]).into_owned()
    };
    format!("{}\ninstead of\n{}", near(b), near(a))
}

#[test]
fn threads_change_nothing() {
    let frames = mixed(1, 6000);
    let count = frames.len();
    let outcome = same_for_all_threads(&file(1, frames), 512 << 20);
    assert_eq!(outcome.rows.rows("packets").len(), count);
    assert!(outcome.report.limits_hit.is_empty(), "{:?}", outcome.report.limits_hit);
    assert!(outcome.rows.sum("intervals", "retransmissions") > 100);
    assert_eq!(outcome.rows.sum("intervals", "packets"), count as i64);
    assert_eq!(outcome.rows.sum("points", "frames"), count as i64);
    assert!(outcome.rows.sum("points", "fragments") > 100);
    for table in ["flows", "tunnels", "icmp_errors", "icmp_echo", "findings", "decode", "captures", "tcp_compat"] {
        assert!(!outcome.rows.rows(table).is_empty(), "no {table}");
    }
    for (name, table) in &outcome.report.tables {
        assert_eq!(table.rows, outcome.rows.rows(name).len() as i64, "{name}");
    }
}

#[test]
fn little_memory_is_partial_and_the_same_for_all_threads() {
    let frames: Vec<Frame> = (0..20_000_u32)
        .map(|n| Talk::new((pod((n % 250) as u8), 1024 + (n / 250) as u16), (pod(251), 80)).syn(u64::from(n) * 10_000))
        .collect();
    let outcome = same_for_all_threads(&file(1, frames), 1 << 20);
    let evicted = outcome.rows.column("flows", "evicted").iter().filter(|text| **text == "true").count();
    assert!(outcome.rows.rows("flows").len() == 20_000 && evicted > 18_000, "{evicted} left early");
    assert!(
        outcome.report.limits_hit[0].starts_with(&format!("{evicted} connections")),
        "{:?}",
        outcome.report.limits_hit
    );
    assert!(outcome.report.limits_hit.iter().any(|limit| limit.contains("--compat")));
}

#[test]
fn a_connection_cut_by_little_memory_says_so() {
    // One long connection among many: it is used all the time, so it stays.
    let mut talk = Talk::new((pod(1), 999), (pod(2), 443));
    let mut frames = talk.handshake(0);
    for n in 0..5000_u32 {
        let at = 10 * MS + u64::from(n) * MS;
        frames.push(talk.segment(at, true, 0x10, (1 + n * 10, 1), 10));
        frames.push(Talk::new((pod(3), 1000 + n as u16), (pod(4), 80)).syn(at));
    }
    let outcome = with_threads(&file(1, frames), 2, 1);
    let long: Vec<_> = outcome.rows.rows("flows").iter().filter(|row| row["orig_port"] == "999").collect();
    assert_eq!((long.len(), long[0]["orig_packets"].as_str(), long[0]["evicted"].as_str()), (1, "5002", "false"));
}

#[test]
fn a_sink_that_fails_ends_the_run_with_its_error() {
    let file = file(1, mixed(2, 4000));
    for table in ["packets", "flows", "icmp_echo", "intervals", "findings", "captures"] {
        for threads in THREADS {
            let mut rows = Collected { full: Some(table), only: Some(table), ..Collected::default() };
            let options = Options { threads, ..Options::default() };
            let error = analyze(source(file.clone()), options, &mut rows).expect_err("the sink is full");
            assert_eq!(error.to_string(), format!("write table {table}: the disk is full"), "{threads} threads");
        }
    }
}

/// A source that panics behind so many batches of another.
struct Broken(Box<dyn Source>, usize);

impl Source for Broken {
    fn next_batch(&mut self, batch: &mut Batch) -> bool {
        self.1 = self.1.checked_sub(1).expect("the source breaks");
        self.0.next_batch(batch)
    }

    fn captures(&self) -> &[CaptureInfo] {
        self.0.captures()
    }
}

#[test]
fn nobody_waits_for_a_thread_that_panicked() {
    let file = file(1, mixed(4, 8000));
    for threads in THREADS {
        for batches in [0, 1, 3] {
            let broken = Broken(source(file.clone()), batches);
            let analysed = std::panic::catch_unwind(AssertUnwindSafe(|| {
                run(Box::new(broken), Options { threads, ..Options::default() });
            }));
            assert!(analysed.is_err(), "{threads} threads, {batches} batches");
        }
    }
}

#[test]
fn tables_that_nobody_wants_are_not_made_but_counted() {
    let file = file(1, mixed(3, 500));
    let all = with_threads(&file, 2, 64 << 20);
    let mut rows = Collected { only: Some("icmp_echo"), ..Collected::default() };
    let report = analyze(source(file), Options::default(), &mut rows).expect("the sink takes everything");
    assert_eq!(rows.tables.keys().collect::<Vec<_>>(), [&"icmp_echo"]);
    assert_eq!(rows.rows("icmp_echo"), all.rows.rows("icmp_echo"));
    assert_eq!(report.tables["flows"], all.report.tables["flows"]);
    assert!(!report.tables.contains_key("packets"));
    assert_eq!(report.findings, all.report.findings);
}

#[test]
fn nothing_is_an_answer() {
    let outcome = analyzed(Vec::new());
    assert!(outcome.codes().is_empty() && outcome.rows.rows("flows").is_empty());
    assert_eq!(outcome.report.captures[0].packets, 0);
    assert!(outcome.report.not_judged[0].contains("no packets"), "{:?}", outcome.report.not_judged);
    for threads in THREADS {
        let none = run(Box::new(Inputs::open(Vec::<&Path>::new())), Options { threads, ..Options::default() });
        assert!(none.report.captures.is_empty() && none.report.limits_hit.is_empty());
    }
}

/// Writes files into a folder and analyses them.
fn of_files(files: &[(&str, Vec<u8>)]) -> Outcome {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes).expect("written");
    }
    let paths: Vec<_> = files.iter().map(|(name, _)| folder.path().join(name)).collect();
    let mut texts =
        THREADS.map(|threads| run(Box::new(Inputs::open(&paths)), Options { threads, ..Options::default() }));
    let expected = texts[0].text();
    assert!(texts.iter().all(|outcome| outcome.text() == expected));
    std::mem::replace(&mut texts[0], analyzed(Vec::new()))
}

#[test]
fn a_connection_goes_on_in_the_next_rotated_file() {
    let frames = Talk::new((pod(1), 40_000), (pod(2), 80)).whole(0);
    let (first, second) = frames.split_at(4);
    let outcome = of_files(&[("cap.pcap0", file(1, first.to_vec())), ("cap.pcap1", file(1, second.to_vec()))]);
    let flows = outcome.rows.rows("flows");
    assert_eq!((flows.len(), flows[0]["conn_state"].as_str()), (1, "SF"));
    assert!(flows[0]["capture"].ends_with("cap.pcap0"));
    let frames: Vec<_> = outcome.rows.column("packets", "frame");
    assert_eq!(frames, ["1", "2", "3", "4", "1", "2", "3", "4"]);
    assert_eq!(outcome.rows.column("captures", "unit"), ["0", "0"]);
}

#[test]
fn two_captures_that_overlap_are_two_points() {
    let frames = Talk::new((pod(1), 40_000), (pod(2), 80)).whole(0);
    let outcome = of_files(&[("client.pcap", file(1, frames.clone())), ("server.pcap", file(1, frames))]);
    assert_eq!(outcome.rows.column("flows", "conn_state"), ["SF", "SF"]);
    assert_eq!(outcome.rows.column("captures", "unit"), ["0", "1"]);
    assert_eq!(outcome.rows.rows("points").len(), 2);
    let captures = outcome.rows.column("flows", "capture");
    assert!(captures[0].ends_with("client.pcap") && captures[1].ends_with("server.pcap"), "{captures:?}");
}

#[test]
fn what_other_traffic_does_changes_no_row() {
    // The same conversations alone and among others, whose packets move the borders of chunks.
    let quiet = mixed(4, 300);
    let noise: Vec<Frame> = (0..40_000_u32)
        .map(|n| {
            let mut talk = Talk::new((pod((n % 7) as u8), 50_000), (pod(99), 9));
            talk.id = n as u16;
            talk.segment(u64::from(n) * (6 * S / 40_000), true, 0x10, (1 + n, 1), 40)
        })
        .collect();
    let alone = analyzed(quiet.clone());
    let among = analyzed([quiet, noise].concat());
    let rows = |outcome: &Outcome| {
        let keep = |row: &&crate::support::Line| row["resp_port"] != "9";
        let mut rows: Vec<_> = outcome.rows.rows("flows").iter().filter(keep).cloned().collect();
        for row in &mut rows {
            row.retain(|column, _| !column.contains("frame"));
        }
        rows.sort();
        rows
    };
    assert_eq!(rows(&alone), rows(&among));
}
