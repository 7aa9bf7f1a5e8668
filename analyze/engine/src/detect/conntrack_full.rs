mod forwarded;

use super::About;
use super::attempts::Outcome;
use super::evidence::{count_of, some_of};
use super::lost_at_nat::{Lost, concern, confirm, lost, own_endpoints};
use super::snat_port_race;
use super::world::World;
use crate::Addr;
use crate::finding::{Finding, Role, Severity};
use crate::packet::TCP;
use crate::time::union;
use crate::track::Endpoint;
use crate::track::event::Flow;
use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet};

pub(super) const ABOUT: About = About {
    code: "NAT005",
    slug: "conntrack-full",
    title: "new connections vanish on the node: the conntrack table is full",
    severity: Severity::Critical,
    what: "First packets of new connections reach the node and are seen neither translated nor anywhere behind, whatever \
           they are for, while connections that are established go on.",
    why: "nf_conntrack drops what it has no room for. Everything new on the node fails at random: connects, name \
          resolution, probes.",
    how: "Connections to two or more destinations were seen before the node's translation and never behind it, although \
          others to the same destinations pass before or after; they vanish at the first point, where conntrack looks at \
          a packet for the first time. Repeated SYNs share the fate. A warning where it is one destination, of which three \
          connections lose SYNs there and repetitions pass; an error where others, whose source is translated, do at the \
          same time. Or, where nothing is translated, three or more connections lose SYNs between two interfaces of a node, \
          while others to the same server pass, repetitions do, and connections that are established lose nothing.",
    false_positives: "A policy drops later on the way, after the destination was translated, and always the same \
                      destinations. A clash of translated source ports hits one packet and lets its repetition pass \
                      (NAT003).",
    fix: "Raise net.netfilter.nf_conntrack_max (kube-proxy's conntrack.maxPerCore) and see which pod opens so many \
          connections; shorten timeouts; run NodeLocal DNSCache, which takes DNS out of conntrack.",
    filter: "tcp.flags == 2 || udp.dstport == 53",
    judge: find,
};

/// Destinations that make it the table's fault and not a destination's.
const DESTINATIONS: usize = 2;

/// Less than one in so many new connections is no full table.
const RARE: usize = 10;

fn find(world: &World<'_>) -> Vec<Finding> {
    let mut all = lost(world);
    // What a client sends to itself may never leave its bridge: that is SVC011.
    let own = own_endpoints(&all, world);
    all.retain(|lost| !own.contains(&lost.pair()));
    let mut full: BTreeMap<Option<u32>, Vec<&Lost<'_>>> = BTreeMap::new();
    for lost in all.iter().filter(|lost| is_dropped_first(lost)) {
        full.entry(world.group(lost.connection.front().orig.addr)).or_default().push(lost);
    }
    let found: Vec<Finding> = full.into_iter().filter_map(|(group, full)| of_group(group, &full, world)).collect();
    if !found.is_empty() {
        return found;
    }
    let found = at_one(&all, world);
    if found.is_empty() { forwarded::find(&own, world) } else { found }
}

/// New connections to one destination that vanish before it is translated, where others and repetitions pass: whether a
/// full table or a limit drops them cannot be told.
fn at_one<'a>(all: &'a [Lost<'a>], world: &World<'_>) -> Vec<Finding> {
    let mut by_server: BTreeMap<Endpoint, Vec<&'a Lost<'a>>> = BTreeMap::new();
    // Between two captures there is more than a node.
    let here = |lost: &&Lost<'_>| lost.post.is_none_or(|post| post.unit == lost.pre.unit);
    for lost in all.iter().filter(|lost| lost.pre.proto == TCP && !lost.snat).filter(here) {
        by_server.entry(lost.connection.front().resp).or_default().push(lost);
    }
    // A rule that is always there lets no repetition pass, and one that comes and goes nothing meanwhile.
    let own = LazyCell::new(|| sent_to_themselves(world));
    by_server.retain(|server, lost| {
        // What a client sends to itself comes back by the way it came, or is dropped there: that is SVC011.
        lost.retain(|lost| !own.contains(&lost.connection.front().orig.addr));
        let repeated = lost.len() >= REPEATED && lost.iter().any(|lost| lost.passed());
        repeated && is_common(lost, group(lost, world), world) && some_pass(*server, lost, world)
    });
    if by_server.is_empty() || world.lacks_packets() {
        return Vec::new();
    }
    add_translated(&mut by_server, all, world);
    by_server.iter().map(|(server, lost)| judge_one(*server, lost, world)).collect()
}

