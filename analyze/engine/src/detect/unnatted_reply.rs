use super::About;
use super::attempts::Outcome;
use super::evidence::{count_of, some_of};
use super::strangers::{Stranger, strangers};
use super::world::World;
use crate::finding::{Finding, Role, Severity};
use crate::packet::TCP;
use crate::time::widen;
use crate::track::event::{Flow, Reset};
use crate::track::{Endpoint, FrameId};
use std::collections::{BTreeMap, BTreeSet};

pub(super) const ABOUT: About = About {
    code: "NAT001",
    slug: "unnatted-reply",
    title: "replies reach the client with the endpoint's own address",
    severity: Severity::Error,
    what: "In the middle of a connection to a service a segment arrives from the endpoint's own address instead of the \
           service's. The client knows no such connection and resets it, which kills the server's side.",
    why: "conntrack took a segment for INVALID (out of its window, or late) and forwarded it without translating it back. \
          Applications see \"connection reset by peer\" now and then, on healthy servers (kubernetes #74839). Where it is \
          the SYN-ACK, answers never pass the NAT at all: the endpoint is on the client's node and the bridge carries them \
          past iptables, or they take another way.",
    how: "A segment for the port of a live connection comes from another address, acknowledges bytes that the connection \
          did send, and the client answers it with a reset; or, where both sides of the translation are seen, the client \
          resets the endpoint's address and never the service's. Or a SYN-ACK from another address acknowledges the SYN \
          that the client sent to the service, which nobody else answers.",
    false_positives: "Another connection from the same port to another server has its own handshake and its own sequence \
                      numbers: the acknowledgement would not fit.",
    fix: "Let the node drop INVALID packets before they are forwarded (kube-proxy does since 1.15, unless \
          nf_conntrack_tcp_be_liberal is set), or set net.netfilter.nf_conntrack_tcp_be_liberal=1 on the nodes. Where \
          SYN-ACKs come untranslated: `modprobe br_netfilter` and net.bridge.bridge-nf-call-iptables=1.",
    filter: "tcp.flags.reset == 1 && tcp.flags.ack == 0",
    judge: find,
};

/// What was seen of one service's un-NATed replies.
#[derive(Default)]
struct Case {
    clients: BTreeSet<Endpoint>,
    endpoints: BTreeSet<Endpoint>,
    /// Whether it is the SYN-ACK that comes untranslated, of all of them.
    handshake: bool,
    /// Whether the client resets some; else its host drops what it cannot route back.
    reset: bool,
    frames: Vec<FrameId>,
    span_ns: Option<(i64, i64)>,
}

impl Case {
    fn add(&mut self, client: Endpoint, endpoint: Endpoint, flow: &Flow) {
        self.clients.insert(client);
        self.endpoints.insert(endpoint);
        self.reset |= flow.reset().is_some();
        self.frames.extend(std::iter::once(flow.first).chain(flow.reset().map(|reset| reset.frame)));
        let at = flow.reset().map_or(flow.first_ns, |reset| reset.ns);
        widen(&mut self.span_ns, at, at);
    }
}

fn find(world: &World<'_>) -> Vec<Finding> {
    let mut cases: BTreeMap<Endpoint, Case> = BTreeMap::new();
    for Stranger { connection, flow } in strangers(world) {
        let (front, from_client) = (connection.front(), flow.orig == connection.front().orig);
        let reset = flow.was_reset(from_client) && !flow.was_reset(!from_client);
        let (client, server) =
            if from_client { (&flow.from_orig, &flow.from_resp) } else { (&flow.from_resp, &flow.from_orig) };
        let first_is_reply = !from_client && server.payload_bytes > 0 && client.payload_bytes == 0;
        if first_is_reply && reset {
            cases.entry(front.resp).or_default().add(front.orig, flow.orig, flow);
        }
    }
    behind(world, &mut cases);
    handshakes(world, &mut cases);
    cases.iter().map(|(service, case)| judge(*service, case, world)).collect()
}

/// Connections that the client resets under the endpoint's address and never under the service's, or of which it gets
/// nothing but the endpoint's SYN-ACKs.
fn behind(world: &World<'_>, cases: &mut BTreeMap<Endpoint, Case>) {
    let kept = &world.facts.servers.kept;
    for connection in kept.connections().iter().filter(|connection| connection.endpoint().is_some()) {
        let (front, back) = (connection.front(), connection.back());
        let aborts = front.flows(kept).any(|flow| flow.was_reset(true));
        if aborts || front.orig != back.orig {
            continue;
        }
        let fails = matches!(connection.outcome, Outcome::Unanswered | Outcome::HalfOpen);
        let together = |post: &&Flow| {
            let seen_at = |point: u16| {
                front.flows(kept).any(|pre| pre.unit == post.unit && pre.legs().any(|leg| leg.point == point))
            };
            let stray = post.from_orig.packets == 0 && post.from_resp.isn.is_some() && seen_at(post.leg.point);
            // A lone reset of the endpoint's side makes that the one that began.
            let by_client = |reset: &Reset| reset.by_orig == (post.orig == back.orig);
            stray && fails || post.reset().is_some_and(|reset| by_client(&reset) && seen_at(reset.point))
        };
        if let Some(post) = back.flows(kept).find(together) {
            let case = cases.entry(front.resp).or_default();
            case.handshake = case.clients.is_empty() || case.handshake;
            case.handshake &= fails;
            case.add(front.orig, back.resp, post);
        }
    }
}

