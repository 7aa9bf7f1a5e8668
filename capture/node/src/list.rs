//! What can be captured on this node.

use crate::context::is_own;
use crate::links::{Link, links};
use crate::pods::Pods;
use crate::target::NETNS_FOLDER;
use crate::{CaptureError, Netns, Place, Target};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// What can be captured.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Listing {
    /// Namespace of the pod; empty of what is none.
    pub namespace: String,
    /// How it is named on the command line.
    pub target: String,
    /// Whether it runs.
    pub ready: bool,
    /// Whether it is a pod that shares the node's network.
    pub host_network: bool,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Its interfaces and their MTUs; none where the namespace cannot be entered.
    pub interfaces: Vec<(String, u32)>,
}

/// The pods of this node, of one namespace or of all, and the files of their network namespaces.
pub fn list_pods(
    endpoint: Option<&str>,
    namespace: Option<&str>,
) -> Result<(Vec<Listing>, BTreeSet<PathBuf>), CaptureError> {
    let (mut found, mut files) = (Vec::new(), BTreeSet::new());
    for (sandbox, network) in Pods::connect(endpoint)?.networks()? {
        // The same folder by its older name.
        files.extend(
            network.netns.as_ref().map(|path| Path::new("/run").join(path.strip_prefix("/var/run").unwrap_or(path))),
        );
        if namespace.is_some_and(|only| only != sandbox.namespace) {
            continue;
        }
        let netns = network.netns.filter(|_| sandbox.ready && !network.host);
        found.push(Listing {
            namespace: sandbox.namespace,
            target: format!("pod/{}", sandbox.name),
            ready: sandbox.ready,
            host_network: network.host,
            addresses: network.addresses,
            interfaces: shown(&netns.map_or_else(Vec::new, |path| links_of(Netns::open(path)))),
        });
    }
    Ok((found, files))
}

/// The node, and its network namespaces with names but for these.
pub fn list_others(pods: &BTreeSet<PathBuf>) -> Vec<Listing> {
    let mut found = vec![other(&Target::Node, Place::node().map(|place| place.netns))];
    let entries = std::fs::read_dir(NETNS_FOLDER).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| !pods.contains(path)).collect();
    files.sort();
    found.extend(files.into_iter().map(|path| other(&Target::Netns(path.clone()), Netns::open(path))));
    found
}

fn other(target: &Target, netns: Result<Netns, CaptureError>) -> Listing {
    let ready = netns.is_ok();
    let links = links_of(netns);
    let addresses = links.iter().flat_map(|link| &link.addresses).map(|(address, _)| *address).filter(is_own).collect();
    Listing { target: target.to_string(), ready, addresses, interfaces: shown(&links), ..Listing::default() }
}

/// What cannot be entered is listed all the same.
fn links_of(netns: Result<Netns, CaptureError>) -> Vec<Link> {
    netns.ok().and_then(|netns| netns.run(links).ok()?.ok()).unwrap_or_default()
}

fn shown(links: &[Link]) -> Vec<(String, u32)> {
    let shown = links.iter().filter(|link| link.up && !link.is_loopback());
    shown.map(|link| (link.name.clone(), link.mtu)).collect()
}
