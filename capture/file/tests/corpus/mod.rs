//! Every capture in the folder that `KCAP_CAPTURES` names, compared with Wireshark's reading of it, or with libpcap's
//! where Wireshark does not know the link type.
//!
//! Wireshark is asked through `editcap`, which reads with the code that tshark reads with and writes pcapng, ten times
//! as fast; pcap-parser reads that.

use crate::Seen;
use crate::build::read_all;
use kcap_file::{ReadError, Reader};
use pcap_parser::Block;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What somebody made of a file.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    /// Frames and their link types.
    pub(crate) frames: Vec<(Seen, u16)>,
}

/// Files that are read differently, and why that is right. The files of strangers that are named here are in the public
/// repositories of their first folder.
const EXPLAINED: &[(&str, &str)] = &[
    (
        "OISF_suricata-verify/tests/bug-1450-05/tls_DER-incomplete-content.pcap",
        "the others stop at a corrupt length; the seven frames behind it are read",
    ),
    (
        "google_gopacket/pcapgo/tests/le/test901.pcapng",
        "the others stop at a section of version 2.0; the section of version 1.0 behind it is read",
    ),
    (
        "the-tcpdump-group_libpcap/tests/pcapng-invalid-vers-2.pcapng",
        "version 1.1 does not exist, but a minor version cannot change what a reader of 1.0 needs",
    ),
    (
        "the-tcpdump-group_tcpdump/tests/bgp_vpn_rt-oobr.pcap",
        "a record header of zeros only is no record: the others give 37 empty frames of 1970 out of corrupt bytes",
    ),
    ("regression_samples/crash-8534c61cdf5987482365d7877ade12eef5aaf8b7", "a record header of zeros only is no record"),
    (
        "regression_samples/crash-exception-cast-constructed-record",
        "Wireshark guesses a variant of the format and stops after one frame; libpcap reads both frames",
    ),
    (
        "regression_samples/clusterfuzz-testcase-minimized-FuzzTarget-6604968558198784",
        "a fraction of more than a second, and the swapped lengths of version 2.2, which pcap-parser does not know",
    ),
];

/// Wireshark keeps the lower 32 bits of the nanoseconds, kcap adds them up.
const FRACTION: &str = "the file has a fraction of a second that is a second or more";

