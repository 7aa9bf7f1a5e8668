//! New connections that a node drops though it translates nothing: conntrack looks at what it passes on as well.

use super::super::evidence::{count_of, some_of};
use super::super::world::World;
use super::{ABOUT, RARE, REPEATED, commands};
use crate::Addr;
use crate::finding::{Finding, Role, Severity};
use crate::packet::TCP;
use crate::path::Connection;
use crate::time::union;
use crate::track::event::{Flow, LegSeen};
use crate::track::{Endpoint, FrameId};
use std::collections::{BTreeMap, BTreeSet};

/// What one unit saw of new connections that pass it.
#[derive(Default)]
struct Node<'a> {
    new: Vec<&'a Flow>,
    /// Places that each connection to a server passes whose first SYN did, by the way it came.
    places: BTreeMap<(Endpoint, Way), usize>,
    /// Connections that lost data.
    worn: usize,
}

/// `own`: services and clients that are endpoints of them and never reach themselves.
pub(super) fn find(own: &BTreeSet<(Endpoint, Addr)>, world: &World<'_>) -> Vec<Finding> {
    let kept = &world.facts.servers.kept;
    let tcp = kept.connections().iter().filter(|connection| connection.proto == TCP);
    let to_itself = |connection: &Connection| {
        let front = connection.front();
        own.contains(&(front.resp, front.orig.addr)) || front.orig.addr == connection.back().resp.addr
    };
    let tcp = tcp.filter(|connection| !to_itself(connection));
    let mut nodes: BTreeMap<u32, Node<'_>> = BTreeMap::new();
    for flow in tcp.flat_map(|connection| connection.flows(kept)).filter(|flow| flow.from_orig.isn.is_some()) {
        nodes.entry(flow.unit).or_default().add(flow);
    }
    if world.lacks_packets() {
        return Vec::new();
    }
    let found = nodes.values().filter_map(|node| Some((node, node.lost(world)?)));
    // Of several nodes the one that shows most: one before it on the way sees less of it.
    let most = found.max_by_key(|(_, lost)| lost.len());
    most.map(|(_, lost)| judge(&lost, world)).into_iter().collect()
}

fn forward(flow: &Flow) -> impl Iterator<Item = &LegSeen> + Clone {
    flow.legs().filter(|leg| leg.orig_packets > 0)
}

/// The first place that sees a connection, and in which tunnel.
type Way = Option<(u16, u32)>;

fn came(flow: &Flow) -> Way {
    forward(flow).next().map(|leg| (leg.point, leg.tunnel))
}

/// SYNs that the place that has most saw and another has not.
fn missing(flow: &Flow, places: usize) -> u32 {
    let syns = || forward(flow).map(|leg| leg.syns);
    let most = syns().max().unwrap_or_default();
    let least = if forward(flow).count() < places { 0 } else { syns().min().unwrap_or_default() };
    most - least
}

impl<'a> Node<'a> {
    fn add(&mut self, flow: &'a Flow) {
        // Inside tunnels the capture may have cut off the flags.
        if forward(flow).any(|leg| leg.syns == 0) {
            return;
        }
        self.worn += usize::from(flow.from_orig.retransmitted_packets > 0 || flow.from_resp.retransmitted_packets > 0);
        if flow.from_orig.syns == 1 && flow.is_two_way() {
            let count = forward(flow).count();
            let way = (flow.resp, came(flow));
            self.places.entry(way).and_modify(|places| *places = count.min(*places)).or_insert(count);
        }
        self.new.push(flow);
    }

