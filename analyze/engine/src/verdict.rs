//! What the findings add up to, and what the captures cannot tell.

use crate::detect::evidence::count_of;
use crate::detect::world::{FlowFacts, World};
use crate::finding::{ConnectionCounts, Finding, Ladder, Rung, Severity};
use crate::wire::TunnelKind;
use std::collections::BTreeSet;

/// Timeouts need this long a capture to show.
const TIMEOUT_NS: i64 = 3_000_000_000;

/// What these captures cannot tell, so that an empty list of findings is an answer.
pub(crate) fn not_judged(world: &World<'_>) -> Vec<String> {
    let flows = &world.facts.flows;
    let frames: u64 = world.captures.iter().map(|info| info.packets).sum();
    let wireguard = world.tunnels.iter().skip(1).any(|tunnel| tunnel.kind == TunnelKind::WireGuard);
    let span = world.unit_spans().values().map(|(first, last)| last.saturating_sub(*first)).max();
    let units: BTreeSet<u32> = world.points.iter().map(|point| point.unit).collect();
    let cases = [
        (frames == 0, "There are no packets, so nothing can be judged."),
        (flows.tcp == 0, "No TCP connection was seen: connecting and transferring cannot be judged."),
        (
            flows.tcp > 0 && flows.handshakes == 0,
            "No TCP handshake was seen: whether connecting works cannot be judged.",
        ),
        (world.facts.dns.seen == 0, "No DNS was seen: name resolution cannot be judged."),
        (
            flows.two_way.is_empty() && flows.one_way > 0 && !units.iter().all(|unit| world.has_both_ways(*unit)),
            "No connection shows both directions: that something is not answered cannot be told from a capture of one \
             direction.",
        ),
        (span.is_some_and(|ns| ns < TIMEOUT_NS), "The capture is shorter than 3 s: timeouts cannot be judged."),
        (
            world.facts.turns.services().iter().any(|service| service.facts.interleaved > 0),
            "Some TLS connections may carry HTTP/2: how long single requests on them take, and whether one met the end \
             of its connection, cannot be judged.",
        ),
        (wireguard, "WireGuard traffic is encrypted: what happens inside cannot be judged."),
        (world.restricted, "The analysis was restricted: what was left out is not judged."),
    ];
    let told = cases.into_iter().filter(|(holds, _)| *holds).map(|(_, text)| text.to_owned());
    told.chain(quic(flows)).collect()
}

/// What is not judged of QUIC, and what was seen of it all the same.
fn quic(flows: &FlowFacts) -> Option<String> {
    let unanswered = match flows.quic_unanswered {
        0 => String::new(),
        count => format!(
            " {count} of {} got no answer to {}: servers without QUIC, and policies for TCP alone, look like that, and \
             clients go on with TCP.",
            flows.quic,
            count_of(flows.quic_initials, "Initial")
        ),
    };
    (flows.quic > 0)
        .then(|| format!("QUIC is encrypted: what is asked and how long it takes cannot be judged.{unanswered}"))
}

/// The rungs, from what was seen and found.
pub(crate) fn ladder(world: &World<'_>, findings: &[Finding], connections: &ConnectionCounts) -> Ladder {
    let dns = &world.facts.dns;
    let found = |code: &str| findings.iter().any(|finding| finding.code == code);
    let prohibited = findings.iter().any(|finding| finding.code == "SVC005" && finding.title.contains("prohibited"));
    let failed = connections.refused + connections.unanswered + connections.rejected;
    Ladder {
        dns: told(findings, share(dns.answered as i64, dns.silent as i64), |code| code.starts_with("DNS")),
        endpoints: told(findings, share(connections.established, connections.refused), |code| {
            ENDPOINTS.contains(&code)
        }),
        pod_ip: if found("NET004") { Rung::Broken } else { share(connections.established, 0) },
        policy: if prohibited { Rung::Broken } else { Rung::NotSeen },
        overlay: overlay(world, findings.iter().any(|f| f.code.starts_with("OVL") && f.severity > Severity::Info)),
        mtu: mtu(world, findings),
        tcp: told(findings, share(connections.established, failed), is_of_tcp),
    }
}

/// What is wrong with who is behind a service.
const ENDPOINTS: [&str; 6] = ["SVC001", "SVC002", "SVC003", "SVC008", "SVC009", "NAT008"];

/// Whether connections themselves suffer, and not only what is said on them.
fn is_of_tcp(code: &str) -> bool {
    let ends = ["APP002", "APP003", "APP005", "APP007"];
    ["NET", "NAT", "SVC"].iter().any(|area| code.starts_with(area)) || ends.contains(&code)
}

/// A rung that holds by its counts, unless something that is wrong with it was found.
fn told(findings: &[Finding], rung: Rung, is_about: fn(&str) -> bool) -> Rung {
    let mut wrong = findings.iter().filter(|finding| finding.severity > Severity::Info);
    if rung == Rung::Ok && wrong.any(|finding| is_about(finding.code)) { Rung::Degraded } else { rung }
}

fn mtu(world: &World<'_>, findings: &[Finding]) -> Rung {
    let worst = findings.iter().filter(|finding| finding.code.starts_with("MTU")).map(|finding| finding.severity).max();
    match worst {
        Some(Severity::Error | Severity::Critical) => Rung::Broken,
        Some(_) => Rung::Degraded,
        None if world.facts.path_mtu.full_size_passed => Rung::Ok,
        None => Rung::NotSeen,
    }
}

fn share(good: i64, bad: i64) -> Rung {
    match (good, bad) {
        (0, 0) => Rung::NotSeen,
        (_, 0) => Rung::Ok,
        (0, _) => Rung::Broken,
        _ => Rung::Degraded,
    }
}

fn overlay(world: &World<'_>, broken: bool) -> Rung {
    let both_ways = world.tunnel_uses.iter().any(|usage| usage.ab.frames > 0 && usage.ba.frames > 0);
    match (broken, both_ways) {
        (true, _) => Rung::Broken,
        (false, true) => Rung::Ok,
        (false, false) => Rung::NotSeen,
    }
}
