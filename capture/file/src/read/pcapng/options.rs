//! Options of a block: code, length, value padded to four bytes, up to `opt_endofopt` or the end of the block.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::bytes::{Order, padded};

/// Walks options. One that is longer than what is left ends the walk and sets [`Options::broken`].
pub(super) struct Options<'a> {
    rest: &'a [u8],
    pub(super) order: Order,
    pub(super) broken: bool,
}

impl<'a> Options<'a> {
    pub(super) fn new(rest: &'a [u8], order: Order) -> Self {
        Self { rest, order, broken: false }
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let code = self.order.u16_at(self.rest, 0)?;
        let len = usize::from(self.order.u16_at(self.rest, 2)?);
        let body = self.rest.get(4..)?;
        if code == 0 {
            self.rest = &[];
            return None;
        }
        let Some(value) = body.get(..len) else {
            self.broken = true;
            self.rest = &[];
            return None;
        };
        // The last option may lack its padding.
        self.rest = body.get(padded(len)..).unwrap_or_default();
        Some((code, value))
    }
}

/// A text value; some writers end it with a NUL.
pub(super) fn text(value: &[u8]) -> String {
    let end = value.iter().position(|&b| b == 0).unwrap_or(value.len());
    String::from_utf8_lossy(value.get(..end).unwrap_or_default()).into_owned()
}
