//! Capture files written by hand, block by block, so that they may also be wrong where a test wants them wrong.

pub mod classic;
pub mod pcapng;

use std::io::{self, Write};

/// A frame and what a file says about it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Frame {
    /// Nanoseconds since the epoch.
    pub ts_ns: u64,
    /// Bytes captured.
    pub data: Vec<u8>,
    /// Bytes the frame had on the wire.
    pub orig_len: u32,
}

impl Frame {
    /// A frame that was captured whole.
    pub fn new(ts_ns: u64, data: Vec<u8>) -> Self {
        Self { ts_ns, orig_len: data.len() as u32, data }
    }

    /// The same frame cut to `snaplen` bytes.
    #[must_use]
    pub fn snapped(mut self, snaplen: usize) -> Self {
        self.data.truncate(snaplen);
        self
    }
}

/// Byte order of a file or section.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// Least significant byte first.
    Little,
    /// Most significant byte first.
    Big,
}

impl Order {
    /// Two bytes.
    pub fn u16(self, value: u16) -> [u8; 2] {
        if self == Self::Little { value.to_le_bytes() } else { value.to_be_bytes() }
    }

    /// Four bytes.
    pub fn u32(self, value: u32) -> [u8; 4] {
        if self == Self::Little { value.to_le_bytes() } else { value.to_be_bytes() }
    }

    /// Eight bytes.
    pub fn u64(self, value: u64) -> [u8; 8] {
        if self == Self::Little { value.to_le_bytes() } else { value.to_be_bytes() }
    }
}

/// gzip: one member for each part (RFC 1952), without time or name, so that the bytes are always the same.
///
/// # Errors
/// None, in memory.
pub fn gzip(parts: &[&[u8]]) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    for part in parts {
        let mut member = flate2::write::GzEncoder::new(&mut out, flate2::Compression::default());
        member.write_all(part)?;
        member.finish()?;
    }
    Ok(out)
}

/// zstd: one frame for each part (RFC 8878).
///
/// # Errors
/// None, in memory.
pub fn zstd(parts: &[&[u8]]) -> io::Result<Vec<u8>> {
    let frames: Vec<Vec<u8>> = parts.iter().map(|part| zstd::bulk::compress(part, 3)).collect::<io::Result<_>>()?;
    Ok(frames.concat())
}

/// A zstd skippable frame (RFC 8878 3.1.2).
pub fn zstd_skippable(data: &[u8]) -> Vec<u8> {
    [&0x184d_2a50_u32.to_le_bytes(), &(data.len() as u32).to_le_bytes(), data].concat()
}
