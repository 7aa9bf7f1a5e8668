//! Connections as text tables, one packet a line, so that a test can be checked against an RFC and not against Rust.
//!
//! ```text
//! link sll2                      # eth (default), sll, sll2
//! ip v6                          # v4 (default), v6
//! isn > 4294967290               # initial sequence number of a side; 1000 and 5000 unless told
//! 0.000 > S mss=1460 ws=7        # seconds, direction, flags (S F R P A, - is none), fields
//! 0.010 < SA                     # seq and ack go on where the sides are, relative to their initial numbers
//! 0.020 > PA len=100 seq=1 id=7  # or are told
//! 0.025 < A sack=1-101           # a selective acknowledgement
//! 0.021 again if=3 dir=in vni=1  # the packet of the line before, seen once more somewhere else
//! 0.030 < udp len=20 fill=7      # a datagram; payload may be told as hex=00ff
//! 0.040 ! 3/1 from=10.0.0.9      # an ICMP error about the packet of the line before
//! expect state=SF history=Sh orig.packets=3
//! expect#1 state=S0              # the second connection that ended
//! ```

mod value;

use crate::track::Event;
use crate::track::event::{Echo, Flow, IcmpError};
use crate::track::events::Events;
use crate::track::shard::Memory;
use crate::{Restrict, ingest::Ingest, ingest::Work, pipeline, wire::DecodeConfig};
use kcap_file::Reader;
use kcap_samples::file::Frame;
use kcap_samples::file::classic::{Classic, Flavour};
use kcap_samples::packet::{self, Ethernet, Icmp, Ipv4, Ipv6, Layer, Sll, Sll2, Tcp, Udp, Vxlan, flags, options};
use std::collections::HashMap;
use std::io::Cursor;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What a run of frames came to.
#[derive(Default)]
pub(crate) struct Facts {
    pub(crate) flows: Vec<Flow>,
    pub(crate) errors: Vec<IcmpError>,
    pub(crate) echoes: Vec<Echo>,
    pub(crate) dns: Vec<crate::track::dns::Transaction>,
    pub(crate) turns: Vec<crate::track::Turn>,
    pub(crate) arps: Vec<crate::track::event::ArpUnanswered>,
    pub(crate) resends: Vec<crate::track::tcp::TcpEvent>,
    pub(crate) conflicts: Vec<crate::track::event::AddressConflict>,
    pub(crate) tallies: usize,
    pub(crate) evicted: u64,
    /// Packets taken, and how many of them were most of connections not yet told of.
    packets: usize,
    pub(crate) most_open: usize,
}

impl pipeline::Collect for Facts {
    type Error = std::convert::Infallible;

    fn chunk(&mut self, work: &Work, events: &mut Events) -> Result<(), Self::Error> {
        self.part(events)?;
        self.packets += work.shards.iter().map(Vec::len).sum::<usize>();
        self.most_open = self.most_open.max(self.packets - self.flows.len().min(self.packets));
        Ok(())
    }

    fn part(&mut self, events: &mut Events) -> Result<(), Self::Error> {
        self.dns.append(&mut events.transactions);
        for (_, event) in events.drain(..) {
            match event {
                Event::Flow(flow) => self.flows.push(*flow),
                Event::IcmpError(error) => self.errors.push(*error),
                Event::Echo(echo) => self.echoes.push(*echo),
                Event::Turn(turn) => self.turns.push(*turn),
                Event::ArpUnanswered(arp) => self.arps.push(*arp),
                Event::AddressConflict(conflict) => self.conflicts.push(*conflict),
                Event::Quic(quic) => self.turns.push(quic.turn),
                Event::Speakers(_) | Event::Flagged(_) => {}
                Event::Tcp(event) => self.resends.push(*event),
                Event::Tally { .. } => self.tallies += 1,
            }
        }
        Ok(())
    }
}

pub(crate) const LINK_ETHERNET: u32 = 1;
const LINK_SLL: u32 = 113;
pub(crate) const LINK_SLL2: u32 = 276;
/// When the tables' clock starts, nanoseconds since the epoch.
pub(crate) const START_NS: u64 = 1_700_000_000_000_000_000;

