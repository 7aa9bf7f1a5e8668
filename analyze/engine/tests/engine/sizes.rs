//! Paths, tunnels, fragments and neighbours: the bundled cases, and that cutting a capture invents nothing.

use crate::support::{Collected, Outcome, file, run, source};
use kcap_analyze::Options;
use kcap_file::{Batch, Inputs, Source};
use kcap_samples::case::{self, Case, Run, check};
use kcap_samples::file::Frame;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// What the cases here are about; cutting must not make any of them appear.
const FAMILIES: [&str; 5] = ["MTU", "OVL", "NET003", "NET004", "NET005"];

fn cases() -> Vec<Case> {
    let about = |case: &Case| ["mtu", "ovl", "net", "fragments", "healthy"].iter().any(|of| case.slug.starts_with(of));
    case::all().expect("the cases can be read").into_iter().filter(about).collect()
}

fn files(case: &Case, run: &Run) -> Vec<PathBuf> {
    run.files.iter().map(|name| case.folder.join(name)).collect()
}

/// A row's values as JSON has them.
fn rows(collected: &Collected) -> BTreeMap<String, Vec<Value>> {
    let value = |text: &String| serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.clone()));
    let row = |line: &BTreeMap<&'static str, String>| line.iter().map(|(name, text)| (*name, value(text))).collect();
    collected.tables.iter().map(|(name, lines)| ((*name).to_owned(), lines.iter().map(row).collect())).collect()
}

#[test]
fn cases_say_what_they_must() {
    let mut wrong = Vec::new();
    for case in cases() {
        for run_of in case.runs.iter().filter(|run| run.args.is_empty()) {
            let given = run(Box::new(Inputs::open(files(&case, run_of))), Options::default());
            let outcome = case::Outcome {
                exit: run_of.exit,
                stderr: run_of.stderr.concat(),
                report: serde_json::to_value(&given.report).expect("the report is JSON"),
                tables: rows(&given.rows),
            };
            wrong
                .extend(check(run_of, &outcome).iter().map(|what| format!("{} {:?}: {what}", case.slug, run_of.files)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The frames of a capture, where all have one link type.
fn frames(path: PathBuf) -> Option<(u32, Vec<Frame>)> {
    let (mut source, mut batch) = (Inputs::open(&[path]), Batch::default());
    let (mut links, mut frames) = (BTreeSet::new(), Vec::new());
    while source.next_batch(&mut batch) {
        for record in &batch.records {
            links.insert(batch.interfaces[record.interface as usize].link_type.0);
            let data = batch.frame(record).to_vec();
            frames.push(Frame { ts_ns: record.ts_ns as u64, data, orig_len: record.orig_len });
        }
    }
    let link = links.pop_first().filter(|_| links.is_empty() && frames.len() > 4)?;
    Some((link.into(), frames))
}

fn alarms(link: u32, frames: Vec<Frame>) -> BTreeSet<&'static str> {
    let Outcome { report, .. } = run(source(file(link, frames)), Options::default());
    let loud = report.findings.iter().filter(|finding| finding.severity > kcap_analyze::finding::Severity::Info);
    loud.map(|finding| finding.code).filter(|code| FAMILIES.iter().any(|family| code.starts_with(family))).collect()
}

#[test]
fn cutting_a_capture_invents_nothing() {
    for case in cases() {
        let names: BTreeSet<PathBuf> = case.runs.iter().flat_map(|run| files(&case, run)).collect();
        for (link, frames) in names.into_iter().filter_map(frames) {
            let whole = alarms(link, frames.clone());
            let cuts = (1..5).map(|fifth| frames.len() * fifth / 5);
            let halves = cuts.flat_map(|at| [frames[..at].to_vec(), frames[at..].to_vec()]);
            let snapped = [68, 96, 128].map(|len| frames.iter().cloned().map(|frame| frame.snapped(len)).collect());
            for cut in halves.chain(snapped) {
                let (count, alarms) = (cut.len(), alarms(link, cut));
                assert!(alarms.is_subset(&whole), "{}: {alarms:?} of {count} frames, {whole:?} of all", case.slug);
            }
        }
    }
}
