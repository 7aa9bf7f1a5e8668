mod not_sent;

use super::About;
use super::evidence::count_of;
use super::overlay::{ATTEMPTS, OneWay, Pair, SENT, SILENCE_NS, Units, View, views};
use super::world::World;
use crate::Addr;
use crate::finding::{Finding, Role, Severity};
use crate::packet::TCP;
use crate::time::rfc3339;
use crate::track::event::Flow;
use crate::track::tunnels::Tunnel;
use not_sent::{Entrances, Unsent, not_sent};
use std::cell::LazyCell;
use std::collections::BTreeMap;

pub(super) const ABOUT: About = About {
    code: "OVL001",
    slug: "overlay-one-way",
    title: "encapsulated packets pass one way only between two nodes",
    severity: Severity::Critical,
    what: "Between two nodes encapsulated packets arrive in one direction and never in the other.",
    why: "No connection between pods of the two nodes works, while pods of one node reach each other: a firewall or \
          security group lets the overlay's port through one way only, or a node sends to a stale address.",
    how: "For each pair of outer addresses: frames each way, and what became of the connections inside. Said when one \
          capture sees one direction only and another sees both; when a capture next to the receiver has none of it; when an end that exchanges packets with other nodes \
          sees nothing come back from this one; or when SYNs arrive, SYN-ACKs leave, and every handshake inside, be it \
          from some moment on, repeats and none completes. Or a node's capture of all interfaces sees attempts go into the \
          tunnel's interface and nothing leave in the tunnel any more.",
    false_positives: "One-way datagrams such as syslog or metrics are normal: unanswered attempts inside are required. \
                      Handshakes with one server alone may be stopped there: two servers are required. Answers that a \
                      capture next to the client has seen in the tunnel have arrived, and are dropped behind it, unless it \
                      sees what enters the tunnel there and no answer come out of it. A tunnel that \
                      carries both directions of inner connections one way is a mirror or tap.",
    fix: "Allow the overlay's traffic in both directions between all nodes: UDP 8472 or 4789 (VXLAN), 6081 (Geneve), IP \
          protocol 4 (IPIP), in host firewalls, security groups and the fabric.",
    filter: "udp.port == 8472 || udp.port == 4789 || udp.port == 6081 || ip.proto == 4",
    judge: find,
};

/// A direction that is lost and how that is known.
struct Loss {
    from: Addr,
    to: Addr,
    how: String,
    confidence: f64,
    /// What else looks the same.
    limit: Option<String>,
    /// Whether captures show what leaves one end and what comes to the other.
    both_ends: bool,
    /// What went into the tunnel's interface and never left, where that was seen.
    unsent: Option<Unsent>,
}

fn find(world: &World<'_>) -> Vec<Finding> {
    let pairs = views(world);
    let known = |pair: &Pair| world.knows_pair(&["OVL004"], pair.a, pair.b) || world.has_double_end(pair.a, pair.b);
    let unknown = pairs.iter().filter(|(pair, _)| !known(pair));
    let entrances = LazyCell::new(|| Entrances::of(world));
    let lost = |pair: Pair, units| not_sent(pair, units, &entrances).or_else(|| lost(pair, units, &pairs, world));
    let lost = unknown.filter_map(|(pair, units)| Some((*pair, units, lost(*pair, units)?)));
    lost.map(|(pair, units, loss)| judge(pair, units, &loss, world)).collect()
}

fn lost(pair: Pair, units: &Units, all: &BTreeMap<Pair, Units>, world: &World<'_>) -> Option<Loss> {
    let worked_ns = units.values().filter_map(|view| view.inside.complete_ns).max();
    let came_back = units.values().any(|view| view.inside.came_back > 0);
    let unanswered = units.values().filter(|_| !came_back).find_map(|view| answers_lost(pair, view, worked_ns));
    let ways = || units.iter().filter_map(|(unit, view)| Some((*unit, view.one_way(pair)?)));
    let back = || ways().find_map(|(unit, way)| nothing_back(pair, unit, &way, units));
    // What captures of both ends show is surer than what one infers.
    let both =
        back().filter(|back| unanswered.as_ref().is_none_or(|loss| (loss.from, loss.to) == (back.from, back.to)));
    both.or(unanswered).or_else(|| {
        ways().find_map(|(unit, way)| {
            nothing_there(pair, unit, &way, all, world).or_else(|| lonely(pair, unit, &way, all))
        })
    })
}

