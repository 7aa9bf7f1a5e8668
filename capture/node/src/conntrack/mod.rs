//! Connection tracking: the entries of addresses and the counters, of the namespace the thread is in.
//!
//! A pod's own namespace tracks nothing as a rule: its traffic is translated on the node. Both dumps need
//! `CAP_NET_ADMIN`; without, they are read from files, where the kernel has them.

mod procfs;

use crate::context::missing;
use crate::links::refused;
use crate::{CaptureError, Netns, Place};
use kcap_file::note::{ConntrackNote, ConntrackStats, Missing, Tuple};
use netlink_bindings::conntrack::{
    IterableConntrackAttrs, IterableConntrackStatsAttrs, IterableTupleAttrs, Nfgenmsg, Request,
};
use netlink_socket2::NetlinkSocket;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Entries kept.
const MAX_ENTRIES: usize = 10_000;
const COUNTERS_FILE: &str = "/proc/thread-self/net/stat/nf_conntrack";

/// What is tracked at one time.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Snapshot {
    /// Entries, of the addresses asked for.
    pub entries: Vec<ConntrackNote>,
    /// Counters since the node started.
    pub stats: Option<ConntrackStats>,
    /// What could not be had, and why.
    pub missing: Vec<Missing>,
}

/// What changed between two snapshots.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Changes {
    /// Entries that are new.
    pub new: Vec<ConntrackNote>,
    /// Entries that are gone.
    pub gone: Vec<ConntrackNote>,
    /// Counters that grew, and by how much.
    pub counters: Vec<(&'static str, u64)>,
}

/// The node's snapshot for the places' addresses; of everything when a place is the node itself.
pub fn of_places(places: &[Place]) -> Result<Snapshot, CaptureError> {
    let addresses = crate::context::addresses(places)?;
    let everything = places.iter().any(|place| place.node);
    let node: Netns = Place::node()?.netns;
    node.run(|| snapshot((!everything).then_some(addresses.as_slice())))
}

/// Entries that touch one of the addresses, or all, and the counters.
pub(crate) fn snapshot(addresses: Option<&[IpAddr]>) -> Snapshot {
    let mut missed = Vec::new();
    let entries = entries(addresses, &mut missed).unwrap_or_else(|error| {
        missed.push(missing("conntrack entries", &format!("{}; they need CAP_NET_ADMIN", error.chain())));
        Vec::new()
    });
    let stats = match stats().or_else(|error| stats_of_file().ok_or(error)) {
        Ok(stats) => {
            Some(ConntrackStats { entries: limit("count").unwrap_or(stats.entries), max: limit("max"), ..stats })
        }
        Err(error) => {
            missed.push(missing("conntrack counters", &error.chain()));
            None
        }
    };
    Snapshot { entries, stats, missing: missed }
}

/// `TCP_CONNTRACK_*` of `linux/netfilter/nf_conntrack_tcp.h`, as the kernel prints them.
pub const TCP_STATES: [&str; 10] = [
    "NONE",
    "SYN_SENT",
    "SYN_RECV",
    "ESTABLISHED",
    "FIN_WAIT",
    "CLOSE_WAIT",
    "LAST_ACK",
    "TIME_WAIT",
    "CLOSE",
    "SYN_SENT2",
];

/// As many entries as are kept.
#[derive(Default)]
struct Kept {
    entries: Vec<ConntrackNote>,
    left_out: u64,
}

impl Kept {
    fn add(&mut self, entry: ConntrackNote) {
        if self.entries.len() < MAX_ENTRIES { self.entries.push(entry) } else { self.left_out += 1 }
    }
}

fn entries(addresses: Option<&[IpAddr]>, missed: &mut Vec<Missing>) -> Result<Vec<ConntrackNote>, CaptureError> {
    let mut kept = Kept::default();
    if let Err(refused) = asked(addresses, &mut kept) {
        let listed = procfs::entries().map_err(|_| refused)?;
        listed.filter(|entry| touches(entry, addresses)).for_each(|entry| kept.add(entry));
    }
    if kept.left_out > 0 {
        let why = format!("{} more than the {MAX_ENTRIES} that are kept", kept.left_out);
        missed.push(missing("conntrack entries", &why));
    }
    Ok(kept.entries)
}

