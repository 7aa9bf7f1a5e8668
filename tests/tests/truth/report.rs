use crate::Codes;
use kcap_tests::program;
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;

/// What kcap says of captures.
pub(crate) struct Report(Value);

impl Report {
    /// Analyses captures together.
    pub(crate) fn of(files: &[PathBuf]) -> Self {
        let mut command = Command::new(program().unwrap());
        let output = command.args(["analyze", "-q", "-o", "json"]).args(files).output().unwrap();
        Self(serde_json::from_slice(&output.stdout).unwrap())
    }

    fn findings(&self) -> impl Iterator<Item = &Value> {
        self.0["findings"].as_array().unwrap().iter()
    }

    /// Codes of all findings.
    pub(crate) fn codes(&self) -> Codes {
        self.findings().map(code).collect()
    }

    /// Codes of those of `warning` or above.
    pub(crate) fn alarms(&self) -> Codes {
        self.findings().filter(|finding| finding["severity"] != "info").map(code).collect()
    }

    /// What the findings with one of these codes counted by a name, together.
    pub(crate) fn counted(&self, codes: &[&str], name: &str) -> i64 {
        let of = self.findings().filter(|finding| codes.iter().any(|code| finding["code"] == *code));
        of.filter_map(|finding| finding["counts"][name].as_i64()).sum()
    }
}

fn code(finding: &Value) -> String {
    finding["code"].as_str().unwrap().to_owned()
}