/// Attempts that nobody answers under the service's address, and somebody under another: a SYN-ACK without a SYN of its
/// own, which the client resets, or ignores where its host has no route back.
fn handshakes(world: &World<'_>, cases: &mut BTreeMap<Endpoint, Case>) {
    let kept = &world.facts.servers.kept;
    let whole = kept.connections().iter().filter(|connection| connection.proto == TCP && connection.stages.len() == 1);
    let mut answers: BTreeMap<Endpoint, Vec<&Flow>> = BTreeMap::new();
    for flow in whole.clone().flat_map(|connection| connection.flows(kept)) {
        let lone = flow.from_orig.syns == 0 && flow.from_resp.isn.is_some() && flow.from_orig.payload_bytes == 0;
        if lone && (flow.was_reset(true) || flow.from_orig.packets == 0) {
            answers.entry(flow.orig).or_default().push(flow);
        }
    }
    if answers.is_empty() {
        return;
    }
    for flow in whole.flat_map(|connection| connection.flows(kept)).filter(|flow| flow.from_resp.packets == 0) {
        for answer in answers.get(&flow.orig).into_iter().flatten().filter(|answer| acknowledges(answer, flow)) {
            let case = cases.entry(flow.resp).or_default();
            case.handshake |= case.clients.is_empty();
            case.add(flow.orig, answer.resp, answer);
        }
    }
}

/// Whether a SYN-ACK answers the SYN of an attempt at another address.
fn acknowledges(answer: &Flow, attempt: &Flow) -> bool {
    let next = attempt.from_orig.isn.map(|isn| isn.wrapping_add(1));
    let fits = next.is_some() && answer.from_resp.acknowledged == next && answer.resp != attempt.resp;
    // Who sees one direction only sees the rest of the handshake.
    let fails = answer.was_reset(true) || attempt.outcome() == Outcome::Unanswered;
    fits && fails && answer.unit == attempt.unit && answer.first_ns >= attempt.first_ns
}

fn judge(service: Endpoint, case: &Case, world: &World<'_>) -> Finding {
    let killed = count_of(case.clients.len() as u64, "connection");
    let end = if case.reset { "reset" } else { "not established" };
    let mut finding = Finding::of(&ABOUT, format!("replies of {service} arrive untranslated ({killed} {end})"));
    finding.about(Role::Service, &service);
    for endpoint in case.endpoints.iter().take(8) {
        finding.about(Role::Endpoint, endpoint);
    }
    let addresses: BTreeSet<_> = case.clients.iter().map(|client| client.addr).collect();
    for client in addresses.iter().take(8) {
        finding.about(Role::Client, client);
    }
    finding.counts.insert("connections", case.clients.len() as i64);
    let (first, last) = case.span_ns.unwrap_or_default();
    finding.span(first, last);
    let family = service.addr.family();
    let filters: Vec<String> = case.endpoints.iter().take(4).map(|e| format!("{family}.addr == {}", e.addr)).collect();
    finding.cite(
        world,
        case.frames.iter().copied(),
        &format!("tcp.port == {} && ({})", port(case), filters.join(" || ")),
    );
    if case.handshake {
        never_translated(&mut finding, service, case);
    } else {
        taken_for_invalid(&mut finding, service, case, &killed);
    }
    finding
}

/// A segment in the middle of a connection.
fn taken_for_invalid(finding: &mut Finding, service: Endpoint, case: &Case, killed: &str) {
    finding.explanation = format!(
        "{killed} to {service}: a segment of the server reached the client with the source {} instead of the service's \
         address, so the client, which knows no such connection, answered it with a reset. The reset kills the server's \
         side; the client learns of it with its next segment. The node's conntrack took the segment for INVALID and \
         forwarded it untranslated.",
        some_of(&case.endpoints, 3),
    );
    finding.rule_out("SVC008", "the server did not reset first: it was reset by the client's host");
    finding.rule_out("NET001", "the segment was delivered, with the wrong source");
    finding.fix.commands = vec![
        "iptables-save -t filter | grep -e INVALID".to_owned(),
        "sysctl net.netfilter.nf_conntrack_tcp_be_liberal".to_owned(),
        "conntrack -S | grep -o 'invalid=[0-9]*'".to_owned(),
    ];
}

/// What to do where not even the SYN-ACK is translated.
const NEVER_TRANSLATED: &str = "Let what is bridged pass iptables on the nodes: load br_netfilter and set \
                                net.bridge.bridge-nf-call-iptables=1 (and ip6tables), at boot too. Where the endpoint \
                                is on another node, see that its answers come back through the node that translated.";

/// Says why not even the SYN-ACK is translated: it does not pass where it would be.
fn never_translated(finding: &mut Finding, service: Endpoint, case: &Case) {
    finding.explanation = format!(
        "{} to {service}: the SYN-ACK reached the client with the source {} instead of the service's address, so the \
         client, which knows no such connection, {} and goes on with its SYN. The answers do not pass \
         the NAT that translated the SYN: the endpoint is on the client's node and the bridge carries them straight to it, \
         because br_netfilter is missing or off, or they take another way than the SYN.",
        count_of(case.clients.len() as u64, "attempt"),
        some_of(&case.endpoints, 3),
        if case.reset { "answered it with a reset" } else { "ignores it" },
    );
    finding.rule_out("SVC004", "the endpoint answers");
    if case.reset {
        finding.rule_out("SVC003", "the resets are the client's");
    }
    NEVER_TRANSLATED.clone_into(&mut finding.fix.text);
    finding.fix.commands = vec![
        "modprobe br_netfilter".to_owned(),
        "sysctl -w net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1".to_owned(),
    ];
}

fn port(case: &Case) -> u16 {
    case.endpoints.first().map_or(0, |endpoint| endpoint.port)
}
