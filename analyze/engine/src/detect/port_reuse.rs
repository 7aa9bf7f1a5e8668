use super::About;
use super::evidence::{count_of, some_of};
use super::world::World;
use crate::Addr;
use crate::finding::{Finding, Role, Severity};
use crate::packet::TCP;
use crate::path::{Connection, Signs};
use crate::track::Endpoint;
use crate::track::event::Flow;
use std::collections::{BTreeMap, BTreeSet};

pub(super) const ABOUT: About = About {
    code: "NAT006",
    slug: "port-reuse",
    title: "ports are used again before the other side has forgotten them",
    severity: Severity::Warning,
    what: "A SYN is answered by a plain ACK with other numbers, the client resets that, repeats its SYN and gets through a \
           second later.",
    why: "The server still has the previous connection of the same addresses and ports (TIME_WAIT, or an old entry of a \
          NAT). With few source ports behind a NAT, or pods that come and go, it happens often and costs a second each.",
    how: "Connections whose responder acknowledges before any SYN-ACK, whose originator resets and repeats its SYN, and \
          which are then established (RFC 9293 3.10.7.3; challenge ACK, RFC 5961).",
    false_positives: "A SYN that is repeated because it was lost is answered by nothing before the SYN-ACK.",
    fix: "Use more source ports or egress addresses, keep connections open longer, and let clients, not servers, close \
          first.",
    filter: "tcp.analysis.reused_ports || tcp.flags.reset == 1",
    judge: find,
};

fn find(world: &World<'_>) -> Vec<Finding> {
    let kept = &world.facts.servers.kept;
    let mut cases: BTreeMap<Endpoint, Vec<(&Connection, &Flow)>> = BTreeMap::new();
    let again = kept.connections().iter().filter(|connection| connection.signs.has(Signs::ASKED_AGAIN));
    for connection in again.filter(|connection| connection.proto == TCP) {
        if let Some(flow) = connection.flows(kept).find(|flow| was_challenged(flow)) {
            cases.entry(connection.front().resp).or_default().push((connection, flow));
        }
    }
    cases.iter().map(|(server, case)| judge(*server, case, world)).collect()
}

/// SYN, plain ACK, reset of it, SYN again: in the history's letters, each of which is the first of its kind.
fn was_challenged(flow: &Flow) -> bool {
    let letters = flow.history.as_str();
    let at = |letter: char| letters.find(letter);
    let order = [at('S'), at('a'), at('R')];
    let ordered = order.iter().all(Option::is_some) && order.is_sorted();
    ordered
        && at('R') < at('h').or(Some(usize::MAX))
        && flow.from_orig.syns >= 2
        && at('D').is_none_or(|d| Some(d) > at('R'))
}

fn judge(server: Endpoint, case: &[(&Connection, &Flow)], world: &World<'_>) -> Finding {
    let count = count_of(case.len() as u64, "connection");
    let mut finding = Finding::of(&ABOUT, format!("{count} to {server} meet the remains of older ones"));
    finding.confidence = 0.85;
    finding.about(Role::Server, &server);
    let clients: BTreeSet<Addr> = case.iter().map(|(connection, _)| connection.front().orig.addr).collect();
    for client in clients.iter().take(8) {
        finding.about(Role::Client, client);
    }
    finding.counts.insert("connections", case.len() as i64);
    let (first, last) = (case.iter().map(|c| c.1.first_ns).min(), case.iter().map(|c| c.1.last_ns).max());
    finding.span(first.unwrap_or_default(), last.unwrap_or_default());
    let frames =
        case.iter().flat_map(|(_, flow)| flow.syns.iter().copied().take(2).chain(flow.reset().map(|r| r.frame)));
    let filter = format!("tcp.port == {} && (tcp.flags.syn == 1 || tcp.flags.reset == 1)", server.port);
    finding.cite(world, frames.collect::<Vec<_>>(), &filter);
    finding.explanation = format!(
        "{count} of {} to {server}: the SYN was answered by an ACK that belongs to an older connection with the same \
         ports, the client reset that, and only the repeated SYN was granted.",
        some_of(&clients, 3),
    );
    finding.rule_out("NET001", "the first SYN was not lost: it was answered");
    finding.rule_out("SVC003", "the reset is the client's, and the connection comes about");
    finding.fix.commands =
        vec!["ss -tan state time-wait | wc -l".to_owned(), "sysctl net.ipv4.ip_local_port_range".to_owned()];
    finding
}
