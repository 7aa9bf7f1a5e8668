use super::{Around, Buf, ROOM};
use crate::file::Order;
use pnet_packet::ethernet::{EtherType, MutableEthernetPacket};

/// An Ethernet address.
pub type Mac = [u8; 6];

/// A locally administered address that tells its number.
pub fn mac(n: u32) -> Mac {
    let mut mac = [0x02, 0x42, 0, 0, 0, 0];
    mac[2..].copy_from_slice(&n.to_be_bytes());
    mac
}

/// An Ethernet II header.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ethernet {
    /// Source.
    pub src: Mac,
    /// Destination.
    pub dst: Mac,
    /// `EtherType` when the payload follows; a layer that follows says its own.
    pub ethertype: u16,
}

impl Ethernet {
    /// From one station to another, by number.
    pub fn new(src: u32, dst: u32) -> Self {
        Self { src: mac(src), dst: mac(dst), ethertype: 0 }
    }

    pub(super) fn push(&self, buf: &mut Buf, around: &Around<'_>) {
        let mut header = MutableEthernetPacket::new(buf.push(14)).expect(ROOM);
        header.set_destination(self.dst.into());
        header.set_source(self.src.into());
        header.set_ethertype(EtherType::new(around.ethertype().unwrap_or(self.ethertype)));
    }
}

/// An 802.1Q or 802.1ad tag.
#[derive(Clone, Copy, Debug)]
pub struct Vlan {
    /// Tag protocol: 0x8100, 0x88a8 or 0x9100.
    pub tpid: u16,
    /// VLAN.
    pub id: u16,
    /// Priority.
    pub priority: u8,
}

impl Vlan {
    /// An 802.1Q tag.
    pub fn new(id: u16) -> Self {
        Self { tpid: 0x8100, id, priority: 0 }
    }

    /// An 802.1ad service tag (the outer one of `QinQ`).
    pub fn service(id: u16) -> Self {
        Self { tpid: 0x88a8, id, priority: 0 }
    }

    pub(super) fn push(self, buf: &mut Buf, around: &Around<'_>) {
        let tag = buf.push(4);
        put16(tag, 0, u16::from(self.priority) << 13 | self.id);
        put16(tag, 2, around.ethertype().unwrap_or(0));
    }
}

/// A Linux cooked header, version 1 (`LINKTYPE_LINUX_SLL`).
#[derive(Clone, Copy, Debug, Default)]
pub struct Sll {
    /// 0 to us, 1 broadcast, 2 multicast, 3 to another host, 4 from us.
    pub packet_type: u16,
    /// Link-layer source.
    pub src: Mac,
}

impl Sll {
    pub(super) fn push(self, buf: &mut Buf, around: &Around<'_>) {
        let header = buf.push(16);
        put16(header, 0, self.packet_type);
        put16(header, 2, 1); // ARPHRD_ETHER.
        put16(header, 4, 6);
        header[6..12].copy_from_slice(&self.src);
        put16(header, 14, around.ethertype().unwrap_or(0));
    }
}

/// A Linux cooked header, version 2 (`LINKTYPE_LINUX_SLL2`).
#[derive(Clone, Copy, Debug, Default)]
pub struct Sll2 {
    /// Interface index on the capturing machine.
    pub interface: u32,
    /// As in [`Sll`].
    pub packet_type: u8,
    /// Link-layer source.
    pub src: Mac,
}

impl Sll2 {
    pub(super) fn push(&self, buf: &mut Buf, around: &Around<'_>) {
        let header = buf.push(20);
        put16(header, 0, around.ethertype().unwrap_or(0));
        put32(header, 4, self.interface);
        put16(header, 8, 1);
        header[10] = self.packet_type;
        header[11] = 6;
        header[12..18].copy_from_slice(&self.src);
    }
}

/// The address family in front of BSD loopback packets: in the writing host's order (`LINKTYPE_NULL`) or in network
/// order (`LINKTYPE_LOOP`).
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// `AF_INET` is 2 everywhere; `AF_INET6` is 24 (`NetBSD`, `OpenBSD`), 28 (`FreeBSD`) or 30 (Darwin).
    pub number: u32,
    /// Byte order.
    pub order: Order,
}

impl Family {
    pub(super) fn push(self, buf: &mut Buf, _around: &Around<'_>) {
        buf.push(4)[..4].copy_from_slice(&self.order.u32(self.number));
    }
}

/// One MPLS label stack entry (RFC 3032); the last one in a row has the bottom bit.
#[derive(Clone, Copy, Debug)]
pub struct Mpls {
    /// Label, 20 bits.
    pub label: u32,
    /// Time to live.
    pub ttl: u8,
}

impl Mpls {
    pub(super) fn push(self, buf: &mut Buf, around: &Around<'_>) {
        let bottom = !matches!(around.inner, Some(super::Layer::Mpls(_)));
        put32(buf.push(4), 0, self.label << 12 | u32::from(bottom) << 8 | u32::from(self.ttl));
    }
}

pub(super) fn put16(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

pub(super) fn put32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
}
