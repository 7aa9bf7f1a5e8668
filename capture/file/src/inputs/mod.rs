//! Several files as one stream of batches.

mod plan;
mod stem;

use self::plan::{Origin, Part, Plan};
use crate::{Batch, CaptureInfo, ReadError, Reader, Source};
use std::path::{Path, PathBuf};
use std::vec::IntoIter;

/// Rotation may tear neighbouring packets that were recorded out of order apart; a real overlap is longer.
const TOLERANCE_NS: i64 = 1_000_000_000;

/// Captures to read one after the other: files, folders (with the folders in them), `-` for standard input.
///
/// Files that rotation made (same folder, name but for what rotation adds, format, link type and interface name, times
/// that do not overlap) are parts of one unit. Units come in the order of their first time, then name, whatever the
/// order of the arguments; a file named twice is read once. One file is open at a time.
pub struct Inputs {
    parts: IntoIter<Part>,
    current: Option<Current>,
    captures: Vec<CaptureInfo>,
    errors: Vec<ReadError>,
    skipped: Vec<ReadError>,
    skipped_count: u64,
    units: u32,
    /// Group and last time of the part before.
    before: Option<(usize, Option<i64>)>,
}

struct Current {
    reader: Reader,
    /// A batch read ahead.
    held: Option<Batch>,
    group: usize,
}

impl Inputs {
    /// Looks at every file. What cannot be read is in [`errors`](Self::errors), and in `failure` of its capture.
    pub fn open<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> Self {
        let paths: Vec<PathBuf> = paths.into_iter().map(|path| path.as_ref().to_owned()).collect();
        let plan = Plan::new(&paths);
        Self {
            parts: plan.parts.into_iter(),
            current: None,
            captures: Vec::new(),
            errors: Vec::new(),
            skipped: plan.skipped,
            skipped_count: plan.skipped_count,
            units: 0,
            before: None,
        }
    }

    /// Files that could not be read at all, as far as they have come up; each is also among the captures.
    pub fn errors(&self) -> &[ReadError] {
        &self.errors
    }

    /// The errors, to keep.
    pub fn into_errors(self) -> Vec<ReadError> {
        self.errors
    }

    /// Files of folders that are no captures: the first hundred.
    pub fn skipped(&self) -> &[ReadError] {
        &self.skipped
    }

    /// How many files of folders are no captures.
    pub fn skipped_count(&self) -> u64 {
        self.skipped_count
    }

    /// Opens the next part that can be opened. False when there is none.
    fn advance(&mut self) -> bool {
        for part in self.parts.by_ref() {
            let (reader, held) = match part.origin {
                Origin::File(path) => (Reader::open(path), None),
                Origin::Held(held) => (Ok(held.0), Some(held.1)),
                Origin::Failed(error) => (Err(error), None),
            };
            match reader {
                Ok(reader) => {
                    let name = part.name;
                    self.captures.push(CaptureInfo { name, ..reader.info().clone() });
                    self.units += u32::from(!follows(self.before, part.group, part.first_ns));
                    self.current = Some(Current { reader, held, group: part.group });
                    return true;
                }
                Err(error) => {
                    let failure = Some(error.chain());
                    self.captures.push(CaptureInfo { name: part.name, failure, ..CaptureInfo::default() });
                    self.errors.push(error);
                }
            }
        }
        false
    }

    /// The current part has been read to its end.
    fn finish(&mut self, current: Current) {
        let info = current.reader.into_info();
        let last = self.before.filter(|before| before.0 == current.group).and_then(|before| before.1);
        self.before = Some((current.group, info.last_ns.max(last)));
        if let Some(capture) = self.captures.last_mut() {
            *capture = CaptureInfo { name: std::mem::take(&mut capture.name), ..info };
        }
    }
}

/// Whether a part goes on where the one before it ended.
fn follows(before: Option<(usize, Option<i64>)>, group: usize, first_ns: Option<i64>) -> bool {
    let Some((last_group, last_ns)) = before else { return false };
    let overlap = last_ns.zip(first_ns).is_some_and(|(last, first)| first < last.saturating_sub(TOLERANCE_NS));
    last_group == group && !overlap
}

impl Source for Inputs {
    fn next_batch(&mut self, batch: &mut Batch) -> bool {
        loop {
            let Some(mut current) = self.current.take() else {
                if self.advance() {
                    continue;
                }
                batch.clear();
                return false;
            };
            let filled = match current.held.take() {
                Some(held) => {
                    *batch = held;
                    !batch.records.is_empty()
                }
                None => current.reader.next_batch(batch),
            };
            if filled {
                self.current = Some(current);
                batch.capture = (self.captures.len() - 1) as u32;
                batch.unit = self.units - 1;
                batch.is_last_unit = self.parts.as_slice().is_empty();
                return true;
            }
            self.finish(current);
        }
    }

    /// The file being read is the last; its numbers come when it has been read.
    fn captures(&self) -> &[CaptureInfo] {
        &self.captures
    }
}
