//! What an analysis holds stays within `--memory` and a bound beside it, whatever the traffic is made of. Bytes
//! allocated are counted, not pages of the machine.
#![cfg(test)]

use kcap_analyze::table::Null;
use kcap_analyze::{Options, Report, analyze};
use kcap_file::Reader;
use kcap_samples::file::classic::{Classic, Flavour};
use kcap_samples::packet::dns::{Answer, answer, question};
use kcap_samples::packet::{Buf, Ethernet, Ipv4, Layer, Tcp, Udp, build_into, flags};
use peak_alloc::PeakAlloc;
use std::io::{self, Read};
use std::net::Ipv4Addr;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

const MIB: usize = 1 << 20;
/// What `--memory` bounds here: little, so that few packets fill it.
const MEMORY: usize = 8 * MIB;
/// What an analysis may hold beside it.
const BESIDE: usize = 64 * MIB;

/// The n-th exchange of some traffic: its packets, into the file.
type Exchange = fn(u32, &mut Out);

/// A capture that is made while it is read.
struct Made {
    exchange: Exchange,
    next: u32,
    count: u32,
    out: Out,
    read: usize,
}

/// Records on their way.
struct Out {
    file: Classic,
    bytes: Vec<u8>,
    frame: Buf,
    ns: u64,
}

impl Out {
    fn packet(&mut self, layers: &[Layer], payload: &[u8]) {
        build_into(&mut self.frame, layers, payload);
        let frame = self.frame.packet();
        self.file.record_parts(&mut self.bytes, self.ns, frame, frame.len() as u32);
        self.ns += 2_000;
    }
}

impl Made {
    fn new(exchange: Exchange, count: u32) -> Self {
        let file = Classic { flavour: Flavour::Nanos, ..Classic::new(1) };
        let bytes = file.header();
        let out = Out { file, bytes, frame: Buf::default(), ns: 1_700_000_000_000_000_000 };
        Self { exchange, next: 0, count, out, read: 0 }
    }
}

impl Read for Made {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.read == self.out.bytes.len() {
            (self.read, self.out.bytes) = (0, Vec::new());
            while self.out.bytes.len() < into.len() && self.next < self.count {
                (self.exchange)(self.next, &mut self.out);
                self.next += 1;
            }
        }
        let mut rest = &self.out.bytes[self.read..];
        let read = rest.read(into)?;
        self.read += read;
        Ok(read)
    }
}

fn client(n: u32) -> (Ipv4Addr, u16) {
    (Ipv4Addr::new(10, 1, (n >> 8) as u8 & 15, n as u8), 1024 + (n >> 12) as u16)
}

fn between(n: u32, back: bool) -> [Layer; 2] {
    let (client, server) = (client(n).0, Ipv4Addr::new(10, 2, 0, (n % 50) as u8));
    let (src, dst) = if back { (server, client) } else { (client, server) };
    [Ethernet::new(1 + u32::from(back), 2 - u32::from(back)).into(), Ipv4::new(src, dst).into()]
}

fn datagram(n: u32, back: bool, port: u16, payload: &[u8], out: &mut Out) {
    let [link, ip] = between(n, back);
    let own = client(n).1;
    let udp = if back { Udp::new(port, own) } else { Udp::new(own, port) };
    out.packet(&[link, ip, udp.into()], payload);
}

fn name(n: u32) -> String {
    format!("n{n:08x}.zone{}.example.com", n % 977)
}

/// A question about a name of its own, and its answer.
fn lookup(n: u32, out: &mut Out) {
    datagram(n, false, 53, &question(n as u16, &name(n), 1), out);
    datagram(n, true, 53, &answer(n as u16, &name(n), 1, Answer::Failure), out);
}

/// A question that nobody answers.
fn in_vain(n: u32, out: &mut Out) {
    datagram(n, false, 53, &question(n as u16, &name(n), 1), out);
}

fn segment(n: u32, back: bool, tcp: Tcp, payload: &[u8], out: &mut Out) {
    let [link, ip] = between(n, back);
    let (own, port) = (client(n).1, 80);
    let (src, dst) = if back { (port, own) } else { (own, port) };
    out.packet(&[link, ip, Tcp { src, dst, ..tcp }.into()], payload);
}

/// A segment's numbers and flags.
fn tcp(seq: u32, ack: u32, flags: u8) -> Tcp {
    Tcp { seq, ack, flags, window: 64_000, ..Tcp::default() }
}

/// A SYN that nobody answers.
fn attempt(n: u32, out: &mut Out) {
    segment(n, false, tcp(n, 0, flags::SYN), b"", out);
}

/// A connection that stays open after a request.
fn request(n: u32, out: &mut Out) {
    let (asks, answers) = (b"GET /a HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n");
    let (own, peer) = (n, n | 1 << 30);
    segment(n, false, tcp(own, 0, flags::SYN), b"", out);
    segment(n, true, tcp(peer, own + 1, flags::SYN | flags::ACK), b"", out);
    segment(n, false, tcp(own + 1, peer + 1, flags::ACK), asks, out);
    segment(n, true, tcp(peer + 1, own + 1 + asks.len() as u32, flags::ACK), answers, out);
}

fn measured(exchange: Exchange, count: u32) -> (usize, Report) {
    let made = Reader::from_read(Box::new(Made::new(exchange, count)), "made").expect("it is a capture");
    let options = Options { memory: MEMORY as u64, ..Options::default() };
    let before = ALLOCATED.current_usage();
    ALLOCATED.reset_peak_usage();
    let report = analyze(Box::new(made), options, &mut Null).expect("nothing is written");
    (ALLOCATED.peak_usage().saturating_sub(before), report)
}

/// One test, because all in this program count together.
#[test]
fn what_is_held_is_bounded_whatever_comes() {
    let kinds: [(&str, Exchange, u32); 5] = [
        ("attempts", attempt, 150_000),
        ("requests", request, 60_000),
        ("names", lookup, 120_000),
        ("names in vain", in_vain, 120_000),
        ("datagrams", |n, out| datagram(n, false, 9999, &n.to_be_bytes(), out), 150_000),
    ];
    for (what, exchange, count) in kinds {
        let (peak, report) = measured(exchange, count);
        println!("{what}: {} MiB of {count} exchanges", peak / MIB);
        assert!(peak <= MEMORY + BESIDE, "{what}: {} MiB are held", peak / MIB);
        assert!(!report.limits_hit.is_empty(), "{what}: what did not fit is said");
    }
}
