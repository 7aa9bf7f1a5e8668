//! ARP for IPv4 (RFC 826); announcements and probes as RFC 5227 tells them apart.

use super::Next;
use super::layers::Layer;
use super::walk::{Step, Walk};
use crate::Addr;
use crate::packet::Kind;
use etherparse::{ArpOperation, ArpPacketSlice, EtherType};

pub(super) fn decode(walk: &mut Walk<'_>) -> Step {
    let header = ArpPacketSlice::from_slice(walk.bytes()).map_err(|_| walk.short(Layer::Arp))?;
    let len = header.slice().len();
    let Some((sender, target)) = addresses(&header) else { return Err(walk.undecoded("arp for another protocol")) };
    let offset = walk.offset();
    walk.enter(Layer::Arp, len)?;
    let packet = walk.start_packet(sender, target);
    packet.kind = Kind::Arp;
    packet.l4_offset = offset;
    packet.l4_caplen = len as u32;
    packet.l4_header_len = len as u8;
    Ok(Next::END)
}

fn addresses(header: &ArpPacketSlice<'_>) -> Option<(Addr, Addr)> {
    if header.proto_addr_type() != EtherType::IPV4 {
        return None;
    }
    let sender = header.sender_protocol_addr().try_into().ok()?;
    let target = header.target_protocol_addr().try_into().ok()?;
    Some((Addr::v4(sender), Addr::v4(target)))
}

/// What an ARP message does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    /// Who has the target address?
    Request,
    /// The sender has the sender address.
    Reply,
    /// Another operation, by its number.
    Other(u16),
}

/// An ARP message for IPv4 over Ethernet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arp {
    /// What it does.
    pub operation: Operation,
    /// Hardware address of the sender.
    pub sender_mac: [u8; 6],
    /// Protocol address of the sender; 0.0.0.0 in a probe.
    pub sender: Addr,
    /// Hardware address of the target; means nothing in a request.
    pub target_mac: [u8; 6],
    /// Protocol address of the target.
    pub target: Addr,
}

impl Arp {
    /// Whether the sender announces its own address (RFC 5227 3).
    pub fn is_gratuitous(&self) -> bool {
        self.sender == self.target && !self.is_unspecified_sender()
    }

    /// Whether the sender asks if the address it wants is free (RFC 5227 1.1).
    pub fn is_probe(&self) -> bool {
        self.operation == Operation::Request && self.is_unspecified_sender()
    }

    fn is_unspecified_sender(&self) -> bool {
        self.sender == Addr::v4([0; 4])
    }
}

/// Reads an ARP message from the bytes at a packet's `l4_offset`; `None` when it is cut, or not for IPv4 over Ethernet.
pub fn parse(bytes: &[u8]) -> Option<Arp> {
    let header = ArpPacketSlice::from_slice(bytes).ok()?;
    let (sender, target) = addresses(&header)?;
    let operation = match header.operation() {
        ArpOperation::REQUEST => Operation::Request,
        ArpOperation::REPLY => Operation::Reply,
        other => Operation::Other(other.0),
    };
    let sender_mac = header.sender_hw_addr().try_into().ok()?;
    let target_mac = header.target_hw_addr().try_into().ok()?;
    Some(Arp { operation, sender_mac, sender, target_mac, target })
}
