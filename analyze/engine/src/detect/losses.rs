//! What segments went through, connection by connection, put together by who takes part.

use super::evidence::some_of;
use super::ties;
use super::world::World;
use crate::Addr;
use crate::packet::TCP;
use crate::path::{Connection, Signs};
use crate::time::union;
use crate::track::Endpoint;
use crate::track::event::{Flow, Side};
use crate::track::tcp::side::{Losses, View};
use crate::track::tcp::sum::Sum;
use smallvec::SmallVec;
use std::cell::LazyCell;
use std::collections::BTreeMap;
use std::fmt;

/// One direction of a connection with trouble, all places that saw it put together.
#[derive(Clone, Debug)]
pub(crate) struct Lossy {
    pub(crate) from: Endpoint,
    pub(crate) to: Endpoint,
    pub(crate) losses: Losses,
    /// Packets with data of this direction, resends included.
    pub(crate) packets: u64,
    /// Segments of the other direction of which an acknowledgement was lost, that is a packet of this one.
    pub(crate) acks_lost: u64,
    /// Packets that came twice on one interface.
    pub(crate) duplicates: u64,
    /// Whether its receiver did not take the end of the handshake though it came, so that it drops what follows.
    pub(crate) ignored: bool,
    pub(crate) tunnels: Vec<u32>,
    pub(crate) span_ns: (i64, i64),
}

/// Directions with trouble of connections whose participants hang together: who shares an address with another shares
/// its fate.
#[derive(Clone, Debug, Default)]
pub(crate) struct Group<'a> {
    pub(crate) lossy: Vec<&'a Lossy>,
}

/// All directions with trouble that a detector cares for, by groups.
pub(crate) fn groups<'a>(world: &World<'a>, matters: impl Fn(&Lossy) -> bool) -> Vec<Group<'a>> {
    let lossy = all(world).iter().filter(|lossy| matters(lossy));
    let groups = ties::groups(lossy, |one| [one.from.addr, one.to.addr].into_iter());
    groups.into_iter().map(|lossy| Group { lossy }).collect()
}

/// Counts of directions by pair of sender and receiver.
fn by_pair<'a>(lossy: impl Iterator<Item = &'a Lossy>, count: impl Fn(&Lossy) -> u64) -> BTreeMap<(Addr, Addr), u64> {
    let mut pairs = BTreeMap::new();
    for lossy in lossy {
        *pairs.entry((lossy.from.addr, lossy.to.addr)).or_default() += count(lossy);
    }
    pairs
}

/// Segments that were only overtaken and yet sent again, by sender and receiver.
pub(crate) fn overtaken(world: &World<'_>) -> BTreeMap<(Addr, Addr), u64> {
    by_pair(all(world).iter(), |lossy| lossy.losses.near.sum.overtaken.into())
}

/// All directions with trouble.
fn all<'a>(world: &World<'a>) -> &'a [Lossy] {
    world.facts.lossy.get_or_init(|| {
        let kept = &world.facts.servers.kept;
        let troubled = kept.connections().iter().filter(|connection| connection.signs.has(Signs::TROUBLED));
        let troubled = troubled.filter(|connection| connection.proto == TCP);
        troubled.flat_map(|connection| of(connection, world)).collect()
    })
}

/// Both directions of a connection, where there was trouble.
fn of(connection: &Connection, world: &World<'_>) -> Vec<Lossy> {
    let kept = &world.facts.servers.kept;
    let (orig, resp) = (connection.front().orig, connection.back().resp);
    let flows: Vec<&Flow> = connection.flows(kept).collect();
    let there = direction(&flows, |flow| &flow.from_orig, (orig, resp));
    let back = direction(&flows, |flow| &flow.from_resp, (resp, orig));
    let ignored = flows.iter().any(|flow| flow.ignored > 0);
    let unheard = |data: &Option<Lossy>| data.as_ref().map_or(0, |lossy| lossy.losses.near.sum.unheard.into());
    let (of_back, of_there) = (unheard(&back), unheard(&there));
    let there = there.map(|lossy| Lossy { ignored, acks_lost: of_back, ..lossy });
    let back = back.map(|lossy| Lossy { acks_lost: of_there, ..lossy });
    there.into_iter().chain(back).collect()
}

fn direction(flows: &[&Flow], side: fn(&Flow) -> &Side, (from, to): (Endpoint, Endpoint)) -> Option<Lossy> {
    let sides = || flows.iter().map(|flow| side(flow));
    let losses = sides().filter_map(|side| side.tcp.losses.as_deref()).cloned().reduce(|a, b| a.with(&b));
    let lost_ns = losses.as_ref().and_then(|losses| losses.near.sum.span_ns);
    let duplicates = sides().map(|side| side.duplicates).max().unwrap_or(0);
    if losses.is_none() && duplicates == 0 {
        return None;
    }
    let legs = flows.iter().flat_map(|flow| flow.legs());
    let first = flows.iter().map(|flow| flow.first_ns).min().unwrap_or(0);
    let last = flows.iter().map(|flow| flow.last_ns).max().unwrap_or(0);
    Some(Lossy {
        from,
        to,
        losses: losses.unwrap_or_else(|| Losses::at(&View::default())),
        packets: sides().map(|side| side.tcp.data_packets.into()).max().unwrap_or(0),
        acks_lost: 0,
        duplicates: duplicates.into(),
        ignored: false,
        tunnels: legs.map(|leg| leg.tunnel).filter(|tunnel| *tunnel != 0).collect(),
        span_ns: lost_ns.unwrap_or((first, last)),
    })
}