/// Entries by netlink.
fn asked(addresses: Option<&[IpAddr]>, kept: &mut Kept) -> Result<(), CaptureError> {
    const WHAT: &str = "tracked connections";
    let mut socket = NetlinkSocket::new();
    let request = Request::new().op_get_dump(&Nfgenmsg::new());
    let mut replies = socket.request(&request).map_err(|source| CaptureError::Netlink { what: WHAT, source })?;
    while let Some((_, attributes)) = replies.recv().transpose().map_err(refused(WHAT))? {
        if let Some(entry) = entry(&attributes).filter(|entry| touches(entry, addresses)) {
            kept.add(entry);
        }
    }
    Ok(())
}

fn touches(entry: &ConntrackNote, addresses: Option<&[IpAddr]>) -> bool {
    let ends = [entry.original.source, entry.original.destination, entry.reply.source, entry.reply.destination];
    addresses.is_none_or(|wanted| ends.into_iter().flatten().any(|end| wanted.contains(&end)))
}

fn entry(of: &IterableConntrackAttrs<'_>) -> Option<ConntrackNote> {
    let original = of.get_tuple_orig().ok()?;
    Some(ConntrackNote {
        protocol: original.get_tuple_proto().ok()?.get_proto_num().ok()?,
        original: tuple(&original),
        reply: tuple(&of.get_tuple_reply().ok()?),
        status: of.get_status().unwrap_or_default(),
        tcp_state: of.get_protoinfo().and_then(|info| info.get_protoinfo_tcp()?.get_tcp_state()).ok(),
        timeout: of.get_timeout().unwrap_or_default(),
        mark: of.get_mark().unwrap_or_default(),
        zone: of.get_zone().unwrap_or_default(),
    })
}

fn tuple(of: &IterableTupleAttrs<'_>) -> Tuple {
    let ip = of.get_tuple_ip().ok();
    let address = |v4: Option<IpAddr>, v6: Option<IpAddr>| v4.or(v6);
    let ports = of.get_tuple_proto().ok();
    let port = ports.as_ref().and_then(|p| p.get_proto_src_port().or_else(|_| p.get_proto_icmp_id()).ok());
    Tuple {
        source: ip
            .as_ref()
            .and_then(|ip| address(ip.get_ip_v4_src().ok().map(IpAddr::V4), ip.get_ip_v6_src().ok().map(IpAddr::V6))),
        destination: ip
            .as_ref()
            .and_then(|ip| address(ip.get_ip_v4_dst().ok().map(IpAddr::V4), ip.get_ip_v6_dst().ok().map(IpAddr::V6))),
        source_port: port.unwrap_or_default(),
        destination_port: ports.and_then(|p| p.get_proto_dst_port().ok()).unwrap_or_default(),
    }
}

/// Summed over the processors.
fn stats() -> Result<ConntrackStats, CaptureError> {
    const WHAT: &str = "conntrack counters";
    let mut socket = NetlinkSocket::new();
    let request = Request::new().op_get_stats_dump(&Nfgenmsg::new());
    let mut replies = socket.request(&request).map_err(|source| CaptureError::Netlink { what: WHAT, source })?;
    let mut sum = ConntrackStats::default();
    while let Some((_, attributes)) = replies.recv().transpose().map_err(refused(WHAT))? {
        add(&mut sum, &attributes);
    }
    Ok(sum)
}

fn add(sum: &mut ConntrackStats, of: &IterableConntrackStatsAttrs<'_>) {
    sum.insert_failed += u64::from(of.get_insert_failed().unwrap_or_default());
    sum.drop += u64::from(of.get_drop().unwrap_or_default());
    sum.early_drop += u64::from(of.get_early_drop().unwrap_or_default());
    sum.invalid += u64::from(of.get_invalid().unwrap_or_default());
    sum.clash_resolve += u64::from(of.get_clash_resolve().unwrap_or_default());
    sum.chain_toolong += u64::from(of.get_chain_toolong().unwrap_or_default());
    sum.error += u64::from(of.get_error().unwrap_or_default());
    sum.search_restart += u64::from(of.get_search_restart().unwrap_or_default());
}