/// Tracks frames of a link type. `memory` is for connections alone.
pub(crate) fn track(link: u32, frames: &[Frame], memory: u64) -> Facts {
    track_file(Classic { flavour: Flavour::Nanos, ..Classic::new(link) }.file(frames), memory)
}

/// Tracks a capture file.
pub(crate) fn track_file(file: Vec<u8>, memory: u64) -> Facts {
    let reader = Reader::from_read(Box::new(Cursor::new(file)), "table").expect("the file is a capture");
    let ingest = Ingest::new(DecodeConfig::default(), Restrict::default(), 1 << 20, false);
    let mut facts = Facts::default();
    let Ok(finished) = pipeline::run(
        Box::new(reader),
        ingest,
        Memory { flows: memory, dns: memory / 8, compat: None, passages: None },
        1,
        &mut facts,
    );
    facts.evicted = finished.left_out.flows;
    facts
}

/// Runs a table and checks what it expects.
pub(crate) fn check(table: &str) -> Facts {
    let (script, facts) = tracked(table);
    assert!(!script.expected.is_empty(), "a table that expects nothing");
    for (flow, key, expected) in &script.expected {
        let given = value::value(&facts, *flow, key);
        assert_eq!(&given, expected, "{key} of connection {flow} in\n{table}\n{:?}", facts.flows);
    }
    facts
}

/// Runs a table.
pub(crate) fn run(table: &str) -> Facts {
    tracked(table).1
}

fn tracked(table: &str) -> (Script, Facts) {
    let mut script = Script::new();
    for line in table.lines() {
        script.line(line.split('#').next().unwrap_or_default().trim_end(), line);
    }
    let facts = track(script.link, &script.frames, 64 << 20);
    (script, facts)
}

/// One direction's sender.
struct Side {
    isn: u32,
    /// Relative sequence number after the last byte sent.
    next: u32,
    ip_id: u16,
}

/// Where a packet is seen.
#[derive(Clone, Copy)]
struct Place {
    interface: u32,
    outgoing: bool,
    vni: Option<u32>,
}

/// A packet of the table, to show it again and to quote it.
#[derive(Clone)]
struct Shown {
    forward: bool,
    ttl: u8,
    ip_id: u16,
    transport: Layer,
    payload: Vec<u8>,
    place: Place,
}

struct Script {
    link: u32,
    v6: bool,
    sides: [Side; 2],
    last: Option<Shown>,
    frames: Vec<Frame>,
    expected: Vec<(usize, String, String)>,
}

type Fields<'a> = HashMap<&'a str, &'a str>;

fn number<T: std::str::FromStr>(fields: &Fields<'_>, key: &str) -> Option<T> {
    fields.get(key).map(|text| text.parse().unwrap_or_else(|_| panic!("{key}={text} is no number")))
}

impl Script {
    fn new() -> Self {
        let side = |isn| Side { isn, next: 0, ip_id: 1 };
        Self {
            link: LINK_ETHERNET,
            v6: false,
            sides: [side(1000), side(5000)],
            last: None,
            frames: Vec::new(),
            expected: Vec::new(),
        }
    }

