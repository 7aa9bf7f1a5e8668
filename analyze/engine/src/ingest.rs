//! The first stage: frames of a batch to packets, in order. Everything that depends on the order of all frames is here:
//! capture points, tunnels, reassembly, restriction, counts by layer and by second.

use crate::context::until_ns;
use crate::packet::{Kind, Packet, TcpFlags};
use crate::track::decoded::Decoded;
use crate::track::dns::{DnsRef, is_dns_port, shard_of_id};
use crate::track::flows::Source;
use crate::track::fragments::{Fragmented, Inside, Key as FragmentKey, Reassembler, Seen};
use crate::track::icmp::{concerned, quoted};
use crate::track::key::{NEIGHBOUR_SHARD, SHARDS, shard_of};
use crate::track::lane::sample;
use crate::track::points::{Point, Points};
use crate::track::tunnels::{Tunnel, Tunnels};
use crate::track::{Endpoint, FrameId};
use crate::wire::icmp::Quote;
use crate::wire::{self, DecodeConfig, Fragment, Layers};
use crate::{Chunk, Restrict};
use kcap_file::{CaptureInfo, LinkType, Record};
use std::sync::Arc;

/// A chunk of packets on its way through the stages.
#[derive(Debug, Default)]
pub(crate) struct Work {
    /// Number of the chunk, from 0.
    pub(crate) number: u64,
    pub(crate) chunk: Chunk,
    /// Packets by shard.
    pub(crate) shards: [Vec<Packet>; SHARDS],
    /// Which packets have DNS, by the shard that tracks it.
    dns: [Vec<DnsRef>; SHARDS],
    /// Packets that no shard tracks, when all packets are wanted.
    pub(crate) untracked: Vec<Packet>,
    /// Time at the end of the chunk.
    pub(crate) now_ns: i64,
    /// Files first seen in this chunk.
    pub(crate) captures: Vec<Arc<str>>,
    /// Points and tunnels first seen in this chunk.
    pub(crate) points: Vec<Point>,
    pub(crate) tunnels: Vec<Tunnel>,
    /// Whether packets of the unit were seen at several points.
    pub(crate) has_points: bool,
    /// Frames by second and point.
    pub(crate) seconds: Vec<SecondCount>,
    /// Datagrams in fragments whose fate was decided in this chunk.
    pub(crate) fragments: Vec<Fragmented>,
}

/// Frames of one point in one second.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SecondCount {
    pub(crate) second: i64,
    pub(crate) point: u16,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
}

const SECOND: i64 = 1_000_000_000;

impl SecondCount {
    /// Whether a time is in the second, told without the division that every packet would pay.
    #[inline]
    fn has(&self, ns: i64) -> bool {
        (0..SECOND).contains(&ns.wrapping_sub(self.second.wrapping_mul(SECOND)))
    }
}

impl Work {
    /// Empties the work and keeps its memory.
    fn clear(&mut self) {
        self.shards.iter_mut().for_each(Vec::clear);
        self.dns.iter_mut().for_each(Vec::clear);
        self.untracked.clear();
        self.captures.clear();
        self.points.clear();
        self.tunnels.clear();
        self.seconds.clear();
        self.fragments.clear();
        self.chunk.extra.clear();
    }

    /// Packets with DNS that a shard tracks, in order.
    pub(crate) fn dns(&self, shard: usize) -> impl Iterator<Item = &Packet> + Clone {
        let packet = |at: &DnsRef| self.shards.get(usize::from(at.shard))?.get(at.at as usize);
        self.dns[shard].iter().filter_map(packet)
    }

    /// What its packets lead back to.
    pub(crate) fn frames(&self) -> Source<'_> {
        Source { chunk: &self.chunk, first: self.first(), unit: self.chunk.batch.unit, has_points: self.has_points }
    }

    /// The frame that a packet of this work was.
    pub(crate) fn first(&self) -> FrameId {
        FrameId::new(self.chunk.batch.capture, self.chunk.batch.first_frame)
    }
}

