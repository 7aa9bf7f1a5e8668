use super::About;
use super::evidence::{count_of, some_of};
use super::world::World;
use crate::Addr;
use crate::finding::{Finding, Role, Severity};
use crate::packet::TCP;
use crate::path::{Connection, Kept, Signs};
use crate::time::union;
use crate::track::event::{Flow, LegSeen};
use std::collections::{BTreeMap, BTreeSet};

pub(super) const ABOUT: About = About {
    code: "NET005",
    slug: "asymmetric-path",
    title: "the two directions of connections take different ways",
    severity: Severity::Warning,
    what: "Packets of the client pass one place of the capture, those of the server another, and neither place sees both.",
    why: "A stateful hop on either way (conntrack, a firewall, a load balancer, NAT) sees half of the connection: it drops \
          the rest as invalid, or forgets it, and reverse path filtering drops what comes in where nothing goes out.",
    how: "TCP connections whose two directions were both seen and never at one place, while other connections at the same \
          places show both directions. A warning where such connections were reset, or repeat what is not acknowledged.",
    false_positives: "A tap gives each direction an interface of its own: then no connection shows both at one place. Direct \
                      server return and several uplinks of equal cost do this on purpose: without trouble it is information.",
    fix: "Make routes the same both ways: policy routing by source address on hosts with several uplinks \
          (ip rule, ip route show table all), symmetric hashing on the fabric; where it is meant, take stateful rules and \
          strict rp_filter off both ways.",
    filter: "tcp.flags.syn == 1",
    judge: find,
};

/// Connections that make a pattern, and two-way ones that show that a place would see both directions.
const PATTERN: usize = 3;
const TWO_WAY: u64 = 3;

/// Where packets are seen: point and tunnel.
type Place = (u16, u32);

/// Connections of which the client's packets pass one set of places and the server's another.
#[derive(Default)]
struct Split<'a> {
    connections: Vec<&'a Connection>,
    /// Of these, those in trouble.
    troubled: usize,
}

fn find(world: &World<'_>) -> Vec<Finding> {
    let kept = &world.facts.servers.kept;
    let mut splits: BTreeMap<(Vec<Place>, Vec<Place>), Split<'_>> = BTreeMap::new();
    let one_way = kept.connections().iter().filter(|connection| !connection.signs.has(Signs::TWO_WAY));
    let one_way = one_way.filter(|connection| !connection.flows(kept).any(only_resets));
    for connection in one_way.filter(|connection| connection.proto == TCP) {
        if let Some(ways) = split(connection, kept) {
            let split = splits.entry(ways).or_default();
            split.troubled += usize::from(connection.flows(kept).any(is_troubled));
            split.connections.push(connection);
        }
    }
    splits.retain(|_, split| split.connections.len() >= PATTERN);
    if splits.is_empty() {
        return Vec::new();
    }
    let two_way = two_way(kept);
    let sees_both = |place: &Place| two_way.get(place).is_some_and(|count| *count >= TWO_WAY);
    let real = splits.iter().filter(|((there, back), _)| there.iter().chain(back).all(sees_both));
    real.map(|((there, back), split)| judge(there, back, split, world)).collect()
}

fn legs<'a>(connection: &'a Connection, kept: &'a Kept) -> impl Iterator<Item = &'a LegSeen> + Clone {
    connection.flows(kept).flat_map(Flow::legs)
}

/// Places of the one direction and of the other, where they have none in common, of a connection that none saw both ways.
fn split(connection: &Connection, kept: &Kept) -> Option<(Vec<Place>, Vec<Place>)> {
    let places = |sends: fn(&LegSeen) -> u64| -> BTreeSet<Place> {
        legs(connection, kept).filter(|leg| sends(leg) > 1).map(|leg| (leg.point, leg.tunnel)).collect()
    };
    let (there, back) = (places(|leg| leg.orig_packets), places(|leg| leg.resp_packets));
    let apart = !there.is_empty() && !back.is_empty() && there.is_disjoint(&back);
    apart.then(|| (there.into_iter().collect(), back.into_iter().collect()))
}

/// Whether an end says nothing but resets: a rule on the way makes them as well, which shows no way of answers.
fn only_resets(flow: &Flow) -> bool {
    let said =
        |by_orig: bool| flow.history.as_str().chars().filter(move |letter| letter.is_ascii_uppercase() == by_orig);
    let only =
        |by_orig: bool| said(by_orig).filter(char::is_ascii_alphabetic).all(|letter| letter.eq_ignore_ascii_case(&'r'));
    flow.reset().is_some_and(|reset| only(reset.by_orig))
}

/// Whether it was reset, or repeats what is not acknowledged.
fn is_troubled(flow: &Flow) -> bool {
    flow.reset().is_some() || flow.stall.is_some() || flow.from_orig.syns > 1
}

/// Connections by place that show both directions there.
fn two_way(kept: &Kept) -> BTreeMap<Place, u64> {
    let mut counts = BTreeMap::new();
    for leg in kept.connections().iter().flat_map(|connection| legs(connection, kept)) {
        if leg.is_two_way() {
            *counts.entry((leg.point, leg.tunnel)).or_default() += 1;
        }
    }
    counts
}

fn judge(there: &[Place], back: &[Place], split: &Split<'_>, world: &World<'_>) -> Finding {
    let kept = &world.facts.servers.kept;
    let all = &split.connections;
    let names = |places: &[Place]| some_of(places.iter().map(|(point, tunnel)| world.place_name(*point, *tunnel)), 2);
    let (there, back) = (names(there), names(back));
    let title = format!("{} pass {there} one way and {back} the other", count_of(all.len() as u64, "connection"));
    let mut finding = Finding::of(&ABOUT, title);
    if split.troubled * 2 < all.len() {
        finding.severity = Severity::Info;
    }
    finding.confidence = 0.8;
    let clients: BTreeSet<Addr> = all.iter().map(|connection| connection.front().orig.addr).collect();
    let servers: BTreeSet<Addr> = all.iter().map(|connection| connection.front().resp.addr).collect();
    clients.iter().take(8).for_each(|client| finding.about(Role::Client, client));
    servers.iter().take(8).for_each(|server| finding.about(Role::Server, server));
    finding.counts.insert("connections", all.len() as i64);
    finding.counts.insert("troubled", split.troubled as i64);
    let flows = || all.iter().flat_map(|connection| connection.flows(kept));
    if let Some((first, last)) = union(flows().map(|flow| (flow.first_ns, flow.last_ns))) {
        finding.span(first, last);
    }
    finding.cite(world, flows().map(|flow| flow.first), "tcp");
    finding.explanation = format!(
        "The packets from {} to {} pass {there}, the answers {back}; neither place sees both, though other connections \
         have both directions there. {} of {} were reset or wait for acknowledgements.",
        some_of(&clients, 3),
        some_of(&servers, 3),
        split.troubled,
        count_of(all.len() as u64, "connection"),
    );
    finding.rule_out("CAP002", "both directions are in the capture, at different places");
    finding.fix.commands = vec![
        "ip rule; ip route show table all".to_owned(),
        "sysctl net.ipv4.conf.all.rp_filter; nstat -az TcpExtIPReversePathFilter".to_owned(),
        "conntrack -S | grep -o 'invalid=[0-9]*'".to_owned(),
    ];
    finding
}
