//! What is analysed while it is captured, and at its end.

use crate::lab::{Lab, PROGRAM, captures, ip, read, until};
use crate::{refused, text};
use nix::sys::signal::Signal;
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A client that gives up after two SYNs to an address where nothing listens to them.
fn given_up(lab: &Lab) {
    let forever = ["lladdr", "02:00:00:00:00:09", "dev", "eth0", "nud", "permanent"];
    ip(&[&["-n", &lab.a, "neigh", "replace", "10.77.0.9"][..], &forever].concat());
    let address = "10.77.0.9:81".parse().unwrap();
    let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(1_500)).is_err();
    assert!(Lab::netns(&lab.a).run(connect).unwrap());
}

#[test]
fn silence_after_the_last_packet_is_evidence() {
    let Some(lab) = Lab::new() else { return };
    for (listens, found) in [(Duration::from_millis(3_500), true), (Duration::ZERO, false)] {
        let folder = tempfile::tempdir().unwrap();
        let mut kcap = lab.capture(folder.path(), &["-p", "81", "-w", "x.pcapng"]);
        given_up(&lab);
        std::thread::sleep(listens);
        kcap.signal(Signal::SIGINT);
        assert_eq!(kcap.ends(), 0);
        let report = text(folder.path(), "stdout");
        assert_eq!(report.contains("SVC004"), found, "{report}");
        let again = Command::new(PROGRAM).args(["analyze", "x.pcapng"]).current_dir(folder.path()).output().unwrap();
        assert_eq!(String::from_utf8(again.stdout).unwrap().contains("SVC004"), found);
    }
}

#[test]
fn a_flight_recorder_stops_at_a_finding() {
    let Some(lab) = Lab::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--stop-on", "connect-refused", "--rotate", "1s", "--keep", "2", "-p", "81", "-w", "."];
    let mut kcap = lab.capture(folder.path(), &arguments);
    std::thread::sleep(Duration::from_millis(2_500));
    assert!(kcap.0.try_wait().unwrap().is_none(), "nothing is wrong yet");
    refused(&lab, 5);
    assert_eq!(kcap.ends(), 0);
    let notes = text(folder.path(), "capture.log");
    assert!(notes.contains("SVC003") && notes.contains("--stop-on ends the capture"), "{notes}");
    assert!(notes.contains("older files were removed"), "{notes}");
    let kept = captures(folder.path());
    assert!((2..=4).contains(&kept.len()), "those that were looked at, and what came meanwhile: {kept:?}");
    assert_eq!(kept.iter().map(|file| read(file).0.len()).sum::<usize>(), 10, "the finding is in what is kept");
    assert!(text(folder.path(), "stdout").contains("SVC003"));
}

/// Code and frames of what was found.
fn findings(report: &str) -> Vec<(String, Vec<u64>)> {
    let report: serde_json::Value = serde_json::from_str(&report[report.find('{').unwrap()..]).unwrap();
    let frames = |finding: &serde_json::Value| {
        let cited = finding["evidence"].as_array().unwrap().iter().filter_map(|one| one["frames"].as_array());
        cited.flatten().filter_map(serde_json::Value::as_u64).collect()
    };
    let found = report["findings"].as_array().unwrap().iter();
    found.map(|finding| (finding["code"].as_str().unwrap().to_owned(), frames(finding))).collect()
}

#[test]
fn what_goes_to_standard_output_is_analysed() {
    let Some(lab) = Lab::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut kcap = lab.capture(folder.path(), &["-p", "81", "-w", "-", "-o", "json", "--fail-on", "error"]);
    refused(&lab, 3);
    kcap.signal(Signal::SIGINT);
    assert_eq!(kcap.ends(), 4);
    let notes = text(folder.path(), "capture.log");
    let again = Command::new(PROGRAM).args(["analyze", "stdout", "-o", "json"]).current_dir(folder.path()).output();
    let again = findings(&String::from_utf8(again.unwrap().stdout).unwrap());
    assert!(again.iter().any(|(code, frames)| code == "SVC003" && !frames.is_empty()), "{again:?}");
    assert_eq!(findings(&notes), again, "frames are those of the stream");
}

