use super::About;
use super::evidence::count_of;
use super::overlay::{ATTEMPTS, Pair, Units, View, views};
use super::world::World;
use crate::Addr;
use crate::finding::{Finding, Role, Severity};
use crate::time::rfc3339;
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
          capture sees one direction only and another sees both; when an end that exchanges packets with other nodes \
          sees nothing come back from this one; or when SYNs arrive, SYN-ACKs leave, and every handshake inside, be it \
          from some moment on, repeats and none completes.",
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
}

fn find(world: &World<'_>) -> Vec<Finding> {
    let pairs = views(world);
    let unknown = pairs.iter().filter(|(pair, _)| !world.knows_pair(&["OVL004"], pair.a, pair.b));
    let lost = unknown.filter_map(|(pair, units)| Some((*pair, units, lost(*pair, units, &pairs)?)));
    lost.map(|(pair, units, loss)| judge(pair, units, &loss, world)).collect()
}

fn lost(pair: Pair, units: &Units, all: &BTreeMap<Pair, Units>) -> Option<Loss> {
    let worked_ns = units.values().filter_map(|view| view.inside.complete_ns).max();
    let came_back = units.values().any(|view| view.inside.came_back > 0);
    let unanswered = units.values().filter(|_| !came_back).find_map(|view| answers_lost(pair, view, worked_ns));
    unanswered.or_else(|| units.iter().find_map(|(unit, view)| nothing_back(pair, *unit, view, units, all)))
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
        return Some(Loss { from, to, how, confidence: 0.85 });
    }
    let how = format!(
        "{handshakes} inside repeat SYN and SYN-ACK and none completes{since}, so the answers that leave {from} do not arrive \
         at {to}"
    );
    Some(Loss { from, to, how, confidence: 0.85 })
}

/// One direction only, with attempts inside that need the other; the other is known to be sent, or the end that hears
/// nothing of it hears other nodes.
fn nothing_back(pair: Pair, unit: u32, view: &View, units: &Units, all: &BTreeMap<Pair, Units>) -> Option<Loss> {
    let one_way = view.one_way(pair)?;
    let (near, far) = (one_way.near, one_way.far);
    let sent = count_of(one_way.sent, "frame");
    let silent = count_of(one_way.silent, "attempt");
    let is_sent = |view: &View| {
        let (there, back) = if near == pair.a { (view.ab, view.ba) } else { (view.ba, view.ab) };
        there.frames > 0 && one_way.since_ns.map_or(back.frames > 0, |since| back.last_ns > since + ANSWERED_NS)
    };
    if units.iter().any(|(other, view)| *other != unit && is_sent(view)) {
        let how = format!(
            "{sent} from {near} and none from {far} in one capture, both directions in another; {silent} inside stay \
             unanswered"
        );
        return Some(Loss { from: far, to: near, how, confidence: 0.95 });
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
    Some(Loss { from: far, to: near, how, confidence: 0.75 })
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
    finding.counts.insert("unanswered", sum(|view| view.inside.silent + view.inside.half_open));
    let spans: Vec<(i64, i64)> = units.values().filter_map(|view| view.inside.span_ns).collect();
    if let (Some(first), Some(last)) = (spans.iter().map(|s| s.0).min(), spans.iter().map(|s| s.1).max()) {
        finding.span(first, last);
    }
    let frames = units.values().flat_map(|view| view.inside.frames.iter().copied());
    let family = pair.a.family();
    finding.cite(world, frames, &format!("{family}.addr == {} && {family}.addr == {}", pair.a, pair.b));
    finding.explanation = format!("Between the nodes {} and {}: {}.", pair.a, pair.b, loss.how);
    finding.rule_out("SVC004", "the attempts are lost in the tunnel, whatever address they are for");
    finding.fix.commands = vec![
        format!("iptables-save | grep -e DROP -e {}", loss.from),
        "bridge fdb show; ip -d link show type vxlan".to_owned(),
    ];
    finding.capture_next = Some(format!(
        "on the physical interface of both {} and {} at the same time: the frames leave one and do not arrive at the other",
        loss.from, loss.to
    ));
    finding
}
