//! Limits of how many connections may be open at once: what comes beyond is reset, and the next is welcome as soon as
//! one has ended. By lot, as with one dead endpoint of several, it would not matter how many are open.

use super::attempts::Outcome;
use super::evidence::{count_of, server_filter, some_of};
use super::listen_overflow::ABOUT;
use super::services::Service;
use super::world::World;
use crate::finding::Finding;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Connections refused, and as many granted, before it is a pattern.
const PATTERN: usize = 8;

/// How many connections were open whenever one was refused, fewer being open whenever one came about.
pub(super) fn limit(service: &Service, world: &World<'_>) -> Option<usize> {
    let counts = &service.attempts.counts;
    let often = counts.refused.min(counts.established) >= PATTERN as u64;
    if !often || counts.failed() > counts.refused {
        return None;
    }
    let kept = &world.facts.servers.kept;
    let connections = service.connections.iter().filter_map(|at| kept.connections().get(*at as usize));
    let flows = connections.filter_map(|one| Some((one.front().flows(kept).next()?, one.outcome)));
    let mut tries: Vec<(i64, i64, Outcome)> =
        flows.map(|(flow, outcome)| (flow.first_ns, flow.last_ns, outcome)).collect();
    tries.sort_unstable_by_key(|(begin, ..)| *begin);
    let (mut ends, mut granted, mut refused) = (BinaryHeap::new(), Vec::new(), Vec::new());
    for (begin, end, outcome) in tries {
        while ends.peek().is_some_and(|Reverse(end)| *end <= begin) {
            ends.pop();
        }
        if outcome == Outcome::Refused {
            refused.push(ends.len());
        } else {
            granted.push(ends.len());
            ends.push(Reverse(end));
        }
    }
    let least = refused.into_iter().min()?;
    granted.into_iter().max().filter(|most| most + 1 == least).map(|_| least)
}

/// Servers that refuse what comes beyond a limit.
pub(super) fn limited<'a>(world: &'a World<'_>) -> impl Iterator<Item = Finding> + 'a {
    let services = world.facts.servers.services().iter();
    services.filter_map(|service| Some(judge(service, limit(service, world)?, world)))
}

fn judge(service: &Service, limit: usize, world: &World<'_>) -> Finding {
    let (server, counts) = (service.server, &service.attempts.counts);
    let all = counts.refused + counts.established;
    let (others, are, were) =
        if limit == 1 { ("another".to_owned(), "is", "was") } else { (format!("{limit} others"), "are", "were") };
    let title = format!("{server} refuses connections while {others} {are} open ({} of {all})", counts.refused);
    let mut finding = Finding::of(&ABOUT, title);
    finding.confidence = 0.85;
    let failing = service.failures(Outcome::Refused);
    finding.concern(service, &failing, []);
    finding.counts.insert("refused", counts.refused as i64);
    finding.counts.insert("established", counts.established as i64);
    finding.counts.insert("open", limit as i64);
    finding.cite(world, failing.frames(), &server_filter(service));
    finding.explanation = format!(
        "{} of {all} from {} to {server} met a reset, each while {others} {were} open, and those that came about began while \
         fewer were. So the server lives, and something limits how many connections may be open at once: a firewall rule \
         (connlimit), the application, or a full queue where net.ipv4.tcp_abort_on_overflow is set.",
        count_of(counts.refused, "connection"),
        some_of(&failing.clients, 3),
    );
    finding.rule_out("SVC002", "by a lot among endpoints it would not matter how many connections are open");
    finding.rule_out("SVC003", "the port is open");
    "Raise the limit, scale out, or let clients keep fewer connections open at once (the size of their pools, keep-alive)."
        .clone_into(&mut finding.fix.text);
    finding.fix.commands = vec![
        "iptables-save | grep -e connlimit -e tcp-reset".to_owned(),
        "kubectl exec POD -- sysctl net.ipv4.tcp_abort_on_overflow".to_owned(),
        "kubectl exec POD -- ss -ltn".to_owned(),
    ];
    finding
}
