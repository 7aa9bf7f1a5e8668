//! Lookups by client: what several findings about them need.

use super::what_if::WhatIf;
use crate::Addr;
use crate::time::widen;
use crate::track::lookup::{ClientFacts, Kind, Lookup, NameAnswer, Search, Stack, Verdict, Walk};
use crate::track::{Few, FrameId};
use foldhash::fast::FixedState;
use std::collections::{BTreeSet, HashMap};

/// Clients whose lookups are counted.
const MAX_CLIENTS: usize = 16_384;
/// Names of one client that are counted on their own.
const MAX_NAMES_OF_CLIENT: usize = 512;
/// Names of all clients that are counted on their own.
const MAX_NAMES: usize = 65_536;
/// Servers of a client that are kept.
const MAX_SERVERS: usize = 8;
/// Names that existed and did not that are kept.
const MAX_FLIPPED: usize = 1024;
/// Answers kept of such a name.
const MAX_ANSWERS: usize = 512;

/// Lookups of one name by one client.
#[derive(Clone, Debug, Default)]
pub(crate) struct NameLookups {
    pub(crate) lookups: u64,
    pub(crate) queries: u64,
    pub(crate) wasted_queries: u64,
    pub(crate) wasted_ns: i64,
    /// Lookups that walked the search list in vain twice or more before something came of them.
    pub(crate) amplified: u64,
    /// Lookups in which a full name of the cluster was searched.
    pub(crate) doubled: u64,
    /// Lookups in which the name, and all that was tried for it, does not exist.
    pub(crate) missing: u64,
    /// Lookups that tell neither way, as they were cut.
    pub(crate) partial: u64,
    pub(crate) kind: Kind,
    pub(crate) span_ns: Option<(i64, i64)>,
    pub(crate) frames: Few<FrameId, 4>,
}

impl NameLookups {
    /// Whether the name does not exist, under no suffix and as it is: lookups that were seen in part show no more than
    /// those that were seen whole.
    pub(crate) fn is_nowhere(&self) -> bool {
        self.missing > 0 && self.missing + self.partial == self.lookups
    }

    fn add(&mut self, lookup: &Lookup<'_>) {
        self.lookups += 1;
        self.queries += u64::from(lookup.queries);
        self.wasted_queries += u64::from(lookup.wasted_queries);
        self.wasted_ns += if lookup.wasted_queries > 0 { lookup.wasted_ns } else { 0 };
        self.amplified += u64::from(is_amplified(lookup));
        self.doubled += u64::from(lookup.doubled && lookup.wasted_queries > 0);
        self.missing += u64::from(lookup.is_missing);
        self.partial += u64::from(!lookup.complete);
        self.kind = lookup.kind;
        widen(&mut self.span_ns, lookup.first_ns, lookup.end_ns);
        lookup.frames.iter().for_each(|frame| self.frames.push(*frame));
    }
}

/// Whether the search list was walked in vain twice or more, for a name that is not missing altogether.
fn is_amplified(lookup: &Lookup<'_>) -> bool {
    lookup.absent_proven >= 2 && lookup.walk != Walk::Single && !lookup.is_missing
}

/// Lookups of one client.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClientLookups {
    pub(crate) client: Addr,
    pub(crate) servers: BTreeSet<Addr>,
    last_asked: (Addr, Option<Addr>),
    pub(crate) lookups: u64,
    /// Lookups that were seen whole, or far enough to tell that they were amplified.
    pub(crate) judged: u64,
    pub(crate) partial: u64,
    pub(crate) amplified: u64,
    pub(crate) doubled: u64,
    pub(crate) missing: u64,
    pub(crate) queries: u64,
    pub(crate) resent: u64,
    pub(crate) wasted_queries: u64,
    pub(crate) wasted_ns: i64,
    pub(crate) autopath: u64,
    stacks: [u64; Stack::ALL.len()],
    /// `ndots` is at least this: a name with one dot less was searched first.
    pub(crate) least_ndots: u32,
    /// `ndots` is at most this: a name with so many dots was tried as it is first.
    pub(crate) most_ndots: Option<u32>,
    pub(crate) names: HashMap<Box<str>, NameLookups, FixedState>,
    pub(crate) names_left_out: u64,
    pub(crate) what_if: WhatIf,
    pub(crate) search: Search,
    /// Queries repeated while the answer was still good, and answered queries.
    pub(crate) repeats: u64,
    pub(crate) answered: u64,
    pub(crate) span_ns: Option<(i64, i64)>,
    /// Time, frame and capture point of its first query.
    pub(crate) first: Option<(i64, FrameId, u16)>,
    pub(crate) frames: Few<FrameId, 8>,
}

