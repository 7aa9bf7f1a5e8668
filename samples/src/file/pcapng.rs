//! pcapng (draft-ietf-opsawg-pcapng), block by block.

use super::Order;

/// An option: code and value.
pub type Opt = (u16, Vec<u8>);

/// `opt_comment`.
pub fn comment(text: &str) -> Opt {
    (1, text.into())
}

/// Statistics of an interface, as an interface statistics block has them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// `isb_ifrecv`.
    pub received: u64,
    /// `isb_ifdrop`.
    pub dropped: u64,
    /// `isb_osdrop`.
    pub dropped_by_os: u64,
}

/// A pcapng file under construction. Times are in the units of the interface; nothing is checked.
#[derive(Clone, Debug)]
pub struct Pcapng {
    order: Order,
    /// The file so far.
    pub bytes: Vec<u8>,
}

impl Pcapng {
    /// An empty file; begin with [`Pcapng::section`].
    pub fn new() -> Self {
        Self { order: Order::Little, bytes: Vec::new() }
    }

    /// Appends a block of any type: body padded, length on both sides.
    pub fn block(&mut self, kind: u32, body: &[u8]) {
        let order = self.order;
        let padding = body.len().next_multiple_of(4) - body.len();
        let length = order.u32((12 + body.len() + padding) as u32);
        self.bytes.extend(order.u32(kind));
        self.bytes.extend(length);
        self.bytes.extend_from_slice(body);
        self.bytes.extend(std::iter::repeat_n(0, padding));
        self.bytes.extend(length);
    }

    fn options(&self, body: &mut Vec<u8>, options: &[Opt]) {
        for (code, value) in options {
            body.extend(self.order.u16(*code).into_iter().chain(self.order.u16(value.len() as u16)));
            pad(body, value);
        }
        if !options.is_empty() {
            body.extend([0; 4]);
        }
    }

    /// Starts a section in `order`; `length` is -1 when it is not known.
    pub fn section(&mut self, order: Order, length: i64, options: &[Opt]) {
        self.order = order;
        let mut body = order.u32(0x1a2b_3c4d).to_vec();
        body.extend(order.u16(1).into_iter().chain(order.u16(0)));
        body.extend(order.u64(length as u64));
        self.options(&mut body, options);
        self.block(0x0a0d_0d0a, &body);
    }

    /// Describes the next interface.
    pub fn interface(&mut self, link_type: u16, snaplen: u32, options: &[Opt]) {
        let order = self.order;
        let mut body: Vec<u8> = order.u16(link_type).into_iter().chain([0, 0]).chain(order.u32(snaplen)).collect();
        self.options(&mut body, options);
        self.block(1, &body);
    }

    /// An enhanced packet block; `units` since the epoch.
    pub fn packet(&mut self, interface: u32, units: u64, data: &[u8], orig_len: u32, options: &[Opt]) {
        let mut body = Vec::with_capacity(data.len() + 28);
        for word in [interface, (units >> 32) as u32, units as u32, data.len() as u32, orig_len] {
            body.extend(self.order.u32(word));
        }
        pad(&mut body, data);
        self.options(&mut body, options);
        self.block(6, &body);
    }

    /// A simple packet block: interface 0, no time.
    pub fn simple(&mut self, data: &[u8], orig_len: u32) {
        let body = [&self.order.u32(orig_len), data].concat();
        self.block(3, &body);
    }

    /// The obsolete packet block, which counts drops.
    pub fn obsolete(&mut self, interface: u16, drops: u16, units: u64, data: &[u8], orig_len: u32) {
        let order = self.order;
        let mut body: Vec<u8> = order.u16(interface).into_iter().chain(order.u16(drops)).collect();
        for word in [(units >> 32) as u32, units as u32, data.len() as u32, orig_len] {
            body.extend(order.u32(word));
        }
        pad(&mut body, data);
        self.block(2, &body);
    }

    /// A name resolution block: addresses (4 or 16 bytes) and their names.
    pub fn names(&mut self, records: &[(&[u8], &[&str])]) {
        let mut body = Vec::new();
        for (address, names) in records {
            let value = names.iter().fold(address.to_vec(), |value, name| [&value, name.as_bytes(), &[0]].concat());
            let kind = if address.len() == 4 { 1 } else { 2 };
            body.extend(self.order.u16(kind).into_iter().chain(self.order.u16(value.len() as u16)));
            pad(&mut body, &value);
        }
        body.extend([0; 4]);
        self.block(4, &body);
    }

    /// An interface statistics block.
    pub fn statistics(&mut self, interface: u32, units: u64, stats: Stats) {
        let order = self.order;
        let words = [interface, (units >> 32) as u32, units as u32];
        let mut body: Vec<u8> = words.into_iter().flat_map(|word| order.u32(word)).collect();
        let counters = [(4, stats.received), (5, stats.dropped), (7, stats.dropped_by_os)];
        let options: Vec<Opt> = counters.map(|(code, value)| (code, order.u64(value).to_vec())).into();
        self.options(&mut body, &options);
        self.block(5, &body);
    }

    /// A decryption secrets block of TLS keys.
    pub fn secrets(&mut self, text: &str) {
        let order = self.order;
        let mut body: Vec<u8> = order.u32(0x544c_534b).into_iter().chain(order.u32(text.len() as u32)).collect();
        pad(&mut body, text.as_bytes());
        self.block(10, &body);
    }

    /// A custom block of an enterprise, which may be copied.
    pub fn custom(&mut self, enterprise: u32, data: &[u8]) {
        let body = [&self.order.u32(enterprise), data].concat();
        self.block(0x0000_0bad, &body);
    }
}

impl Default for Pcapng {
    fn default() -> Self {
        Self::new()
    }
}

fn pad(body: &mut Vec<u8>, data: &[u8]) {
    body.extend_from_slice(data);
    body.resize(body.len() + data.len().next_multiple_of(4) - data.len(), 0);
}
