//! pcapng: blocks of type, length, body and length again, in sections that each have their own byte order and
//! interfaces. <https://datatracker.ietf.org/doc/draft-ietf-opsawg-pcapng/>.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod block;
mod describe;
mod options;
mod time;

use self::block::{Block, Framing, frame};
use self::options::Options;
use self::time::Ticks;
use super::chunk::{Chunk, MAX_SCANNED, Out, Pending, Plausible, Resync, Stop, cut};
use crate::bytes::{Order, padded};
use crate::{Direction, NameRecord, ProblemKind, Record};
use std::collections::HashSet;

pub(super) use self::block::is_pcapng;

/// What is kept of names, comments and custom blocks of one file.
const MAX_METADATA: usize = 16 * 1024 * 1024;
/// Interfaces kept of one file, over all sections.
const MAX_INTERFACES: usize = 16_384;
/// `epb_flags` and `pack_flags`.
const OPT_FLAGS: u16 = 2;
const OPT_DROPCOUNT: u16 = 4;

/// Walks the blocks.
pub(super) struct Pcapng {
    order: Order,
    /// The section is of a version that this crate does not know: its blocks are left out.
    foreign: bool,
    /// Interfaces of the current section.
    interfaces: Vec<SectionInterface>,
    /// Bytes of metadata that may still be kept.
    budget: usize,
    resync: Option<Resync>,
    /// Name records seen, to keep a repeated one once.
    known_names: HashSet<NameRecord>,
}

struct SectionInterface {
    /// Index over all sections.
    global: u32,
    snaplen: u32,
    ticks: Ticks,
    told: bool,
}

/// A packet block, whichever of the three kinds.
struct Packet<'a> {
    interface: u32,
    ticks: Option<u64>,
    caplen: u32,
    orig_len: u32,
    /// The frame, its padding and the options.
    body: &'a [u8],
    /// Where `body` starts in the chunk.
    offset: usize,
}

impl Pcapng {
    pub(super) fn new() -> Self {
        Self {
            order: Order::Little,
            foreign: false,
            interfaces: Vec::new(),
            budget: MAX_METADATA,
            resync: None,
            known_names: HashSet::new(),
        }
    }

    pub(super) fn walk(&mut self, chunk: &Chunk<'_>, out: &mut Out<'_>) -> Pending {
        let mut at = 0;
        loop {
            let stop = match (self.resync.take(), self.order) {
                (Some(resync), _) => self.seek(resync, chunk, at, out),
                (None, Order::Little) => self.blocks::<false>(chunk, at, out),
                (None, Order::Big) => self.blocks::<true>(chunk, at, out),
            };
            match stop {
                Stop::Pending(pending) => return pending,
                Stop::At(next) => at = next,
            }
        }
    }

    /// Walks blocks of one byte order.
    fn blocks<const BIG: bool>(&mut self, chunk: &Chunk<'_>, start: usize, out: &mut Out<'_>) -> Stop {
        let order = if BIG { Order::Big } else { Order::Little };
        let mut at = start;
        loop {
            let block = match frame(order, chunk, at) {
                Framing::Block(block) => block,
                Framing::Cut(need) => return self.cut(chunk, at, need, out),
                Framing::Corrupt => return self.lost(chunk, at, ProblemKind::CorruptLength),
            };
            if block.is_numbered() && !out.records.is_empty() {
                return Stop::Pending(Pending { at, need: 0, gap: true });
            }
            if !block.closed {
                out.note(ProblemKind::CorruptLength, chunk.place(at), 0);
            }
            at = block.end;
            if block.kind == block::ENHANCED_PACKET && !self.foreign {
                self.enhanced(order, chunk, &block, out);
            } else if block.kind == block::SECTION {
                self.section(chunk, &block, out);
                return Stop::At(at);
            } else {
                self.other(chunk, &block, out);
            }
        }
    }

    /// Less than `need` bytes are there. At the end of the file, that may be the fault of a corrupt length.
    fn cut(&mut self, chunk: &Chunk<'_>, at: usize, need: usize, out: &mut Out<'_>) -> Stop {
        match chunk.bytes.get(at..) {
            Some(rest @ [_, ..]) if chunk.last && !block::is_torn_packet(self.order, rest) => {
                self.lost(chunk, at, ProblemKind::TornTail)
            }
            _ => cut(chunk, at, need, out),
        }
    }

    fn lost(&mut self, chunk: &Chunk<'_>, at: usize, otherwise: ProblemKind) -> Stop {
        self.resync = Some(Resync { from: chunk.place(at), otherwise });
        Stop::At(at.saturating_add(1))
    }

    fn seek(&mut self, resync: Resync, chunk: &Chunk<'_>, at: usize, out: &mut Out<'_>) -> Stop {
        let order = self.order;
        let stop = resync.seek(chunk, at, out, |place| {
            if !block::looks_like_one(order, chunk, place) {
                return Plausible::No;
            }
            match frame(order, chunk, place) {
                Framing::Block(block) if block.closed => Plausible::Yes,
                Framing::Cut(need) if need <= MAX_SCANNED => Plausible::Cut,
                _ => Plausible::No,
            }
        });
        if matches!(stop, Stop::Pending(_)) && !chunk.last {
            self.resync = Some(resync);
        }
        stop
    }

