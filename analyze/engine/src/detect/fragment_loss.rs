use super::About;
use super::evidence::count_of;
use super::fragments::{Fates, OfPair, Pair, Place};
use super::stall_groups::groups;
use super::vantage::Spot;
use super::world::World;
use crate::finding::{Finding, Role, Severity};
use std::collections::BTreeSet;

pub(super) const ABOUT: About = About {
    code: "MTU004",
    slug: "fragment-loss",
    title: "fragments of datagrams are lost",
    severity: Severity::Error,
    what: "Datagrams are fragmented, some of their fragments arrive and the rest does not, so the receiver discards all of \
           it.",
    why: "Big DNS answers and other big datagrams, or all big packets of an overlay, never arrive, while small ones do. The \
          receiver shows no trace but a timeout.",
    how: "Fragments are put together, outer packets of tunnels first, then the packets inside. Counted are datagrams \
          whose fragments do not add up within 30 s.",
    false_positives: "A capture filter on ports shows first fragments only: where no later fragment of any datagram is in \
                      the capture and these are in no tunnel, something else must show that they did not arrive. \
                      Fragments at the end of a capture are not counted.",
    fix: "Let fragments pass: stateless filters and cloud security groups that match UDP ports drop all but the first. \
          Better, avoid them: EDNS buffer size 1232 for DNS, the overlay's MTU below the underlay's.",
    filter: "ip.flags.mf == 1 || ip.frag_offset > 0 || ipv6.fraghdr",
    judge: find,
};

/// Datagrams that make a pattern, and their share of all, in percent: fewer is random loss.
const PATTERN: u64 = 2;
const PERCENT: u64 = 20;

fn find(world: &World<'_>) -> Vec<Finding> {
    let pairs = world.facts.fragments.pairs.iter();
    pairs.filter_map(|(pair, of_pair)| judge(*pair, of_pair, of_pair.worst()?, world)).collect()
}

fn judge(pair: Pair, of_pair: &OfPair, (place, fates): (Place, &Fates), world: &World<'_>) -> Option<Finding> {
    if fates.missing < PATTERN {
        return None;
    }
    let datagrams = count_of(fates.missing, "datagram");
    let what = of_pair.inside.map_or("", |inside| inside.kind.name());
    let title = format!("{datagrams} {what} from {} to {} lack fragments", pair.src, pair.dst).replace("  ", " ");
    let mut finding = Finding::of(&ABOUT, title);
    let proof = proof(pair, of_pair, place, fates, world);
    let systematic = fates.missing * 100 >= (fates.missing + fates.complete) * PERCENT;
    if proof.is_none() || !systematic {
        finding.severity = Severity::Info;
    }
    finding.confidence = if proof.is_some() { 0.9 } else { 0.5 };
    describe(&mut finding, pair, of_pair, fates, world);
    finding.explanation = explain(pair, of_pair, place, fates, world);
    match proof {
        Some(proof) => finding.explanation += &proof,
        None => finding.limits.push(
            "a capture filter on ports would show first fragments only as well, and one that loses packets some of them"
                .to_owned(),
        ),
    }
    Some(finding)
}

fn describe(finding: &mut Finding, pair: Pair, of_pair: &OfPair, fates: &Fates, world: &World<'_>) {
    let role = if of_pair.inside.is_some() { [Role::Vtep; 2] } else { [Role::Server, Role::Client] };
    finding.about(role[0], &pair.src);
    finding.about(role[1], &pair.dst);
    for end in of_pair.outer.iter().flat_map(|(a, b)| [a, b]) {
        finding.about(Role::Vtep, end);
    }
    finding.counts.insert("datagrams_lost", fates.missing as i64);
    finding.counts.insert("datagrams_complete", fates.complete as i64);
    finding.counts.insert("fragments", fates.fragments as i64);
    finding.counts.insert("icmp_errors", of_pair.gave_up as i64);
    if let Some((first, last)) = fates.span_ns {
        finding.span(first, last);
    }
    let frames = fates.missing_frames.iter().chain(&of_pair.gave_up_frames);
    let family = pair.src.family();
    finding.cite(world, frames.copied(), &format!("{family}.addr == {} && {family}.addr == {}", pair.src, pair.dst));
    finding.rule_out("NET001", "whole packets between the same ends arrive");
    finding.fix.commands = vec![
        "nft list ruleset | grep -B2 -A2 -e frag -e dport".to_owned(),
        "nstat -az IpReasmFails IpReasmTimeout IpFragFails".to_owned(),
    ];
    if of_pair.whole().next().is_none() {
        let tells = "where the fragments are last seen (without a filter on ports)";
        finding.capture_next = world.capture_next([Spot::NodeOf(pair.src), Spot::NodeOf(pair.dst)], tells);
    }
}

fn explain(pair: Pair, of_pair: &OfPair, place: Place, fates: &Fates, world: &World<'_>) -> String {
    let name = |place: Place| world.place_name(place.1, 0);
    let all = fates.missing + fates.complete;
    let kind = match (of_pair.inside, of_pair.outer) {
        (Some(inside), _) => {
            format!("outer packets of {} (inside, {} to {})", inside.kind.name(), inside.src, inside.dst)
        }
        (None, Some((a, b))) => format!("datagrams, inside the tunnel from {a} to {b},"),
        (None, None) => "datagrams".to_owned(),
    };
    let mut text = format!(
        "Of {all} {kind} from {} to {} that come in fragments at {}, {} lack some: the biggest has {} bytes.",
        pair.src,
        pair.dst,
        name(place),
        fates.missing,
        fates.largest
    );
    if fates.later == 0 {
        text += " Only first fragments come, none of the later ones, which have no ports: a filter by port drops them.";
    }
    let whole: BTreeSet<String> = of_pair.whole().map(name).collect();
    if !whole.is_empty() {
        let whole: Vec<&str> = whole.iter().map(String::as_str).collect();
        text.push_str(" Complete at ");
        text.push_str(&whole.join(", "));
        text.push_str(": the rest is lost in between.");
    }
    text
}

/// What shows that the fragments did not arrive, other than that they are not in the capture.
fn proof(pair: Pair, of_pair: &OfPair, place: Place, fates: &Fates, world: &World<'_>) -> Option<String> {
    if of_pair.gave_up > 0 {
        let errors = count_of(of_pair.gave_up, "ICMP error");
        return Some(format!(" The receiver says so: {errors} that reassembly took too long."));
    }
    // Inside a tunnel every fragment is a whole packet to a capture filter; but the capture itself may have lost it.
    if !world.lacks_packets()
        && (of_pair.outer.is_some() || fates.later > 0 || world.facts.fragments.later.contains(&place.0))
    {
        return Some(String::new());
    }
    if of_pair.whole().next().is_some() {
        return Some(String::new());
    }
    let ends = [pair.src, pair.dst];
    let stalls = groups(world);
    let stalled =
        stalls.iter().find(|group| group.tunnels.iter().any(|(_, a, b)| ends.contains(a) && ends.contains(b)));
    stalled.map(|group| {
        let connections = count_of(group.connections(), "connection");
        format!(" {connections} inside never get big segments through.")
    })
}
