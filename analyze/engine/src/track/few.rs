use std::fmt;

/// The first few of many, kept in place: no allocation for what nearly every connection has.
#[derive(Clone, Copy)]
pub struct Few<T, const N: usize> {
    items: [T; N],
    len: u8,
}

impl<T: Copy + Default, const N: usize> Few<T, N> {
    /// Appends an item where there is room.
    pub fn push(&mut self, item: T) {
        if let Some(place) = self.items.get_mut(usize::from(self.len)) {
            *place = item;
            self.len += 1;
        }
    }

    /// The items kept.
    pub fn as_slice(&self) -> &[T] {
        &self.items[..self.len.into()]
    }

    /// The items kept.
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.as_slice().iter()
    }
}

impl<'a, T: Copy + Default, const N: usize> IntoIterator for &'a Few<T, N> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T: Copy + Default, const N: usize> Default for Few<T, N> {
    fn default() -> Self {
        const { assert!(N <= u8::MAX as usize) };
        Self { items: [T::default(); N], len: 0 }
    }
}

impl<T: Copy + Default + fmt::Debug, const N: usize> fmt::Debug for Few<T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_slice().fmt(f)
    }
}

/// Zeek's history letters, upper case for the originator: eight kinds, each once for each end.
#[derive(Clone, Copy, Default, Debug)]
pub struct History(Few<u8, 16>);

impl History {
    pub(crate) fn push(&mut self, letter: u8) {
        self.0.push(letter);
    }

    /// The letters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.0.as_slice()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_first() {
        let mut few = Few::<u8, 3>::default();
        (1..9).for_each(|n| few.push(n));
        assert_eq!(few.as_slice(), [1, 2, 3]);
    }
}
