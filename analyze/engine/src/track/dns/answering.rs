//! Points at which both a question and its answer were seen.

use super::transaction::Transaction;
use std::collections::BTreeSet;

/// Such points; the last one first, as most transactions follow one of the same point.
#[derive(Debug, Default)]
pub(crate) struct Answering {
    points: BTreeSet<u16>,
    last: Option<u16>,
}

impl Answering {
    /// Takes note of where a transaction was seen.
    pub(crate) fn take(&mut self, told: &Transaction) {
        for leg in told.legs.iter().filter(|leg| leg.queries > 0 && leg.answers > 0) {
            if self.last.replace(leg.point) != Some(leg.point) {
                self.points.insert(leg.point);
            }
        }
    }

    /// Whether answers pass a point that shows questions.
    pub(crate) fn has(&self, point: u16) -> bool {
        self.points.contains(&point)
    }
}
