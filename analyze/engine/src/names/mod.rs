//! Names of addresses, from what the user gave along with the captures: Kubernetes objects, names in capture files.

mod commands;
mod kube;

pub use kube::KubeError;

use crate::Addr;
use crate::track::Endpoint;
use kcap_file::NameRecord;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

/// Who has which address.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    hosts: BTreeMap<Addr, Vec<Owner>>,
    /// Services by address and port.
    services: BTreeMap<Endpoint, String>,
    /// Addresses of services, whatever the port.
    virtual_addresses: BTreeSet<Addr>,
    /// Services by the port that every node has for them.
    node_ports: BTreeMap<u16, String>,
    /// Services with endpoints that take connections.
    populated: BTreeSet<String>,
    /// Objects that were not understood.
    pub left_out: u64,
}

/// Who has, or had, an address.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Owner {
    /// What is believed first where several claim an address.
    rank: Rank,
    /// Since when, as Kubernetes writes times.
    since: Option<String>,
    name: String,
}

/// Kinds of owners, the least believed first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Rank {
    /// A name that a capture file carries.
    Resolved,
    /// An endpoint that no pod has.
    Endpoint,
    /// What a node has for its pods' network, by its range.
    Gateway,
    Service,
    /// A pod that ended.
    Gone,
    Pod,
    Node,
}

impl Directory {
    /// What `kubectl get nodes,pods,services,endpoints,endpointslices -A -o json` says; each kind is optional.
    ///
    /// # Errors
    /// It is not JSON.
    pub fn from_kube(json: &[u8]) -> Result<Self, KubeError> {
        kube::read(json)
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty() && self.services.is_empty()
    }

    /// Adds names that capture files carry; objects are believed before them.
    pub(crate) fn add_resolved(&mut self, records: &[NameRecord]) {
        for record in records {
            if let Some(name) = record.names.first() {
                self.host(record.address.into(), Rank::Resolved, name.clone(), None);
            }
        }
    }

    /// The name of an address, with or without port, at a time in RFC 3339.
    pub(crate) fn name(&self, address: &str, at: &str) -> Option<String> {
        if let Ok(socket) = address.parse::<SocketAddr>() {
            let endpoint = Endpoint { addr: socket.ip().into(), port: socket.port() };
            return self.endpoint(endpoint, at);
        }
        address.parse::<IpAddr>().ok().and_then(|ip| self.host_name(ip.into(), at))
    }

    fn endpoint(&self, endpoint: Endpoint, at: &str) -> Option<String> {
        let host = || self.host_name(endpoint.addr, at);
        let service = self.services.get(&endpoint).cloned();
        service.or_else(|| self.node_port(endpoint, at)).or_else(host)
    }

    fn node_port(&self, endpoint: Endpoint, at: &str) -> Option<String> {
        let service = self.node_ports.get(&endpoint.port)?;
        let is_node = self.hosts.get(&endpoint.addr)?.iter().any(|owner| owner.rank == Rank::Node);
        is_node.then(|| format!("{service} on {}", self.host_name(endpoint.addr, at).unwrap_or_default()))
    }

    fn host_name(&self, addr: Addr, at: &str) -> Option<String> {
        self.owner(addr, at).map(|owner| owner.name.clone())
    }

    /// Namespace and name of the pod that has an address, with or without port, and is there to be asked.
    fn pod(&self, address: &str, at: &str) -> Option<String> {
        let ip = address.parse::<SocketAddr>().map(|socket| socket.ip()).or_else(|_| address.parse::<IpAddr>()).ok()?;
        self.owner(ip.into(), at).filter(|owner| owner.rank == Rank::Pod).map(|owner| owner.name.clone())
    }

    /// Of several pods that had an address the last one that was there at that time.
    fn owner(&self, addr: Addr, at: &str) -> Option<&Owner> {
        let owners = self.hosts.get(&addr)?;
        // Times of Kubernetes and ours are both UTC and begin alike, to the second.
        let second = |time: &str| time.get(..19).unwrap_or(time).to_owned();
        let there = |owner: &&Owner| owner.since.as_ref().is_none_or(|since| second(since) <= second(at));
        let known = |owner: &&Owner| (there(owner) && owner.since.is_some(), owner.rank, owner.since.clone());
        let is_pod = |owner: &&Owner| matches!(owner.rank, Rank::Pod | Rank::Gone);
        let pods = owners.iter().filter(is_pod).count();
        if pods > 1 { owners.iter().filter(is_pod).max_by_key(known) } else { owners.iter().max() }
    }

    /// Whether an address and port are a service's, and if so whether it has endpoints that take connections.
    pub(crate) fn has_endpoints(&self, server: Endpoint) -> Option<bool> {
        self.services.get(&server).map(|name| self.populated.contains(service_of(name)))
    }

    /// Whether an address is a service's.
    pub(crate) fn is_service(&self, addr: Addr) -> bool {
        self.virtual_addresses.contains(&addr)
    }

    fn host(&mut self, addr: Addr, rank: Rank, name: String, since: Option<String>) {
        let owners = self.hosts.entry(addr).or_default();
        let owner = Owner { rank, since, name };
        if !owners.contains(&owner) {
            owners.push(owner);
        }
    }
}

/// Namespace and name of a service, without its port.
fn service_of(name: &str) -> &str {
    name.split_once(':').map_or(name, |(service, _)| service)
}

#[cfg(test)]
mod tests;
