use super::About;
use super::evidence::{count_of, some_of};
use super::overlay::{ATTEMPTS, OneWay, Pair, Units, View, views};
use super::world::World;
use crate::Addr;
use crate::finding::{Finding, Role, Severity};
use crate::time::union;
use crate::track::{Endpoint, IcmpError};
use std::collections::{BTreeMap, BTreeSet};

pub(super) const ABOUT: About = About {
    code: "OVL002",
    slug: "overlay-down",
    title: "nothing comes back through the overlay between two nodes",
    severity: Severity::Critical,
    what: "A node sends encapsulated packets to another and nothing ever comes back, though both are there.",
    why: "No connection between pods of the two nodes works. A firewall or security group drops the overlay's port or \
          protocol, the other end has no such tunnel, or it is gone.",
    how: "Encapsulated packets one way only, or one way only from some moment on, with at least two attempts inside, to \
          different addresses, that need an answer (SYNs repeated, DNS questions, pings) and get none. Something else must \
          show that the capture sees both directions.",
    false_positives: "One-way datagrams are normal: unanswered attempts are required. A mirror carries both directions of \
                      connections one way. What is seen to come out of the tunnel and gets no answer there, what was \
                      silent while other answers came, and DNS questions alone after the tunnel worked, are not the \
                      tunnel's matter. Where one end is seen to send both ways, or hears other nodes, it is OVL001.",
    fix: "Allow the overlay between all nodes: UDP 8472 or 4789 (VXLAN), 6081 (Geneve), IP protocol 4 (IPIP); check that \
          the other node has the tunnel, with the same port and identifier.",
    filter: "udp.port == 8472 || udp.port == 4789 || udp.port == 6081 || ip.proto == 4",
    judge: find,
};

/// Servers named.
const FEW: usize = 8;

fn find(world: &World<'_>) -> Vec<Finding> {
    let pairs = views(world);
    let known =
        |pair: &Pair| world.knows_pair(&["OVL001", "OVL004"], pair.a, pair.b) || world.has_double_end(pair.a, pair.b);
    let unknown = pairs.iter().filter(|(pair, _)| !known(pair));
    unknown.filter_map(|(pair, units)| judge(*pair, units, world)).collect()
}

fn judge(pair: Pair, units: &Units, world: &World<'_>) -> Option<Finding> {
    let ways: Vec<(u32, &View, OneWay)> =
        units.iter().filter_map(|(unit, view)| Some((*unit, view, view.one_way(pair)?))).collect();
    let (unit, _, worst) = ways.iter().max_by_key(|(_, _, way)| way.silent)?;
    let witness = witness(*unit, worst, world)?;
    let both = ways.iter().any(|(_, _, way)| way.near == worst.far);
    // One address that does not answer is no tunnel that is down.
    let refused = refused(worst, world);
    let alone = !both && worst.asked < 2 && refused.is_empty();
    if alone || units.values().any(|view| view.delivers(worst.near == pair.a, worst.since_ns)) {
        return None;
    }
    let kind = pair.kind.name();
    let title = if both {
        format!("{kind} between {} and {} arrives neither way", pair.a, pair.b)
    } else {
        format!("{kind} from {} to {} gets no answer", worst.near, worst.far)
    };
    let mut finding = Finding::of(&ABOUT, title);
    finding.confidence = if both { 0.95 } else { 0.75 };
    describe(&mut finding, pair, &ways, world);
    finding.explanation = explain(pair, &ways, worst, both, &witness);
    let strayed = units.values().map(|view| view.inside.strayed).max().unwrap_or_default();
    if let Some(error) = refused.first() {
        be_refused(&mut finding, worst, error);
        finding.cite(world, refused.iter().map(|error| error.frame), "icmp.type == 3 || icmpv6.type == 1");
    } else if strayed >= ATTEMPTS {
        be_astray(&mut finding, worst, strayed);
    } else if !both {
        doubt(&mut finding, worst);
        finding.capture_next = Some(format!(
            "on the physical interface of both {} and {} at the same time: whether the frames arrive at the other",
            pair.a, pair.b
        ));
    }
    Some(finding)
}

/// Errors by which the far end refuses what is sent to it, since nothing comes back.
fn refused<'a>(way: &OneWay, world: &'a World<'_>) -> Vec<&'a IcmpError> {
    let errors = world.facts.refused_tunnels.get(&(way.near, way.far)).into_iter().flatten();
    errors.filter(|error| way.since_ns.is_none_or(|since| error.ns >= since)).collect()
}

/// Says who refuses the packets, and how.
fn be_refused(finding: &mut Finding, way: &OneWay, error: &IcmpError) {
    let (near, far, says) = (way.near, way.far, error.icmp.name());
    let kind = error.quoted_tunnel.map_or("tunnel", |kind| kind.name());
    finding.confidence = 0.95;
    finding.title = format!("{far} refuses {kind} from {near}: {says}");
    let told = format!(" {} answers the tunnel's packets with {}.", error.from, error.icmp);
    finding.explanation.push_str(&told);
    let (why, look) = if error.icmp.is_prohibited() {
        ("A firewall there rejects them", "iptables-save | grep REJECT")
    } else {
        (
            "The tunnel's interface is gone there or has another port, or a firewall rejects it",
            "ip -d link show; ss -lun",
        )
    };
    finding.fix.text = format!("{why}: see whether the network agent of {far} runs, and what it logs. {}", ABOUT.fix);
    finding.fix.commands.insert(0, format!("{look}   # on {far}"));
    finding.rule_out("OVL001", "the packets arrive, and are refused");
}

