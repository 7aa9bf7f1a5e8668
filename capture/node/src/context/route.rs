//! Routes and neighbours, of the namespace the thread is in.

use crate::CaptureError;
use crate::links::refused;
use kcap_file::note::{NeighbourNote, RouteNote};
use netlink_bindings::{rt_neigh, rt_route};
use netlink_socket2::NetlinkSocket;

/// Routes or neighbours kept of one namespace: a node in BGP has hundreds of thousands.
const MAX: usize = 2_000;
/// The table of local addresses, which are known from the links.
const TABLE_LOCAL: u32 = 255;

pub(super) fn routes() -> Result<Vec<RouteNote>, CaptureError> {
    const WHAT: &str = "routes";
    let mut socket = NetlinkSocket::new();
    let request = rt_route::Request::new().op_getroute_dump(&rt_route::Rtmsg::new());
    let mut replies = socket.request(&request).map_err(|source| CaptureError::Netlink { what: WHAT, source })?;
    let mut found = Vec::new();
    while let Some((header, attributes)) = replies.recv().transpose().map_err(refused(WHAT))? {
        let table = attributes.get_table().unwrap_or_else(|_| header.rtm_table.into());
        if table != TABLE_LOCAL && found.len() < MAX {
            found.push(RouteNote {
                to: attributes.get_dst().ok().map(|to| (to, header.rtm_dst_len)),
                via: attributes.get_gateway().ok(),
                link: attributes.get_oif().ok(),
                source: attributes.get_prefsrc().ok(),
                kind: header.rtm_type,
                table,
                metric: attributes.get_priority().ok(),
                mtu: attributes.get_metrics().and_then(|metrics| metrics.get_mtu()).ok(),
            });
        }
    }
    Ok(found)
}

pub(super) fn neighbours() -> Result<Vec<NeighbourNote>, CaptureError> {
    const WHAT: &str = "neighbours";
    let mut socket = NetlinkSocket::new();
    let request = rt_neigh::Request::new().op_getneigh_dump(&rt_neigh::Ndmsg::new());
    let mut replies = socket.request(&request).map_err(|source| CaptureError::Netlink { what: WHAT, source })?;
    let mut found = Vec::new();
    while let Some((header, attributes)) = replies.recv().transpose().map_err(refused(WHAT))? {
        if found.len() < MAX {
            found.push(NeighbourNote {
                address: attributes.get_dst().ok(),
                mac: attributes.get_lladdr().ok().map(mac_text),
                link: header.ndm_ifindex as u32,
                state: header.ndm_state,
            });
        }
    }
    Ok(found)
}

pub(super) fn mac_text(mac: &[u8]) -> String {
    let bytes: Vec<String> = mac.iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.join(":")
}
