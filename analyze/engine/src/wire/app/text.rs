use crate::track::Few;
use std::fmt;

/// A short text from the wire: printable ASCII, the rest replaced, what is too long cut off. A word where there is none,
/// because most messages have none.
#[derive(Clone, Default)]
pub struct Text(Option<Box<Few<u8, { Text::MAX }>>>);

impl Text {
    /// Bytes kept.
    pub const MAX: usize = 62;

    /// The text of bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let mut text = Self::default();
        text.append(bytes);
        text
    }

    /// Appends what has room.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let text = self.0.get_or_insert_default();
        for byte in bytes.iter().take(Self::MAX) {
            text.push(if byte.is_ascii_graphic() || *byte == b' ' { *byte } else { b'?' });
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.0.as_ref().map_or(&[], |text| text.as_slice())).unwrap_or_default()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Text {}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
