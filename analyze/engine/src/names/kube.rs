//! Objects as the Kubernetes API writes them (v1 Node, Pod, Service, Endpoints; discovery.k8s.io/v1 `EndpointSlice`), as far
//! as they say who has which address.

use super::{Directory, Rank};
use crate::Addr;
use crate::track::Endpoint;
use serde::Deserialize;
use serde_json::Value;
use std::net::IpAddr;

/// Why objects cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum KubeError {
    /// The text is no JSON.
    #[error("not JSON as kubectl get -o json writes it")]
    Json(#[from] serde_json::Error),
}

/// Reads one object, a list, or several after each other.
pub(super) fn read(json: &[u8]) -> Result<Directory, KubeError> {
    let mut directory = Directory::default();
    for value in serde_json::Deserializer::from_slice(json).into_iter::<Value>() {
        object(value?, "", &mut directory);
    }
    directory.hosts.values_mut().for_each(|owners| owners.sort());
    Ok(directory)
}

/// Takes an object in; lists may leave the kind of their items to their own (`PodList`).
fn object(mut value: Value, listed: &str, into: &mut Directory) {
    let kind = value.get("kind").and_then(Value::as_str).unwrap_or(listed).to_owned();
    if let Some(Value::Array(items)) = value.get_mut("items").map(Value::take) {
        let of = kind.strip_suffix("List").unwrap_or_default().to_owned();
        for item in items {
            object(item, &of, into);
        }
        return;
    }
    let taken = match kind.as_str() {
        "Node" => take(value, into, node),
        "Pod" => take(value, into, pod),
        "Service" => take(value, into, service),
        "Endpoints" => take(value, into, endpoints),
        "EndpointSlice" => take(value, into, slice),
        _ => true,
    };
    into.left_out += u64::from(!taken);
}

fn take<T: for<'a> Deserialize<'a>>(value: Value, into: &mut Directory, add: fn(T, &mut Directory)) -> bool {
    serde_json::from_value(value).map(|object| add(object, into)).is_ok()
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    name: String,
    namespace: Option<String>,
    labels: Option<std::collections::BTreeMap<String, String>>,
    creation_timestamp: Option<String>,
}

impl Metadata {
    fn full_name(&self) -> String {
        format!("{}/{}", self.namespace.as_deref().unwrap_or("default"), self.name)
    }
}

