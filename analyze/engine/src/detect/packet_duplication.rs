use super::About;
use super::evidence::count_of;
use super::losses::{Group, groups};
use super::world::World;
use crate::finding::{Finding, Role, Severity};

pub(super) const ABOUT: About = About {
    code: "NET007",
    slug: "packet-duplication",
    title: "packets come twice",
    severity: Severity::Info,
    what: "The same packet passes one interface twice. It was sent once: these are not retransmissions.",
    why: "Copies cost capacity, and look like retransmissions to other tools. Receivers drop them.",
    how: "A packet with the sequence number, IP identification and timestamp of one that passed a moment ago on the same \
          interface, in the same direction and tunnel. A retransmission takes a new identification and timestamp.",
    false_positives: "A mirror port that copies both directions, or a bond captured as a whole, makes copies that only the \
                      capture has. Copies on different interfaces are one packet on its way and are not counted.",
    fix: "Where the receivers get the copies too (they answer with D-SACK), look for a bridge loop, flooding, or a \
          misconfigured bond on the way.",
    filter: "tcp.analysis.retransmission",
    judge: find,
};

/// Copies below this are chance.
const FEW: u64 = 3;

fn find(world: &World<'_>) -> Vec<Finding> {
    let groups = groups(world, |lossy| lossy.duplicates > 0);
    let many = groups.iter().filter(|group| group.sum(|lossy| lossy.duplicates) >= FEW);
    many.map(|group| judge(group, world)).collect()
}

fn judge(group: &Group<'_>, world: &World<'_>) -> Finding {
    let count = group.sum(|lossy| lossy.duplicates);
    let pairs = group.pairs(|lossy| lossy.duplicates);
    let names = Group::worst(&pairs);
    let mut finding = Finding::of(&ABOUT, format!("{} came twice", count_of(count, "packet")));
    finding.counts.insert("duplicates", count as i64);
    for ((from, to), _) in pairs.iter().take(4) {
        finding.about(Role::Endpoint, from);
        finding.about(Role::Endpoint, to);
    }
    let (first, last) = group.span_ns();
    finding.span(first, last);
    let frames = group.shown(&pairs).flat_map(|lossy| lossy.losses.near.sum.odd_frames.as_slice().to_vec());
    finding.cite(world, frames, &Group::filter(&pairs, world));
    finding.explanation = format!(
        "{} passed an interface twice within moments, with the same sequence number, IP identification and timestamp: \
         {names}. The sender sent them once.",
        count_of(count, "packet"),
    );
    finding.rule_out("NET001", "a retransmission takes a new IP identification and timestamp");
    finding
}
