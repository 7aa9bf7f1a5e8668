//! Texts by number: names repeat, so queries hold a number each. Dropped as a whole when the queries are.

use crate::track::index::Index;
use crate::track::prefetch::prefetch;
use crate::wire::dns::{Name, name_hash};
use foldhash::fast::FixedState;
use std::hash::BuildHasher;

/// Seed that does not vary, so that the same input gives the same order of work.
const SEED: u64 = 0x6b63_6170;

/// Texts in the order in which they were seen first; number 0 is the empty text.
pub(crate) struct Texts {
    arena: String,
    ends: Vec<usize>,
    index: Index,
    /// What [`Self::number_again`] gave last.
    last: u32,
}

impl Default for Texts {
    fn default() -> Self {
        Self { arena: String::new(), ends: vec![0], index: Index::default(), last: 0 }
    }
}

/// Hash of a text that is the same in every run.
pub(crate) fn hash(text: &str) -> u64 {
    FixedState::with_seed(SEED).hash_one(text.as_bytes())
}

fn tag(hash: u64) -> u32 {
    (hash ^ hash >> 32) as u32
}

impl Texts {
    /// The number of a text.
    pub(crate) fn number(&mut self, text: &str) -> u32 {
        self.number_of(text.as_bytes(), name_hash(text.as_bytes()))
    }

    /// The number of a name.
    pub(crate) fn number_name(&mut self, name: &Name) -> u32 {
        self.number_of(name.as_bytes(), name.hash())
    }

    /// Asks for what finds a name.
    #[inline]
    pub(crate) fn prefetch(&self, name: &Name) {
        self.index.prefetch(tag(name.hash()));
    }

    fn number_of(&mut self, text: &[u8], hash: u64) -> u32 {
        if text.is_empty() {
            return 0;
        }
        let tag = tag(hash);
        if let Some(number) = self.index.find(tag, |number| self.text(number).as_bytes() == text) {
            return number;
        }
        let number = self.ends.len() as u32;
        self.arena.push_str(str::from_utf8(text).unwrap_or_default());
        self.ends.push(self.arena.len());
        self.index.insert(tag, number);
        number
    }

    /// The number of a text that is probably the same as last time.
    pub(crate) fn number_again(&mut self, text: &str) -> u32 {
        if self.text(self.last) != text {
            self.last = self.number(text);
        }
        self.last
    }

    /// Asks for texts that will be read: of the one soon for where it is, of the next one for itself.
    #[inline]
    pub(crate) fn expect(&self, soon: Option<u32>, next: Option<u32>) {
        soon.and_then(|number| self.ends.get(number as usize)).inspect(|end| prefetch(*end));
        let start = next.and_then(|number| self.ends.get((number as usize).checked_sub(1)?));
        start.and_then(|start| self.arena.as_bytes().get(*start)).inspect(|text| prefetch(*text));
    }

    /// A text by its number.
    pub(crate) fn text(&self, number: u32) -> &str {
        let at = number as usize;
        let start = at.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or_default();
        let end = self.ends.get(at).copied().unwrap_or_default();
        self.arena.get(start..end).unwrap_or_default()
    }

    /// How many numbers are given.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Bytes held, more or less.
    pub(crate) fn bytes(&self) -> usize {
        self.arena.len() + self.ends.len() * (size_of::<usize>() + 2 * size_of::<(u64, u32)>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_each_text_one_number() {
        let mut texts = Texts::default();
        let (a, b) = (texts.number("a.example"), texts.number("b.example"));
        assert_ne!(a, b);
        assert_eq!(texts.number("a.example"), a);
        assert_eq!((texts.text(a), texts.text(b), texts.text(0)), ("a.example", "b.example", ""));
        assert_eq!(texts.number(""), 0);
        assert_eq!(texts.text(99), "");
    }
}
