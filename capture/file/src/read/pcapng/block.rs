//! The frame around every block.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::bytes::{Order, padded};
use crate::read::chunk::{Chunk, MAX_RECORD, MAX_SCANNED};

pub(super) const INTERFACE: u32 = 1;
pub(super) const OBSOLETE_PACKET: u32 = 2;
pub(super) const SIMPLE_PACKET: u32 = 3;
pub(super) const NAMES: u32 = 4;
pub(super) const STATISTICS: u32 = 5;
pub(super) const ENHANCED_PACKET: u32 = 6;
const JOURNAL: u32 = 9;
pub(super) const SECRETS: u32 = 10;
const SYSDIG_EVENT: u32 = 0x204;
const SYSDIG_EVENT_2: u32 = 0x216;
const SYSDIG_EVENT_2_LARGE: u32 = 0x221;
pub(super) const CUSTOM: u32 = 0x0bad;
pub(super) const CUSTOM_LOCAL: u32 = 0x4000_0bad;
/// The same in both byte orders.
pub(super) const SECTION: u32 = 0x0a0d_0d0a;
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
/// Type, length, length.
const SHORTEST: usize = 12;
/// An enhanced packet block of an empty frame.
const EMPTY_PACKET: usize = 32;

/// A whole block.
pub(super) struct Block<'a> {
    pub(super) kind: u32,
    pub(super) order: Order,
    pub(super) body: &'a [u8],
    /// Where it starts and ends in the chunk.
    pub(super) start: usize,
    pub(super) end: usize,
    /// The length behind it is the one before it.
    pub(super) closed: bool,
}

impl Block<'_> {
    /// Whether Wireshark gives it a frame number though it is no frame (wiretap/pcapng.c, from 3.6 on).
    #[inline]
    pub(super) fn is_numbered(&self) -> bool {
        matches!(self.kind, CUSTOM | CUSTOM_LOCAL | JOURNAL | SYSDIG_EVENT | SYSDIG_EVENT_2 | SYSDIG_EVENT_2_LARGE)
    }

    pub(super) fn len(&self) -> u64 {
        self.end.saturating_sub(self.start) as u64
    }
}

pub(super) enum Framing<'a> {
    Block(Block<'a>),
    /// So many bytes from its start are needed.
    Cut(usize),
    Corrupt,
}

/// Whether a file that starts with these bytes is pcapng.
pub(crate) fn is_pcapng(head: &[u8]) -> bool {
    Order::Little.u32_at(head, 0) == Some(SECTION) && (head.len() < SHORTEST || section_order(head).is_some())
}

fn section_order(block: &[u8]) -> Option<Order> {
    [Order::Little, Order::Big].into_iter().find(|order| order.u32_at(block, 8) == Some(BYTE_ORDER_MAGIC))
}

/// Reads the frame of the block at `at`. A block whose second length differs counts (as not closed) when something
/// that looks like a block, or the end of the file, follows it.
#[inline]
pub(super) fn frame<'a>(order: Order, chunk: &Chunk<'a>, at: usize) -> Framing<'a> {
    let rest = chunk.bytes.get(at..).unwrap_or_default();
    let Some(kind) = order.u32_at(rest, 0) else { return Framing::Cut(SHORTEST) };
    let order = if kind == SECTION {
        match section_order(rest) {
            Some(order) => order,
            None if rest.len() < SHORTEST => return Framing::Cut(SHORTEST),
            None => return Framing::Corrupt,
        }
    } else {
        order
    };
    let Some(declared) = order.u32_at(rest, 4) else { return Framing::Cut(SHORTEST) };
    let total = padded(declared as usize);
    if !(SHORTEST..=MAX_RECORD).contains(&total) {
        return Framing::Corrupt;
    }
    let Some(block) = rest.get(..total) else { return Framing::Cut(total) };
    let body_end = total.saturating_sub(4);
    let closed = order.u32_at(block, body_end) == Some(declared);
    let end = at.saturating_add(total);
    if !closed {
        if !chunk.last && chunk.bytes.len() < end.saturating_add(SHORTEST) {
            return Framing::Cut(total.saturating_add(SHORTEST));
        }
        if !followed(order, chunk, end) {
            return Framing::Corrupt;
        }
    }
    Framing::Block(Block { kind, order, body: block.get(8..body_end).unwrap_or_default(), start: at, end, closed })
}

#[cold]
fn followed(order: Order, chunk: &Chunk<'_>, at: usize) -> bool {
    (chunk.last && at == chunk.bytes.len()) || looks_like_one(order, chunk, at)
}

/// A known type and a possible length: not more than a hint.
pub(super) fn looks_like_one(order: Order, chunk: &Chunk<'_>, at: usize) -> bool {
    let rest = chunk.bytes.get(at..).unwrap_or_default();
    match order.u32_at(rest, 0) {
        Some(SECTION) => rest.len() < SHORTEST || section_order(rest).is_some(),
        Some(1..=6 | SECRETS | CUSTOM | CUSTOM_LOCAL) => {
            order.u32_at(rest, 4).is_none_or(|len| len % 4 == 0 && (SHORTEST..=MAX_SCANNED).contains(&(len as usize)))
        }
        // The end of the chunk hides it.
        None => !chunk.last,
        Some(_) => false,
    }
}

/// An enhanced packet block that is good as far as it goes, and too short.
pub(super) fn is_torn_packet(order: Order, rest: &[u8]) -> bool {
    let field = |at| order.u32_at(rest, at);
    let (Some(ENHANCED_PACKET), Some(total)) = (field(0), field(4)) else { return false };
    let Some(caplen) = field(20) else { return false };
    let least = padded(caplen as usize).saturating_add(EMPTY_PACKET);
    (least..least.saturating_add(usize::from(u16::MAX))).contains(&(total as usize))
}
