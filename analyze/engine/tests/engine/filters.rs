//! The display filter of evidence shows the frames that it cites, as tshark sees them.

use crate::support::run;
use crate::tshark;
use kcap_analyze::Options;
use kcap_analyze::finding::Evidence;
use kcap_file::Inputs;
use kcap_samples::case::{self, Case};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Of each case the run with most captures: names of hosts differ where several are put together.
fn largest(case: &Case) -> Option<Vec<PathBuf>> {
    let plain = case.runs.iter().filter(|run| run.args.is_empty() && run.exit == 0);
    let most = plain.min_by_key(|run| Reverse(run.files.len()))?;
    Some(most.files.iter().map(|name| case.folder.join(name)).collect())
}

/// Evidence by file, with the code of its finding.
fn cited(files: &[PathBuf]) -> BTreeMap<String, Vec<(&'static str, Evidence)>> {
    let outcome = run(Box::new(Inputs::open(files)), Options::default());
    let mut by_file: BTreeMap<String, Vec<(&'static str, Evidence)>> = BTreeMap::new();
    for finding in outcome.report.findings {
        for evidence in finding.evidence.into_iter().filter(|evidence| !evidence.frames.is_empty()) {
            by_file.entry(evidence.file.clone()).or_default().push((finding.code, evidence));
        }
    }
    by_file
}

/// Frames that tshark shows with the filter of each, among those that it cites.
fn shown(file: &str, all: &[(&'static str, Evidence)]) -> BTreeSet<u64> {
    let one = |(_, Evidence { frames, filter, .. }): &(&str, Evidence)| {
        let frames: Vec<String> = frames.iter().map(u64::to_string).collect();
        format!("(({filter}) && frame.number in {{{}}})", frames.join(","))
    };
    let filter = all.iter().map(one).collect::<Vec<_>>().join(" || ");
    let text = tshark::fields(Path::new(file), &["-Y", &filter], ["frame.number"]).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

#[test]
fn a_filter_shows_what_is_cited() {
    if !tshark::is_installed() {
        return;
    }
    let mut wrong = Vec::new();
    for files in case::all().expect("the cases can be read").iter().filter_map(largest) {
        for (file, all) in cited(&files) {
            let shown = shown(&file, &all);
            let hidden = |evidence: &Evidence| evidence.frames.iter().any(|frame| !shown.contains(frame));
            let bad = all.iter().filter(|(_, evidence)| hidden(evidence));
            wrong.extend(
                bad.map(|(code, evidence)| format!("{file}: {code} {:?} {}", evidence.frames, evidence.filter)),
            );
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
