use super::{Around, Buf, Mac, ROOM};
use pnet_packet::arp::{ArpHardwareTypes, ArpOperation, MutableArpPacket};
use pnet_packet::ethernet::EtherTypes;
use std::net::Ipv4Addr;

/// An ARP message for IPv4 over Ethernet (RFC 826).
#[derive(Clone, Copy, Debug)]
pub struct Arp {
    /// 1 request, 2 reply.
    pub operation: u16,
    /// Sender.
    pub sender: (Mac, Ipv4Addr),
    /// Target; the hardware address is zero in a request.
    pub target: (Mac, Ipv4Addr),
}

impl Arp {
    /// Who has `target`? Tell `sender`.
    pub fn request(sender: (Mac, Ipv4Addr), target: Ipv4Addr) -> Self {
        Self { operation: 1, sender, target: ([0; 6], target) }
    }

    /// `sender` is at its hardware address.
    pub fn reply(sender: (Mac, Ipv4Addr), target: (Mac, Ipv4Addr)) -> Self {
        Self { operation: 2, sender, target }
    }

    pub(super) fn push(&self, buf: &mut Buf, _around: &Around<'_>) {
        let mut message = MutableArpPacket::new(buf.push(28)).expect(ROOM);
        message.set_hardware_type(ArpHardwareTypes::Ethernet);
        message.set_protocol_type(EtherTypes::Ipv4);
        message.set_hw_addr_len(6);
        message.set_proto_addr_len(4);
        message.set_operation(ArpOperation::new(self.operation));
        message.set_sender_hw_addr(self.sender.0.into());
        message.set_sender_proto_addr(self.sender.1);
        message.set_target_hw_addr(self.target.0.into());
        message.set_target_proto_addr(self.target.1);
    }
}
