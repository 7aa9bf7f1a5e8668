//! What a capture says of the network it was taken in: the notes that kcap writes beside the packets.
//!
//! Notes come from a file as everything does, so they are hostile too: what is not of the schema is no note, and what
//! is kept of them is bounded by what is kept of a file.

use crate::Addr;
use crate::conntrack::{Conntrack, Entry};
use crate::track::Endpoint;
use crate::track::lookup::{Resolver, Search};
use crate::track::points::Point;
use kcap_file::note::{CaptureNote, ConntrackNote, ConntrackStats, Context, LinkNote, Note, PlaceNote, Tuple};
use kcap_file::{CaptureInfo, Problem, ProblemKind};
use std::collections::{BTreeMap, BTreeSet};

/// What kcap's own captures would have seen, had it been there.
#[derive(Debug, Default)]
pub(crate) struct Vantage {
    /// Up to when units listened, be it to silence.
    pub(crate) until_ns: BTreeMap<u32, i64>,
    /// Units with both directions of whatever they have one of.
    pub(crate) both_ways: BTreeSet<u32>,
}

impl Vantage {
    /// Of captures, and the units that they are parts of.
    pub(crate) fn of(captures: &[CaptureInfo], points: &[Point]) -> Self {
        let mut vantage = Self::default();
        let mut one_way = BTreeSet::new();
        for (at, info) in (0u32..).zip(captures) {
            let Some(unit) = points.iter().find(|point| point.capture == at).map(|point| point.unit) else { continue };
            if let Some(until) = until_ns(info) {
                vantage.until_ns.entry(unit).and_modify(|ns| *ns = until.max(*ns)).or_insert(until);
            }
            let units = if has_both_ways(info) { &mut vantage.both_ways } else { &mut one_way };
            units.insert(unit);
        }
        vantage.both_ways.retain(|unit| !one_way.contains(unit));
        vantage
    }
}

/// Up to when a capture listened, where it says so and nothing was cut off since.
pub(crate) fn until_ns(info: &CaptureInfo) -> Option<i64> {
    let trailer = notes(info).filter_map(|note| if let Note::Trailer(trailer) = note { Some(trailer) } else { None });
    let trailer = trailer.last().filter(|trailer| trailer.packets == info.packets && info.problems.is_empty())?;
    trailer.ended_ns.filter(|ended| info.last_ns.is_none_or(|last| *ended >= last))
}

/// Notes where a capture of kcap's has no trailer, which is the last that it writes.
pub(crate) fn note_missing_end(info: &mut CaptureInfo) {
    let (mut begun, mut ended) = (false, false);
    for note in notes(info) {
        begun |= matches!(note, Note::Capture(_));
        ended |= matches!(note, Note::Trailer(_));
    }
    if begun && !ended && info.problems.is_empty() && info.metadata_left_out == 0 {
        info.problems.push(Problem {
            kind: ProblemKind::EndMissing,
            offset: info.file_bytes,
            after_frame: info.packets,
            skipped_bytes: 0,
        });
    }
}

/// Whether a capture is of all interfaces of places that are no routers, through a filter that knows no direction: the
/// options of kcap do not, expressions may.
fn has_both_ways(info: &CaptureInfo) -> bool {
    let heads: Vec<CaptureNote> =
        notes(info).filter_map(|note| if let Note::Capture(head) = note { Some(head) } else { None }).collect();
    let Some(head) = heads.last().filter(|head| !head.places.is_empty()) else { return false };
    let is_plain = head.filter.as_ref().is_none_or(|filter| !filter.contains("bpf \""));
    let is_captured = |link: &LinkNote| {
        let of_link = |name: &String| name == &link.name || name.ends_with(&format!("/{}", link.name));
        !link.up || info.interfaces.iter().any(|interface| interface.name.as_ref().is_some_and(of_link))
    };
    let contexts = || of_capture(info).into_iter().map(|(_, context)| context);
    let is_whole = |place: &PlaceNote| {
        !place.node && contexts().any(|of| of.place == place.name && of.links.iter().all(is_captured))
    };
    is_plain && head.places.iter().all(is_whole)
}

fn notes(info: &CaptureInfo) -> impl Iterator<Item = Note> {
    info.custom_blocks.iter().filter_map(|(enterprise, data)| Note::decode(*enterprise, data))
}

