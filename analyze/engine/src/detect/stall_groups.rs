//! Stalled connections that have one cause: those that share an end, or the tunnel they pass.

use super::path_mtu::{Path, Sign, Stalled, TooBig};
use super::ties;
use super::world::World;
use crate::Addr;
use crate::time::union;
use crate::track::{Endpoint, FrameId};
use crate::wire::TunnelKind;
use std::collections::{BTreeMap, BTreeSet};

/// Two ends of a kind of tunnel.
pub(crate) type Ends = (TunnelKind, Addr, Addr);

/// Whether an ICMP error names the packets that do not arrive.
#[derive(Clone, Copy)]
pub(crate) enum Known<'a> {
    No,
    Yes(&'a TooBig),
}

/// Stalled connections with one cause.
pub(crate) struct Group<'a> {
    pub(crate) stalled: Vec<&'a Stalled>,
    pub(crate) tunnels: BTreeSet<Ends>,
    /// Errors about their own packets.
    pub(crate) icmp: Known<'a>,
    /// Errors about the outer packets of their tunnel.
    pub(crate) outer: Option<&'a TooBig>,
}

/// All groups.
pub(crate) fn groups<'a>(world: &World<'a>) -> Vec<Group<'a>> {
    let stalled = world.facts.path_mtu.stalled.iter().filter(|one| is_plausible(one, world));
    let groups = ties::groups(stalled, |one| ties(one, world).into_iter());
    groups.into_iter().map(|stalled| Group::of(stalled, world)).collect()
}

/// What connections of one cause have in common.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Tie {
    /// The sequence number where they stop: one connection, before and after NAT, in several captures.
    Sequence(u32),
    Sender(Addr),
    Receiver(Addr),
    Tunnel(Ends),
}

fn ties(one: &Stalled, world: &World<'_>) -> Vec<Tie> {
    let own = [Tie::Sequence(one.stall.seq), Tie::Sender(one.path.from), Tie::Receiver(one.path.to)];
    own.into_iter().chain(tunnels(one, world).map(Tie::Tunnel)).collect()
}

fn tunnels<'a>(one: &'a Stalled, world: &World<'a>) -> impl Iterator<Item = Ends> + 'a {
    let tunnels = world.tunnels;
    let known = one.tunnels.iter().filter_map(move |tunnel| tunnels.get(*tunnel as usize));
    known.map(|tunnel| (tunnel.kind, tunnel.a, tunnel.b))
}

/// Whether nothing as big passed the same way since, and the connection itself or ICMP shows that size is the reason.
fn is_plausible(one: &Stalled, world: &World<'_>) -> bool {
    let facts = &world.facts.path_mtu;
    let told = |path: &Path| facts.too_big.contains_key(path);
    let outer = || tunnels(one, world).any(|(_, a, b)| both_ways(a, b).iter().any(told));
    let shown = || one.sign == Sign::Size || told(&one.path) || outer() || is_repeated(one, world);
    let fails = facts.largest_since(one.path, one.since_ns()) < one.size;
    fails && !facts.is_cut(one) && small_pass(one, world) && shown()
}

/// Whether small packets passed after the last as big, if any as big did: else nothing may pass any more. A connection
/// that begins and then stops shows it.
fn small_pass(one: &Stalled, world: &World<'_>) -> bool {
    let facts = &world.facts.path_mtu;
    let big_after = |ns| facts.largest_since(one.path, ns) >= one.size;
    let shows = |other: &Stalled| other.path == one.path && !big_after(other.span_ns.0);
    !big_after(i64::MIN) || facts.stalled.iter().any(shows)
}