/// SYNs arrive, SYN-ACKs leave, and no handshake completes, be it from some moment on: the answers are lost on the way.
fn answers_lost(pair: Pair, view: &View, worked_ns: Option<i64>) -> Option<Loss> {
    let inside = &view.inside;
    let later = inside.half_open_since(worked_ns);
    if view.ab.frames == 0 || view.ba.frames == 0 || (later.len() as u64) < ATTEMPTS {
        return None;
    }
    let from_a = later.iter().filter(|attempt| attempt.from_a).count();
    let (from, to) = if from_a * 2 >= later.len() { (pair.b, pair.a) } else { (pair.a, pair.b) };
    let handshakes = match worked_ns {
        None => count_of(inside.half_open, "handshake"),
        Some(_) => format!("handshakes with {}", count_of(later.len() as u64, "server")),
    };
    let since = worked_ns.map_or_else(String::new, |ns| format!(" after {}", rfc3339(ns)));
    let stuck = later.iter().filter(|attempt| attempt.stuck).count() as u64;
    if stuck > 0 {
        let how = format!(
            "the answers of {} from {from} come to {to} in the tunnel and not out of it: its host drops them before, by a \
             firewall rule, or because the identifier, the inner MAC or the checksum is wrong",
            count_of(if worked_ns.is_none() { inside.stuck } else { stuck }, "handshake")
        );
        return Some(Loss { from, to, how, confidence: 0.85, limit: None, both_ends: true, unsent: None });
    }
    let how = format!(
        "{handshakes} inside repeat SYN and SYN-ACK and none completes{since}, so the answers that leave {from} do not arrive \
         at {to}"
    );
    let limit = format!(
        "that they arrive and {to} drops them before or behind the tunnel looks the same from here: its firewall, reverse \
         path filter or policy, a wrong checksum"
    );
    Some(Loss { from, to, how, confidence: 0.85, limit: Some(limit), both_ends: false, unsent: None })
}

/// One direction only, with attempts inside that need the other, which another capture has.
fn nothing_back(pair: Pair, unit: u32, way: &OneWay, units: &Units) -> Option<Loss> {
    let (near, far) = (way.near, way.far);
    let (sent, silent) = (count_of(way.sent, "frame"), count_of(way.silent, "attempt"));
    let is_sent = |view: &View| {
        let (there, back) = if near == pair.a { (view.ab, view.ba) } else { (view.ba, view.ab) };
        there.frames > 0 && way.since_ns.map_or(back.frames > 0, |since| back.last_ns > since + ANSWERED_NS)
    };
    if !units.iter().any(|(other, view)| *other != unit && is_sent(view)) {
        return None;
    }
    let how = format!(
        "{sent} from {near} and none from {far} in one capture, both directions in another; {silent} inside stay \
         unanswered"
    );
    Some(Loss { from: far, to: near, how, confidence: 0.95, limit: None, both_ends: true, unsent: None })
}

/// One direction only, and a capture next to its receiver, or one that had it before, has nothing of it, though it has
/// captured all the time.
fn nothing_there(pair: Pair, unit: u32, way: &OneWay, all: &BTreeMap<Pair, Units>, world: &World<'_>) -> Option<Loss> {
    let (near, far) = (way.near, way.far);
    let units = all.get(&pair)?;
    let there = |unit: u32| units.get(&unit).map(|view| if near == pair.a { view.ab } else { view.ba });
    let sent_ns = there(unit)?.last_ns;
    let spans = world.unit_spans();
    let lacks = |other: u32| {
        let arrived_ns = there(other).filter(|way| way.frames > 0).map_or(i64::MIN, |way| way.last_ns);
        let from_ns = way.begun_ns.max(arrived_ns);
        let (_, last_ns) = spans.get(&other).filter(|(first_ns, _)| *first_ns <= from_ns)?;
        (sent_ns.min(*last_ns).saturating_sub(from_ns) >= SILENCE_NS + ANSWERED_NS).then_some(other)
    };
    let on_the_way = |other: &u32| *other != unit && there(*other).is_some_and(|way| way.frames >= SENT);
    let behind = units.keys().copied().filter(on_the_way).chain(next_to(far, pair, unit, world));
    let other = behind.into_iter().find_map(lacks)?;
    // A filter may hide what is encapsulated.
    let shows_tunnels = all.values().any(|units| units.contains_key(&other));
    let (sent, silent) = (count_of(way.sent, "frame"), count_of(way.silent, "attempt"));
    let how = format!(
        "{sent} leave {near}, and a capture nearer to {far}, which has other connections of the two or \
         had these frames before, has none of them from then on; {silent} inside stay unanswered"
    );
    Some(Loss {
        from: near,
        to: far,
        how,
        confidence: if shows_tunnels { 0.95 } else { 0.75 },
        limit: None,
        both_ends: true,
        unsent: None,
    })
}

/// Connections of two nodes that show where a capture was taken.
const SHARED: i64 = 2;

/// Units that are nearer to a node than this one: they wait less for what comes from it in connections with its peer.
fn next_to(node: Addr, pair: Pair, unit: u32, world: &World<'_>) -> Vec<u32> {
    let kept = &world.facts.servers.kept;
    let mut votes: BTreeMap<u32, i64> = BTreeMap::new();
    for connection in kept.connections().iter().filter(|connection| connection.proto == TCP) {
        let here = connection.flows(kept).find(|flow| flow.unit == unit);
        let Some(usual) = here.and_then(|flow| wait_ns(flow, node, pair, world)) else { continue };
        for other in connection.flows(kept).filter(|flow| flow.unit != unit) {
            let Some(wait) = wait_ns(other, node, pair, world) else { continue };
            *votes.entry(other.unit).or_default() += if wait * 5 < usual * 4 { 1 } else { -1 };
        }
    }
    votes.into_iter().filter(|(_, votes)| *votes >= SHARED).map(|(unit, _)| unit).collect()
}

