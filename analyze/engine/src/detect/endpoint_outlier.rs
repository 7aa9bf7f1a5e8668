use super::About;
use super::evidence::{count_of, some_of};
use super::world::World;
use crate::finding::{Finding, Role, Severity};
use crate::path::endpoints::{Pairing, Usage, endpoints};
use crate::track::Endpoint;
use std::collections::BTreeMap;

pub(super) const ABOUT: About = About {
    code: "SVC009",
    slug: "endpoint-outlier",
    title: "one endpoint of a service is much slower or lossier than its siblings",
    severity: Severity::Warning,
    what: "Of the endpoints behind a service one takes much longer to answer, or loses many more segments, than the others.",
    why: "Every n-th request is slow. Averages over the service hide it; the node or the path of that one pod is the place \
          to look.",
    how: "Connections seen before and behind the translation, grouped by endpoint: five or more at each of two or more \
          endpoints; the median from SYN to SYN-ACK is five times and 20 ms above that of every sibling, or 3 % of packets \
          are sent again and ten times the share of every sibling.",
    false_positives: "An endpoint in another zone is some milliseconds away, which is below the threshold.",
    fix: "Look at the node and pod of that endpoint: CPU throttling, a bad link, a noisy neighbour; take it out of the \
          service meanwhile.",
    filter: "tcp.analysis.ack_rtt > 0.02 || tcp.analysis.retransmission",
    judge: find,
};

/// Connections that make a median.
const ENOUGH: u64 = 5;
const TIMES: i64 = 5;
const SLOWER_NS: i64 = 20_000_000;
/// Segments sent again that are more than an accident, and of how many packets.
const RESENT: u64 = 10;

fn find(world: &World<'_>) -> Vec<Finding> {
    let all = endpoints(&world.facts.servers.kept);
    let mut services: BTreeMap<(u8, Endpoint), Vec<(Endpoint, &Usage)>> = BTreeMap::new();
    for (Pairing { proto, service, endpoint }, usage) in &all {
        if usage.counts.established >= ENOUGH {
            services.entry((*proto, *service)).or_default().push((*endpoint, usage));
        }
    }
    let outliers = services.iter().filter(|(_, of)| of.len() > 1).flat_map(|((_, service), of)| {
        of.iter().filter_map(|(endpoint, usage)| {
            let siblings = || of.iter().filter(|(other, _)| other != endpoint).map(|(_, usage)| *usage);
            let slow = siblings().all(|sibling| is_slower(usage, sibling));
            let lossy = siblings().all(|sibling| is_lossier(usage, sibling));
            (slow || lossy).then(|| judge(*service, *endpoint, of, lossy && !slow, world))
        })
    });
    outliers.collect()
}

fn is_slower(usage: &Usage, sibling: &Usage) -> bool {
    let (Some(own), Some(other)) = (usage.rtt_ns(0.5), sibling.rtt_ns(0.5)) else { return false };
    own >= other.saturating_mul(TIMES) && own - other >= SLOWER_NS
}

fn is_lossier(usage: &Usage, sibling: &Usage) -> bool {
    let lost = |usage: &Usage| usage.retransmitted.saturating_sub(usage.unheard);
    let (own, other) = (lost(usage) * sibling.packets, lost(sibling) * usage.packets);
    lost(usage) >= RESENT && lost(usage) * 100 >= usage.packets * 3 && own >= other * 10
}

fn judge(service: Endpoint, endpoint: Endpoint, of: &[(Endpoint, &Usage)], lossy: bool, world: &World<'_>) -> Finding {
    let what = if lossy { "loses many more segments" } else { "answers much later" };
    let mut finding = Finding::of(&ABOUT, format!("{endpoint} of {service} {what} than its siblings"));
    finding.confidence = 0.8;
    finding.about(Role::Service, &service);
    finding.about(Role::Endpoint, &endpoint);
    let mut lines = Vec::new();
    for (at, usage) in of {
        if *at == endpoint {
            finding.counts.insert("connections", usage.connections as i64);
            finding.counts.insert("rtt_p50_us", usage.rtt_ns(0.5).unwrap_or_default() / 1000);
            finding.counts.insert("retransmitted", usage.retransmitted as i64);
        }
        let rtt = usage.rtt_ns(0.5).map_or(String::new(), |ns| format!(" {:.1} ms to answer a SYN,", ns as f64 / 1e6));
        lines.push(format!("{at}:{rtt} {} of {} sent again", usage.retransmitted, count_of(usage.packets, "packet")));
    }
    let kept = &world.facts.servers.kept;
    let own = kept.sent_to(service).filter(|c| c.front().resp == service && c.endpoint() == Some(endpoint));
    let flows: Vec<_> = own.flat_map(|connection| connection.back().flows(kept)).collect();
    let (first, last) = (flows.iter().map(|flow| flow.first_ns).min(), flows.iter().map(|flow| flow.last_ns).max());
    finding.span(first.unwrap_or_default(), last.unwrap_or_default());
    let family = endpoint.addr.family();
    finding.cite(world, flows.iter().map(|flow| flow.first).take(8), &format!("{family}.addr == {}", endpoint.addr));
    finding.explanation = format!("Endpoints of {service}: {}.", some_of(lines, 6));
    finding.rule_out("NET006", "its siblings are reached quickly from the same clients");
    finding.fix.commands = vec![
        format!("kubectl get pods -A -o wide | grep {}", endpoint.addr),
        "kubectl top pods -n NAMESPACE".to_owned(),
    ];
    finding
}
