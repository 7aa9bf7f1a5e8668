//! What columns hold.

use super::Label;
use foldhash::fast::RandomState;
use std::collections::HashMap;
use std::ops::Range;

/// Values with absent ones marked.
#[derive(Clone, Debug, Default)]
pub struct Values<T> {
    values: Vec<T>,
    /// Rows without a value, ascending.
    nulls: Vec<u32>,
}

impl<T: Default> Values<T> {
    /// Appends a value.
    pub fn push(&mut self, value: T) {
        self.values.push(value);
    }

    pub(super) fn push_null(&mut self) {
        self.nulls.push(self.values.len() as u32);
        self.values.push(T::default());
    }

    pub(super) fn reserve(&mut self, len: usize) {
        self.values.reserve_exact(len);
    }

    #[inline]
    pub(super) fn push_some(&mut self, value: Option<T>) {
        match value {
            Some(value) => self.push(value),
            None => self.push_null(),
        }
    }

    pub(super) fn extend(&mut self, values: impl Iterator<Item = T>) {
        self.values.extend(values);
    }

    /// The values; absent ones hold the default.
    pub fn values(&self) -> &[T] {
        &self.values
    }

    /// The rows that have no value, ascending.
    pub fn nulls(&self) -> &[u32] {
        &self.nulls
    }

    pub(super) fn append(&mut self, from: &Self, range: Range<usize>)
    where
        T: Copy,
    {
        append_nulls(&mut self.nulls, &from.nulls, &range, self.values.len());
        self.values.extend_from_slice(&from.values[range]);
    }

    pub(super) fn clear(&mut self) {
        self.values.clear();
        self.nulls.clear();
    }
}

/// Appends the nulls within a range of rows that now begins at row `start`.
fn append_nulls(nulls: &mut Vec<u32>, from: &[u32], range: &Range<usize>, start: usize) {
    let at = |row: usize| from.partition_point(|&null| (null as usize) < row);
    nulls.extend(from[at(range.start)..at(range.end)].iter().map(|&row| (row as usize - range.start + start) as u32));
}

/// Texts one after the other.
#[derive(Clone, Debug, Default)]
pub struct Texts {
    bytes: String,
    ends: Vec<u32>,
    nulls: Vec<u32>,
}

impl Texts {
    pub(super) fn reserve(&mut self, len: usize) {
        self.ends.reserve_exact(len);
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The rows that have no text, ascending.
    pub(super) fn nulls(&self) -> &[u32] {
        &self.nulls
    }

    /// Appends what `write` appends to the text so far.
    pub fn push_with(&mut self, write: impl FnOnce(&mut String)) {
        write(&mut self.bytes);
        self.ends.push(self.bytes.len() as u32);
    }

    pub(super) fn push_null(&mut self) {
        self.nulls.push(self.ends.len() as u32);
        self.ends.push(self.bytes.len() as u32);
    }

    pub(super) fn append(&mut self, from: &Self, range: Range<usize>) {
        append_nulls(&mut self.nulls, &from.nulls, &range, self.ends.len());
        let start = range.start.checked_sub(1).map_or(0, |before| from.ends[before]);
        let (end, shift) = (range.end.checked_sub(1).map_or(0, |last| from.ends[last]), self.bytes.len() as u32);
        self.bytes.push_str(&from.bytes[start as usize..end as usize]);
        self.ends.extend(from.ends[range].iter().map(|end| end - start + shift));
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.nulls.clear();
    }

    /// The texts, absent ones as `None`.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Option<&str>> {
        let mut nulls = self.nulls.iter().copied().peekable();
        let mut start = 0;
        self.ends.iter().enumerate().map(move |(row, &end)| {
            let text = &self.bytes[start..end as usize];
            start = end as usize;
            nulls.next_if_eq(&(row as u32)).is_none().then_some(text)
        })
    }
}

/// Texts of few distinct values: a dictionary and its keys.
#[derive(Clone, Debug, Default)]
pub struct Labels {
    keys: Values<u32>,
    dictionary: Vec<Label>,
    index: HashMap<String, u32, RandomState>,
    /// The key before.
    last: u32,
}

/// Labels that are looked for by their place in memory before their text is hashed.
const NEAR: usize = 8;

impl Labels {
    pub(super) fn reserve(&mut self, len: usize) {
        self.keys.reserve(len);
    }

    /// Appends a text.
    pub fn push(&mut self, label: &Label) {
        let key = self.key(label);
        self.keys.push(key);
    }

    pub(super) fn push_often(&mut self, label: &Label, times: usize) {
        let key = self.key(label);
        self.keys.extend(std::iter::repeat_n(key, times));
    }

    pub(super) fn push_some(&mut self, label: Option<&Label>) {
        match label {
            Some(label) => self.push(label),
            None => self.push_null(),
        }
    }

    pub(super) fn push_null(&mut self) {
        self.keys.push_null();
    }

    #[inline]
    fn key(&mut self, label: &Label) -> u32 {
        match self.dictionary.get(self.last as usize) {
            Some(last) if same_place(last, label) => {}
            _ => self.last = self.find(label),
        }
        self.last
    }

    fn find(&mut self, label: &Label) -> u32 {
        let near = self.dictionary.iter().take(NEAR).position(|known| same_place(known, label));
        let known = near.map(|key| key as u32).or_else(|| self.index.get(label.as_str()).copied());
        known.unwrap_or_else(|| self.add(label))
    }

    fn add(&mut self, label: &Label) -> u32 {
        let key = self.dictionary.len() as u32;
        self.index.insert(label.as_str().to_owned(), key);
        self.dictionary.push(label.clone());
        key
    }

    pub(super) fn append(&mut self, from: &Self, range: Range<usize>) {
        let mut known = vec![None; from.dictionary.len()];
        append_nulls(&mut self.keys.nulls, &from.keys.nulls, &range, self.keys.values.len());
        let absent = |row: usize| from.keys.nulls.binary_search(&(row as u32)).is_ok();
        for row in range {
            let old = from.keys.values[row] as usize;
            let key = if absent(row) { 0 } else { *known[old].get_or_insert_with(|| self.key(&from.dictionary[old])) };
            self.keys.values.push(key);
        }
    }

    pub(super) fn clear(&mut self) {
        self.keys.clear();
        self.dictionary.clear();
        self.index.clear();
        self.last = 0;
    }

    /// Keys into the dictionary.
    pub fn keys(&self) -> &Values<u32> {
        &self.keys
    }

    /// The distinct texts.
    pub fn dictionary(&self) -> &[Label] {
        &self.dictionary
    }

    /// The texts, absent ones as `None`.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Option<&str>> {
        let mut nulls = self.keys.nulls.iter().copied().peekable();
        self.keys.values.iter().enumerate().map(move |(row, &key)| {
            let absent = nulls.next_if_eq(&(row as u32)).is_some();
            self.dictionary.get(key as usize).filter(|_| !absent).map(Label::as_str)
        })
    }
}

/// Whether two labels are the same text in the same memory, which is quick to tell.
fn same_place(a: &Label, b: &Label) -> bool {
    std::ptr::eq(a.as_str(), b.as_str())
}
