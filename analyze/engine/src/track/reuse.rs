//! Boxes that are used again: to take one from the allocator and to give it back costs more than to fill it.

/// Boxes of values that are over, at most `MOST` of them.
#[derive(Debug)]
pub(crate) struct Spare<T, const MOST: usize>(Vec<Box<T>>);

impl<T, const MOST: usize> Default for Spare<T, MOST> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T, const MOST: usize> Spare<T, MOST> {
    /// A value in a spare box, where there is one.
    pub(crate) fn boxed(&mut self, value: T) -> Box<T> {
        match self.0.pop() {
            Some(mut place) => {
                *place = value;
                place
            }
            None => Box::new(value),
        }
    }

    /// What is in the box that is used next, where there is one.
    pub(crate) fn next(&mut self) -> Option<&mut T> {
        self.0.last_mut().map(AsMut::as_mut)
    }

    /// Keeps a box, where there is room.
    pub(crate) fn keep(&mut self, place: Box<T>) {
        if self.0.len() < MOST {
            self.0.push(place);
        }
    }

    /// Takes half of what others have, where it has less.
    pub(crate) fn share(&mut self, others: &mut Self) {
        let half = others.0.len() / 2;
        if self.0.len() < half {
            self.0.extend(others.0.drain(half..));
        }
    }
}
