use super::link::{put16, put32};
use super::{Around, Buf, Layer};

/// A VXLAN header (RFC 7348); goes into [`super::Udp`], mostly to port 4789 or 8472.
#[derive(Clone, Copy, Debug)]
pub struct Vxlan {
    /// Network identifier, 24 bits.
    pub vni: u32,
}

impl Vxlan {
    pub(super) fn push(self, buf: &mut Buf, _around: &Around<'_>) {
        let header = buf.push(8);
        header[0] = 0x08;
        put32(header, 4, self.vni << 8);
    }
}

/// A VXLAN-GPE header (draft-ietf-nvo3-vxlan-gpe-13); port 4790.
#[derive(Clone, Copy, Debug)]
pub struct VxlanGpe {
    /// Network identifier, 24 bits.
    pub vni: u32,
}

impl VxlanGpe {
    pub(super) fn push(self, buf: &mut Buf, around: &Around<'_>) {
        let header = buf.push(8);
        header[0] = 0x0c; // I: the VNI is valid; P: the next protocol is given.
        header[3] = match around.inner {
            Some(Layer::Ipv4(_)) => 1,
            Some(Layer::Ipv6(_)) => 2,
            _ => 3,
        };
        put32(header, 4, self.vni << 8);
    }
}

/// A Geneve header (RFC 8926); port 6081.
#[derive(Clone, Debug)]
pub struct Geneve {
    /// Network identifier, 24 bits.
    pub vni: u32,
    /// Options: class (2 bytes), type, length in 4-byte units, data.
    pub options: Vec<u8>,
}

impl Geneve {
    /// One option of `data`, a multiple of 4 bytes.
    pub fn option(class: u16, kind: u8, data: &[u8]) -> Vec<u8> {
        let [a, b] = class.to_be_bytes();
        [&[a, b, kind, (data.len() / 4) as u8], data].concat()
    }

    pub(super) fn push(&self, buf: &mut Buf, around: &Around<'_>) {
        let length = self.options.len();
        let header = buf.push(8 + length);
        header[0] = (length / 4) as u8;
        put16(header, 2, around.ethertype().unwrap_or(0));
        put32(header, 4, self.vni << 8);
        header[8..8 + length].copy_from_slice(&self.options);
    }
}

/// A GRE header (RFC 2784, RFC 2890).
#[derive(Clone, Copy, Debug, Default)]
pub struct Gre {
    /// Key.
    pub key: Option<u32>,
    /// Sequence number; ERSPAN II and III have one.
    pub sequence: Option<u32>,
    /// With checksum.
    pub checksum: bool,
}

impl Gre {
    pub(super) fn push(self, buf: &mut Buf, around: &Around<'_>) {
        let words = [self.checksum.then_some(0), self.key, self.sequence];
        let packet = buf.push(4 + 4 * words.iter().flatten().count());
        let flag = |word: &Option<u32>, bit: u8| u8::from(word.is_some()) << bit;
        packet[0] = flag(&words[0], 7) | flag(&words[1], 5) | flag(&words[2], 4);
        put16(packet, 2, around.ethertype().unwrap_or(0));
        for (n, word) in words.iter().flatten().enumerate() {
            put32(packet, 4 + 4 * n, *word);
        }
        if self.checksum {
            let checksum = pnet_packet::util::checksum(packet, 2);
            put16(packet, 4, checksum);
        }
    }
}

/// An ERSPAN header of type II or III (draft-foschiano-erspan-03), inside [`Gre`] with a sequence number.
#[derive(Clone, Copy, Debug)]
pub struct Erspan {
    /// 2 or 3.
    pub kind: u8,
    /// Session, 10 bits.
    pub session: u16,
    /// VLAN of the mirrored frame.
    pub vlan: u16,
}

impl Erspan {
    pub(super) fn ethertype(self) -> u16 {
        if self.kind == 3 { 0x22eb } else { 0x88be }
    }

    pub(super) fn push(self, buf: &mut Buf, _around: &Around<'_>) {
        let header = buf.push(if self.kind == 3 { 12 } else { 8 });
        put16(header, 0, (u16::from(self.kind) - 1) << 12 | self.vlan);
        put16(header, 2, self.session);
        if self.kind == 3 {
            put32(header, 4, 0x0102_0304); // Time stamp; the last word stays 0: no platform-specific subheader.
        }
    }
}

/// WireGuard messages (payloads of [`super::Udp`], mostly port 51820), with the lengths of its protocol.
pub mod wireguard {
    use crate::Rng;

    fn message(kind: u8, len: usize, rng: &mut Rng) -> Vec<u8> {
        let mut message = vec![kind, 0, 0, 0];
        rng.fill(&mut message, len - 4);
        message
    }

    /// Handshake initiation, 148 bytes.
    pub fn initiation(rng: &mut Rng) -> Vec<u8> {
        message(1, 148, rng)
    }

    /// Handshake response, 92 bytes.
    pub fn response(rng: &mut Rng) -> Vec<u8> {
        message(2, 92, rng)
    }

    /// Cookie reply, 64 bytes.
    pub fn cookie(rng: &mut Rng) -> Vec<u8> {
        message(3, 64, rng)
    }

    /// Transport data: 16-byte header, the inner packet padded to 16 bytes, 16-byte tag. No data is a keep-alive.
    pub fn data(receiver: u32, counter: u64, inner_len: usize, rng: &mut Rng) -> Vec<u8> {
        let mut message = vec![4, 0, 0, 0];
        message.extend_from_slice(&receiver.to_le_bytes());
        message.extend_from_slice(&counter.to_le_bytes());
        rng.fill(&mut message, inner_len.next_multiple_of(16) + 16);
        message
    }
}
