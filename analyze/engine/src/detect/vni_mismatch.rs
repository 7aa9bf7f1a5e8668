use super::About;
use super::evidence::count_of;
use super::overlay::{ATTEMPTS, Pair, Units, View, views};
use super::world::World;
use crate::Addr;
use crate::finding::{Finding, Role, Severity};
use crate::time::union;
use crate::track::tunnels::{EndMacs, Mac};
use crate::wire::TunnelKind;
use std::collections::{BTreeMap, BTreeSet};

pub(super) const ABOUT: About = About {
    code: "OVL004",
    slug: "vni-mismatch",
    title: "the two ends of an overlay disagree on an identifier or a link address",
    severity: Severity::Error,
    what: "The two ends of a tunnel put different network identifiers (VNI) into their packets, or one end sends to a link \
           address that the other does not have, and nothing inside is answered.",
    why: "An end drops packets of a network that it does not know, and frames for another link address, without a word.",
    how: "VXLAN or Geneve both ways between two nodes, each way with one VNI of its own, attempts inside from both ends, \
          and none answered. Or: an end sends its frames from one link address and is sent frames for another, while \
          others reach it, or it reaches them, at the address that is sent from, and attempts inside fail since.",
    false_positives: "Cilium puts the identity of the sending pod into the VNI, so it differs by direction on purpose, and \
                      there connections work: nothing is said where any does. In overlays that bridge, frames carry the \
                      addresses of pods and routers, so no end is sent to with what it sends from: nothing is said.",
    fix: "Give both nodes the same VNI: the backend settings of flannel (`VNI`), Calico's `vxlanVNI`, the same network of \
          OVN; recreate the interface of the node that differs. A wrong link address is a stale neighbour entry of the \
          sending node: restart its network agent, which writes it anew.",
    filter: "vxlan.vni || geneve.vni",
    judge: find,
};

fn find(world: &World<'_>) -> Vec<Finding> {
    let views = views(world);
    let ends = ends(&views);
    let stale = |pair: &Pair, units| stale(*pair, units, &ends, world);
    views.iter().filter_map(|(pair, units)| judge(*pair, units, world).or_else(|| stale(pair, units))).collect()
}

/// Ends of tunnels by kind: the link address that each sends from, and whether anybody sends to it there.
type Ends = BTreeMap<(TunnelKind, Addr), (Mac, bool)>;

fn ends(views: &BTreeMap<Pair, Units>) -> Ends {
    let mut ends = Ends::new();
    for (pair, view) in views.iter().flat_map(|(pair, units)| units.values().map(move |view| (pair, view))) {
        for (addr, macs) in [(pair.a, view.macs.a), (pair.b, view.macs.b)] {
            let Some(own) = macs.own.filter(|_| macs.changes < CHANGES) else { continue };
            let known = ends.entry((pair.kind, addr)).or_insert((own, false));
            known.1 |= macs.wanted == Some(known.0);
        }
    }
    ends
}

/// The end of a pair that is sent frames for another link address than it sends from, and that one.
fn wrong(pair: Pair, view: &View, ends: &Ends) -> Option<(Addr, Mac, EndMacs)> {
    let of = |addr| ends.get(&(pair.kind, addr)).copied();
    let sides = [(pair.a, pair.b, view.macs.a), (pair.b, pair.a, view.macs.b)];
    sides.into_iter().find_map(|(to, peer, macs)| {
        let (own, right) = of(to)?;
        let reached = right || of(peer).is_some_and(|(_, right)| right);
        (macs.wanted? != own && reached).then_some((to, own, macs))
    })
}

/// Frames for an end have a link address that it does not have.
fn stale(pair: Pair, units: &Units, ends: &Ends, world: &World<'_>) -> Option<Finding> {
    let wrong = units.values().filter_map(|view| wrong(pair, view, ends));
    let (end, own, macs) = wrong.max_by_key(|(.., macs)| macs.frames)?;
    let failed: u64 = units.values().map(|view| view.inside.silent + view.inside.half_open).max()?;
    let answered = units.values().any(|view| view.inside.complete_ns.is_some_and(|ns| ns >= macs.since_ns));
    if failed < ATTEMPTS || answered {
        return None;
    }
    let (wanted, own) = (text(macs.wanted?), text(own));
    let peer = if end == pair.a { pair.b } else { pair.a };
    let kind = pair.kind.name();
    let mut finding = Finding::of(&ABOUT, format!("{peer} sends {kind} for {end} to a wrong link address"));
    finding.confidence = 0.85;
    finding.about(Role::Vtep, &peer);
    finding.about(Role::Vtep, &end);
    finding.counts.insert("frames", macs.frames as i64);
    finding.counts.insert("failed", failed as i64);
    finding.span(macs.since_ns, units.values().filter_map(|view| Some(view.inside.span_ns?.1)).max()?);
    let family = end.family();
    let filter = format!("{family}.addr == {} && {family}.addr == {} && eth.dst == {wanted}", pair.a, pair.b);
    finding.cite(world, macs.evidence.iter().copied(), &filter);
    finding.explanation = format!(
        "Frames inside the {kind} from {peer} to {end} are for {wanted}; {end} itself sends from {own}, so it takes them for \
         somebody else's. {} inside failed.",
        count_of(failed, "attempt")
    );
    finding.rule_out("OVL001", "the packets arrive; they carry an address that is not the end's");
    STALE.clone_into(&mut finding.fix.text);
    finding.fix.commands = vec![
        format!("ip neighbor show nud permanent; bridge fdb show | grep {end}   # on {peer}"),
        format!("ip -d link show type {kind}   # on {end}: its own address"),
    ];
    Some(finding)
}

/// What to do about a stale neighbour entry.
const STALE: &str = "Restart the network agent of the sending node, which writes the neighbour entry anew; then look why it \
                     was not told of the new address.";

/// An end that sends from so many link addresses is none that packets are routed into.
const CHANGES: u32 = 2;

fn text(mac: Mac) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

fn judge(pair: Pair, units: &Units, world: &World<'_>) -> Option<Finding> {
    let has_id = matches!(pair.kind, TunnelKind::Vxlan | TunnelKind::VxlanGpe | TunnelKind::Geneve);
    let ids = |way: fn(&View) -> &BTreeSet<u32>| -> BTreeSet<u32> {
        units.values().flat_map(|view| way(view).iter().copied()).collect()
    };
    let (ab, ba) = (ids(|view| &view.ids.0), ids(|view| &view.ids.1));
    let sum = |count: fn(&View) -> u64| units.values().map(count).max().unwrap_or_default();
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
