use super::About;
use super::evidence::{count_of, servers_filter, some_of};
use super::slow_server::millis;
use super::turns::{SLOW_NS, Share, TurnService, shares};
use super::world::World;
use crate::finding::{Finding, Role, Severity};
use crate::path::Kept as Connections;
use crate::path::endpoints::{Pairing, Usage, endpoints};
use crate::track::{Endpoint, Turn};
use std::collections::{BTreeMap, BTreeSet};

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
          are sent again, not for nothing, and ten times the share of every sibling. Or by requests: half of an endpoint's answers take the \
          application half a second or more, half of each sibling's at most a tenth of that, and a sibling answered the \
          same requests at once.",
    false_positives: "An endpoint in another zone is some milliseconds away, which is below the threshold. Requests that \
                      no sibling is asked are not compared, nor those of fewer than three connections.",
    fix: "Look at the node and pod of that endpoint: CPU throttling, a bad link, a noisy neighbour; take it out of the \
          service meanwhile.",
    filter: "tcp.analysis.ack_rtt > 0.02 || tcp.analysis.retransmission",
    judge: find,
};

/// Connections that make a median.
const ENOUGH: u64 = 5;
const TIMES: i64 = 5;
const SLOWER_NS: i64 = 20_000_000;
/// Connections that show that it is the endpoint and not one client's work.
const CLIENTS: usize = 3;
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
    let mut outliers: Vec<Finding> = outliers.collect();
    let known = |slow: &SlowShare<'_>| outliers.iter().any(|finding| finding.names(&slow.share.at));
    let slow: Vec<_> = world
        .facts
        .turns
        .services()
        .iter()
        .filter_map(|service| SlowShare::of(service, &world.facts.servers.kept))
        .filter(|slow| !known(slow))
        .collect();
    outliers.extend(slow.iter().map(|slow| slow.judge(world)));
    outliers
}

/// An endpoint whose application takes long for what its siblings answer at once.
struct SlowShare<'a> {
    service: &'a TurnService,
    share: Share,
    siblings: Vec<Share>,
}

impl<'a> SlowShare<'a> {
    fn of(service: &'a TurnService, connections: &Connections) -> Option<Self> {
        if service.facts.slow.count < ENOUGH {
            return None;
        }
        let enough = shares(service, connections).into_iter().filter(|share| share.count() as u64 >= ENOUGH);
        let (mut slow, siblings): (Vec<Share>, Vec<Share>) = enough.partition(|share| share.median_ns() >= SLOW_NS);
        let share = slow.pop().filter(|_| slow.is_empty() && !siblings.is_empty())?;
        let quick: Vec<&Share> = siblings.iter().filter(|share| share.median_ns() <= SLOW_NS / 10).collect();
        let is_alone = quick.len() == siblings.len() && share.late_clients(SLOW_NS) >= CLIENTS;
        let is_outlier = is_alone && share.is_asked_the_same(&quick, SLOW_NS, SLOW_NS / 10);
        is_outlier.then_some(Self { service, share, siblings })
    }

    fn judge(&self, world: &World<'_>) -> Finding {
        let (server, at) = (self.service.server, self.share.at);
        let is_its = |turn: &&Turn| self.share.has(turn.identity);
        let turns: Vec<&Turn> = self.service.facts.slow.turns.iter().filter(is_its).collect();
        let median = |share: &Share| millis(Some(share.median_ns()));
        let title = format!("{at} of {server} takes {} for what its siblings answer at once", median(&self.share));
        let mut finding = Finding::of(&ABOUT, title);
        finding.about(Role::Service, &server);
        finding.about(Role::Endpoint, &at);
        finding.counts.insert("turns", self.share.count() as i64);
        finding.counts.insert("server_p50_ms", self.share.median_ns() / 1_000_000);
        let first = turns.iter().map(|turn| turn.asked_ns).min().unwrap_or_default();
        finding.span(first, turns.iter().filter_map(|turn| turn.answered_ns).max().unwrap_or(first));
        let frames = turns.iter().flat_map(|turn| std::iter::once(turn.request).chain(turn.response));
        finding.cite(world, frames, &servers_filter([server, at].iter()));
        let each =
            |share: &Share| format!("{} {} ({})", share.at, median(share), count_of(share.count() as u64, "answer"));
        let names: BTreeSet<&str> = turns.iter().map(|turn| turn.asked.text.as_str()).collect();
        finding.explanation = format!(
            "Endpoints of {server}, by the time that half of their answers take the application at most: {}. The slow one \
             acknowledges requests at once, so it is not the network; a sibling answers the same at once ({}).",
            some_of(std::iter::once(&self.share).chain(&self.siblings).map(each), 6),
            some_of(names, 4)
        );
        finding.rule_out("NET006", "its host acknowledges requests at once: the application takes the time");
        finding.fix.commands = vec![
            format!("kubectl get pods -A -o wide | grep -wF {}", at.addr),
            "kubectl top pod POD --containers".to_owned(),
        ];
        finding
    }
}

fn is_slower(usage: &Usage, sibling: &Usage) -> bool {
    let (Some(own), Some(other)) = (usage.rtt_ns(0.5), sibling.rtt_ns(0.5)) else { return false };
    own >= other.saturating_mul(TIMES) && own - other >= SLOWER_NS
}

fn is_lossier(usage: &Usage, sibling: &Usage) -> bool {
    let lost = |usage: &Usage| usage.retransmitted.saturating_sub(usage.unheard + usage.needless);
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
        format!("kubectl get pods -A -o wide | grep -wF {}", endpoint.addr),
        "kubectl top pods -n NAMESPACE".to_owned(),
    ];
    finding
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_only_overtaken_is_no_loss() {
        let usage = |retransmitted, needless| Usage { packets: 1000, retransmitted, needless, ..Usage::default() };
        assert!(is_lossier(&usage(100, 0), &usage(5, 0)));
        assert!(is_lossier(&usage(100, 20), &usage(5, 0)));
        assert!(!is_lossier(&usage(100, 80), &usage(5, 0)), "2 %");
        assert!(!is_lossier(&usage(100, 100), &usage(0, 0)));
    }
}
