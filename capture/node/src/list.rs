//! What can be captured on this node.

use crate::links::links;
use crate::pods::Pods;
use crate::{CaptureError, Netns};
use std::net::IpAddr;

/// A pod, as a target.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Listing {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub name: String,
    /// Whether it runs.
    pub ready: bool,
    /// Whether it shares the node's network.
    pub host_network: bool,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Its interfaces and their MTUs; none where the namespace cannot be entered.
    pub interfaces: Vec<(String, u32)>,
}

/// The pods of this node; of one namespace, or of all.
pub fn list(endpoint: Option<&str>, namespace: Option<&str>) -> Result<Vec<Listing>, CaptureError> {
    let mut found = Vec::new();
    for (sandbox, network) in Pods::connect(endpoint)?.networks()? {
        if namespace.is_some_and(|only| only != sandbox.namespace) {
            continue;
        }
        let netns = network.netns.filter(|_| sandbox.ready && !network.host);
        // What cannot be entered is listed all the same.
        let interfaces = netns.and_then(|path| Netns::open(path).ok()?.run(links).ok()?.ok()).unwrap_or_default();
        found.push(Listing {
            namespace: sandbox.namespace,
            name: sandbox.name,
            ready: sandbox.ready,
            host_network: network.host,
            addresses: network.addresses,
            interfaces: interfaces.into_iter().filter(|l| l.up && !l.is_loopback()).map(|l| (l.name, l.mtu)).collect(),
        });
    }
    Ok(found)
}
