use super::About;
use super::evidence::{count_of, some_of};
use super::lookups::{ClientLookups, LookupFacts};
use super::what_if::{SETTINGS, WhatIf, setting};
use super::world::World;
use crate::finding::{Finding, Role, Severity};
use crate::track::lookup::Stack;
use foldhash::fast::RandomState;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

pub(super) const ABOUT: About = About {
    code: "DNS001",
    slug: "search-amplification",
    title: "names are walked through the search list before they are found",
    severity: Severity::Warning,
    what: "Resolvers try a name under every suffix of their search list before they try it as it is, A and AAAA each: \
           eight queries where two would do, with the three suffixes that the kubelet writes and ndots:5.",
    why: "Most of the load on the cluster DNS is for names that cannot exist, and every lookup waits for them.",
    how: "Queries of a client are put together to lookups: A and AAAA of one name are a candidate, a candidate that \
          failed is followed by the next one of the same stem. The search list is learned from which suffixes follow \
          each other. Told of a client that had ten or more lookups seen whole, if in a quarter of them two or more \
          candidates failed first.",
    false_positives: "Short names of services that hit at the first or second suffix are what search lists are for. \
                      Names that are nowhere are told as DNS018. Full names of the cluster without a dot at the end \
                      are DNS002. Queries of DNS servers on behalf of others are not lookups.",
    fix: "Write names with a dot at the end where the program allows it, or lower ndots in the pod's dnsConfig; 2 keeps \
          names such as svc.namespace working.",
    filter: "dns.flags.rcode == 3",
    judge: find,
};

/// Lookups seen whole that a client needs to be judged.
const LEAST_LOOKUPS: u64 = 10;
/// One in so many of them is walked in vain.
const SHARE: u64 = 4;

fn find(world: &World<'_>) -> Vec<Finding> {
    let clients: Vec<_> = world.facts.lookups.clients().into_iter().filter(|client| is_amplified(client)).collect();
    let groups = LookupFacts::groups(&clients).into_iter();
    let tellable = |group: &Vec<&ClientLookups>| !is_doubled_only(group) && is_avoidable(group);
    groups.filter(tellable).map(|group| judge(&group, world)).collect()
}

/// Whether any setting would have spared queries: else it is not the search list that asks, unless the kubelet wrote
/// it and walks end where this capture does not see them.
fn is_avoidable(group: &[&ClientLookups]) -> bool {
    let what_if = total(group);
    let of_cluster = group.iter().any(|client| client.search.cluster_domain().is_some());
    of_cluster || (0..SETTINGS).any(|at| what_if.saved(at) > 0)
}

fn is_amplified(client: &ClientLookups) -> bool {
    let is_often = |amplified: u64, judged: u64| judged >= LEAST_LOOKUPS && amplified * SHARE >= judged;
    let found = || amplified_lookups(client);
    is_often(client.amplified, client.judged) && is_often(found(), client.judged - (client.amplified - found()))
}

/// Lookups that were walked in vain and may have found their name, but for those of names that are nowhere.
fn amplified_lookups(client: &ClientLookups) -> u64 {
    let nowhere = client.names.values().filter(|name| name.is_nowhere());
    client.amplified - nowhere.map(|name| name.amplified).sum::<u64>()
}

/// Whether all of it is full names of the cluster, which DNS002 says better.
fn is_doubled_only(group: &[&ClientLookups]) -> bool {
    group.iter().all(|client| amplified_lookups(client) <= client.doubled)
}

