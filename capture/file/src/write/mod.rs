//! Writing pcapng: one little-endian section, times in nanoseconds.
//! <https://datatracker.ietf.org/doc/draft-ietf-opsawg-pcapng/>.

mod block;

use self::block::{BlockBuilder, cut};
use crate::{Batch, Direction, Interface, InterfaceStats, NameRecord, Record};
use std::io::{self, BufWriter, Write};
use std::net::IpAddr;

/// Longest block that readers take; this crate's own among them.
const MAX_BLOCK: usize = 16 * 1024 * 1024;
/// Fixed parts and options around the bytes of a frame or custom block.
const MAX_OVERHEAD: usize = 256 * 1024;
/// A name resolution block is ended when it has got longer than this.
const NAMES_BLOCK: usize = 256 * 1024;
/// Bytes collected before they are handed to the operating system.
const BUFFER: usize = 128 * 1024;
const SECTION: u32 = 0x0a0d_0d0a;
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
const OPT_COMMENT: u16 = 1;
const NANOSECONDS: u8 = 9;

/// Why a capture could not be written on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The operating system did not take the bytes: the disk is full, the pipe closed.
    #[error("cannot write the {block} to the capture")]
    Write {
        /// What was being written.
        block: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// More bytes than a block may have.
    #[error("a {block} of {len} bytes is too long for a capture file")]
    TooLong {
        /// What was to be written.
        block: &'static str,
        /// Its length in bytes.
        len: usize,
    },
    /// An interface number that [`Writer::interface`] did not give.
    #[error("the capture has no interface {index}")]
    UnknownInterface {
        /// The number.
        index: u32,
    },
}

/// What a section says about how it was taken.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Section {
    /// `shb_hardware`.
    pub hardware: Option<String>,
    /// `shb_os`.
    pub os: Option<String>,
    /// `shb_userappl`.
    pub application: Option<String>,
    /// `opt_comment`s.
    pub comments: Vec<String>,
}

/// A frame to write.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Packet<'a> {
    /// Number that [`Writer::interface`] gave.
    pub interface: u32,
    /// Nanoseconds since the epoch; a time before it is written as 0.
    pub ts_ns: i64,
    /// Bytes captured.
    pub data: &'a [u8],
    /// Bytes the frame had on the wire.
    pub orig_len: u32,
    /// Direction, where it is known.
    pub direction: Direction,
    /// Packets lost on this interface since the frame before; 0 is not written.
    pub dropped: u64,
    /// `epb_packetid`: the same for the same packet at several interfaces.
    pub id: Option<u64>,
    /// `opt_comment`.
    pub comment: Option<&'a str>,
}

impl<'a> Packet<'a> {
    /// A frame as it was read. `interface` is the writer's number.
    pub fn of(batch: &'a Batch, record: &Record, interface: u32) -> Self {
        Self {
            interface,
            ts_ns: record.ts_ns,
            data: batch.frame(record),
            orig_len: record.orig_len,
            direction: record.direction,
            ..Self::default()
        }
    }
}

/// Writes a capture. Bytes are collected; [`flush`](Self::flush) hands them on, dropping the writer tries to and cannot
/// say when it failed.
///
/// A block is written whole or, after an error, not at all, unless the disk filled up within one: that is a torn tail.
#[derive(Debug)]
pub struct Writer<W: Write> {
    out: BufWriter<W>,
    block: BlockBuilder,
    /// Snap length of each interface.
    interfaces: Vec<u32>,
    written: u64,
}

impl<W: Write> Writer<W> {
    /// Starts a capture with its section header.
    pub fn new(out: W, section: &Section) -> Result<Self, WriteError> {
        let out = BufWriter::with_capacity(BUFFER, out);
        let mut writer = Self { out, block: BlockBuilder::default(), interfaces: Vec::new(), written: 0 };
        // Version 1.0; the length of the section is not known.
        let block = writer.block.start(SECTION).u32(BYTE_ORDER_MAGIC).u16(1).u16(0).u32(u32::MAX).u32(u32::MAX);
        let fixed = block.len();
        block
            .texts(OPT_COMMENT, &section.comments)
            .texts(2, &section.hardware)
            .texts(3, &section.os)
            .texts(4, &section.application)
            .end_of_options(fixed);
        writer.put("section header")?;
        Ok(writer)
    }

    /// Describes an interface, at any time, and gives its number. Its statistics are not written: see
    /// [`statistics`](Self::statistics).
    pub fn interface(&mut self, interface: &Interface) -> Result<u32, WriteError> {
        let Interface { link_type, snaplen, .. } = *interface;
        let block = self.block.start(1).u16(link_type.0).u16(0).u32(snaplen);
        block
            .texts(OPT_COMMENT, &interface.comments)
            .texts(2, &interface.name)
            .texts(3, &interface.description)
            .texts(12, &interface.os)
            .texts(15, &interface.hardware)
            .counter(8, interface.speed)
            .option(9, &[NANOSECONDS]);
        for address in &interface.addresses {
            match address {
                // With the mask or prefix of the address alone: the type has none.
                IpAddr::V4(address) => block.option(4, &[address.octets(), [u8::MAX; 4]].concat()),
                IpAddr::V6(address) => block.option(5, &[&address.octets()[..], &[128]].concat()),
            };
        }
        if let Some(mac) = &interface.mac {
            block.option(6, mac);
        }
        if let Some(filter) = &interface.filter {
            let text = cut(filter, usize::from(u16::MAX - 1));
            block.option(11, &[&[0], text.as_bytes()].concat());
        }
        block.end_of_options(0);
        self.put("interface description")?;
        self.interfaces.push(if snaplen == 0 { u32::MAX } else { snaplen });
        Ok((self.interfaces.len() - 1) as u32)
    }

