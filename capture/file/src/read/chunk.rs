//! What a walker is given, what it fills, and why it stops.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::{CaptureInfo, Problem, ProblemKind, Record};

/// Bytes read at a time: they stay in the L2 cache until they are decoded.
pub(super) const CHUNK: usize = 256 * 1024;
/// A record or block that claims more is corrupt.
pub(super) const MAX_RECORD: usize = 16 * 1024 * 1024;
/// Bytes in view while looking for the next plausible place.
const SCAN: usize = 4 * CHUNK;
/// Longest record that counts as a place to go on from, so that three of them fit into the view.
pub(super) const MAX_SCANNED: usize = CHUNK;
/// Problems kept of one file.
const MAX_PROBLEMS: usize = 100;

/// A filled stretch of the file.
pub(super) struct Chunk<'a> {
    pub(super) bytes: &'a [u8],
    /// Where it starts in the (decompressed) file.
    pub(super) base: u64,
    /// Nothing follows.
    pub(super) last: bool,
}

impl Chunk<'_> {
    pub(super) fn place(&self, at: usize) -> u64 {
        self.base.saturating_add(at as u64)
    }
}

/// Where the next chunk must start, and how many bytes from there the walker needs to go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Pending {
    pub(super) at: usize,
    pub(super) need: usize,
    /// The batch must end here, though the chunk has more.
    pub(super) gap: bool,
}

/// How a stretch of walking ended.
pub(super) enum Stop {
    /// The chunk is used up.
    Pending(Pending),
    /// Go on here, in whatever state the walker is now.
    At(usize),
}

/// Where a walker puts what it finds.
pub(super) struct Out<'a> {
    pub(super) records: &'a mut Vec<Record>,
    pub(super) info: &'a mut CaptureInfo,
}

impl Out<'_> {
    pub(super) fn note(&mut self, kind: ProblemKind, offset: u64, skipped_bytes: u64) {
        let after_frame = last_frame(self.info).saturating_add(self.records.len() as u64);
        note(self.info, Problem { kind, offset, after_frame, skipped_bytes });
    }

    /// Counts a frame longer than the snap length; a problem for the first of each interface.
    pub(super) fn longer_than_snaplen(&mut self, offset: u64, told: &mut bool) {
        self.info.longer_than_snaplen = self.info.longer_than_snaplen.saturating_add(1);
        if !std::mem::replace(told, true) {
            self.note(ProblemKind::LongerThanSnaplen, offset, 0);
        }
    }
}

/// The highest frame number given so far.
pub(super) fn last_frame(info: &CaptureInfo) -> u64 {
    info.packets.saturating_add(info.numbered_blocks)
}

/// Adds a problem to the capture's list, or counts it when the list is full.
pub(super) fn note(info: &mut CaptureInfo, problem: Problem) {
    if info.problems.len() < MAX_PROBLEMS {
        info.problems.push(problem);
    } else {
        info.problems_left_out = info.problems_left_out.saturating_add(1);
    }
}

/// Less than `need` bytes are there: wait for more, or the file is torn.
pub(super) fn cut(chunk: &Chunk<'_>, at: usize, need: usize, out: &mut Out<'_>) -> Stop {
    let len = chunk.bytes.len();
    if !chunk.last {
        return Stop::Pending(Pending { at, need, gap: false });
    }
    if at < len {
        out.note(ProblemKind::TornTail, chunk.place(at), len.saturating_sub(at) as u64);
    }
    Stop::Pending(Pending { at: len, ..Pending::default() })
}

/// A search for the next plausible place.
pub(super) struct Resync {
    /// Where the bad record starts in the file.
    pub(super) from: u64,
    /// What to report: the bad record may just be the torn end of the file.
    pub(super) otherwise: ProblemKind,
}

/// Whether a place is one to go on from.
pub(super) enum Plausible {
    Yes,
    No,
    /// More bytes are needed to tell.
    Cut,
}

impl Resync {
    /// Looks for the first plausible place from `at` on. Nothing to look at remains when it returns `Pending` on the
    /// last chunk; the problem is noted then.
    ///
    /// The view is [`SCAN`] bytes and moves on by a good part of that each time, so the cost is linear.
    pub(super) fn seek(
        &self,
        chunk: &Chunk<'_>,
        at: usize,
        out: &mut Out<'_>,
        probe: impl Fn(usize) -> Plausible,
    ) -> Stop {
        let len = chunk.bytes.len();
        for place in at..len {
            match probe(place) {
                Plausible::Yes => {
                    out.note(ProblemKind::CorruptLength, self.from, chunk.place(place).saturating_sub(self.from));
                    return Stop::At(place);
                }
                Plausible::Cut if !chunk.last && (len < SCAN || place > len / 8) => {
                    return Stop::Pending(Pending { at: place, need: SCAN / 2, gap: false });
                }
                Plausible::Cut | Plausible::No => {}
            }
        }
        if chunk.last {
            out.note(self.otherwise, self.from, chunk.place(len).saturating_sub(self.from));
        }
        Stop::Pending(Pending { at: len, ..Pending::default() })
    }
}
