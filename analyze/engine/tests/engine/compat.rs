//! `--compat wireshark-4.0` against what tshark said of small captures, one for each rule.

use crate::support::{Collected, Line, Outcome, run};
use kcap_analyze::{Compat, Options, analyze};
use kcap_file::Inputs;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Flags of a frame, and the microseconds that tshark gives with them.
type Expected = BTreeMap<(String, i64), [String; 3]>;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tcpvec")
}

fn expected() -> Expected {
    let text = std::fs::read_to_string(folder().join("tshark-4.0.17.tsv")).expect("the list is there");
    let line = |line: &str| -> Option<_> {
        let mut columns = line.split('\t').map(str::to_owned);
        let key = (columns.next()?, columns.next()?.parse().ok()?);
        Some((key, [columns.next()?, columns.next()?, columns.next()?]))
    };
    text.lines().filter(|text| !text.starts_with('#')).map(|text| line(text).expect("five columns")).collect()
}

fn with_compat() -> Options {
    Options { compat: Some(Compat::Wireshark40), ..Options::default() }
}

fn compat(file: &Path, options: Options) -> Outcome {
    let mut rows = Collected { only: Some("tcp_compat"), ..Collected::default() };
    let report = analyze(Box::new(Inputs::open([file])), options, &mut rows).expect("the sink takes everything");
    Outcome { report, rows }
}

fn vectors() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder()).expect("the folder is there").flatten();
    let mut files: Vec<_> = entries.map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "pcap"));
    files.sort();
    files
}

#[test]
fn vectors_are_flagged_as_by_tshark() {
    let mut found = Expected::new();
    for file in vectors() {
        let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
        for row in compat(&file, with_compat()).rows.rows("tcp_compat") {
            let key = (name.clone(), row["frame"].parse().expect("a number"));
            found.insert(key, [row["flags"].clone(), micros(row, "rto_us"), micros(row, "ack_rtt_us")]);
        }
    }
    assert_eq!(found, expected());
}

fn micros(row: &Line, column: &str) -> String {
    row[column].parse::<f64>().map_or("-".to_owned(), |micros| micros.round().to_string())
}

#[test]
fn only_on_demand() {
    let file = vectors().into_iter().next().expect("a vector");
    let without = run(Box::new(Inputs::open([&file])), Options::default());
    assert!(without.rows.rows("tcp_compat").is_empty() && !without.report.tables.contains_key("tcp_compat"));
    let with = run(Box::new(Inputs::open([&file])), with_compat());
    assert!(with.report.tables["tcp_compat"].rows > 0);
    assert_eq!(with.report.limits_hit, without.report.limits_hit);
}
