//! Files that are there already, links, pipes that nobody reads: nothing that was captured is written over.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "the set-up fails tests")]

#[path = "../../../tests/lab/mod.rs"]
mod lab;

use kcap_file::ProblemKind;
use lab::{Lab, PROGRAM, captures, read, until};
use nix::sys::signal::Signal;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

const DATAGRAMS: [&str; 3] = ["-p", "udp/9", "--no-inner"];

fn packets(path: &Path) -> usize {
    let (packets, info) = read(path);
    assert!(info.problems.is_empty(), "{}: {:?}", path.display(), info.problems);
    packets.len()
}

#[test]
fn captures_at_once_have_files_of_their_own() {
    let Some(lab) = Lab::new() else { return };
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let out = folders[0].path().to_str().unwrap();
    // Three begin within a second or two, so that names with the time alone would be the same.
    let mut agents: Vec<_> =
        folders.iter().map(|folder| lab.capture(folder.path(), &[&DATAGRAMS[..], &["-w", out]].concat())).collect();
    lab.send(20, 9);
    for agent in &mut agents {
        agent.signal(Signal::SIGINT);
        assert_eq!(agent.ends(), 0);
    }
    let files = captures(folders[0].path());
    assert_eq!(files.iter().map(|file| packets(file)).collect::<Vec<_>>(), [20, 20, 20]);
}

#[test]
fn a_file_is_written_by_one_capture() {
    let Some(lab) = Lab::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let arguments = [&DATAGRAMS[..], &["-w", "x.pcapng"]].concat();
    let mut first = lab.capture(folder.path(), &arguments);
    let mut second = Command::new(PROGRAM);
    second.arg(format!("netns/{}", lab.a)).args(&arguments).args(["--min-free", "1MB"]).current_dir(folder.path());
    let second = second.output().unwrap();
    let told = String::from_utf8(second.stderr).unwrap();
    assert_eq!(second.status.code(), Some(1), "{told}");
    assert!(told.contains("another capture writes x.pcapng") && told.contains("hint: "), "{told}");
    lab.send(20, 9);
    // The kernel hands blocks over after 50 ms.
    std::thread::sleep(std::time::Duration::from_millis(300));
    first.signal(Signal::SIGKILL);
    first.0.wait().unwrap();
    // What it left is kept when the same is asked for again.
    let mut third = lab.capture(folder.path(), &arguments);
    lab.send(5, 9);
    third.signal(Signal::SIGINT);
    assert_eq!(third.ends(), 0);
    assert_eq!(packets(&folder.path().join("x.pcapng")), 5);
    let (left, info) = read(&folder.path().join("x.pcapng.part.1"));
    assert!(left.len() == 20 && info.problems.iter().all(|problem| problem.kind == ProblemKind::TornTail));
}

#[test]
fn a_link_is_followed() {
    let Some(lab) = Lab::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("target"), "old").unwrap();
    std::os::unix::fs::symlink("target", folder.path().join("link.pcapng")).unwrap();
    let mut agent = lab.capture(folder.path(), &[&DATAGRAMS[..], &["-w", "link.pcapng"]].concat());
    lab.send(5, 9);
    agent.signal(Signal::SIGINT);
    assert_eq!(agent.ends(), 0);
    assert!(folder.path().join("link.pcapng").is_symlink());
    assert_eq!(packets(&folder.path().join("target")), 5);
}

#[test]
fn a_reader_that_does_not_read_keeps_nobody() {
    let Some(lab) = Lab::new() else { return };
    let mut command = Command::new(PROGRAM);
    command.args([format!("netns/{}", lab.a).as_str(), "-w", "-"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut agent = lab::Running(command.spawn().unwrap());
    std::thread::sleep(std::time::Duration::from_millis(700));
    // More than a pipe holds.
    lab.send(2_000, 9);
    std::thread::sleep(std::time::Duration::from_millis(300));
    let asked = Instant::now();
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.ends(), 3);
    assert!(asked.elapsed().as_secs() < 6);
}

#[test]
fn a_pipe_without_reader_can_be_left() {
    let Some(lab) = Lab::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    assert!(Command::new("mkfifo").arg("pipe").current_dir(folder.path()).status().unwrap().success());
    let mut command = Command::new(PROGRAM);
    command.args([format!("netns/{}", lab.a).as_str(), "-w", "pipe"]).current_dir(folder.path());
    let mut agent = lab::Running(command.stderr(Stdio::null()).spawn().unwrap());
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert!(agent.0.try_wait().unwrap().is_none(), "it waits for a reader");
    agent.signal(Signal::SIGTERM);
    until("it ends", || agent.0.try_wait().unwrap().is_some());
}
