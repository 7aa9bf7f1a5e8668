//! What became of TCP segments: micro-captures of one oddity each, and what must hold of any capture.

use crate::support::{Collected, run};
use kcap_analyze::finding::Severity;
use kcap_analyze::{Options, analyze};
use kcap_file::Inputs;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tcpvec")
}

/// Lines by name of the vector.
fn expected() -> BTreeMap<String, Vec<String>> {
    let text = fs::read_to_string(vectors().join("expected.txt")).expect("the expectations are there");
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut name = String::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if line.contains(' ') {
            all.entry(name.clone()).or_default().push(line.to_owned());
        } else {
            line.clone_into(&mut name);
            all.entry(name.clone()).or_default();
        }
    }
    all
}

fn told(file: &Path) -> Vec<String> {
    let mut rows = Collected { only: Some("tcp_events"), ..Collected::default() };
    analyze(Box::new(Inputs::open([file])), Options::default(), &mut rows).expect("the sink takes everything");
    let mut lines: Vec<(u64, String)> = Vec::new();
    for row in rows.rows("tcp_events") {
        let cells = ["frame", "sender", "trigger", "verdict", "proof"].map(|column| row[column].as_str());
        lines.push((row["frame"].parse().expect("a number"), cells.join(" ")));
    }
    lines.sort();
    lines.into_iter().map(|(_, line)| line).collect()
}

#[test]
fn every_vector_is_judged_as_written_down() {
    let expected = expected();
    assert_eq!(expected.len(), 24);
    for (name, lines) in &expected {
        assert_eq!(&told(&vectors().join(format!("{name}.pcap"))), lines, "{name}");
    }
}

/// A recorded case with trouble, or nothing, said aloud, where there are none.
fn recorded() -> Vec<PathBuf> {
    let Some(root) = std::env::var_os("KCAP_CAPTURES") else {
        println!("skipped: KCAP_CAPTURES is not set");
        return Vec::new();
    };
    let names = [
        "faults/16a/client-web-0.pcap",
        "faults/17/server-api-0.pcap",
        "faults/19a/client-web-0.pcap",
        "faults/28a/client-web-0.pcap",
        "faults/36a/server-api-0.pcap",
        "faults/37/server-busy-0.pcap",
        "faults/46/nodeA-any.pcap",
    ];
    names.iter().map(|name| Path::new(&root).join(name)).collect()
}

/// Records of a little-endian capture: header and body of each.
fn records(file: &[u8]) -> Vec<(&[u8], &[u8])> {
    let (mut rest, mut all) = (&file[24..], Vec::new());
    while rest.len() > 16 {
        let (header, body) = rest.split_at(16);
        let len = u32::from_le_bytes(header[8..12].try_into().expect("four bytes")) as usize;
        let (body, after) = body.split_at(len.min(body.len()));
        all.push((header, body));
        rest = after;
    }
    all
}

/// The first `frames` of a capture, each cut to `snap` bytes.
fn cut(file: &[u8], frames: usize, snap: usize) -> Vec<u8> {
    let mut out = file[..24].to_vec();
    for (header, body) in records(file).into_iter().take(frames) {
        let kept = body.len().min(snap);
        out.extend_from_slice(&header[..8]);
        out.extend_from_slice(&(kept as u32).to_le_bytes());
        out.extend_from_slice(&header[12..]);
        out.extend_from_slice(&body[..kept]);
    }
    out
}

const CODES: [&str; 9] = ["NET001", "NET002", "NET006", "NET007", "NAT007", "SVC006", "SVC007", "APP003", "APP005"];

/// Findings of this kind that are alarms.
fn alarms(file: Vec<u8>) -> BTreeSet<&'static str> {
    let outcome = run(crate::support::source(file), Options::default());
    let loud = outcome.report.findings.iter().filter(|finding| finding.severity > Severity::Info);
    loud.map(|finding| finding.code).filter(|code| CODES.contains(code)).collect()
}

#[test]
fn a_capture_that_ends_early_or_is_snapped_invents_nothing() {
    for path in recorded() {
        let file = fs::read(&path).expect("the case is there");
        let whole = alarms(file.clone());
        let frames = records(&file).len();
        let cuts = (1..8).map(|part| cut(&file, frames * part / 8, usize::MAX)).chain([cut(&file, frames, 96)]);
        for (at, part) in cuts.enumerate() {
            let invented: Vec<_> = alarms(part).difference(&whole).copied().collect();
            assert!(invented.is_empty(), "{} cut {at}: {invented:?}", path.display());
        }
    }
}
