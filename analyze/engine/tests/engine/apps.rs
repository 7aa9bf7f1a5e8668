//! What is said of requests does not depend on where a capture ends, nor on how much of each frame it has.

use crate::support::{run, source};
use kcap_analyze::Options;
use kcap_analyze::finding::Finding;
use kcap_file::Inputs;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const HEADER: usize = 24;
const RECORD: usize = 16;

/// The classic captures of the cases about requests, with their names.
fn captures() -> Vec<(String, Vec<u8>)> {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples/cases");
    let folders =
        std::fs::read_dir(cases).expect("the cases are there").filter_map(Result::ok).map(|entry| entry.path());
    let about = |path: &Path| path.file_name().and_then(|name| name.to_str()).map(str::to_owned).unwrap_or_default();
    let requests = folders.filter(|path| about(path).starts_with("app00") || about(path).starts_with("svc008"));
    let files = requests.flat_map(|folder| std::fs::read_dir(folder).expect("a case is a folder"));
    let pcaps = files
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "pcap"));
    pcaps.map(|path| (about(&path), std::fs::read(&path).expect("a capture can be read"))).collect()
}

/// Where each record begins, and the end.
fn records(file: &[u8]) -> Vec<usize> {
    let mut starts = vec![HEADER];
    while let Some(len) = starts.last().and_then(|at| file.get(at + 8..at + 12)) {
        let len = u32::from_le_bytes(len.try_into().expect("four bytes")) as usize;
        starts.push(starts[starts.len() - 1] + RECORD + len);
    }
    starts
}

/// Codes of what is no mere information, those about the capture itself left out.
fn alarms(file: &[u8]) -> BTreeSet<&'static str> {
    let findings = run(source(file.to_vec()), Options::default()).report.findings;
    let alarms = findings.iter().filter(|finding| finding.severity.name() != "info");
    alarms.map(|finding| finding.code).filter(|code| !code.starts_with("CAP")).collect()
}

/// Those of them that are said about requests.
fn about_requests(codes: &BTreeSet<&'static str>) -> BTreeSet<&'static str> {
    codes.iter().copied().filter(|code| code.starts_with("APP00") && *code != "APP003" || *code == "SVC008").collect()
}

#[test]
fn a_capture_that_ends_earlier_says_nothing_new() {
    for (name, file) in captures() {
        let whole = about_requests(&alarms(&file));
        let starts = records(&file);
        let step = starts.len() / 60 + 1;
        for end in starts.iter().step_by(step) {
            let part = about_requests(&alarms(&file[..*end]));
            assert!(part.is_subset(&whole), "{name} cut at byte {end}: {part:?}, whole {whole:?}");
        }
    }
}

#[test]
fn a_capture_of_short_frames_says_nothing_new() {
    for (name, file) in captures() {
        let whole = about_requests(&alarms(&file));
        for snap in [60, 68, 80, 96, 110, 128] {
            let part = about_requests(&alarms(&snapped(&file, snap)));
            assert!(part.is_subset(&whole), "{name} snapped to {snap}: {part:?}, whole {whole:?}");
        }
    }
}

fn snapped(file: &[u8], snap: usize) -> Vec<u8> {
    let starts = records(file);
    let mut short = file[..HEADER].to_vec();
    for record in starts.windows(2) {
        let (header, frame) = file[record[0]..record[1]].split_at(RECORD);
        let kept = frame.len().min(snap);
        short.extend([&header[..8], &(kept as u32).to_le_bytes(), &header[12..], &frame[..kept]].concat());
    }
    short
}

/// What is said about requests, with its counts.
fn said(findings: &[Finding]) -> Vec<(&'static str, BTreeMap<&'static str, i64>)> {
    let mut said: Vec<_> = findings.iter().map(|finding| (finding.code, finding.counts.clone())).collect();
    said.retain(|(code, _)| !about_requests(&BTreeSet::from([*code])).is_empty());
    said.sort();
    said
}

#[test]
fn one_fault_in_two_files_is_one_finding() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, file) in captures() {
        let paths = ["a.pcap", "other.pcap"].map(|name| folder.path().join(name));
        for path in &paths {
            std::fs::write(path, &file).expect("the file can be written");
        }
        let twice = run(Box::new(Inputs::open(&paths)), Options::default()).report.findings;
        let once = run(source(file), Options::default()).report.findings;
        assert_eq!(said(&twice), said(&once), "{name}");
    }
}

#[test]
fn requests_on_their_way_where_a_capture_ends_are_no_hang() {
    let file = captures().into_iter().find(|(name, _)| name == "never-answers.pcap").expect("the case is there").1;
    let starts = records(&file);
    let second = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().expect("four bytes"));
    let last = second(starts[starts.len() - 2]);
    let says = |until: u32| {
        let end = starts.iter().copied().take(starts.len() - 1).find(|at| second(*at) > until).unwrap_or(file.len());
        alarms(&file[..end]).contains("APP001")
    };
    assert!(says(last), "the third has waited for five seconds");
    assert!(!says(last - 2), "it has not");
}

#[test]
fn the_endpoint_that_hangs_is_named_where_others_answer() {
    let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples/cases/app001-slow-upstream");
    let title = |name: &str| {
        let outcome = run(Box::new(Inputs::open(&[case.join(name)])), Options::default());
        outcome.finding("APP001").title.clone()
    };
    let one = title("one-of-two-hangs.pcap.gz");
    assert!(one.starts_with("10.244.2.12:8080, one endpoint of 10.96.0.80:80, does not answer"), "{one}");
    let alone = title("server-api-0.pcap");
    assert!(alone.starts_with("10.244.2.10:8080 answers"), "{alone}");
}
