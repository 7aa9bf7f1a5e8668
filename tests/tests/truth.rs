//! Recorded faults with ground truth, where `KCAP_CAPTURES` has them: what must be found is found from some point, and
//! nothing is said that the truth forbids.

#![allow(clippy::unwrap_used, reason = "a test without its input must stop")]

use kcap_analyze::detect::DETECTORS;
use kcap_tests::program;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

type Codes = BTreeSet<String>;

/// A table of names and the codes that belong to each.
fn codes(path: &Path) -> BTreeMap<String, Codes> {
    let text = fs::read_to_string(path).unwrap();
    let line = |line: &str| {
        let (name, codes) = line.split_once('\t')?;
        Some((name.to_owned(), codes.split(',').map(str::to_owned).collect()))
    };
    text.lines().skip(1).filter_map(line).collect()
}

/// One case: captures from several points and what happened.
struct Case {
    name: String,
    files: Vec<PathBuf>,
    faults: Vec<String>,
    /// Codes that answer the faults.
    answers: Codes,
    /// Codes that are wrong.
    wrong: Codes,
}

fn strings(value: &Value) -> Vec<String> {
    let text = |item: &Value| item.as_str().or_else(|| item["kind"].as_str()).map(str::to_owned);
    value.as_array().into_iter().flatten().filter_map(text).collect()
}

/// Codes that kcap gives at `warning` or above.
fn alarms(files: &[PathBuf]) -> Codes {
    let output = Command::new(program().unwrap()).args(["analyze", "-q", "-o", "json"]).args(files).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap().iter();
    let loud = findings.filter(|finding| finding["severity"] != "info");
    loud.map(|finding| finding["code"].as_str().unwrap().to_owned()).collect()
}

impl Case {
    fn read(folder: &Path, kinds: &BTreeMap<String, Codes>, must_not: &BTreeMap<String, Codes>) -> Self {
        let truth: Value = serde_json::from_slice(&fs::read(folder.join("truth.json")).unwrap()).unwrap();
        let faults = strings(&truth["faults"]);
        let of = |table: &BTreeMap<String, Codes>, names: &[String]| -> Codes {
            names.iter().filter_map(|name| table.get(name)).flatten().cloned().collect()
        };
        let answers = of(kinds, &faults);
        let wrong = of(must_not, &strings(&truth["must_not_report"])).difference(&answers).cloned().collect();
        let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<PathBuf> = files.filter(|path| path.to_string_lossy().contains(".pcap")).collect();
        files.sort();
        Self { name: folder.file_name().unwrap().to_string_lossy().into_owned(), files, faults, answers, wrong }
    }

    /// What is wrong with the alarms of each file alone and of all together.
    fn differences(&self, built: &Codes) -> Vec<String> {
        let alone = self.files.iter().map(|file| vec![file.clone()]);
        let mut found = Codes::new();
        let mut wrong = Vec::new();
        for files in alone.chain([self.files.clone()]) {
            let alarms = alarms(&files);
            let healthy = self.faults.is_empty();
            let forbidden = alarms.iter().filter(|code| healthy || self.wrong.contains(*code));
            wrong.extend(forbidden.map(|code| format!("{}: {code} from {files:?}", self.name)));
            found.extend(alarms);
        }
        let answerable = !self.answers.is_disjoint(built);
        if answerable && found.is_disjoint(&self.answers) {
            wrong.push(format!("{}: {:?} not found, expected one of {:?}", self.name, self.faults, self.answers));
        }
        wrong
    }
}

#[test]
fn recorded_faults_are_told_and_nothing_else_is() {
    let Some(root) = env::var_os("KCAP_CAPTURES").map(PathBuf::from) else {
        eprintln!("skipped: KCAP_CAPTURES names no folder of recorded captures");
        return;
    };
    let (kinds, must_not) = (codes(&root.join("kinds.tsv")), codes(&root.join("must_not.tsv")));
    let built: Codes = DETECTORS.iter().map(|about| about.code.to_owned()).collect();
    let folders = ["faults", "k8s"].iter().flat_map(|set| fs::read_dir(root.join(set)).unwrap());
    let mut folders: Vec<PathBuf> = folders.map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    let cases: Vec<Case> = folders.iter().map(|folder| Case::read(folder, &kinds, &must_not)).collect();
    let files: usize = cases.iter().map(|case| case.files.len()).sum();
    let wrong: Vec<String> = cases.iter().flat_map(|case| case.differences(&built)).collect();
    println!("{} cases, {files} files, {} differences", cases.len(), wrong.len());
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
