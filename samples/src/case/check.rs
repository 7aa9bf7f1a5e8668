use super::{Finding, Run, Table};
use serde_json::Value;
use std::collections::BTreeMap;

/// What an analysis gave.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Exit code.
    pub exit: i32,
    /// Standard error.
    pub stderr: String,
    /// The report (`-o json`); null when there was none.
    pub report: Value,
    /// Rows of each table, by column name.
    pub tables: BTreeMap<String, Vec<Value>>,
}

/// Severities, mildest first.
const SEVERITIES: [&str; 4] = ["info", "warning", "error", "critical"];

/// Compares an outcome with what was expected of it; what differs, in words.
pub fn check(run: &Run, outcome: &Outcome) -> Vec<String> {
    let mut wrong = Vec::new();
    if outcome.exit != run.exit {
        wrong.push(format!("exit code {} instead of {}: {}", outcome.exit, run.exit, outcome.stderr.trim()));
    }
    let missing = run.stderr.iter().filter(|text| !outcome.stderr.contains(text.as_str()));
    wrong.extend(missing.map(|text| format!("standard error lacks {text:?}: {:?}", outcome.stderr)));
    let findings = findings(&outcome.report);
    wrong.extend(run.finding.iter().filter_map(|expected| missing_finding(expected, &findings)));
    wrong.extend(findings.iter().filter(|finding| unwanted(run, finding)).map(unwanted_text));
    wrong.extend(run.table.iter().flat_map(|table| check_table(table, outcome)));
    wrong
}

fn findings(report: &Value) -> Vec<Value> {
    report["findings"].as_array().cloned().unwrap_or_default()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

/// Rank of a severity; an unknown one is worse than any.
fn rank(severity: &str) -> usize {
    SEVERITIES.iter().position(|name| *name == severity).unwrap_or(SEVERITIES.len())
}

fn is_code(expected: &Finding, finding: &Value) -> bool {
    expected.code.split('|').any(|code| code == text(finding, "code"))
}

fn missing_finding(expected: &Finding, findings: &[Value]) -> Option<String> {
    let same: Vec<&Value> = findings.iter().filter(|finding| is_code(expected, finding)).collect();
    let fit = same.iter().filter(|finding| fits(expected, finding)).count();
    let most = if expected.max == 0 { usize::MAX } else { expected.max };
    if (expected.min.max(1)..=most).contains(&fit) {
        return None;
    }
    let given: Vec<String> = same.iter().map(ToString::to_string).collect();
    Some(format!("{fit} findings like {expected:?}; of that code: [{}]", given.join(", ")))
}

fn fits(expected: &Finding, finding: &Value) -> bool {
    expected.severity.as_deref().is_none_or(|severity| severity == text(finding, "severity"))
        && expected.subjects.iter().all(|subject| has_subject(finding, subject))
        && expected.frames.iter().all(|frame| cites(finding, *frame))
        && expected.counts.iter().all(|(name, count)| finding["counts"][name].as_i64() == Some(*count))
}

fn items<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    value[field].as_array().into_iter().flatten()
}

fn has_subject(finding: &Value, expected: &str) -> bool {
    items(finding, "subjects")
        .any(|subject| text(subject, "address").contains(expected) || text(subject, "name") == expected)
}

fn cites(finding: &Value, frame: u64) -> bool {
    items(finding, "evidence").any(|evidence| items(evidence, "frames").any(|cited| cited.as_u64() == Some(frame)))
}

fn unwanted(run: &Run, finding: &Value) -> bool {
    let expected = run.finding.iter().any(|expected| is_code(expected, finding));
    let severe = |least: &str| rank(text(finding, "severity")) >= rank(least);
    run.absent.codes.iter().any(|code| code == text(finding, "code"))
        || !expected && run.absent.at_or_above.as_deref().is_some_and(severe)
}

fn unwanted_text(finding: &Value) -> String {
    format!("must not say {} ({}): {}", text(finding, "code"), text(finding, "severity"), text(finding, "title"))
}

fn check_table(table: &Table, outcome: &Outcome) -> Vec<String> {
    let Some(all) = outcome.tables.get(&table.name) else { return vec![format!("no table {}", table.name)] };
    let rows: Vec<&Value> = all.iter().filter(|row| selected(table, row)).collect();
    let mut wrong = Vec::new();
    if table.rows.is_some_and(|expected| expected != rows.len()) {
        let given: Vec<String> = all.iter().take(6).map(Value::to_string).collect();
        let what = format!("{} rows of {} where {:?}", rows.len(), table.name, table.filter);
        wrong.push(format!("{what} instead of {:?}; it begins {}", table.rows, given.join("\n  ")));
    }
    for (column, expected) in &table.sum {
        let sum: i64 = rows.iter().filter_map(|row| row[column].as_i64()).sum();
        if sum != *expected || rows.iter().any(|row| row.get(column).is_none()) {
            wrong.push(format!("{}.{column} sums to {sum} instead of {expected} over {} rows", table.name, rows.len()));
        }
    }
    wrong
}

fn selected(table: &Table, row: &Value) -> bool {
    table.filter.iter().all(|(column, expected)| same(expected, &row[column]))
        && table.absent.iter().all(|column| row[column].is_null())
}

/// Whether a TOML value is the JSON value.
fn same(expected: &toml::Value, value: &Value) -> bool {
    match expected {
        toml::Value::Integer(number) => value.as_i64() == Some(*number),
        toml::Value::Boolean(flag) => value.as_bool() == Some(*flag),
        toml::Value::String(text) => value.as_str() == Some(text),
        _ => false,
    }
}
