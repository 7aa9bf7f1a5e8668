//! Numbers that findings give, against what the recording counted.

use crate::case::Case;
use crate::report::Report;
use serde_json::Value;

/// A number of the truth and where findings give it.
struct Count {
    kind: &'static str,
    truth: &'static str,
    codes: &'static [&'static str],
    name: &'static str,
    /// Largest difference, as a share.
    tolerance: f64,
}

const COUNTS: &[Count] = &[
    Count {
        kind: "dns_search_amplification",
        truth: "lookups",
        codes: &["DNS001", "DNS002"],
        name: "lookups",
        tolerance: 0.02,
    },
    Count {
        kind: "dns_search_amplification",
        truth: "queries_sent",
        codes: &["DNS001", "DNS002"],
        name: "queries",
        tolerance: 0.02,
    },
    Count {
        kind: "dns_search_amplification",
        truth: "wasted_queries_nxdomain",
        codes: &["DNS001", "DNS002"],
        name: "wasted_queries",
        tolerance: 0.02,
    },
];

/// Where all captures of a case together count otherwise.
pub(crate) fn differences(case: &Case) -> Vec<String> {
    let faults = case.truth["faults"].as_array().map(Vec::as_slice).unwrap_or_default();
    let expected: Vec<(&Count, i64)> = faults.iter().flat_map(expected).collect();
    if expected.is_empty() {
        return Vec::new();
    }
    let report = Report::of(&case.files);
    let difference = |(count, truth): &(&Count, i64)| {
        let ours = report.counted(count.codes, count.name);
        println!("{} {} {}: {ours}, happened {truth}", case.name, count.kind, count.name);
        let apart = (ours - truth).abs() as f64;
        (apart > *truth as f64 * count.tolerance)
            .then(|| format!("{} {} {}: {ours}, happened {truth}", case.name, count.kind, count.name))
    };
    expected.iter().filter_map(difference).collect()
}

fn expected(fault: &Value) -> Vec<(&'static Count, i64)> {
    let of_kind = COUNTS.iter().filter(|count| fault["kind"] == count.kind);
    of_kind.filter_map(|count| Some((count, fault["counts"][count.truth].as_i64()?))).collect()
}
