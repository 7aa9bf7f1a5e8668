//! Capture files byte by byte, good and bad, for tests.

#![allow(dead_code, reason = "each test binary uses some of it")]

use kcap_file::{Batch, CaptureInfo, Reader};
use std::io::Cursor;

pub(crate) const MICROS: u32 = 0xa1b2_c3d4;
pub(crate) const NANOS: u32 = 0xa1b2_3c4d;
pub(crate) const MODIFIED: u32 = 0xa1b2_cd34;

/// Integers of one byte order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Order {
    pub(crate) big: bool,
}

pub(crate) const LITTLE: Order = Order { big: false };
pub(crate) const BIG: Order = Order { big: true };

impl Order {
    pub(crate) fn u16(self, v: u16) -> [u8; 2] {
        if self.big { v.to_be_bytes() } else { v.to_le_bytes() }
    }

    pub(crate) fn u32(self, v: u32) -> [u8; 4] {
        if self.big { v.to_be_bytes() } else { v.to_le_bytes() }
    }

    pub(crate) fn u64(self, v: u64) -> [u8; 8] {
        if self.big { v.to_be_bytes() } else { v.to_le_bytes() }
    }
}

/// A classic pcap under construction.
pub(crate) struct Pcap {
    pub(crate) order: Order,
    pub(crate) magic: u32,
    pub(crate) bytes: Vec<u8>,
}

impl Pcap {
    pub(crate) fn new(order: Order, magic: u32, snaplen: u32, link_type: u32) -> Self {
        let mut bytes = order.u32(magic).to_vec();
        bytes.extend([order.u16(2), order.u16(4)].concat());
        bytes.extend([order.u32(0), order.u32(0), order.u32(snaplen), order.u32(link_type)].concat());
        Self { order, magic, bytes }
    }

    pub(crate) fn ethernet() -> Self {
        Self::new(LITTLE, MICROS, 262_144, 1)
    }

    pub(crate) fn record(&mut self, seconds: u32, fraction: u32, data: &[u8], orig_len: u32) -> &mut Self {
        self.header(seconds, fraction, data.len() as u32, orig_len);
        self.bytes.extend(data);
        self
    }

    pub(crate) fn header(&mut self, seconds: u32, fraction: u32, caplen: u32, orig_len: u32) -> &mut Self {
        let fields = [seconds, fraction, caplen, orig_len].map(|v| self.order.u32(v)).concat();
        self.bytes.extend(fields);
        if self.magic == MODIFIED {
            // Interface 2, IPv4, outgoing.
            self.bytes.extend([&self.order.u32(2)[..], &self.order.u16(0x0800), &[4, 0]].concat());
        }
        self
    }

    /// So many frames a millisecond apart; the bytes of each tell it from the others.
    pub(crate) fn frames(&mut self, count: u32) -> &mut Self {
        for i in 0..count {
            let data = frame(i);
            self.record(1_700_000_000 + i / 1000, i % 1000 * 1000, &data, data.len() as u32);
        }
        self
    }
}

/// 60 to 1500 bytes that look like nothing.
pub(crate) fn frame(i: u32) -> Vec<u8> {
    let len = 60 + i.wrapping_mul(2_654_435_761) % 1441;
    (0..len).map(|k| (k.wrapping_mul(31) ^ i.wrapping_mul(17)) as u8 | 0x40).collect()
}

/// pcapng under construction.
pub(crate) struct Ng {
    pub(crate) order: Order,
    pub(crate) bytes: Vec<u8>,
}

impl Ng {
    /// A section header of unknown length.
    pub(crate) fn new(order: Order) -> Self {
        let mut ng = Self { order, bytes: Vec::new() };
        ng.section(order, &[]);
        ng
    }

    pub(crate) fn section(&mut self, order: Order, options: &[(u16, &[u8])]) -> &mut Self {
        self.order = order;
        let fixed = [&order.u32(0x1a2b_3c4d)[..], &order.u16(1), &order.u16(0), &order.u64(u64::MAX)].concat();
        self.block(0x0a0d_0d0a, &[fixed, self.options(options)].concat())
    }

    pub(crate) fn interface(&mut self, link_type: u16, snaplen: u32, options: &[(u16, &[u8])]) -> &mut Self {
        let order = self.order;
        let fixed = [&order.u16(link_type)[..], &order.u16(0), &order.u32(snaplen)].concat();
        self.block(1, &[fixed, self.options(options)].concat())
    }

    pub(crate) fn packet(&mut self, interface: u32, ticks: u64, data: &[u8], options: &[(u16, &[u8])]) -> &mut Self {
        let order = self.order;
        let (high, low, len) = ((ticks >> 32) as u32, ticks as u32, data.len() as u32);
        let fixed = [interface, high, low, len, len].map(|v| order.u32(v)).concat();
        self.block(6, &[fixed, pad(data), self.options(options)].concat())
    }

    /// So many frames as in [`Pcap::frames`], on interface 0 in microseconds.
    pub(crate) fn frames(&mut self, count: u32) -> &mut Self {
        for i in 0..count {
            self.packet(0, 1_700_000_000_000_000 + u64::from(i) * 1000, &frame(i), &[]);
        }
        self
    }

    pub(crate) fn block(&mut self, kind: u32, body: &[u8]) -> &mut Self {
        let body = pad(body);
        let len = self.order.u32(body.len() as u32 + 12);
        self.bytes.extend([&self.order.u32(kind)[..], &len, &body, &len].concat());
        self
    }

    /// Options with their end, or nothing for none.
    pub(crate) fn options(&self, options: &[(u16, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (code, value) in options {
            bytes.extend([&self.order.u16(*code)[..], &self.order.u16(value.len() as u16), &pad(value)].concat());
        }
        if !options.is_empty() {
            bytes.extend([0; 4]);
        }
        bytes
    }
}

pub(crate) fn pad(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// A frame as it was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Frame {
    pub(crate) number: u64,
    pub(crate) ts_ns: i64,
    pub(crate) orig_len: u32,
    pub(crate) interface: u32,
    pub(crate) direction: kcap_file::Direction,
    pub(crate) data: Vec<u8>,
}

/// Reads to the end.
pub(crate) fn read_all(mut reader: Reader) -> (CaptureInfo, Vec<Frame>) {
    let mut frames = Vec::new();
    let mut batch = Batch::default();
    while reader.next_batch(&mut batch) {
        frames.extend(frames_of(&batch));
    }
    (reader.into_info(), frames)
}

pub(crate) fn frames_of(batch: &Batch) -> Vec<Frame> {
    let frame = |(i, r): (usize, &kcap_file::Record)| Frame {
        number: batch.first_frame + i as u64,
        ts_ns: r.ts_ns,
        orig_len: r.orig_len,
        interface: r.interface,
        direction: r.direction,
        data: batch.frame(r).to_vec(),
    };
    batch.records.iter().enumerate().map(frame).collect()
}

/// Reads bytes as a capture.
pub(crate) fn read(bytes: &[u8]) -> (CaptureInfo, Vec<Frame>) {
    read_all(Reader::from_read(Box::new(Cursor::new(bytes.to_vec())), "test").unwrap())
}