/// How long a handshake of two nodes, or of what is behind them, waited for what comes from one of them.
fn wait_ns(flow: &Flow, node: Addr, pair: Pair, world: &World<'_>) -> Option<i64> {
    let (from, to) = (flow.orig.addr, flow.resp.addr);
    let is_direct = [(pair.a, pair.b), (pair.b, pair.a)].contains(&(from, to));
    let is_inside = |tunnel: &Tunnel| (tunnel.kind, tunnel.a, tunnel.b) == (pair.kind, pair.a, pair.b);
    let inside = || flow.legs().find(|leg| world.tunnel(leg.tunnel).is_some_and(is_inside));
    let by_a = if is_direct { from == pair.a } else { inside()?.orig_from_a };
    if by_a == (node == pair.a) { flow.rtt_orig_ns.get() } else { flow.rtt_resp_ns.get() }
}

/// One direction only, while the end that hears nothing of the other hears other nodes.
fn lonely(pair: Pair, unit: u32, way: &OneWay, all: &BTreeMap<Pair, Units>) -> Option<Loss> {
    let (near, far) = (way.near, way.far);
    let (sent, silent) = (count_of(way.sent, "frame"), count_of(way.silent, "attempt"));
    // What is seen to come out at the other end, for it or for another host, is not lost on the way.
    let delivers = |view: &View| view.delivers(near == pair.a, way.since_ns) || view.inside.strayed > 0;
    if all.get(&pair).is_some_and(|units| units.values().any(delivers)) {
        return None;
    }
    let lively = |(other, units): (&Pair, &Units)| {
        let ends = *other != pair && (other.a == near || other.b == near);
        ends && units.get(&unit).is_some_and(|view| view.ab.frames > 0 && view.ba.frames > 0)
    };
    if !all.iter().any(lively) {
        return None;
    }
    let how = format!(
        "{sent} from {near} to {far} and none back, while {near} exchanges packets with other nodes; {silent} inside \
         stay unanswered"
    );
    let limit = format!(
        "whether {far} gets what {near} sends, and its answers are lost, or gets nothing, cannot be told from here"
    );
    Some(Loss { from: far, to: near, how, confidence: 0.75, limit: Some(limit), both_ends: false, unsent: None })
}

/// Clocks of captures differ, and answers take their time.
const ANSWERED_NS: i64 = 2_000_000_000;

fn judge(pair: Pair, units: &Units, loss: &Loss, world: &World<'_>) -> Finding {
    let kind = pair.kind.name();
    let mut finding = Finding::of(&ABOUT, format!("{kind} from {} to {} does not arrive", loss.from, loss.to));
    finding.confidence = loss.confidence;
    finding.about(Role::Vtep, &loss.from);
    finding.about(Role::Vtep, &loss.to);
    let sum = |count: fn(&View) -> u64| units.values().map(count).max().unwrap_or_default() as i64;
    finding.counts.insert("frames_ab", sum(|view| view.ab.frames));
    finding.counts.insert("frames_ba", sum(|view| view.ba.frames));
    let unsent = loss.unsent.as_ref();
    let unanswered = unsent.map_or(0, |unsent| unsent.attempts as i64);
    finding.counts.insert("unanswered", sum(|view| view.inside.silent + view.inside.half_open).max(unanswered));
    let own = unsent.map(|unsent| unsent.span_ns);
    let spans: Vec<(i64, i64)> =
        own.map_or_else(|| units.values().filter_map(|view| view.inside.span_ns).collect(), |span| vec![span]);
    if let (Some(first), Some(last)) = (spans.iter().map(|s| s.0).min(), spans.iter().map(|s| s.1).max()) {
        finding.span(first, last);
    }
    let frames = units.values().flat_map(|view| view.inside.frames.iter().copied());
    let frames = unsent.map_or_else(|| frames.collect(), |unsent| unsent.frames.clone());
    let family = pair.a.family();
    // SYNs are cited where they were seen first, which may be before the tunnel.
    let filter = format!("({family}.addr == {} && {family}.addr == {}) || tcp.flags.syn == 1", pair.a, pair.b);
    finding.cite(world, frames, &filter);
    finding.explanation = format!("Between the nodes {} and {}: {}.", pair.a, pair.b, loss.how);
    finding.limits.extend(loss.limit.clone());
    finding.rule_out("SVC004", "the attempts are lost in the tunnel, whatever address they are for");
    finding.fix.commands = vec![
        format!("iptables-save | grep -e DROP -e {}", loss.from),
        "bridge fdb show; ip -d link show type vxlan".to_owned(),
    ];
    if !loss.both_ends {
        finding.capture_next = Some(format!(
            "on the physical interface of both {} and {} at the same time: whether the frames leave one and arrive at the \
             other",
            loss.from, loss.to
        ));
    }
    finding
}
