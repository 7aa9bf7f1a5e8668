//! What was captured, in short.

use serde::Serialize;
use std::collections::BTreeMap;

/// An address and what passed it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Talker {
    /// Address.
    pub address: String,
    /// Name, where one is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// IP bytes sent.
    pub sent_bytes: i64,
    /// IP bytes received.
    pub received_bytes: i64,
    /// Connections it takes part in.
    pub connections: i64,
}

/// A tunnel in the report.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TunnelSummary {
    /// `vxlan`, `geneve`, …
    pub kind: String,
    /// One end.
    pub a: String,
    /// The other end.
    pub b: String,
    /// VNI, GRE key or session.
    pub id: Option<i64>,
    /// Packets from a to b.
    pub packets_ab: i64,
    /// Packets from b to a.
    pub packets_ba: i64,
}

/// TCP connections by outcome, each once whatever saw it; where not all could be kept one by one, each once a unit.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ConnectionCounts {
    /// Handshake seen and answered.
    pub established: i64,
    /// Answered by a reset.
    pub refused: i64,
    /// Not answered at all, though the capture could have seen it.
    pub unanswered: i64,
    /// Answered by an ICMP error.
    pub rejected: i64,
    /// Established, then reset.
    pub reset: i64,
    /// Already open when the capture began.
    pub midstream: i64,
}

/// What was captured, in short.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Summary {
    /// Top addresses by bytes.
    pub talkers: Vec<Talker>,
    /// Tunnels by packets; what several captures saw counts once, as the one saw it that saw most.
    pub tunnels: Vec<TunnelSummary>,
    /// TCP connections by outcome.
    pub connections: ConnectionCounts,
    /// Connections, pings and ICMP errors by kind.
    pub protocols: BTreeMap<String, i64>,
    /// What the captures show of the cluster, without being told.
    #[serde(skip_serializing_if = "Cluster::is_empty")]
    pub cluster: Cluster,
    /// What happens between each two captures that saw the same connections, in the direction of the packets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub between: Vec<Between>,
}

/// Addresses and names of a cluster, inferred.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Cluster {
    /// Ends of tunnels that are no mirrors.
    pub nodes: Vec<String>,
    /// Where pods are.
    pub pods: Vec<Range>,
    /// Where the addresses of services are, which are translated: the smallest block that holds those seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub services: Option<Range>,
    /// Domain behind `svc` in the search lists of clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
}

/// A block of addresses.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Range {
    /// Address and length of the prefix.
    pub range: String,
    /// Node whose tunnels lead there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behind: Option<String>,
    /// Addresses seen of it; the more, the surer is the block.
    pub addresses: i64,
}

/// The way from one capture to another, clocks put right.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Between {
    /// File that saw the packets first.
    pub from: String,
    /// File that saw them next.
    pub to: String,
    /// Packets of connections that both saw, at the first.
    pub sent_packets: i64,
    /// Packets that the second did not see.
    pub lost_packets: i64,
    /// Median delay, microseconds.
    pub delay_p50_us: Option<f64>,
    /// 99th percentile of the delay, microseconds.
    pub delay_p99_us: Option<f64>,
    /// The clock of `to` minus that of `from`, microseconds.
    pub clock_offset_us: Option<f64>,
    /// The offset, and with it delays, are known to within this, microseconds.
    pub clock_bound_us: Option<f64>,
}

impl Cluster {
    /// Whether nothing was inferred.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
