use super::link::{put16, put32};
use super::transport::checksum;
use super::{Around, Buf};
use pnet_packet::util;

/// An `ICMP` (RFC 792) or `ICMPv6` (RFC 4443) header; for an error, the payload is the quoted packet.
#[derive(Clone, Copy, Debug)]
pub struct Icmp {
    /// Of IPv6.
    pub v6: bool,
    /// Type.
    pub kind: u8,
    /// Code.
    pub code: u8,
    /// The second word: identifier and sequence number, next-hop MTU, or nothing.
    pub rest: u32,
}

impl Icmp {
    /// Echo request.
    pub fn echo(id: u16, sequence: u16) -> Self {
        Self { v6: false, kind: 8, code: 0, rest: u32::from(id) << 16 | u32::from(sequence) }
    }

    /// Echo reply.
    pub fn echo_reply(id: u16, sequence: u16) -> Self {
        Self { kind: 0, ..Self::echo(id, sequence) }
    }

    /// Destination unreachable, with its code.
    pub fn unreachable(code: u8) -> Self {
        Self { v6: false, kind: 3, code, rest: 0 }
    }

    /// `ICMPv6` echo request.
    pub fn echo_v6(id: u16, sequence: u16) -> Self {
        Self { v6: true, kind: 128, ..Self::echo(id, sequence) }
    }

    /// `ICMPv6` echo reply.
    pub fn echo_reply_v6(id: u16, sequence: u16) -> Self {
        Self { v6: true, kind: 129, ..Self::echo(id, sequence) }
    }

    /// `ICMPv6` packet too big.
    pub fn too_big(mtu: u32) -> Self {
        Self { v6: true, kind: 2, code: 0, rest: mtu }
    }

    pub(super) fn protocol(self) -> u8 {
        if self.v6 { 58 } else { 1 }
    }

    pub(super) fn push(self, buf: &mut Buf, around: &Around<'_>) {
        let message = buf.push(8);
        message[0] = self.kind;
        message[1] = self.code;
        put32(message, 4, self.rest);
        let checksum = if self.v6 { checksum(message, 1, 58, around) } else { util::checksum(message, 1) };
        put16(message, 2, checksum);
    }
}
