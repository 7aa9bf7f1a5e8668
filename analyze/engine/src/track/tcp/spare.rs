//! Watches that ended, to be used again.

use super::Watch;
use crate::track::prefetch::prefetch_all;

/// Places of watches that ended: to take them from the allocator and to give them back costs more than what they hold.
#[derive(Debug, Default)]
#[expect(clippy::vec_box, reason = "the boxes are what is used again")]
pub(super) struct Spare(Vec<Box<Watch>>);

impl Watch {
    /// Asks for what its end looks at beside itself.
    pub(crate) fn prefetch(&self) {
        self.halves.iter().filter_map(|half| half.trouble.as_deref()).for_each(prefetch_all);
    }
}

/// Places kept.
const SPARE: usize = 64;

impl Spare {
    /// A watch in the place, and with the rings, of one that ended, where there is any.
    #[cold]
    pub(super) fn place(&mut self, new: Watch) -> Box<Watch> {
        let Some(mut place) = self.0.pop() else { return Box::new(new) };
        let rings = place.halves.each_mut().map(|half| std::mem::take(&mut half.sent).emptied());
        *place = new;
        for (half, ring) in place.halves.iter_mut().zip(rings) {
            half.sent = ring;
        }
        place
    }

    /// Keeps the place of a watch that ended.
    pub(super) fn keep(&mut self, mut watch: Box<Watch>) {
        if self.0.len() < SPARE {
            watch.halves.iter_mut().for_each(|half| half.trouble = None);
            self.0.push(watch);
        }
    }
}