impl ClientLookups {
    fn add(&mut self, lookup: &Lookup<'_>) {
        let amplified = is_amplified(lookup);
        self.lookups += 1;
        self.judged += u64::from(lookup.complete || amplified);
        self.partial += u64::from(!lookup.complete);
        self.amplified += u64::from(amplified);
        self.doubled += u64::from(amplified && lookup.doubled);
        self.missing += u64::from(lookup.is_missing);
        self.autopath += u64::from(lookup.autopath);
        self.queries += u64::from(lookup.queries);
        self.resent += u64::from(lookup.resent);
        self.wasted_queries += u64::from(lookup.wasted_queries);
        self.wasted_ns += if amplified { lookup.wasted_ns } else { 0 };
        self.stacks[lookup.stack as usize] += 1;
        let frame = lookup.frames.as_slice().first().copied().unwrap_or_default();
        let first = (lookup.first_ns, frame, lookup.point);
        self.first = Some(self.first.map_or(first, |known| known.min(first)));
        self.bound_ndots(lookup);
        self.what_if.add(lookup);
        widen(&mut self.span_ns, lookup.first_ns, lookup.end_ns);
        if amplified {
            lookup.frames.iter().for_each(|frame| self.frames.push(*frame));
        }
        if (lookup.server, lookup.backend) != self.last_asked {
            self.last_asked = (lookup.server, lookup.backend);
            for server in std::iter::once(lookup.server).chain(lookup.backend) {
                if self.servers.len() < MAX_SERVERS {
                    self.servers.insert(server);
                }
            }
        }
    }

    fn bound_ndots(&mut self, lookup: &Lookup<'_>) {
        match lookup.walk {
            Walk::SuffixesFirst => self.least_ndots = self.least_ndots.max(lookup.dots + 1),
            Walk::NameFirst if lookup.dots > 0 => {
                self.most_ndots = Some(self.most_ndots.map_or(lookup.dots, |most| most.min(lookup.dots)));
            }
            Walk::NameFirst | Walk::Single => {}
        }
    }

    /// The resolver of most lookups.
    pub(crate) fn stack(&self) -> Stack {
        let counts = Stack::ALL.into_iter().map(|stack| (stack, self.stacks[stack as usize]));
        let known = counts.filter(|(stack, count)| *stack != Stack::Unknown && *count > 0);
        known.max_by_key(|(_, count)| *count).map(|(stack, _)| stack).unwrap_or_default()
    }

    /// What is counted by name, in order of the names.
    pub(crate) fn by_name(&self) -> Vec<(&str, &NameLookups)> {
        let mut names: Vec<_> = self.names.iter().map(|(name, counts)| (&**name, counts)).collect();
        names.sort_unstable_by_key(|(name, _)| *name);
        names
    }

    /// `ndots` as far as it is known: "5 or more", "from 2 to 3".
    pub(crate) fn ndots(&self) -> String {
        match (self.least_ndots, self.most_ndots) {
            (0, None) => "unknown".to_owned(),
            (0, Some(most)) => format!("{most} or less"),
            (least, Some(most)) if least == most => least.to_string(),
            (least, Some(most)) if least < most => format!("from {least} to {most}"),
            (least, _) => format!("{least} or more"),
        }
    }

