//! Less of a capture removes findings and confidence, and never invents one.

use crate::samples::{Capture, analyzed, captures};
use crate::support::Outcome;
use kcap_samples::file::Frame;
use std::collections::BTreeSet;

/// Places at which each capture is cut.
const CUTS: usize = 8;

/// Codes of what is said, without what is said of the capture itself.
fn codes(outcome: &Outcome, alarms_only: bool) -> BTreeSet<&'static str> {
    let findings = outcome.report.findings.iter();
    let told = findings.filter(|finding| !alarms_only || finding.severity.name() != "info");
    told.map(|finding| finding.code).filter(|code| !code.starts_with("CAP")).collect()
}

/// What less of a capture may make of a finding: the same failures, with less known about them. Where nothing is left of a
/// connection's beginning, or of those that were answered, the cause is not to be seen any more, and the failures are.
const GENERAL: [(&str, &[&str]); 4] = [
    ("DNS003", &["DNS016"]),
    ("DNS004", &["DNS003", "DNS005", "DNS014", "DNS016", "DNS017"]),
    ("SVC003", &["APP008", "SVC002", "SVC008"]),
    ("SVC004", &["NET004", "OVL002", "SVC002", "SVC008", "SVC011", "SVC012"]),
];

/// A name that comes into being is missing until then.
const NOT_YET: (&str, &str) = ("dns018-name-missing", "DNS018");

fn invented(capture: &Capture, part: &[Frame]) -> Vec<&'static str> {
    let whole = codes(&capture.outcome, false);
    let is_general = |code: &str| {
        let mut special = GENERAL.iter().filter(|(general, _)| *general == code).flat_map(|(_, special)| *special);
        special.any(|special| whole.contains(special))
    };
    let told = codes(&analyzed(part), true);
    told.into_iter().filter(|code| !whole.contains(code) && !is_general(code)).collect()
}

#[test]
fn a_capture_that_ends_earlier_or_begins_later_invents_nothing() {
    let mut wrong = Vec::new();
    for capture in captures() {
        let len = capture.frames.len();
        for cut in (1..CUTS).map(|n| len * n / CUTS) {
            let (head, tail) = capture.frames.split_at(cut);
            for (what, part) in [("end", head), ("begin", tail)] {
                let mut new = invented(&capture, part);
                new.retain(|code| what == "begin" || (capture.name.as_str(), *code) != NOT_YET);
                if !new.is_empty() {
                    wrong.push(format!("{} cut to {what} at frame {cut} of {len}: {new:?}", capture.name));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_capture_of_short_frames_invents_nothing() {
    let mut wrong = Vec::new();
    for capture in captures() {
        for snap in [68, 96, 128, 200] {
            let part: Vec<Frame> = capture.frames.iter().map(|frame| frame.clone().snapped(snap)).collect();
            let new = invented(&capture, &part);
            if !new.is_empty() {
                wrong.push(format!("{} snapped to {snap} bytes: {new:?}", capture.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