fn stats_of_file() -> Option<ConntrackStats> {
    parse_stats(&std::fs::read_to_string(COUNTERS_FILE).ok()?)
}

/// A line of names, then one a processor, in hexadecimal. `entries` is the same in each.
fn parse_stats(text: &str) -> Option<ConntrackStats> {
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next()?.split_whitespace().collect();
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for line in lines {
        for (name, value) in names.iter().zip(line.split_whitespace()) {
            let value = u64::from_str_radix(value, 16).ok()?;
            let sum = sums.entry(name).or_default();
            *sum = if *name == "entries" { value } else { *sum + value };
        }
    }
    let of = |name| sums.get(name).copied().unwrap_or_default();
    Some(ConntrackStats {
        entries: of("entries"),
        max: None,
        insert_failed: of("insert_failed"),
        drop: of("drop"),
        early_drop: of("early_drop"),
        invalid: of("invalid"),
        clash_resolve: of("clashres"),
        chain_toolong: of("chainlength"),
        error: of("icmp_error"),
        search_restart: of("search_restart"),
    })
}

/// `net.netfilter.nf_conntrack_*` of the namespace the thread is in.
fn limit(name: &str) -> Option<u64> {
    let path = format!("/proc/sys/net/netfilter/nf_conntrack_{name}");
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

impl Snapshot {
    /// What is different in a later one.
    pub fn until(&self, later: &Self) -> Changes {
        type Key = (u8, u16, Tuple, Tuple);
        let key = |entry: &ConntrackNote| -> Key { (entry.protocol, entry.zone, entry.original, entry.reply) };
        let before: BTreeMap<Key, &ConntrackNote> = self.entries.iter().map(|entry| (key(entry), entry)).collect();
        let after: BTreeMap<Key, &ConntrackNote> = later.entries.iter().map(|entry| (key(entry), entry)).collect();
        let only = |of: &BTreeMap<Key, &ConntrackNote>, other: &BTreeMap<Key, &ConntrackNote>| -> Vec<ConntrackNote> {
            of.iter().filter(|(key, _)| !other.contains_key(key)).map(|(_, entry)| (*entry).clone()).collect()
        };
        let counters = match (&self.stats, &later.stats) {
            (Some(before), Some(after)) => before.growth(after).collect(),
            _ => Vec::new(),
        };
        Changes { new: only(&after, &before), gone: only(&before, &after), counters }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_processors_are_summed() {
        let text = "entries  clashres found new invalid ignore delete chainlength insert insert_failed drop early_drop \
                    icmp_error  expect_new expect_create expect_delete search_restart\n\
                    00000161  00000002 00000000 00000000 0000000a 00000000 00000000 00000000 00000000 00000003 00000001 \
                    00000000 00000000  00000000 00000000 00000000 00000000\n\
                    00000161  00000001 00000000 00000000 00000001 00000000 00000000 00000000 00000000 00000000 00000000 \
                    00000000 00000000  00000000 00000000 00000000 00000005\n";
        let found = parse_stats(text).unwrap();
        assert_eq!((found.entries, found.clash_resolve, found.invalid), (0x161, 3, 11));
        assert_eq!((found.insert_failed, found.drop, found.search_restart), (3, 1, 5));
    }

    #[test]
    fn changes_are_what_came_and_went() {
        let entry = |port| ConntrackNote {
            protocol: 6,
            original: Tuple { source_port: port, ..Tuple::default() },
            ..ConntrackNote::default()
        };
        let stats = |insert_failed| Some(ConntrackStats { insert_failed, ..ConntrackStats::default() });
        let before = Snapshot { entries: vec![entry(1), entry(2)], stats: stats(4), missing: Vec::new() };
        // The time left and the state of an entry change, and it is the same.
        let kept = ConntrackNote { timeout: 9, ..entry(2) };
        let after = Snapshot { entries: vec![kept, entry(3)], stats: stats(6), missing: Vec::new() };
        let changes = before.until(&after);
        assert_eq!((changes.new, changes.gone), (vec![entry(3)], vec![entry(1)]));
        assert_eq!(changes.counters, [("insert_failed", 2)]);
    }
}
