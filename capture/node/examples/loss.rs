//! Packets lost and processor time taken, against `tcpdump -B` with a ring of the same size, one after the other on the
//! same traffic: `make loss`. Needs root, tcpdump and two processors: one sends, the other captures.
//!
//! usage: loss AGENT [RATE [SECONDS [RUNS]]]

#![allow(clippy::print_stdout, reason = "a program for people")]

use kcap_node::Netns;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{setsockopt, sockopt::UdpGsoSegment};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;
use std::error::Error;
use std::net::UdpSocket;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};
use wait4::Wait4 as _;

/// Datagrams in one call, which the kernel cuts (`UDP_SEGMENT`, at most 64) after all that is done once for them: 0.8 µs
/// each, against 2.0 µs by `sendmmsg` on a packet socket, with which a processor does not reach the rate.
const BATCH: u64 = 64;
/// Bytes of a datagram, in a frame of 200.
const PAYLOAD: usize = 158;
const RING_KIB: u32 = 32_768;
const HERE: &str = "kcap-loss-a";
const THERE: &str = "kcap-loss-b";

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// What one run came to.
struct Row {
    tool: &'static str,
    sent: u64,
    rate: f64,
    sender_cpu: f64,
    captured: u64,
    dropped: u64,
    cpu: f64,
}

impl Row {
    /// Processor time. Another load on the machine makes the sender slower, so it is told by the packet.
    fn ns_a_packet(&self) -> f64 {
        self.cpu * 1e9 / self.captured.max(1) as f64
    }
}

/// Two network namespaces, removed however it ends.
struct Namespaces;

impl Namespaces {
    fn new() -> Result<Self> {
        let made = Self;
        for name in [HERE, THERE] {
            run(&["ip", "netns", "add", name])?;
            run(&["ip", "netns", "exec", name, "sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1"])?;
        }
        run(&["ip", "-n", HERE, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", THERE])?;
        for (name, address) in [(HERE, "10.79.0.1/24"), (THERE, "10.79.0.2/24")] {
            run(&["ip", "-n", name, "address", "add", address, "dev", "eth0"])?;
            run(&["ip", "-n", name, "link", "set", "eth0", "up"])?;
        }
        // A station that is not there: what is sent to it is captured, and goes no further.
        run(&["ip", "-n", THERE, "neigh", "add", "10.79.0.1", "lladdr", "02:00:00:00:00:09", "dev", "eth0"])?;
        // Cut before the tap sees them.
        run(&["ip", "-n", THERE, "link", "set", "eth0", "gso_max_segs", "1"])?;
        Ok(made)
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for name in [HERE, THERE] {
            // It is not there when it could not be made.
            let _ = run(&["ip", "netns", "delete", name]);
        }
    }
}

fn run(words: &[&str]) -> Result<()> {
    let done = Command::new(words[0]).args(&words[1..]).status()?;
    if done.success() { Ok(()) } else { Err(format!("{}: {done}", words.join(" ")).into()) }
}

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let agent = arguments.first().ok_or("usage: loss AGENT [RATE [SECONDS [RUNS]]]")?;
    let number = |at: usize, usual: u64| arguments.get(at).map_or(Ok(usual), |text| text.parse());
    let (rate, seconds, runs) = (number(1, 300_000)?, number(2, 10)?, number(3, 5)?);
    let _namespaces = Namespaces::new()?;
    println!("{rate} packets/s of 200 bytes for {seconds} s, ring of {} MiB", RING_KIB / 1024);
    println!("tool            sent  rate/s  sender CPU s  captured   dropped  CPU s  ns a packet");
    let mut rows = Vec::new();
    for _ in 0..runs {
        for tool in ["tcpdump", "kcap-agent"] {
            rows.push(measure(tool, agent, rate, Duration::from_secs(seconds))?);
            rows.last().iter().for_each(|row| print(row));
        }
    }
    conclude(&rows);
    Ok(())
}

fn print(row: &Row) {
    let Row { tool, sent, rate, sender_cpu, captured, dropped, cpu } = row;
    print!("{tool:<10}  {sent:>8}  {rate:>6.0}  {sender_cpu:>12.2}  {captured:>8}  {dropped:>8}  {cpu:>5.2}");
    println!("  {:>11.0}", row.ns_a_packet());
}

fn conclude(rows: &[Row]) {
    let of = |tool: &'static str| rows.iter().filter(move |row| row.tool == tool);
    let median = |tool| {
        let mut times: Vec<f64> = of(tool).map(Row::ns_a_packet).collect();
        times.sort_by(f64::total_cmp);
        times.get(times.len() / 2).copied().unwrap_or_default()
    };
    let dropped = |tool| of(tool).map(|row| row.dropped).sum::<u64>();
    let (ours, theirs) = (median("kcap-agent"), median("tcpdump"));
    println!("CPU, medians: kcap-agent {ours:.0} ns a packet, tcpdump {theirs:.0} ns: {:.2} x", ours / theirs);
    println!("dropped in all: kcap-agent {}, tcpdump {}", dropped("kcap-agent"), dropped("tcpdump"));
}

fn measure(tool: &'static str, agent: &str, rate: u64, time: Duration) -> Result<Row> {
    let folder = tempfile::tempdir()?;
    let (file, log) = (folder.path().join("x.pcapng"), folder.path().join("log"));
    let mut child = command(tool, agent)
        .arg("-w")
        .arg(&file)
        .args(if tool == "tcpdump" { &["udp", "port", "9"][..] } else { &["-p", "udp/9", "--no-inner"] })
        .stdin(Stdio::null())
        .stderr(fs::File::create(&log)?)
        .spawn()?;
    wait_for(&log, &["listening on", "capturing on"])?;
    let (sent, elapsed, sender_cpu) = Netns::open(format!("/run/netns/{THERE}"))?.run(|| send(rate, time))??;
    thread::sleep(Duration::from_millis(1_500));
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT)?;
    let used = child.wait4()?.rusage;
    let text = fs::read_to_string(&log)?;
    Ok(Row {
        tool,
        sent,
        rate: sent as f64 / elapsed.as_secs_f64(),
        sender_cpu,
        captured: count(&text, &["packets captured", "packets,"])?,
        dropped: count(&text, &["packets dropped by kernel", "dropped by the kernel"])?,
        cpu: (used.utime + used.stime).as_secs_f64(),
    })
}

