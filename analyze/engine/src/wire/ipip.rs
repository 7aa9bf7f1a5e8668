//! IP in IP: 4 in 4 (RFC 2003), 6 in 4 (RFC 4213), 4 and 6 in 6 (RFC 2473).

use super::layers::TunnelKind;
use super::walk::{Step, Walk};
use super::{Next, ethernet};

pub(super) fn ipv4(walk: &mut Walk<'_>) -> Step {
    walk.tunnel(TunnelKind::IpIp, None)?;
    Ok(Next::ether_type(ethernet::IPV4))
}

pub(super) fn ipv6(walk: &mut Walk<'_>) -> Step {
    walk.tunnel(TunnelKind::IpIp, None)?;
    Ok(Next::ether_type(ethernet::IPV6))
}