/// Suffixes taken of one resolv.conf: as many as Kubernetes lets a pod have.
const MAX_SUFFIXES: usize = 32;
/// `ndots` is at most this, in glibc and in musl.
const MAX_NDOTS: u32 = 15;

/// The contexts of all captures, oldest first, each with what the capture says of itself.
pub(crate) struct Told {
    contexts: Vec<(CaptureNote, Context)>,
}

impl Told {
    /// The notes of captures.
    pub(crate) fn of(captures: &[CaptureInfo]) -> Self {
        let mut contexts: Vec<_> = captures.iter().flat_map(of_capture).collect();
        contexts.sort_by_key(|(_, context)| context.ts_ns);
        Self { contexts }
    }

    /// Adds what was tracked to a listing.
    pub(crate) fn add_to(&self, conntrack: &mut Conntrack) {
        for (_, context) in &self.contexts {
            context
                .conntrack
                .iter()
                .filter_map(|entry| tracked(entry, context.ts_ns))
                .for_each(|e| conntrack.insert(e));
        }
        let mut of_node: BTreeMap<&str, Vec<ConntrackStats>> = BTreeMap::new();
        for (head, context) in &self.contexts {
            of_node.entry(&head.node).or_default().extend(context.conntrack_stats);
        }
        for stats in of_node.values() {
            // The values alone are those since the node started. That one did not grow is said of this node alone.
            if let [first, .., last] = stats.as_slice() {
                conntrack.grew(first.growth(last).map(|(name, by)| (name.to_owned(), by)).collect());
            }
        }
    }

    /// The resolvers of clients, by address. Of a node none is: what asks there asks for others, too.
    pub(crate) fn resolvers(&self) -> BTreeMap<Addr, Resolver> {
        let mut all = BTreeMap::new();
        for (head, context) in &self.contexts {
            let is_node = head.places.iter().any(|place| place.name == context.place && place.node);
            let Some(text) = context.resolv_conf.as_deref().filter(|_| !is_node) else { continue };
            let own = context.links.iter().flat_map(|link| &link.addresses).map(|(address, _)| *address);
            let resolver = resolver(text);
            for address in own.filter(|address| !address.is_loopback()) {
                all.entry(Addr::from(address)).or_insert_with(|| resolver.clone());
            }
        }
        all
    }
}

fn of_capture(info: &CaptureInfo) -> Vec<(CaptureNote, Context)> {
    let mut head = CaptureNote::default();
    let mut contexts = Vec::new();
    for note in notes(info) {
        match note {
            Note::Capture(note) => head = note,
            Note::Context(context) => contexts.push((head.clone(), *context)),
            _ => {}
        }
    }
    contexts
}

fn tracked(entry: &ConntrackNote, ns: i64) -> Option<Entry> {
    Some(Entry {
        proto: entry.protocol,
        orig: ends(&entry.original)?,
        reply: ends(&entry.reply)?,
        unreplied: !entry.is_replied(),
        ns: Some(ns),
    })
}

fn ends(tuple: &Tuple) -> Option<(Endpoint, Endpoint)> {
    let source = Endpoint { addr: tuple.source?.into(), port: tuple.source_port };
    Some((source, Endpoint { addr: tuple.destination?.into(), port: tuple.destination_port }))
}

/// The search list and `ndots` of a resolv.conf: of several `search` and `domain` lines the last counts, of several
/// `ndots` too (resolv.conf(5)).
fn resolver(text: &str) -> Resolver {
    let mut suffixes: Vec<String> = Vec::new();
    let mut ndots = 1;
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("search" | "domain") => suffixes = words.take(MAX_SUFFIXES).map(suffix).collect(),
            Some("options") => {
                let mut values = words.filter_map(|word| word.strip_prefix("ndots:")?.parse::<u32>().ok());
                ndots = values.next_back().unwrap_or(ndots).min(MAX_NDOTS);
            }
            _ => {}
        }
    }
    let suffixes: Vec<&str> = suffixes.iter().map(String::as_str).filter(|suffix| !suffix.is_empty()).collect();
    Resolver { search: Search::told(&suffixes), ndots }
}

/// As names in packets are compared: lower case, without the dot at the end.
fn suffix(word: &str) -> String {
    word.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests;
