//! Putting a block together.

use crate::bytes::padded;

/// Longest text of an option or a name: its length is 16 bits wide.
const MAX_TEXT: usize = u16::MAX as usize;

/// A block under construction: type, room for the length, body. The memory is used again for the next one.
#[derive(Debug, Default)]
pub(super) struct BlockBuilder {
    bytes: Vec<u8>,
}

impl BlockBuilder {
    pub(super) fn start(&mut self, kind: u32) -> &mut Self {
        self.bytes.clear();
        self.u32(kind).u32(0)
    }

    pub(super) fn u16(&mut self, value: u16) -> &mut Self {
        self.bytes.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub(super) fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// The upper half first, as time stamps have it.
    pub(super) fn time(&mut self, ts_ns: i64) -> &mut Self {
        let ticks = u64::try_from(ts_ns).unwrap_or_default();
        self.u32((ticks >> 32) as u32).u32(ticks as u32)
    }

    /// Bytes, padded to a multiple of four.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self.bytes.resize(padded(self.bytes.len()), 0);
        self
    }

    pub(super) fn option(&mut self, code: u16, value: &[u8]) -> &mut Self {
        self.u16(code).u16(value.len() as u16).bytes(value)
    }

    pub(super) fn text(&mut self, code: u16, text: &str) -> &mut Self {
        self.option(code, cut(text, MAX_TEXT).as_bytes())
    }

    pub(super) fn texts<'a>(&mut self, code: u16, texts: impl IntoIterator<Item = &'a String>) -> &mut Self {
        for text in texts {
            self.text(code, text);
        }
        self
    }

    pub(super) fn counter(&mut self, code: u16, value: Option<u64>) -> &mut Self {
        match value {
            Some(value) => self.option(code, &value.to_le_bytes()),
            None => self,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// `opt_endofopt`, when there are options behind `fixed` bytes.
    pub(super) fn end_of_options(&mut self, fixed: usize) -> &mut Self {
        if self.len() > fixed { self.u32(0) } else { self }
    }

    /// The whole block, with its length before and behind the body.
    pub(super) fn finish(&mut self) -> &[u8] {
        let total = (self.bytes.len() + 4) as u32;
        if let Some(length) = self.bytes.get_mut(4..8) {
            length.copy_from_slice(&total.to_le_bytes());
        }
        self.u32(total);
        &self.bytes
    }
}

/// At most `max` bytes of a text, whole characters.
pub(super) fn cut(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or(text)
}
