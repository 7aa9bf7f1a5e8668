use super::tags::{Tags, Truth};
use kcap_samples::file::Order;
use kcap_samples::file::classic::Classic;
use kcap_samples::file::pcapng::Pcapng;
use std::io::{self, Write};

/// File format of a generated capture.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Format {
    /// Classic, microseconds.
    #[default]
    Pcap,
    /// pcapng, microseconds.
    Pcapng,
}

/// The link type: Ethernet.
const LINK: u16 = 1;
const SNAPLEN: u32 = 262_144;

/// Takes frames in time order and writes them until the file is full.
pub(super) struct Output<W> {
    to: W,
    format: Format,
    limit: u64,
    /// The record being written, whatever the format.
    blocks: Pcapng,
    first_ns: Option<u64>,
    truth: Truth,
}

impl<W: Write> Output<W> {
    pub(super) fn new(mut to: W, format: Format, limit: u64) -> io::Result<Self> {
        let mut blocks = Pcapng::new();
        match format {
            Format::Pcap => blocks.bytes = Classic::new(u32::from(LINK)).header(),
            Format::Pcapng => {
                blocks.section(Order::Little, -1, &[]);
                blocks.interface(LINK, SNAPLEN, &[]);
            }
        }
        to.write_all(&blocks.bytes)?;
        let truth = Truth { file_bytes: blocks.bytes.len() as u64, ..Truth::default() };
        Ok(Self { to, format, limit, blocks, first_ns: None, truth })
    }

    /// Writes a frame; false when there is no room for it and the file is done.
    pub(super) fn write(&mut self, ts_ns: u64, frame: &[u8], tags: Tags) -> io::Result<bool> {
        self.encode(ts_ns, frame);
        if self.truth.file_bytes + self.blocks.bytes.len() as u64 > self.limit {
            return Ok(false);
        }
        self.to.write_all(&self.blocks.bytes)?;
        self.truth.file_bytes += self.blocks.bytes.len() as u64;
        self.truth.count(tags);
        let first = *self.first_ns.get_or_insert(ts_ns);
        self.truth.duration_ms = (ts_ns - first) / 1_000_000;
        Ok(true)
    }

    fn encode(&mut self, ts_ns: u64, frame: &[u8]) {
        let length = frame.len() as u32;
        let blocks = &mut self.blocks;
        blocks.bytes.clear();
        match self.format {
            Format::Pcap => Classic::new(u32::from(LINK)).record_parts(&mut blocks.bytes, ts_ns, frame, length),
            Format::Pcapng => blocks.packet(0, ts_ns / 1000, frame, length, &[]),
        }
    }

    pub(super) fn finish(mut self) -> io::Result<Truth> {
        self.to.flush()?;
        Ok(self.truth)
    }
}
