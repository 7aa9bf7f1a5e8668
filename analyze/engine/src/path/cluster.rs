//! What captures show of a cluster without being told: who is a node, where pods and services have their addresses.

use super::{Connection, Kept};
use crate::Addr;
use crate::finding::{Cluster, Range};
use crate::track::event::Flow;
use crate::track::tunnels::Tunnel;
use crate::wire::TunnelKind;
use std::collections::{BTreeMap, BTreeSet};

/// Nodes and ranges named.
const NAMED: usize = 32;
/// A node's block of pods is no larger than this (`--node-cidr-mask-size` of the controller manager), in bits of the
/// prefix: IPv4 as mapped into IPv6, and IPv6.
const V4_POD_PREFIX: u32 = 96 + 24;
const V6_POD_PREFIX: u32 = 64;

/// What is inferred; `domain` is that of search lists.
pub(crate) fn cluster(kept: &Kept, tunnels: &[Tunnel], domain: Option<String>) -> Cluster {
    let behind = behind(kept, tunnels);
    let nodes: BTreeSet<Addr> = behind.keys().copied().collect();
    Cluster {
        nodes: nodes.iter().take(NAMED).map(Addr::to_string).collect(),
        pods: behind.iter().take(NAMED).flat_map(|(node, pods)| blocks_of(*node, pods, &behind)).collect(),
        services: services(kept, &behind),
        domain,
    }
}

/// Addresses inside tunnels by the end that they are behind. What one end sends with several sources is not its own.
fn behind(kept: &Kept, tunnels: &[Tunnel]) -> BTreeMap<Addr, BTreeSet<Addr>> {
    let mut ends: BTreeMap<Addr, BTreeSet<Addr>> = BTreeMap::new();
    for flow in kept.connections().iter().flat_map(|connection| connection.flows(kept)) {
        for leg in flow.legs().filter(|leg| leg.is_two_way()) {
            let Some(tunnel) = tunnels.get(leg.tunnel as usize).filter(|tunnel| is_path(tunnel, leg.tunnel)) else {
                continue;
            };
            let (of_orig, of_resp) = if leg.orig_from_a { (tunnel.a, tunnel.b) } else { (tunnel.b, tunnel.a) };
            note(&mut ends, of_orig, flow, flow.orig.addr);
            note(&mut ends, of_resp, flow, flow.resp.addr);
        }
    }
    // An address that several ends have is translated there.
    let mut owners: BTreeMap<Addr, u32> = BTreeMap::new();
    ends.values().flatten().for_each(|addr| *owners.entry(*addr).or_default() += 1);
    for addrs in ends.values_mut() {
        addrs.retain(|addr| owners.get(addr) == Some(&1));
    }
    ends
}

fn note(ends: &mut BTreeMap<Addr, BTreeSet<Addr>>, end: Addr, flow: &Flow, addr: Addr) {
    if flow.from_resp.packets > 0 && addr != end {
        ends.entry(end).or_default().insert(addr);
    }
}

fn is_path(tunnel: &Tunnel, id: u32) -> bool {
    let carries = matches!(
        tunnel.kind,
        TunnelKind::Vxlan | TunnelKind::VxlanGpe | TunnelKind::Geneve | TunnelKind::IpIp | TunnelKind::Gre
    );
    id != 0 && carries
}

/// A node's blocks of pods: one of each family.
fn blocks_of(node: Addr, pods: &BTreeSet<Addr>, all: &BTreeMap<Addr, BTreeSet<Addr>>) -> Vec<Range> {
    by_family(pods).iter().filter_map(|pods| block_of(node, pods, all)).collect()
}

/// IPv4 addresses, and those of IPv6.
fn by_family(addrs: &BTreeSet<Addr>) -> [BTreeSet<Addr>; 2] {
    let (v4, v6) = addrs.iter().copied().partition(|addr| addr.is_v4());
    [v4, v6]
}

/// The widest block of a node's pods, as wide as a node's usually is, that holds no address behind another node.
fn block_of(node: Addr, pods: &BTreeSet<Addr>, all: &BTreeMap<Addr, BTreeSet<Addr>>) -> Option<Range> {
    let first = *pods.first()?;
    let least = if first.is_v4() { V4_POD_PREFIX } else { V6_POD_PREFIX };
    let narrow = common_prefix(pods.iter().copied())?;
    let others = || all.iter().filter(|(other, _)| **other != node).flat_map(|(_, addrs)| addrs);
    let clear = |prefix: &u32| !others().any(|other| shared_bits(first, *other) >= *prefix);
    let prefix = (least..=narrow).find(clear).unwrap_or(narrow);
    Some(Range { range: named(first, prefix), behind: Some(node.to_string()), addresses: pods.len() as i64 })
}