/// State of the first stage.
pub(crate) struct Ingest {
    config: DecodeConfig,
    is_restricted: bool,
    restrict: Restrict,
    /// Whether packets that no shard tracks are kept.
    keep_untracked: bool,
    layers: Layers,
    pub(crate) points: Points,
    pub(crate) tunnels: Tunnels,
    pub(crate) fragments: Reassembler,
    pub(crate) decoded: Decoded,
    /// Frames left out because the user restricted the analysis.
    pub(crate) restricted: u64,
    chunks: u64,
    captures: usize,
    now_ns: i64,
    unit: u32,
}

impl Ingest {
    pub(crate) fn new(config: DecodeConfig, restrict: Restrict, fragment_bytes: usize, keep_untracked: bool) -> Self {
        Self {
            config,
            is_restricted: restrict.is_any(),
            restrict,
            keep_untracked,
            layers: Layers::default(),
            points: Points::default(),
            tunnels: Tunnels::new(),
            fragments: Reassembler::new(fragment_bytes),
            decoded: Decoded::default(),
            restricted: 0,
            chunks: 0,
            captures: 0,
            now_ns: i64::MIN,
            unit: 0,
        }
    }

    /// Decodes the work's batch and deals its packets to the shards. `captures` are the files opened so far.
    pub(crate) fn take(&mut self, work: &mut Work, captures: &[CaptureInfo]) {
        work.clear();
        work.captures.extend(captures[self.captures..].iter().map(|info| Arc::from(info.name.as_str())));
        self.captures = captures.len();
        work.number = self.chunks;
        self.chunks += 1;
        if self.unit != work.chunk.batch.unit {
            self.fragments.end(self.now_ns);
            self.unit = work.chunk.batch.unit;
        }
        let (points, tunnels) = (self.points.list().len(), self.tunnels.list().len());
        for index in 0..work.chunk.batch.records.len() {
            self.record(index, work);
        }
        work.now_ns = self.now_ns;
        work.has_points = self.points.are_several();
        work.points.extend_from_slice(&self.points.list()[points..]);
        work.tunnels.extend_from_slice(&self.tunnels.list()[tunnels..]);
        work.fragments = self.fragments.take_decided();
    }

    /// A chunk without packets for the silence that the last capture ended in, where it says so. False where there is
    /// none, or the analysis is of a part.
    pub(crate) fn take_silence(&mut self, work: &mut Work, captures: &[CaptureInfo]) -> bool {
        let until_ns = captures.last().and_then(until_ns).filter(|until_ns| *until_ns > self.now_ns);
        let Some(until_ns) = until_ns.filter(|_| !self.is_restricted && self.chunks > 0) else { return false };
        self.now_ns = until_ns;
        work.chunk.batch.clear();
        work.chunk.batch.unit = self.unit;
        self.take(work, captures);
        true
    }

    /// The datagrams that still wait for fragments when everything is read.
    pub(crate) fn finish(&mut self) -> Vec<Fragmented> {
        self.fragments.end(self.now_ns);
        self.fragments.take_decided()
    }

    #[inline]
    fn record(&mut self, index: usize, work: &mut Work) {
        let batch = &work.chunk.batch;
        let record = batch.records[index];
        let link = batch.interfaces.get(record.interface as usize).map(|interface| interface.link_type);
        let (link, frame) = (link.unwrap_or_default(), batch.frame(&record));
        if self.is_restricted && !self.restrict.accepts_frame(&record, link, frame) {
            self.restricted += 1;
            return;
        }
        let mut packet =
            Packet { ts_ns: record.ts_ns, index: index as u32, direction: record.direction, ..Packet::default() };
        wire::decode(frame, link, record.orig_len, &self.config, &mut packet, &mut self.layers);
        packet.l4_offset = packet.l4_offset.wrapping_add(record.offset);
        packet.point = self.points.at(batch, &record, self.layers.interface_index);
        let id = FrameId::new(batch.capture, batch.first_frame + index as u64);
        let unit = batch.unit;
        if packet.kind == Kind::Fragment {
            self.reassemble(&record, id, &mut packet, &mut work.chunk);
        }
        if self.is_restricted && !self.restrict.accepts_packet(&packet, &work.chunk) {
            self.restricted += 1;
            return;
        }
        self.tunnel(&record, id, unit, &mut packet, &work.chunk);
        self.now_ns = record.ts_ns;
        self.decoded.count(&packet, &record, &self.layers);
        count_second(&mut work.seconds, &packet, &record);
        if self.points.hides_interface() {
            packet.bits.set_hides_interface();
        }
        if matches!(packet.kind, Kind::Udp | Kind::Ip) {
            packet.tsval = sample(work.chunk.payload(&packet));
        }
        self.deal(&packet, work);
    }

