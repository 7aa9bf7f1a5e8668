//! Captures in real network namespaces, against tcpdump in the same one.

#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::panic, reason = "the set-up fails tests")]

#[path = "../../../tests/lab/mod.rs"]
mod lab;

use kcap_file::note::Note;
use kcap_file::{Batch, Reader};
use lab::{Lab, PROGRAM, Stored, captures, has, only, read};
use nix::sys::signal::Signal;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

fn notes(path: &Path) -> Vec<Note> {
    let blocks = read(path).1.custom_blocks;
    blocks.iter().filter_map(|(enterprise, data)| Note::decode(*enterprise, data)).collect()
}

#[test]
fn tcpdump_sees_the_same() {
    let Some(lab) = Lab::new() else { return };
    if !has("tcpdump") {
        return eprintln!("skipped: needs tcpdump");
    }
    let folder = tempfile::tempdir().unwrap();
    let filter = ["udp", "port", "4242"];
    let mut tcpdump = lab.tcpdump(folder.path(), &[&["-i", "eth0", "-w", "tcpdump.pcap"], &filter[..]].concat());
    let mut agent = lab.capture(folder.path(), &["-i", "eth0", "-p", "udp/4242", "--no-inner", "-w", "kcap.pcapng"]);
    lab.send(5_000, 4242);
    lab.send(100, 4243);
    // tcpdump stops without the last block of its ring, which is a second old at most.
    std::thread::sleep(Duration::from_millis(1_500));
    agent.signal(Signal::SIGINT);
    assert_eq!(agent.ends(), 0);
    tcpdump.signal(Signal::SIGINT);
    tcpdump.ends();
    let (ours, info) = read(&folder.path().join("kcap.pcapng"));
    let (theirs, _) = read(&folder.path().join("tcpdump.pcap"));
    assert_eq!(ours.len(), 5_000);
    assert!(ours == theirs, "times, lengths and bytes differ from tcpdump's {} packets", theirs.len());
    assert_eq!(info.interfaces[0].name.as_deref(), Some("eth0"));
    assert_eq!(info.interfaces[0].stats.received, Some(5_000));
    assert_eq!(info.interfaces[0].stats.dropped_by_os, Some(0));
}

#[test]
fn nothing_is_lost_at_the_end() {
    let Some(lab) = Lab::new() else { return };
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let folder = tempfile::tempdir().unwrap();
        let mut agent = lab.capture(folder.path(), &["-p", "udp/9", "--no-inner", "-w", "."]);
        lab.send(20_000, 9);
        // The last packets lie in a block that the kernel has not handed over.
        agent.signal(signal);
        assert_eq!(agent.ends(), 0);
        let path = only(folder.path());
        let (packets, info) = read(&path);
        assert_eq!(packets.len(), 20_000, "{signal}");
        assert!(info.problems.is_empty());
        let notes = notes(&path);
        assert!(matches!(notes.first(), Some(Note::Capture(note)) if note.places[0].name == lab.a));
        assert!(matches!(notes.last(), Some(Note::Trailer(trailer)) if trailer.packets == 20_000));
    }
}

#[test]
fn what_a_stopped_reader_misses_is_counted() {
    let Some(lab) = Lab::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut agent =
        lab.capture(folder.path(), &["-i", "eth0", "-p", "udp/9", "--no-inner", "--buffer", "2MiB", "-w", "x.pcapng"]);
    agent.signal(Signal::SIGSTOP);
    lab.send(20_000, 9);
    agent.signal(Signal::SIGCONT);
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.ends(), 3, "drops are said by the exit code");
    let (packets, info) = read(&folder.path().join("x.pcapng"));
    let stats = info.interfaces[0].stats;
    let dropped = stats.dropped_by_os.unwrap();
    assert!(dropped > 0);
    assert_eq!(packets.len() as u64 + dropped, 20_000);
    assert_eq!(stats.delivered, Some(packets.len() as u64));
}

#[test]
fn each_loopback_packet_is_there_once() {
    let Some(lab) = Lab::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut agent = lab.capture(folder.path(), &["-i", "lo", "-p", "udp/9", "-w", "x.pcapng"]);
    let send = || {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let sink = std::net::UdpSocket::bind("127.0.0.1:9").unwrap();
        (0..100).for_each(|_| assert_eq!(socket.send_to(b"x", "127.0.0.1:9").unwrap(), 1));
        drop(sink);
    };
    Lab::netns(&lab.a).run(send).unwrap();
    agent.signal(Signal::SIGINT);
    assert_eq!(agent.ends(), 0);
    let (packets, info) = read(&folder.path().join("x.pcapng"));
    assert_eq!(packets.len(), 100);
    assert_eq!(info.interfaces[0].stats.received, Some(100));
}

