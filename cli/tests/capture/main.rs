//! `kcap TARGET…` as people type it, in real network namespaces and pods.
#![cfg(all(target_os = "linux", feature = "libpcap"))]
#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::panic, reason = "the set-up fails tests")]

mod analysis;
#[path = "../../../tests/lab/mod.rs"]
mod lab;
mod terminal;

use lab::{Lab, PROGRAM, Running, only, read, until};
use nix::sys::signal::Signal;
use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Connections to a port where nobody listens.
fn refused(lab: &Lab, count: usize) {
    let connect = || (0..count).for_each(|_| assert!(TcpStream::connect("10.77.0.2:81").is_err()));
    Lab::netns(&lab.a).run(connect).unwrap();
}

fn text(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap()
}

#[test]
fn a_capture_ends_with_what_is_wrong() {
    let Some(lab) = Lab::new() else { return };
    for (arguments, code) in [(&["-p", "81"][..], 0), (&["-p", "81", "--fail-on", "error"], 4)] {
        let folder = tempfile::tempdir().unwrap();
        let mut kcap = lab.capture(folder.path(), arguments);
        refused(&lab, 3);
        kcap.signal(Signal::SIGINT);
        assert_eq!(kcap.ends(), code);
        let file = only(folder.path());
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with(&format!("netns-{}.2", lab.a)), "{name}");
        let notes = text(folder.path(), "capture.log");
        assert!(notes.contains("6 packets, 0 dropped by the kernel → netns-"), "{notes}");
        assert!(notes.contains("(interrupted after"), "{notes}");
        let report = text(folder.path(), "stdout");
        assert!(report.contains("SVC003") && report.contains("10.77.0.2:81"), "{report}");
        assert!(report.contains(name) && !report.contains("./netns"), "{report}");
    }
}

#[test]
fn a_full_log_ends_nothing() {
    let Some(lab) = Lab::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(PROGRAM);
    command.args([format!("netns/{}", lab.a).as_str(), "-d", "1s", "--min-free", "1MB", "-w", "x.pcapng"]);
    command.current_dir(folder.path()).stderr(fs::File::create("/dev/full").unwrap());
    assert!(command.status().unwrap().success());
    assert!(folder.path().join("x.pcapng").exists());
}

#[test]
fn a_capture_that_was_killed_is_not_complete() {
    let Some(lab) = Lab::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut kcap = lab.capture(folder.path(), &["-p", "81", "-w", "x.pcapng"]);
    refused(&lab, 3);
    std::thread::sleep(Duration::from_millis(300));
    kcap.signal(Signal::SIGKILL);
    kcap.0.wait().unwrap();
    let again = Command::new(PROGRAM).args(["analyze", "x.pcapng.part"]).current_dir(folder.path()).output().unwrap();
    assert_eq!(again.status.code(), Some(3));
    let report = String::from_utf8(again.stdout).unwrap();
    assert!(report.contains("SVC003") && report.contains("the capture has no end"), "{report}");
}

#[test]
fn without_analysis_standard_output_is_empty() {
    let Some(lab) = Lab::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut kcap = lab.capture(folder.path(), &["--no-analyze", "--count", "4", "-w", "x.pcapng"]);
    refused(&lab, 3);
    assert_eq!(kcap.ends(), 0);
    assert_eq!(text(folder.path(), "stdout"), "");
    assert_eq!(read(&folder.path().join("x.pcapng")).0.len(), 4);
    assert!(!folder.path().join("x.pcapng.part").exists());
}

#[test]
fn nothing_captured_says_why() {
    let Some(lab) = Lab::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut kcap = lab.capture(folder.path(), &["-p", "9999"]);
    kcap.signal(Signal::SIGINT);
    assert_eq!(kcap.ends(), 130);
    let notes = text(folder.path(), "capture.log");
    assert!(notes.contains("hint: no packet on lo, eth0 matched port 9999"), "{notes}");
    assert_eq!(text(folder.path(), "stdout"), "");
}

#[test]
fn a_second_interrupt_waits_for_nothing() {
    let Some(lab) = Lab::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    // The rules of some nodes take long to print.
    let slow = folder.path().join("iptables-save");
    fs::write(&slow, "#!/bin/sh\nsleep 8\n").unwrap();
    fs::set_permissions(&slow, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let child = Command::new(PROGRAM)
        .args([&format!("netns/{}", lab.a), "-p", "81", "-w", "x.pcapng", "--min-free", "1MB"])
        .env("PATH", path)
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(fs::File::create(folder.path().join("stdout")).unwrap())
        .stderr(fs::File::create(folder.path().join("capture.log")).unwrap())
        .spawn();
    let mut kcap = Running(child.unwrap());
    until("it captures", || text(folder.path(), "capture.log").contains("capturing on"));
    refused(&lab, 3);
    let interrupted = Instant::now();
    kcap.signal(Signal::SIGINT);
    std::thread::sleep(Duration::from_millis(500));
    kcap.signal(Signal::SIGINT);
    assert_eq!(kcap.ends(), 0);
    assert!(interrupted.elapsed() < Duration::from_secs(4), "{:?}", interrupted.elapsed());
    assert!(text(folder.path(), "capture.log").contains("6 packets"), "the summary is told");
    assert_eq!(text(folder.path(), "stdout"), "", "and no analysis begun");
    assert_eq!(read(&folder.path().join("x.pcapng")).0.len(), 6);
}

/// What runs in another's terminal must not outlive it.
#[test]
fn a_hung_up_terminal_ends_it() {
    let Some(lab) = Lab::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut kcap: Running = lab.capture(folder.path(), &["-w", "x.pcapng"]);
    kcap.signal(Signal::SIGHUP);
    assert_eq!(kcap.ends(), 130);
    until("the file is whole", || folder.path().join("x.pcapng").exists());
}
