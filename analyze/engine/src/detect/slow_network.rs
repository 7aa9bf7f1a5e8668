mod load;
mod pair;

use super::About;
use super::evidence::{count_of, some_of};
use super::losses::{connections, connections_with};
use super::slow_server::millis;
use super::vantage::Spot;
use super::world::World;
use crate::Addr;
use crate::finding::{Finding, Role, Severity};
use crate::path::{SLOW_NS, Signs};
use crate::track::event::Flow;
use foldhash::fast::RandomState;
use load::is_loaded;
use pair::Pair;
use std::collections::{BTreeMap, BTreeSet, HashSet};

pub(super) const ABOUT: About = About {
    code: "NET006",
    slug: "slow-network",
    title: "the round trip, not the server, takes the time",
    severity: Severity::Warning,
    what: "Between these two hosts a packet and its answer take long, before any server has begun to think.",
    why: "Every connection pays the round trip once, every request again, and lookups and TLS several times.",
    how: "Time from SYN to SYN-ACK and from SYN-ACK to ACK, which kernels answer at once, both parts seen from here added \
          up; the median over the connections of a pair, of handshakes in which nothing was repeated, or over those of \
          one stretch of 5 s or more in which nine of ten are slow and outside of which hardly one is. Compared with the \
          time servers take to their first answer.",
    false_positives: "Round trips over the internet are as long as the distance: between hosts of which one is public this \
                      is information, and so is a stretch of time in which far more is transferred than otherwise, which \
                      fills the way. Handshakes with repeated SYNs are left out, delayed acknowledgements play no part.",
    fix: "Find out where on the way packets wait: capture at both ends and on the nodes between and compare the two parts \
          of the round trip. Place what talks much in one zone.",
    filter: "tcp.flags.syn == 1 || tcp.analysis.initial_rtt",
    judge: find,
};

/// Handshakes before a median means something.
const ENOUGH: usize = 3;

fn find(world: &World<'_>) -> Vec<Finding> {
    // Most pairs of hosts have no slow trip at all.
    let slow: HashSet<(Addr, Addr), RandomState> =
        connections_with(Signs::SLOW, world).map(|(orig, resp, _)| (orig.addr, resp.addr)).collect();
    if slow.is_empty() {
        return Vec::new();
    }
    let mut pairs: BTreeMap<(Addr, Addr), Pair> = BTreeMap::new();
    for (orig, resp, flows) in connections(world).filter(|(orig, resp, _)| slow.contains(&(orig.addr, resp.addr))) {
        if let Some((flow, trip)) = slowest(&flows) {
            pairs.entry((orig.addr, resp.addr)).or_default().add(flow, trip);
        }
    }
    let slow = pairs.into_iter().filter_map(|(ends, pair)| Some((ends, pair.slow()?)));
    let mut pairs: BTreeMap<(Addr, Addr), Pair> = slow.collect();
    let mut findings = Vec::new();
    while let Some(slow) = Slow::most_shared(&mut pairs) {
        findings.extend(slow.tell(world));
    }
    findings
}

/// The sighting that shows most of the round trip.
fn slowest<'a>(flows: &[&'a Flow]) -> Option<(&'a Flow, (i64, i64))> {
    let trips = flows.iter().filter_map(|flow| Some((*flow, flow.trip_ns()?)));
    trips.max_by_key(|(_, trip)| trip.0)
}

/// Hosts named in a filter; of more it says nothing.
const NAMED: usize = 8;

/// Slow pairs that have a host in common.
struct Slow {
    clients: BTreeSet<Addr>,
    servers: BTreeSet<Addr>,
    /// Shortest and longest median of a pair.
    medians_ns: (i64, i64),
    all: Pair,
}

impl Slow {
    /// Takes the pairs of the host that most pairs have in common.
    fn most_shared(pairs: &mut BTreeMap<(Addr, Addr), Pair>) -> Option<Self> {
        let mut shares: BTreeMap<(bool, Addr), usize> = BTreeMap::new();
        for ((client, server), pair) in &*pairs {
            *shares.entry((pair.inside, *client)).or_default() += 1;
            *shares.entry((pair.inside, *server)).or_default() += 1;
        }
        let ((inside, hub), _) = shares.into_iter().rev().max_by_key(|(_, share)| *share)?;
        let is_its = |(client, server): &(Addr, Addr), pair: &mut Pair| {
            pair.inside == inside && (*client == hub || *server == hub)
        };
        let mut slow = Self {
            clients: BTreeSet::new(),
            servers: BTreeSet::new(),
            medians_ns: (i64::MAX, 0),
            all: Pair::default(),
        };
        for ((client, server), pair) in pairs.extract_if(.., is_its) {
            slow.clients.insert(client);
            slow.servers.insert(server);
            let median_ns = pair.trip_ns().unwrap_or_default();
            slow.medians_ns = (slow.medians_ns.0.min(median_ns), slow.medians_ns.1.max(median_ns));
            slow.all.merge(pair);
        }
        Some(slow)
    }

