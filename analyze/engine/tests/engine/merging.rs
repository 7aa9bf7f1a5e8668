//! Captures of strangers change nothing about each other: what is found, and its counts, are those of its subjects.

use crate::samples::{Capture, analyzed, captures};
use crate::support::{Outcome, file, run};
use kcap_analyze::Options;
use kcap_analyze::finding::Finding;
use kcap_file::Inputs;
use kcap_samples::file::Frame;
use kcap_samples::packet::{Ethernet, Ipv4, Udp, build};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

/// Addresses that any table names.
fn addresses(outcome: &Outcome) -> BTreeSet<IpAddr> {
    let rows = outcome.rows.tables.values().flatten();
    rows.flat_map(|row| row.values().filter_map(|text| text.parse().ok())).collect()
}

/// The capture somewhere else: in other subnets, and from another time on.
fn moved(capture: &Capture, start_ns: u64) -> Vec<Frame> {
    let octets = |addr: IpAddr| if let IpAddr::V4(addr) = addr { Some(addr.octets()) } else { None };
    let known: BTreeSet<[u8; 4]> = addresses(&capture.outcome).into_iter().filter_map(octets).collect();
    let first_ns = capture.frames.iter().map(|frame| frame.ts_ns).min().unwrap_or_default();
    let mut frames = capture.frames.clone();
    for frame in &mut frames {
        // Whole seconds, so that no period begins elsewhere.
        frame.ts_ns = frame.ts_ns - first_ns / 1_000_000_000 * 1_000_000_000 + start_ns / 1_000_000_000 * 1_000_000_000;
        let mut at = 14;
        while let Some(bytes) = frame.data.get_mut(at..at + 4) {
            if known.contains(bytes.first_chunk().expect("four bytes")) {
                bytes[2] ^= 0x80;
                at += 3;
            }
            at += 1;
        }
    }
    frames
}

type Said = BTreeMap<(String, &'static str, String), (String, BTreeMap<&'static str, i64>)>;

/// What is said of whom, without what says something about the capture itself; explanations name files and what else is
/// there to be seen.
fn said(findings: &[Finding]) -> Said {
    let about = |finding: &Finding| {
        let mut who: Vec<_> = finding.subjects.iter().map(|subject| subject.address.clone()).collect();
        who.sort();
        let key = (format!("{} {}", finding.code, finding.title), finding.severity.name(), who.join(" "));
        (key, (finding.confidence.to_string(), finding.counts.clone()))
    };
    findings.iter().filter(|finding| !finding.code.starts_with("CAP")).map(about).collect()
}

fn together(a: &Outcome, b: &Outcome) -> Said {
    said(&a.report.findings).into_iter().chain(said(&b.report.findings)).collect()
}

fn differences(expected: &Said, found: &Said) -> Vec<String> {
    let missing = expected.iter().filter(|(key, what)| found.get(*key) != Some(*what));
    let new = found.iter().filter(|(key, what)| expected.get(*key) != Some(*what));
    missing.map(|one| format!("  alone    {one:?}")).chain(new.map(|one| format!("  together {one:?}"))).collect()
}

/// Whether two captures show one connection: recorded in one run of a lab, or built with the same sequence numbers, what
/// was moved is taken for what was not, before translation of addresses.
fn are_related(a: &Outcome, b: &Outcome, both: &Outcome) -> bool {
    let (a, b) = (addresses(a), addresses(b));
    let pairs = [("pre_orig_addr", "post_orig_addr"), ("pre_resp_addr", "post_resp_addr")];
    let is_of = |own: &BTreeSet<IpAddr>, text: &str| text.parse().is_ok_and(|addr| own.contains(&addr));
    let crosses = |x: &str, y: &str| is_of(&a, x) && is_of(&b, y) || is_of(&b, x) && is_of(&a, y);
    both.rows.rows("nat_bindings").iter().any(|row| pairs.iter().any(|(pre, post)| crosses(&row[pre], &row[post])))
}

/// The capture until a time, at which somebody else says something: how long it went on is the same alone and together.
fn until(frames: &[Frame], end_ns: u64) -> Vec<Frame> {
    let (from, to) = (Ipv4Addr::new(198, 18, 0, 1), Ipv4Addr::new(198, 18, 0, 2));
    let layers = [Ethernet::new(98, 99).into(), Ipv4::new(from, to).into(), Udp::new(40_000, 9).into()];
    [frames, &[Frame::new(end_ns, build(&layers, b"discard"))]].concat()
}

fn last_ns(frames: &[Frame]) -> u64 {
    frames.iter().map(|frame| frame.ts_ns).max().unwrap_or_default()
}

/// Both captures at the same time, in two files and in one.
fn merged(a: &[Frame], b: &[Frame], folder: &Path) -> [(&'static str, Outcome); 2] {
    let paths = ["a.pcap", "other.pcap"].map(|name| folder.join(name));
    for (path, frames) in paths.iter().zip([a, b]) {
        std::fs::write(path, file(1, frames.to_vec())).expect("the file can be written");
    }
    let files = run(Box::new(Inputs::open(&paths)), Options::default());
    [("two files", files), ("one file", analyzed(&[a, b].concat()))]
}

#[test]
fn captures_of_strangers_change_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let captures = captures();
    let (mut wrong, mut strangers, mut related) = (Vec::new(), 0, 0);
    for partner in [captures.len() / 3, captures.len() / 2 + 1] {
        for (a, b) in captures.iter().zip(captures.iter().cycle().skip(partner)) {
            let start_ns = a.frames.iter().map(|frame| frame.ts_ns).min().unwrap_or_default();
            let frames = moved(b, start_ns);
            let end_ns = last_ns(&a.frames).max(last_ns(&frames)) + 1000;
            let (first, second) = (until(&a.frames, end_ns), until(&frames, end_ns));
            if !addresses(&a.outcome).is_disjoint(&addresses(&analyzed(&frames))) {
                continue;
            }
            let alone = [analyzed(&first), analyzed(&second)];
            let both = merged(&first, &second, folder.path());
            if are_related(&alone[0], &alone[1], &both[0].1) {
                related += 1;
                continue;
            }
            strangers += 1;
            let expected = together(&alone[0], &alone[1]);
            for (how, outcome) in both {
                let found = differences(&expected, &said(&outcome.report.findings));
                if !found.is_empty() {
                    wrong.push(format!("{} and {} in {how}:\n{}", a.name, b.name, found.join("\n")));
                }
            }
        }
    }
    assert!(strangers > 100 && related < strangers / 5, "{strangers} pairs of strangers, {related} related");
    assert!(wrong.is_empty(), "{} of {strangers} pairs differ\n{}", wrong.len(), wrong.join("\n"));
}