/// Frames as libpcap gives them, up to its first error; nothing when it does not open the file.
#[cfg(target_os = "linux")]
pub(crate) fn by_libpcap(path: &Path) -> Option<Reading> {
    let mut capture = pcap::Capture::from_file_with_precision(path, pcap::Precision::Nano).ok()?;
    let link_type = normal(capture.get_datalink().0 as u16);
    let mut reading = Reading::default();
    loop {
        match capture.next_packet() {
            Ok(packet) => {
                let header = packet.header;
                // In nanoseconds, whatever the name of the field says.
                let ts_ns = header.ts.tv_sec * 1_000_000_000 + header.ts.tv_usec;
                reading.frames.push(((ts_ns, header.caplen, header.len), link_type));
            }
            Err(_) => return Some(reading),
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn by_libpcap(_: &Path) -> Option<Reading> {
    None
}

/// Frames as Wireshark gives them, up to its first error; nothing when it refuses the file.
fn by_wireshark(path: &Path, scratch: &Path) -> Option<Reading> {
    let _ = fs::remove_file(scratch);
    Command::new("editcap").args(["-F", "pcapng"]).args([path, scratch]).output().ok()?;
    let bytes = fs::read(scratch).ok().filter(|bytes| !bytes.is_empty())?;
    let mut reading = Reading::default();
    let mut interfaces = Vec::new();
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let (behind, block) = pcap_parser::parse_block_le(rest).expect("a block of editcap that pcap-parser reads");
        rest = behind;
        match block {
            Block::InterfaceDescription(interface) => interfaces.push(interface),
            Block::EnhancedPacket(packet) => {
                let interface = &interfaces[packet.if_id as usize];
                let ticks = u128::from(packet.ts_high) << 32 | u128::from(packet.ts_low);
                let ts_ns = nanos(ticks, interface.if_tsresol) + interface.if_tsoffset * 1_000_000_000;
                reading.frames.push(((ts_ns, packet.caplen, packet.origlen), interface.linktype.0 as u16));
            }
            _ => {}
        }
    }
    Some(reading)
}

/// Powers of two where the top bit is set, of ten else.
fn nanos(ticks: u128, resolution: u8) -> i64 {
    let units = if resolution & 0x80 != 0 { 1 << (resolution & 0x7f) } else { 10u128.pow(resolution.into()) };
    i64::try_from(ticks * 1_000_000_000 / units).unwrap_or(i64::MAX)
}

fn by_us(path: &Path) -> Result<Reading, ReadError> {
    let (info, frames) = read_all(Reader::open(path)?);
    let link_type = |interface: u32| normal(info.interfaces[interface as usize].link_type.0);
    let seen = |f: &crate::Frame| ((f.ts_ns, f.data.len() as u32, f.orig_len), link_type(f.interface));
    Ok(Reading { frames: frames.iter().map(seen).collect() })
}

/// How two readings differ, if they do.
fn difference(ours: &Reading, theirs: &Reading) -> Option<String> {
    let at = ours.frames.iter().zip(&theirs.frames).position(|(a, b)| a != b);
    if let Some(at) = at {
        return Some(format!("frame {}: {:?}, theirs {:?}", at + 1, ours.frames[at], theirs.frames[at]));
    }
    let (ours_len, theirs_len) = (ours.frames.len(), theirs.frames.len());
    (ours_len != theirs_len).then(|| format!("{ours_len} frames, theirs {theirs_len}"))
}

/// Whether the readings differ only where the microseconds in the file, as pcap-parser gives them, are a second or more.
fn is_fraction(ours: &Reading, theirs: &Reading, path: &Path) -> bool {
    let raw = crate::by_pcap_parser(&fs::read(path).unwrap());
    raw.len() == ours.frames.len()
        && ours.frames.len() == theirs.frames.len()
        && ours.frames.iter().zip(&theirs.frames).zip(&raw).all(|((one, other), (seconds, micros, ..))| {
            let ((ours, c, o), link_type) = *one;
            let sum = i64::from(*seconds) * 1_000_000_000 + i64::from(*micros) * 1000;
            one == other || (*other == ((other.0.0, c, o), link_type) && *micros >= 1_000_000 && ours == sum)
        })
}

/// The link types that editcap writes for these: raw IP has had several numbers.
fn normal(link_type: u16) -> u16 {
    if matches!(link_type, 12 | 14) { 101 } else { link_type }
}

/// Number of frames, when both read the file, and the difference with its reason, if it has one by its nature.
type Comparison = (Option<usize>, Option<(String, Option<&'static str>)>);

fn compare(path: &Path, scratch: &Path) -> Comparison {
    let theirs = by_wireshark(path, scratch).or_else(|| by_libpcap(path));
    match (by_us(path), theirs) {
        (Ok(ours), Some(theirs)) => {
            let found = difference(&ours, &theirs).map(|text| {
                let reason = is_fraction(&ours, &theirs, path).then_some(FRACTION);
                (text, reason)
            });
            (Some(ours.frames.len()), found)
        }
        (Ok(ours), None) => (None, Some((format!("{} frames, theirs refuse the file", ours.frames.len()), None))),
        (Err(error), Some(theirs)) if !theirs.frames.is_empty() => (None, Some((error.to_string(), None))),
        (Err(_), _) => (None, None),
    }
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

#[test]
fn captures_read_as_wireshark_reads_them() {
    let Some(root) = std::env::var_os("KCAP_CAPTURES") else {
        eprintln!("skipped: KCAP_CAPTURES names no folder of captures");
        return;
    };
    if Command::new("editcap").arg("--version").output().is_err() {
        eprintln!("skipped: there is no editcap");
        return;
    }
    let mut paths = Vec::new();
    files(Path::new(&root), &mut paths);
    paths.sort();
    let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let scratch = tempfile::tempdir().unwrap();
                while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = compare(path, &scratch.path().join("theirs.pcapng"));
                    results.lock().unwrap().push((path, result));
                }
            });
        }
    });
    report(results.into_inner().unwrap());
}

fn report(results: Vec<(&PathBuf, Comparison)>) {
    let (mut count, mut packets, mut unexplained) = (0, 0, 0);
    for (path, (frames, difference)) in results {
        count += usize::from(frames.is_some());
        packets += frames.unwrap_or_default();
        if let Some((difference, reason)) = difference {
            let explained = EXPLAINED.iter().find(|(end, _)| path.ends_with(end)).map(|(_, reason)| *reason);
            let reason = reason.or(explained);
            unexplained += usize::from(reason.is_none());
            eprintln!("{}: {difference}: {}", path.display(), reason.unwrap_or("UNEXPLAINED"));
        }
    }
    eprintln!("compared {count} files, {packets} packets");
    assert_eq!(unexplained, 0, "files are read differently");
    assert!(count > 0, "no captures in the folder");
}
