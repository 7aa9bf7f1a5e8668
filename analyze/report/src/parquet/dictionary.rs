//! Dictionaries of a row group: every distinct value once, in order of appearance, and how to find it again.

use super::encode::{self, Int};
use foldhash::fast::RandomState;
use kcap_analyze::Addr;
use std::{fmt::Write as _, hash::BuildHasher};

/// Share of values that may be new, as a divisor, before a dictionary costs more than it saves.
const WORTH: usize = 4;
/// New values that are always let in.
const FREE: usize = 256;
/// Values after which that is looked at.
const CHECK: usize = 1024;

/// Whether a dictionary of `len` values for `rows` rows saves anything. Keys never have more than 16 bits.
fn is_worth(len: usize, rows: usize) -> bool {
    len <= (rows / WORTH + FREE).min(usize::from(u16::MAX) - CHECK)
}

/// Keys by hash: open addressing, the hash's upper half beside the key.
#[derive(Default)]
struct Index {
    /// Hash and key; a slot whose key is [`Index::FREE`] is free.
    slots: Vec<(u32, u32)>,
    len: usize,
}

impl Index {
    const FREE: u32 = u32::MAX;

    /// The key with this hash that `is` the right one, or `None`; then it is now the one after the last.
    fn find_or_add(&mut self, hash: u64, is: impl Fn(u32) -> bool) -> Option<u32> {
        if self.len * 2 >= self.slots.len() {
            self.grow();
        }
        let tag = (hash >> 32) as u32;
        let at = self.slot(tag, is);
        let (_, key) = self.slots[at];
        if key != Self::FREE {
            return Some(key);
        }
        self.slots[at] = (tag, self.len as u32);
        self.len += 1;
        None
    }

    fn slot(&self, tag: u32, is: impl Fn(u32) -> bool) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = tag as usize & mask;
        loop {
            let (other, key) = self.slots[at];
            if key == Self::FREE || other == tag && is(key) {
                return at;
            }
            at = (at + 1) & mask;
        }
    }

    #[cold]
    fn grow(&mut self) {
        let slots = vec![(0, Self::FREE); (self.slots.len() * 2).max(1024)];
        for (tag, key) in std::mem::replace(&mut self.slots, slots) {
            if key != Self::FREE {
                let at = self.slot(tag, |_| false);
                self.slots[at] = (tag, key);
            }
        }
    }

    fn clear(&mut self) {
        self.slots.fill((0, Self::FREE));
        self.len = 0;
    }
}

/// Distinct texts, as a dictionary page has them.
#[derive(Default)]
pub(super) struct Texts {
    /// The page: every text behind its length.
    pub(super) page: Vec<u8>,
    ends: Vec<usize>,
    index: Index,
    hasher: RandomState,
}

impl Texts {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    fn get(&self, key: u32) -> &[u8] {
        let key = key as usize;
        let start = if key == 0 { 0 } else { self.ends[key - 1] };
        &self.page[start + size_of::<u32>()..self.ends[key]]
    }

    fn add(&mut self, text: &str) -> u32 {
        encode::text(text, &mut self.page);
        self.ends.push(self.page.len());
        self.ends.len() as u32 - 1
    }

    fn key(&mut self, text: &str) -> u32 {
        let mut index = std::mem::take(&mut self.index);
        let hash = self.hasher.hash_one(text.as_bytes());
        let known = index.find_or_add(hash, |key| self.get(key) == text.as_bytes());
        self.index = index;
        known.unwrap_or_else(|| self.add(text))
    }

    /// Appends the texts' keys; `false` when they do not repeat enough, and then the dictionary is as it was.
    pub(super) fn keys<'t>(
        &mut self,
        texts: impl ExactSizeIterator<Item = Option<&'t str>>,
        rows: usize,
        keys: &mut Vec<u32>,
    ) -> bool {
        let before = self.len();
        for (row, text) in texts.enumerate() {
            keys.extend(text.map(|text| self.key(text)));
            if row % CHECK == CHECK - 1 && !is_worth(self.len(), rows + row) {
                self.truncate(before);
                return false;
            }
        }
        true
    }

    /// Forgets the texts from key `len` on. None is looked up after that.
    fn truncate(&mut self, len: usize) {
        self.page.truncate(if len == 0 { 0 } else { self.ends[len - 1] });
        self.ends.truncate(len);
        self.index.clear();
    }

    /// The first and the last by their bytes.
    pub(super) fn bounds(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        let all = || (0..self.len() as u32).map(|key| self.get(key));
        Some((all().min()?.to_vec(), all().max()?.to_vec()))
    }

    pub(super) fn clear(&mut self) {
        self.truncate(0);
    }
}

/// Distinct addresses; each is made a text once.
#[derive(Default)]
pub(super) struct Addrs {
    pub(super) texts: Texts,
    known: Vec<Addr>,
    index: Index,
    hasher: RandomState,
    /// The address before and its key: packets come in bursts.
    last: Option<(Addr, u32)>,
    text: String,
}

impl Addrs {
    #[inline]
    pub(super) fn key(&mut self, addr: Addr) -> u32 {
        match self.last {
            Some((last, key)) if last == addr => key,
            _ => self.find(addr),
        }
    }