    fn line(&mut self, line: &str, whole: &str) {
        // `expect#1` is no comment.
        let line = if whole.trim_start().starts_with("expect#") { whole } else { line };
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [] => {}
            ["link", name] => self.link = link_type(name),
            ["ip", version] => self.v6 = version == "v6",
            ["isn", way, isn] => self.sides[usize::from(way == "<")].isn = isn.parse().expect("a number"),
            [first, ref expected @ ..] if first.starts_with("expect") => self.expect(first, expected),
            [time, "!", icmp, ref fields @ ..] => self.icmp(at(time), icmp, &pairs(fields)),
            [time, "again", ref fields @ ..] => self.again(at(time), &pairs(fields)),
            [time, way, what, ref fields @ ..] => self.packet(at(time), way == ">", what, &pairs(fields)),
            _ => panic!("cannot read {line:?}"),
        }
    }

    fn expect(&mut self, first: &str, expected: &[&str]) {
        let flow = first.strip_prefix("expect#").map_or(0, |flow| flow.parse().expect("a number"));
        for (key, value) in pairs(expected) {
            self.expected.push((flow, key.to_owned(), value.to_owned()));
        }
    }

    fn packet(&mut self, ts_ns: u64, forward: bool, what: &str, fields: &Fields<'_>) {
        let told = fields.get("hex").map(|text| bytes_of(text));
        let payload =
            told.unwrap_or_else(|| vec![number(fields, "fill").unwrap_or(0x55); number(fields, "len").unwrap_or(0)]);
        let len = payload.len();
        let transport = match what {
            "udp" => Udp::new(if forward { 40_000 } else { 53 }, if forward { 53 } else { 40_000 }).into(),
            letters => self.segment(forward, letters, fields, len as u32).into(),
        };
        let side = &mut self.sides[usize::from(!forward)];
        let ip_id = number(fields, "id").unwrap_or(side.ip_id);
        side.ip_id = side.ip_id.max(ip_id) + 1;
        let outgoing = !forward;
        let place = Place { interface: 2, outgoing, vni: None };
        let shown = Shown { forward, ttl: 64, ip_id, transport, payload, place };
        self.show(ts_ns, shown, fields);
    }

    fn segment(&mut self, forward: bool, letters: &str, fields: &Fields<'_>, len: u32) -> Tcp {
        let known = [('S', flags::SYN), ('F', flags::FIN), ('R', flags::RST), ('P', flags::PSH), ('A', flags::ACK)];
        let bit = |letter| known.iter().find(|known| known.0 == letter).map_or(0, |known| known.1);
        let set = letters.chars().fold(0, |all, letter| all | bit(letter));
        let acknowledged = if set & flags::ACK == 0 { 0 } else { self.sides[usize::from(forward)].next };
        let peer_isn = self.sides[usize::from(forward)].isn;
        let side = &mut self.sides[usize::from(!forward)];
        let seq: u32 = number(fields, "seq").unwrap_or(side.next);
        let taken = len + u32::from(set & (flags::SYN | flags::FIN) != 0);
        side.next = side.next.max(seq.wrapping_add(taken));
        let ack = peer_isn.wrapping_add(number(fields, "ack").unwrap_or(acknowledged));
        Tcp {
            src: if forward { 40_000 } else { 80 },
            dst: if forward { 80 } else { 40_000 },
            seq: side.isn.wrapping_add(seq),
            ack: if set & flags::ACK == 0 { 0 } else { ack },
            flags: set,
            window: number(fields, "win").unwrap_or(64_240),
            options: tcp_options(fields, peer_isn),
        }
    }

    fn again(&mut self, ts_ns: u64, fields: &Fields<'_>) {
        let shown = self.last.clone().expect("a packet to show again");
        self.show(ts_ns, shown, fields);
    }

    fn show(&mut self, ts_ns: u64, mut shown: Shown, fields: &Fields<'_>) {
        let place = &mut shown.place;
        place.interface = number(fields, "if").unwrap_or(place.interface);
        place.outgoing = fields.get("dir").map_or(place.outgoing, |way| *way == "out");
        place.vni = number(fields, "vni").or(place.vni).filter(|_| fields.get("vni") != Some(&"0"));
        shown.ttl = number(fields, "ttl").unwrap_or(shown.ttl);
        let inner = [self.ip(&shown), shown.transport.clone()];
        self.frame(ts_ns, &shown, &inner, &shown.payload.clone());
        self.last = Some(shown);
    }

    fn ip(&self, shown: &Shown) -> Layer {
        if self.v6 {
            let (src, dst) = (Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1), Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2));
            let (src, dst) = if shown.forward { (src, dst) } else { (dst, src) };
            Ipv6 { hop_limit: shown.ttl, ..Ipv6::new(src, dst) }.into()
        } else {
            let (src, dst) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
            let (src, dst) = if shown.forward { (src, dst) } else { (dst, src) };
            Ipv4 { ttl: shown.ttl, id: shown.ip_id, ..Ipv4::new(src, dst) }.into()
        }
    }

    /// Appends a frame of the inner layers, in link and tunnel layers.
    fn frame(&mut self, ts_ns: u64, shown: &Shown, inner: &[Layer], payload: &[u8]) {
        let Place { interface, outgoing, vni } = shown.place;
        let packet_type = if outgoing { 4 } else { 0 };
        let mut layers: Vec<Layer> = vec![match self.link {
            LINK_SLL => Sll { packet_type, ..Sll::default() }.into(),
            LINK_SLL2 => Sll2 { interface, packet_type: packet_type as u8, ..Sll2::default() }.into(),
            _ => Ethernet::new(1, 2).into(),
        }];
        if let Some(vni) = vni {
            let (a, b) = (Ipv4Addr::new(192, 168, 0, 1), Ipv4Addr::new(192, 168, 0, 2));
            let (from, to) = if shown.forward { (a, b) } else { (b, a) };
            layers.extend([Ipv4::new(from, to).into(), Udp::new(50_000, 8472).into()]);
            layers.extend([Vxlan { vni }.into(), Ethernet::new(3, 4).into()]);
        }
        layers.extend_from_slice(inner);
        self.frames.push(Frame::new(ts_ns, packet::build(&layers, payload)));
    }

    /// An ICMP error from somebody to the sender of the last packet, with the packet's first bytes.
    fn icmp(&mut self, ts_ns: u64, icmp: &str, fields: &Fields<'_>) {
        let about = self.last.clone().expect("a packet to complain about");
        let (kind, code) = icmp.split_once('/').expect("type/code");
        let quoted = packet::build(&[self.ip(&about), about.transport.clone()], &about.payload);
        let mtu = number(fields, "mtu").unwrap_or(0);
        let icmp =
            Icmp { v6: self.v6, kind: kind.parse().expect("a type"), code: code.parse().expect("a code"), rest: mtu };
        let mut shown = Shown { forward: !about.forward, ip_id: number(fields, "id").unwrap_or(77), ..about.clone() };
        shown.place.outgoing = !about.place.outgoing;
        shown.ttl = number(fields, "ttl").unwrap_or(64);
        shown.place.vni = number(fields, "vni").or(shown.place.vni);
        shown.place.interface = number(fields, "if").unwrap_or(shown.place.interface);
        let mut ip = self.ip(&shown);
        let from: Option<IpAddr> = fields.get("from").map(|from| from.parse().expect("an address"));
        match (&mut ip, from) {
            (Layer::Ipv4(ip), Some(IpAddr::V4(from))) => ip.src = from,
            (Layer::Ipv6(ip), Some(IpAddr::V6(from))) => ip.src = from,
            _ => {}
        }
        self.frame(ts_ns, &shown, &[ip, icmp.into()], &quoted[..quoted.len().min(if self.v6 { 88 } else { 60 })]);
    }
}

