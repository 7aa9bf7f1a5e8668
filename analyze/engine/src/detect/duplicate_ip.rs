use super::About;
use super::evidence::{count_of, some_of};
use super::world::World;
use crate::Addr;
use crate::finding::{Finding, Role, Severity};
use crate::time::union;
use crate::track::event::{AddressConflict, Owner};
use std::collections::BTreeMap;

pub(super) const ABOUT: About = About {
    code: "NET003",
    slug: "duplicate-ip",
    title: "two hosts own one address",
    severity: Severity::Error,
    what: "Two link addresses answer for one IP address on one network.",
    why: "Who is reached changes with every neighbour's cache: connections go to the wrong host, are reset, or hang, now \
          and then and for some clients only.",
    how: "ARP or IPv6 neighbour discovery at one capture point: one question is answered by two link addresses within a \
          second, or an address passes from one to the other and back more than once.",
    false_positives: "A failover (VRRP, MetalLB, keepalived) or a new pod with an old address moves it once. Proxy ARP \
                      answers for many addresses, Calico's with ee:ee:ee:ee:ee:ee. The same address on two networks is \
                      seen at two points.",
    fix: "Find the host behind each link address and give one of them another address. Look for overlapping ranges of \
          address pools (IPAM, DHCP, static) and for two nodes with the same pod range.",
    filter: "arp.duplicate-address-detected || arp || icmpv6.type == 136",
    judge: find,
};

/// Addresses that one link address answers for before it is a proxy, and not a host.
const PROXY: u32 = 5;
/// Questions with two answers before it is no chance that one of the two is a proxy of few addresses.
const DOUBLE_ANSWERS: u32 = 2;
/// Times an address comes back to one that had it before: once is a failover and its end.
const RETURNS: u32 = 2;

fn find(world: &World<'_>) -> Vec<Finding> {
    let mut worst: BTreeMap<Addr, &AddressConflict> = BTreeMap::new();
    for conflict in world.facts.conflicts.iter().filter(|conflict| is_fault(conflict, world)) {
        let known = worst.entry(conflict.addr).or_insert(conflict);
        if signs(conflict) > signs(known) {
            *known = conflict;
        }
    }
    worst.values().map(|conflict| judge(conflict, world)).collect()
}

fn signs(conflict: &AddressConflict) -> u32 {
    conflict.double_answers + conflict.returns
}

fn is_fault(conflict: &AddressConflict, world: &World<'_>) -> bool {
    let hosts = conflict.owners.iter().filter(|owner| is_host(owner)).count();
    // Where frames do not tell their interface, two networks that have the address look like one.
    let hides = world.points.get(usize::from(conflict.point)).is_some_and(|point| point.hides_interface);
    hosts == conflict.owners.len() && (conflict.double_answers > 0 || conflict.returns >= RETURNS && !hides)
}

/// Whether it was seen more than once.
fn is_certain(conflict: &AddressConflict) -> bool {
    conflict.double_answers >= DOUBLE_ANSWERS || conflict.returns >= RETURNS
}

/// Whether a link address is of a host, and not of a proxy or of a router that hosts share.
fn is_host(owner: &Owner) -> bool {
    let [a, b, c, d, ..] = owner.mac;
    let is_group = a & 1 != 0;
    // What Calico gives its end of a pod's interface.
    let is_calico = owner.mac == [0xee; 6];
    // VRRP (RFC 9568 7.3) and HSRP.
    let is_shared = matches!([a, b, c, d], [0, 0, 0x5e, 0, ..] | [0, 0, 0x0c, 7]) || owner.mac == [0; 6];
    !is_group && !is_calico && !is_shared && owner.addresses < PROXY
}

fn judge(conflict: &AddressConflict, world: &World<'_>) -> Finding {
    let macs: Vec<String> = conflict.owners.iter().map(|owner| mac(owner.mac)).collect();
    let addr = conflict.addr;
    let mut finding = Finding::of(&ABOUT, format!("{addr} is claimed by {}", macs.join(" and ")));
    finding.confidence = if conflict.double_answers > 0 { 0.95 } else { 0.8 };
    if !is_certain(conflict) {
        let only_this = conflict.owners.iter().all(|owner| owner.addresses == 1);
        finding.severity = if only_this { Severity::Warning } else { Severity::Info };
        finding.confidence = 0.6;
        finding.limits.push("it was seen once: a proxy that answers for others would look the same".to_owned());
    }
    finding.about(Role::Server, &addr);
    finding.counts.insert("owners", conflict.owners.len() as i64);
    finding.counts.insert("double_answers", conflict.double_answers.into());
    finding.counts.insert("returns", conflict.returns.into());
    finding.counts.insert("claims", conflict.owners.iter().map(|owner| owner.claims as i64).sum());
    let spans = conflict.owners.iter().map(|owner| (owner.first_ns, owner.last_ns));
    if let Some((first, last)) = union(spans) {
        finding.span(first, last);
    }
    let all = world.facts.conflicts.iter().filter(|other| other.addr == addr);
    let frames = all.flat_map(|other| &other.owners).flat_map(|owner| owner.frames.iter().copied());
    let filter = if addr.is_v4() {
        format!("arp.src.proto_ipv4 == {addr}")
    } else {
        format!("icmpv6.nd.na.target_address == {addr} || icmpv6.nd.ns.target_address && ipv6.src == {addr}")
    };
    finding.cite(world, frames, &filter);
    finding.explanation = explain(conflict, &macs, world);
    finding.rule_out("NET004", "the address answers, twice");
    finding.fix.commands = vec![
        format!("arping -D -I eth0 {addr}"),
        format!("ip neigh show {addr}; bridge fdb show | grep -e {}", macs.join(" -e ")),
        format!("kubectl get pods,nodes -A -o wide | grep -wF {addr}"),
    ];
    finding
}

fn explain(conflict: &AddressConflict, macs: &[String], world: &World<'_>) -> String {
    let place = world.place_name(conflict.point, conflict.tunnel);
    let claims: Vec<String> = conflict
        .owners
        .iter()
        .zip(macs)
        .map(|(owner, mac)| format!("{mac} ({})", count_of(owner.claims, "claim")))
        .collect();
    let mut text = format!("At {place}, {} is claimed by {}.", conflict.addr, some_of(claims, 4));
    if conflict.double_answers > 0 {
        let questions = count_of(conflict.double_answers.into(), "question");
        text.push_str(&format_args!(" {questions} got answers of two of them within a second.").to_string());
    }
    if conflict.returns > 0 {
        let times = count_of(conflict.returns.into(), "time");
        text.push_str(&format_args!(" It went back to one that had it before {times}.").to_string());
    }
    if world.tunnels.iter().skip(1).any(|tunnel| [tunnel.a, tunnel.b].contains(&conflict.addr)) {
        text.push_str(" It is an end of tunnels: what is sent to the pods of its node goes to either of them.");
    }
    text
}

fn mac(bytes: [u8; 6]) -> String {
    bytes.map(|byte| format!("{byte:02x}")).join(":")
}
