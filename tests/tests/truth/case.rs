use crate::{Codes, Report, codes};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// One case: captures from several points and what happened.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) files: Vec<PathBuf>,
    pub(crate) truth: Value,
    faults: Vec<String>,
    /// Codes that answer the faults.
    answers: Codes,
    /// Codes that are wrong.
    wrong: Codes,
}

/// What kcap made of a case.
pub(crate) struct Score {
    name: String,
    faults: String,
    /// Points that show the fault alone, and all.
    points: (usize, usize),
    /// Whether all points together show it.
    joint: bool,
    /// Nothing is to be found.
    healthy: bool,
    pub(crate) wrong: Vec<String>,
}

impl Case {
    /// The cases of a folder of recorded captures.
    pub(crate) fn all(root: &Path) -> Vec<Self> {
        let (kinds, must_not) = (codes(&root.join("kinds.tsv")), codes(&root.join("must_not.tsv")));
        let folders = ["faults", "k8s"].iter().flat_map(|set| fs::read_dir(root.join(set)).unwrap());
        let mut folders: Vec<PathBuf> = folders.map(|entry| entry.unwrap().path()).collect();
        folders.sort();
        folders.iter().map(|folder| Self::read(folder, &kinds, &must_not)).collect()
    }

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
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        Self { name, files, truth, faults, answers, wrong }
    }

    /// Analyses the captures, each alone and all together.
    pub(crate) fn score(&self) -> Score {
        let alone: Vec<Report> = self.files.iter().map(|file| Report::of(std::slice::from_ref(file))).collect();
        let joint = Report::of(&self.files);
        let shows = |report: &Report| !report.codes().is_disjoint(&self.answers);
        let from = self.files.iter().map(|file| file.file_name().unwrap().to_string_lossy().into_owned());
        let all = alone.iter().zip(from).chain([(&joint, "all".to_owned())]);
        let wrong =
            all.flat_map(|(report, from)| self.wrong(report).into_iter().map(move |code| format!("{code} ({from})")));
        Score {
            name: self.name.clone(),
            faults: self.faults.join(" "),
            points: (alone.iter().filter(|report| shows(report)).count(), alone.len()),
            joint: shows(&joint),
            healthy: self.faults.is_empty(),
            wrong: wrong.collect(),
        }
    }

    /// Alarms that the truth forbids; a healthy case forbids all.
    fn wrong(&self, report: &Report) -> Codes {
        report.alarms().into_iter().filter(|code| self.faults.is_empty() || self.wrong.contains(code)).collect()
    }
}

fn strings(value: &Value) -> Vec<String> {
    let text = |item: &Value| item.as_str().or_else(|| item["kind"].as_str()).map(str::to_owned);
    value.as_array().into_iter().flatten().filter_map(text).collect()
}

impl Score {
    /// Whether a fault is not shown by any point alone, or not by all together.
    pub(crate) fn is_missed(&self) -> bool {
        !self.healthy && (self.points.0 == 0 || !self.joint)
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (points, joint) = if self.healthy {
            ("-".to_owned(), "-")
        } else {
            (format!("{} of {}", self.points.0, self.points.1), if self.joint { "found" } else { "MISSED" })
        };
        let faults = if self.healthy { "healthy" } else { &self.faults };
        write!(f, "{:<5} {faults:<28} {points:<14} {joint:<6} {}", self.name, self.wrong.join(", "))
    }
}
