//! The program as users run it: exit codes, streams, help.
#![allow(clippy::expect_used, reason = "tests fail by panicking")]

use std::{
    ffi::OsStr,
    fs,
    io::Write as _,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

fn kcap<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kcap"));
    command.args(args).env_remove("CLICOLOR_FORCE").env("NO_COLOR", "1").env_remove("COLUMNS").stdin(Stdio::null());
    command
}

fn run<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Output {
    kcap(args).output().expect("kcap runs")
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("not killed")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// A folder of this test's own.
fn folder(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).expect("make a folder");
    path
}

/// A classic pcap of Ethernet frames, one second apart.
fn pcap(frames: &[&[u8]]) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65535, 1] {
        file.extend(word.to_le_bytes());
    }
    for (second, frame) in frames.iter().enumerate() {
        let len = frame.len() as u32;
        for word in [1_700_000_000 + second as u32, 0, len, len] {
            file.extend(word.to_le_bytes());
        }
        file.extend(*frame);
    }
    file
}

/// Ethernet, IPv4, UDP 10.0.0.1:5353 to 10.0.0.2:53.
fn frame() -> Vec<u8> {
    let mut frame = vec![2; 12];
    frame.extend([0x08, 0x00, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    frame.extend([0x14, 0xe9, 0, 53, 0, 8, 0, 0]);
    frame
}

/// How many packets like [`frame`] a JSON report is about.
fn judged(output: &Output) -> i64 {
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let talkers = report["summary"]["talkers"].as_array().expect("a list");
    talkers.iter().filter_map(|talker| talker["sent_bytes"].as_i64()).sum::<i64>() / 28
}

fn capture(name: &str) -> PathBuf {
    let path = folder(name).join("a.pcap");
    fs::write(&path, pcap(&[&frame(), &frame()])).expect("write a capture");
    path
}

#[test]
fn help_of_every_command() {
    for command in ["", "analyze", "capture", "targets", "conntrack", "explain", "schema", "completion", "man"] {
        let args = [command, "--help"];
        let output = kcap(args.iter().filter(|arg| !arg.is_empty())).env("COLUMNS", "100").output().expect("kcap runs");
        assert_eq!(code(&output), 0);
        let name = if command.is_empty() { "help" } else { command };
        insta::assert_snapshot!(format!("help-{name}"), text(&output.stdout));
    }
}

#[test]
fn a_capture_is_done_with_code_0() {
    let output = run(["analyze".as_ref(), capture("done").as_os_str()]);
    assert_eq!(code(&output), 0, "{output:?}");
    assert!(text(&output.stdout).contains("2 packets"));
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn wrong_usage_is_code_2() {
    for args in [&["analyze"][..], &["Nonsense"], &["analyze", "x", "--port", "0"], &["explain", "XXX999"]] {
        assert_eq!(code(&run(args)), 2, "{args:?}");
    }
}

#[test]
fn habits_of_other_tools_get_a_hint() {
    for (args, hint) in [
        (&["analyze", "-n", "x.pcap"][..], "never does reverse DNS"),
        (&["analyze", "-nn", "x.pcap"], "never does reverse DNS"),
        (&["analyze", "-c", "100", "x.pcap"], "no packet count"),
        (&["analyze", "-r", "x.pcap"], "without an option"),
        (&["analyze", "-w", "y.pcap", "x.pcap"], "-O DIR"),
    ] {
        let output = run(args);
        assert_eq!(code(&output), 2);
        assert!(text(&output.stderr).contains("hint: ") && text(&output.stderr).contains(hint), "{output:?}");
    }
}

#[test]
fn a_missing_file_is_code_1_and_named() {
    let output = run(["analyze", "/nonexistent/x.pcap"]);
    assert_eq!(code(&output), 1);
    assert!(text(&output.stderr).starts_with("kcap: cannot open /nonexistent/x.pcap: "), "{output:?}");
    assert_eq!(text(&output.stdout), "");
}

#[test]
fn a_filter_among_the_files_gets_a_hint() {
    let good = capture("filter-word");
    let output = run(["analyze".as_ref(), good.as_os_str(), "host".as_ref(), "10.0.0.1".as_ref()]);
    assert_eq!(code(&output), 3, "{output:?}");
    let told = text(&output.stderr);
    assert_eq!(told.matches("hint: a filter expression goes behind --").count(), 1, "{told}");
}

#[test]
fn text_is_as_wide_as_columns_say() {
    let widest = |columns: &str| {
        let output = kcap(["explain", "NET001"]).env("COLUMNS", columns).output().expect("kcap runs");
        text(&output.stdout).lines().map(|line| line.chars().count()).max()
    };
    assert!(widest("72") <= Some(72) && widest("90") > Some(72));
    assert_eq!(widest("wide"), widest("100"));
}

#[test]
fn what_is_no_capture_is_code_65() {
    let folder = folder("data");
    for (name, bytes) in [("empty", &b""[..]), ("text", b"{\"not\": \"a capture\"}\n"), ("short", &pcap(&[])[..10])] {
        let path = folder.join(name);
        fs::write(&path, bytes).expect("write a file");
        let output = run(["analyze".as_ref(), path.as_os_str()]);
        assert_eq!(code(&output), 65, "{output:?}");
        assert!(text(&output.stderr).contains("\nhint: "), "{output:?}");
    }
}

#[test]
fn torn_input_is_code_3_and_still_reported() {
    let path = folder("torn").join("a.pcap");
    let whole = pcap(&[&frame(), &frame()]);
    fs::write(&path, &whole[..whole.len() - 5]).expect("write a capture");
    let output = run(["analyze".as_ref(), path.as_os_str()]);
    assert_eq!(code(&output), 3, "{output:?}");
    assert!(text(&output.stdout).contains("1 packet"));
}

#[test]
fn one_unreadable_file_among_others_is_code_3() {
    let good = capture("among");
    let output = run(["analyze".as_ref(), good.as_os_str(), "/nonexistent/x.pcap".as_ref()]);
    assert_eq!(code(&output), 3, "{output:?}");
    assert!(text(&output.stdout).contains("2 packets"));
    assert!(text(&output.stderr).contains("/nonexistent/x.pcap"));
}

#[test]
fn an_empty_capture_is_an_answer() {
    let path = folder("nothing").join("a.pcap");
    fs::write(&path, pcap(&[])).expect("write a capture");
    let output = run(["analyze".as_ref(), path.as_os_str()]);
    assert_eq!(code(&output), 0, "{output:?}");
    assert!(text(&output.stdout).contains("0 packets"));
}

#[test]
fn standard_input_is_a_dash() {
    let mut child =
        kcap(["analyze", "-", "-o", "json"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("kcap runs");
    child.stdin.take().expect("piped").write_all(&pcap(&[&frame()])).expect("write a capture");
    let output = child.wait_with_output().expect("kcap ends");
    assert_eq!(code(&output), 0);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("only JSON on standard output");
    assert_eq!(report["captures"][0]["packets"], 1);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child =
        kcap(["schema", "report"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("kcap runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("kcap ends");
    assert_eq!((code(&output), text(&output.stderr)), (0, String::new()));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_code_1_and_named() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
    let output = kcap(["schema", "report"]).stdout(full).output().expect("kcap runs");
    assert_eq!(code(&output), 1);
    assert!(text(&output.stderr).contains("No space left on device"), "{output:?}");
}

#[test]
fn tables_go_to_a_new_folder_only() {
    let capture = capture("tables");
    let dir = capture.with_file_name("out");
    let analyze = |more: &[&str]| {
        let args = ["analyze".as_ref(), capture.as_os_str(), "-O".as_ref(), dir.as_os_str()];
        run(args.into_iter().chain(more.iter().map(OsStr::new)))
    };
    assert_eq!(code(&analyze(&[])), 0);
    assert!(dir.join("flows.parquet").exists() && !dir.join("packets.parquet").exists());
    let again = analyze(&[]);
    assert_eq!(code(&again), 1);
    assert!(text(&again.stderr).contains("is not empty\nhint: "), "{again:?}");
    assert_eq!(code(&analyze(&["--overwrite", "--packets", "--format", "csv"])), 0);
    assert!(dir.join("packets.csv").exists() && !dir.join("flows.parquet").exists());
    assert!(
        fs::read_dir(&dir)
            .expect("a folder")
            .all(|file| { file.is_ok_and(|file| file.path().extension().is_some_and(|extension| extension == "csv")) })
    );
}

#[test]
fn parts_of_a_capture_can_be_chosen() {
    let capture = capture("parts");
    let packets = |more: &[&str]| {
        let args = ["analyze".as_ref(), capture.as_os_str(), "-o".as_ref(), "json".as_ref()];
        let output = run(args.into_iter().chain(more.iter().map(OsStr::new)));
        assert_eq!(code(&output), 0, "{output:?}");
        judged(&output)
    };
    assert_eq!(packets(&[]), 2);
    assert_eq!(packets(&["--since", "+500ms"]), 1);
    assert_eq!(packets(&["--until", "2023-11-14T22:13:20.5Z"]), 1);
    assert_eq!(packets(&["--host", "10.0.0.2", "--port", "53,99"]), 2);
    assert_eq!(packets(&["--host", "10.0.0.3"]), 0);
}

#[cfg(feature = "libpcap")]
#[test]
fn filter_expressions_work_and_wrong_ones_are_code_2() {
    let capture = capture("bpf");
    let analyze = |expression: &[&str]| {
        let args = ["analyze".as_ref(), capture.as_os_str(), "-o".as_ref(), "json".as_ref(), "--".as_ref()];
        run(args.into_iter().chain(expression.iter().map(OsStr::new)))
    };
    assert_eq!(judged(&analyze(&["udp", "port", "53"])), 2);
    assert_eq!(judged(&analyze(&["udp port 54"])), 0);
    let wrong = analyze(&["udp", "prot", "53"]);
    assert_eq!(code(&wrong), 2);
    assert!(text(&wrong.stderr).starts_with("kcap: filter \"udp prot 53\": "), "{wrong:?}");
}

#[test]
fn findings_fail_only_when_asked() {
    let path = folder("found").join("a.pcap");
    let whole = pcap(&[&frame(), &frame()]);
    fs::write(&path, &whole[..whole.len() - 5]).expect("write a capture");
    // A torn file is the finding CAP002, a note.
    let analyze = |severity: &str| run(["analyze".as_ref(), path.as_os_str(), "--fail-on".as_ref(), severity.as_ref()]);
    assert_eq!(code(&analyze("info")), 4);
    assert_eq!(code(&analyze("error")), 3);
}

#[test]
fn explain_knows_codes_and_names() {
    let list = run(["explain"]);
    assert!(text(&list.stdout).contains("SVC003"));
    let by_code = run(["explain", "svc003"]);
    assert_eq!(code(&by_code), 0);
    assert_eq!(by_code.stdout, run(["explain", "connect-refused"]).stdout);
    assert!(text(&by_code.stdout).contains("What to do"));
}

#[test]
fn schemas_are_printed() {
    let report = run(["schema", "report"]);
    assert!(serde_json::from_slice::<serde_json::Value>(&report.stdout).expect("JSON")["properties"].is_object());
    let tables = run(["schema", "tables", "-o", "json"]);
    let tables: serde_json::Value = serde_json::from_slice(&tables.stdout).expect("JSON");
    assert!(tables["tables"].as_array().is_some_and(|tables| tables.iter().any(|table| table["name"] == "flows")));
    assert!(text(&run(["schema", "tables", "flows", "-o", "md"]).stdout).starts_with("## flows\n"));
    assert_eq!(code(&run(["schema", "tables", "nonsense"])), 2);
}

#[test]
fn completion_and_manual_are_printed() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(text(&run(["completion", shell]).stdout).contains("analyze"), "{shell}");
    }
    assert!(text(&run(["man"]).stdout).contains(".TH kcap 1"));
    assert!(text(&run(["man", "analyze"]).stdout).contains("decode"));
    assert_eq!(code(&run(["man", "nonsense"])), 2);
}

#[test]
fn colours_come_when_asked_for() {
    let never = run(["explain"]);
    assert!(!text(&never.stdout).contains('\x1b'));
    assert!(text(&run(["explain", "--color", "always"]).stdout).contains('\x1b'));
}
