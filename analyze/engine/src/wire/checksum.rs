//! Internet checksums of transport headers (RFC 1071, RFC 9293 3.1, RFC 8200 8.1).

use crate::Addr;
use etherparse::checksum::Sum16BitWords;

/// What of a segment its pseudo header covers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    pub(super) src: Addr,
    pub(super) dst: Addr,
    pub(super) proto: u8,
}

impl Ends {
    fn pseudo_header(self, len: u16) -> Sum16BitWords {
        // The ffff that an IPv4 address is mapped with counts as nothing in this sum.
        let addresses = Sum16BitWords::new().add_16bytes(self.src.0).add_16bytes(self.dst.0);
        addresses.add_2bytes(len.to_be_bytes()).add_2bytes([0, self.proto])
    }

    /// Whether a segment's checksum is right.
    pub(super) fn is_right(self, segment: &[u8]) -> bool {
        self.pseudo_header(segment.len() as u16).add_slice(segment).ones_complement() == 0
    }

    /// Whether the field holds the sum of the pseudo header alone: so Linux leaves what the network card is to complete
    /// (`CHECKSUM_PARTIAL`), which no card does between machines of one host.
    pub(super) fn is_to_come(self, len: u16, [a, b]: [u8; 2]) -> bool {
        self.pseudo_header(len).add_2bytes([!a, !b]).ones_complement() == 0
    }
}
