//! What the bytes go to: a file or standard output, compressed or not, and whoever reads along.

use crate::feed::Feed;
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
pub(super) struct Sink {
    out: Out,
    feed: Option<Feed>,
}

enum Out {
    Plain(Counted),
    Zstd(Box<zstd::Encoder<'static, Counted>>),
}

impl Sink {
    pub(super) fn new(file: File, compress: bool, feed: Option<Feed>) -> io::Result<Self> {
        let counted = Counted { file, bytes: 0 };
        let out = if compress { Out::Zstd(Box::new(zstd::Encoder::new(counted, LEVEL)?)) } else { Out::Plain(counted) };
        Ok(Self { out, feed })
    }

    /// Bytes that got to the file.
    pub(super) fn bytes(&self) -> u64 {
        match &self.out {
            Out::Plain(counted) => counted.bytes,
            Out::Zstd(encoder) => encoder.get_ref().bytes,
        }
    }

    /// Ends the compressed frame; the file and its length.
    pub(super) fn finish(self) -> io::Result<u64> {
        let mut counted = match self.out {
            Out::Plain(counted) => counted,
            Out::Zstd(encoder) => encoder.finish()?,
        };
        counted.flush()?;
        Ok(counted.bytes)
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = match &mut self.out {
            Out::Plain(counted) => counted.write(bytes),
            Out::Zstd(encoder) => encoder.write(bytes),
        }?;
        if let (Some(feed), Some(bytes)) = (&self.feed, bytes.get(..written)) {
            feed.bytes(bytes);
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.out {
            Out::Plain(counted) => counted.flush(),
            Out::Zstd(encoder) => encoder.flush(),
        }
    }
}

impl std::fmt::Debug for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sink").field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}