fn judge(group: &[&ClientLookups], world: &World<'_>) -> Finding {
    let sum = |of: fn(&ClientLookups) -> u64| group.iter().map(|client| of(client)).sum::<u64>();
    let (lookups, queries, wasted) = (sum(|c| c.lookups), sum(|c| c.queries), sum(|c| c.wasted_queries));
    let whom = count_of(group.len() as u64, "client");
    let title = format!("{} of {whom} took {queries} queries, {wasted} of them in vain", count_of(lookups, "lookup"));
    let mut finding = Finding::of(&ABOUT, title);
    finding.confidence = if sum(|c| c.partial) * 4 > lookups { 0.8 } else { 0.95 };
    concern(&mut finding, group);
    let names = amplified_names(group);
    for (name, count) in [
        ("lookups", lookups),
        ("amplified_lookups", sum(amplified_lookups)),
        ("partial_lookups", sum(|c| c.partial)),
        ("queries", queries),
        ("resent_queries", sum(|c| c.resent)),
        ("wasted_queries", wasted),
        ("wasted_ms", group.iter().map(|client| client.wasted_ns).sum::<i64>().max(0) as u64 / 1_000_000),
        ("names", names.len() as u64),
    ] {
        finding.counts.insert(name, count as i64);
    }
    finding.cite(world, group.iter().flat_map(|client| client.frames.iter().copied()), &filter(group));
    finding.explanation = explain(group, &names, lookups, queries, wasted);
    finding.rule_out("DNS018", "names that are found nowhere are not among these");
    finding.rule_out("DNS006", "the failing candidates are answered NXDOMAIN, which is no failure of the server");
    limit(&mut finding, group);
    advise(&mut finding, group);
    finding
}

/// Names whom it is about, and when.
pub(super) fn concern(finding: &mut Finding, group: &[&ClientLookups]) {
    for client in group {
        finding.about(Role::Client, &client.client);
    }
    for server in group.iter().flat_map(|client| &client.servers).collect::<BTreeSet<_>>() {
        finding.about(Role::Resolver, server);
    }
    finding.counts.insert("clients", group.len() as i64);
    let spans = group.iter().filter_map(|client| client.span_ns);
    let (first, last) = spans.fold((i64::MAX, i64::MIN), |(from, to), (first, last)| (from.min(first), to.max(last)));
    finding.span(first, last);
}

/// What shows the failed candidates of these clients.
pub(super) fn filter(group: &[&ClientLookups]) -> String {
    const FEW: usize = 4;
    let one = |client: &&ClientLookups| {
        let family = client.client.family();
        format!("{family}.addr == {}", client.client)
    };
    let clients: Vec<String> = group.iter().map(one).collect();
    if clients.len() > FEW { "dns".to_owned() } else { format!("dns && ({})", clients.join(" || ")) }
}

/// Names with amplified lookups, most queries in vain first.
fn amplified_names<'a>(group: &[&'a ClientLookups]) -> Vec<(&'a str, Amplified)> {
    let mut names: HashMap<&str, Amplified, RandomState> = HashMap::default();
    let of_clients = group.iter().flat_map(|client| &client.names);
    for (name, counts) in of_clients.filter(|(_, counts)| counts.amplified > 0 && !counts.is_nowhere()) {
        let known = names.entry(name).or_default();
        known.lookups += counts.lookups;
        known.queries += counts.queries;
        known.wasted_queries += counts.wasted_queries;
    }
    let mut names: Vec<_> = names.into_iter().collect();
    names.sort_unstable_by_key(|(name, counts)| (Reverse(counts.wasted_queries), *name));
    names
}

/// What lookups of a name took.
#[derive(Clone, Copy, Default)]
struct Amplified {
    lookups: u64,
    queries: u64,
    wasted_queries: u64,
}

fn explain(group: &[&ClientLookups], names: &[(&str, Amplified)], lookups: u64, queries: u64, wasted: u64) -> String {
    let share = (wasted * 100).checked_div(queries).unwrap_or_default();
    let per_lookup = queries as f64 / lookups.max(1) as f64;
    let again = match group.iter().map(|client| client.resent).sum::<u64>() {
        0 => String::new(),
        resent => format!(" ({resent} of them asked again)"),
    };
    format!(
        "{} took {queries} queries{again}, {per_lookup:.1} each; {wasted} of them ({share} %) asked for names that do not \
         exist, because the names were tried with the suffixes of the search list before they were tried as they are. \
         Names: {}. {}{}",
        count_of(lookups, "lookup"),
        some_of(names.iter().map(|(name, counts)| amplified(name, *counts)), 5),
        inferred(group),
        replayed(&total(group)),
    )
}

/// What other settings would have cost, and of which lookups that is known: without what was asked again.
fn replayed(what_if: &WhatIf) -> String {
    if what_if.lookups == 0 {
        return String::new();
    }
    format!(
        " What other settings would have cost the {} seen whole that found their name ({} queries, each counted once): {}.",
        count_of(what_if.lookups, "lookup"),
        what_if.queries,
        table(what_if),
    )
}

