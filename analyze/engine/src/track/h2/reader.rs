//! One direction's frames, out of its segments: in order, with gaps, cut by the capture.
//!
//! Bytes of DATA and of frames that say nothing are passed over and never copied. Where bytes of other frames are missing,
//! reading goes on at the next segment that starts with a frame.

use crate::track::early::Early;
use crate::wire::app::http2::{HEAD, Head, head, kind, starts_frame};

/// A frame.
pub(super) struct Frame<'a> {
    pub(super) head: Head,
    /// Its body, where it is one that counts; none if it is too long.
    pub(super) body: Option<&'a [u8]>,
    /// Sequence number of its first byte.
    pub(super) seq: u32,
    /// Sequence number behind it.
    pub(super) end: u32,
}

/// Bytes on their way to frames.
#[derive(Clone, Debug, Default)]
pub(super) struct Reader {
    /// Sequence number of the next byte; unknown until a segment starts with a frame.
    next: Option<u32>,
    /// Where the frame at hand began.
    seq: u32,
    /// What is there of a frame that is not whole.
    begun: Vec<u8>,
    /// A frame whose body is passed over, and how much of it is still to come.
    passing: Option<(Head, u32)>,
    early: Early,
    /// Whether bytes were missed since this was asked last.
    missed: bool,
}

/// The longest body that is put together: a header block of the usual limit.
const MAX_BODY: u32 = 16 * 1024;
/// Kinds of frames up to here exist, or may be extensions.
const LAST_KIND: u8 = 0x20;

impl Reader {
    /// Reads from a sequence number on, where it is known that a frame begins there.
    pub(super) fn from(start: Option<u32>) -> Self {
        Self { next: start, ..Self::default() }
    }

    /// Takes a segment of `len` bytes, of which `captured` are there, and hands on what frames end in it.
    pub(super) fn push(&mut self, seq: u32, captured: &[u8], len: u32, each: &mut impl FnMut(Frame<'_>)) {
        let Some(next) = self.next.or_else(|| self.start(seq, captured)) else { return };
        let ahead = seq.wrapping_sub(next) as i32;
        if ahead > 0 && !self.pass(ahead.unsigned_abs(), each) {
            if captured.len() == len as usize && self.early.push(seq, captured) {
                return;
            }
            self.lose();
            if self.start(seq, captured).is_none() {
                return;
            }
        }
        let old = if ahead > 0 { 0 } else { ahead.unsigned_abs() };
        if old >= len {
            return;
        }
        let new = captured.get(old as usize..).unwrap_or_default();
        self.feed(new, each);
        let missing = len - old - new.len() as u32;
        if missing > 0 && !self.pass(missing, each) {
            self.lose();
        }
        while let Some(bytes) = self.next.and_then(|next| self.early.pop(next)) {
            self.feed(&bytes, each);
        }
    }

    /// Whether bytes were missed since this was asked last.
    pub(super) fn has_missed(&mut self) -> bool {
        std::mem::take(&mut self.missed)
    }

    /// Bytes it holds.
    pub(super) fn held(&self) -> usize {
        self.begun.capacity() + self.early.held()
    }

    fn start(&mut self, seq: u32, captured: &[u8]) -> Option<u32> {
        self.next = starts_frame(captured).then_some(seq);
        self.next
    }

    fn lose(&mut self) {
        *self = Self { missed: true, ..Self::default() };
    }

    fn advance(&mut self, bytes: u32) {
        self.next = self.next.map(|next| next.wrapping_add(bytes));
    }

    /// Passes over bytes that are missing, where they are of a body that does not count.
    fn pass(&mut self, bytes: u32, each: &mut impl FnMut(Frame<'_>)) -> bool {
        let Some((head, left)) = self.passing.filter(|(_, left)| *left >= bytes) else { return false };
        self.advance(bytes);
        self.passing = Some((head, left - bytes));
        self.passed(each);
        true
    }

    /// Hands on a frame that has been passed over.
    fn passed(&mut self, each: &mut impl FnMut(Frame<'_>)) {
        if let Some((head, 0)) = self.passing {
            self.passing = None;
            each(Frame { head, body: None, seq: self.seq, end: self.next.unwrap_or_default() });
        }
    }

    fn feed(&mut self, mut bytes: &[u8], each: &mut impl FnMut(Frame<'_>)) {
        while !bytes.is_empty() && self.next.is_some() {
            if let Some((_, left)) = self.passing {
                let (now, rest) = bytes.split_at(bytes.len().min(left as usize));
                bytes = rest;
                self.pass(now.len() as u32, each);
            } else {
                bytes = self.gather(bytes, each);
            }
        }
    }

    /// Adds to the frame at hand, and gives what is behind it.
    fn gather<'b>(&mut self, bytes: &'b [u8], each: &mut impl FnMut(Frame<'_>)) -> &'b [u8] {
        if self.begun.is_empty() {
            self.seq = self.next.unwrap_or_default();
        }
        let wanted = head(&self.begun).map_or(HEAD, |head| HEAD + head.len as usize);
        let (now, rest) = bytes.split_at(bytes.len().min(wanted - self.begun.len()));
        self.begun.extend_from_slice(now);
        self.advance(now.len() as u32);
        if let Some(head) = head(&self.begun) {
            self.headed(head, each);
        }
        rest
    }

    /// The head of the frame at hand is there.
    fn headed(&mut self, head: Head, each: &mut impl FnMut(Frame<'_>)) {
        if self.begun.len() == HEAD {
            let counts = matches!(head.kind, kind::HEADERS | kind::RST_STREAM | kind::PUSH_PROMISE)
                || matches!(head.kind, kind::GOAWAY | kind::CONTINUATION);
            let exists = head.kind <= LAST_KIND || head.kind == kind::PREFACE;
            if !exists || head.stream >> 31 == 1 {
                return self.lose();
            }
            if !counts || head.len > MAX_BODY {
                self.begun.clear();
                self.passing = Some((head, head.len));
                return self.passed(each);
            }
        }
        if self.begun.len() == HEAD + head.len as usize {
            let end = self.next.unwrap_or_default();
            each(Frame { head, body: self.begun.get(HEAD..), seq: self.seq, end });
            self.begun.clear();
        }
    }
}
