//! What a capture says of the network it was taken in: the notes that kcap writes beside the packets.
//!
//! Notes come from a file as everything does, so they are hostile too: what is not of the schema is no note, and what
//! is kept of them is bounded by what is kept of a file.

use crate::Addr;
use crate::conntrack::{Conntrack, Entry};
use crate::track::Endpoint;
use crate::track::lookup::{Resolver, Search};
use kcap_file::CaptureInfo;
use kcap_file::note::{CaptureNote, ConntrackNote, ConntrackStats, Context, Note, Tuple};
use std::collections::BTreeMap;

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
    for (enterprise, data) in &info.custom_blocks {
        match Note::decode(*enterprise, data) {
            Some(Note::Capture(note)) => head = note,
            Some(Note::Context(context)) => contexts.push((head.clone(), *context)),
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
