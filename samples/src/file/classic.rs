//! Classic pcap: a file header and records.

use super::{Frame, Order};

/// Which classic format.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flavour {
    /// Microseconds, magic `a1b2c3d4`.
    Micros,
    /// Nanoseconds, magic `a1b23c4d`.
    Nanos,
    /// Alexey Kuznetsov's patch: 8 more bytes a record, magic `a1b2cd34`.
    Modified,
}

impl Flavour {
    fn magic(self) -> u32 {
        match self {
            Self::Micros => 0xa1b2_c3d4,
            Self::Nanos => 0xa1b2_3c4d,
            Self::Modified => 0xa1b2_cd34,
        }
    }

    /// Nanoseconds of one unit of the sub-second field.
    fn unit(self) -> u64 {
        if self == Self::Nanos { 1 } else { 1000 }
    }
}

/// How a classic file is written.
#[derive(Clone, Copy, Debug)]
pub struct Classic {
    /// Format.
    pub flavour: Flavour,
    /// Byte order.
    pub order: Order,
    /// Link type.
    pub link_type: u32,
    /// Snap length the header declares; records are not cut to it.
    pub snaplen: u32,
}

impl Classic {
    /// Microseconds, little endian: what tcpdump writes on most machines.
    pub fn new(link_type: u32) -> Self {
        Self { flavour: Flavour::Micros, order: Order::Little, link_type, snaplen: 262_144 }
    }

    /// The file header.
    pub fn header(&self) -> Vec<u8> {
        let order = self.order;
        let mut out = order.u32(self.flavour.magic()).to_vec();
        out.extend(order.u16(2).into_iter().chain(order.u16(4)));
        for word in [0, 0, self.snaplen, self.link_type] {
            out.extend(order.u32(word));
        }
        out
    }

    /// Appends a record.
    pub fn record(&self, out: &mut Vec<u8>, frame: &Frame) {
        self.record_parts(out, frame.ts_ns, &frame.data, frame.orig_len);
    }

    /// Appends a record from its parts.
    pub fn record_parts(&self, out: &mut Vec<u8>, ts_ns: u64, data: &[u8], orig_len: u32) {
        let fraction = ts_ns % 1_000_000_000 / self.flavour.unit();
        for word in [(ts_ns / 1_000_000_000) as u32, fraction as u32, data.len() as u32, orig_len] {
            out.extend(self.order.u32(word));
        }
        if self.flavour == Flavour::Modified {
            out.extend(self.order.u32(2)); // Interface index.
            out.extend(self.order.u16(0x0800)); // Protocol.
            out.extend([0, 0]); // Packet type, padding.
        }
        out.extend_from_slice(data);
    }

    /// A whole file.
    pub fn file(&self, frames: &[Frame]) -> Vec<u8> {
        let mut out = self.header();
        for frame in frames {
            self.record(&mut out, frame);
        }
        out
    }
}