    #[inline]
    fn enhanced(&mut self, order: Order, chunk: &Chunk<'_>, block: &Block<'_>, out: &mut Out<'_>) {
        let Some((fields, body)) = block.body.split_first_chunk::<20>() else {
            return out.note(ProblemKind::MalformedBlock, chunk.place(block.start), block.len());
        };
        let field = |at| order.u32_at(fields, at).unwrap_or_default();
        let packet = Packet {
            interface: field(0),
            ticks: Some(u64::from(field(4)) << 32 | u64::from(field(8))),
            caplen: field(12),
            orig_len: field(16),
            body,
            offset: block.start.saturating_add(28),
        };
        self.packet(order, chunk, block, &packet, out);
    }

    #[inline]
    fn packet(&mut self, order: Order, chunk: &Chunk<'_>, block: &Block<'_>, packet: &Packet<'_>, out: &mut Out<'_>) {
        let place = chunk.place(block.start);
        let Some(interface) = self.interfaces.get_mut(packet.interface as usize) else {
            return out.note(ProblemKind::UnknownInterface, place, block.len());
        };
        let caplen = packet.caplen as usize;
        if caplen > packet.body.len() {
            return out.note(ProblemKind::MalformedBlock, place, block.len());
        }
        if packet.caplen > interface.snaplen {
            out.longer_than_snaplen(place, &mut interface.told);
        }
        let mut record = Record {
            ts_ns: packet.ticks.map_or(0, |ticks| interface.ticks.nanos(ticks)),
            offset: packet.offset as u32,
            caplen: packet.caplen,
            orig_len: packet.orig_len,
            interface: interface.global,
            direction: Direction::Unknown,
        };
        if let Some(options @ [_, ..]) = packet.body.get(padded(caplen)..) {
            packet_options(&mut record, Options::new(options, order), place, out);
        }
        out.records.push(record);
    }

    /// Simple packet block: no time, interface 0, cut at the snap length.
    fn simple(&mut self, chunk: &Chunk<'_>, block: &Block<'_>, out: &mut Out<'_>) {
        let Some((fields, body)) = block.body.split_first_chunk::<4>() else {
            return out.note(ProblemKind::MalformedBlock, chunk.place(block.start), block.len());
        };
        let orig_len = self.order.u32(*fields);
        let snaplen = self.interfaces.first().map_or(u32::MAX, |i| i.snaplen);
        let caplen = orig_len.min(snaplen);
        let body = body.get(..padded(caplen as usize)).unwrap_or(body);
        let packet =
            Packet { interface: 0, ticks: None, caplen, orig_len, body, offset: block.start.saturating_add(12) };
        self.packet(self.order, chunk, block, &packet, out);
    }

    /// The packet block that the enhanced one replaced.
    fn obsolete(&mut self, chunk: &Chunk<'_>, block: &Block<'_>, out: &mut Out<'_>) {
        let order = self.order;
        let Some((fields, body)) = block.body.split_first_chunk::<20>() else {
            return out.note(ProblemKind::MalformedBlock, chunk.place(block.start), block.len());
        };
        let [i0, i1, d0, d1, ..] = *fields;
        let drops = order.u16([d0, d1]);
        if drops != u16::MAX {
            out.info.dropped_between = out.info.dropped_between.saturating_add(u64::from(drops));
        }
        let field = |at| order.u32_at(fields, at).unwrap_or_default();
        let packet = Packet {
            interface: u32::from(order.u16([i0, i1])),
            ticks: Some(u64::from(field(4)) << 32 | u64::from(field(8))),
            caplen: field(12),
            orig_len: field(16),
            body,
            offset: block.start.saturating_add(28),
        };
        self.packet(order, chunk, block, &packet, out);
    }

    #[cold]
    fn other(&mut self, chunk: &Chunk<'_>, block: &Block<'_>, out: &mut Out<'_>) {
        if block.is_numbered() {
            out.info.numbered_blocks = out.info.numbered_blocks.saturating_add(1);
        }
        let good = match block.kind {
            _ if self.foreign => {
                out.info.unknown_blocks = out.info.unknown_blocks.saturating_add(1);
                true
            }
            block::SIMPLE_PACKET => return self.simple(chunk, block, out),
            block::OBSOLETE_PACKET => return self.obsolete(chunk, block, out),
            block::INTERFACE => self.interface(block, out.info),
            block::NAMES => self.names(block, out.info),
            block::STATISTICS => self.statistics(block, out.info),
            block::SECRETS => {
                out.info.secrets_blocks = out.info.secrets_blocks.saturating_add(1);
                true
            }
            block::CUSTOM | block::CUSTOM_LOCAL => self.custom(block, out.info),
            _ => {
                out.info.unknown_blocks = out.info.unknown_blocks.saturating_add(1);
                true
            }
        };
        if !good {
            out.note(ProblemKind::MalformedBlock, chunk.place(block.start), block.len());
        }
    }
}

#[cold]
fn packet_options(record: &mut Record, mut options: Options<'_>, place: u64, out: &mut Out<'_>) {
    let order = options.order;
    for (code, value) in options.by_ref() {
        match code {
            OPT_FLAGS => record.direction = direction(order.u32_at(value, 0).unwrap_or_default()),
            OPT_DROPCOUNT => {
                let drops = order.u64_at(value, 0).unwrap_or_default();
                out.info.dropped_between = out.info.dropped_between.saturating_add(drops);
            }
            _ => {}
        }
    }
    if options.broken {
        out.note(ProblemKind::MalformedBlock, place, 0);
    }
}

/// Bits 0–1 of `epb_flags`.
fn direction(flags: u32) -> Direction {
    match flags & 3 {
        1 => Direction::In,
        2 => Direction::Out,
        _ => Direction::Unknown,
    }
}
