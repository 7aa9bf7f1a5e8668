//! Listings of the kernel's connection tracking, as ground truth for translations: `conntrack -L`, `-E`, `-S` in all their
//! forms, `/proc/net/nf_conntrack` and `/proc/net/stat/nf_conntrack`.
//!
//! A line of an entry is a number of words and `key=value` pairs; the second `src=` begins the reply's tuple. Whatever
//! else a version or option prints (`[OFFLOAD]`, `labels=`, `zone=`) is passed over.

use crate::Addr;
use crate::track::Endpoint;
use nom::branch::alt;
use nom::bytes::complete::{tag, take_till1, take_until};
use nom::character::complete::{space0, space1};
use nom::combinator::rest;
use nom::multi::separated_list0;
use nom::sequence::{delimited, preceded, separated_pair};
use nom::{IResult, Parser};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// What a listing says.
#[derive(Clone, Debug, Default)]
pub struct Conntrack {
    /// Connections; of one that is listed again, as events list it, the last.
    entries: BTreeMap<(u8, Endpoint, Endpoint), Entry>,
    /// Counters by name, all processors together: the growth between the first and the last listing of them, or the only
    /// one's values.
    stats: BTreeMap<String, Growth>,
    /// Lines that are neither.
    pub left_out: u64,
}

/// A tracked connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    /// IP protocol.
    pub(crate) proto: u8,
    /// Source and destination before translation.
    pub(crate) orig: (Endpoint, Endpoint),
    /// Source and destination of replies, behind the translation.
    pub(crate) reply: (Endpoint, Endpoint),
    /// Nothing came back.
    pub(crate) unreplied: bool,
    /// When it was last told about, nanoseconds since the epoch, where the listing says.
    pub(crate) ns: Option<i64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Growth {
    first: u64,
    last: u64,
    listings: u32,
}

/// A word of a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Word<'a> {
    Pair(&'a str, &'a str),
    Flag(&'a str),
    Bare(&'a str),
}

/// Entries kept of all listings.
const MAX_ENTRIES: usize = 1 << 20;

impl Conntrack {
    /// Reads a listing into this one. It never fails: lines that are none are counted.
    pub fn read(&mut self, text: &str) {
        let mut header: Option<Vec<&str>> = None;
        let mut counted: BTreeMap<String, u64> = BTreeMap::new();
        let mut processors = 0_u32;
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            if let Some(entry) = entry(line) {
                self.insert(entry);
            } else if line.starts_with("entries ") {
                header = Some(line.split_whitespace().collect());
            } else if let Some(counts) = counters(line, header.as_deref()) {
                // The first processor again: another listing begins.
                let again = line.starts_with("cpu=0 ") || line.starts_with("cpu=0\t");
                if again && processors > 0 {
                    self.take_stats(std::mem::take(&mut counted));
                }
                processors += 1;
                for (name, value) in counts {
                    let sum = counted.entry(name).or_default();
                    *sum = sum.saturating_add(value);
                }
            } else if !line.starts_with("conntrack v") {
                self.left_out += 1;
            }
        }
        self.take_stats(counted);
    }

    fn take_stats(&mut self, counted: BTreeMap<String, u64>) {
        for (name, value) in counted {
            let growth = self.stats.entry(name).or_insert(Growth { first: value, ..Growth::default() });
            growth.last = value;
            growth.listings += 1;
        }
    }

    /// Takes how much counters grew.
    pub(crate) fn grew(&mut self, growth: BTreeMap<String, u64>) {
        for (name, by) in growth {
            let known = self.stats.entry(name).or_default();
            known.last = known.last.saturating_add(by);
            known.listings += 2;
        }
    }

    /// Takes an entry; a later one of the same connection counts.
    pub(crate) fn insert(&mut self, entry: Entry) {
        let key = (entry.proto, entry.orig.0, entry.orig.1);
        if self.entries.len() >= MAX_ENTRIES && !self.entries.contains_key(&key) {
            self.left_out += 1;
            return;
        }
        self.entries.insert(key, entry);
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.stats.is_empty()
    }

    /// The entry of a connection before translation.
    pub(crate) fn get(&self, proto: u8, orig: Endpoint, resp: Endpoint) -> Option<&Entry> {
        self.entries.get(&(proto, orig, resp))
    }

    /// How much a counter grew, or what it was.
    pub(crate) fn stat(&self, name: &str) -> Option<u64> {
        let growth = self.stats.get(name)?;
        Some(if growth.listings > 1 { growth.last.saturating_sub(growth.first) } else { growth.last })
    }
}

impl Entry {
    /// Source and destination behind the translation, from the originator's side.
    pub(crate) fn translated(&self) -> (Endpoint, Endpoint) {
        (self.reply.1, self.reply.0)
    }
}