    fn find(&mut self, addr: Addr) -> u32 {
        let hash = self.hasher.hash_one(u128::from_ne_bytes(addr.0));
        let all = &self.known;
        let known = self.index.find_or_add(hash, |key| all[key as usize] == addr);
        let key = known.unwrap_or_else(|| self.add(addr));
        self.last = Some((addr, key));
        key
    }

    #[cold]
    fn add(&mut self, addr: Addr) -> u32 {
        self.known.push(addr);
        self.text.clear();
        let _ = write!(self.text, "{addr}");
        self.texts.add(&self.text)
    }

    pub(super) fn clear(&mut self) {
        self.texts.clear();
        self.last = None;
        self.known.clear();
        self.index.clear();
    }
}

/// Labels: the engine's dictionary is that of a batch, so its keys are translated.
#[derive(Default)]
pub(super) struct Labels {
    pub(super) texts: Texts,
    known: Vec<Option<u32>>,
}

impl Labels {
    /// The next keys are of this many texts, others than before.
    pub(super) fn begin(&mut self, len: usize) {
        self.known.clear();
        self.known.resize(len, None);
    }

    pub(super) fn key<'t>(&mut self, old: u32, text: impl FnOnce() -> &'t str) -> u32 {
        let known = &mut self.known[old as usize];
        *known.get_or_insert_with(|| self.texts.key(text()))
    }
}

/// Distinct integers of 16 bits, found by their value.
pub(super) struct Small<T> {
    values: Vec<T>,
    /// Keys by value, as far as values went.
    keys: Vec<u16>,
}

impl<T> Default for Small<T> {
    fn default() -> Self {
        Self { values: Vec::new(), keys: Vec::new() }
    }
}

impl<T: Int> Small<T> {
    const UNKNOWN: u16 = u16::MAX;
    /// Values that it takes.
    const RANGE: std::ops::Range<i64> = 0..1 << 16;

    /// Whether it takes all values from `min` to `max`.
    pub(super) fn takes(min: T, max: T) -> bool {
        Self::RANGE.contains(&min.wide()) && Self::RANGE.contains(&max.wide())
    }

    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    /// Appends the keys of values up to `max`, all of which it takes; `false` when they do not repeat enough, and then
    /// the dictionary is as it was.
    pub(super) fn keys(&mut self, values: &[T], max: T, rows: usize, keys: &mut Vec<u32>) -> bool {
        self.reach(max);
        let before = self.len();
        for (part, done) in values.chunks(CHECK).zip((rows..).step_by(CHECK)) {
            keys.extend(part.iter().map(|&value| self.key(value)));
            if !is_worth(self.len(), done + part.len()) {
                self.truncate(before);
                return false;
            }
        }
        true
    }

    /// The key of a value that it takes.
    pub(super) fn only_key(&mut self, value: T) -> u32 {
        self.reach(value);
        self.key(value)
    }

    fn reach(&mut self, max: T) {
        let reached = self.keys.len().max(max.wide() as usize + 1);
        self.keys.resize(reached, Self::UNKNOWN);
    }

    #[inline]
    fn key(&mut self, value: T) -> u32 {
        let key = &mut self.keys[value.wide() as u16 as usize];
        if *key == Self::UNKNOWN {
            *key = self.values.len() as u16;
            self.values.push(value);
        }
        (*key).into()
    }

    fn truncate(&mut self, len: usize) {
        for value in self.values.drain(len..) {
            self.keys[value.wide() as u16 as usize] = Self::UNKNOWN;
        }
    }

    /// The dictionary page.
    pub(super) fn page(&self) -> Vec<u8> {
        let mut page = Vec::with_capacity(size_of_val(self.values.as_slice()));
        for value in &self.values {
            page.extend_from_slice(value.bytes().as_ref());
        }
        page
    }

    pub(super) fn clear(&mut self) {
        self.truncate(0);
    }
}

/// Distinct floats: times in whole microseconds, which repeat, are floats too.
#[derive(Default)]
pub(super) struct Floats {
    values: Vec<f64>,
    index: Index,
    hasher: RandomState,
}

impl Floats {
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    /// Appends the values' keys; `false` when they do not repeat enough, and then the dictionary is as it was and not
    /// asked again.
    pub(super) fn keys(&mut self, values: &[f64], rows: usize, keys: &mut Vec<u32>) -> bool {
        let before = self.len();
        for (part, done) in values.chunks(CHECK).zip((rows..).step_by(CHECK)) {
            keys.extend(part.iter().map(|&value| self.key(value)));
            if !is_worth(self.len(), done + part.len()) {
                self.values.truncate(before);
                self.index.clear();
                return false;
            }
        }
        true
    }

    pub(super) fn key(&mut self, value: f64) -> u32 {
        let (values, bits) = (&self.values, value.to_bits());
        let known = self.index.find_or_add(self.hasher.hash_one(bits), |key| values[key as usize].to_bits() == bits);
        known.unwrap_or_else(|| {
            self.values.push(value);
            self.values.len() as u32 - 1
        })
    }

    /// The dictionary page.
    pub(super) fn page(&self) -> Vec<u8> {
        let mut page = Vec::new();
        encode::floats(&self.values, &mut page);
        page
    }

    pub(super) fn clear(&mut self) {
        self.values.clear();
        self.index.clear();
    }
}
