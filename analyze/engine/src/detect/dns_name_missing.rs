use super::About;
use super::evidence::{count_of, some_of};
use super::lookups::{ClientLookups, LookupFacts, NameLookups};
use super::search_amplification::{concern, filter, inferred};
use super::world::World;
use crate::finding::{Finding, Severity};
use crate::track::FrameId;
use crate::track::lookup::Kind;
use std::collections::{BTreeMap, BTreeSet};

pub(super) const ABOUT: About = About {
    code: "DNS018",
    slug: "dns-name-missing",
    title: "a name does not exist, under no suffix and as it is",
    severity: Severity::Warning,
    what: "Every lookup of a name ends with NXDOMAIN for all that the resolver tried, the name itself included.",
    why: "What asks for it does not work. The DNS does: it says that there is no such name.",
    how: "Lookups, put together from queries, in which all candidates are answered NXDOMAIN, the name as it is among \
          them; three or more of one name, and none in which something came of it.",
    false_positives: "A name that exists later, or by another answer, is DNS011. Names that begin with an underscore are \
                      asked to find out whether a service is announced, those that begin with an address backwards \
                      whether a list has it, and reverse lookups often have no name: all are left out.",
    fix: "Correct the name, or create the service it names.",
    filter: "dns.flags.rcode == 3",
    judge: find,
};

/// Lookups that make it more than a try.
const LEAST_LOOKUPS: u64 = 3;

/// A name and what its lookups in a group came to.
#[derive(Default)]
struct Missing {
    lookups: u64,
    absent: u64,
    partial: u64,
    queries: u64,
    kind: Kind,
    clients: BTreeSet<crate::Addr>,
    frames: Vec<FrameId>,
}

impl Missing {
    fn add(&mut self, client: &ClientLookups, counts: &NameLookups) {
        self.lookups += counts.lookups;
        self.absent += counts.missing;
        self.partial += counts.partial;
        self.queries += counts.queries;
        self.kind = counts.kind;
        self.clients.insert(client.client);
        self.frames.extend(counts.frames.iter().copied());
    }

    fn is_missing(&self) -> bool {
        self.absent >= LEAST_LOOKUPS && self.absent + self.partial == self.lookups
    }
}

fn find(world: &World<'_>) -> Vec<Finding> {
    let clients = world.facts.lookups.clients();
    LookupFacts::groups(&clients).iter().filter_map(|group| judge(group, world)).collect()
}

/// Names that are missing for all clients of the group.
fn missing<'a>(group: &[&'a ClientLookups], world: &World<'_>) -> BTreeMap<&'a str, Missing> {
    let flipped: BTreeSet<&str> = world.facts.lookups.flipped.iter().map(|flipped| flipped.name.as_str()).collect();
    let mut names: BTreeMap<&str, Missing> = BTreeMap::new();
    let all = || group.iter().flat_map(|client| client.names.iter().map(move |(name, counts)| (*client, name, counts)));
    for (_, name, _) in all().filter(|(.., counts)| counts.missing > 0) {
        names.entry(name).or_default();
    }
    if names.is_empty() {
        return names;
    }
    for (client, name, counts) in all() {
        if let Some(missing) = names.get_mut(&**name) {
            missing.add(client, counts);
        }
    }
    // Where longer names are cut off, it may be one of these that exists.
    let is_read = |counts: &Missing| counts.clients.is_disjoint(&world.facts.dns.cut);
    names.retain(|name, counts| counts.is_missing() && is_read(counts) && !is_probe(name) && !flipped.contains(name));
    names
}

/// Whether a name is asked for to learn if it is there: whether a service is announced, or an address is in a list of
/// blocked ones, which is asked for as the four numbers backwards (RFC 5782).
fn is_probe(name: &str) -> bool {
    let numbers = name.split('.').take_while(|label| label.parse::<u8>().is_ok()).count();
    name.starts_with('_') || numbers >= 4
}

fn judge(group: &[&ClientLookups], world: &World<'_>) -> Option<Finding> {
    let names = missing(group, world);
    let (name, _) = names.iter().max_by_key(|(_, counts)| counts.absent)?;
    let concerned: BTreeSet<crate::Addr> = names.values().flat_map(|counts| counts.clients.iter().copied()).collect();
    let clients: Vec<_> = group.iter().copied().filter(|client| concerned.contains(&client.client)).collect();
    let sum = |of: fn(&Missing) -> u64| names.values().map(of).sum::<u64>();
    let (lookups, queries) = (sum(|n| n.absent), sum(|n| n.queries));
    let more = if names.len() > 1 { format!(" and {} more names do", names.len() - 1) } else { " does".to_owned() };
    let mut finding = Finding::of(&ABOUT, format!("{name}{more} not exist ({})", count_of(lookups, "lookup")));
    finding.confidence = 0.9;
    concern(&mut finding, &clients);
    for (name, count) in [("lookups", lookups), ("queries", queries), ("names", names.len() as u64)] {
        finding.counts.insert(name, count as i64);
    }
    finding.cite(world, names.values().flat_map(|counts| counts.frames.iter().copied()), &filter(&clients));
    finding.explanation = explain(&names, &clients);
    finding.rule_out("DNS006", "the server answers NXDOMAIN, which is an answer and no failure");
    finding.rule_out("DNS001", "the names are not found in the end, so what is tried before is not what is wrong");
    finding.rule_out("DNS011", "no answer says that one of the names exists");
    advise(&mut finding, &names);
    Some(finding)
}

fn explain(names: &BTreeMap<&str, Missing>, clients: &[&ClientLookups]) -> String {
    let one = |(name, counts): (&&str, &Missing)| format!("{name} ({})", count_of(counts.absent, "lookup"));
    format!(
        "{}: every lookup ended with NXDOMAIN, for the name as it is and for all that was tried with it, and none found \
         anything. The DNS works and says that there is no such name: a typo, a service that was never created or is \
         in another namespace, or a name of a private zone that this DNS does not know. {}",
        some_of(names.iter().map(one), 5),
        inferred(clients),
    )
}

fn advise(finding: &mut Finding, names: &BTreeMap<&str, Missing>) {
    let in_cluster = |kind: Kind| !matches!(kind, Kind::External);
    let Some((name, _)) = names.iter().find(|(_, counts)| in_cluster(counts.kind)) else { return };
    let service = name.split('.').next().unwrap_or_default();
    finding.fix.commands = vec![format!("kubectl get services -A | grep -i -- '{}'", shell_safe(service))];
}

/// What of a name is sure to be no more than a name in a shell.
fn shell_safe(name: &str) -> String {
    name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect()
}
