//! Columns of `flows` against tshark, connection by connection, on recorded captures of single points.

use crate::recorded;
use crate::support::{Line, run};
use crate::tshark;
use kcap_analyze::Options;
use kcap_file::Inputs;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const FIELDS: [&str; 14] = [
    "tcp.stream",
    "ip.src",
    "ipv6.src",
    "tcp.srcport",
    "ip.dst",
    "ipv6.dst",
    "tcp.dstport",
    "tcp.len",
    "tcp.analysis.initial_rtt",
    "tcp.analysis.bytes_in_flight",
    "tcp.analysis.zero_window",
    "tcp.analysis.retransmission",
    "tcp.analysis.lost_segment",
    "tcp.analysis.out_of_order",
];

type End = [String; 2];

/// What tshark says of one direction.
#[derive(Clone, Default)]
struct Direction {
    packets: u64,
    payload: u64,
    in_flight: u64,
    zero_window: bool,
}

/// What tshark says of a connection.
#[derive(Default)]
struct Stream {
    by_sender: BTreeMap<End, Direction>,
    rtt_ns: Option<i64>,
    /// Segments were lost or came again.
    troubled: bool,
}

impl Stream {
    fn add(&mut self, sender: End, columns: &[&str; 14]) {
        let number = |text: &str| text.parse::<u64>().unwrap_or(0);
        let [.., len, rtt, in_flight, zero, again, lost, late] = *columns;
        let direction = self.by_sender.entry(sender).or_default();
        direction.packets += 1;
        direction.payload += number(len);
        direction.in_flight = direction.in_flight.max(number(in_flight));
        direction.zero_window |= !zero.is_empty();
        self.troubled |= [again, lost, late].iter().any(|text| !text.is_empty());
        self.rtt_ns = self.rtt_ns.or(rtt.parse::<f64>().ok().map(|seconds| (seconds * 1e9).round() as i64));
    }
}

/// Connections by their ends; those whose ends are used again are left out.
fn streams(file: &Path) -> BTreeMap<BTreeSet<End>, Stream> {
    let text = tshark::fields(file, &["-Y", "tcp && !icmp && !icmpv6 && !vxlan"], FIELDS).unwrap_or_default();
    let mut streams: BTreeMap<String, (BTreeSet<End>, Stream)> = BTreeMap::new();
    for line in text.lines() {
        let columns: Vec<&str> = line.split('\t').collect();
        let Some(columns @ &[stream, src, src6, from, dst, dst6, to, ..]) = columns.first_chunk::<14>() else {
            continue;
        };
        let [sender, receiver] = [[src, src6, from], [dst, dst6, to]];
        let [sender, receiver] = [sender, receiver].map(|[v4, v6, port]| [format!("{v4}{v6}"), port.to_owned()]);
        let ends = BTreeSet::from([sender.clone(), receiver]);
        streams.entry(stream.to_owned()).or_insert((ends, Stream::default())).1.add(sender, columns);
    }
    let mut by_ends: BTreeMap<BTreeSet<End>, Vec<Stream>> = BTreeMap::new();
    for (ends, stream) in streams.into_values() {
        by_ends.entry(ends).or_default().push(stream);
    }
    let once = |(ends, streams): (_, Vec<Stream>)| Some((ends, <[Stream; 1]>::try_from(streams).ok()?));
    by_ends.into_iter().filter_map(once).map(|(ends, [stream])| (ends, stream)).collect()
}

/// What was compared, by what it is.
#[derive(Default)]
struct Tally(BTreeMap<&'static str, u64>);

impl Tally {
    fn note(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }
}

fn direction(row: &Line, side: &str, theirs: &Direction, troubled: bool, tally: &mut Tally) {
    let text = |name: &str| row[format!("{side}_{name}").as_str()].as_str();
    let number = |name: &str| text(name).parse::<u64>().unwrap_or(0);
    assert_eq!(number("packets") + number("duplicates"), theirs.packets, "{side} packets {row:?}");
    assert_eq!(number("payload_bytes"), theirs.payload, "{side} payload {row:?}");
    tally.note("directions with equal packets and payload");
    if theirs.zero_window {
        assert_ne!(text("zero_window_us"), "null", "{side} zero window {row:?}");
        tally.note("directions with zero windows in both");
    }
    let in_flight = number("in_flight_max");
    match in_flight.wrapping_sub(theirs.in_flight) {
        0 => tally.note("directions with equal bytes in flight"),
        // tshark counts segments that are there, we count from the first byte without acknowledgement.
        _ if troubled => tally.note("directions with other bytes in flight around losses"),
        _ => panic!("{side} {in_flight} and {} bytes in flight {row:?}", theirs.in_flight),
    }
}

fn end(row: &Line, side: &str) -> End {
    ["addr", "port"].map(|part| row[format!("{side}_{part}").as_str()].clone())
}

fn connection(row: &Line, stream: &Stream, tally: &mut Tally) {
    for side in ["orig", "resp"] {
        let theirs = stream.by_sender.get(&end(row, side)).cloned().unwrap_or_default();
        direction(row, side, &theirs, stream.troubled, tally);
    }
    let part = |name: &str| row[name].parse::<f64>().ok();
    let ours = part("rtt_resp_us").zip(part("rtt_orig_us")).map(|(there, back)| ((there + back) * 1e3).round() as i64);
    match (ours, stream.rtt_ns) {
        // The time from a SYN that was sent again measures the timer.
        (None, _) if row["syns"] != "1" || stream.troubled => tally.note("handshakes with repetitions, not measured"),
        (None, Some(_)) if row["conn_state"] == "REJ" => tally.note("refusals, which tshark times as handshakes"),
        (ours, theirs) => {
            assert_eq!(ours, theirs, "round trip of the handshake {row:?}");
            tally.note("handshakes with equal round trips");
        }
    }
}

fn file(path: &Path, tally: &mut Tally) {
    let outcome = run(Box::new(Inputs::open([path])), Options::default());
    let streams = streams(path);
    let mut rows: BTreeMap<BTreeSet<End>, Vec<&Line>> = BTreeMap::new();
    for row in outcome.rows.rows("flows").iter().filter(|row| row["proto"] == "6") {
        let ends = ["orig", "resp"].map(|side| end(row, side));
        rows.entry(BTreeSet::from(ends)).or_default().push(row);
    }
    for (ends, rows) in rows {
        match (rows.as_slice(), streams.get(&ends)) {
            ([row], Some(stream)) => connection(row, stream, tally),
            _ => tally.note("ends used by several connections, left out"),
        }
    }
}

#[test]
fn columns_of_connections_are_as_tshark_has_them() {
    let Some(mut files) = recorded::captures(&["faults"]) else { return };
    if !tshark::is_installed() {
        return;
    }
    // The capture of one pod: each packet is seen once.
    let is_pods = |name: &str| ["client-", "server-"].iter().any(|start| name.starts_with(start));
    files.retain(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(is_pods));
    let mut tally = Tally::default();
    for path in &files {
        file(path, &mut tally);
    }
    for (what, count) in &tally.0 {
        println!("{count} {what}");
    }
    let count = |what: &str| tally.0.get(what).copied().unwrap_or(0);
    assert!(count("directions with equal bytes in flight") > 1000, "only {:?}", tally.0);
    assert!(count("handshakes with equal round trips") > 500, "only {:?}", tally.0);
}
