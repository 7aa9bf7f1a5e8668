use serde::Deserialize;
use std::collections::BTreeMap;

/// `expect.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectations {
    /// Each analysis of some of the captures.
    pub run: Vec<Run>,
}

/// One analysis and what must come of it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Run {
    /// Captures, by name within the case.
    pub files: Vec<String>,
    /// More arguments of `analyze`.
    pub args: Vec<String>,
    /// Exit code.
    pub exit: i32,
    /// Texts that standard error must hold.
    pub stderr: Vec<String>,
    /// Findings that must appear.
    pub finding: Vec<Finding>,
    /// Findings that must not.
    pub absent: Absent,
    /// Facts that the tables must show.
    pub table: Vec<Table>,
}

/// A finding that must appear.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Finding {
    /// Code; several with `|` between them are alternatives.
    pub code: String,
    /// How many at least; 0 means 1.
    pub min: usize,
    /// How many at most; 0 is any number.
    pub max: usize,
    /// Severity.
    pub severity: Option<String>,
    /// Texts that must be part of some subject's address or name.
    pub subjects: Vec<String>,
    /// Frames that the evidence must cite.
    pub frames: Vec<u64>,
    /// What it must count.
    pub counts: BTreeMap<String, i64>,
}

/// Findings that must not appear.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Absent {
    /// Codes, at whatever severity.
    pub codes: Vec<String>,
    /// Any finding of this severity or worse, but for those that must appear.
    pub at_or_above: Option<String>,
}

/// A fact that a table must show.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Only rows with these values count.
    #[serde(rename = "where")]
    pub filter: BTreeMap<String, toml::Value>,
    /// Only rows without a value in these columns count.
    pub absent: Vec<String>,
    /// How many rows there must be.
    pub rows: Option<usize>,
    /// Sums of columns over them.
    pub sum: BTreeMap<String, i64>,
}
