use super::About;
use super::evidence::count_of;
use super::losses::{Group, Lossy, groups};
use super::world::World;
use crate::finding::{Finding, Role, Severity};

pub(super) const ABOUT: About = About {
    code: "NET002",
    slug: "reordering",
    title: "segments overtake each other",
    severity: Severity::Info,
    what: "TCP segments arrive in another order than they were sent in. Nothing is lost by that.",
    why: "Receivers report gaps that close by themselves; senders may slow down and send again for nothing.",
    how: "A segment that fills a gap has an older IP identification or TCP timestamp than the segments that overtook it, \
          or came too soon after them for the sender to have heard of the gap. On the sender's side, resends that the \
          receiver asked for and had not missed.",
    false_positives: "A capture with several queues may store frames in another order than they passed: then their times \
                      go back, and the report says so.",
    fix: "Nothing, where it is rare. Else look for paths of different length that packets of one connection share: \
          bonding by packet, several uplinks, receive queues without flow steering.",
    filter: "tcp.analysis.out_of_order",
    judge: find,
};

/// Needless resends before they are told where nothing shows the late segments themselves.
const FEW: u64 = 3;

fn find(world: &World<'_>) -> Vec<Finding> {
    let groups = groups(world, |lossy| late(lossy) > 0);
    let told = groups.iter().filter(|group| seen(group) > 0 || group.sum(late) >= FEW);
    told.map(|group| judge(group, world)).collect()
}

/// Segments of a direction that came late: as the receiver's side saw them, or as the sender's side knows by resends that
/// the receiver asked for and had not missed.
fn late(lossy: &Lossy) -> u64 {
    lossy.losses.far().sum.reordered.max(lossy.losses.near.sum.overtaken).into()
}

/// Those that were seen to come late.
fn seen(group: &Group<'_>) -> u64 {
    group.sum(|lossy| lossy.losses.far().sum.reordered.into())
}

fn judge(group: &Group<'_>, world: &World<'_>) -> Finding {
    let count = group.sum(late);
    let pairs = group.pairs(late);
    let mut finding = Finding::of(&ABOUT, format!("{} came late, not lost", count_of(count, "segment")));
    finding.counts.insert("reordered_segments", count as i64);
    finding.counts.insert("spurious", group.sum(|lossy| lossy.losses.spurious().into()) as i64);
    for ((from, to), _) in pairs.iter().take(4) {
        finding.about(Role::Endpoint, from);
        finding.about(Role::Endpoint, to);
    }
    let (first, last) = group.span_ns();
    finding.span(first, last);
    let frames = group.shown(&pairs).flat_map(|lossy| lossy.losses.far().sum.odd_frames.as_slice().to_vec());
    finding.cite(world, frames, &Group::filter(&pairs, world));
    finding.explanation = explain(count, seen(group), &Group::worst(&pairs));
    finding.rule_out("NET001", "what came late had not been sent again, or for nothing");
    finding
}

fn explain(count: u64, seen: u64, names: &str) -> String {
    let were = if count == 1 { "1 segment was".to_owned() } else { format!("{count} segments were") };
    let shown = match seen {
        0 => {
            "They were sent again because the receiver reported a gap, and then it reported to have them already, or its \
             acknowledgement answers the first transmission: they were overtaken behind this place."
        }
        _ => {
            "Their IP identification or timestamp is older than that of the segments before them, or they came sooner \
             than a resend could."
        }
    };
    format!("{were} overtaken by later ones: {names}. {shown}")
}