#[derive(Deserialize)]
struct Node {
    metadata: Metadata,
    #[serde(default)]
    spec: NodeSpec,
    #[serde(default)]
    status: NodeStatus,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct NodeSpec {
    #[serde(rename = "podCIDR")]
    pod_cidr: Option<String>,
    #[serde(rename = "podCIDRs")]
    pod_cidrs: Option<Vec<String>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct NodeStatus {
    addresses: Option<Vec<NodeAddress>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct NodeAddress {
    r#type: String,
    address: String,
}

fn addr(text: &str) -> Option<Addr> {
    text.parse::<IpAddr>().ok().map(Addr::from)
}

fn node(node: Node, into: &mut Directory) {
    let name = node.metadata.name;
    for address in node.status.addresses.into_iter().flatten().filter(|address| address.r#type.ends_with("IP")) {
        if let Some(addr) = addr(&address.address) {
            into.host(addr, Rank::Node, name.clone(), None);
        }
    }
    for range in node.spec.pod_cidrs.into_iter().flatten().chain(node.spec.pod_cidr) {
        let Some(base) = range.split('/').next().and_then(addr) else { continue };
        // flannel gives a range's own address to its tunnel device; the bridge of most CNIs has the first behind it.
        into.host(base, Rank::Gateway, format!("{name} (overlay)"), None);
        let mut gateway = base;
        gateway.0[15] |= 1;
        into.host(gateway, Rank::Gateway, format!("{name} (bridge)"), None);
    }
}

#[derive(Deserialize)]
struct Pod {
    metadata: Metadata,
    #[serde(default)]
    spec: PodSpec,
    #[serde(default)]
    status: PodStatus,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct PodSpec {
    host_network: Option<bool>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct PodStatus {
    phase: Option<String>,
    start_time: Option<String>,
    #[serde(rename = "podIP")]
    pod_ip: Option<String>,
    #[serde(rename = "podIPs")]
    pod_ips: Option<Vec<PodIp>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PodIp {
    ip: String,
}

fn pod(pod: Pod, into: &mut Directory) {
    if pod.spec.host_network == Some(true) {
        return;
    }
    let ended = matches!(pod.status.phase.as_deref(), Some("Succeeded" | "Failed"));
    let rank = if ended { Rank::Gone } else { Rank::Pod };
    let since = pod.status.start_time.or(pod.metadata.creation_timestamp.clone());
    let ips = pod.status.pod_ips.into_iter().flatten().map(|ip| ip.ip).chain(pod.status.pod_ip);
    for addr in ips.filter_map(|ip| addr(&ip)) {
        into.host(addr, rank, pod.metadata.full_name(), since.clone());
    }
}

#[derive(Deserialize)]
struct Service {
    metadata: Metadata,
    #[serde(default)]
    spec: ServiceSpec,
    #[serde(default)]
    status: ServiceStatus,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct ServiceSpec {
    #[serde(rename = "clusterIP")]
    cluster_ip: Option<String>,
    #[serde(rename = "clusterIPs")]
    cluster_ips: Option<Vec<String>>,
    #[serde(rename = "externalIPs")]
    external_ips: Option<Vec<String>>,
    ports: Option<Vec<ServicePort>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct ServicePort {
    name: Option<String>,
    #[serde(rename = "port")]
    number: Option<u16>,
    #[serde(rename = "nodePort")]
    on_nodes: Option<u16>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct ServiceStatus {
    load_balancer: LoadBalancer,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct LoadBalancer {
    ingress: Option<Vec<PodIp>>,
}

fn service(service: Service, into: &mut Directory) {
    let (name, spec) = (service.metadata.full_name(), service.spec);
    let external = spec.external_ips.into_iter().flatten();
    let balanced = service.status.load_balancer.ingress.into_iter().flatten().map(|ingress| ingress.ip);
    let own = spec.cluster_ips.into_iter().flatten().chain(spec.cluster_ip);
    let addresses: Vec<Addr> = own.chain(external).chain(balanced).filter_map(|ip| addr(&ip)).collect();
    for addr in &addresses {
        into.virtual_addresses.insert(*addr);
        into.host(*addr, Rank::Service, name.clone(), None);
    }
    for port in spec.ports.into_iter().flatten() {
        let Some(number) = port.number else { continue };
        let label = port.name.filter(|name| !name.is_empty()).unwrap_or_else(|| number.to_string());
        for addr in &addresses {
            into.services.insert(Endpoint { addr: *addr, port: number }, format!("{name}:{label}"));
        }
        if let Some(node_port) = port.on_nodes.filter(|port| *port != 0) {
            into.node_ports.insert(node_port, format!("{name}:{label} (NodePort)"));
        }
    }
}

#[derive(Deserialize)]
struct Endpoints {
    metadata: Metadata,
    subsets: Option<Vec<Subset>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Subset {
    addresses: Option<Vec<PodIp>>,
}

fn endpoints(endpoints: Endpoints, into: &mut Directory) {
    let name = endpoints.metadata.full_name();
    let all = endpoints.subsets.into_iter().flatten().filter_map(|subset| subset.addresses).flatten();
    for addr in all.filter_map(|address| addr(&address.ip)) {
        endpoint(addr, &name, into);
    }
}

fn endpoint(addr: Addr, service: &str, into: &mut Directory) {
    into.populated.insert(service.to_owned());
    into.host(addr, Rank::Endpoint, format!("endpoint of {service} (not a pod)"), None);
}

#[derive(Deserialize)]
struct Slice {
    metadata: Metadata,
    endpoints: Option<Vec<SliceEndpoint>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct SliceEndpoint {
    addresses: Option<Vec<String>>,
    conditions: Conditions,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Conditions {
    ready: Option<bool>,
}

/// Which service a slice is of.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";

fn slice(slice: Slice, into: &mut Directory) {
    let owner = slice.metadata.labels.as_ref().and_then(|labels| labels.get(SERVICE_LABEL)).cloned();
    let service = Metadata { name: owner.unwrap_or(slice.metadata.name), ..slice.metadata }.full_name();
    // "Unknown" is to be taken for ready (discovery.k8s.io/v1 EndpointConditions).
    let ready = slice.endpoints.into_iter().flatten().filter(|endpoint| endpoint.conditions.ready != Some(false));
    for addr in ready.filter_map(|endpoint| endpoint.addresses).flatten().filter_map(|ip| addr(&ip)) {
        endpoint(addr, &service, into);
    }
}