/// Captures, of what kind of files ever, end with what `kcap analyze` says of the files.
#[test]
fn what_is_kept_is_analysed_while_it_is_captured() {
    let Some(lab) = Lab::new() else { return };
    for arguments in [&["-w", "x.pcapng"][..], &["-w", "x.pcapng", "--rotate", "1s"], &["-w", ".", "--compress"]] {
        let folder = tempfile::tempdir().unwrap();
        let mut kcap = lab.capture(folder.path(), &[&["-p", "81", "-o", "json"], arguments].concat());
        for _ in 0..2 {
            refused(&lab, 3);
            std::thread::sleep(Duration::from_millis(700));
        }
        kcap.signal(Signal::SIGINT);
        assert_eq!(kcap.ends(), 0);
        let files = captures(folder.path());
        let names = files.iter().map(|file| file.file_name().unwrap().to_owned());
        let mut analyze = Command::new(PROGRAM);
        let again = analyze.args(["analyze", "-q", "-o", "json"]).args(names).current_dir(folder.path()).output();
        let again = again.unwrap();
        assert_eq!(String::from_utf8_lossy(&again.stderr), "");
        let [mut along, mut again] = [text(folder.path(), "stdout"), String::from_utf8(again.stdout).unwrap()]
            .map(|report| serde_json::from_str::<serde_json::Value>(&report.replace("\"./", "\"")).unwrap());
        for report in [&mut along, &mut again] {
            let captures = report["captures"].as_array_mut().unwrap().iter_mut();
            // What is analysed while it is written is not compressed yet.
            captures.for_each(|capture| capture["compression"] = serde_json::Value::Null);
        }
        assert!(findings(&along.to_string()).iter().any(|(code, _)| code == "SVC003"), "{along}");
        assert_eq!(along, again, "{arguments:?}");
    }
}

#[test]
fn parts_that_were_removed_are_analysed() {
    let Some(lab) = Lab::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut kcap = lab.capture(folder.path(), &["-p", "81", "-w", ".", "--rotate", "1s", "--keep", "1"]);
    refused(&lab, 5);
    let first = captures(folder.path());
    until("the first part is removed", || {
        let now = captures(folder.path());
        now.len() == 1 && now != first && read(&now[0]).0.is_empty()
    });
    kcap.signal(Signal::SIGINT);
    assert_eq!(kcap.ends(), 0);
    assert!(text(folder.path(), "capture.log").contains("older files were removed"));
    assert_eq!(captures(folder.path()).iter().map(|file| read(file).0.len()).sum::<usize>(), 0);
    let report = text(folder.path(), "stdout");
    assert!(report.contains("SVC003") && report.contains("5 "), "{report}");
}

/// What looks into packets has no privilege, and yields to what captures them.
#[test]
fn the_analysis_beside_a_capture_may_do_nothing() {
    let Some(lab) = Lab::new() else { return };
    for (arguments, name, held) in
        [(&["-w", "-"][..], "analyze", 0), (&["-w", ".", "--stop-on", "SVC003"], "stop-on", 1 << 2)]
    {
        let folder = tempfile::tempdir().unwrap();
        let mut kcap = lab.capture(folder.path(), &[&["-p", "81"], arguments].concat());
        let of = |status: &str, name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|set| u64::from_str_radix(set.trim(), 16).ok())
        };
        let may_do = |task: &Path| {
            let status = fs::read_to_string(task.join("status")).unwrap_or_default();
            ["CapEff:", "CapPrm:"].iter().all(|set| of(&status, set) == Some(held))
        };
        let yields = |task: &Path| {
            let stat = fs::read_to_string(task.join("stat")).unwrap_or_default();
            stat.rsplit(')').next().and_then(|rest| rest.split(' ').nth(17)) == Some("19")
        };
        until("its thread has given up what it may", || {
            let tasks = fs::read_dir(format!("/proc/{}/task", kcap.0.id())).unwrap();
            let mut tasks = tasks.filter_map(|task| Some(task.ok()?.path()));
            let is_it = |task: &PathBuf| fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim() == name);
            tasks.find(is_it).is_some_and(|task| may_do(&task) && yields(&task))
        });
        refused(&lab, 1);
        kcap.signal(Signal::SIGINT);
        assert_eq!(kcap.ends(), 0, "signals are held back there as well");
        assert!(text(folder.path(), "capture.log").contains("2 packets"), "{arguments:?}");
    }
}
