//! Frame by frame: ours against tshark's.

use crate::theirs::{self, Frame, Network};
use kcap_analyze::Packet;
use kcap_analyze::packet::Kind;
use kcap_analyze::wire::{self, DecodeConfig, Layer, Layers, Stop};
use kcap_file::{Batch, Reader, Record};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// What came of the comparison.
#[derive(Default)]
pub(crate) struct Tally {
    files: u64,
    /// Files that are no captures, or whose format only one side knows.
    unread: u64,
    pub(crate) equal: u64,
    /// Frames without a network header on either side.
    no_network: u64,
    /// Differences with a reason: how many, and the first place of each.
    explained: BTreeMap<&'static str, (u64, String)>,
    pub(crate) unexplained: Vec<String>,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Self) {
        self.files += other.files;
        self.unread += other.unread;
        self.equal += other.equal;
        self.no_network += other.no_network;
        self.unexplained.extend(other.unexplained);
        for (reason, (count, place)) in other.explained {
            self.explained.entry(reason).or_insert((0, place)).0 += count;
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let explained: u64 = self.explained.values().map(|(count, _)| count).sum();
        let frames = self.equal + self.no_network + explained + self.unexplained.len() as u64;
        writeln!(f, "compared {frames} frames of {} files with tshark", self.files)?;
        writeln!(f, "{:>8} equal", self.equal)?;
        writeln!(f, "{:>8} without a network header of ours on either side", self.no_network)?;
        for (reason, (count, place)) in &self.explained {
            writeln!(f, "{count:>8} {reason} (first: {place})")?;
        }
        for place in &self.unexplained {
            writeln!(f, "DIFFERS  {place}")?;
        }
        write!(f, "{} files are no captures to one side", self.unread)
    }
}

/// Compares one file.
pub(crate) fn file(path: &Path, max: u64, tally: &mut Tally) {
    let (Ok(mut reader), Some(frames)) = (Reader::open(path), theirs::frames(path, max)) else {
        tally.unread += 1;
        return;
    };
    tally.files += 1;
    let (mut batch, mut packet, mut layers) = (Batch::default(), Packet::default(), Layers::default());
    while reader.next_batch(&mut batch) {
        for (number, record) in (batch.first_frame..).zip(&batch.records) {
            let Some(frame) = frames.get(&number) else { continue };
            decode(&batch, record, &mut packet, &mut layers);
            let place = || format!("{}:{number} {:.60}", path.display(), frame.protocols);
            match difference(frame, &packet, &layers) {
                Verdict::Equal => tally.equal += 1,
                Verdict::NoNetwork => tally.no_network += 1,
                Verdict::Explained(reason) => tally.explained.entry(reason).or_insert_with(|| (0, place())).0 += 1,
                Verdict::Differs(what) => {
                    let ours = format!("{:?} {:?} {packet:?}", layers.list(), layers.stop);
                    tally.unexplained.push(format!("{} {what}; ours {ours}; theirs {:?}", place(), frame.networks));
                }
            }
        }
    }
}

fn decode(batch: &Batch, record: &Record, packet: &mut Packet, layers: &mut Layers) {
    let link = batch.interfaces[record.interface as usize].link_type;
    *packet = Packet::default();
    wire::decode(batch.frame(record), link, record.orig_len, &DecodeConfig::default(), packet, layers);
}

enum Verdict {
    Equal,
    NoNetwork,
    Explained(&'static str),
    Differs(&'static str),
}

fn difference(frame: &Frame, packet: &Packet, layers: &Layers) -> Verdict {
    let is_network = |layer: &&Layer| matches!(layer, Layer::Ipv4 | Layer::Ipv6 | Layer::Arp);
    let ours = layers.list().iter().filter(is_network).count();
    let what = match frame.networks.last() {
        None if ours == 0 => return Verdict::NoNetwork,
        Some(theirs) if ours == frame.networks.len() => values(theirs, packet),
        _ => Some("headers"),
    };
    match what {
        None => Verdict::Equal,
        Some(what) => explanation(what, frame, packet, layers).map_or(Verdict::Differs(what), Verdict::Explained),
    }
}

/// The first value that differs.
fn values(theirs: &Network, packet: &Packet) -> Option<&'static str> {
    let same_len = theirs.ip_len.is_none_or(|len| len == packet.ip_len || len == 0);
    let has_transport = matches!(packet.kind, Kind::Tcp | Kind::Udp | Kind::Echo | Kind::IcmpError | Kind::Icmp);
    let Some(transport) = &theirs.transport else {
        return has_transport.then_some("transport that tshark has not");
    };
    let name = match packet.proto {
        _ if packet.kind == Kind::Fragment => transport.name,
        6 => "tcp",
        17 => "udp",
        1 => "icmp",
        58 => "icmpv6",
        _ => "another",
    };
    let same_ports = transport.ports.is_none_or(|ports| ports == (packet.src_port, packet.dst_port));
    let is_tcp = packet.kind == Kind::Tcp;
    let same_seq = !is_tcp || transport.seq.is_none_or(|seq| seq == packet.seq);
    let same_payload = !is_tcp || transport.payload_len.is_none_or(|len| len == packet.payload_len);
    let checks = [
        ((packet.src.ip(), packet.dst.ip()) == (theirs.src, theirs.dst), "addresses"),
        (theirs.ttl.is_none_or(|ttl| ttl == packet.ttl), "time to live"),
        (same_len, "ip length"),
        (name == transport.name, "protocol"),
        (same_ports, "ports"),
        (same_seq, "sequence"),
        (same_payload, "payload length"),
    ];
    checks.into_iter().find_map(|(same, what)| (!same).then_some(what))
}

/// Why a difference is meant to be.
fn explanation(what: &str, frame: &Frame, packet: &Packet, layers: &Layers) -> Option<&'static str> {
    let outer_networks = layers.outers().len();
    let theirs = frame.networks.len();
    if let Some(fragment) = layers.fragment {
        return match (fragment.offset, what) {
            (0, "headers") => Some("tunnel in a first fragment: opened here once the datagram is whole"),
            (1.., "ports") => Some("last IPv6 fragment: tshark shows the datagram, here the reassembler gives it"),
            _ => None,
        };
    }
    let is_offloaded = packet.ip_len > u16::MAX.into();
    let behind_options = layers.list().contains(&Layer::Ipv6Ext) || ip_header_len(packet) > 20;
    match layers.stop {
        Stop::TooDeep => Some("more layers than are kept of a frame"),
        Stop::Undecoded("rarp") => Some("RARP, which tshark calls ARP"),
        Stop::Malformed(Layer::Ipv4 | Layer::Ipv6) if theirs == outer_networks + 1 => {
            Some("IP version or length that cannot be: tshark reads on")
        }
        Stop::End if what == "payload length" && packet.bits.is_malformed() => {
            Some("IP length beyond the frame: tshark takes the frame's, here the header counts")
        }
        Stop::End if what == "headers" && outer_networks == theirs && is_offloaded => {
            Some("tunnelled segmentation offload beyond 64 KiB: tshark wants a UDP length")
        }
        Stop::End if what == "transport that tshark has not" && behind_options => {
            Some("options that tshark finds malformed and does not pass")
        }
        _ => None,
    }
}

fn ip_header_len(packet: &Packet) -> u32 {
    packet.ip_len.saturating_sub(packet.payload_len).saturating_sub(packet.l4_header_len.into())
}
