//! What an application asked for: one lookup, told from the chain of candidates the resolver made of it.

use super::candidate::Candidate;
use super::chain::{Chain, Reading};
use super::query::Verdict;
use super::search::{BARE, Search, cluster_domain};
use super::stack::{Stack, Votes};
use super::texts::Texts;
use crate::Addr;
use crate::track::{Few, FrameId};

/// Frames of a lookup that are kept, one of each candidate.
const FRAMES: usize = 4;

/// What kind of name an application asked for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Kind {
    /// A service of the same namespace: `api`.
    Service,
    /// A service with its namespace: `api.shop`.
    ServiceNamespace,
    /// As before, with `svc`: `api.shop.svc`.
    ServiceSvc,
    /// A full name of the cluster.
    ClusterName,
    /// A name with dots of the world outside.
    #[default]
    External,
    /// A name without dots that is no service.
    BareHost,
}

impl Kind {
    /// Name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Service => "svc",
            Self::ServiceNamespace => "svc.ns",
            Self::ServiceSvc => "svc.ns.svc",
            Self::ClusterName => "cluster_name",
            Self::External => "external",
            Self::BareHost => "bare_host",
        }
    }
}

/// In which order the name as it is and the suffixes were tried.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Walk {
    /// No suffix was seen: an absolute name, a resolver that does not search, or the first suffix hit.
    #[default]
    Single,
    /// Suffixes first: the name has fewer dots than `ndots`.
    SuffixesFirst,
    /// The name as it is first: it has at least `ndots` dots.
    NameFirst,
}

impl Walk {
    /// Name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::SuffixesFirst => "suffixes_first",
            Self::NameFirst => "name_first",
        }
    }
}

/// One name an application asked for.
#[derive(Clone, Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "they are independent of each other")]
pub struct Lookup<'a> {
    /// Unit of the inputs that saw its first question.
    pub unit: u32,
    /// Who asks.
    pub client: Addr,
    /// Who was asked.
    pub server: Addr,
    /// Who was asked behind DNAT, where that was seen.
    pub backend: Option<Addr>,
    /// What the application asked for, as far as can be told.
    pub stem: &'a str,
    /// Dots in it.
    pub dots: u32,
    /// Kind of name.
    pub kind: Kind,
    /// Order of the walk.
    pub walk: Walk,
    /// Names tried, as seen.
    pub candidates: u32,
    /// Names tried that do not exist or have no address, as seen.
    pub absent: u32,
    /// Such names that must have been tried, counting those that were not seen.
    pub absent_proven: u32,
    /// Queries, resends included.
    pub queries: u32,
    /// Resends among them.
    pub resent: u32,
    /// Queries for names tried before the last one.
    pub wasted_queries: u32,
    /// Types asked for the last name.
    pub types: u32,
    /// The name that was tried last.
    pub last_name: &'a str,
    /// Suffix of that name; `None` is none.
    pub suffix: Option<&'a str>,
    /// Place of that suffix in the search list, from 0.
    pub suffix_place: Option<u32>,
    /// How many suffixes the search list has.
    pub suffix_count: u32,
    /// What came of the last name.
    pub verdict: Verdict,
    /// Whether all names tried do not exist, the stem itself among them.
    pub is_missing: bool,
    /// Whether begin and end were seen.
    pub complete: bool,
    /// Whether the server walked the search list itself.
    pub autopath: bool,
    /// Whether a full name of the cluster was searched.
    pub doubled: bool,
    /// Resolver.
    pub stack: Stack,
    /// How sure that is, 0 to 1.
    pub stack_confidence: f64,
    /// First question, nanoseconds since the epoch.
    pub first_ns: i64,
    /// Last answer, or last question where none came.
    pub end_ns: i64,
    /// First question to the question that was answered last.
    pub wasted_ns: i64,
    /// Capture point of the first question.
    pub point: u16,
    /// Frames of the candidates, the first few.
    pub frames: Few<FrameId, FRAMES>,
}