fn group(lost: &[&Lost<'_>], world: &World<'_>) -> Option<u32> {
    world.group(lost.first()?.connection.front().orig.addr)
}

/// Adds those whose source is translated that vanish meanwhile: what drops these alike is no clash of ports.
fn add_translated<'a>(by_server: &mut BTreeMap<Endpoint, Vec<&'a Lost<'a>>>, all: &'a [Lost<'a>], world: &World<'_>) {
    let translated = translated(all, world);
    for lost in by_server.values_mut() {
        let of = group(lost, world);
        let (first, last) = span(lost);
        let too = |other: &&Vec<&Lost<'_>>| {
            let (begin, end) = span(other);
            let meanwhile = begin >= first.saturating_sub(AROUND_NS) && end <= last.saturating_add(AROUND_NS);
            meanwhile && group(other, world) == of
        };
        lost.extend(translated.iter().filter(too).flatten());
    }
}

/// What is lost for one reason begins and ends together, but for the time between two attempts.
const AROUND_NS: i64 = 2_000_000_000;

/// Connections whose source is translated, by destination, that lose SYNs as often without a clash of ports.
fn translated<'a>(all: &'a [Lost<'a>], world: &World<'_>) -> Vec<Vec<&'a Lost<'a>>> {
    let mut by_server: BTreeMap<Endpoint, Vec<&Lost<'_>>> = BTreeMap::new();
    for lost in all.iter().filter(|lost| lost.pre.proto == TCP && lost.snat) {
        by_server.entry(lost.connection.front().resp).or_default().push(lost);
    }
    by_server.retain(|server, lost| {
        lost.len() >= REPEATED && !lost.iter().any(|lost| snat_port_race::clashes(lost, *server, world))
    });
    by_server.into_values().collect()
}

