//! Names as text, and as numbers that tell them apart.

use super::MAX_NAME;
use smallvec::SmallVec;
use std::fmt;
use std::io::Write as _;
use std::ops::Deref;

/// Names up to this long are kept in place; few are longer.
const IN_PLACE: usize = 64;

/// A name as text (see [`name_at`]) with its number (see [`name_hash`]), in place unless it is very long.
#[derive(Clone, PartialEq, Eq)]
pub struct Name {
    text: SmallVec<[u8; IN_PLACE]>,
    hash: u64,
}

impl Name {
    /// A question's name; of one that was cut, its whole labels and what there is of the last.
    pub fn of_question(name: &[u8]) -> Self {
        let mut room = [[b'-'; 8]; MAX_NAME.div_ceil(8)];
        match plain_text(name, &mut room) {
            Some(text) => Self::from(text),
            None => Self::from(name_text(name).as_bytes()),
        }
    }

    /// Its text, which is ASCII.
    pub fn as_bytes(&self) -> &[u8] {
        &self.text
    }

    /// A number that two names share where they are the same.
    pub fn hash(&self) -> u64 {
        self.hash
    }
}

impl From<&[u8]> for Name {
    fn from(text: &[u8]) -> Self {
        Self { text: SmallVec::from_slice(text), hash: name_hash(text) }
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        str::from_utf8(&self.text).unwrap_or_default()
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// The text of a whole name without odd bytes, all of it at once: labels' lengths are covered for as long as bytes are
/// looked at, and become dots.
fn plain_text<'a>(name: &[u8], room: &'a mut [[u8; 8]]) -> Option<&'a [u8]> {
    let (_, labels) = name.split_first()?;
    let (0, labels) = labels.split_last()? else { return None };
    let text = room.as_flattened_mut().get_mut(..labels.len())?;
    text.copy_from_slice(labels);
    put_between_labels(name, text, b'-')?;
    for word in room.iter_mut().take(labels.len().div_ceil(8)) {
        *word = lower_case(u64::from_le_bytes(*word))?.to_le_bytes();
    }
    let text = room.as_flattened_mut().get_mut(..labels.len())?;
    put_between_labels(name, text, b'.')?;
    Some(text)
}

const ONES: u64 = 0x0101_0101_0101_0101;
const TOPS: u64 = ONES << 7;

/// Eight letters, digits, dashes or underscores in lower case; `None` where there is another byte among them.
#[inline]
fn lower_case(word: u64) -> Option<u64> {
    let letters = within(word | ONES << 5, b'a', b'z');
    let signs = within(word, b'0', b'9') | within(word, b'-', b'-') | within(word, b'_', b'_');
    let all = word & TOPS == 0 && (letters | signs) & TOPS == TOPS;
    all.then_some(word | (letters & TOPS) >> 2)
}

/// The top bit of each of eight bytes, which are ASCII, tells whether it is within the bounds.
#[inline]
fn within(word: u64, least: u8, most: u8) -> u64 {
    let from = u64::from(0x80u8.wrapping_sub(least));
    let past = u64::from(0x7fu8.wrapping_sub(most));
    word.wrapping_add(ONES.wrapping_mul(from)) & !word.wrapping_add(ONES.wrapping_mul(past))
}

/// Writes a byte where the length of each label but the first is; `None` when the labels are not those of a whole name.
#[inline]
fn put_between_labels(name: &[u8], text: &mut [u8], byte: u8) -> Option<()> {
    let first @ 1..=63 = *name.first()? else { return None };
    let mut at = usize::from(first);
    while let Some(place) = text.get_mut(at) {
        *place = byte;
        let label @ 1..=63 = *name.get(at.checked_add(1)?)? else { return None };
        at = at.checked_add(1)?.checked_add(label.into())?;
    }
    (at == text.len()).then_some(())
}

/// Whether the name at `at` has this text; false also where it is wrong, not all there, or has odd bytes.
pub fn is_name(message: &[u8], mut at: usize, text: &[u8]) -> bool {
    let (mut rest, mut pointed) = (text, usize::MAX);
    while let Some(&label) = message.get(at) {
        match label {
            0 => return rest.is_empty() && !text.is_empty(),
            1..=63 => {
                let begun = rest.len() < text.len();
                let Some(behind) = (if begun { rest.strip_prefix(b".") } else { Some(rest) }) else { return false };
                let start = at.saturating_add(1);
                let end = start.saturating_add(label.into());
                let Some(bytes) = message.get(start..end) else { return false };
                let Some((same, more)) = behind.split_at_checked(bytes.len()) else { return false };
                if !same.iter().zip(bytes).all(|(known, byte)| plain(*byte) == *known) {
                    return false;
                }
                (rest, at) = (more, end);
            }
            192.. => {
                let Some(&low) = message.get(at.saturating_add(1)) else { return false };
                let target = usize::from(u16::from_be_bytes([label & 0x3f, low]));
                if target >= at.min(pointed) {
                    return false;
                }
                (at, pointed) = (target, target);
            }
            _ => return false,
        }
    }
    false
}