/// A name and what its lookups took: written only where it is shown.
fn amplified(name: &str, counts: Amplified) -> impl fmt::Display {
    fmt::from_fn(move |f| {
        let (lookups, queries) = (count_of(counts.lookups, "lookup"), counts.queries);
        write!(f, "{name} ({lookups}, {queries} queries, {} in vain)", counts.wasted_queries)
    })
}

/// Search list, `ndots`, namespace and resolver, as the packets tell them.
pub(super) fn inferred(group: &[&ClientLookups]) -> String {
    let mut kinds: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for client in group {
        let lists: Vec<String> = client.search.lists().iter().take(3).map(|list| list.join(" ")).collect();
        let namespace = client.search.namespace().map_or_else(String::new, |name| format!(", namespace {name}"));
        let known = format!(
            "search list `{}`{namespace}, ndots {}, resolver {}",
            lists.join("` or `"),
            client.ndots(),
            client.stack().name()
        );
        kinds.entry(known).or_default().push(client.client.to_string());
    }
    let told = kinds.into_iter().map(|(known, clients)| format!("{}: {known}", some_of(clients, 3)));
    format!("Inferred from the order of names: {}.", some_of(told, 3))
}

fn total(group: &[&ClientLookups]) -> WhatIf {
    let mut total = WhatIf::default();
    for client in group {
        total += client.what_if;
    }
    total
}

/// Queries by setting: "ndots:2 720 queries (2160 fewer)".
fn table(what_if: &WhatIf) -> String {
    let line = |at: usize| {
        let cost = what_if.costs[at];
        let broken = match cost.broken {
            0 => String::new(),
            broken => format!(", {} would break", count_of(broken, "lookup")),
        };
        let saved = what_if.saved(at);
        let change = if saved < 0 { format!("{} more", -saved) } else { format!("{saved} fewer") };
        format!("{} {} queries ({change}{broken})", setting(at), cost.queries)
    };
    (0..SETTINGS).map(line).collect::<Vec<_>>().join("; ")
}

fn limit(finding: &mut Finding, group: &[&ClientLookups]) {
    let partial: u64 = group.iter().map(|client| client.partial).sum();
    if partial > 0 {
        finding.limits.push(format!(
            "{} not seen whole: cut by the capture, or asked in part where this capture does not see it",
            if partial == 1 { "1 lookup was".to_owned() } else { format!("{partial} lookups were") }
        ));
    }
    if group.iter().any(|client| client.names_left_out > 0) {
        finding.limits.push("not all names are listed: a client asked for too many".to_owned());
    }
}

/// What to change, by what the replay says and by what the resolvers can do.
pub(super) fn advise(finding: &mut Finding, group: &[&ClientLookups]) {
    let what_if = total(group);
    let ndots = what_if.best_ndots().unwrap_or(2);
    let saved = what_if.saved(ndots as usize - 1);
    let broken = what_if.costs[ndots as usize - 1].broken;
    let fewer = (saved > 0).then(|| format!("{saved} queries fewer in this capture"));
    let but = (broken > 0).then(|| format!("but {} need a search list", count_of(broken, "lookup")));
    let effect = [fewer, but].into_iter().flatten().collect::<Vec<_>>().join(", ");
    let effect = if effect.is_empty() { effect } else { format!(" ({effect})") };
    let mut text = format!(
        "Set ndots to {ndots} in the dnsConfig of these pods{effect}, or write names with a dot at the end where the \
         program allows it; TLS server names and Host headers stay without it, and some programs take it badly.",
    );
    if group.iter().any(|client| client.stack() == Stack::Musl) {
        text += " Never ndots:1 with musl (Alpine): it does not search a name that has as many dots, so svc.namespace \
                 stops to resolve.";
    }
    if what_if.costs[SETTINGS - 1].broken > 0 {
        text += " The dot is for full names only: short names of services need the search list.";
    }
    text += " Where pods cannot be changed, CoreDNS' autopath (with pods verified, which costs memory) walks the list \
             in the server.";
    finding.fix.text = text;
    finding.fix.yaml =
        Some(format!("spec:\n  dnsConfig:\n    options:\n    - name: ndots\n      value: \"{ndots}\"\n"));
    finding.fix.commands = vec!["kubectl exec POD -- cat /etc/resolv.conf".to_owned()];
}
