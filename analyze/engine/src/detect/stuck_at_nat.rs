//! Established connections whose segments stop being translated while their originator still sends.

use super::attempts::Outcome;
use super::world::World;
use crate::path::{Binding, Connection};
use crate::track::Endpoint;
use crate::track::event::{Flow, Side};
use std::collections::{BTreeMap, BTreeSet};

/// A connection that was forwarded to an endpoint up to some moment and not any longer.
pub(super) struct Stuck<'a> {
    pub(super) connection: &'a Connection,
    /// Before the NAT, where segments go on.
    pub(super) pre: &'a Flow,
    /// Behind it, where they stop.
    pub(super) post: &'a Flow,
}

/// Stuck connections by service and endpoint, and whether the endpoint was given new connections afterwards.
pub(super) struct Group<'a> {
    pub(super) service: Endpoint,
    pub(super) endpoint: Endpoint,
    pub(super) stuck: Vec<Stuck<'a>>,
    /// New connections that the endpoint was given after the first got stuck, and that others were given.
    pub(super) given: u64,
    pub(super) given_others: u64,
    /// Whether connections got stuck at all endpoints of the service, at each after a pause.
    everywhere: bool,
}

/// Segments go on before the NAT at least this long after the last one behind it: a repetition or two.
const ON_NS: i64 = 200_000_000;

/// All of them.
pub(super) fn stuck<'a>(world: &'a World<'a>) -> Vec<Group<'a>> {
    let mut groups: BTreeMap<(Endpoint, Endpoint), Vec<Stuck<'_>>> = BTreeMap::new();
    let mut endpoints: BTreeSet<(Endpoint, Endpoint)> = BTreeSet::new();
    for (_, connection, outcome) in world.facts.servers.outcomes() {
        let Some(endpoint) = connection.endpoint().filter(|_| outcome == Outcome::Established) else { continue };
        let pair = (connection.front().resp, endpoint);
        endpoints.insert(pair);
        if let Some(stuck) = is_stuck(connection, world) {
            groups.entry(pair).or_default().push(stuck);
        }
    }
    let idle = |pair: &(Endpoint, Endpoint)| groups.get(pair).is_some_and(|all| all.iter().all(Stuck::was_idle));
    let busy: BTreeSet<Endpoint> = endpoints.iter().filter(|pair| !idle(pair)).map(|(service, _)| *service).collect();
    let everywhere = |service: Endpoint| !busy.contains(&service);
    let groups = groups.into_iter().filter(|((service, _), stuck)| !is_all_stuck(*service, stuck, world));
    groups.map(|((service, at), stuck)| group(service, at, stuck, everywhere(service), world)).collect()
}

/// Attempts that vanish before it is chosen whom they are for, before nothing passes at all.
const NOTHING: usize = 2;

/// Whether nothing that is new passes any more either, so that it lies with the node and not with one endpoint.
fn is_all_stuck(service: Endpoint, stuck: &[Stuck<'_>], world: &World<'_>) -> bool {
    let kept = &world.facts.servers.kept;
    let since_ns = stuck.iter().map(Stuck::since_ns).min().unwrap_or_default();
    let later = |connection: &&Connection| connection.flows(kept).all(|flow| flow.first_ns > since_ns);
    let new = || kept.sent_to(service).filter(|connection| connection.front().resp == service).filter(later);
    let vanished = new().filter(|connection| connection.outcome == Outcome::Unanswered);
    vanished.count() >= NOTHING && new().all(|connection| connection.endpoint().is_none())
}

fn is_stuck<'a>(connection: &'a Connection, world: &'a World<'a>) -> Option<Stuck<'a>> {
    let kept = &world.facts.servers.kept;
    let (pre, post) = Binding::of(connection).next()?.nearest(kept);
    let goes_on = pre.unit == post.unit && pre.last_ns.saturating_sub(post.last_ns) >= ON_NS;
    let repeats = pre.from_orig.retransmitted_packets > 0 && is_behind(&post.from_orig, &pre.from_orig);
    (goes_on && repeats && !pre.was_reset(false) && !pre.from_resp.fin).then_some(Stuck { connection, pre, post })
}

/// Whether one side of the NAT saw fewer of an end's bytes than the other.
fn is_behind(post: &Side, pre: &Side) -> bool {
    match (pre.isn, pre.sent, post.sent) {
        (Some(isn), Some(pre), Some(post)) => pre.wrapping_sub(isn) > post.wrapping_sub(isn),
        _ => false,
    }
}

fn group<'a>(
    service: Endpoint,
    endpoint: Endpoint,
    stuck: Vec<Stuck<'a>>,
    everywhere: bool,
    world: &World<'_>,
) -> Group<'a> {
    let kept = &world.facts.servers.kept;
    let forwarded_ns = stuck.iter().map(|stuck| stuck.post.last_ns).max().unwrap_or_default();
    let stuck_ns = stuck.iter().map(Stuck::since_ns).min().unwrap_or_default();
    let begun = |since_ns: i64| {
        let new = move |connection: &&Connection| connection.flows(kept).all(|flow| flow.first_ns > since_ns);
        let of_service = kept.sent_to(service).filter(|connection| connection.front().resp == service);
        of_service.filter(new).filter_map(Connection::endpoint)
    };
    let given = begun(stuck_ns).filter(|to| *to == endpoint).count() as u64;
    let given_others = begun(forwarded_ns).filter(|to| *to != endpoint).count() as u64;
    Group { service, endpoint, stuck, given, given_others, everywhere }
}

impl Group<'_> {
    /// Whether the endpoint was taken out of the service: it gets no new connections, others do, or its connections
    /// broke off in the middle.
    pub(super) fn is_removed(&self) -> bool {
        let broke_off = self.stuck.len() > 1 && !self.stuck.iter().all(Stuck::was_idle);
        !self.is_forgotten() && (self.given_others > 0 || broke_off)
    }

    /// Whether the node forgot the connections: they were idle, those of all endpoints alike, or their endpoint gets new
    /// ones.
    pub(super) fn is_forgotten(&self) -> bool {
        let no_other = self.given_others == 0 || self.everywhere;
        self.given > 0 || no_other && self.stuck.iter().all(Stuck::was_idle)
    }
}

impl Stuck<'_> {
    /// When a segment that was not forwarded was sent again at the latest.
    fn since_ns(&self) -> i64 {
        let stall = self.pre.stall.as_deref().filter(|stall| stall.by_orig && stall.resent > 0);
        stall.map_or(self.pre.last_ns, |stall| stall.first_ns)
    }

    /// Whether the first segment that was not forwarded is the one that ended a pause.
    pub(super) fn was_idle(&self) -> bool {
        self.pre.idle().is_some_and(|idle| idle.gap_ns >= IDLE_NS && idle.until_ns > self.post.last_ns)
    }
}

/// A pause that a timer may have ended.
const IDLE_NS: i64 = 2_000_000_000;
