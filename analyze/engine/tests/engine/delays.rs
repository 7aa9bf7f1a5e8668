//! Delays from point to point against what tshark's times say, on recorded captures of several points.

use crate::recorded;
use crate::support::{Line, run};
use crate::tshark;
use kcap_analyze::Options;
use kcap_file::Inputs;
use std::collections::BTreeMap;
use std::path::Path;

const FIELDS: [&str; 11] = [
    "frame.time_epoch",
    "sll.ifindex",
    "frame.interface_name",
    "ip.src",
    "ip.dst",
    "ip.id",
    "tcp.srcport",
    "tcp.dstport",
    "tcp.seq_raw",
    "tcp.ack_raw",
    "tcp.options.timestamp.tsval",
];

/// What no router changes: identification, sequence number, acknowledgement, timestamp, and whether there is payload.
type Id = [String; 5];

/// A segment at a place.
struct Segment {
    ns: i64,
    point: String,
    in_tunnel: bool,
    ends: [String; 4],
    id: Id,
}

fn segments(file: &Path) -> Vec<Segment> {
    let fields = FIELDS.into_iter().chain(["tcp.len"]);
    let text = tshark::fields(file, &["-Y", "tcp && ip && !icmp"], fields).unwrap_or_default();
    text.lines().filter_map(segment).collect()
}

fn segment(line: &str) -> Option<Segment> {
    let columns: Vec<&str> = line.split('\t').collect();
    let &[time, index, interface, src, dst, id, src_port, dst_port, seq, ack, tsval, len] = columns.first_chunk()?;
    let (seconds, nanos) = time.split_once('.')?;
    let inner = |text: &str| text.rsplit(',').next().unwrap_or_default().to_owned();
    Some(Segment {
        ns: seconds.parse::<i64>().ok()? * 1_000_000_000 + nanos.parse::<i64>().ok()?,
        point: if index.is_empty() { interface.to_owned() } else { format!("if#{index}") },
        in_tunnel: src.contains(','),
        ends: [inner(src), src_port.to_owned(), inner(dst), dst_port.to_owned()],
        id: [inner(id), seq.to_owned(), ack.to_owned(), tsval.to_owned(), (len != "0").to_string()],
    })
}

/// Times of segments by what they are known by.
fn times<'a>(segments: impl Iterator<Item = &'a Segment>) -> BTreeMap<&'a Id, Vec<i64>> {
    let mut all: BTreeMap<&Id, Vec<i64>> = BTreeMap::new();
    segments.for_each(|segment| all.entry(&segment.id).or_default().push(segment.ns));
    all
}

/// Nanoseconds from one place to another, ascending, of segments that passed each once.
fn between(from: &BTreeMap<&Id, Vec<i64>>, to: &BTreeMap<&Id, Vec<i64>>) -> Vec<i64> {
    let mut delays = Vec::new();
    for (id, here) in from {
        if let ([here], Some([there])) = (here.as_slice(), to.get(id).map(Vec::as_slice)) {
            delays.push(there - here);
        }
    }
    delays.sort_unstable();
    delays
}

/// What was compared.
#[derive(Default)]
struct Tally {
    equal: u64,
    sampled: u64,
    /// Of other packets.
    others: u64,
}

fn compare(row: &Line, side: &str, delays: &[i64], tally: &mut Tally) {
    let number = |name: &str| row[format!("{side}_{name}").as_str()].parse::<f64>().ok();
    let (packets, p50, p99) = (number("delay_packets"), number("delay_p50_us"), number("delay_p99_us"));
    let Some((p50, p99)) = p50.zip(p99) else { return };
    let rank =
        |us: f64| delays.partition_point(|delay| (*delay as f64) < us * 1000.0 - 0.5) as f64 / delays.len() as f64;
    if packets == Some(delays.len() as f64) {
        let exact = |share: f64| delays[((delays.len() - 1) as f64 * share).round() as usize] as f64 / 1000.0;
        assert!((p50 - exact(0.5)).abs() < 0.001 && (p99 - exact(0.99)).abs() < 0.001, "{side} {row:?}");
        tally.equal += 1;
    } else if delays.len() > 512 {
        assert!((0.35..0.65).contains(&rank(p50)) && rank(p99) > 0.95, "{side} {} {} {row:?}", rank(p50), rank(p99));
        tally.sampled += 1;
    } else {
        tally.others += 1;
    }
}

fn file(path: &Path, tally: &mut Tally) {
    let outcome = run(Box::new(Inputs::open([path])), Options::default());
    let segments = segments(path);
    for row in outcome.rows.rows("hops").iter().filter(|row| row["proto"] == "6") {
        let text = |name: &str| row[name].as_str();
        let [a, b] = [["orig_addr", "orig_port"], ["resp_addr", "resp_port"]].map(|end| end.map(text));
        let ends = |from: [&str; 2], to: [&str; 2]| [from[0], from[1], to[0], to[1]].map(str::to_owned);
        let here = |ends: [String; 4]| {
            times(segments.iter().filter(move |seen| seen.point == text("point") && seen.ends == ends))
        };
        let in_tunnel = text("next_tunnel") != "null";
        let there = |seen: &&Segment| seen.point == text("next_point") && seen.in_tunnel == in_tunnel;
        let there = times(segments.iter().filter(there));
        compare(row, "orig", &between(&here(ends(a, b)), &there), tally);
        let mut back = (there, here(ends(b, a)));
        if back.1.is_empty() {
            // A bridge that translates shows answers under the addresses that they have behind it.
            let of_row = |seen: &&Segment| seen.point == text("next_point") && seen.ends == ends(b, a);
            back.0 = times(segments.iter().filter(of_row));
            back.1 = times(segments.iter().filter(|seen| seen.point == text("point")));
        }
        compare(row, "resp", &between(&back.0, &back.1), tally);
    }
}

/// Files of several interfaces, not so many connections that comparing takes long.
const FILES: [&str; 6] = [
    "42/nodeA-any.pcap",
    "42/nodeA-multi-if.pcapng",
    "05/nodeA-any.pcap",
    "06b/nodeA-any.pcap",
    "t6-nodea-any.pcap",
    "t10-nodea-any.pcap",
];

#[test]
fn delays_between_points_are_as_tshark_has_them() {
    let Some(mut files) = recorded::captures(&["faults", "vectors"]) else { return };
    if !tshark::is_installed() {
        return;
    }
    files.retain(|path| FILES.iter().any(|name| path.ends_with(name)));
    let mut tally = Tally::default();
    for path in &files {
        file(path, &mut tally);
    }
    let Tally { equal, sampled, others } = tally;
    println!("{equal} pairs of quantiles are equal, {sampled} within the error of a sample, {others} of other packets");
    assert!(equal > 100 && others == 0, "{equal} {others}");
}