/// Service ranges are no wider than this (kubeadm's is 10.96.0.0/12); what is further apart is not one range.
const SERVICE_PREFIX: u32 = 12;

/// Addresses that connections were sent to and that were translated: neither pods nor what others were translated to.
/// Of two families the range of IPv4.
fn services(kept: &Kept, behind: &BTreeMap<Addr, BTreeSet<Addr>>) -> Option<Range> {
    let translated = || kept.connections().iter().filter(|connection| connection.endpoint().is_some());
    let endpoints: BTreeSet<Addr> = translated().filter_map(Connection::endpoint).map(|to| to.addr).collect();
    let is_host = |addr: &Addr| {
        endpoints.contains(addr) || behind.contains_key(addr) || behind.values().any(|pods| pods.contains(addr))
    };
    let fronts = translated().map(|connection| connection.front().resp.addr);
    let addrs: BTreeSet<Addr> = fronts.filter(|addr| addr.is_private() && !is_host(addr)).collect();
    let addrs = by_family(&addrs).into_iter().find(|addrs| !addrs.is_empty())?;
    let first = *addrs.first()?;
    let prefix = common_prefix(addrs.iter().copied())?;
    let least = SERVICE_PREFIX + if first.is_v4() { 96 } else { 0 };
    (prefix >= least).then(|| Range { range: named(first, prefix), behind: None, addresses: addrs.len() as i64 })
}

fn common_prefix(mut addrs: impl Iterator<Item = Addr>) -> Option<u32> {
    let first = addrs.next()?;
    Some(addrs.map(|addr| shared_bits(first, addr)).min().unwrap_or(128))
}

/// Leading bits that two addresses share.
fn shared_bits(a: Addr, b: Addr) -> u32 {
    (u128::from_be_bytes(a.0) ^ u128::from_be_bytes(b.0)).leading_zeros()
}

/// A block in the usual notation.
fn named(addr: Addr, prefix: u32) -> String {
    let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or_default();
    let base = Addr((u128::from_be_bytes(addr.0) & mask).to_be_bytes());
    let (base, prefix) = if addr.is_v4() { (base, prefix.saturating_sub(96)) } else { (base, prefix) };
    format!("{base}/{prefix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(c: u8, d: u8) -> Addr {
        Addr::v4([10, 244, c, d])
    }

    #[test]
    fn blocks_are_as_wide_as_others_let_them_be() {
        let (a, b) = (Addr::v4([192, 0, 2, 1]), Addr::v4([192, 0, 2, 2]));
        let apart = BTreeMap::from([(a, BTreeSet::from([v4(1, 10), v4(1, 11)])), (b, BTreeSet::from([v4(2, 7)]))]);
        assert_eq!(block_of(a, &apart[&a], &apart).unwrap().range, "10.244.1.0/24");
        // Calico deals blocks of 64.
        let close = BTreeMap::from([(a, BTreeSet::from([v4(1, 10), v4(1, 11)])), (b, BTreeSet::from([v4(1, 70)]))]);
        assert_eq!(block_of(a, &close[&a], &close).unwrap().range, "10.244.1.0/26");
        assert_eq!(block_of(b, &close[&b], &close).unwrap().range, "10.244.1.64/26");
    }

    #[test]
    fn families_have_blocks_of_their_own() {
        let node = Addr::v4([192, 0, 2, 1]);
        let v6 = |last| Addr::v6([0xfd, 0, 0, 1, 0, 2, 0, 3, 0, 0, 0, 0, 0, 0, 0, last]);
        let both = BTreeMap::from([(node, BTreeSet::from([v4(1, 10), v6(9), v4(1, 200), v6(10)]))]);
        let ranges: Vec<String> = blocks_of(node, &both[&node], &both).into_iter().map(|block| block.range).collect();
        assert_eq!(ranges, ["10.244.1.0/24", "fd00:1:2:3::/64"]);
    }

    #[test]
    fn names_of_blocks() {
        assert_eq!(named(v4(1, 10), 128), "10.244.1.10/32");
        assert_eq!(named(Addr::v6([0xfd, 0, 0, 1, 0, 2, 0, 3, 0, 0, 0, 0, 0, 0, 0, 9]), 64), "fd00:1:2:3::/64");
        assert_eq!(common_prefix([v4(0, 10), v4(10, 10)].into_iter()), Some(96 + 20));
        assert_eq!(common_prefix(std::iter::empty()), None);
    }
}