    /// Who is at the two ends.
    fn between(&self) -> String {
        let (clients, servers) = (some_of(&self.clients, 1), some_of(&self.servers, 1));
        match (self.clients.len(), self.servers.len()) {
            (1, 1) => format!("{clients} and {servers}"),
            (count, 1) => format!("{servers} and {count} clients"),
            (1, count) => format!("{clients} and {count} servers"),
            (asking, asked) => format!("{asking} clients and {asked} servers"),
        }
    }

    fn filter(&self, world: &World<'_>) -> String {
        let any = |addrs: &BTreeSet<Addr>| {
            let terms: Vec<String> = addrs.iter().map(|addr| world.host_filter(*addr)).collect();
            if terms.len() > 1 { format!("({})", terms.join(" || ")) } else { terms.concat() }
        };
        let few = [&self.clients, &self.servers].into_iter().filter(|addrs| addrs.len() <= NAMED).map(any);
        few.chain(["tcp.flags.syn == 1".to_owned()]).collect::<Vec<_>>().join(" && ")
    }

    fn title(&self, trip_ns: i64) -> String {
        let trip = format!("{:.0} ms round trip between {}", trip_ns as f64 / 1e6, self.between());
        let lasts_s = self.all.lasts_ns() as f64 / 1e9;
        self.all
            .usual_ns()
            .map_or(trip.clone(), |usual_ns| format!("{trip} for {lasts_s:.0} s, {} otherwise", millis(Some(usual_ns))))
    }

    /// What the round trip is at other times, where only a stretch of time is slow.
    fn otherwise(&self) -> String {
        let others = count_of(self.all.usual_ns.len() as u64, "other connection");
        let tell = |usual_ns| {
            let (usual, lasts) = (millis(Some(usual_ns)), millis(Some(self.all.lasts_ns())));
            format!(" These began within {lasts}; in {others}, before or after, it took {usual}.")
        };
        self.all.usual_ns().map(tell).unwrap_or_default()
    }

    /// How bad it is, and how sure.
    fn weigh(&self, finding: &mut Finding, world: &World<'_>) {
        finding.severity = if self.all.inside { ABOUT.severity } else { Severity::Info };
        finding.confidence = if self.all.trips.len() >= 10 { 0.9 } else { 0.75 };
        if !self.all.usual_ns.is_empty() && is_loaded(self.all.began_ns(), world) {
            finding.severity = Severity::Info;
            finding.limits.push("far more was transferred meanwhile: what fills the way lets all wait".to_owned());
        }
    }

    fn tell(&self, world: &World<'_>) -> Option<Finding> {
        let count = self.all.trips.len();
        let (trip_ns, there_ns, think_ns) = (self.all.trip_ns()?, self.all.there_ns()?, self.all.think_ns());
        let ms = |ns: i64| ns as f64 / 1e6;
        let mut finding = Finding::of(&ABOUT, self.title(trip_ns));
        self.weigh(&mut finding, world);
        self.clients.iter().take(SHOWN).for_each(|client| finding.about(Role::Client, client));
        self.servers.iter().take(SHOWN).for_each(|server| finding.about(Role::Server, server));
        finding.counts.insert("handshakes", count as i64);
        finding.counts.insert("rtt_p50_us", trip_ns / 1000);
        finding.counts.insert("rtt_to_server_p50_us", there_ns / 1000);
        finding.counts.insert("server_p50_us", think_ns / 1000);
        let (first, last) = self.all.span_ns();
        finding.span(first, last);
        finding.cite(world, self.all.trips.iter().filter_map(|trip| trip.frame).take(16), &self.filter(world));
        let range = match self.medians_ns {
            (shortest, longest) if self.clients.len() + self.servers.len() > 2 => {
                format!(" ({:.0} to {:.0} ms by pair of hosts)", ms(shortest), ms(longest))
            }
            _ => String::new(),
        };
        finding.explanation = format!(
            "The handshake of {} took {:.1} ms in the median{range}, in which no application has a part; {}. The server \
             then took {:.1} ms to its first answer.{}",
            count_of(count as u64, "connection"),
            ms(trip_ns),
            side(there_ns, trip_ns),
            ms(think_ns),
            self.otherwise(),
        );
        finding.rule_out("APP001", "the server answers faster than the round trip takes");
        let ends = self.clients.iter().take(1).chain(self.servers.iter().take(1));
        let tells = "the part of the round trip seen from there shows where packets wait";
        finding.capture_next = world.capture_next(ends.copied().map(Spot::Host), tells);
        Some(finding)
    }
}

/// Hosts named of each side.
const SHOWN: usize = 8;

/// Where the time lies, seen from here.
fn side(there_ns: i64, trip_ns: i64) -> &'static str {
    if there_ns * 10 >= trip_ns * 7 {
        "nearly all of it lies between here and the server"
    } else if there_ns * 10 <= trip_ns * 3 {
        "nearly all of it lies between here and the client"
    } else {
        "it lies on both sides of this place"
    }
}
