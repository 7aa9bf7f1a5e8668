//! `vectors/truth.tsv`: files by pattern, what they must give (`|` either, a space each) and what they must not.

use crate::{Codes, Report, words};
use std::fs;
use std::path::{Path, PathBuf};

/// What is said of one file.
pub(crate) struct Line {
    file: PathBuf,
    /// Of each, one code at least.
    must: Vec<Codes>,
    must_not: MustNot,
}

#[derive(Clone)]
enum MustNot {
    /// Alarms with these codes.
    These(Codes),
    /// All alarms but these.
    AnyBut(Codes),
}

fn set(text: &str, separator: char) -> Codes {
    text.split(separator).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// The lines, one a file.
pub(crate) fn lines(root: &Path) -> Vec<Line> {
    let text = fs::read_to_string(root.join("truth.tsv")).unwrap();
    text.lines().skip(1).flat_map(|line| parse(line, root)).collect()
}

fn parse(line: &str, root: &Path) -> Vec<Line> {
    let mut fields = line.split('\t');
    let mut field = || fields.next().unwrap_or_default();
    let (patterns, must, must_not) = (field(), field(), field());
    let must: Vec<Codes> = must.split_whitespace().map(|either| set(either, '|')).collect();
    let must_not = match must_not.strip_prefix('*') {
        Some(rest) => MustNot::AnyBut(set(rest.trim().strip_prefix("but").unwrap_or_default(), ' ')),
        None => MustNot::These(set(must_not, ' ')),
    };
    let files = patterns.split_whitespace().flat_map(|pattern| matching(root, pattern));
    files.map(|file| Line { file, must: must.clone(), must_not: must_not.clone() }).collect()
}

/// Captures whose path is the pattern, or starts with it where it ends in `*`.
fn matching(root: &Path, pattern: &str) -> Vec<PathBuf> {
    let (folder, name) = pattern.split_once('/').unwrap();
    let files = fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let fits = |path: &PathBuf| {
        let file = path.file_name().unwrap().to_string_lossy();
        file.contains(".pcap") && name.strip_suffix('*').map_or(file == name, |start| file.starts_with(start))
    };
    let mut files: Vec<PathBuf> = files.filter(fits).collect();
    files.sort();
    assert!(!files.is_empty(), "no capture fits {pattern}");
    files
}

impl Line {
    /// What kcap says otherwise.
    pub(crate) fn differences(&self) -> Vec<String> {
        let report = Report::of(std::slice::from_ref(&self.file));
        let (codes, alarms) = (report.codes(), report.alarms());
        let missed = self.must.iter().filter(|either| either.is_disjoint(&codes));
        let missed = missed.map(|either| format!("{}: {} not found", self.file.display(), words(either)));
        let wrong: Codes = match &self.must_not {
            MustNot::These(these) => alarms.intersection(these).cloned().collect(),
            MustNot::AnyBut(these) => alarms.difference(these).cloned().collect(),
        };
        let wrong = wrong.into_iter().map(|code| format!("{}: {code}", self.file.display()));
        missed.chain(wrong).collect()
    }
}