fn span(lost: &[&Lost<'_>]) -> (i64, i64) {
    union(lost.iter().map(|lost| (lost.pre.first_ns, lost.pre.first_ns))).unwrap_or_default()
}

/// Clients of which something was sent to themselves.
fn sent_to_themselves(world: &World<'_>) -> BTreeSet<Addr> {
    let stages = world.facts.servers.kept.connections().iter().flat_map(|connection| &connection.stages);
    stages.filter(|stage| stage.orig.addr == stage.resp.addr).map(|stage| stage.orig.addr).collect()
}

/// Whether other connections to the destination come about at the first SYN while these lose theirs.
fn some_pass(server: Endpoint, lost: &[&Lost<'_>], world: &World<'_>) -> bool {
    let kept = &world.facts.servers.kept;
    let begins = lost.iter().map(|lost| lost.pre.first_ns);
    let (Some(begin), Some(end)) = (begins.clone().min(), begins.max()) else { return false };
    let at_once = |flow: &Flow| flow.from_orig.syns == 1 && (begin..=end).contains(&flow.first_ns);
    let others = kept.sent_to(server).filter(|connection| connection.outcome == Outcome::Established);
    others.filter(|connection| connection.endpoint().is_some()).any(|connection| connection.flows(kept).all(at_once))
}

/// Connections of one destination that lose SYNs on the node before it is no chance.
const REPEATED: usize = 3;

fn judge_one(server: Endpoint, lost: &[&Lost<'_>], world: &World<'_>) -> Finding {
    let count = count_of(lost.len() as u64, "new connection");
    let late = lost.iter().filter(|lost| lost.passed()).count();
    let destinations: BTreeSet<Endpoint> = lost.iter().map(|lost| lost.connection.front().resp).collect();
    let (alone, to) = (destinations.len() == 1, some_of(&destinations, 2));
    let mut finding = Finding::of(&ABOUT, format!("SYNs of {count} to {to} vanish on the node"));
    (finding.severity, finding.confidence) = if alone { (Severity::Warning, 0.6) } else { (Severity::Error, 0.7) };
    concern(&mut finding, lost, world, ABOUT.filter);
    let endpoints = lost.iter().filter(|lost| lost.passed()).map(|lost| lost.connection.back().resp);
    for endpoint in endpoints.collect::<BTreeSet<_>>().iter().filter(|at| !destinations.contains(at)).take(8) {
        finding.about(Role::Endpoint, endpoint);
    }
    finding.counts.insert("late", late as i64);
    finding.explanation = format!(
        "SYNs of {count} to {to} were seen to reach the node and not behind its translation, while others pass at \
         once; in {late} of them a repetition passed. The node drops what is new now and then: its conntrack table is \
         full, a rule there limits new connections, or it sends a share of them to an endpoint of its own that is gone.",
    );
    finding.rule_out("SVC006", "the SYNs never reach a server");
    let source = if alone { "these" } else { "some of these" };
    finding.rule_out("NAT003", &format!("the source of {source} connections is not translated"));
    confirm(&mut finding, world, "drop");
    finding.fix.commands = commands();
    finding.fix.commands.push(format!("kubectl get endpointslices -A -o wide   # of {server}: those on this node"));
    if alone {
        finding.limits.push("only one destination is hit: a full table mostly hits whatever is new".to_owned());
    }
    finding
}

fn commands() -> Vec<String> {
    vec![
        "sysctl net.netfilter.nf_conntrack_count net.netfilter.nf_conntrack_max".to_owned(),
        "dmesg | grep 'nf_conntrack: table full'".to_owned(),
        "conntrack -S | grep -o 'drop=[0-9]*'".to_owned(),
    ]
}

/// What those lose who have to do with each other.
fn of_group(group: Option<u32>, full: &[&Lost<'_>], world: &World<'_>) -> Option<Finding> {
    let destinations: BTreeSet<Endpoint> = full.iter().map(|lost| lost.connection.front().resp).collect();
    let is_full = destinations.len() >= DESTINATIONS && is_common(full, group, world);
    is_full.then(|| judge(group, full, &destinations, world))
}

/// Whether new connections vanish often while these do, whatever their destination: a full table drops whatever comes,
/// where a few among many that pass have another cause each.
fn is_common(full: &[&Lost<'_>], group: Option<u32>, world: &World<'_>) -> bool {
    let begins = full.iter().map(|lost| lost.pre.first_ns);
    let (Some(first), Some(last)) = (begins.clone().min(), begins.max()) else { return false };
    let kept = &world.facts.servers.kept;
    let units: BTreeSet<u32> = full.iter().map(|lost| lost.pre.unit).collect();
    let is_new = |flow: &Flow| flow.proto != TCP || flow.from_orig.isn.is_some();
    let within = |flow: &Flow| units.contains(&flow.unit) && (first..=last).contains(&flow.first_ns) && is_new(flow);
    let new = kept.connections().iter().filter(|connection| connection.flows(kept).next().is_some_and(within));
    let new = new.filter(|connection| world.group(connection.front().orig.addr) == group).count();
    full.len() * RARE >= new
}

/// Whether it vanished before a destination was chosen for it.
fn is_dropped_first(lost: &Lost<'_>) -> bool {
    !lost.passed() && (lost.early || !lost.snat)
}

fn judge(group: Option<u32>, full: &[&Lost<'_>], destinations: &BTreeSet<Endpoint>, world: &World<'_>) -> Finding {
    let count = count_of(full.len() as u64, "new connection");
    let (first, last) = (full.iter().map(|l| l.pre.first_ns).min(), full.iter().map(|l| l.pre.last_ns).max());
    let span = (first.unwrap_or_default(), last.unwrap_or_default());
    let alive = going_on(span, group, world);
    let mut finding = Finding::of(&ABOUT, format!("{count} to {} destinations vanish on the node", destinations.len()));
    finding.confidence = if alive > 0 { 0.9 } else { 0.75 };
    concern(&mut finding, full, world, ABOUT.filter);
    finding.counts.insert("destinations", destinations.len() as i64);
    finding.counts.insert("established_go_on", alive as i64);
    let established = match alive {
        0 => String::new(),
        n => format!(" Meanwhile {} that were established before go on.", count_of(n, "connection")),
    };
    finding.explanation = format!(
        "{count} to {} were seen to reach the node and never behind it: neither translated nor forwarded, without any \
         answer, and so were their repetitions. Others to the same destinations pass at other times, so it is neither a \
         rule nor an endpoint: the node had no room in its conntrack table.{established}",
        some_of(destinations, 4),
    );
    finding.rule_out("SVC004", "the same destinations work at other times, and several fail at once");
    finding.rule_out("NAT003", "repetitions vanish as well, and before the translation");
    finding.rule_out("SVC006", "the packets never reach a server");
    confirm(&mut finding, world, "drop");
    finding.fix.commands = commands();
    finding
}

/// Connections that began before this time and carried packets both ways after it.
fn going_on((first_ns, last_ns): (i64, i64), group: Option<u32>, world: &World<'_>) -> u64 {
    let kept = &world.facts.servers.kept;
    let silent = |flow: &Flow| flow.pause().is_some_and(|(ns, end)| end - ns <= first_ns && end >= last_ns);
    let lives = |flow: &Flow| {
        flow.first_ns < first_ns && flow.last_ns >= last_ns && flow.from_resp.payload_bytes > 0 && !silent(flow)
    };
    let tcp = kept.connections().iter().filter(|connection| connection.proto == TCP);
    let lives = tcp.filter(|connection| connection.flows(kept).any(lives));
    lives.filter(|connection| world.group(connection.front().orig.addr) == group).count() as u64
}