#[test]
fn count_and_snaplen_and_rotation_hold() {
    let Some(lab) = Lab::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut agent =
        lab.capture(folder.path(), &["-p", "udp/9", "--no-inner", "--count", "50", "-s", "60", "-w", "x.pcapng"]);
    lab.send(1_000, 9);
    assert_eq!(agent.ends(), 0);
    let (packets, _) = read(&folder.path().join("x.pcapng"));
    assert_eq!(packets.len(), 50);
    assert!(packets.iter().all(|(_, orig_len, data): &Stored| data.len() <= 60 && *orig_len as usize >= data.len()));
    assert!(packets.iter().any(|(_, orig_len, data)| *orig_len as usize > data.len()));

    let folder = tempfile::tempdir().unwrap();
    let rotate = ["-p", "udp/9", "--no-inner", "--rotate", "100KB", "--keep", "3", "--no-context", "-w", "y.pcapng"];
    let mut agent = lab.capture(folder.path(), &rotate);
    lab.send(3_000, 9);
    agent.signal(Signal::SIGINT);
    assert_eq!(agent.ends(), 0);
    let parts = captures(folder.path());
    assert_eq!(parts.len(), 3);
    let counts: Vec<_> = parts.iter().map(|part| read(part)).collect();
    assert!(counts.iter().all(|(packets, info)| !packets.is_empty() && info.problems.is_empty()));
    let last = counts.last().unwrap();
    assert!(last.0.last().unwrap().2.ends_with(&[(2_999 % 256) as u8]), "the newest are kept");
    assert!(
        !std::fs::read_dir(folder.path()).unwrap().any(|f| f.unwrap().path().extension().is_some_and(|e| e == "part"))
    );
}

/// Packets in the beginning of a capture.
fn packets_in(bytes: &[u8]) -> u32 {
    let Ok(mut reader) = Reader::from_read(Box::new(std::io::Cursor::new(bytes.to_vec())), "-") else { return 0 };
    let (mut batch, mut packets) = (Batch::default(), 0);
    while reader.next_batch(&mut batch) {
        packets += batch.records.len() as u32;
    }
    packets
}

#[test]
fn a_closed_pipe_ends_it() {
    let Some(lab) = Lab::new() else { return };
    for count in [0, 20] {
        let mut command = std::process::Command::new(PROGRAM);
        command.args([format!("netns/{}", lab.a).as_str(), "-p", "udp/9", "--no-inner", "-w", "-"]);
        let piped = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn();
        let mut child = piped.unwrap();
        let mut stream = child.stdout.take().unwrap();
        let mut bytes = Vec::new();
        let mut read = || {
            let mut more = [0; 4096];
            let length = stream.read(&mut more).unwrap();
            bytes.extend(&more[..length]);
            packets_in(&bytes)
        };
        // Something comes as soon as it captures.
        read();
        lab.send(count, 9);
        while count > 0 && read() < count {}
        // Idle: nothing is written that could fail.
        drop(stream);
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        let summary = format!("{count} packets, 0 dropped by the kernel (nobody read it any more");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains(&summary), "{told}");
    }
}

/// A file system of that size.
struct Disk(PathBuf);

impl Disk {
    /// Nothing, said aloud, where it cannot be mounted.
    fn new(folder: &Path, size: &str) -> Option<Self> {
        let path = folder.join("disk");
        std::fs::create_dir_all(&path).unwrap();
        let option = format!("size={size}");
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &option, "kcap-test"]).arg(&path);
        if mount.status().is_ok_and(|status| status.success()) {
            return Some(Self(path));
        }
        eprintln!("skipped: a full disk needs to mount a tmpfs");
        None
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_ends_it() {
    let Some(lab) = Lab::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::new(folder.path(), "256k") else { return };
    let arguments = ["-p", "udp/9", "--min-free", "0B", "--no-context", "-w", "disk/x.pcapng"];
    let mut agent = lab.capture(folder.path(), &arguments);
    lab.send(3_000, 9);
    assert_eq!(agent.ends(), 3);
    let (packets, info) = read(&disk.0.join("x.pcapng"));
    assert!(info.problems.is_empty(), "{:?}", info.problems);
    assert!((100..3_000).contains(&packets.len()), "{}", packets.len());
}

/// What is written at the very end, of which the context is most, may be what does not fit.
#[test]
fn a_disk_that_is_full_at_the_end_loses_no_packet() {
    let Some(lab) = Lab::new() else { return };
    let mut ended = Vec::new();
    for pages in 1..9 {
        let folder = tempfile::tempdir().unwrap();
        let Some(disk) = Disk::new(folder.path(), &format!("{}k", 4 * pages)) else { return };
        let arguments = ["-p", "udp/9", "--no-inner", "--min-free", "0B", "--count", "5", "-w", "disk/x.pcapng"];
        let mut agent = lab.capture(folder.path(), &arguments);
        lab.send(5, 9);
        ended.push(agent.ends());
        let (packets, info) = read(&disk.0.join("x.pcapng"));
        assert!(info.problems.is_empty(), "{:?}", info.problems);
        assert_eq!(packets.len(), 5, "{pages} pages, {ended:?}");
    }
    assert!(ended.first() == Some(&3) && ended.last() == Some(&0), "{ended:?}");
}