/// The tool on the second processor, with a ring of that size.
fn command(tool: &str, agent: &str) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", "1"]);
    if tool == "tcpdump" {
        let ring = RING_KIB.to_string();
        command.args(["ip", "netns", "exec", HERE, "tcpdump", "-i", "eth0", "-Z", "root", "-B", &ring]);
    } else {
        command.args([agent, &format!("netns/{HERE}"), "-i", "eth0", "--min-free", "1MB"]);
        command.args(["--buffer", &format!("{RING_KIB}KiB")]);
    }
    command
}

fn wait_for(log: &Path, words: &[&str]) -> Result<()> {
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(10) {
        let text = fs::read_to_string(log)?;
        if words.iter().any(|word| text.contains(word)) {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(20));
    }
    Err(format!("it does not capture: {}", fs::read_to_string(log)?).into())
}

/// The number before the first of the words that is there.
fn count(text: &str, words: &[&str]) -> Result<u64> {
    let (before, _) = words.iter().find_map(|word| text.split_once(word)).ok_or("no count")?;
    Ok(before.split_whitespace().next_back().ok_or("no count")?.parse()?)
}

/// Sends at that rate from the first processor: what was sent, how long it took, and processor time, to which the kernel
/// also counts what the tap does.
fn send(rate: u64, time: Duration) -> Result<(u64, Duration, f64)> {
    let mut first = CpuSet::new();
    first.set(0)?;
    sched_setaffinity(Pid::from_raw(0), &first)?;
    let socket = UdpSocket::bind("10.79.0.2:0")?;
    socket.connect("10.79.0.1:9")?;
    setsockopt(&socket, UdpGsoSegment, &(PAYLOAD as i32))?;
    let datagrams = vec![0x6b; PAYLOAD * BATCH as usize];
    let (started, mut sent) = (Instant::now(), 0_u64);
    while started.elapsed() < time {
        let due = (started.elapsed().as_secs_f64() * rate as f64) as u64;
        if sent + BATCH > due {
            thread::sleep(Duration::from_micros(50));
        } else {
            socket.send(&datagrams)?;
            sent += BATCH;
        }
    }
    let used: Duration = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into();
    Ok((sent, started.elapsed(), used.as_secs_f64()))
}
