//! Interfaces and their addresses, from the kernel's route netlink. Must be called in the namespace that is meant:
//! `/sys/class/net` shows that of whoever mounted it.

use crate::CaptureError;
use netlink_bindings::{rt_addr, rt_link};
use netlink_socket2::{NetlinkSocket, ReplyError};
use serde::{Deserialize, Serialize};
use std::io;
use std::net::IpAddr;

/// `ARPHRD_*` of `linux/if_arp.h` that matter here.
pub(crate) const ARPHRD_LOOPBACK: u16 = 772;
const IFF_UP: u32 = 1;

/// An interface.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Link {
    /// Its number in its namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Hardware type, `ARPHRD_*`.
    pub hardware: u16,
    /// What made it: `veth`, `vxlan`; empty for hardware and loopback.
    pub kind: String,
    /// Largest IP packet, bytes.
    pub mtu: u32,
    /// Hardware address, where it is an Ethernet one.
    pub mac: Option<[u8; 6]>,
    /// Whether it is up.
    pub up: bool,
    /// Addresses and the lengths of their prefixes.
    pub addresses: Vec<(IpAddr, u8)>,
    /// Largest packet handed to it before segmentation, bytes.
    pub gso_max: Option<u32>,
    /// Queueing discipline.
    pub qdisc: Option<String>,
    /// The other end of a veth pair, or the interface a VLAN is on.
    pub peer: Option<u32>,
    /// The bridge or bond it belongs to.
    pub master: Option<u32>,
    /// Packets dropped when received and when sent, as the interface counts.
    pub dropped: (u64, u64),
    /// Errors when received and when sent.
    pub errors: (u64, u64),
}

impl Link {
    /// Whether it is a loopback interface, on which each packet is sent and received.
    pub fn is_loopback(&self) -> bool {
        self.hardware == ARPHRD_LOOPBACK
    }
}

pub(crate) fn refused(what: &'static str) -> impl FnOnce(ReplyError) -> CaptureError {
    move |error| CaptureError::Netlink { what, source: error.into() }
}

pub(crate) fn unreadable(what: &'static str) -> CaptureError {
    CaptureError::Netlink { what, source: io::Error::from(io::ErrorKind::InvalidData) }
}

/// All interfaces of the namespace the thread is in.
pub fn links() -> Result<Vec<Link>, CaptureError> {
    const WHAT: &str = "interfaces";
    let mut socket = NetlinkSocket::new();
    let request = rt_link::Request::new().op_getlink_dump(&rt_link::Ifinfomsg::new());
    let mut replies = socket.request(&request).map_err(|source| CaptureError::Netlink { what: WHAT, source })?;
    let mut found = Vec::new();
    while let Some((header, attributes)) = replies.recv().transpose().map_err(refused(WHAT))? {
        found.push(link(&header, &attributes).ok_or_else(|| unreadable(WHAT))?);
    }
    drop(replies);
    add_addresses(&mut socket, &mut found)?;
    Ok(found)
}

fn link(header: &rt_link::Ifinfomsg, of: &rt_link::IterableLinkAttrs<'_>) -> Option<Link> {
    let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    let stats = of.get_stats64().ok();
    Some(Link {
        index: u32::try_from(header.ifi_index).ok()?,
        name: text(of.get_ifname().ok()?),
        hardware: header.ifi_type,
        kind: of.get_linkinfo().and_then(|info| info.get_kind()).map(text).unwrap_or_default(),
        mtu: of.get_mtu().unwrap_or_default(),
        mac: of.get_address().ok().and_then(|address| address.try_into().ok()),
        up: header.ifi_flags & IFF_UP != 0,
        addresses: Vec::new(),
        gso_max: of.get_gso_max_size().ok(),
        qdisc: of.get_qdisc().ok().map(text),
        peer: of.get_link().ok(),
        master: of.get_master().ok(),
        dropped: stats.as_ref().map_or((0, 0), |stats| (stats.rx_dropped, stats.tx_dropped)),
        errors: stats.as_ref().map_or((0, 0), |stats| (stats.rx_errors, stats.tx_errors)),
    })
}

fn add_addresses(socket: &mut NetlinkSocket, links: &mut [Link]) -> Result<(), CaptureError> {
    const WHAT: &str = "addresses";
    let request = rt_addr::Request::new().op_getaddr_dump(&rt_addr::Ifaddrmsg::new());
    let mut replies = socket.request(&request).map_err(|source| CaptureError::Netlink { what: WHAT, source })?;
    while let Some((header, attributes)) = replies.recv().transpose().map_err(refused(WHAT))? {
        // The address of a point-to-point link is its peer's; the local one is in an attribute of its own.
        let Ok(address) = attributes.get_local().or_else(|_| attributes.get_address()) else { continue };
        if let Some(link) = links.iter_mut().find(|link| link.index == header.ifa_index) {
            link.addresses.push((address, header.ifa_prefixlen));
        }
    }
    Ok(())
}