    /// Connections that lost SYNs on the node, if they are many and of all kinds: of the same server others pass at once
    /// meanwhile, and repetitions do; and nothing that is established loses anything.
    fn lost(&self, world: &World<'_>) -> Option<Vec<&'a Flow>> {
        let places = |flow: &Flow| self.places.get(&(flow.resp, came(flow))).copied().unwrap_or_default();
        let is_lost =
            |flow: &&&Flow| places(flow) > 1 && missing(flow, places(flow)) > 0 && !world.is_in_broken_tunnel(flow);
        let lost: Vec<&Flow> = self.new.iter().filter(is_lost).copied().collect();
        let begins = || lost.iter().map(|flow| flow.first_ns);
        let (begin, end) = (begins().min()?, begins().max()?);
        // What comes another way is none of what the place drops.
        let ways: BTreeSet<Way> = lost.iter().map(|flow| came(flow)).collect();
        let within = |flow: &&&Flow| (begin..=end).contains(&flow.first_ns) && ways.contains(&came(flow));
        let meanwhile = || self.new.iter().filter(within);
        let servers: BTreeSet<Endpoint> = lost.iter().map(|flow| flow.resp).collect();
        let passes = |flow: &&&Flow| flow.from_orig.syns == 1 && flow.is_two_way() && servers.contains(&flow.resp);
        let repeated = lost.iter().any(|flow| forward(flow).count() == places(flow));
        let common = lost.len() >= REPEATED && lost.len() * RARE >= meanwhile().count();
        let well = meanwhile().filter(passes).count() > 0 && self.worn * WORN <= lost.len();
        (repeated && common && well).then_some(lost)
    }
}

/// Where segments of established connections are lost as well, no more than one in so many, it is a bad link.
const WORN: usize = 4;

fn judge(lost: &[&Flow], world: &World<'_>) -> Finding {
    let count = count_of(lost.len() as u64, "new connection");
    let servers: BTreeSet<Endpoint> = lost.iter().map(|flow| flow.resp).collect();
    let clients: BTreeSet<Addr> = lost.iter().map(|flow| flow.orig.addr).collect();
    let to = some_of(&servers, 2);
    let mut finding = Finding::of(&ABOUT, format!("SYNs of {count} to {to} vanish on the node"));
    let several = servers.len() > 1;
    (finding.severity, finding.confidence) = if several { (Severity::Error, 0.7) } else { (Severity::Warning, 0.6) };
    servers.iter().take(8).for_each(|server| finding.about(Role::Server, server));
    clients.iter().take(8).for_each(|client| finding.about(Role::Client, client));
    finding.counts.insert("connections", lost.len() as i64);
    finding.counts.insert("clients", clients.len() as i64);
    let (begin, end) = union(lost.iter().map(|flow| (flow.first_ns, flow.first_ns))).unwrap_or_default();
    finding.span(begin, end);
    let frames: Vec<FrameId> = lost.iter().flat_map(|flow| flow.syns.iter().copied().take(2)).collect();
    finding.cite(world, frames, ABOUT.filter);
    let (came, gone) = (places(lost, true, world), places(lost, false, world));
    finding.explanation = format!(
        "SYNs of {count} to {to} were seen on {} and not on {}, which others to the same address pass at once. Their \
         repetitions pass, and connections that are established lose nothing: the node drops what is new now and then. \
         Its conntrack table is full, or a rule there limits new connections.",
        some_of(&came, 2),
        some_of(&gone, 2),
    );
    finding.rule_out("SVC006", "the SYNs never reach a server");
    finding.rule_out("SVC004", "the same clients reach the same address in between");
    finding.rule_out("NET001", "nothing but the first packets of connections is lost");
    finding.fix.commands = commands();
    if !several {
        finding.limits.push("only one destination is hit: a full table mostly hits whatever is new".to_owned());
    }
    finding
}

/// Where the SYNs of most were seen last, or first not.
fn places(lost: &[&Flow], came: bool, world: &World<'_>) -> BTreeSet<String> {
    let all = |flow: &Flow| forward(flow).map(|leg| leg.syns).max().unwrap_or_default();
    let place = |flow: &&Flow| {
        let legs = forward(flow).filter(|leg| (leg.syns == all(flow)) == came);
        let leg = if came { legs.max_by_key(|leg| leg.first_ns) } else { legs.min_by_key(|leg| leg.first_ns) };
        leg.map(|leg| world.place_name(leg.point, leg.tunnel))
    };
    lost.iter().filter_map(place).collect()
}