/// The kernel hands over a block after 50 ms; what is read is written at once.
#[test]
fn a_live_view_is_prompt() {
    let Some(lab) = Lab::new() else { return };
    let mut child = std::process::Command::new(PROGRAM)
        .args([&format!("netns/{}", lab.a), "-i", "eth0", "-p", "udp/9", "--no-inner", "--no-context", "-w", "-"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let (arrived, arrivals) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut bytes = vec![0; 65_536];
        while std::io::Read::read(&mut stdout, &mut bytes).is_ok_and(|len| len > 0) {
            if arrived.send(Instant::now()).is_err() {
                return;
            }
        }
    });
    arrivals.recv().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let mut delays: Vec<Duration> = (0..9)
        .map(|_| {
            while arrivals.try_recv().is_ok() {}
            let sent = Instant::now();
            lab.send(1, 9);
            arrivals.recv_timeout(Duration::from_secs(5)).unwrap() - sent
        })
        .collect();
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap();
    delays.sort();
    assert!(delays[4] < Duration::from_millis(200), "{delays:?}");
}

#[test]
fn an_interface_that_comes_later_is_joined() {
    let Some(lab) = Lab::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut agent = lab.capture(folder.path(), &["-p", "udp/9", "--no-inner", "-w", "x.pcapng"]);
    lab::ip(&["-n", &lab.a, "link", "add", "late", "type", "veth", "peer", "name", "late", "netns", &lab.b]);
    for (end, address) in [(&lab.a, "10.78.0.1/24"), (&lab.b, "10.78.0.2/24")] {
        lab::ip(&["-n", end, "address", "add", address, "dev", "late"]);
        lab::ip(&["-n", end, "link", "set", "late", "up"]);
    }
    let log = folder.path().join("capture.log");
    lab::until("it joins", || std::fs::read_to_string(&log).is_ok_and(|text| text.contains("now also on late")));
    let datagrams = || {
        let socket = std::net::UdpSocket::bind("10.78.0.2:0").unwrap();
        (0..50).filter(|_| socket.send_to(b"x", "10.78.0.1:9").is_ok()).count()
    };
    let accepted = Lab::netns(&lab.b).run(datagrams).unwrap();
    agent.signal(Signal::SIGINT);
    assert_eq!(agent.ends(), 0);
    let (packets, info) = read(&folder.path().join("x.pcapng"));
    assert!(accepted > 0 && packets.len() == 50, "{} of {accepted}", packets.len());
    let late = info.interfaces.iter().find(|interface| interface.name.as_deref() == Some("late"));
    assert_eq!(late.unwrap().stats.received, Some(50));
}

#[test]
fn errors_say_what_to_do() {
    let Some(lab) = Lab::new() else { return };
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new(PROGRAM);
        // How full this machine's disk is must not matter.
        if arguments.contains(&"-w") && !arguments.contains(&"--min-free") {
            command.args(["--min-free", "1MB"]);
        }
        let output = command.args(arguments).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let target = format!("netns/{}", lab.a);
    let cases: [(&[&str], i32, &str); 12] = [
        (&["netns/kcap-nowhere", "-w", "/tmp"], 1, "No such file or directory"),
        (&["pid/4194305", "-w", "/tmp"], 1, "there is no process 4194305"),
        (&[&target, "-i", "eth7", "-w", "/tmp"], 1, "no interface \"eth7\"; it has lo, eth0"),
        (&[&target, "-w", "/tmp", "--", "tcp", "prot", "80"], 2, "filter \"tcp prot 80\", from \"prot 80\" on"),
        (&[&target, "-w", "/kcap-nowhere/"], 1, "the folder does not exist"),
        (&[&target, "-c", "100"], 1, "to stop after 100 packets use --count 100"),
        (&[&target, "-W", "3"], 2, "-W goes with -C or -G"),
        (&[&target, "-s", "0", "-w", "/tmp"], 2, "0 is not in 1..=262144"),
        (&[&target, "-w", "/kcap-nowhere/x.pcapng"], 1, "the folder does not exist"),
        (&[&target, "-p", "eighty"], 2, "\"eighty\" is no port"),
        (&["deploy/api"], 2, "-l app=api"),
        (&[&target, "-w", "/tmp", "--min-free", "900TB"], 1, "have to stay free"),
    ];
    for (arguments, code, text) in cases {
        let (found, stderr) = run(arguments);
        assert_eq!(found, code, "{arguments:?}: {stderr}");
        assert!(stderr.contains(text), "{arguments:?}: {stderr}");
    }
}