fn flag(input: &str) -> IResult<&str, Word<'_>> {
    let inside = delimited(tag("["), take_until("]"), tag("]"));
    inside.map(|text: &str| Word::Flag(text.trim())).parse(input)
}

fn pair(input: &str) -> IResult<&str, Word<'_>> {
    let key = take_till1(|c: char| c == '=' || c.is_whitespace());
    let value = take_till1(char::is_whitespace);
    separated_pair(key, tag("="), value).map(|(key, value)| Word::Pair(key, value)).parse(input)
}

fn bare(input: &str) -> IResult<&str, Word<'_>> {
    take_till1(char::is_whitespace).map(Word::Bare).parse(input)
}

fn words(line: &str) -> IResult<&str, Vec<Word<'_>>> {
    preceded(space0, separated_list0(space1, alt((flag, pair, bare)))).parse(line)
}

/// A line of `conntrack -L`, `-E`, `-o extended`, or `/proc/net/nf_conntrack`.
fn entry(line: &str) -> Option<Entry> {
    let (_, words) = words(line).ok()?;
    let mut tuples: Vec<BTreeMap<&str, &str>> = Vec::new();
    for word in &words {
        match word {
            Word::Pair("src", value) => tuples.push(BTreeMap::from([("src", *value)])),
            Word::Pair(key, value) => {
                if let Some(tuple) = tuples.last_mut() {
                    tuple.entry(key).or_insert(value);
                }
            }
            Word::Flag(_) | Word::Bare(_) => {}
        }
    }
    let [orig, reply, ..] = tuples.as_slice() else { return None };
    let unreplied = words.contains(&Word::Flag("UNREPLIED"));
    Some(Entry { proto: protocol(&words)?, orig: ends(orig)?, reply: ends(reply)?, unreplied, ns: time_ns(&words) })
}

/// The number behind the protocol's name; `unknown 2` has it as well.
fn protocol(words: &[Word<'_>]) -> Option<u8> {
    let layers = ["ipv4", "ipv6"];
    let mut bare = words.iter().filter_map(|word| match word {
        Word::Bare(text) => Some(*text),
        _ => None,
    });
    let mut name = bare.next()?;
    if layers.contains(&name) {
        bare.next()?;
        name = bare.next()?;
    }
    let known = match name {
        "icmp" => Some(1),
        "tcp" => Some(6),
        "udp" => Some(17),
        "icmpv6" => Some(58),
        "sctp" => Some(132),
        _ => None,
    };
    known.or_else(|| bare.next()?.parse().ok())
}

/// `[1795197567.121700]`, as `-o timestamp` has it.
fn time_ns(words: &[Word<'_>]) -> Option<i64> {
    let Some(Word::Flag(text)) = words.first() else { return None };
    let (seconds, fraction) = text.split_once('.')?;
    let digits = format!("{fraction:0<9}");
    seconds.parse::<i64>().ok()?.checked_mul(1_000_000_000)?.checked_add(digits.get(..9)?.parse().ok()?)
}

/// Ends of a tuple; pings have an identifier instead of ports.
fn ends(tuple: &BTreeMap<&str, &str>) -> Option<(Endpoint, Endpoint)> {
    let addr = |key: &str| tuple.get(key)?.parse::<IpAddr>().ok().map(Addr::from);
    let port = |key: &str| tuple.get(key).or_else(|| tuple.get("id")).and_then(|port| port.parse().ok()).unwrap_or(0);
    Some((Endpoint { addr: addr("src")?, port: port("sport") }, Endpoint { addr: addr("dst")?, port: port("dport") }))
}

/// A line of `conntrack -S` (decimal, by name), or of `/proc/net/stat/nf_conntrack` (hexadecimal, named by the header).
fn counters(line: &str, header: Option<&[&str]>) -> Option<Vec<(String, u64)>> {
    if let Some(header) = header {
        let values: Vec<u64> =
            line.split_whitespace().map(|word| u64::from_str_radix(word, 16)).collect::<Result<_, _>>().ok()?;
        let named = header.iter().zip(values).map(|(name, value)| ((*name).to_owned(), value));
        return Some(named.collect());
    }
    let (_, (_, _, text)) =
        (tag::<_, _, nom::error::Error<&str>>("cpu="), take_till1(char::is_whitespace), rest).parse(line).ok()?;
    let counter = |word: &str| {
        let (name, value) = word.split_once('=')?;
        Some((name.to_owned(), value.parse().ok()?))
    };
    Some(text.split_whitespace().filter_map(counter).collect())
}

#[cfg(test)]
mod tests;