    /// Notes the tunnel that the packet came through, and looks at what the outer headers say of it.
    #[inline]
    fn tunnel(&mut self, record: &Record, frame: FrameId, unit: u32, packet: &mut Packet, chunk: &Chunk) {
        packet.tunnel = self.tunnels.enter(self.layers.outers(), unit, packet.ts_ns, frame);
        let Some(outer) = self.layers.outers().last() else { return };
        if outer.src > outer.dst {
            packet.bits.set_from_b();
        }
        let tells = packet.flags.any(TcpFlags::SYN) || packet.flags == TcpFlags::default();
        if tells && !packet.bits.is_reassembled() {
            self.tunnels.check(packet, outer, chunk.batch.frame(record), frame);
        }
    }

    /// Hands a fragment on; the last one missing brings the whole datagram, which is decoded from where the fragment
    /// stopped.
    fn reassemble(&mut self, record: &Record, frame: FrameId, packet: &mut Packet, chunk: &mut Chunk) {
        let Some(fragment) = self.layers.fragment else { return };
        let outers = self.layers.outers();
        let key = FragmentKey::new(packet, outers.last(), &fragment);
        let start = record.offset.saturating_add(fragment.payload_offset);
        let payload = chunk.bytes(start, fragment.payload_caplen);
        let (is_first, has_ports) = (fragment.offset == 0, matches!(fragment.proto, 6 | 17));
        let seen = Seen {
            ns: packet.ts_ns,
            frame,
            ports: (is_first && has_ports).then_some((packet.src_port, packet.dst_port)),
            inside: if is_first { self.inside(&fragment, packet, payload) } else { None },
        };
        let Some(datagram) = self.fragments.push(key, seen, &fragment, payload) else { return };
        let (offset, len) = (chunk.extra.len() as u32, datagram.bytes.len() as u32);
        let v4 = packet.src.is_v4();
        wire::decode_transport(datagram.proto, &datagram.bytes, len, v4, &self.config, packet, &mut self.layers);
        packet.l4_offset = packet.l4_offset.saturating_add(Chunk::EXTRA).saturating_add(offset);
        chunk.extra.extend_from_slice(&datagram.bytes);
    }

    /// What a tunnel's packet carries, as far as its first fragment shows.
    fn inside(&self, fragment: &Fragment, packet: &Packet, payload: &[u8]) -> Option<Inside> {
        let (mut inner, mut layers) = (*packet, Layers::default());
        let (len, is_v4) = (fragment.payload_len, packet.src.is_v4());
        wire::decode_transport(fragment.proto, payload, len, is_v4, &self.config, &mut inner, &mut layers);
        let kind = layers.outers().first()?.kind;
        Some(Inside { kind, src: inner.src, dst: inner.dst })
    }

    #[inline]
    fn deal(&self, packet: &Packet, work: &mut Work) {
        let shard = match packet.kind {
            Kind::Tcp | Kind::Udp | Kind::Ip | Kind::Echo => shard_of(packet),
            Kind::Arp => NEIGHBOUR_SHARD,
            Kind::Icmp if is_discovery(packet, &work.chunk) => NEIGHBOUR_SHARD,
            Kind::IcmpError => error_shard(packet, &work.chunk),
            Kind::Other | Kind::Icmp | Kind::Fragment => {
                if self.keep_untracked {
                    work.untracked.push(*packet);
                }
                return;
            }
        };
        if let Some(tracks) = dns_shard(packet, shard, &work.chunk) {
            let at = work.shards[shard].len() as u32;
            work.dns[tracks].push(DnsRef { shard: shard as u8, at });
        }
        work.shards[shard].push(*packet);
    }
}