/// Says that the packets come to a host that they are not for.
fn be_astray(finding: &mut Finding, way: &OneWay, strayed: u64) {
    let (near, far) = (way.near, way.far);
    finding.confidence = 0.9;
    finding.title = format!("{near} sends to {far} what is not for it");
    let why = format!(
        " {} came out of the tunnel at {far} for a link address that it does not have, so its host drops them: {near} has \
         a wrong forwarding or neighbour entry.",
        count_of(strayed, "attempt")
    );
    finding.explanation.push_str(&why);
    finding.fix.text = format!(
        "Correct the entries of the tunnel's interface on {near}: restart its network agent, which writes them anew, and look \
         why it was not told which node has the pods now, and with which link address."
    );
    finding.fix.commands = vec![
        format!("bridge fdb show | grep {far}; ip neighbor show nud permanent   # on {near}"),
        format!("ip -d link show type vxlan; ip -d link show type geneve   # on {far}: its own address"),
    ];
    finding.rule_out("SVC004", "what is sent arrives, at a host that it is not for");
}

/// Says what else it may be, which one end alone cannot tell.
fn doubt(finding: &mut Finding, way: &OneWay) {
    let far = way.far;
    finding.fix.text = format!(
        "See first whether the frames arrive at {far}. If they do, look for a NetworkPolicy or firewall there that drops \
         what comes out of the tunnel, and for what drops its answers. If they do not: {}",
        ABOUT.fix
    );
    // What is for one port may be one policy's, or where it worked before, one service's that hangs.
    match (way.ports, way.since_ns) {
        (1, Some(_)) => {
            finding.severity = Severity::Error;
            finding.confidence = 0.5;
        }
        (1, None) => finding.confidence = 0.6,
        _ => finding.rule_out("SVC004", "every attempt inside the tunnel is lost, whatever address and port it is for"),
    }
    finding
        .limits
        .push(format!("whether {far} receives the packets and its answers are lost (OVL001) cannot be told from here"));
    finding.limits.push(format!(
        "a NetworkPolicy or firewall on {far} that drops what comes out of the tunnel looks the same from here (SVC004)"
    ));
}

fn describe(finding: &mut Finding, pair: Pair, ways: &[(u32, &View, OneWay)], world: &World<'_>) {
    finding.about(Role::Vtep, &pair.a);
    finding.about(Role::Vtep, &pair.b);
    let servers: BTreeSet<Endpoint> =
        ways.iter().flat_map(|(_, view, _)| view.inside.half_open_at.keys().copied()).collect();
    for server in servers.iter().take(FEW) {
        finding.about(Role::Server, server);
    }
    let sum = |count: fn(&OneWay) -> u64| by_end(ways, count).values().sum::<u64>() as i64;
    finding.counts.insert("frames", sum(|way| way.sent));
    finding.counts.insert("unanswered", sum(|way| way.silent));
    let spans = ways.iter().filter_map(|(_, view, _)| view.inside.span_ns);
    if let Some((first, last)) = union(spans) {
        finding.span(first, last);
    }
    let frames = ways.iter().flat_map(|(_, view, _)| view.inside.frames.iter().copied());
    let family = pair.a.family();
    finding.cite(world, frames, &format!("{family}.addr == {} && {family}.addr == {}", pair.a, pair.b));
    finding.fix.commands = vec![
        format!("iptables-save | grep -e DROP -e {}", pair.b),
        "ip -d link show type vxlan; ip -d link show type geneve; bridge fdb show".to_owned(),
    ];
}

/// A count for each end: where several captures show what it sends, of the one that shows most.
fn by_end(ways: &[(u32, &View, OneWay)], count: fn(&OneWay) -> u64) -> BTreeMap<Addr, u64> {
    let mut ends = BTreeMap::new();
    for (_, _, way) in ways {
        let known: &mut u64 = ends.entry(way.near).or_default();
        *known = count(way).max(*known);
    }
    ends
}

/// What shows that the capture would see the other direction: the other end itself, or others that are heard.
fn witness(unit: u32, way: &OneWay, world: &World<'_>) -> Option<String> {
    let facts = &world.facts;
    if world.is_one_sided(unit) {
        return None;
    }
    if facts.speakers.contains(&(unit, way.far)) {
        return Some(format!("{} speaks ARP or neighbour discovery here, so it is there", way.far));
    }
    if let Some(since) = way.since_ns {
        return Some(format!("it did answer until {}", crate::time::rfc3339(since)));
    }
    let others = world.two_way(unit);
    if others > 0 {
        let others = count_of(others, "connection");
        return Some(format!("{others} elsewhere show both directions"));
    }
    // What is captured may be only what the host itself sends.
    let heard = facts.speakers.iter().any(|(of, speaker)| *of == unit && *speaker != way.near);
    heard.then(|| "neighbours are heard, so the capture sees both directions".to_owned())
}

fn explain(pair: Pair, ways: &[(u32, &View, OneWay)], worst: &OneWay, both: bool, witness: &str) -> String {
    let sent = by_end(ways, |way| way.sent).into_iter();
    let sent = sent.map(|(near, count)| format!("{} from {near}", count_of(count, "frame")));
    let silent = count_of(worst.silent, "attempt");
    let when = worst.since_ns.map_or_else(String::new, |since| format!(" after {}", crate::time::rfc3339(since)));
    let what = if both {
        format!("Each end sends and hears nothing of the other{when}")
    } else {
        format!("Nothing comes back from {}{when}", worst.far)
    };
    format!(
        "{} between {} and {}: {}. {what}: {silent} inside stay unanswered, while {witness}.",
        pair.kind.name(),
        pair.a,
        pair.b,
        some_of(sent, 4)
    )
}