/// The name at `at` as text: lower case, labels parted by dots, none at the end, `\DDD` for odd bytes; the root is `.`.
/// Pointers lead backwards only, so that this ends. `None` when the name is wrong or not all there.
pub fn name_at(message: &[u8], at: usize) -> Option<String> {
    let mut text = Vec::with_capacity(USUAL_NAME);
    push_name(&mut text, message, at)?;
    Some(string(text))
}

/// The same, appended to an empty text.
pub fn push_name(text: &mut Vec<u8>, message: &[u8], mut at: usize) -> Option<()> {
    let (mut used, mut pointed) = (0usize, usize::MAX);
    loop {
        let label = *message.get(at)?;
        match label {
            0 => break,
            1..=63 => {
                let end = at.checked_add(1)?.checked_add(label.into())?;
                used = used.checked_add(label.into())?.checked_add(1)?;
                if used >= MAX_NAME {
                    return None;
                }
                push_label(text, message.get(at.checked_add(1)?..end)?);
                at = end;
            }
            192.. => {
                let low = *message.get(at.checked_add(1)?)?;
                let target = usize::from(u16::from_be_bytes([label & 0x3f, low]));
                if target >= at.min(pointed) {
                    return None;
                }
                (at, pointed) = (target, target);
            }
            _ => return None,
        }
    }
    or_root(text);
    Some(())
}

/// Most names are no longer than this.
const USUAL_NAME: usize = 64;

/// A question's name as text (see [`name_at`]); of one that was cut, its whole labels and what there is of the last.
pub fn name_text(name: &[u8]) -> String {
    let (mut text, mut rest) = (Vec::with_capacity(name.len().saturating_sub(2)), name);
    while let Some((&label @ 1..=63, tail)) = rest.split_first() {
        let (label, tail) = tail.split_at_checked(label.into()).unwrap_or((tail, &[]));
        push_label(&mut text, label);
        rest = tail;
    }
    or_root(&mut text);
    string(text)
}

/// What labels were made of is ASCII.
fn string(text: Vec<u8>) -> String {
    String::from_utf8(text).unwrap_or_default()
}

fn or_root(text: &mut Vec<u8>) {
    if text.is_empty() {
        text.push(b'.');
    }
}

fn push_label(text: &mut Vec<u8>, label: &[u8]) {
    if !text.is_empty() {
        text.push(b'.');
    }
    let (at, mut odd) = (text.len(), false);
    text.extend(label.iter().map(|byte| {
        let plain = plain(*byte);
        odd |= plain == 0;
        plain
    }));
    if odd {
        text.truncate(at);
        push_odd_label(text, label);
    }
}

#[cold]
fn push_odd_label(text: &mut Vec<u8>, label: &[u8]) {
    for &byte in label {
        match plain(byte) {
            0 => drop(write!(text, "\\{byte:03}")),
            plain => text.push(plain),
        }
    }
}

/// What a byte is written as in a name's text; 0 for one that needs its number.
#[inline]
fn plain(byte: u8) -> u8 {
    PLAIN.get(usize::from(byte)).copied().unwrap_or_default()
}

#[allow(clippy::indexing_slicing, reason = "of a constant, which the compiler checks")]
const PLAIN: [u8; 256] = {
    let mut plain = [0; 256];
    let mut rest: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_*/+@=:";
    while let [first, others @ ..] = rest {
        plain[*first as usize] = first.to_ascii_lowercase();
        rest = others;
    }
    plain
};

/// A number that two names share where they are the same but for case.
#[inline]
pub fn name_hash(name: &[u8]) -> u64 {
    let mut hash = name.len() as u64;
    let (words, rest) = name.as_chunks::<8>();
    for word in words {
        hash = mix(hash, u64::from_le_bytes(*word));
    }
    let mut last = [0; 8];
    if let Some(place) = last.get_mut(..rest.len()) {
        place.copy_from_slice(rest);
    }
    mix(hash, u64::from_le_bytes(last))
}

/// Upper case letters differ from lower case ones in one bit. That bit of the labels' lengths is lost with it, which
/// costs nothing but a chance of two different names in one number.
#[inline]
fn mix(hash: u64, word: u64) -> u64 {
    const LOWER: u64 = 0x2020_2020_2020_2020;
    let product = u128::from(hash ^ (word | LOWER)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (product as u64 ^ (product >> 64) as u64).rotate_left(29)
}
