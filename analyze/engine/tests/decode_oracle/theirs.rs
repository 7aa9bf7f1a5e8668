//! What tshark says of the frames of a file.

use crate::tshark;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

const FIELDS: [&str; 17] = [
    "frame.number",
    "frame.protocols",
    "ip.src",
    "ip.dst",
    "ipv6.src",
    "ipv6.dst",
    "arp.src.proto_ipv4",
    "arp.dst.proto_ipv4",
    "tcp.srcport",
    "tcp.dstport",
    "udp.srcport",
    "udp.dstport",
    "tcp.seq_raw",
    "tcp.len",
    "ip.ttl",
    "ipv6.hlim",
    "ip.len",
];

/// An address pair and what is above it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Network {
    pub(crate) src: IpAddr,
    pub(crate) dst: IpAddr,
    pub(crate) ttl: Option<u8>,
    pub(crate) ip_len: Option<u32>,
    pub(crate) transport: Option<Transport>,
}

/// A transport header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Transport {
    pub(crate) name: &'static str,
    pub(crate) ports: Option<(u16, u16)>,
    pub(crate) seq: Option<u32>,
    pub(crate) payload_len: Option<u32>,
}

/// One frame: the network headers down to the first layer that is not ours.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) protocols: String,
    pub(crate) networks: Vec<Network>,
}

/// Frames by number; `None` when tshark cannot read the file.
pub(crate) fn frames(file: &Path, max: u64) -> Option<BTreeMap<u64, Frame>> {
    let max = max.to_string();
    let text = tshark::fields(file, &["-o", "ip.defragment:FALSE", "-c", &max], FIELDS)?;
    Some(text.lines().filter_map(frame).collect())
}

fn frame(line: &str) -> Option<(u64, Frame)> {
    let columns: Vec<&str> = line.split('\t').collect();
    let mut values = Values::default();
    for (name, column) in FIELDS.iter().zip(&columns) {
        values.0.insert(name, column.split(',').filter(|value| !value.is_empty()).rev().collect());
    }
    let protocols = (*columns.get(1)?).to_owned();
    let networks = networks(&protocols, &mut values);
    Some((columns.first()?.parse().ok()?, Frame { protocols, networks }))
}

/// The values of each field that are not used up yet, last first.
#[derive(Default)]
struct Values<'a>(BTreeMap<&'a str, Vec<&'a str>>);

impl Values<'_> {
    fn next<T: std::str::FromStr>(&mut self, field: &str) -> Option<T> {
        self.0.get_mut(field)?.pop()?.parse().ok()
    }

    fn pair<T: std::str::FromStr>(&mut self, src: &str, dst: &str) -> Option<(T, T)> {
        Some((self.next(src)?, self.next(dst)?))
    }
}

/// Follows the chain of protocols as long as they are ours; ends at what carries no packets.
fn networks(protocols: &str, values: &mut Values<'_>) -> Vec<Network> {
    let mut found: Vec<Network> = Vec::new();
    for protocol in protocols.split(':') {
        match protocol {
            "eth" | "ethertype" | "sll" | "null" | "raw" | "vlan" | "ieee8021ad" | "llc" | "mpls" | "ah" | "mipv6"
            | "vxlan" | "geneve" | "gre" | "erspan" | "pppoes" | "pwethheuristic" | "pwethcw" | "pwethnocw" => {}
            extension if extension.starts_with("ipv6.") => {}
            "ip" | "ipv6" | "arp" => found.extend(network(protocol, values)),
            // Inside of GRE, not as a link of its own.
            "wlan" if !found.is_empty() => {}
            "ppp" if protocols.contains("pppoes:ppp") => {}
            "tcp" | "udp" | "icmp" | "icmpv6" => {
                let Some(network) = found.last_mut() else { break };
                network.transport = Some(transport(protocol, values));
                if protocol != "udp" {
                    break;
                }
            }
            _ => break,
        }
    }
    found
}

fn network(protocol: &str, values: &mut Values<'_>) -> Option<Network> {
    let (source, target, ttl) = match protocol {
        "ip" => ("ip.src", "ip.dst", Some("ip.ttl")),
        "ipv6" => ("ipv6.src", "ipv6.dst", Some("ipv6.hlim")),
        _ => ("arp.src.proto_ipv4", "arp.dst.proto_ipv4", None),
    };
    let (src, dst) = values.pair(source, target)?;
    let ttl = ttl.and_then(|field| values.next(field));
    let ip_len = if protocol == "ip" { values.next("ip.len") } else { None };
    Some(Network { src, dst, ttl, ip_len, transport: None })
}

fn transport(protocol: &str, values: &mut Values<'_>) -> Transport {
    let plain = |name, ports| Transport { name, ports, seq: None, payload_len: None };
    match protocol {
        "tcp" => Transport {
            name: "tcp",
            ports: values.pair("tcp.srcport", "tcp.dstport"),
            seq: values.next("tcp.seq_raw"),
            payload_len: values.next("tcp.len"),
        },
        "udp" => plain("udp", values.pair("udp.srcport", "udp.dstport")),
        "icmp" => plain("icmp", None),
        _ => plain("icmpv6", None),
    }
}
