use super::About;
use super::evidence::count_of;
use super::path_mtu::TunnelSizes;
use super::stall_groups::overhead;
use super::world::World;
use crate::finding::{Finding, Role, Severity};
use crate::track::tunnels::Tunnel;

pub(super) const ABOUT: About = About {
    code: "MTU006",
    slug: "latent-mtu",
    title: "the next full-size segment will not fit the underlay",
    severity: Severity::Warning,
    what: "Pods announce segments so big that, with the overhead of their tunnel, the packets exceed what the nodes' own \
           connections announce for the underlay.",
    why: "Nothing has failed yet, because nothing big was sent. The first big request or response is fragmented, costs a \
          round of path MTU discovery, or vanishes.",
    how: "The smaller MSS of the two ends of connections inside a tunnel, as seen in the tunnel's packets, plus headers \
          and overhead, is more than the MSS that the nodes announce to each other outside the tunnel, plus headers.",
    false_positives: "Where as big a packet did pass, or the size is a finding already, nothing is said. An MSS that is \
                      clamped on the way is taken as it is in the tunnel.",
    fix: "Set the MTU of pods to the underlay's less the overhead of the overlay.",
    filter: "tcp.flags.syn == 1",
    judge: find,
};

/// What says more of packets that are too big.
const KNOWN: [&str; 5] = ["MTU001", "MTU002", "MTU003", "MTU004", "MTU005"];

fn find(world: &World<'_>) -> Vec<Finding> {
    let facts = &world.facts.path_mtu;
    let tunnels = facts.tunnels.iter().filter_map(|(at, sizes)| Some((world.tunnels.get(*at as usize)?, sizes)));
    let is_known = |tunnel: &Tunnel| world.found(&KNOWN).any(|finding| world.concerns(finding, tunnel.a));
    tunnels.filter(|(tunnel, _)| !is_known(tunnel)).filter_map(|(tunnel, sizes)| judge(tunnel, sizes, world)).collect()
}

fn judge(tunnel: &Tunnel, sizes: &TunnelSizes, world: &World<'_>) -> Option<Finding> {
    let facts = &world.facts.path_mtu;
    let overhead = overhead(tunnel.kind, tunnel.a)?;
    let headers = if tunnel.a.is_v4() { 40 } else { 60 };
    let announced = facts.announced.get(&tunnel.a)?.max(facts.announced.get(&tunnel.b)?);
    let underlay = u32::from(*announced) + headers;
    let fits = underlay.checked_sub(overhead)?;
    if sizes.allowed <= fits || sizes.passed > fits {
        return None;
    }
    let kind = tunnel.kind.name();
    let title =
        format!("{} bytes in {kind} between {} and {} will not fit {underlay}", sizes.allowed, tunnel.a, tunnel.b);
    let mut finding = Finding::of(&ABOUT, title);
    finding.confidence = 0.7;
    finding.about(Role::Vtep, &tunnel.a);
    finding.about(Role::Vtep, &tunnel.b);
    finding.counts.insert("connections", sizes.connections as i64);
    finding.counts.insert("packet_bytes", (sizes.allowed + overhead).into());
    finding.counts.insert("underlay_mtu", underlay.into());
    finding.counts.insert("path_mtu", fits.into());
    finding.counts.insert("largest_passed", sizes.passed.into());
    finding.span(sizes.span_ns.0, sizes.span_ns.1);
    finding.cite(world, [sizes.frame], ABOUT.filter);
    finding.explanation = format!(
        "{} between pods allow packets of {} bytes. In {kind} between {} and {} these are {} bytes, and the nodes announce \
         {underlay} to each other: {fits} would fit. The biggest that passed so far has {} bytes.",
        count_of(sizes.connections, "connection"),
        sizes.allowed,
        tunnel.a,
        tunnel.b,
        sizes.allowed + overhead,
        sizes.passed,
    );
    finding.rule_out("MTU001", "no big packet was sent yet");
    finding.fix.commands = vec!["ip -d link show | grep -E 'mtu|vxlan|geneve|ipip|wireguard'".to_owned()];
    Some(finding)
}
