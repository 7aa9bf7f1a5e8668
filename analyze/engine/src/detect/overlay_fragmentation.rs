use super::About;
use super::evidence::count_of;
use super::fragments::{Fates, OfPair, Pair};
use super::world::World;
use crate::finding::{Finding, Role, Severity};

pub(super) const ABOUT: About = About {
    code: "MTU005",
    slug: "overlay-fragmentation",
    title: "packets of the overlay are fragmented and arrive",
    severity: Severity::Info,
    what: "Outer packets of a tunnel are bigger than the underlay takes and go in two fragments, all of which arrive.",
    why: "It works, at half the throughput and twice the packets; a filter that drops fragments would turn it into a black \
          hole.",
    how: "Outer packets that come in fragments and could all be put together.",
    false_positives: "Fragments of datagrams that pods send themselves are theirs, not the overlay's.",
    fix: "Set the MTU of pods to the underlay's less the overhead of the overlay.",
    filter: "ip.flags.mf == 1 || ip.frag_offset > 0 || ipv6.fraghdr",
    judge: find,
};

fn find(world: &World<'_>) -> Vec<Finding> {
    let pairs = world.facts.fragments.pairs.iter();
    let arrive = pairs.filter(|(_, of_pair)| of_pair.inside.is_some() && of_pair.worst().is_none());
    arrive.filter_map(|(pair, of_pair)| judge(*pair, of_pair, world)).collect()
}

fn judge(pair: Pair, of_pair: &OfPair, world: &World<'_>) -> Option<Finding> {
    let fates: &Fates = of_pair.places.values().max_by_key(|fates| fates.complete).filter(|f| f.complete > 0)?;
    let inside = of_pair.inside?;
    let kind = inside.kind.name();
    let packets = count_of(fates.complete, "packet");
    let title = format!("{packets} of {kind} from {} to {} go in fragments", pair.src, pair.dst);
    let mut finding = Finding::of(&ABOUT, title);
    finding.about(Role::Vtep, &pair.src);
    finding.about(Role::Vtep, &pair.dst);
    finding.counts.insert("packets", fates.complete as i64);
    finding.counts.insert("fragments", fates.fragments as i64);
    finding.counts.insert("packet_bytes", fates.largest.into());
    let family = pair.src.family();
    let filter = format!("{family}.addr == {} && {family}.addr == {} && ({})", pair.src, pair.dst, ABOUT.filter);
    finding.cite(world, fates.complete_frames.iter().copied(), &filter);
    finding.explanation = format!(
        "{packets} of {kind} with up to {} bytes from {} to {} came in {} and could all be put together.",
        fates.largest,
        pair.src,
        pair.dst,
        count_of(fates.fragments, "fragment")
    );
    finding.rule_out("MTU004", "no fragment is missing");
    Some(finding)
}
