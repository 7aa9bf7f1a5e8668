use crate::Interface;
use std::sync::Arc;

/// Which way a frame passed the interface, where the file says so (`epb_flags` bits 0–1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Direction {
    /// The file does not say.
    #[default]
    Unknown,
    /// Received by the interface.
    In,
    /// Sent by the interface.
    Out,
}

/// One captured frame: where it lies in its [`Batch`] and what the file says about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Record {
    /// Nanoseconds since the Unix epoch, UTC.
    pub ts_ns: i64,
    /// Where the frame starts in [`Batch::data`].
    pub offset: u32,
    /// Bytes captured.
    pub caplen: u32,
    /// Bytes the frame had on the wire.
    pub orig_len: u32,
    /// Index into [`Batch::interfaces`].
    pub interface: u32,
    /// Direction, where the file says so.
    pub direction: Direction,
}

/// A run of consecutive frames of one file, with the bytes they lie in. Recycled: hand a used batch to the next read.
///
/// Where a batch ends depends on the bytes of the file only, never on how they arrived.
#[derive(Debug, Default)]
pub struct Batch {
    /// Index of the file among all inputs, in the order they are read.
    pub capture: u32,
    /// Files of one unit are parts of one stream (rotation): trackers carry state across them and start anew with
    /// the next unit.
    pub unit: u32,
    /// Whether it is known that no other unit follows: what tells captures apart need not be remembered.
    pub is_last_unit: bool,
    /// Number of the first record as Wireshark numbers frames: 1 for the first of a file. The other records of the
    /// batch follow without a gap; a batch ends before a block that Wireshark numbers and that is no frame.
    pub first_frame: u64,
    /// The bytes that the records lie in. What no record points at means nothing.
    pub data: Vec<u8>,
    /// The frames, in file order.
    pub records: Vec<Record>,
    /// The interfaces of the file known so far, in order of appearance (over all sections).
    pub interfaces: Arc<[Interface]>,
}

impl Batch {
    /// The captured bytes of a record of this batch; empty when the record is not of this batch.
    pub fn frame(&self, record: &Record) -> &[u8] {
        let start = record.offset as usize;
        self.data.get(start..start + record.caplen as usize).unwrap_or_default()
    }

    /// Empties the batch and keeps its memory: `data` keeps its length too, so that the next fill need not zero it.
    pub fn clear(&mut self) {
        self.records.clear();
    }
}
