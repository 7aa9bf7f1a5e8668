use super::About;
use super::evidence::count_of;
use super::overlay::{ATTEMPTS, Pair, Units, views};
use super::world::World;
use crate::finding::{Finding, Role, Severity};
use crate::time::union;
use crate::wire::TunnelKind;
use std::collections::BTreeSet;

pub(super) const ABOUT: About = About {
    code: "OVL004",
    slug: "vni-mismatch",
    title: "two nodes use different identifiers for one overlay",
    severity: Severity::Error,
    what: "The two ends of a tunnel put different network identifiers (VNI) into their packets, and nothing inside is \
           answered.",
    why: "Each end drops the packets of the other as those of a network it does not know, without a word.",
    how: "VXLAN or Geneve both ways between two nodes, each way with one VNI of its own, attempts inside from both ends, \
          and none answered.",
    false_positives: "Cilium puts the identity of the sending pod into the VNI, so it differs by direction on purpose, and \
                      there connections work: nothing is said where any does.",
    fix: "Give both nodes the same VNI: the backend settings of flannel (`VNI`), Calico's `vxlanVNI`, the same network of \
          OVN; recreate the interface of the node that differs.",
    filter: "vxlan.vni || geneve.vni",
    judge: find,
};

fn find(world: &World<'_>) -> Vec<Finding> {
    views(world).iter().filter_map(|(pair, units)| judge(*pair, units, world)).collect()
}

fn judge(pair: Pair, units: &Units, world: &World<'_>) -> Option<Finding> {
    let has_id = matches!(pair.kind, TunnelKind::Vxlan | TunnelKind::VxlanGpe | TunnelKind::Geneve);
    let ids = |way: fn(&super::overlay::View) -> &BTreeSet<u32>| -> BTreeSet<u32> {
        units.values().flat_map(|view| way(view).iter().copied()).collect()
    };
    let (ab, ba) = (ids(|view| &view.ids.0), ids(|view| &view.ids.1));
    let sum = |count: fn(&super::overlay::View) -> u64| units.values().map(count).max().unwrap_or_default();
    let silent = sum(|view| view.inside.silent);
    let both_ask = sum(|view| view.inside.from_a) > 0 && sum(|view| view.inside.from_b) > 0;
    let answered = units.values().any(|view| view.inside.complete + view.inside.half_open > 0);
    if !has_id || ab.len() != 1 || ba.len() != 1 || ab == ba || !both_ask || answered || silent < ATTEMPTS {
        return None;
    }
    let (there, back) = (ab.first()?, ba.first()?);
    let kind = pair.kind.name();
    let title = format!("{} sends {kind} with VNI {there}, {} with {back}", pair.a, pair.b);
    let mut finding = Finding::of(&ABOUT, title);
    finding.confidence = 0.8;
    finding.about(Role::Vtep, &pair.a);
    finding.about(Role::Vtep, &pair.b);
    finding.counts.insert("frames_ab", sum(|view| view.ab.frames) as i64);
    finding.counts.insert("frames_ba", sum(|view| view.ba.frames) as i64);
    finding.counts.insert("unanswered", silent as i64);
    finding.counts.insert("vni_ab", (*there).into());
    finding.counts.insert("vni_ba", (*back).into());
    let spans = units.values().filter_map(|view| view.inside.span_ns);
    if let Some((first, last)) = union(spans) {
        finding.span(first, last);
    }
    let frames = units.values().flat_map(|view| view.inside.frames.iter().copied());
    let family = pair.a.family();
    finding.cite(world, frames, &format!("{family}.addr == {} && {family}.addr == {}", pair.a, pair.b));
    finding.explanation = format!(
        "All {kind} packets from {} have VNI {there}, all from {} have {back}. {} inside, from both ends, and no answer.",
        pair.a,
        pair.b,
        count_of(silent, "attempt")
    );
    finding.rule_out("OVL001", "packets pass both ways");
    finding.limits.push("Cilium's VNI is the identity of the sending pod and differs on purpose".to_owned());
    finding.fix.commands = vec!["ip -d link show type vxlan; ip -d link show type geneve".to_owned()];
    Some(finding)
}
