//! `kcap TARGET…` as people type it, in real network namespaces and pods.
#![cfg(all(target_os = "linux", feature = "libpcap"))]
#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::panic, reason = "the set-up fails tests")]

#[path = "../../tests/lab/mod.rs"]
mod lab;

use lab::runtime::{Node, Pod};
use lab::{Lab, PROGRAM, Running, captures, has, ip, only, read, until};
use nix::sys::signal::Signal;
use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
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

#[test]
fn wireshark_reads_along() {
    let Some(lab) = Lab::new() else { return };
    if !has("tshark") {
        return eprintln!("skipped: needs tshark");
    }
    let mut kcap = Command::new(PROGRAM)
        .args([&format!("netns/{}", lab.a), "-p", "tcp/81", "-w", "-", "--count", "6"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let tshark = Command::new("tshark")
        .args(["-r", "-", "-Y", "tcp", "-T", "fields", "-e", "frame.interface_name", "-e", "tcp.dstport"])
        .stdin(kcap.stdout.take().unwrap())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut notes = kcap.stderr.take().unwrap();
    let mut first = [0; 20];
    std::io::Read::read_exact(&mut notes, &mut first).unwrap();
    refused(&lab, 3);
    let seen = String::from_utf8(tshark.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(seen.lines().filter(|line| *line == "eth0\t81").count(), 3, "{seen}");
    assert!(kcap.wait().unwrap().success());
}

/// Runs a command line on a terminal of its own, typing that; what it showed, and its exit code.
fn on_terminal(line: &str, folder: &Path, typed: &str) -> (String, i32) {
    let mut script = Command::new("script")
        .args(["-qec", line, "/dev/null"])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = script.stdin.take().unwrap();
    stdin.write_all(typed.as_bytes()).unwrap();
    let output = script.wait_with_output().unwrap();
    (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.code().unwrap())
}

#[test]
fn a_terminal_shows_how_it_goes() {
    let Some(lab) = Lab::new() else { return };
    if !has("script") {
        return eprintln!("skipped: needs script (bsdutils)");
    }
    let folder = tempfile::tempdir().unwrap();
    let line = format!("{PROGRAM} netns/{} -d 2s -p 9999 --min-free 1MB", lab.a);
    let (shown, code) = on_terminal(&line, folder.path(), "");
    assert_eq!(code, 0);
    assert!(shown.contains("\r\u{1b}[K0 packets, 0/s, 0 dropped, "), "{shown:?}");
    assert!(shown.contains(" s\r\u{1b}[Kkcap: 0 packets"), "the status is erased: {shown:?}");
    let (shown, code) = on_terminal(&format!("{PROGRAM} netns/{} -w -", lab.a), folder.path(), "");
    assert!(code == 2 && shown.contains("packets do not go to a terminal"), "{shown:?}");
}

#[test]
fn wrong_words_are_answered_with_the_right_ones() {
    let Some(lab) = Lab::new() else { return };
    let target = format!("netns/{}", lab.a);
    for (arguments, code, expected) in [
        (&["-s", "0"][..], 2, "leave -s out"),
        (&["-p"], 2, "-p is the port"),
        (&["-B", "4096"], 2, "--buffer"),
        (&["--stop-on", "XYZ"], 2, "kcap explain lists them"),
        (&["--stop-on", "SVC003", "-w", "-"], 2, "name a file or folder with -w"),
        (&["--rotate", "1MB", "-w", "-"], 2, "standard output cannot be rotated"),
        (&["-w", "x.json"], 2, "reports go to -o"),
        (&["--no-such"], 2, "unexpected argument"),
    ] {
        let output = Command::new(PROGRAM).arg(&target).args(arguments).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
        assert!(stderr.contains(expected), "{arguments:?}: {stderr}");
    }
}

#[test]
fn pods_are_listed_offered_and_tracked() {
    let Some(node) = Node::new() else { return };
    let sandbox = node.run(&Pod { name: "api-7d9f", ..Pod::default() });
    let address = node.address(&sandbox);
    node.run(&Pod { name: "proxy", host_network: true, ..Pod::default() });
    let run = |arguments: &[&str]| {
        let output = node.capture().args(arguments).output().unwrap();
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap(), output.status.code())
    };
    let (listed, _, code) = run(&["targets"]);
    assert_eq!(code, Some(0));
    let row = |name: &str| -> Vec<String> {
        let line = listed.lines().find(|line| line.contains(name)).unwrap();
        line.split("  ").filter(|cell| !cell.is_empty()).map(|cell| cell.trim().to_owned()).collect()
    };
    assert_eq!(row("pod/api"), ["default", "pod/api-7d9f", "running", "kcap-node", &address, "eth0 (MTU 1450)"]);
    assert_eq!(row("pod/proxy"), ["default", "pod/proxy", "node's network", "kcap-node", "-", "-"]);
    assert!(row(" node ")[4..].join(" ").contains("10.88.0.1 cni0 (MTU 1450)"), "{listed}");
    assert_eq!(listed.lines().count(), 4, "namespaces of pods are not listed twice: {listed}");
    let (listed, ..) = run(&["targets", "-n", "other"]);
    assert_eq!(listed.lines().count(), 1, "{listed}");

    let (_, error, code) = run(&["api"]);
    assert!(code == Some(1) && error.contains("did you mean default/api-7d9f?"), "{error}");
    if has("script") {
        let line = format!(
            "nsenter -t {} -m -n -u -p -- {PROGRAM} api -d 1s -w {} --min-free 1MB",
            node.pid(),
            node.file("x.pcapng")
        );
        let (shown, code) = on_terminal(&line, node.folder(), "\r");
        assert!(code == 0 && shown.contains("Capture pod/api-7d9f in namespace default instead? [Y/n]"), "{shown}");
        assert!(shown.contains("capturing on default/api-7d9f/lo"), "{shown}");
        let (shown, code) = on_terminal(&line, node.folder(), "n\r");
        assert!(code == 1 && !shown.contains("capturing on"), "{shown}");
    }

    let tracked = node.command("sh").args(["-c", "iptables -t nat -A POSTROUTING -j MASQUERADE"]).status();
    if !tracked.is_ok_and(|status| status.success()) {
        return eprintln!("skipped: connection tracking needs iptables");
    }
    let script = format!("echo x >/dev/udp/{address}/4242");
    assert!(node.command("bash").args(["-c", &script]).status().unwrap().success());
    let (shown, error, code) = run(&["conntrack", "api-7d9f"]);
    assert_eq!(code, Some(0), "{error}");
    assert!(shown.contains(&format!("{address}:4242")) && shown.contains("UNREPLIED"), "{shown}");
    assert!(shown.contains("1 entries of pod/api-7d9f") || shown.contains("entries here"), "{shown}");
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
