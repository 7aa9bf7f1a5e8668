//! Knowing a connection again: behind NAT by what NAT leaves alone, in another unit by its addresses.
//!
//! NAT and routing change addresses, ports, TTL and checksums. They leave alone the initial sequence number, the
//! timestamp, the window and the options of a SYN (but for the MSS, which may be clamped), and the payload of datagrams.

use super::connection::{Connection, Stage};
use crate::packet::TCP;
use crate::track::event::{Flow, Side};
use crate::track::{ConnState, Endpoint};
use smallvec::{SmallVec, smallvec};
use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet};

const MS: i64 = 1_000_000;
/// The last SYN of Linux comes this long after the first (`tcp_syn_retries` 6).
const RETRIES_NS: u64 = 130_000 * 1_000_000;
/// A datagram of one socket passes a host within this time, however busy it is.
const PASS_NS: u64 = 50_000_000;
/// The same where the source is translated as well, so that less tells it from others'.
const MASKED_PASS_NS: u64 = 5_000_000;
/// Clocks of hosts in one cluster may differ by this much; beyond, only handshakes tell.
const CLOCKS_NS: u64 = 2_000_000_000;
/// Connections with one initial sequence number that are compared with each other.
const ALIKE: usize = 32;
/// Destinations that translation may give a packet on its way: a load balancer's, a node's, a service's, a pod's.
const DESTINATIONS: usize = 4;

/// Puts together what belongs together.
pub(super) fn join(flows: &[Box<Flow>]) -> Vec<Connection> {
    let mut groups = Groups::new(flows.len());
    by_greeting(flows, &mut groups);
    // Addresses tell only what different units saw.
    if flows.windows(2).any(|pair| pair[0].unit != pair[1].unit) {
        by_addresses(flows, &mut groups);
    }
    let mut members: Vec<(u32, u32)> = (0..flows.len() as u32).map(|at| (groups.root(at), at)).collect();
    members.sort_unstable();
    let members = members.chunk_by(|a, b| a.0 == b.0);
    let confidence = |of: &[(u32, u32)]| groups.confidence[of[0].0 as usize];
    let mut all: Vec<_> = members.map(|of| connection(flows, of, confidence(of))).collect();
    all.sort_by_cached_key(|connection| first_ns(connection.front(), flows));
    all
}

fn first_ns(stage: &Stage, flows: &[Box<Flow>]) -> i64 {
    flows[stage.seen[0] as usize].first_ns
}

/// What was put together so far, and how surely.
struct Groups {
    owners: Vec<u32>,
    confidence: Vec<f64>,
}

impl Groups {
    fn new(len: usize) -> Self {
        Self { owners: (0..len as u32).collect(), confidence: vec![1.0; len] }
    }

    fn root(&self, mut at: u32) -> u32 {
        while self.owners[at as usize] != at {
            at = self.owners[at as usize];
        }
        at
    }

    fn unite(&mut self, a: u32, b: u32, confidence: f64) {
        let (a, b) = (self.root(a), self.root(b));
        let (low, high) = (a.min(b), a.max(b));
        if low != high {
            self.owners[high as usize] = low;
            let least = self.confidence[low as usize].min(self.confidence[high as usize]).min(confidence);
            self.confidence[low as usize] = least;
        }
    }
}

/// What a connection is known again by: what one of its ends began with, or where both ended.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Greeting {
    proto: u8,
    by: By,
    word: u32,
}