fn link_type(name: &str) -> u32 {
    match name {
        "eth" => LINK_ETHERNET,
        "sll" => LINK_SLL,
        "sll2" => LINK_SLL2,
        _ => panic!("unknown link {name}"),
    }
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("two digits");
    (0..hex.len()).step_by(2).map(byte).collect()
}

fn tcp_options(fields: &Fields<'_>, peer_isn: u32) -> Vec<u8> {
    let mut all = Vec::new();
    if let Some(mss) = number::<u16>(fields, "mss") {
        all.extend([2, 4].into_iter().chain(mss.to_be_bytes()));
    }
    if let Some(scale) = number::<u8>(fields, "ws") {
        all.extend([1, 3, 3, scale]);
    }
    if let Some(tsval) = number::<u32>(fields, "ts") {
        all.extend(options::timestamps(tsval, 0));
    }
    if let Some((start, end)) = fields.get("sack").and_then(|block| block.split_once('-')) {
        let edge = |text: &str| peer_isn.wrapping_add(text.parse().expect("a number")).to_be_bytes();
        all.extend([1, 1, 5, 10].into_iter().chain(edge(start)).chain(edge(end)));
    }
    all
}

fn pairs<'a>(words: &[&'a str]) -> Fields<'a> {
    let pair = |word: &&'a str| word.split_once('=').unwrap_or_else(|| panic!("{word:?} is no key=value"));
    words.iter().map(pair).collect()
}

fn at(time: &str) -> u64 {
    let seconds: f64 = time.parse().unwrap_or_else(|_| panic!("{time:?} is no time"));
    START_NS + (seconds * 1e9).round() as u64
}
