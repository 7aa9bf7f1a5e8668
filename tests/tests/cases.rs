//! Every case of `samples/cases`: kcap says what it must and nothing that it must not.
#![allow(clippy::unwrap_used, reason = "a test that cannot run must stop")]

use kcap_analyze::detect::DETECTORS;
use kcap_samples::case::{self, Case, Run, check};
use kcap_tests::{outcome, program, terminal};
use std::path::Path;
use std::process::Command;
use std::{env, fs};

fn failures(case: &Case) -> Vec<String> {
    let of_run = |run: &Run| {
        let outcome = outcome(case, run).unwrap();
        let name = format!("{} {}", case.slug, run.files.join(" "));
        check(run, &outcome).into_iter().map(move |wrong| format!("{name}: {wrong}"))
    };
    case.runs.iter().flat_map(of_run).collect()
}

#[test]
fn cases_say_what_they_must() {
    let cases = case::all().unwrap();
    let runs: usize = cases.iter().map(|case| case.runs.len()).sum();
    let wrong: Vec<String> = cases.iter().flat_map(failures).collect();
    println!("{} cases, {runs} runs, {} differences", cases.len(), wrong.len());
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// `KCAP_UPDATE=1 cargo test -p kcap-tests` writes the reports anew; review them with `git diff`.
#[test]
fn terminal_reports_are_the_golden_ones() {
    let update = env::var_os("KCAP_UPDATE").is_some();
    let mut changed = Vec::new();
    for case in case::all().unwrap() {
        let path = case.folder.join("report.txt");
        let text = terminal(&case).unwrap();
        if update {
            fs::write(&path, &text).unwrap();
        } else if fs::read_to_string(&path).unwrap_or_default() != text {
            changed.push(case.slug);
        }
    }
    assert!(changed.is_empty(), "report.txt differs in {changed:?}; KCAP_UPDATE=1 writes it anew");
}

#[test]
fn every_finding_has_a_case_and_a_near_miss() {
    let runs: Vec<Run> = case::all().unwrap().into_iter().flat_map(|case| case.runs).collect();
    for detector in DETECTORS {
        let code = detector.code;
        let names = |run: &Run| run.finding.iter().any(|finding| finding.code == code);
        assert!(runs.iter().any(names), "no case in which {code} must appear");
        let forbids = |run: &Run| run.absent.codes.iter().any(|absent| absent == code);
        assert!(runs.iter().any(forbids), "no case in which {code} must not appear");
    }
}

#[test]
fn the_readme_lists_every_finding() {
    let readme = include_str!("../../README.md");
    let line = |about: &kcap_analyze::detect::About| {
        format!("| {} {} | {} | {} |", about.code, about.slug, about.severity.name(), about.title)
    };
    let missing: Vec<String> = DETECTORS.iter().map(line).filter(|line| !readme.contains(line)).collect();
    assert!(missing.is_empty(), "the table of findings in README.md lacks\n{}", missing.join("\n"));
}

/// The first example of the README, made anew by `KCAP_UPDATE=1`.
#[test]
fn the_readme_shows_what_kcap_prints() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let (before, example) = readme.split_once("```console\n$ kcap ").unwrap();
    let (line, shown) = example.split_once('\n').unwrap();
    let (shown, after) = shown.split_once("```").unwrap();
    let mut kcap = Command::new(program().unwrap());
    kcap.args(line.split(' ')).current_dir(root).env("NO_COLOR", "1").env_remove("COLUMNS");
    let printed = String::from_utf8(kcap.output().unwrap().stdout).unwrap();
    if env::var_os("KCAP_UPDATE").is_some() {
        let readme = format!("{before}```console\n$ kcap {line}\n{printed}```{after}");
        fs::write(root.join("README.md"), readme).unwrap();
    } else {
        assert_eq!(shown, printed, "KCAP_UPDATE=1 writes it anew");
    }
}
