//! The dynamic table of one direction (RFC 7541 2.3.2), as far as its fields say something here.
//!
//! Fields are counted from the newest, so that what was put in before a gap is unknown, and what comes after it is right.

use crate::wire::app::Text;
use crate::wire::app::hpack::{self, Field, Name, Short};
use crate::wire::app::http2::{Header, Named};
use std::collections::VecDeque;

/// A field of the table.
#[derive(Clone, Debug)]
struct Entry {
    named: Named,
    /// What it says, if anything.
    header: Option<Box<Header>>,
    name_len: u32,
    size: u32,
}

/// Fields that blocks refer to.
#[derive(Clone, Debug)]
pub(super) struct Table {
    /// Newest first.
    entries: VecDeque<Entry>,
    size: usize,
    max: usize,
}

/// Before anybody says otherwise (RFC 9113 6.5.2).
const DEFAULT_SIZE: usize = 4096;
/// Larger tables are kept in part: their oldest fields are unknown.
const MAX_SIZE: usize = 16 * 1024;
/// What a field counts beside its texts (RFC 7541 4.1).
const OVERHEAD: usize = 32;

impl Default for Table {
    fn default() -> Self {
        Self { entries: VecDeque::new(), size: 0, max: DEFAULT_SIZE }
    }
}

impl Table {
    /// Reads a block and hands on what it says; none where it is wrong or too little of it is there.
    pub(super) fn read(&mut self, mut block: &[u8], mut each: impl FnMut(&Header)) -> Option<()> {
        while !block.is_empty() {
            let (rest, field) = hpack::field(block)?;
            block = rest;
            match field {
                Field::Resize(size) => self.resize(size),
                Field::Indexed(index) => each(&self.header(index)),
                Field::Literal { name, value, kept } => {
                    let (named, name_len) = self.named(name)?;
                    let value = value.read()?;
                    let header = named.says(&value);
                    each(&header);
                    if kept {
                        self.keep(named, name_len, value.len, header);
                    }
                }
            }
        }
        Some(())
    }

    /// Forgets what is in it: fields may have been missed.
    pub(super) fn forget(&mut self) {
        self.entries.clear();
        self.size = 0;
    }

    /// Bytes it holds.
    pub(super) fn held(&self) -> usize {
        self.entries.len() * (size_of::<Entry>() + (size_of::<Header>() + Text::MAX) / 4)
    }

    fn header(&self, index: usize) -> Header {
        if let Some((name, value)) = hpack::fixed(index) {
            return Named::of(name.as_bytes()).says(&Short::of(value.as_bytes()));
        }
        self.entry(index).and_then(|entry| entry.header.as_deref()).cloned().unwrap_or(Header::Other)
    }

    fn entry(&self, index: usize) -> Option<&Entry> {
        self.entries.get(index.checked_sub(hpack::FIXED + 1)?)
    }

    /// The field that a name stands for, and the name's length.
    fn named(&self, name: Name<'_>) -> Option<(Named, usize)> {
        match name {
            Name::Text(text) => text.read().map(|text| (Named::of(text.bytes()), text.len)),
            Name::Indexed(index) => Some(match (hpack::fixed(index), self.entry(index)) {
                (Some((name, _)), _) => (Named::of(name.as_bytes()), name.len()),
                (_, Some(entry)) => (entry.named, entry.name_len as usize),
                _ => (Named::Other, 0),
            }),
        }
    }

    fn keep(&mut self, named: Named, name_len: usize, value_len: usize, header: Header) {
        let size = name_len + value_len + OVERHEAD;
        self.size += size;
        let header = Some(header).filter(|header| !matches!(header, Header::Other)).map(Box::new);
        self.entries.push_front(Entry { named, header, name_len: name_len as u32, size: size as u32 });
        self.evict();
    }

    fn resize(&mut self, max: usize) {
        self.max = max.min(MAX_SIZE);
        self.evict();
    }

    fn evict(&mut self) {
        while self.size > self.max {
            let Some(entry) = self.entries.pop_back() else { break };
            self.size -= entry.size as usize;
        }
    }
}