/// Pairs shown of a group.
const SHOWN: usize = 4;
/// What the filter of a pair mostly takes.
const FILTER_BYTES: usize = 96;

impl Group<'_> {
    /// A sum over all directions.
    pub(crate) fn sum(&self, count: impl Fn(&Lossy) -> u64) -> u64 {
        self.lossy.iter().map(|lossy| count(lossy)).sum()
    }

    /// A sum over what the places nearest to the senders saw.
    pub(crate) fn near(&self, count: fn(&Sum) -> u32) -> u64 {
        self.sum(|lossy| count(&lossy.losses.near.sum).into())
    }

    /// From the first to the last.
    pub(crate) fn span_ns(&self) -> (i64, i64) {
        let spans = self.lossy.iter().map(|lossy| lossy.span_ns);
        union(spans).unwrap_or_default()
    }

    /// Counts by pair of sender and receiver, most first.
    pub(crate) fn pairs(&self, count: impl Fn(&Lossy) -> u64) -> Vec<((Addr, Addr), u64)> {
        let pairs = by_pair(self.lossy.iter().copied(), count);
        let mut pairs: Vec<_> = pairs.into_iter().filter(|(_, count)| *count > 0).collect();
        pairs.sort_by_key(|(pair, count)| (std::cmp::Reverse(*count), *pair));
        pairs
    }

    /// The worst pairs in words.
    pub(crate) fn worst(pairs: &[((Addr, Addr), u64)]) -> String {
        let one = |((from, to), count): &((Addr, Addr), u64)| {
            let (from, to, count) = (*from, *to, *count);
            fmt::from_fn(move |f| write!(f, "{count} from {from} to {to}"))
        };
        some_of(pairs.iter().map(one), SHOWN)
    }

    /// What is known of the worst pairs, whose frames are cited.
    pub(crate) fn shown(&self, pairs: &[((Addr, Addr), u64)]) -> impl Iterator<Item = &Lossy> {
        let shown: Vec<(Addr, Addr)> = pairs.iter().take(SHOWN).map(|(pair, _)| *pair).collect();
        self.lossy.iter().copied().filter(move |lossy| shown.contains(&(lossy.from.addr, lossy.to.addr)))
    }

    /// Display filter of the worst pairs.
    pub(crate) fn filter(pairs: &[((Addr, Addr), u64)], world: &World<'_>) -> String {
        let mut shown: SmallVec<[(Addr, Addr); SHOWN]> =
            pairs.iter().take(SHOWN).map(|((a, b), _)| (*a.min(b), *a.max(b))).collect();
        shown.sort_unstable();
        shown.dedup();
        let mut filter = String::with_capacity(FILTER_BYTES * shown.len());
        for (a, b) in shown {
            filter.push_str(if filter.is_empty() { "(" } else { " || (" });
            world.add_host_filter(&mut filter, a);
            filter.push_str(" && ");
            world.add_host_filter(&mut filter, b);
            filter.push_str(" && tcp)");
        }
        filter
    }
}

/// What was seen of a connection, place by place.
pub(crate) type Seen<'a> = SmallVec<[&'a Flow; 2]>;

/// All TCP connections that were kept: as the originator knows itself, as the responder knows itself, and what was seen.
pub(crate) fn connections<'a>(world: &World<'a>) -> impl Iterator<Item = (Endpoint, Endpoint, Seen<'a>)> {
    connections_where(|_| true, world)
}

/// Those of them that show a sign.
pub(crate) fn connections_with<'a>(
    sign: Signs,
    world: &World<'a>,
) -> impl Iterator<Item = (Endpoint, Endpoint, Seen<'a>)> {
    connections_where(move |connection| connection.signs.has(sign), world)
}

fn connections_where<'a>(
    wanted: impl Fn(&Connection) -> bool,
    world: &World<'a>,
) -> impl Iterator<Item = (Endpoint, Endpoint, Seen<'a>)> {
    let kept = &world.facts.servers.kept;
    let tcp = kept.connections().iter().filter(move |connection| connection.proto == TCP && wanted(connection));
    tcp.map(|connection| (connection.front().orig, connection.back().resp, connection.flows(kept).collect()))
}

/// Whether there is a finding of one of these codes about an address.
pub(crate) fn has_finding(world: &World<'_>, codes: &[&str], address: Addr) -> bool {
    let address = LazyCell::new(|| address.to_string());
    world.found(codes).any(|finding| finding.subjects.iter().any(|subject| is_of(&subject.address, &address)))
}

/// Whether what a finding names is the address, or a port of it; that of an IPv6 address is behind a bracket.
fn is_of(named: &str, address: &str) -> bool {
    let (named, end) = named.strip_prefix('[').map_or((named, ':'), |named| (named, ']'));
    named.strip_prefix(address).is_some_and(|rest| rest.is_empty() || rest.starts_with(end))
}
