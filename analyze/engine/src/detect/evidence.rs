//! Citing frames.

use super::services::{Failing, Service};
use super::world::World;
use crate::Addr;
use crate::finding::{Evidence, Finding, Role, RuledOut, Subject, plural};
use crate::time::rfc3339;
use crate::track::{Endpoint, FrameId};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// Frames cited of one file.
const FRAMES: usize = 8;

impl Finding {
    /// Cites frames, by file, and the filter that shows all of them.
    pub(crate) fn cite(&mut self, world: &World<'_>, frames: impl IntoIterator<Item = FrameId>, filter: &str) {
        let mut files: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
        for frame in frames {
            files.entry(frame.capture()).or_default().push(frame.frame());
        }
        for (capture, mut frames) in files {
            frames.sort_unstable();
            frames.dedup();
            frames.truncate(FRAMES);
            self.evidence.push(Evidence {
                file: world.capture_name(capture).to_owned(),
                frames,
                filter: filter.to_owned(),
            });
        }
    }

    /// Says from when to when, nanoseconds since the epoch.
    pub(crate) fn span(&mut self, first_ns: i64, last_ns: i64) {
        self.first = rfc3339(first_ns);
        self.last = rfc3339(last_ns);
    }

    /// Names somebody it is about.
    pub(crate) fn about(&mut self, role: Role, address: &impl ToString) {
        self.subjects.push(Subject { role, address: address.to_string(), name: None });
    }

    /// Whether it is about an address, or an address and port.
    pub(crate) fn names(&self, address: &impl ToString) -> bool {
        let address = address.to_string();
        self.subjects.iter().any(|subject| subject.address == address)
    }

    /// Says whom failing attempts at a service are about, `hops` being who answered in its stead, and when they were.
    pub(super) fn concern(&mut self, service: &Service, failing: &Failing<'_>, hops: impl IntoIterator<Item = Addr>) {
        self.about(Role::Server, &service.server);
        for endpoint in &service.behind {
            self.about(Role::Endpoint, endpoint);
        }
        for hop in hops {
            self.about(Role::Hop, &hop);
        }
        for client in &failing.clients {
            self.about(Role::Client, client);
        }
        self.counts.insert("clients", failing.clients.len() as i64);
        let (first, last) = failing.span_ns();
        self.span(first, last);
    }

    /// Says which other explanation was excluded, and by what.
    pub(crate) fn rule_out(&mut self, code: &str, because: &str) {
        self.ruled_out.push(RuledOut { code: code.to_owned(), because: because.to_owned() });
    }
}

impl World<'_> {
    /// Display filter of what a host sends and gets, under the addresses that its connections had before and behind NAT.
    pub(crate) fn host_filter(&self, host: Addr) -> String {
        let mut filter = String::new();
        self.add_host_filter(&mut filter, host);
        filter
    }

    /// Adds that filter to another.
    pub(crate) fn add_host_filter(&self, filter: &mut String, host: Addr) {
        match self.facts.servers.kept.aliases(host) {
            Some(aliases) => filter.push_str(&any_of(aliases)),
            None => add_address(filter, host),
        }
    }
}

fn add_address(filter: &mut String, addr: Addr) {
    // Writing to a string does not fail.
    let _ = write!(filter, "{}.addr == {addr}", addr.family());
}

/// Display filter of what has one of these addresses.
pub(crate) fn any_of(addrs: &BTreeSet<Addr>) -> String {
    let mut filter = String::with_capacity(24 * addrs.len());
    for addr in addrs {
        if !filter.is_empty() {
            filter.push_str(" || ");
        }
        add_address(&mut filter, *addr);
    }
    if addrs.len() == 1 { filter } else { format!("({filter})") }
}

/// Display filter of what passes between anybody and a server, under all of its addresses: before DNAT and after.
pub(crate) fn server_filter(service: &Service) -> String {
    servers_filter(std::iter::once(&service.server).chain(&service.behind))
}

/// The same for any addresses.
pub(crate) fn servers_filter<'a>(servers: impl Iterator<Item = &'a Endpoint>) -> String {
    let mut filters: Vec<String> = servers.map(one_server).collect();
    filters.dedup();
    if filters.len() == 1 { filters.remove(0) } else { format!("({})", filters.join(") || (")) }
}

fn one_server(server: &Endpoint) -> String {
    let family = server.addr.family();
    format!("{family}.addr == {} && tcp.port == {}", server.addr, server.port)
}

/// "1 connection", "2 connections".
pub(crate) fn count_of(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {}", plural(noun)) }
}

/// A few of many: "a, b and 3 more".
pub(crate) fn some_of<T: ToString>(items: impl IntoIterator<Item = T>, most: usize) -> String {
    let mut items = items.into_iter();
    let shown = items.by_ref().take(most).map(|item| item.to_string()).collect::<Vec<_>>().join(", ");
    let more = items.count();
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}
