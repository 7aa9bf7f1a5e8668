use super::About;
use super::evidence::count_of;
use super::world::World;
use crate::Addr;
use crate::finding::{Finding, Role, Severity};
use crate::track::tunnels::Unanswered;
use crate::wire::TunnelKind;
use std::collections::BTreeMap;

pub(super) const ABOUT: About = About {
    code: "OVL005",
    slug: "wireguard-no-handshake",
    title: "WireGuard handshakes get no answer",
    severity: Severity::Error,
    what: "A node begins WireGuard handshakes with another again and again, and none is answered.",
    why: "Without a handshake nothing passes the encrypted overlay between the two nodes. The other end is down, its UDP \
          port is blocked, or it does not know the key.",
    how: "Three or more handshake initiations since the peer's last message of any kind, some seconds apart. A peer that \
          is there answers within a round trip; the next initiation comes after 5 s. What is inside is encrypted and not \
          judged.",
    false_positives: "One initiation every two minutes is the usual change of keys, whether its answer is seen or not.",
    fix: "Compare the public keys on both nodes, and allow the UDP port both ways: 51820 and 51821 (Calico), 51871 \
          (Cilium).",
    filter: "wg.type == 1 || wg.type == 2",
    judge: find,
};

/// Initiations again that make a pattern: 10 s in vain.
const RETRIES: u64 = 2;

/// Who begins, with whom.
type Way = (Addr, Addr);

fn find(world: &World<'_>) -> Vec<Finding> {
    let mut ways: BTreeMap<Way, Vec<(Unanswered, u16)>> = BTreeMap::new();
    let mut answers: BTreeMap<Way, u64> = BTreeMap::new();
    for (tunnel, usage) in world.tunnels.iter().zip(world.tunnel_uses).skip(1) {
        let Some(handshakes) = usage.handshakes.as_ref().filter(|_| tunnel.kind == TunnelKind::WireGuard) else {
            continue;
        };
        let both = [(tunnel.a, tunnel.b, handshakes.a, usage.ba), (tunnel.b, tunnel.a, handshakes.b, usage.ab)];
        for (from, to, unanswered, back) in both {
            *answers.entry((from, to)).or_default() += back.frames;
            if unanswered.retries >= RETRIES {
                ways.entry((from, to)).or_default().push((unanswered, usage.port));
            }
        }
    }
    ways.iter().filter_map(|(way, all)| judge(*way, all, answers.get(way).copied(), world)).collect()
}

fn judge(way: Way, all: &[(Unanswered, u16)], back: Option<u64>, world: &World<'_>) -> Option<Finding> {
    let (from, to) = way;
    let (most, port) = all.iter().max_by_key(|(unanswered, _)| unanswered.initiations)?;
    let tries = count_of(most.initiations, "handshake");
    let mut finding = Finding::of(&ABOUT, format!("{to} answers no WireGuard handshake of {from} ({tries})"));
    finding.confidence = 0.85;
    finding.about(Role::Vtep, &from);
    finding.about(Role::Vtep, &to);
    finding.counts.insert("initiations", most.initiations as i64);
    finding.span(most.span_ns.0, most.span_ns.1);
    let family = from.family();
    let filter = format!("{family}.addr == {from} && {family}.addr == {to} && udp.length == 156");
    finding.cite(world, all.iter().flat_map(|(unanswered, _)| unanswered.frames.iter().copied()), &filter);
    let seen = match back.unwrap_or_default() {
        0 => format!("Nothing of {to} to {from} is in the capture."),
        n => {
            format!("{} of {to} to {from} are in the capture, none of them an answer to these.", count_of(n, "packet"))
        }
    };
    finding.explanation = format!(
        "{from} began {tries} with {to} (UDP port {port}) since it last heard of it, one every 5 s or more, and got no \
         answer. {seen}"
    );
    finding.fix.commands =
        vec!["wg show".to_owned(), format!("iptables-save | grep -e DROP -e {to} -e 'dport {port}'")];
    finding.capture_next =
        Some(format!("on the physical interface of {to}: whether the handshakes arrive and are answered"));
    Some(finding)
}
