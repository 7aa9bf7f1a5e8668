//! Texts by number: names repeat, so queries hold a number each. Dropped as a whole when the queries are.

use foldhash::fast::FixedState;
use std::collections::HashMap;
use std::hash::BuildHasher;

/// Seed that does not vary, so that the same input gives the same order of work.
const SEED: u64 = 0x6b63_6170;

/// Texts in the order in which they were seen first; number 0 is the empty text.
pub(crate) struct Texts {
    arena: String,
    ends: Vec<usize>,
    index: HashMap<u64, u32, FixedState>,
}

impl Default for Texts {
    fn default() -> Self {
        Self { arena: String::new(), ends: vec![0], index: HashMap::with_hasher(FixedState::with_seed(SEED)) }
    }
}

/// Hash of a text that is the same in every run.
pub(crate) fn hash(text: &str) -> u64 {
    FixedState::with_seed(SEED).hash_one(text.as_bytes())
}

impl Texts {
    /// The number of a text.
    pub(crate) fn number(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        let mut slot = hash(text);
        while let Some(&number) = self.index.get(&slot) {
            if self.text(number) == text {
                return number;
            }
            slot = slot.wrapping_add(1);
        }
        let number = self.ends.len() as u32;
        self.arena.push_str(text);
        self.ends.push(self.arena.len());
        self.index.insert(slot, number);
        number
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

    /// Bytes held.
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