impl Greeting {
    /// It and a flow that has it in one number, because there are many to sort.
    fn of(self, at: u32) -> u128 {
        u128::from(self.proto) << 72 | (self.by as u128) << 64 | u128::from(self.word) << 32 | u128::from(at)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum By {
    Orig,
    Resp,
    /// The sequence numbers behind the last bytes of both ends, of a connection that was open before the capture.
    Numbers,
}

impl By {
    fn side(self, flow: &Flow) -> &Side {
        match self {
            Self::Orig | Self::Numbers => &flow.from_orig,
            Self::Resp => &flow.from_resp,
        }
    }
}

fn greetings(flow: &Flow) -> impl Iterator<Item = Greeting> {
    let proto = flow.proto;
    let of = move |by: By, word: Option<u32>| word.map(|word| Greeting { proto, by, word });
    let resp = if proto == TCP { flow.from_resp.isn } else { None };
    let numbers = numbers(flow).map(|(a, b)| a.rotate_left(16) ^ b);
    let begun = of(By::Orig, flow.from_orig.isn.or(flow.from_orig.sample)).into_iter().chain(of(By::Resp, resp));
    begun.chain(of(By::Numbers, numbers))
}

/// Where both ends of a connection without a handshake got to, the lower number first: nobody can tell who began.
fn numbers(flow: &Flow) -> Option<(u32, u32)> {
    let midstream = flow.proto == TCP && flow.from_orig.isn.is_none() && flow.from_resp.isn.is_none();
    let (a, b) = (flow.from_orig.sent?, flow.from_resp.sent?);
    midstream.then(|| (a.min(b), a.max(b)))
}

/// How surely two flows that were open before the capture are one connection: at one time, as far from their beginning.
fn same_numbers(a: &Flow, b: &Flow) -> Option<f64> {
    let together = a.first_ns <= b.last_ns.saturating_add(MS) && b.first_ns <= a.last_ns.saturating_add(MS);
    let payload = |flow: &Flow| {
        let (there, back) = (flow.from_orig.payload_bytes, flow.from_resp.payload_bytes);
        (there.min(back), there.max(back))
    };
    let near = a.unit == b.unit && together && payload(a) == payload(b) && payload(a).1 > 0;
    (near && numbers(a) == numbers(b) && share(a, b)).then_some(0.9)
}

fn by_greeting(flows: &[Box<Flow>], groups: &mut Groups) {
    let mut order: Vec<u128> = Vec::with_capacity(flows.len() * 2);
    for (at, flow) in (0u32..).zip(flows) {
        order.extend(greetings(flow).map(|greeting| greeting.of(at)));
    }
    order.sort_unstable();
    for alike in order.chunk_by(|a, b| a >> 32 == b >> 32).filter(|alike| alike.len() > 1) {
        let first = alike[0];
        let mut all = greetings(&flows[first as u32 as usize]);
        let Some(greeting) = all.find(|greeting| greeting.of(first as u32) == first) else { continue };
        let mut alike: Vec<u32> = alike.iter().map(|one| *one as u32).collect();
        alike.sort_by_key(|at| (flows[*at as usize].first_ns, *at));
        unite_alike(&alike, greeting.by, flows, groups);
    }
}

/// Unites those of the flows with one greeting, in order of time, that are one connection.
fn unite_alike(alike: &[u32], by: By, flows: &[Box<Flow>], groups: &mut Groups) {
    let scan = alike.len() > DESTINATIONS && is_scan(alike.iter().map(|at| &*flows[*at as usize]));
    for (n, at) in alike.iter().enumerate() {
        for other in alike[n + 1..].iter().take(ALIKE) {
            let (a, b) = (&*flows[*at as usize], &*flows[*other as usize]);
            if let Some(confidence) = same(a, b, by).filter(|_| !scan || a.resp == b.resp) {
                groups.unite(*at, *other, confidence);
            }
        }
    }
}

/// Whether one socket greets more destinations than translation could make of one: who looks for open ports sends each
/// the same SYN.
fn is_scan<'a>(flows: impl Iterator<Item = &'a Flow>) -> bool {
    let mut greeted: BTreeMap<Endpoint, BTreeSet<Endpoint>> = BTreeMap::new();
    for flow in flows.filter(|flow| flow.proto == TCP) {
        greeted.entry(flow.orig).or_default().insert(flow.resp);
    }
    greeted.values().any(|resps| resps.len() > DESTINATIONS)
}

/// Whether two responders answered, each with a number of its own.
fn answers_differ(a: &Flow, b: &Flow) -> bool {
    a.from_resp.isn.is_some_and(|isn| b.from_resp.isn.is_some_and(|other| isn != other))
}

/// How surely two flows with the same greeting are one connection.
fn same(a: &Flow, b: &Flow, by: By) -> Option<f64> {
    let apart_ns = a.first_ns.abs_diff(b.first_ns);
    let same_unit = a.unit == b.unit;
    let same_pair = a.orig == b.orig && a.resp == b.resp;
    if same_unit && same_pair {
        return None;
    }
    if by == By::Numbers {
        return same_numbers(a, b);
    }
    if a.proto != TCP {
        let limit_ns = match same_unit {
            true if a.orig == b.orig => PASS_NS,
            true => MASKED_PASS_NS,
            false => CLOCKS_NS,
        };
        let alike = a.from_orig.shape == b.from_orig.shape && apart_ns <= limit_ns;
        return (alike && share(a, b)).then_some(0.95);
    }
    if by == By::Orig && answers_differ(a, b) {
        return None;
    }
    let (hello, other) = (by.side(a), by.side(b));
    let near = !same_unit || apart_ns < RETRIES_NS;
    let alike = hello.shape == other.shape;
    match (hello.tsval, other.tsval) {
        (Some(ts), Some(other_ts)) if ts == other_ts => (alike || share(a, b)).then_some(0.99),
        // The first SYN of one is a repetition to the other: timestamps of Linux tick in milliseconds.
        (Some(ts), Some(other_ts)) => {
            let ticks = i64::from(ts.wrapping_sub(other_ts) as i32);
            let elapsed = (a.first_ns - b.first_ns) / MS;
            let fits = ticks.abs_diff(elapsed) <= 5 || !same_unit && ticks.unsigned_abs() * MS as u64 <= RETRIES_NS;
            (alike && near && fits && share(a, b)).then_some(0.97)
        }
        _ => (alike && near && share(a, b)).then_some(0.95),
    }
}

/// Whether NAT could make one of the other without changing everything.
fn share(a: &Flow, b: &Flow) -> bool {
    a.orig.addr == b.orig.addr || a.resp.addr == b.resp.addr || a.orig.port == b.orig.port
}

/// The same addresses and ports at about the same time, in different units.
fn by_addresses(flows: &[Box<Flow>], groups: &mut Groups) {
    let key = |flow: &Flow| (flow.proto, flow.orig.min(flow.resp), flow.orig.max(flow.resp));
    let mut order: Vec<_> = (0u32..).zip(flows).map(|(at, flow)| (key(flow), flow.first_ns, at)).collect();
    order.sort_unstable();
    for alike in order.chunk_by(|a, b| a.0 == b.0) {
        for (n, (_, _, at)) in alike.iter().enumerate() {
            let flow = &flows[*at as usize];
            for (_, _, other) in alike[n + 1..].iter().take(ALIKE) {
                let other_flow = &flows[*other as usize];
                if overlap(flow, other_flow) && may_be_one(flow, other_flow) {
                    groups.unite(*at, *other, 0.97);
                }
            }
        }
    }
}

fn overlap(a: &Flow, b: &Flow) -> bool {
    let slack = CLOCKS_NS as i64;
    a.unit != b.unit && a.first_ns <= b.last_ns.saturating_add(slack) && b.first_ns <= a.last_ns.saturating_add(slack)
}

/// Whether nothing says that they are two: two greetings of one end are.
fn may_be_one(a: &Flow, b: &Flow) -> bool {
    let differ = |a: Option<u32>, b: Option<u32>| a.is_some_and(|a| b.is_some_and(|b| a != b));
    let turned = a.orig != b.orig;
    let (orig, resp) = if turned { (&b.from_resp, &b.from_orig) } else { (&b.from_orig, &b.from_resp) };
    a.proto != TCP && !turned || !differ(a.from_orig.isn, orig.isn) && !differ(a.from_resp.isn, resp.isn)
}

/// One connection of what was put together, given with the number of its group.
fn connection(flows: &[Box<Flow>], members: &[(u32, u32)], confidence: f64) -> Connection {
    let mut stages: SmallVec<[Stage; 1]> = SmallVec::new();
    let mut members: SmallVec<[u32; 2]> = members.iter().map(|(_, at)| *at).collect();
    members.sort_by_key(|at| {
        let flow = &flows[*at as usize];
        // Who saw the beginning knows best who began.
        (flow.state == ConnState::Oth, nearness(flow), flow.first_ns, *at)
    });
    for at in members {
        let flow = &flows[at as usize];
        let is_it = |stage: &Stage| {
            (stage.orig, stage.resp) == (flow.orig, flow.resp) || (stage.orig, stage.resp) == (flow.resp, flow.orig)
        };
        match stages.iter_mut().find(|stage| is_it(stage)) {
            Some(stage) => stage.seen.push(at),
            None => stages.push(Stage { orig: flow.orig, resp: flow.resp, seen: smallvec![at] }),
        }
    }
    let proto = stages.first().map_or(0, |stage| flows[stage.seen[0] as usize].proto);
    Connection { proto, stages: in_order(stages, flows), confidence, ..Connection::default() }
}

/// Nearer to the originator is less: its packets lose their TTL on the way.
fn nearness(flow: &Flow) -> Reverse<Option<u8>> {
    Reverse(flow.legs().filter_map(|leg| leg.orig_ttl).max())
}

/// The originator's side first: each stage is placed by how many others come before it.
fn in_order(mut stages: SmallVec<[Stage; 1]>, flows: &[Box<Flow>]) -> SmallVec<[Stage; 1]> {
    if stages.len() > 1 {
        let behind = |a: &Stage| stages.iter().filter(|b| before(b, a, flows) == Ordering::Less).count();
        let places: BTreeMap<(Endpoint, Endpoint), usize> =
            stages.iter().map(|stage| ((stage.orig, stage.resp), behind(stage))).collect();
        stages.sort_by_key(|stage| places.get(&(stage.orig, stage.resp)).copied());
    }
    stages
}

/// Which of two stages a packet of the originator passes first: by time where one unit saw both, else by TTL.
fn before(a: &Stage, b: &Stage, flows: &[Box<Flow>]) -> Ordering {
    let of = |stage: &Stage| stage.seen.iter().map(|at| &*flows[*at as usize]).collect::<Vec<&Flow>>();
    let (of_a, of_b) = (of(a), of(b));
    let asks = |flow: &&&Flow| flow.from_orig.packets > 0;
    let together =
        of_a.iter().filter(asks).find_map(|x| Some((x, of_b.iter().filter(asks).find(|y| y.unit == x.unit)?)));
    if let Some((x, y)) = together
        && x.first_ns != y.first_ns
    {
        return x.first_ns.cmp(&y.first_ns);
    }
    let nearest = |of: &[&Flow]| of.iter().map(|flow| nearness(flow)).min();
    match (of_a.iter().any(|flow| asks(&flow)), of_b.iter().any(|flow| asks(&flow))) {
        (true, true) => nearest(&of_a).cmp(&nearest(&of_b)).then_with(|| first_ns(a, flows).cmp(&first_ns(b, flows))),
        // Answers alone lose their TTL on the way to the originator.
        (a_asks, b_asks) => farthest(&of_a).cmp(&farthest(&of_b)).then(a_asks.cmp(&b_asks)),
    }
}

/// Farther from the responder is less.
fn farthest(of: &[&Flow]) -> Option<u8> {
    of.iter().flat_map(|flow| flow.legs()).filter_map(|leg| leg.resp_ttl).max()
}
