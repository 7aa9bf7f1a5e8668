//! Captures that look like a fault and are none, and drops of the capture itself.

use super::File;
use super::talk::{
    CLIENT, From, MS, NODE_A, NODE_B, S, SERVER, START_NS, addresses, ethernet, frames, http, http_in, station, tcp,
    underlay_udp,
};
use crate::file::classic::Classic;
use crate::file::pcapng::{Opt, Pcapng, Stats};
use crate::file::{Frame, Order};
use crate::packet::{Layer, Tcp, Udp, Vxlan, build, flags, ip};

pub(super) fn files() -> Vec<File> {
    let mut files = capture_drops();
    files.extend([
        classic("svc004-end-of-capture", "capture.pcap", &end_of_capture()),
        classic("svc004-one-sided", "capture.pcap", &one_sided()),
        classic("ovl001-one-way-datagrams", "node-a.pcap", &one_way_datagrams()),
        classic("ovl001-mirror", "analyser.pcap", &mirror()),
    ]);
    files
}

fn classic(case: &'static str, name: &'static str, frames: &[Frame]) -> File {
    File::new(case, name, Classic::new(1).file(frames))
}

const DROPS: &str = "cap001-capture-drops";

fn capture_drops() -> Vec<File> {
    let none = Stats { received: 10, dropped: 0, dropped_by_os: 0 };
    let some = Stats { received: 100, dropped: 30, dropped_by_os: 60 };
    let between: Opt = (4, 25_u64.to_le_bytes().to_vec());
    vec![
        File::new(DROPS, "interface-statistics.pcapng", pcapng(some, &[])),
        File::new(DROPS, "between-packets.pcapng", pcapng(none, &[between])),
        File::new(DROPS, "no-drops.pcapng", pcapng(none, &[])),
    ]
}

/// A whole connection; `options` are those of the sixth packet.
fn pcapng(stats: Stats, options: &[Opt]) -> Vec<u8> {
    let mut file = Pcapng::new();
    file.section(Order::Little, -1, &[]);
    file.interface(1, 262_144, &[(2, b"eth0".to_vec())]);
    for (n, frame) in http_in(ethernet).iter().enumerate() {
        let options = if n == 5 { options } else { &[] };
        file.packet(0, frame.ts_ns / 1000, &frame.data, frame.orig_len, options);
    }
    file.statistics(0, (START_NS + S) / 1000, stats);
    file.bytes
}

/// A SYN of its own connection.
fn syn(at: u64, port: u16) -> Frame {
    let header = Tcp { src: port, ..tcp((From::Client, flags::SYN, 0, 0, b""), 1) };
    let layers = [ethernet(From::Client), vec![ip(CLIENT, SERVER), header.into()]].concat();
    Frame::new(START_NS + at, build(&layers, b""))
}

/// A good connection, then two connects right before the capture ends.
fn end_of_capture() -> Vec<Frame> {
    let mut all = http_in(ethernet);
    all.extend([syn(10 * S, 41_000), syn(10 * S + 40 * MS, 41_001), syn(11 * S, 41_000)]);
    all
}

/// One direction only was captured: three connections, all of which work, and their SYNs without answers.
fn one_sided() -> Vec<Frame> {
    let mut all = Vec::new();
    for n in 0..3_u16 {
        let connection = http_in(ethernet).into_iter().zip(http());
        let sent = connection.filter(|(_, segment)| segment.0 == From::Client).map(|(frame, _)| frame);
        all.extend(
            sent.map(|frame| other_port(frame, n))
                .map(|frame| Frame { ts_ns: frame.ts_ns + u64::from(n) * 4 * S, ..frame }),
        );
    }
    all
}

/// The same segment of a connection of another client port; its checksum is made right again.
fn other_port(mut frame: Frame, n: u16) -> Frame {
    const TCP: usize = 34;
    let old = u16::from_be_bytes([frame.data[TCP], frame.data[TCP + 1]]);
    let sum = u16::from_be_bytes([frame.data[TCP + 16], frame.data[TCP + 17]]);
    // RFC 1624: HC' = ~(~HC + ~m + m'), with the port as m.
    let wide = u32::from(!sum) + u32::from(!old) + u32::from(old + n);
    let folded = (wide & 0xffff) + (wide >> 16);
    let sum = !(((folded & 0xffff) + (folded >> 16)) as u16);
    frame.data[TCP..TCP + 2].copy_from_slice(&(old + n).to_be_bytes());
    frame.data[TCP + 16..TCP + 18].copy_from_slice(&sum.to_be_bytes());
    frame
}

fn vxlan(from: From) -> Vec<Layer> {
    let mut layers = underlay_udp(from, 4789);
    layers.extend([Vxlan { vni: 1 }.into(), station(from, 2, 3)]);
    layers
}

/// Forty log lines from a pod of node A to a collector on node B: nobody answers and nobody should.
fn one_way_datagrams() -> Vec<Frame> {
    let line = |n: u64| {
        let layers = [vxlan(From::Client), vec![ip(CLIENT, SERVER), Udp::new(45_000, 514).into()]].concat();
        Frame::new(START_NS + n * 200 * MS, build(&layers, format!("<14>shop: request {n} done").as_bytes()))
    };
    (0..40).map(line).collect()
}

/// Traffic mirroring of a cloud: both directions of a connection in VXLAN from one sender to one analyser.
fn mirror() -> Vec<Frame> {
    let around = |from: From| {
        let (src, dst) = addresses(From::Client, (NODE_A.into(), NODE_B.into()));
        let outer: [Layer; 4] = [
            station(From::Client, 10, 11),
            ip(src, dst),
            Udp::new(65_000, 4789).into(),
            Vxlan { vni: 7_000_000 }.into(),
        ];
        [outer.to_vec(), vec![station(from, 2, 3)]].concat()
    };
    frames(&http(), (CLIENT, SERVER), around)
}