/// What of the client decides about one of its lookups.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) texts: &'a Texts,
    pub(super) search: &'a Search,
    pub(super) candidates: &'a [Candidate],
    /// The resolver of most of the client's lookups.
    pub(super) usual: (Stack, f64),
    /// Whether candidates of this client went where this capture does not see them.
    pub(super) has_gaps: bool,
    /// When the capture ends.
    pub(super) until_ns: i64,
}

impl<'a> Context<'a> {
    fn members<'b>(&'b self, chain: &'b Chain) -> impl Iterator<Item = &'b Candidate> {
        chain.members.iter().filter_map(|at| self.candidates.get(*at as usize))
    }

    /// Tells the lookup.
    pub(super) fn tell(&self, chain: &Chain) -> Option<Lookup<'a>> {
        let (first, last) = (self.members(chain).next()?, self.members(chain).last()?);
        let name = self.texts.text(last.name);
        let alone = chain.members.as_slice().len() == 1;
        let reading = if alone { self.read_alone(name, last) } else { chain.last };
        let stem = name.get(..usize::from(reading.stem)).unwrap_or(name);
        let mut lookup = Lookup {
            unit: first.unit,
            point: first.point,
            stem,
            dots: stem.bytes().filter(|byte| *byte == b'.').count() as u32,
            last_name: name,
            suffix: self.search.suffix(reading.place),
            suffix_place: self.search.suffix(reading.place).map(|_| self.search.depth(reading.place)),
            types: last.type_count(),
            verdict: last.verdict(),
            first_ns: first.first_ns,
            wasted_ns: last.first_ns - first.first_ns,
            ..Lookup::default()
        };
        self.count(chain, reading.place, &mut lookup);
        (lookup.stack, lookup.stack_confidence) = self.stack(chain);
        lookup.walk = walk(chain, alone);
        lookup.suffix_count = self.suffix_count(chain, reading.place);
        lookup.absent_proven = self.proven(chain, &lookup);
        lookup.complete = self.is_complete(chain, reading.place, &lookup);
        lookup.is_missing = lookup.complete && reading.place == BARE && self.is_missing(chain);
        lookup.kind = self.kind(&lookup);
        lookup.doubled = lookup.kind == Kind::ClusterName && lookup.walk == Walk::SuffixesFirst;
        Some(lookup)
    }

    /// A name tried alone is a service where the first suffix of a list is on it and answered, and part of a walk where
    /// it has a suffix and does not exist, or where this capture misses candidates; else what it says. The next
    /// candidate comes from another port, so a service may send it to another server.
    fn read_alone(&self, name: &str, candidate: &Candidate) -> Reading {
        let (found, absent) = match candidate.verdict() {
            Verdict::Found => (true, false),
            verdict => (false, verdict == Verdict::NxDomain),
        };
        let under = |(place, suffix): (u8, &str)| {
            let stem = name.strip_suffix(suffix)?.strip_suffix('.')?.len() as u16;
            let begins = found && self.search.depth(place) == 0;
            (stem > 0 && (begins || absent || self.has_gaps)).then_some(Reading { stem, place })
        };
        let whole = Reading { stem: name.len() as u16, place: BARE };
        let all = self.search.suffixes().filter_map(under);
        all.min_by_key(|reading| self.search.depth(reading.place)).unwrap_or(whole)
    }

    fn count(&self, chain: &Chain, place: u8, lookup: &mut Lookup<'_>) {
        let most = chain.members.as_slice().len() - 1;
        for (at, candidate) in self.members(chain).enumerate() {
            let absent = candidate.verdict().is_absent();
            lookup.candidates += 1;
            lookup.absent += u32::from(absent);
            lookup.queries += candidate.queries;
            lookup.resent += candidate.resent;
            lookup.wasted_queries += if absent && (at < most || place != BARE) { candidate.queries } else { 0 };
            lookup.autopath |= candidate.autopath;
            lookup.end_ns = lookup.end_ns.max(candidate.end_ns);
            lookup.frames.push(candidate.frame);
        }
    }

    /// Its own pairs decide if they are as sure as those of all lookups of the client, or of another family.
    fn stack(&self, chain: &Chain) -> (Stack, f64) {
        let mut votes = Votes::default();
        self.members(chain).for_each(|candidate| votes.add(candidate));
        let (stack, sure) = votes.decide();
        let (usual, usually) = self.usual;
        if usual == Stack::Forwarder {
            return self.usual;
        }
        match stack {
            Stack::Unknown => (usual, usually / 2.0),
            Stack::Glibc | Stack::Musl if matches!(usual, Stack::Glibc | Stack::Musl) && sure < usually => self.usual,
            _ => (stack, sure),
        }
    }

    fn suffix_count(&self, chain: &Chain, place: u8) -> u32 {
        let through = chain.first.place.min(place);
        if through == BARE { 0 } else { self.search.length_through(through) }
    }

    /// Names that must have been tried in vain: where the walk has come to says so, if every step was for want of the
    /// name. Other failures make some resolvers skip suffixes.
    fn proven(&self, chain: &Chain, lookup: &Lookup<'_>) -> u32 {
        let walked = self.members(chain).filter(|candidate| candidate.verdict().is_absent()).count() as u32;
        let failed = lookup.candidates - u32::from(lookup.verdict == Verdict::Found);
        if !chain.is_searched_first() || walked != failed || lookup.candidates < 2 {
            return lookup.absent;
        }
        let before = match chain.last.place {
            BARE => lookup.suffix_count,
            place => self.search.depth(place),
        };
        (before + u32::from(lookup.verdict.is_absent())).max(lookup.absent)
    }

    /// Whether its first candidate is one that a walk begins with, and its last one that a walk ends with.
    fn is_complete(&self, chain: &Chain, place: u8, lookup: &Lookup<'_>) -> bool {
        let first = if lookup.candidates > 1 { chain.first.place } else { place };
        let begun = first == BARE || self.search.depth(first) == 0;
        begun && !chain.gap && self.has_ended(chain, place, lookup)
    }

    fn has_ended(&self, chain: &Chain, place: u8, lookup: &Lookup<'_>) -> bool {
        let name_first = lookup.candidates > 1 && !chain.is_searched_first();
        let exhausted = place == BARE || (name_first && self.search.is_last(place));
        let cut = chain.open_until().is_some_and(|until| until > self.until_ns);
        match lookup.verdict {
            Verdict::Found => true,
            Verdict::Open | Verdict::None => false,
            _ if exhausted && (lookup.candidates > 1 || !cut) => true,
            Verdict::NxDomain => false,
            _ => lookup.stack.stops_unless_nxdomain() || lookup.stack == Stack::Unknown,
        }
    }

    fn is_missing(&self, chain: &Chain) -> bool {
        self.members(chain).all(|candidate| candidate.verdict() == Verdict::NxDomain)
    }

    fn kind(&self, lookup: &Lookup<'_>) -> Kind {
        let domain = self.search.cluster_domain();
        let inside = |domain: &str| lookup.stem.strip_suffix(domain).is_some_and(|before| before.ends_with('.'));
        let by_suffix = lookup.suffix.is_some_and(|suffix| cluster_domain(suffix).is_some());
        match lookup.dots {
            _ if domain.map_or_else(|| is_default_cluster_name(lookup.stem), inside) => Kind::ClusterName,
            0 if by_suffix => Kind::Service,
            0 => Kind::BareHost,
            _ if is_under(lookup.stem, "svc") => Kind::ServiceSvc,
            1 if by_suffix && lookup.verdict == Verdict::Found => Kind::ServiceNamespace,
            _ => Kind::External,
        }
    }
}

/// Whether the last labels of a name are these.
fn is_under(name: &str, labels: &str) -> bool {
    name.strip_suffix(labels).is_some_and(|before| before.ends_with('.'))
}

/// Whether it is a service's name under the domain that clusters have unless told otherwise.
fn is_default_cluster_name(name: &str) -> bool {
    name.ends_with(".svc.cluster.local")
}

fn walk(chain: &Chain, alone: bool) -> Walk {
    match (alone, chain.is_searched_first()) {
        (true, _) => Walk::Single,
        (false, true) => Walk::SuffixesFirst,
        (false, false) => Walk::NameFirst,
    }
}
