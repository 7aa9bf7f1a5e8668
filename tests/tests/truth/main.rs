//! Recorded faults with ground truth, where `KCAP_CAPTURES` has them. Every capture is analysed alone and all of a case
//! together; what must be found is found from one point at least and from all together, and nothing is said that the
//! truth forbids.

#![allow(clippy::unwrap_used, reason = "a test without its input must stop")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the scores, and why there are none, are told")]

mod case;
mod counts;
mod report;
mod vectors;

use case::Case;
use report::Report;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Codes of findings.
type Codes = BTreeSet<String>;

/// The folder of recorded captures; says so when there is none.
fn captures() -> Option<PathBuf> {
    let root = env::var_os("KCAP_CAPTURES").map(PathBuf::from);
    if root.is_none() {
        eprintln!("skipped: KCAP_CAPTURES names no folder of recorded captures");
    }
    root
}

/// A table of names and the codes that belong to each.
fn codes(path: &Path) -> BTreeMap<String, Codes> {
    let text = fs::read_to_string(path).unwrap();
    let line = |line: &str| {
        let (name, codes) = line.split_once('\t')?;
        Some((name.to_owned(), codes.split(',').map(str::to_owned).collect()))
    };
    text.lines().skip(1).filter_map(line).collect()
}

/// The codes as words.
fn words(codes: &Codes) -> String {
    codes.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
}

#[test]
fn recorded_faults_are_told_and_nothing_else_is() {
    let Some(root) = captures() else { return };
    let cases = Case::all(&root);
    let scores: Vec<_> = cases.iter().map(Case::score).collect();
    println!("{:<5} {:<28} {:<14} {:<6} {}", "case", "fault", "points alone", "joint", "wrong");
    for score in &scores {
        println!("{score}");
    }
    let missed = scores.iter().filter(|score| score.is_missed()).count();
    let wrong: usize = scores.iter().map(|score| score.wrong.len()).sum();
    println!("{} cases: {} found, {missed} missed, {wrong} wrong", cases.len(), cases.len() - missed);
    assert!(missed + wrong == 0, "{missed} missed, {wrong} wrong");
}

#[test]
fn recorded_vectors_are_told() {
    let Some(root) = captures() else { return };
    let lines = vectors::lines(&root.join("vectors"));
    let differences: Vec<String> = lines.iter().flat_map(vectors::Line::differences).collect();
    println!("{} files, {} differences", lines.len(), differences.len());
    assert!(differences.is_empty(), "\n{}", differences.join("\n"));
}

#[test]
fn what_findings_count_is_what_happened() {
    let Some(root) = captures() else { return };
    let differences: Vec<String> = Case::all(&root).iter().flat_map(counts::differences).collect();
    assert!(differences.is_empty(), "\n{}", differences.join("\n"));
}
