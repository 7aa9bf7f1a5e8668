//! Header blocks of HTTP/2 (RFC 7541), field by field. What they refer to of earlier blocks is kept elsewhere
//! ([`crate::track`]): nothing here remembers.

mod fixed;
mod huffman;

/// One field of a block.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Field<'a> {
    /// A whole field of the tables.
    Indexed(usize),
    /// A field, and whether it enters the dynamic table.
    Literal {
        /// Its name.
        name: Name<'a>,
        /// Its value.
        value: Coded<'a>,
        /// Whether it enters the dynamic table.
        kept: bool,
    },
    /// From here on the dynamic table has this size, bytes.
    Resize(usize),
}

/// Name of a field.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Name<'a> {
    /// That of a field of the tables.
    Indexed(usize),
    /// A text.
    Text(Coded<'a>),
}

/// A text as it is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Coded<'a> {
    huffman: bool,
    bytes: &'a [u8],
}

/// The first bytes of a text, and how many it has in all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Short {
    bytes: [u8; Short::MAX],
    /// All of its bytes.
    pub(crate) len: usize,
}

impl Short {
    /// Bytes kept: what of a path is looked at.
    const MAX: usize = 256;

    pub(crate) fn of(text: &[u8]) -> Self {
        let mut short = Self { bytes: [0; Self::MAX], len: 0 };
        for byte in text {
            short.push(*byte);
        }
        short
    }

    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = byte;
        }
        self.len = self.len.saturating_add(1);
    }

    /// What is kept.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&self.bytes)
    }

    /// Whether there is more than is kept.
    pub(crate) fn is_cut(&self) -> bool {
        self.len > Self::MAX
    }
}

impl Coded<'_> {
    /// The text; none where its code is wrong.
    pub(crate) fn read(&self) -> Option<Short> {
        if !self.huffman {
            return Some(Short::of(self.bytes));
        }
        let mut short = Short::of(&[]);
        huffman::decode(self.bytes, |byte| short.push(byte))?;
        Some(short)
    }
}

/// Fields of the static table.
pub(crate) const FIXED: usize = fixed::ENTRIES.len();

/// Name and value of a field of the static table, by its index from 1.
pub(crate) fn fixed(index: usize) -> Option<(&'static str, &'static str)> {
    fixed::ENTRIES.get(index.checked_sub(1)?).copied()
}

/// The first field of a block, and what follows it (RFC 7541 6).
pub(crate) fn field(block: &[u8]) -> Option<(&[u8], Field<'_>)> {
    let first = *block.first()?;
    match first {
        0x80.. => integer(block, 7).map(|(rest, index)| (rest, Field::Indexed(index))),
        0x40..0x80 => literal(block, 6, true),
        0x20..0x40 => integer(block, 5).map(|(rest, size)| (rest, Field::Resize(size))),
        _ => literal(block, 4, false),
    }
}

fn literal(block: &[u8], prefix: u32, kept: bool) -> Option<(&[u8], Field<'_>)> {
    let (rest, index) = integer(block, prefix)?;
    let (rest, name) = if index == 0 {
        let (rest, name) = text(rest)?;
        (rest, Name::Text(name))
    } else {
        (rest, Name::Indexed(index))
    };
    let (rest, value) = text(rest)?;
    Some((rest, Field::Literal { name, value, kept }))
}

fn text(bytes: &[u8]) -> Option<(&[u8], Coded<'_>)> {
    let huffman = bytes.first()? & 0x80 != 0;
    let (rest, len) = integer(bytes, 7)?;
    let (bytes, rest) = rest.split_at_checked(len)?;
    Some((rest, Coded { huffman, bytes }))
}

/// An integer that begins in the low bits of the first byte (RFC 7541 5.1); none above 2^28, which nobody needs.
fn integer(bytes: &[u8], prefix: u32) -> Option<(&[u8], usize)> {
    let (first, mut rest) = bytes.split_first()?;
    let full = (1usize << prefix).checked_sub(1)?;
    let mut value = usize::from(*first) & full;
    if value < full {
        return Some((rest, value));
    }
    for shift in [0, 7, 14, 21] {
        let (byte, tail) = rest.split_first()?;
        rest = tail;
        value = value.checked_add(usize::from(byte & 0x7f) << shift)?;
        if byte & 0x80 == 0 {
            return Some((rest, value));
        }
    }
    None
}

#[cfg(test)]
mod tests;
