//! What kcap writes into a capture besides packets: custom blocks of JSON, which other programs leave alone.
//!
//! A block is `{"kcap": 1, "note": "context", …}`: [`VERSION`], the kind of note, its fields. Fields may be added within
//! a version, so readers ignore those they do not know; one that changes its meaning is a new version.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;

mod conntrack;

pub use conntrack::{ConntrackNote, ConntrackStats, Tuple};

/// The private enterprise number of the blocks: the one RFC 5612 sets aside for documentation, as kcap has none of its
/// own. The `kcap` field tells its blocks from those of others.
pub const ENTERPRISE: u32 = 32_473;
/// Version of the schema.
pub const VERSION: u32 = 1;

/// A custom block of kcap.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "note", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Note {
    /// How the capture was taken; at its beginning.
    Capture(CaptureNote),
    /// What the network looked like around it, before or after.
    Context(Box<Context>),
    /// The end of the capture: without it, the rest is missing.
    Trailer(Trailer),
}

#[derive(Serialize, Deserialize)]
struct Envelope<T> {
    kcap: u32,
    #[serde(flatten)]
    note: T,
}

impl Note {
    /// The data of the block.
    pub fn encode(&self) -> Vec<u8> {
        // Nothing in a note can fail to be JSON: no map has keys that are not texts.
        serde_json::to_vec(&Envelope { kcap: VERSION, note: self }).unwrap_or_default()
    }

    /// The note that a custom block holds, when it is one of a version this crate knows.
    pub fn decode(enterprise: u32, data: &[u8]) -> Option<Self> {
        let text = data.trim_ascii_end();
        let end = text.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        let envelope: Envelope<Self> = serde_json::from_slice(text.get(..end)?).ok()?;
        (enterprise == ENTERPRISE && envelope.kcap == VERSION).then_some(envelope.note)
    }
}

/// How a capture was taken.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CaptureNote {
    /// Program and version.
    pub program: String,
    /// Name of the node.
    pub node: String,
    /// Release of its kernel.
    pub kernel: String,
    /// What was captured, in the words of the command line.
    pub targets: Vec<String>,
    /// The filter, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// Bytes kept of each packet.
    pub snaplen: u32,
    /// What the targets were found to be.
    pub places: Vec<PlaceNote>,
    /// Number of this part of a rotated capture, from 1; 0 when it is not rotated.
    pub part: u32,
}

/// A network namespace that was captured.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PlaceNote {
    /// Its name, which begins the names of its interfaces in the file.
    pub name: String,
    /// Inode of the namespace.
    pub netns: u64,
    /// Whether it is the node's own.
    pub node: bool,
    /// The pod, where it is one's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodNote>,
}

/// A pod.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PodNote {
    /// Name.
    pub name: String,
    /// Namespace.
    pub namespace: String,
    /// Identifier in the cluster.
    pub uid: String,
    /// Identifier of its sandbox in the container runtime.
    pub sandbox: String,
    /// Which sandbox of the pod it is, from 0.
    pub attempt: u32,
    /// Addresses.
    pub addresses: Vec<IpAddr>,
    /// Names of its containers.
    pub containers: Vec<String>,
    /// The container runtime and its version.
    pub runtime: String,
}

/// When a context was collected.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// Before the first packet.
    #[default]
    Before,
    /// After the last.
    After,
}

/// What the network of a place looked like.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Context {
    /// Name of the place, as in [`PlaceNote::name`].
    pub place: String,
    /// Before or after.
    pub when: When,
    /// Nanoseconds since the epoch.
    pub ts_ns: i64,
    /// `/etc/resolv.conf` as processes there see it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolv_conf: Option<String>,
    /// Interfaces.
    pub links: Vec<LinkNote>,
    /// Routes.
    pub routes: Vec<RouteNote>,
    /// Neighbours: the ARP and NDP tables.
    pub neighbours: Vec<NeighbourNote>,
    /// TCP and UDP sockets.
    pub sockets: Vec<SocketNote>,
    /// Counters of the IP stack that are not zero, named as in `/proc/net/snmp` and `netstat`: `Tcp.RetransSegs`.
    pub counters: Vec<(String, u64)>,
    /// Tracked connections of the node that touch the place's addresses.
    pub conntrack: Vec<ConntrackNote>,
    /// Counters of connection tracking on the node, summed over its processors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conntrack_stats: Option<ConntrackStats>,
    /// Rules of the node's packet filter that name the place's addresses, as `iptables-save` or `nft` print them.
    pub rules: Vec<String>,
    /// What could not be collected, and why.
    pub missing: Vec<Missing>,
}

