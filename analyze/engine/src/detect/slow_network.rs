use super::About;
use super::evidence::count_of;
use super::losses::connections;
use super::world::World;
use crate::Addr;
use crate::finding::{Finding, Role, Severity};
use crate::time::widen;
use crate::track::MaybeNs;
use crate::track::event::Flow;
use crate::track::{Endpoint, FrameId};
use foldhash::fast::RandomState;
use std::collections::{BTreeMap, HashSet};

pub(super) const ABOUT: About = About {
    code: "NET006",
    slug: "slow-network",
    title: "the round trip, not the server, takes the time",
    severity: Severity::Warning,
    what: "Between these two hosts a packet and its answer take long, before any server has begun to think.",
    why: "Every connection pays the round trip once, every request again, and lookups and TLS several times.",
    how: "Time from SYN to SYN-ACK and from SYN-ACK to ACK, which kernels answer at once, both parts seen from here added \
          up; the median over the connections of a pair, of handshakes in which nothing was repeated. Compared with the \
          time servers take to their first answer.",
    false_positives: "Round trips over the internet are as long as the distance: between hosts of which one is public this \
                      is information. Handshakes with repeated SYNs are left out, delayed acknowledgements play no part.",
    fix: "Find out where on the way packets wait: capture at both ends and on the nodes between and compare the two parts \
          of the round trip. Place what talks much in one zone.",
    filter: "tcp.flags.syn == 1 || tcp.analysis.initial_rtt",
    judge: find,
};

/// A round trip within a cluster that is too long to be its wires: within a zone 1 ms, between zones 2 ms, and a busy
/// virtual machine adds some ms.
const SLOW_NS: i64 = 25_000_000;
/// Handshakes before a median means something.
const ENOUGH: usize = 3;

/// Connections of one pair of hosts.
#[derive(Clone, Debug, Default)]
struct Pair {
    /// Round trips, and the part of them behind the place that saw it, towards the responder.
    trips_ns: Vec<(i64, i64)>,
    /// From first request to first response, less the round trip.
    thinks_ns: Vec<i64>,
    frames: Vec<FrameId>,
    inside: bool,
    ports: Vec<u16>,
    span_ns: Option<(i64, i64)>,
}

fn find(world: &World<'_>) -> Vec<Finding> {
    let trips = || connections(world).filter_map(|(orig, resp, flows)| Some((orig, resp, slowest(&flows)?)));
    // Most pairs of hosts have no slow trip at all.
    let slow: HashSet<(Addr, Addr), RandomState> =
        trips().filter(|(_, _, (_, trip))| trip.0 >= SLOW_NS).map(|(orig, resp, _)| (orig.addr, resp.addr)).collect();
    if slow.is_empty() {
        return Vec::new();
    }
    let mut pairs: BTreeMap<(Addr, Addr), Pair> = BTreeMap::new();
    for (orig, resp, (flow, trip)) in trips().filter(|(orig, resp, _)| slow.contains(&(orig.addr, resp.addr))) {
        pairs.entry((orig.addr, resp.addr)).or_default().add(flow, trip, resp);
    }
    pairs.iter_mut().filter_map(|(hosts, pair)| judge(*hosts, pair, world)).collect()
}

/// The sighting that shows most of the round trip.
fn slowest<'a>(flows: &[&'a Flow]) -> Option<(&'a Flow, (i64, i64))> {
    let trips = flows.iter().filter_map(|flow| Some((*flow, trip_ns(flow)?)));
    trips.max_by_key(|(_, trip)| trip.0)
}

/// The whole round trip, and its part towards the responder.
fn trip_ns(flow: &Flow) -> Option<(i64, i64)> {
    let there = flow.rtt_resp_ns.get()?;
    Some((there + flow.rtt_orig_ns.get().unwrap_or(0), there))
}

impl Pair {
    fn add(&mut self, flow: &Flow, trip: (i64, i64), resp: Endpoint) {
        self.trips_ns.push(trip);
        if let [Some(asked), Some(answered)] = flow.data_ns.map(MaybeNs::get)
            && answered >= asked
        {
            self.thinks_ns.push((answered - asked - trip.1).max(0));
        }
        self.frames.extend(flow.syns.as_slice().first());
        self.inside |=
            flow.legs().any(|leg| leg.tunnel != 0) || flow.orig.addr.is_private() && flow.resp.addr.is_private();
        if !self.ports.contains(&resp.port) {
            self.ports.push(resp.port);
        }
        widen(&mut self.span_ns, flow.first_ns, flow.last_ns);
    }
}

fn median(values: &mut [i64]) -> Option<i64> {
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

fn judge((client, server): (Addr, Addr), pair: &mut Pair, world: &World<'_>) -> Option<Finding> {
    let count = pair.trips_ns.len();
    let mut trips: Vec<i64> = pair.trips_ns.iter().map(|trip| trip.0).collect();
    let mut there: Vec<i64> = pair.trips_ns.iter().map(|trip| trip.1).collect();
    let (trip_ns, there_ns) = (median(&mut trips)?, median(&mut there)?);
    let think_ns = median(&mut pair.thinks_ns).unwrap_or(0);
    if count < ENOUGH || trip_ns < SLOW_NS || think_ns > trip_ns {
        return None;
    }
    let ms = |ns: i64| ns as f64 / 1e6;
    let title = format!("{:.0} ms round trip between {client} and {server}", ms(trip_ns));
    let mut finding = Finding::of(&ABOUT, title);
    finding.severity = if pair.inside { ABOUT.severity } else { Severity::Info };
    finding.confidence = if count >= 10 { 0.9 } else { 0.75 };
    finding.about(Role::Client, &client);
    finding.about(Role::Server, &server);
    finding.counts.insert("handshakes", count as i64);
    finding.counts.insert("rtt_p50_us", trip_ns / 1000);
    finding.counts.insert("rtt_to_server_p50_us", there_ns / 1000);
    finding.counts.insert("server_p50_us", think_ns / 1000);
    let (first, last) = pair.span_ns.unwrap_or_default();
    finding.span(first, last);
    let family = server.family();
    let filter = format!("{family}.addr == {client} && {family}.addr == {server} && tcp.flags.syn == 1");
    finding.cite(world, pair.frames.iter().copied().take(16), &filter);
    let side = if there_ns * 10 >= trip_ns * 7 {
        "nearly all of it lies between here and the server"
    } else if there_ns * 10 <= trip_ns * 3 {
        "nearly all of it lies between here and the client"
    } else {
        "it lies on both sides of this place"
    };
    finding.explanation = format!(
        "The handshake of {} took {:.1} ms in the median, in which no application has a part; {side}. The server then took \
         {:.1} ms to its first answer.",
        count_of(count as u64, "connection"),
        ms(trip_ns),
        ms(think_ns),
    );
    finding.rule_out("APP001", "the server answers faster than the round trip takes");
    finding.capture_next = Some(
        "at both ends and on the nodes between: the part of the round trip seen from each shows where \
                                 packets wait"
            .to_owned(),
    );
    Some(finding)
}
