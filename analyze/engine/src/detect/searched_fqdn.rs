use super::About;
use super::evidence::{count_of, some_of};
use super::lookups::{ClientLookups, LookupFacts, NameLookups};
use super::search_amplification::{concern, filter, inferred};
use super::world::World;
use crate::finding::{Finding, Severity};

pub(super) const ABOUT: About = About {
    code: "DNS002",
    slug: "searched-fqdn",
    title: "full names of the cluster are searched before they are tried as they are",
    severity: Severity::Warning,
    what: "A full name of a service, such as api.shop.svc.cluster.local, is tried with every suffix first, because it has \
           fewer dots than ndots and none at its end.",
    why: "Writing the full name was meant to save queries and takes six in vain instead.",
    how: "Lookups, put together from queries, whose stem ends with the domain of the cluster and which begin with a \
          suffix of the search list. Told as a warning of a client from three of them on.",
    false_positives: "Names of other domains are DNS001. A doubled name that is not followed by the name itself is no \
                      lookup of this kind.",
    fix: "End the name with a dot, or lower ndots to 4 or less, or use the short name svc.namespace.",
    filter: "dns.flags.rcode == 3",
    judge: find,
};

/// From so many lookups on it is more than now and then.
const HABIT: u64 = 3;

fn find(world: &World<'_>) -> Vec<Finding> {
    let doubled = |client: &&ClientLookups| client.names.values().any(|name| name.doubled > 0);
    let clients: Vec<_> = world.facts.lookups.clients().into_iter().filter(doubled).collect();
    LookupFacts::groups(&clients).into_iter().map(|group| judge(&group, world)).collect()
}

fn judge(group: &[&ClientLookups], world: &World<'_>) -> Finding {
    let names: Vec<(&str, &NameLookups)> =
        group.iter().flat_map(|client| client.by_name()).filter(|(_, counts)| counts.doubled > 0).collect();
    let sum = |of: fn(&NameLookups) -> u64| names.iter().map(|(_, counts)| of(counts)).sum::<u64>();
    let (lookups, queries, wasted) = (sum(|n| n.lookups), sum(|n| n.queries), sum(|n| n.wasted_queries));
    let mut finding = Finding::of(
        &ABOUT,
        format!("{} of full cluster names took {queries} queries, {wasted} in vain", count_of(lookups, "lookup")),
    );
    if group.iter().all(|client| client.names.values().map(|name| name.doubled).sum::<u64>() < HABIT) {
        finding.severity = Severity::Info;
    }
    finding.confidence = 0.95;
    concern(&mut finding, group);
    for (name, count) in [("lookups", lookups), ("queries", queries), ("wasted_queries", wasted)] {
        finding.counts.insert(name, count as i64);
    }
    let distinct: std::collections::BTreeSet<&str> = names.iter().map(|(name, _)| *name).collect();
    finding.counts.insert("names", distinct.len() as i64);
    let wasted_ns: i64 = names.iter().map(|(_, counts)| counts.wasted_ns).sum();
    finding.counts.insert("wasted_ms", wasted_ns.max(0) / 1_000_000);
    finding.cite(world, names.iter().flat_map(|(_, counts)| counts.frames.iter().copied()), &filter(group));
    finding.explanation = format!(
        "{} asked for full names of the cluster without a dot at the end: {}. They have fewer dots than ndots, so each \
         was tried with the suffixes of the search list first. {}",
        some_of(group.iter().map(|client| client.client), 3),
        some_of(distinct, 5),
        inferred(group),
    );
    finding.rule_out("DNS018", "the names themselves exist");
    advise(&mut finding, &names);
    finding
}

fn advise(finding: &mut Finding, names: &[(&str, &NameLookups)]) {
    let least = names.iter().map(|(name, _)| name.matches('.').count()).min().unwrap_or(4);
    finding.fix.text = format!(
        "End the names with a dot (not the TLS server name or the Host header), use svc.namespace instead, which hits at \
         the second suffix, or set ndots to {} or less: a name with as many dots is tried as it is first. Not 1 with \
         musl (Alpine), which then does not search svc.namespace at all.",
        least.max(2)
    );
    let ndots = least.clamp(2, 4);
    finding.fix.yaml =
        Some(format!("spec:\n  dnsConfig:\n    options:\n    - name: ndots\n      value: \"{ndots}\"\n"));
}