/// Something that could not be collected.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Missing {
    /// What.
    pub what: String,
    /// Why.
    pub why: String,
}

/// An interface.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LinkNote {
    /// Name.
    pub name: String,
    /// Number in its namespace.
    pub index: u32,
    /// `veth`, `vxlan`…; empty for hardware and loopback.
    pub kind: String,
    /// Largest IP packet, bytes.
    pub mtu: u32,
    /// Whether it is up.
    pub up: bool,
    /// Hardware address, as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// Addresses with prefix lengths.
    pub addresses: Vec<(IpAddr, u8)>,
    /// Largest packet handed to the interface before segmentation, bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gso_max: Option<u32>,
    /// Queueing discipline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qdisc: Option<String>,
    /// Packets dropped on receipt.
    pub rx_dropped: u64,
    /// Packets dropped on sending.
    pub tx_dropped: u64,
    /// Receive errors.
    pub rx_errors: u64,
    /// Send errors.
    pub tx_errors: u64,
}

/// A route.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RouteNote {
    /// Where to; nothing is everywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<(IpAddr, u8)>,
    /// By which router.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub via: Option<IpAddr>,
    /// Number of the interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<u32>,
    /// Address that is used as source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<IpAddr>,
    /// `RTN_*` of `linux/rtnetlink.h`: 1 unicast, 6 blackhole, 7 unreachable, 8 prohibit.
    pub kind: u8,
    /// Table.
    pub table: u32,
    /// Priority.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<u32>,
    /// MTU of the route, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
}

/// A neighbour.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NeighbourNote {
    /// Its address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// Its hardware address, as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// Number of the interface.
    pub link: u32,
    /// `NUD_*` of `linux/neighbour.h`: 2 reachable, 4 stale, 32 failed, 128 permanent.
    pub state: u16,
}

/// A socket.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SocketNote {
    /// `tcp` or `udp`.
    pub protocol: String,
    /// State: `established`, `listen`…
    pub state: String,
    /// Address of this end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local: Option<(IpAddr, u16)>,
    /// Address of the other end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote: Option<(IpAddr, u16)>,
    /// Bytes received and not read; of a listening socket, connections not accepted.
    pub receive_queue: u32,
    /// Bytes sent and not acknowledged; of a listening socket, the limit of the queue where the kernel says it.
    pub send_queue: u32,
    /// Retransmissions of the oldest segment.
    pub retransmits: u32,
}

/// The end of a capture.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Trailer {
    /// Packets in this file.
    pub packets: u64,
    /// Packets of all parts so far.
    pub packets_total: u64,
    /// Packets that the kernel dropped, of all parts so far.
    pub dropped: u64,
    /// Why it ended: `interrupt`, `duration`, `count`, `size`, `rotated`…
    pub reason: String,
    /// Up to when a packet would have been captured, had one come, nanoseconds since the epoch. Nothing where interfaces
    /// went away before.
    pub ended_ns: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded() {
        let links = vec![LinkNote { name: "eth0".to_owned(), mtu: 1450, ..LinkNote::default() }];
        let context = Context { place: "default/api".to_owned(), when: When::After, links, ..Context::default() };
        for note in [Note::Context(Box::new(context)), Note::Trailer(Trailer { packets: 3, ..Trailer::default() })] {
            let mut data = note.encode();
            // Blocks come back padded.
            data.extend([0, 0, 0]);
            assert_eq!(Note::decode(ENTERPRISE, &data), Some(note));
        }
    }

    #[test]
    fn other_blocks_are_nobody_s_notes() {
        let note = Note::Trailer(Trailer::default()).encode();
        assert_eq!(Note::decode(1, &note), None);
        for data in [&b""[..], b"\0\0", b"{}", b"{\"kcap\":1,\"note\":\"else\"}", b"{\"kcap\":2,\"note\":\"trailer\"}"]
        {
            assert_eq!(Note::decode(ENTERPRISE, data), None);
        }
    }

    #[test]
    fn fields_that_came_later_are_ignored() {
        let data = b"{\"kcap\":1,\"note\":\"trailer\",\"packets\":7,\"later\":[1]}";
        let expected = Note::Trailer(Trailer { packets: 7, ..Trailer::default() });
        assert_eq!(Note::decode(ENTERPRISE, data), Some(expected));
    }
}
