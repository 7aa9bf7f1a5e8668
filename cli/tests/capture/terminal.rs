//! What people see and type, and who reads along.

use crate::lab::runtime::{Node, Pod};
use crate::lab::{Lab, PROGRAM, has};
use crate::refused;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

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