/// The shard that tracks the DNS in a packet, or about which an ICMP error is; `shard` tracks its connection.
#[inline]
fn dns_shard(packet: &Packet, shard: usize, chunk: &Chunk) -> Option<usize> {
    match packet.kind {
        Kind::Udp if is_dns_port(packet) || may_be_dns(packet, chunk) => {
            let id = chunk.payload(packet).first_chunk()?;
            Some(shard_of_id(u16::from_be_bytes(*id)))
        }
        Kind::Tcp if is_dns_port(packet) => Some(shard),
        Kind::IcmpError => quote_of(packet, chunk)?.packet.head.map(shard_of_id),
        _ => None,
    }
}

/// Whether a datagram between other ports looks like DNS. A glance at its counts turns nearly everything else down.
#[inline]
fn may_be_dns(packet: &Packet, chunk: &Chunk) -> bool {
    let bytes = chunk.payload(packet);
    let Some(&[_, _, flags, _, 0, 1, _, answers, 0, _, 0, 0..=31]) = bytes.first_chunk() else { return false };
    let plausible = flags & 0x78 == 0 && (flags & 0x80 != 0 || answers == 0);
    plausible
        && wire::dns::may_have_shape(packet.src_port, packet.dst_port)
        && wire::dns::message(bytes, packet.payload_len as usize).is_some_and(|message| message.has_shape())
}

fn is_discovery(packet: &Packet, chunk: &Chunk) -> bool {
    !packet.src.is_v4() && wire::neighbour::is_one(chunk.bytes(packet.l4_offset, packet.l4_caplen))
}

/// The shard of the connection that an ICMP error is about.
fn error_shard(packet: &Packet, chunk: &Chunk) -> usize {
    quote_of(packet, chunk).map_or(0, |quote| shard_of(&concerned(&quote)))
}

fn quote_of(packet: &Packet, chunk: &Chunk) -> Option<Quote> {
    wire::icmp::quote(chunk.bytes(packet.l4_offset, packet.l4_caplen), packet.src.is_v4())
}

/// Adds a frame to its second and point; frames of one second mostly follow each other.
#[inline]
fn count_second(seconds: &mut Vec<SecondCount>, packet: &Packet, record: &Record) {
    let bytes = u64::from(record.orig_len);
    match seconds.last_mut() {
        Some(count) if count.has(packet.ts_ns) && count.point == packet.point => {
            count.packets += 1;
            count.bytes += bytes;
        }
        _ => {
            let second = packet.ts_ns.div_euclid(SECOND);
            count_elsewhere(seconds, SecondCount { second, point: packet.point, packets: 1, bytes });
        }
    }
}

/// Adds to one of the seconds before, where several points take turns.
fn count_elsewhere(seconds: &mut Vec<SecondCount>, new: SecondCount) {
    let same = |count: &&mut SecondCount| count.second == new.second && count.point == new.point;
    match seconds.iter_mut().rev().take(16).find(same) {
        Some(count) => {
            count.packets += new.packets;
            count.bytes += new.bytes;
        }
        None => seconds.push(new),
    }
}

impl Restrict {
    fn accepts_frame(&mut self, record: &Record, link: LinkType, frame: &[u8]) -> bool {
        self.since_ns.is_none_or(|since| record.ts_ns >= since)
            && self.until_ns.is_none_or(|until| record.ts_ns <= until)
            && self.frames.as_mut().is_none_or(|filter| filter.accepts(link, frame, record.orig_len))
    }

    /// An ICMP error belongs to the packet that it quotes as well, and to what that carries.
    fn accepts_packet(&self, packet: &Packet, chunk: &Chunk) -> bool {
        let quotes = |quote: &Quote| self.is_of(&quoted(quote)) || self.is_of(&concerned(quote));
        let about = || quote_of(packet, chunk).is_some_and(|quote| quotes(&quote));
        self.is_of(packet) || packet.kind == Kind::IcmpError && about()
    }

    fn is_of(&self, packet: &Packet) -> bool {
        let (src, dst) = (Endpoint::src(packet), Endpoint::dst(packet));
        let host = |addr| self.hosts.contains(&addr);
        let port = |port| self.ports.contains(&port);
        (self.hosts.is_empty() || host(src.addr) || host(dst.addr))
            && (self.ports.is_empty() || port(src.port) || port(dst.port))
            && self.connection.is_none_or(|ends| ends == (src, dst) || ends == (dst, src))
    }
}