    /// Writes a frame. Bytes beyond the snap length of its interface are cut off, because readers refuse them.
    pub fn packet(&mut self, packet: &Packet<'_>) -> Result<(), WriteError> {
        let index = packet.interface;
        let snaplen = *self.interfaces.get(index as usize).ok_or(WriteError::UnknownInterface { index })?;
        let data = packet.data.get(..snaplen as usize).unwrap_or(packet.data);
        let caplen = fits("packet", data.len())?;
        let block =
            self.block.start(6).u32(index).time(packet.ts_ns).u32(caplen).u32(packet.orig_len.max(caplen)).bytes(data);
        let fixed = block.len();
        if let Some(comment) = packet.comment {
            block.text(OPT_COMMENT, comment);
        }
        match packet.direction {
            Direction::Unknown => {}
            Direction::In => _ = block.option(2, &1u32.to_le_bytes()),
            Direction::Out => _ = block.option(2, &2u32.to_le_bytes()),
        }
        let dropped = Some(packet.dropped).filter(|&dropped| dropped != 0);
        block.counter(4, dropped).counter(5, packet.id).end_of_options(fixed);
        self.put("packet")
    }

    /// Writes addresses and their names, in as many blocks as they need.
    pub fn names(&mut self, records: &[NameRecord]) -> Result<(), WriteError> {
        let mut records = records.iter().peekable();
        while records.peek().is_some() {
            let block = self.block.start(4);
            while let Some(record) = records.next_if(|_| block.len() < NAMES_BLOCK) {
                name_record(block, record);
            }
            block.u32(0);
            self.put("names")?;
        }
        Ok(())
    }

    /// Writes what an interface has counted up to `ts_ns`.
    pub fn statistics(&mut self, index: u32, ts_ns: i64, stats: &InterfaceStats) -> Result<(), WriteError> {
        if index as usize >= self.interfaces.len() {
            return Err(WriteError::UnknownInterface { index });
        }
        let block = self.block.start(5).u32(index).time(ts_ns);
        let fixed = block.len();
        block
            .counter(4, stats.received)
            .counter(5, stats.dropped_by_interface)
            .counter(6, stats.accepted_by_filter)
            .counter(7, stats.dropped_by_os)
            .counter(8, stats.delivered)
            .end_of_options(fixed);
        self.put("interface statistics")
    }

    /// Writes a custom block that tools may copy: a private enterprise number and data, which comes back padded to four
    /// bytes. Wireshark gives it a frame number.
    pub fn custom(&mut self, enterprise: u32, data: &[u8]) -> Result<(), WriteError> {
        fits("custom block", data.len())?;
        self.block.start(0x0bad).u32(enterprise).bytes(data);
        self.put("custom block")
    }

    /// Bytes written so far, collected ones included.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Hands everything to the operating system.
    pub fn flush(&mut self) -> Result<(), WriteError> {
        self.out.flush().map_err(|source| WriteError::Write { block: "last blocks", source })
    }

    /// Flushes and gives back what was written to.
    pub fn finish(self) -> Result<W, WriteError> {
        self.out.into_inner().map_err(|error| WriteError::Write { block: "last blocks", source: error.into_error() })
    }

    /// What is written to; what is still collected has not got there.
    pub fn get_ref(&self) -> &W {
        self.out.get_ref()
    }

    fn put(&mut self, block: &'static str) -> Result<(), WriteError> {
        let bytes = self.block.finish();
        self.out.write_all(bytes).map_err(|source| WriteError::Write { block, source })?;
        self.written += bytes.len() as u64;
        Ok(())
    }
}

fn fits(block: &'static str, len: usize) -> Result<u32, WriteError> {
    if len > MAX_BLOCK - MAX_OVERHEAD { Err(WriteError::TooLong { block, len }) } else { Ok(len as u32) }
}

/// One record for an address, or several when its names do not fit into one.
fn name_record(block: &mut BlockBuilder, record: &NameRecord) {
    let (kind, address): (u16, &[u8]) = match &record.address {
        IpAddr::V4(address) => (1, &address.octets()),
        IpAddr::V6(address) => (2, &address.octets()),
    };
    let mut value = address.to_vec();
    for name in &record.names {
        let name = cut(name, usize::from(u8::MAX)).as_bytes();
        if value.len() + name.len() + 1 > usize::from(u16::MAX) {
            block.option(kind, &value);
            value.truncate(address.len());
        }
        // A NUL ends a name.
        value.extend(name.iter().filter(|&&b| b != 0));
        value.push(0);
    }
    if value.len() > address.len() {
        block.option(kind, &value);
    }
}

#[cfg(test)]
mod tests;