/// Whether other connections of the sender for the same service show that it is size that stops this one: each began, and
/// stopped at a big segment. That small ones pass is shown by one that begins while another waits, and where some were
/// acknowledged before, by so many that it is no chance.
fn is_repeated(one: &Stalled, world: &World<'_>) -> bool {
    let alike = |other: &&Stalled| {
        let same_way = other.path.from == one.path.from && other.server.port == one.server.port;
        same_way && one.sign.is_backed_by(other.sign) && other.stall.seq != one.stall.seq
    };
    let others: BTreeMap<u32, &Stalled> =
        world.facts.path_mtu.stalled.iter().filter(alike).map(|other| (other.stall.seq, other)).collect();
    let began = |first: &Stalled| {
        let meanwhile = first.stall.first_ns..first.stall.last_ns;
        others.values().any(|other| meanwhile.contains(&other.span_ns.0) && meanwhile.contains(&other.stall.first_ns))
    };
    match one.sign {
        Sign::Unheard => began(one) || others.len() >= REPEATED,
        Sign::First => others.len() >= REPEATED && (began(one) || others.values().any(|other| began(other))),
        Sign::Later => others.values().any(|other| one.stall.last_ns >= other.since_ns()),
        Sign::Few => others.len() >= REPEATED,
        Sign::Size | Sign::Stop => false,
    }
}

/// Other connections that stop at the same size before it is no chance.
const REPEATED: usize = 2;

fn both_ways(a: Addr, b: Addr) -> [Path; 2] {
    [Path { from: a, to: b }, Path { from: b, to: a }]
}

impl<'a> Group<'a> {
    fn of(stalled: Vec<&'a Stalled>, world: &World<'a>) -> Self {
        let too_big = &world.facts.path_mtu.too_big;
        let tunnels: BTreeSet<Ends> = stalled.iter().flat_map(|one| tunnels(one, world)).collect();
        let mut own = stalled.iter().filter_map(|one| too_big.get(&one.path));
        let icmp = own.find(|errors| errors.tunnel.is_none()).map_or(Known::No, Known::Yes);
        let ends = tunnels.iter().flat_map(|&(_, a, b)| both_ways(a, b));
        let outer = ends.filter_map(|path| too_big.get(&path)).find(|errors| errors.tunnel.is_some());
        Self { stalled, tunnels, icmp, outer }
    }

    /// Connections, each once.
    pub(crate) fn connections(&self) -> u64 {
        self.by_connection(|_| 0).len() as u64
    }

    /// Segments sent again, those of a connection that several captures saw once.
    pub(crate) fn resent(&self) -> u64 {
        self.by_connection(|one| one.stall.resent.into()).values().sum()
    }

    /// Bytes that were sent and did not arrive.
    pub(crate) fn missing(&self) -> u64 {
        self.by_connection(|one| one.stall.missing.into()).values().sum()
    }

    fn by_connection(&self, count: fn(&Stalled) -> u64) -> BTreeMap<u32, u64> {
        let mut counts = BTreeMap::new();
        for one in &self.stalled {
            let known: &mut u64 = counts.entry(one.stall.seq).or_default();
            *known = count(one).max(*known);
        }
        counts
    }

    /// Whether the segments themselves were seen.
    pub(crate) fn is_seen_sent(&self) -> bool {
        self.stalled.iter().any(|one| one.stall.resent > 0)
    }

    /// Bytes of the smallest IP packet that never arrives.
    pub(crate) fn size(&self) -> u32 {
        self.stalled.iter().map(|one| one.size).min().unwrap_or_default()
    }

    /// The way of the first connection.
    pub(crate) fn path(&self) -> Path {
        let none = Addr::default();
        self.stalled.first().map_or(Path { from: none, to: none }, |one| one.path)
    }

    pub(crate) fn senders(&self) -> BTreeSet<Addr> {
        self.stalled.iter().map(|one| one.path.from).collect()
    }

    pub(crate) fn receivers(&self) -> BTreeSet<Addr> {
        self.stalled.iter().map(|one| one.path.to).collect()
    }

    pub(crate) fn servers(&self) -> BTreeSet<Endpoint> {
        self.stalled.iter().map(|one| one.server).collect()
    }

    pub(crate) fn clients(&self) -> BTreeSet<Addr> {
        self.stalled.iter().map(|one| one.client.addr).collect()
    }

    /// Connections of the same ways whose every byte arrived.
    pub(crate) fn connections_ok(&self, world: &World<'_>) -> u64 {
        let passed = self.paths().into_iter().filter_map(|path| world.facts.path_mtu.passed(path));
        passed.map(|passed| passed.connections).max().unwrap_or_default()
    }

