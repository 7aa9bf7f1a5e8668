use super::About;
use super::evidence::{count_of, some_of};
use super::lookups::{ClientLookups, LookupFacts};
use super::search_amplification::{concern, filter};
use super::world::World;
use crate::finding::{Finding, Severity};

pub(super) const ABOUT: About = About {
    code: "DNS015",
    slug: "dns-cacheable-repeats",
    title: "the same question is asked again while its answer is still good",
    severity: Severity::Info,
    what: "A client asks for a name again before the TTL of the answer it already has is over: it has no cache.",
    why: "These queries cost time and load, and a cache on the node or in the program would answer them.",
    how: "Answered queries of a client whose name was answered before with records whose least TTL has not run out. Told \
          of clients with twenty or more of them, if they are half of what was answered.",
    false_positives: "Several containers of a pod, or pods behind one address, each have a cache of their own: the client \
                      is an address. Not having a cache is usual for glibc and musl.",
    fix: "Use NodeLocal DNSCache, keep connections open instead of resolving for each, or turn on the program's cache.",
    filter: "dns.flags.response == 0",
    judge: find,
};

const LEAST: u64 = 20;

fn find(world: &World<'_>) -> Vec<Finding> {
    let repeats = |client: &&ClientLookups| client.repeats >= LEAST && client.repeats * 2 >= client.answered;
    let clients: Vec<_> = world.facts.lookups.clients().into_iter().filter(repeats).collect();
    LookupFacts::groups(&clients).into_iter().map(|group| judge(&group, world)).collect()
}

fn judge(group: &[&ClientLookups], world: &World<'_>) -> Finding {
    let repeats: u64 = group.iter().map(|client| client.repeats).sum();
    let answered: u64 = group.iter().map(|client| client.answered).sum();
    let title = format!("{} asked for what was already known", count_of(repeats, "query"));
    let mut finding = Finding::of(&ABOUT, title);
    concern(&mut finding, group);
    finding.counts.insert("repeated_queries", repeats as i64);
    finding.counts.insert("answered_queries", answered as i64);
    let names = group.iter().flat_map(|client| client.by_name()).map(|(_, counts)| counts);
    finding.cite(world, names.flat_map(|name| name.frames.iter().copied()).take(16), &filter(group));
    finding.explanation = format!(
        "{repeats} of {answered} answered queries of {} repeat a question whose answer was still good. Nothing is wrong \
         with them but that they were not needed.",
        some_of(group.iter().map(|client| client.client), 3),
    );
    finding
}
