//! The process that captures has no capability; the one beside it opens what comes later, and both end together.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "the set-up fails tests")]

#[path = "../../../tests/lab/mod.rs"]
mod lab;

use kcap_file::LinkType;
use lab::{Lab, Running, ip, only, read, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::path::Path;

/// `CAP_DAC_READ_SEARCH`, `CAP_NET_ADMIN`, `CAP_NET_RAW`, `CAP_SYS_PTRACE`, `CAP_SYS_ADMIN`.
const OF_OPENING: u64 = 1 << 2 | 1 << 12 | 1 << 13 | 1 << 19 | 1 << 21;

/// Capabilities that any thread of the process may have.
fn permitted(process: u32) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap().flatten();
    let of_task = |path: &Path| {
        let status = fs::read_to_string(path.join("status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("CapPrm:\t"));
        line.map_or(0, |mask| u64::from_str_radix(mask, 16).unwrap())
    };
    tasks.fold(0, |all, task| all | of_task(&task.path()))
}

/// The process beside the one that captures.
fn opener(agent: &Running) -> u32 {
    let process = agent.0.id();
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap();
    let opener: u32 = children.trim().parse().unwrap();
    assert_eq!(fs::read_to_string(format!("/proc/{opener}/comm")).unwrap().trim(), "kcap-opener");
    opener
}

fn end(process: u32) {
    kill(Pid::from_raw(process as i32), Signal::SIGKILL).unwrap();
}

fn says(folder: &Path, text: &str) {
    until(text, || fs::read_to_string(folder.join("capture.log")).is_ok_and(|log| log.contains(text)));
}

#[test]
fn sockets_come_from_a_process_that_sees_no_packet() {
    let Some(lab) = Lab::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut agent = lab.capture(folder.path(), &["-w", "."]);
    let opener = opener(&agent);
    until("it gives up what it had", || permitted(agent.0.id()) == 0);
    let kept = permitted(opener);
    assert!(kept != 0 && kept & !OF_OPENING == 0, "{kept:x}");
    // An interface without Ethernet, for which the process that captures may open nothing itself.
    ip(&["-n", &lab.a, "tuntap", "add", "dev", "late", "mode", "tun"]);
    ip(&["-n", &lab.a, "link", "set", "late", "up"]);
    says(folder.path(), "now also on late");
    agent.signal(Signal::SIGINT);
    assert_eq!(agent.ends(), 0);
    let (_, info) = read(&only(folder.path()));
    let late = info.interfaces.iter().find(|interface| interface.name.as_deref() == Some("late")).unwrap();
    assert_eq!(late.link_type, LinkType::RAW);
    assert!(!Path::new(&format!("/proc/{opener}")).exists());
}

#[test]
fn without_the_process_that_opens_the_capture_goes_on() {
    let Some(lab) = Lab::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut agent = lab.capture(folder.path(), &["-p", "udp/9", "--no-inner", "-w", "."]);
    end(opener(&agent));
    says(folder.path(), "the process that opens has ended");
    lab.send(20, 9);
    agent.signal(Signal::SIGINT);
    assert_eq!(agent.ends(), 0);
    assert_eq!(read(&only(folder.path())).0.len(), 20);
}

#[test]
fn the_process_that_opens_ends_with_the_capture() {
    let Some(lab) = Lab::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut agent = lab.capture(folder.path(), &["-w", "."]);
    let opener = opener(&agent);
    end(agent.0.id());
    agent.0.wait().unwrap();
    until("it is gone", || !Path::new(&format!("/proc/{opener}")).exists());
}

#[test]
fn an_interface_that_is_renamed_is_joined_again() {
    let Some(lab) = Lab::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut agent = lab.capture(folder.path(), &["-p", "udp/9", "--no-inner", "-w", "."]);
    lab.send(5, 9);
    ip(&["-n", &lab.a, "link", "set", "eth0", "down"]);
    ip(&["-n", &lab.a, "link", "set", "eth0", "name", "other"]);
    ip(&["-n", &lab.a, "link", "set", "other", "up"]);
    says(folder.path(), "now also on other");
    lab.send(7, 9);
    agent.signal(Signal::SIGINT);
    assert_eq!(agent.ends(), 0);
    assert_eq!(read(&only(folder.path())).0.len(), 12);
}

#[test]
fn loopback_is_captured_until_the_namespace_is_gone() {
    let Some(lab) = Lab::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut agent = lab.capture(folder.path(), &["-p", "udp/9", "--no-inner", "-w", "."]);
    ip(&["-n", &lab.a, "link", "delete", "eth0"]);
    std::thread::sleep(std::time::Duration::from_millis(1_200));
    let send = || {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        (0..9).filter(|_| socket.send_to(b"x", "127.0.0.1:9").is_ok()).count()
    };
    Lab::netns(&lab.a).run(send).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(200));
    ip(&["netns", "delete", &lab.a]);
    assert_eq!(agent.ends(), 0);
    says(folder.path(), "is gone");
    assert_eq!(read(&only(folder.path())).0.len(), 9);
}
