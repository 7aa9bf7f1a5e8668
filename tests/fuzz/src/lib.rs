//! What the fuzz targets share: bytes become a capture, and the whole analysis reads it. What is looked for are panics,
//! overflows, failed assertions, hangs and memory without bound; what a report says is for other tests.

use kcap_analyze::table::{Rows, Sink, SinkError};
use kcap_analyze::{Compat, Options, analyze};
use kcap_file::Reader;
use kcap_samples::file::Frame;
use kcap_samples::file::classic::Classic;
use std::io::Cursor;

/// Memory of an analysis: so little that caps are reached.
const MEMORY: u64 = 1 << 20;

/// Wants every table and keeps none.
struct Everything;

impl Sink for Everything {
    fn wants(&self, _: &str) -> bool {
        true
    }

    fn write(&mut self, _: &mut Rows) -> Result<(), SinkError> {
        Ok(())
    }
}

/// Analyses bytes as a capture file, where they are one.
pub fn analyze_file(file: &[u8]) {
    let Ok(reader) = Reader::from_read(Box::new(Cursor::new(file.to_vec())), "fuzzed") else { return };
    let options = Options { memory: MEMORY, compat: Some(Compat::Wireshark40), ..Options::default() };
    analyze(Box::new(reader), options, &mut Everything).expect("the sink takes everything");
}

/// Analyses frames of one link type.
pub fn analyze_frames(link: u32, frames: &[Frame]) {
    analyze_file(&Classic::new(link).file(frames));
}

/// Takes pieces of the fuzzer's bytes.
pub struct Pieces<'a>(pub &'a [u8]);

impl<'a> Pieces<'a> {
    /// A byte; nothing when none is left.
    pub fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// Two bytes as a number.
    pub fn short(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes([self.byte()?, self.byte()?]))
    }

    /// So many bytes, or those that are left.
    pub fn bytes(&mut self, len: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        bytes
    }
}