    /// Whether it asks on behalf of others.
    pub(crate) fn is_forwarder(&self) -> bool {
        self.stack() == Stack::Forwarder
    }
}

/// A name that exists by some answers and does not by others.
#[derive(Clone, Debug)]
pub(crate) struct FlippedName {
    pub(crate) name: String,
    pub(crate) answers: Vec<NameAnswer>,
}

/// Lookups of all clients.
#[derive(Default)]
pub(crate) struct LookupFacts {
    clients: HashMap<Addr, ClientLookups, FixedState>,
    names: usize,
    pub(crate) flipped: Vec<FlippedName>,
    /// Lookups of clients beyond the cap, and names beyond theirs.
    pub(crate) left_out: u64,
}

impl LookupFacts {
    /// Counts a lookup.
    pub(crate) fn add(&mut self, lookup: &Lookup<'_>) {
        if self.clients.len() >= MAX_CLIENTS && !self.clients.contains_key(&lookup.client) {
            self.left_out += 1;
            return;
        }
        let client = self.clients.entry(lookup.client).or_default();
        client.client = lookup.client;
        client.add(lookup);
        let room = client.names.len() < MAX_NAMES_OF_CLIENT && self.names < MAX_NAMES;
        if let Some(name) = client.names.get_mut(lookup.stem) {
            name.add(lookup);
        } else if room {
            self.names += 1;
            client.names.entry(lookup.stem.into()).or_default().add(lookup);
        } else {
            client.names_left_out += 1;
        }
    }

    /// Takes note of what a client turned out to be.
    pub(crate) fn client(&mut self, addr: Addr, facts: &ClientFacts) {
        let Some(client) = self.clients.get_mut(&addr) else { return };
        client.search = facts.search.clone();
        client.repeats += facts.repeats;
        client.answered += facts.answered;
        if let Some(ndots) = facts.ndots {
            (client.least_ndots, client.most_ndots) = (ndots, Some(ndots));
        }
    }

    /// Takes note of a name that existed and did not.
    pub(crate) fn name(&mut self, name: &str, answers: &[NameAnswer]) {
        if self.flipped.len() >= MAX_FLIPPED {
            self.left_out += 1;
            return;
        }
        let answers = answers.iter().take(MAX_ANSWERS).copied().collect();
        self.flipped.push(FlippedName { name: name.to_owned(), answers });
    }

    /// Clients that ask for themselves, by address.
    pub(crate) fn clients(&self) -> Vec<&ClientLookups> {
        let mut clients: Vec<_> = self.clients.values().filter(|client| !client.is_forwarder()).collect();
        clients.sort_by_key(|client| client.client);
        clients
    }

    /// Of these clients those that share a server, directly or through others: what is said of one group does not
    /// change with what other groups do.
    pub(crate) fn groups<'a>(clients: &[&'a ClientLookups]) -> Vec<Vec<&'a ClientLookups>> {
        let mut groups: Vec<(BTreeSet<Addr>, Vec<&ClientLookups>)> = Vec::new();
        for client in clients {
            let touches = |(_, group): &(usize, &(BTreeSet<Addr>, _))| !group.0.is_disjoint(&client.servers);
            let mine: Vec<usize> = groups.iter().enumerate().filter(touches).map(|(at, _)| at).collect();
            let Some((first, more)) = mine.split_first() else {
                groups.push((client.servers.clone(), vec![client]));
                continue;
            };
            for at in more.iter().rev() {
                let (servers, members) = groups.swap_remove(*at);
                groups[*first].0.extend(servers);
                groups[*first].1.extend(members);
            }
            groups[*first].0.extend(&client.servers);
            groups[*first].1.push(client);
        }
        groups.into_iter().map(|(_, members)| members).collect()
    }

    /// Names beyond the cap.
    pub(crate) fn names_left_out(&self) -> u64 {
        self.clients.values().map(|client| client.names_left_out).sum()
    }
}

/// Whether an answer says that the name exists.
pub(crate) fn exists(answer: &NameAnswer) -> bool {
    answer.verdict == Verdict::Found
}