    /// Bytes of the biggest packet that passed the same ways; since the first of them stopped, if as big ones did before.
    pub(crate) fn largest_passed(&self, world: &World<'_>) -> u32 {
        let stopped_ns = || self.stalled.iter().map(|one| one.since_ns()).min();
        let since_ns = self.passed_until_ns(world).and_then(|_| stopped_ns()).unwrap_or(i64::MIN);
        let largest = |path| world.facts.path_mtu.largest_since(path, since_ns);
        self.paths().into_iter().map(largest).max().unwrap_or_default()
    }

    /// When the last connection ended in which packets as big passed.
    pub(crate) fn passed_until_ns(&self, world: &World<'_>) -> Option<i64> {
        let passed = self.paths().into_iter().filter_map(|path| world.facts.path_mtu.passed(path));
        passed.filter_map(|passed| passed.last_ns(self.size())).max()
    }

    fn paths(&self) -> BTreeSet<Path> {
        self.stalled.iter().map(|one| one.path).collect()
    }

    /// The MSS that made the segments so big: what the receiver asked for, the sender permitting.
    pub(crate) fn mss(&self) -> Option<u32> {
        let both = self.stalled.iter().filter_map(|one| one.mss.0.zip(one.mss.1));
        both.map(|(a, b)| u32::from(a.min(b))).max()
    }

    /// What the path takes, where ICMP or the tunnel's overhead tells.
    pub(crate) fn path_mtu(&self, world: &World<'_>) -> Option<u32> {
        if let Known::Yes(errors) = self.icmp
            && errors.mtu > 0
        {
            return Some(errors.mtu);
        }
        let overhead = self.tunnels.iter().filter_map(|(kind, a, _)| overhead(*kind, *a)).max()?;
        let underlay = self.outer.map_or(STANDARD_MTU, |errors| errors.mtu);
        let fits = underlay.checked_sub(overhead)?;
        let passed = self.largest_passed(world);
        (fits < self.size() && fits >= passed).then_some(fits)
    }

    pub(crate) fn icmp_errors(&self) -> Option<u64> {
        match (self.icmp, self.outer) {
            (_, Some(errors)) | (Known::Yes(errors), None) => Some(errors.errors()),
            (Known::No, None) => None,
        }
    }

    pub(crate) fn span_ns(&self) -> (i64, i64) {
        let spans = self.stalled.iter().map(|one| one.span_ns);
        union(spans).unwrap_or_default()
    }

    pub(crate) fn frames(&self) -> Vec<FrameId> {
        let of_one = |one: &&'a Stalled| {
            let revealed = one.stall.revealed.map(|(_, frame)| frame);
            one.stall.frames.iter().copied().chain(revealed).collect::<Vec<_>>()
        };
        self.stalled.iter().flat_map(of_one).collect()
    }

    /// Names of the points that saw the segments, and of those that saw only others of the same senders.
    pub(crate) fn places(&self, world: &World<'_>) -> (BTreeSet<String>, BTreeSet<String>) {
        let name = |&(point, tunnel): &(u16, u32)| world.place_name(point, tunnel);
        let all = |of: fn(&Stalled) -> &[(u16, u32)]| -> BTreeSet<String> {
            self.stalled.iter().flat_map(|one| of(one).iter().map(name)).collect()
        };
        let seen = all(|one| one.stall.seen_at.as_slice());
        let mut unseen = all(|one| one.stall.unseen_at.as_slice());
        unseen.retain(|place| !seen.contains(place));
        (seen, unseen)
    }
}

/// What most underlays have.
const STANDARD_MTU: u32 = 1500;

/// Bytes that a tunnel adds to an IP packet (RFC 7348, RFC 8926 without options, RFC 2003, RFC 2784,
/// <https://www.wireguard.com/protocol/>).
pub(crate) fn overhead(kind: TunnelKind, end: Addr) -> Option<u32> {
    let ip = if end.is_v4() { 20 } else { 40 };
    let above = match kind {
        TunnelKind::Vxlan | TunnelKind::VxlanGpe | TunnelKind::Geneve => 14 + 8 + 8,
        TunnelKind::IpIp => 0,
        TunnelKind::Gre => 4,
        TunnelKind::WireGuard => 8 + 32,
        TunnelKind::Erspan => return None,
    };
    Some(ip + above)
}
