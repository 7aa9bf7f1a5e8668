//! What the bytes go to: a file or standard output, compressed or not.

use std::fs::File;
use std::io::{self, Write};

/// zstd's fastest level but one: a capture is compressed while packets come.
const LEVEL: i32 = 1;

/// A file that counts what is written to it.
#[derive(Debug)]
pub(super) struct Counted {
    file: File,
    bytes: u64,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Where a part's bytes go.
pub(super) enum Sink {
    Plain(Counted),
    Zstd(Box<zstd::Encoder<'static, Counted>>),
}

impl Sink {
    pub(super) fn new(file: File, compress: bool) -> io::Result<Self> {
        let counted = Counted { file, bytes: 0 };
        if compress {
            return Ok(Self::Zstd(Box::new(zstd::Encoder::new(counted, LEVEL)?)));
        }
        Ok(Self::Plain(counted))
    }

    /// Bytes that got to the file.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Plain(counted) => counted.bytes,
            Self::Zstd(encoder) => encoder.get_ref().bytes,
        }
    }

    /// Ends the compressed frame; the file and its length.
    pub(super) fn finish(self) -> io::Result<u64> {
        let mut counted = match self {
            Self::Plain(counted) => counted,
            Self::Zstd(encoder) => encoder.finish()?,
        };
        counted.flush()?;
        Ok(counted.bytes)
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(counted) => counted.write(bytes),
            Self::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(counted) => counted.flush(),
            Self::Zstd(encoder) => encoder.flush(),
        }
    }
}

impl std::fmt::Debug for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sink").field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}
