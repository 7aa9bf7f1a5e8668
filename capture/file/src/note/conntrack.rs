//! Connection tracking as a capture carries it.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// A tracked connection.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ConntrackNote {
    /// IP protocol.
    pub protocol: u8,
    /// As the first packet had it.
    pub original: Tuple,
    /// As answers are expected: differs where addresses are translated.
    pub reply: Tuple,
    /// `IPS_*` of `linux/netfilter/nf_conntrack_common.h`.
    pub status: u32,
    /// `TCP_CONNTRACK_*`: 1 SYN sent, 2 SYN received, 3 established… of TCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp_state: Option<u8>,
    /// Seconds until it is forgotten.
    pub timeout: u32,
    /// Mark.
    pub mark: u32,
    /// Zone.
    pub zone: u16,
}

impl ConntrackNote {
    /// `IPS_SEEN_REPLY`: an answer was seen.
    pub const SEEN_REPLY: u32 = 1 << 1;
    /// `IPS_ASSURED`: it is kept where there is little room.
    pub const ASSURED: u32 = 1 << 2;

    /// Whether an answer was seen.
    pub fn is_replied(&self) -> bool {
        self.status & Self::SEEN_REPLY != 0
    }
}

/// Addresses and ports of one direction.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Tuple {
    /// Source address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<IpAddr>,
    /// Destination address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<IpAddr>,
    /// Source port, or identifier of ICMP.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
}

/// Counters of connection tracking since the node started.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ConntrackStats {
    /// Entries there are.
    pub entries: u64,
    /// Entries there may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<u64>,
    /// Entries that could not be inserted, because a race made another with the same answer.
    pub insert_failed: u64,
    /// Packets dropped because there was no room or an entry could not be made.
    pub drop: u64,
    /// Entries thrown out to make room.
    pub early_drop: u64,
    /// Packets that could not be tracked.
    pub invalid: u64,
    /// Races that were settled.
    pub clash_resolve: u64,
    /// Look-ups given up in a chain that is too long.
    pub chain_toolong: u64,
    /// ICMP errors about unknown connections.
    pub error: u64,
    /// Look-ups begun anew because the table changed.
    pub search_restart: u64,
}

impl ConntrackStats {
    /// Counters by the names that `conntrack -S` has.
    pub fn counters(&self) -> [(&'static str, u64); 8] {
        [
            ("insert_failed", self.insert_failed),
            ("drop", self.drop),
            ("early_drop", self.early_drop),
            ("invalid", self.invalid),
            ("clash_resolve", self.clash_resolve),
            ("chaintoolong", self.chain_toolong),
            ("error", self.error),
            ("search_restart", self.search_restart),
        ]
    }

    /// Counters that are larger later, and by how much.
    pub fn growth(&self, later: &Self) -> impl Iterator<Item = (&'static str, u64)> {
        let pairs = self.counters().into_iter().zip(later.counters());
        pairs.map(|((name, before), (_, after))| (name, after.saturating_sub(before))).filter(|(_, by)| *by > 0)
    }
}
