use super::About;
use super::evidence::{count_of, some_of};
use super::mtu_black_hole::{describe, mtu_of};
use super::path_mtu::TooBig;
use super::stall_groups::{Group, groups};
use super::world::World;
use crate::finding::{Finding, Role, Severity};

pub(super) const ABOUT: About = About {
    code: "MTU003",
    slug: "pmtu-not-translated",
    title: "a router says that encapsulated packets are too big, and the pod never hears of it",
    severity: Severity::Critical,
    what: "ICMP \"fragmentation needed\" about the outer packets of a tunnel reaches the node, but the pod whose packet is \
           inside goes on sending the same size.",
    why: "Every big response between the two nodes hangs. The node does not turn the message about its own packet into one \
          about the packet inside.",
    how: "ICMP type 3 code 4 or ICMPv6 type 2 that quotes a tunnel's outer packet, while connections inside the tunnel stop \
          at segments of full size that are sent again and never acknowledged.",
    false_positives: "Where the segments inside become smaller or the outer packets are fragmented, the message did its work \
                      and nothing stalls.",
    fix: "Set the MTU of pods to the path's less the overhead of the tunnel. Filters of ICMP are not the reason here.",
    filter: "icmp.type == 3 && icmp.code == 4 || icmpv6.type == 2",
    judge: find,
};

fn find(world: &World<'_>) -> Vec<Finding> {
    groups(world).iter().filter_map(|group| Some(judge(group, group.outer?, world))).collect()
}

fn judge(group: &Group<'_>, outer: &TooBig, world: &World<'_>) -> Finding {
    let ends: Vec<String> = group.tunnels.iter().take(1).map(|(_, a, b)| format!("{a} and {b}")).collect();
    let between = ends.concat();
    let title = format!(
        "{} asks for packets of {} bytes between {between}, the pods go on with bigger ones",
        some_of(&outer.hops, 1),
        mtu_of(outer)
    );
    let mut finding = Finding::of(&ABOUT, title);
    describe(&mut finding, group, world);
    for hop in &outer.hops {
        finding.about(Role::Hop, hop);
    }
    finding.cite(world, outer.frames.iter().copied(), ABOUT.filter);
    let fits = match group.path_mtu(world) {
        Some(mtu) => format!(" Inside the tunnel {mtu} bytes fit."),
        None => String::new(),
    };
    finding.explanation = format!(
        "{} from {} about {} packets of {} bytes between {between}. {} inside stop at packets of {} bytes that are sent \
         again and never acknowledged: the node does not pass the message on to the pod.{fits}",
        count_of(outer.errors(), "ICMP error"),
        some_of(&outer.hops, 2),
        outer.tunnel.map_or("tunnel", |kind| kind.name()),
        outer.largest,
        count_of(group.connections(), "connection"),
        group.size(),
    );
    finding.rule_out("MTU001", "ICMP is not filtered: it reaches the node");
    finding
}
