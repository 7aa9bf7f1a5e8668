use super::link::put16;
use super::{Around, Buf, Layer, ROOM};
use pnet_packet::ip::IpNextHeaderProtocol;
use pnet_packet::tcp::MutableTcpPacket;
use pnet_packet::udp::MutableUdpPacket;
use pnet_packet::util;

/// TCP flags.
pub mod flags {
    /// FIN.
    pub const FIN: u8 = 0x01;
    /// SYN.
    pub const SYN: u8 = 0x02;
    /// RST.
    pub const RST: u8 = 0x04;
    /// PSH.
    pub const PSH: u8 = 0x08;
    /// ACK.
    pub const ACK: u8 = 0x10;
}

/// TCP options as bytes.
pub mod options {
    /// Options of a Linux SYN: MSS, SACK permitted, timestamps, window scale 7.
    pub fn syn(mss: u16, tsval: u32, tsecr: u32) -> Vec<u8> {
        let [a, b] = mss.to_be_bytes();
        let mut options = vec![2, 4, a, b, 4, 2];
        options.extend_from_slice(&[8, 10]);
        options.extend_from_slice(&tsval.to_be_bytes());
        options.extend_from_slice(&tsecr.to_be_bytes());
        options.extend_from_slice(&[1, 3, 3, 7]);
        options
    }

    /// Two no-operations and timestamps.
    pub fn timestamps(tsval: u32, tsecr: u32) -> Vec<u8> {
        let mut options = vec![1, 1, 8, 10];
        options.extend_from_slice(&tsval.to_be_bytes());
        options.extend_from_slice(&tsecr.to_be_bytes());
        options
    }

    /// Timestamps and one SACK block.
    pub fn sack(tsval: u32, tsecr: u32, left: u32, right: u32) -> Vec<u8> {
        let mut options = timestamps(tsval, tsecr);
        options.extend_from_slice(&[1, 1, 5, 10]);
        options.extend_from_slice(&left.to_be_bytes());
        options.extend_from_slice(&right.to_be_bytes());
        options
    }
}

/// A TCP header (RFC 9293).
#[derive(Clone, Debug, Default)]
pub struct Tcp {
    /// Source port.
    pub src: u16,
    /// Destination port.
    pub dst: u16,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// Flags, see [`flags`].
    pub flags: u8,
    /// Window, unscaled.
    pub window: u16,
    /// Options, a multiple of 4 bytes.
    pub options: Vec<u8>,
}

impl Tcp {
    pub(super) fn push(&self, buf: &mut Buf, around: &Around<'_>) {
        let header_len = 20 + self.options.len();
        let segment = buf.push(header_len);
        segment[20..header_len].copy_from_slice(&self.options);
        let mut header = MutableTcpPacket::new(segment).expect(ROOM);
        header.set_source(self.src);
        header.set_destination(self.dst);
        header.set_sequence(self.seq);
        header.set_acknowledgement(self.ack);
        header.set_data_offset((header_len / 4) as u8);
        header.set_flags(self.flags);
        header.set_window(self.window);
        let checksum = checksum(segment, 8, 6, around);
        put16(segment, 16, checksum);
    }
}

/// A UDP header (RFC 768).
#[derive(Clone, Copy, Debug, Default)]
pub struct Udp {
    /// Source port.
    pub src: u16,
    /// Destination port.
    pub dst: u16,
    /// Leaves the checksum 0, "none".
    pub no_checksum: bool,
}

impl Udp {
    /// From port to port.
    pub fn new(src: u16, dst: u16) -> Self {
        Self { src, dst, no_checksum: false }
    }

    pub(super) fn push(self, buf: &mut Buf, around: &Around<'_>) {
        let datagram = buf.push(8);
        let length = datagram.len() as u16;
        let mut header = MutableUdpPacket::new(datagram).expect(ROOM);
        header.set_source(self.src);
        header.set_destination(self.dst);
        header.set_length(length);
        if !self.no_checksum {
            let checksum = checksum(datagram, 3, 17, around);
            put16(datagram, 6, if checksum == 0 { 0xffff } else { checksum });
        }
    }
}

/// Internet checksum over the data and the pseudo-header of the IP layer around; `skip` is the checksum's own word.
pub(super) fn checksum(data: &[u8], skip: usize, protocol: u8, around: &Around<'_>) -> u16 {
    let protocol = IpNextHeaderProtocol::new(protocol);
    let address = around.outer.iter().rev().find_map(|layer| match layer {
        Layer::Ipv4(ip) => Some(util::ipv4_checksum(data, skip, &[], &ip.src, &ip.dst, protocol)),
        Layer::Ipv6(ip) => Some(util::ipv6_checksum(data, skip, &[], &ip.src, &ip.dst, protocol)),
        _ => None,
    });
    address.unwrap_or(0)
}
