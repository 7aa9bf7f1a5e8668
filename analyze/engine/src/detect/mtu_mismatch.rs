use super::About;
use super::evidence::{count_of, some_of};
use super::mtu_black_hole::mtu_of;
use super::path_mtu::{Adapted, Path, TooBig};
use super::vantage::Spot;
use super::world::World;
use crate::Addr;
use crate::finding::{Finding, Role, Severity};
use crate::time::union;
use std::collections::{BTreeMap, BTreeSet};

pub(super) const ABOUT: About = About {
    code: "MTU002",
    slug: "mtu-mismatch",
    title: "packets are bigger than the path takes, and the sender adapts",
    severity: Severity::Info,
    what: "A sender makes packets bigger than a hop on the path can forward, is told so by ICMP, and goes on with smaller \
           ones.",
    why: "It works, at the price of one lost flight whenever the route's entry expires (10 minutes, \
          `net.ipv4.route.mtu_expires`). If ICMP is filtered some day, it is a black hole.",
    how: "ICMP type 3 code 4 or ICMPv6 type 2 about packets of a connection that goes on afterwards; or a peer's long \
          transfer in segments of one size that belongs to a tunnel's MTU and is below what the handshake allows.",
    false_positives: "Connections that stop are a black hole (MTU001), and said as such.",
    fix: "Set the MTU of pods to the underlay's less the overlay's overhead, the same on all nodes.",
    filter: "icmp.type == 3 && icmp.code == 4 || icmpv6.type == 2",
    judge: find,
};

/// A path and the errors about its packets.
type Told<'a> = (Path, &'a TooBig);

fn find(world: &World<'_>) -> Vec<Finding> {
    let facts = &world.facts.path_mtu;
    let stops = |path: &Path| facts.stalled.iter().any(|one| one.path == *path);
    let told = facts.too_big.iter().filter(|(path, _)| !stops(path) && !is_known(path, world));
    let mut paths: BTreeMap<(Option<Addr>, u32), Vec<Told<'_>>> = BTreeMap::new();
    for (path, errors) in told {
        paths.entry((errors.hops.first().copied(), errors.mtu)).or_default().push((*path, errors));
    }
    let mut findings: Vec<Finding> = paths.values().filter_map(|paths| by_icmp(paths, world)).collect();
    let known = |path: &Path| facts.too_big.keys().any(|known| known.to == path.to) || stops(path);
    let smaller = facts.adapted.iter().filter(|(path, _)| !known(path));
    findings.extend(smaller.map(|(path, adapted)| by_size(*path, adapted, world)));
    findings
}

/// Whether a black hole between the two is a finding already.
fn is_known(path: &Path, world: &World<'_>) -> bool {
    let ends = [path.from.to_string(), path.to.to_string()];
    let mut worse = world.found(&["MTU001", "MTU003"]);
    worse.any(|finding| ends.iter().all(|end| finding.subjects.iter().any(|s| s.address.starts_with(end.as_str()))))
}

/// About the paths through one hop that take as much.
fn by_icmp(paths: &[Told<'_>], world: &World<'_>) -> Option<Finding> {
    let (_, first) = paths.first()?;
    let mtu = mtu_of(first);
    let ends = |end: fn(&Path) -> Addr| paths.iter().map(|(path, _)| end(path)).collect::<BTreeSet<_>>();
    let (from, to) = (ends(|path| path.from), ends(|path| path.to));
    let between = format!("from {} to {}", some_of(&from, 2), some_of(&to, 2));
    let mut finding = Finding::of(&ABOUT, format!("the path {between} takes {mtu} bytes, the sender adapts"));
    for end in from.iter().chain(&to) {
        finding.about(Role::Endpoint, end);
    }
    let hops: BTreeSet<Addr> = paths.iter().flat_map(|(_, errors)| errors.hops.iter().copied()).collect();
    for hop in &hops {
        finding.about(Role::Hop, hop);
    }
    let errors: u64 = paths.iter().map(|(_, errors)| errors.errors()).sum();
    let largest = paths.iter().map(|(_, errors)| errors.largest).max().unwrap_or_default();
    finding.counts.insert("icmp_errors", errors as i64);
    finding.counts.insert("path_mtu", first.mtu.into());
    finding.counts.insert("packet_bytes", largest.into());
    let spans = paths.iter().filter_map(|(_, errors)| errors.span_ns);
    if let Some((first, last)) = union(spans) {
        finding.span(first, last);
    }
    finding.cite(world, paths.iter().flat_map(|(_, errors)| errors.frames.iter().copied()), ABOUT.filter);
    finding.explanation = format!(
        "{} from {} to {}: packets of {largest} bytes {between} are too big, {mtu} fit. The connections went on \
         afterwards, so path MTU discovery works. What is sent again because of it is no loss.",
        count_of(errors, "ICMP error"),
        some_of(&hops, 2),
        some_of(paths.iter().flat_map(|(_, errors)| &errors.told).collect::<BTreeSet<_>>(), 2),
    );
    finding.rule_out("MTU001", "no connection between the two stops at a big segment");
    finding.rule_out("NET001", "the sender was told to send the segments again, smaller");
    Some(finding)
}

fn by_size(path: Path, adapted: &Adapted, world: &World<'_>) -> Finding {
    let Path { from, to } = path;
    let title = format!("{from} sends packets of {} bytes to {to} where {} are allowed", adapted.size, adapted.full);
    let mut finding = Finding::of(&ABOUT, title);
    finding.confidence = 0.6;
    finding.about(Role::Endpoint, &from);
    finding.about(Role::Endpoint, &to);
    finding.counts.insert("connections", adapted.connections as i64);
    finding.counts.insert("path_mtu", adapted.size.into());
    finding.counts.insert("packet_bytes", adapted.full.into());
    finding.span(adapted.span_ns.0, adapted.span_ns.1);
    let family = from.family();
    finding.cite(world, [adapted.frame], &format!("{family}.addr == {from} && {family}.addr == {to} && tcp"));
    finding.explanation = format!(
        "Both ends allow packets of {} bytes, but the long transfers of {from} come in packets of {} bytes, the MTU of a \
         path with a tunnel: the sender has learned it by path MTU discovery, or its route has it.",
        adapted.full, adapted.size
    );
    finding.rule_out("MTU001", "the transfers arrive");
    finding.capture_next = world.capture_next([Spot::Host(from)], "whether an ICMP message told it the size");
    finding
}
