//! One capture for each file format and compression: the same connection in each.

use super::File;
use super::talk::{START_NS, STEP_NS, ethernet, http_in};
use crate::file::classic::{Classic, Flavour};
use crate::file::pcapng::{Opt, Pcapng, Stats, comment};
use crate::file::{Frame, Order, gzip, zstd, zstd_skippable};
use std::io;

const CASE: &str = "file-formats";

pub(super) fn files() -> io::Result<Vec<File>> {
    let mut files = classic();
    files.extend(pcapng());
    files.extend(compressed()?);
    Ok(files)
}

fn frames() -> Vec<Frame> {
    http_in(ethernet)
}

fn classic() -> Vec<File> {
    use Flavour::{Micros, Modified, Nanos};
    use Order::{Big, Little};
    let file =
        |name, flavour, order| File::new(CASE, name, Classic { flavour, order, ..Classic::new(1) }.file(&frames()));
    vec![
        file("micros-little.pcap", Micros, Little),
        file("micros-big.pcap", Micros, Big),
        file("nanos-little.pcap", Nanos, Little),
        file("nanos-big.pcap", Nanos, Big),
        file("modified-little.pcap", Modified, Little),
        file("modified-big.pcap", Modified, Big),
    ]
}

fn pcapng() -> Vec<File> {
    let file = |name, build: fn(&mut Pcapng)| {
        let mut blocks = Pcapng::new();
        build(&mut blocks);
        File::new(CASE, name, blocks.bytes)
    };
    vec![
        file("plain.pcapng", |file| plain(file, Order::Little)),
        file("big-endian.pcapng", |file| plain(file, Order::Big)),
        file("sections-change-order.pcapng", sections),
        file("nanoseconds.pcapng", |file| with_resolution(file, 9, 1_000_000_000, &[])),
        file("power-of-two.pcapng", |file| with_resolution(file, 0x94, 1 << 20, &[])),
        file("time-offset.pcapng", time_offset),
        file("interfaces.pcapng", interfaces),
        file("simple-packets.pcapng", simple_packets),
        file("obsolete-packets.pcapng", obsolete_packets),
        file("every-block.pcapng", every_block),
    ]
}

fn compressed() -> io::Result<Vec<File>> {
    let whole = Classic::new(1).file(&frames());
    let (a, b) = whole.split_at(300);
    let (first, last) = (zstd(&[a])?, zstd(&[b])?);
    let skipped = [first, zstd_skippable(b"left out by every reader"), last].concat();
    Ok(vec![
        File::new(CASE, "one-member.pcap.gz", gzip(&[&whole])?),
        File::new(CASE, "three-members.pcap.gz", gzip(&[a, b"", b])?),
        File::new(CASE, "one-frame.pcap.zst", zstd(&[&whole])?),
        File::new(CASE, "frames-and-skippable.pcap.zst", skipped),
        // By magic, not by suffix.
        File::new(CASE, "gzip-named-pcap.pcap", gzip(&[&whole])?),
    ])
}

fn packets(file: &mut Pcapng, frames: &[Frame], units_a_second: u64) {
    for frame in frames {
        let units = u128::from(frame.ts_ns) * u128::from(units_a_second) / 1_000_000_000;
        file.packet(0, units as u64, &frame.data, frame.orig_len, &[]);
    }
}

fn plain(file: &mut Pcapng, order: Order) {
    file.section(order, -1, &[]);
    file.interface(1, 0, &[]);
    packets(file, &frames(), 1_000_000);
}

/// Half of the packets in a little-endian section, half in a big-endian one, which describes its interface anew.
fn sections(file: &mut Pcapng) {
    let frames = frames();
    for (order, half) in [(Order::Little, &frames[..5]), (Order::Big, &frames[5..])] {
        file.section(order, -1, &[comment("half")]);
        file.interface(1, 65_535, &[name("eth0")]);
        packets(file, half, 1_000_000);
    }
}

fn name(text: &str) -> Opt {
    (2, text.into())
}

/// `if_tsresol` as it is written, and the units a second it means.
fn with_resolution(file: &mut Pcapng, resolution: u8, units_a_second: u64, more: &[Opt]) {
    file.section(Order::Little, -1, &[]);
    file.interface(1, 0, &[&[(9, vec![resolution])], more].concat());
    packets(file, &frames(), units_a_second);
}

/// `if_tsoffset`: the seconds in the file are an hour less than they should be.
fn time_offset(file: &mut Pcapng) {
    file.section(Order::Little, -1, &[]);
    file.interface(1, 0, &[(14, 3600_i64.to_le_bytes().to_vec())]);
    let frames: Vec<Frame> =
        frames().into_iter().map(|frame| Frame { ts_ns: frame.ts_ns - 3_600_000_000_000, ..frame }).collect();
    packets(file, &frames, 1_000_000);
}

/// Two interfaces of different link types and resolutions; the second is described between packets.
fn interfaces(file: &mut Pcapng) {
    let (ethernet, raw) = (frames(), http_in(|_| Vec::new()));
    file.section(Order::Little, -1, &[]);
    file.interface(1, 0, &[name("eth0")]);
    packets(file, &ethernet[..5], 1_000_000);
    file.interface(101, 0, &[name("tun0"), (9, vec![9])]);
    for frame in &raw[5..] {
        file.packet(1, frame.ts_ns, &frame.data, frame.orig_len, &[]);
    }
}

/// Without times and cut to the snap length of their interface.
fn simple_packets(file: &mut Pcapng) {
    file.section(Order::Little, -1, &[]);
    file.interface(1, 80, &[]);
    for frame in frames() {
        let cut = frame.clone().snapped(80);
        file.simple(&cut.data, frame.orig_len);
    }
}

fn obsolete_packets(file: &mut Pcapng) {
    file.section(Order::Little, -1, &[]);
    file.interface(1, 0, &[]);
    for frame in frames() {
        file.obsolete(0, 0, frame.ts_ns / 1000, &frame.data, frame.orig_len);
    }
}

/// Source address of IPv4 in Ethernet.
const SENDER: std::ops::Range<usize> = 26..30;

/// What else a file may have, good and to be passed over.
fn every_block(file: &mut Pcapng) {
    file.section(
        Order::Little,
        -1,
        &[comment("built by hand"), (2, b"no machine".to_vec()), (4, b"make-samples".to_vec())],
    );
    let address = [10, 1, 0, 2, 255, 255, 255, 0].to_vec();
    file.interface(1, 262_144, &[name("eth0"), (3, b"the only one".to_vec()), (4, address), (11, b"\0tcp".to_vec())]);
    file.names(&[(&[10, 1, 0, 2], &["client.shop", "client"]), (&[10, 1, 0, 3], &["server.shop"])]);
    file.secrets("CLIENT_RANDOM 00 00\n");
    file.custom(32_473, b"an enterprise of examples");
    file.block(0x4000_0001, b"a block of local use");
    for frame in frames() {
        // Captured at the client: inbound is what the server sends.
        let is_from_server = frame.data.get(SENDER) == Some(&[10, 1, 0, 3]);
        let direction = if is_from_server { 1_u32 } else { 2 };
        let options = [comment("seen"), (2, direction.to_le_bytes().to_vec()), (4, 0_u64.to_le_bytes().to_vec())];
        file.packet(0, frame.ts_ns / 1000, &frame.data, frame.orig_len, &options);
    }
    let end = (START_NS + 10 * STEP_NS) / 1000;
    file.statistics(0, end, Stats { received: 10, dropped: 0, dropped_by_os: 0 });
}
