//! Names as text, and as numbers that tell them apart.

use super::MAX_NAME;
use std::io::Write as _;

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
