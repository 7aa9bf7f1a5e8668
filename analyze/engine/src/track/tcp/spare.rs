//! Watches that ended, to be used again.

use super::Watch;
use crate::track::prefetch::prefetch_all;
use crate::track::reuse;

/// Places of watches that ended.
#[derive(Debug, Default)]
pub(super) struct Spare(reuse::Spare<Watch, 64>);

impl Watch {
    /// Asks for what its end looks at beside itself.
    pub(crate) fn prefetch(&self) {
        self.halves.iter().filter_map(|half| half.trouble.as_deref()).for_each(prefetch_all);
    }
}

impl Spare {
    /// A watch in the place, and with the rings, of one that ended, where there is any.
    #[cold]
    pub(super) fn place(&mut self, mut new: Watch) -> Box<Watch> {
        if let Some(old) = self.0.next() {
            for (half, before) in new.halves.iter_mut().zip(&mut old.halves) {
                half.sent = std::mem::take(&mut before.sent).emptied();
            }
        }
        self.0.boxed(new)
    }

    /// Keeps the place of a watch that ended, and lets go of its trouble.
    pub(super) fn keep(&mut self, mut watch: Box<Watch>) {
        watch.halves.iter_mut().for_each(|half| half.trouble = None);
        self.0.keep(watch);
    }
}
