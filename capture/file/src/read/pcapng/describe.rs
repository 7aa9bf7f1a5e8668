//! The blocks that describe: sections, interfaces, names, statistics, custom blocks.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::block::Block;
use super::options::{Options, text};
use super::time::Ticks;
use super::{Chunk, MAX_INTERFACES, Out, Pcapng, SectionInterface};
use crate::bytes::{Order, padded};
use crate::{CaptureInfo, Interface, LinkType, NameRecord, ProblemKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const OPT_COMMENT: u16 = 1;
/// Rough cost of keeping an item besides its bytes.
const OVERHEAD: usize = 64;
/// Record types of a name resolution block.
const NAMES_END: u16 = 0;
const NAMES_IPV4: u16 = 1;
const NAMES_IPV6: u16 = 2;

impl Pcapng {
    /// A section header: a byte order, and interfaces counted from 0 again.
    pub(super) fn section(&mut self, chunk: &Chunk<'_>, block: &Block<'_>, out: &mut Out<'_>) {
        self.order = block.order;
        self.interfaces.clear();
        // Behind the byte-order magic. The draft has readers leave a section of another major version alone.
        self.foreign = block.order.u16_at(block.body, 4) != Some(1);
        if self.foreign {
            out.note(ProblemKind::UnknownVersion, chunk.place(block.start), 0);
        }
        let info = &mut *out.info;
        info.sections = info.sections.saturating_add(1);
        let first = info.sections == 1;
        // The section length in between is not needed to read on.
        for (code, value) in Options::new(block.body.get(16..).unwrap_or_default(), block.order) {
            match code {
                OPT_COMMENT if self.keep(value.len(), info) => info.comments.push(text(value)),
                2 if first => info.hardware = Some(text(value)),
                3 if first => info.os = Some(text(value)),
                4 if first => info.application = Some(text(value)),
                _ => {}
            }
        }
    }

    /// Takes `len` bytes of what may be kept of the file, or counts the item as left out.
    fn keep(&mut self, len: usize, info: &mut CaptureInfo) -> bool {
        let left = self.budget.checked_sub(len.saturating_add(OVERHEAD));
        match left {
            Some(left) => self.budget = left,
            None => info.metadata_left_out = info.metadata_left_out.saturating_add(1),
        }
        left.is_some()
    }

    /// An interface description. False when it is malformed.
    pub(super) fn interface(&mut self, block: &Block<'_>, info: &mut CaptureInfo) -> bool {
        let order = block.order;
        let (Some(link_type), Some(snaplen)) = (order.u16_at(block.body, 0), order.u32_at(block.body, 4)) else {
            return false;
        };
        if info.interfaces.len() >= MAX_INTERFACES {
            info.metadata_left_out = info.metadata_left_out.saturating_add(1);
            return true;
        }
        let mut interface = Interface { link_type: LinkType(link_type), snaplen, ..Interface::default() };
        let (mut resolution, mut offset) = (6, 0);
        let mut options = Options::new(block.body.get(8..).unwrap_or_default(), order);
        for (code, value) in options.by_ref() {
            match (code, value) {
                (9, &[value]) => resolution = value,
                (14, _) => offset = order.u64_at(value, 0).unwrap_or_default() as i64,
                _ if self.keep(value.len(), info) => interface_option(&mut interface, order, code, value),
                _ => {}
            }
        }
        self.interfaces.push(SectionInterface {
            global: info.interfaces.len() as u32,
            snaplen: if snaplen == 0 { u32::MAX } else { snaplen },
            ticks: Ticks::new(resolution, offset),
            told: false,
        });
        info.interfaces.push(interface);
        !options.broken
    }

    /// Name resolution records. False when they are malformed.
    pub(super) fn names(&mut self, block: &Block<'_>, info: &mut CaptureInfo) -> bool {
        let order = block.order;
        let mut rest = block.body;
        while let (Some(kind), Some(len)) = (order.u16_at(rest, 0), order.u16_at(rest, 2)) {
            let body = rest.get(4..).unwrap_or_default();
            let Some(value) = body.get(..usize::from(len)) else { return false };
            if kind == NAMES_END {
                return true;
            }
            if let Some(record) = name_record(kind, value)
                && !self.known_names.contains(&record)
                && self.keep(value.len().saturating_mul(2), info)
            {
                self.known_names.insert(record.clone());
                info.names.push(record);
            }
            rest = body.get(padded(usize::from(len))..).unwrap_or_default();
        }
        rest.is_empty()
    }

    /// Interface statistics. False when they are malformed or of no known interface.
    pub(super) fn statistics(&mut self, block: &Block<'_>, info: &mut CaptureInfo) -> bool {
        let order = block.order;
        let interface = order.u32_at(block.body, 0).and_then(|i| self.interfaces.get(i as usize));
        let Some(interface) = interface.and_then(|i| info.interfaces.get_mut(i.global as usize)) else {
            return false;
        };
        let stats = &mut interface.stats;
        let mut options = Options::new(block.body.get(12..).unwrap_or_default(), order);
        for (code, value) in options.by_ref() {
            let field = match code {
                4 => &mut stats.received,
                5 => &mut stats.dropped_by_interface,
                6 => &mut stats.accepted_by_filter,
                7 => &mut stats.dropped_by_os,
                8 => &mut stats.delivered,
                _ => continue,
            };
            *field = order.u64_at(value, 0).or(*field);
        }
        !options.broken
    }

    /// A custom block: the private enterprise number and what follows, whose layout only its owner knows.
    pub(super) fn custom(&mut self, block: &Block<'_>, info: &mut CaptureInfo) -> bool {
        let Some(number) = block.order.u32_at(block.body, 0) else { return false };
        let data = block.body.get(4..).unwrap_or_default();
        if self.keep(data.len(), info) {
            info.custom_blocks.push((number, data.to_vec()));
        }
        true
    }
}

fn interface_option(interface: &mut Interface, order: Order, code: u16, value: &[u8]) {
    match (code, value) {
        (OPT_COMMENT, _) => interface.comments.push(text(value)),
        (2, _) => interface.name = Some(text(value)),
        (3, _) => interface.description = Some(text(value)),
        (4, &[a, b, c, d, _, _, _, _]) => interface.addresses.push(Ipv4Addr::new(a, b, c, d).into()),
        (5, _) => interface.addresses.extend(value.first_chunk::<16>().map(|&a| IpAddr::from(a))),
        (6, _) => interface.mac = value.try_into().ok(),
        (8, _) => interface.speed = order.u64_at(value, 0),
        // The first byte says what form the filter has: 0 is text.
        (11, [0, filter @ ..]) => interface.filter = Some(text(filter)),
        (12, _) => interface.os = Some(text(value)),
        (15, _) => interface.hardware = Some(text(value)),
        _ => {}
    }
}

fn name_record(kind: u16, value: &[u8]) -> Option<NameRecord> {
    let (address, names): (IpAddr, _) = match kind {
        NAMES_IPV4 => value.split_first_chunk::<4>().map(|(&a, names)| (Ipv4Addr::from(a).into(), names))?,
        NAMES_IPV6 => value.split_first_chunk::<16>().map(|(&a, names)| (Ipv6Addr::from(a).into(), names))?,
        _ => return None,
    };
    let names = names.split(|&b| b == 0).filter(|name| !name.is_empty()).map(text).collect();
    Some(NameRecord { address, names })
}
