//! Two network namespaces with a veth pair between them, and programs run on them.

#![allow(dead_code, reason = "each test program uses its part of the lab")]

pub(crate) mod runtime;

use kcap_file::{Batch, CaptureInfo, Reader};
use kcap_node::Netns;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The program that captures, of the crate whose tests these are.
pub(crate) const PROGRAM: &str = match (option_env!("CARGO_BIN_EXE_kcap"), option_env!("CARGO_BIN_EXE_kcap-agent")) {
    (Some(program), _) | (None, Some(program)) => program,
    (None, None) => panic!("these are no tests of a crate that captures"),
};

/// Where tests have what they set up.
pub(crate) fn tests() -> PathBuf {
    let folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|folder| folder.join("tests"));
    folders.into_iter().find(|folder| folder.join("lab").is_dir()).unwrap()
}

pub(crate) struct Lab {
    pub(crate) a: String,
    pub(crate) b: String,
}

/// A program that ends with the test.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Lab {
    /// Nothing, said aloud, where namespaces cannot be made.
    pub(crate) fn new() -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        if !nix::unistd::geteuid().is_root() || !has("ip") {
            eprintln!("skipped: needs root and ip (iproute2)");
            return None;
        }
        let name = format!("kcap-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let lab = Self { a: format!("{name}a"), b: format!("{name}b") };
        for end in [&lab.a, &lab.b] {
            ip(&["netns", "add", end]);
            // Neighbour discovery and the like come whenever they want: counts are exact without.
            let off = ["netns", "exec", end, "sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1"];
            let _ = Command::new("ip").args(off).stderr(Stdio::null()).status();
        }
        ip(&["-n", &lab.a, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", &lab.b]);
        for (end, address) in [(&lab.a, "10.77.0.1/24"), (&lab.b, "10.77.0.2/24")] {
            ip(&["-n", end, "address", "add", address, "dev", "eth0"]);
            ip(&["-n", end, "link", "set", "lo", "up"]);
            ip(&["-n", end, "link", "set", "eth0", "up"]);
        }
        Some(lab)
    }

    pub(crate) fn netns(end: &str) -> Netns {
        Netns::open(format!("/run/netns/{end}")).unwrap()
    }

    /// Starts a capture and waits until it captures.
    pub(crate) fn capture(&self, folder: &Path, arguments: &[&str]) -> Running {
        let log = folder.join("capture.log");
        let started = Command::new(PROGRAM)
            .arg(format!("netns/{}", self.a))
            .args(if arguments.contains(&"--min-free") { &[][..] } else { &["--min-free", "1MB"] })
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(std::fs::File::create(folder.join("stdout")).unwrap())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn();
        let running = Running(started.unwrap());
        until("it captures", || std::fs::read_to_string(&log).is_ok_and(|text| text.contains("capturing on")));
        running
    }

    /// Starts tcpdump in the first namespace and waits until it captures.
    pub(crate) fn tcpdump(&self, folder: &Path, arguments: &[&str]) -> Running {
        let log = folder.join("tcpdump.log");
        let started = Command::new("ip")
            .args(["netns", "exec", &self.a, "tcpdump", "--time-stamp-precision=nano", "-U"])
            .args(["-B", "32768", "-Z", "root"])
            .args(arguments)
            .current_dir(folder)
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn();
        let running = Running(started.unwrap());
        until("tcpdump captures", || std::fs::read_to_string(&log).is_ok_and(|text| text.contains("listening on")));
        running
    }

    /// Sends datagrams of growing sizes from the second namespace to the first.
    pub(crate) fn send(&self, count: u32, port: u16) {
        let send = || {
            let socket = UdpSocket::bind("10.77.0.2:0").unwrap();
            for number in 0..count {
                let size = 16 + number as usize % 1200;
                // A refused datagram is reported at the next one.
                let _ = socket.send_to(&vec![number as u8; size], ("10.77.0.1", port));
            }
        };
        Self::netns(&self.b).run(send).unwrap();
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for end in [&self.a, &self.b] {
            let _ = Command::new("ip").args(["netns", "delete", end]).status();
        }
    }
}

pub(crate) fn has(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).stdout(Stdio::null()).status();
    found.is_ok_and(|status| status.success())
}

pub(crate) fn ip(arguments: &[&str]) {
    assert!(Command::new("ip").args(arguments).status().unwrap().success(), "ip {arguments:?}");
}

pub(crate) fn until(what: &str, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < Duration::from_secs(20), "in time: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

impl Running {
    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.0.id() as i32), signal).unwrap();
    }

    /// The exit code.
    pub(crate) fn ends(&mut self) -> i32 {
        let mut code = None;
        until("it ends", || {
            code = self.0.try_wait().unwrap();
            code.is_some()
        });
        code.and_then(|status| status.code()).unwrap_or(-1)
    }
}

/// A packet as a file has it: time, length on the wire, bytes.
pub(crate) type Stored = (i64, u32, Vec<u8>);

pub(crate) fn read(path: &Path) -> (Vec<Stored>, CaptureInfo) {
    let mut reader = Reader::open(path).unwrap();
    let mut packets = Vec::new();
    let mut batch = Batch::default();
    while reader.next_batch(&mut batch) {
        packets.extend(batch.records.iter().map(|r| (r.ts_ns, r.orig_len, batch.frame(r).to_vec())));
    }
    (packets, reader.info().clone())
}

/// The one capture in the folder.
pub(crate) fn only(folder: &Path) -> PathBuf {
    let captures = captures(folder);
    assert_eq!(captures.len(), 1, "{captures:?}");
    captures[0].clone()
}

pub(crate) fn captures(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_capture =
        |path: &PathBuf| ["pcapng", "zst"].iter().any(|end| path.extension().is_some_and(|has| has == *end));
    let mut found: Vec<_> = entries.filter(is_capture).collect();
    found.sort();
    found
}
