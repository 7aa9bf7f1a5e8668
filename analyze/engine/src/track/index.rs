use super::prefetch::prefetch;

/// Open-addressing map from 32-bit tags to 32-bit slots: eight bytes an entry, so that a miss in the cache costs one
/// line. Keys are compared by the caller, whose slots hold them.
#[derive(Debug)]
pub(crate) struct Index {
    entries: Vec<Entry>,
    used: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    tag: u32,
    /// Slot plus one; 0 is empty.
    slot: u32,
}

const FIRST: usize = 64;

impl Default for Index {
    fn default() -> Self {
        Self { entries: vec![Entry::default(); FIRST], used: 0 }
    }
}

impl Index {
    /// Asks the processor for the entry's cache line.
    #[inline]
    pub(crate) fn prefetch(&self, tag: u32) {
        if let Some(entry) = self.entries.get(self.home(tag)) {
            prefetch(entry);
        }
    }

    /// The slot with this tag for which `is_it` holds.
    #[inline]
    pub(crate) fn find(&self, tag: u32, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut at = self.home(tag);
        loop {
            let entry = self.entries[at];
            if entry.slot == 0 {
                return None;
            }
            if entry.tag == tag && is_it(entry.slot - 1) {
                return Some(entry.slot - 1);
            }
            at = self.next(at);
        }
    }

    /// The first slot with this tag, keys not compared: a guess worth prefetching.
    #[inline]
    pub(crate) fn guess(&self, tag: u32) -> Option<u32> {
        self.find(tag, |_| true)
    }

    /// Adds a slot, which must not be there yet.
    pub(crate) fn insert(&mut self, tag: u32, slot: u32) {
        if (self.used + 1) * 8 > self.entries.len() * 5 {
            self.grow();
        }
        self.used += 1;
        self.place(Entry { tag, slot: slot + 1 });
    }

    /// Removes a slot that is there.
    pub(crate) fn remove(&mut self, tag: u32, slot: u32) {
        let mut hole = self.home(tag);
        while self.entries[hole].slot != slot + 1 {
            if self.entries[hole].slot == 0 {
                return;
            }
            hole = self.next(hole);
        }
        self.used -= 1;
        self.close(hole);
    }

    /// Moves later entries of the run back, so that no search ends at the hole.
    fn close(&mut self, mut hole: usize) {
        let mut at = self.next(hole);
        while self.entries[at].slot != 0 {
            let wanted = self.home(self.entries[at].tag);
            if self.distance(wanted, at) >= self.distance(hole, at) {
                self.entries[hole] = self.entries[at];
                hole = at;
            }
            at = self.next(at);
        }
        self.entries[hole] = Entry::default();
    }

    fn grow(&mut self) {
        let doubled = vec![Entry::default(); self.entries.len() * 2];
        for entry in std::mem::replace(&mut self.entries, doubled) {
            if entry.slot != 0 {
                self.place(entry);
            }
        }
    }

    fn place(&mut self, entry: Entry) {
        let mut at = self.home(entry.tag);
        while self.entries[at].slot != 0 {
            at = self.next(at);
        }
        self.entries[at] = entry;
    }

    #[inline]
    fn home(&self, tag: u32) -> usize {
        tag as usize & (self.entries.len() - 1)
    }

    #[inline]
    fn next(&self, at: usize) -> usize {
        (at + 1) & (self.entries.len() - 1)
    }

    fn distance(&self, from: usize, to: usize) -> usize {
        to.wrapping_sub(from) & (self.entries.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn behaves_like_a_map_under_collisions() {
        let mut index = Index::default();
        let mut model: HashMap<u32, u32> = HashMap::new();
        let mut state = 1u32;
        for step in 0..20_000u32 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // Few homes: long runs that wrap around the end of the table.
            let (slot, tag) = (state >> 20, (state >> 20) % 37);
            match model.remove(&slot) {
                Some(tag) if step % 3 != 0 => index.remove(tag, slot),
                Some(tag) => drop(model.insert(slot, tag)),
                None => {
                    index.insert(tag, slot);
                    model.insert(slot, tag);
                }
            }
        }
        for (&slot, &tag) in &model {
            assert_eq!(index.find(tag, |found| found == slot), Some(slot));
        }
        assert_eq!(index.used, model.len());
        assert_eq!(index.find(36, |found| found == u32::MAX), None);
    }
}
