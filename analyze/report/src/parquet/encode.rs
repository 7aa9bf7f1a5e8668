//! Encodings of pages (<https://parquet.apache.org/docs/file-format/data-pages/encodings/>): levels, dictionary keys,
//! differences and plain values.

/// Values packed at a time: a miniblock, and four groups of the hybrid.
const PACK: usize = 32;
/// Values of a block of differences.
const BLOCK: usize = 4 * PACK;
/// Equal keys from which on a run is shorter than the packed keys, headers included.
const RUN: usize = 32;

/// An integer that Parquet stores.
pub(super) trait Int: Copy + Ord {
    fn wide(self) -> i64;
    /// The difference, which wraps at this type's width.
    fn minus(self, other: Self) -> i64;
    fn bytes(self) -> impl AsRef<[u8]>;
}

impl Int for i32 {
    fn wide(self) -> i64 {
        self.into()
    }

    fn minus(self, other: Self) -> i64 {
        self.wrapping_sub(other).into()
    }

    fn bytes(self) -> impl AsRef<[u8]> {
        self.to_le_bytes()
    }
}

impl Int for i64 {
    fn wide(self) -> i64 {
        self
    }

    fn minus(self, other: Self) -> i64 {
        self.wrapping_sub(other)
    }

    fn bytes(self) -> impl AsRef<[u8]> {
        self.to_le_bytes()
    }
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn zigzag(value: i64, out: &mut Vec<u8>) {
    varint(((value << 1) ^ (value >> 63)) as u64, out);
}

/// Bits that hold every value up to `max`.
pub(super) fn width(max: u64) -> u32 {
    u64::BITS - max.leading_zeros()
}

/// Packs values, each in `width` bits, the lowest first.
fn pack(values: &[u64; PACK], width: u32, out: &mut Vec<u8>) {
    /// One copy for each usual width: its shifts are known, so that it has no loop.
    macro_rules! by_width {
        ($($width:literal)*) => {
            match width {
                0 => [0; PACK],
                $($width => packed::<$width>(values),)*
                _ => packed_in(width, values),
            }
        };
    }
    let words = by_width!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 32 33);
    let bytes = out.len() + width as usize * PACK / 8;
    for word in &words[..width.div_ceil(2) as usize] {
        out.extend_from_slice(&word.to_le_bytes());
    }
    out.truncate(bytes);
}

#[inline(never)]
fn packed<const WIDTH: u32>(values: &[u64; PACK]) -> [u64; PACK] {
    packed_in(WIDTH, values)
}

#[expect(clippy::inline_always, reason = "the shifts are only known where it is inlined")]
#[inline(always)]
fn packed_in(width: u32, values: &[u64; PACK]) -> [u64; PACK] {
    let mut words = [0; PACK];
    let (mut word, mut at, mut used) = (0, 0, 0);
    for &value in values {
        word |= value << used;
        used += width;
        if used >= u64::BITS {
            words[at] = word;
            (at, used) = (at + 1, used - u64::BITS);
            word = if used == 0 { 0 } else { value >> (width - used) };
        }
    }
    if let Some(last) = words.get_mut(at) {
        *last = word;
    }
    words
}

/// Definition levels of a column that may lack values, as pages of version 1 have them.
pub(super) fn levels(nulls: &[u32], len: usize, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    if nulls.is_empty() || nulls.len() == len {
        varint((len as u64) << 1, out);
        out.push(nulls.is_empty().into());
    } else {
        varint((len.div_ceil(8) as u64) << 1 | 1, out);
        let bits = out.len();
        out.resize(bits + len.div_ceil(8), 0xff);
        for &row in nulls {
            out[bits + row as usize / 8] &= !(1 << (row % 8));
        }
    }
    let bytes = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&bytes.to_le_bytes());
}

/// Keys into a dictionary, none of them wider than `width`: runs of equal ones, the others packed.
pub(super) fn keys(keys: &[u32], width: u32, out: &mut Vec<u8>) {
    out.push(width as u8);
    let (mut packed, mut at) = (0, 0);
    while at < keys.len() {
        let run = keys[at..].iter().take_while(|key| **key == keys[at]).count();
        if run >= RUN {
            packed_keys(&keys[packed..at], width, out);
            equal_keys(keys[at], run, width, out);
            at += run;
            packed = at;
        } else {
            // What is packed comes in groups of eight.
            at = keys.len().min(at + (run & !7).max(8));
        }
    }
    packed_keys(&keys[packed..], width, out);
}

/// A key as often as it says, as a page of keys has it.
pub(super) fn same_key(key: u32, len: usize, width: u32, out: &mut Vec<u8>) {
    out.push(width as u8);
    equal_keys(key, len, width, out);
}

fn equal_keys(key: u32, len: usize, width: u32, out: &mut Vec<u8>) {
    varint((len as u64) << 1, out);
    out.extend_from_slice(&key.to_le_bytes()[..width.div_ceil(8) as usize]);
}

fn packed_keys(keys: &[u32], width: u32, out: &mut Vec<u8>) {
    if keys.is_empty() {
        return;
    }
    let groups = keys.len().div_ceil(8);
    varint((groups as u64) << 1 | 1, out);
    let bytes = out.len() + groups * width as usize;
    for keys in keys.chunks(PACK) {
        let mut values = [0; PACK];
        values.iter_mut().zip(keys).for_each(|(value, key)| *value = u64::from(*key));
        pack(&values, width, out);
    }
    out.truncate(bytes);
}

/// Integers as differences to the one before, packed as narrow as they let (`DELTA_BINARY_PACKED`).
pub(super) fn delta<T: Int>(values: &[T], out: &mut Vec<u8>) {
    varint(BLOCK as u64, out);
    varint((BLOCK / PACK) as u64, out);
    varint(values.len() as u64, out);
    zigzag(values.first().map_or(0, |value| value.wide()), out);
    let mut before = values;
    for block in values.get(1..).unwrap_or_default().chunks(BLOCK) {
        let mut deltas = [0; BLOCK];
        let pairs = block.iter().zip(before);
        deltas.iter_mut().zip(pairs).for_each(|(delta, (value, before))| *delta = value.minus(*before));
        delta_block(&deltas[..block.len()], out);
        before = &before[block.len()..];
    }
}

fn delta_block(deltas: &[i64], out: &mut Vec<u8>) {
    let min = deltas.iter().copied().min().unwrap_or_default();
    zigzag(min, out);
    let widths = out.len();
    out.extend_from_slice(&[0; BLOCK / PACK]);
    for (at, part) in deltas.chunks(PACK).enumerate() {
        let mut values = [0; PACK];
        values.iter_mut().zip(part).for_each(|(value, delta)| *value = delta.wrapping_sub(min) as u64);
        let width = width(values.iter().fold(0, |bits, value| bits | value));
        out[widths + at] = width as u8;
        pack(&values, width, out);
    }
}

/// Floats as they are.
pub(super) fn floats(values: &[f64], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + size_of_val(values), 0);
    let slots = out[start..].chunks_exact_mut(size_of::<f64>());
    slots.zip(values).for_each(|(slot, value)| slot.copy_from_slice(&value.to_le_bytes()));
}

/// Booleans, a bit each.
pub(super) fn bools(values: &[bool], out: &mut Vec<u8>) {
    let byte = |bits: &[bool]| bits.iter().rev().fold(0, |byte, &bit| byte << 1 | u8::from(bit));
    out.extend(values.chunks(8).map(byte));
}

/// A text behind its length.
pub(super) fn text(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}
