use super::About;
use super::connection_limit::limited;
use super::evidence::{count_of, servers_filter, some_of};
use super::losses::{connections, connections_with, has_finding};
use super::vantage::Spot;
use super::world::World;
use crate::Addr;
use crate::finding::{Finding, Role, Severity};
use crate::packet::is_fresh;
use crate::path::Signs;
use crate::time::widen;
use crate::track::event::{Flow, LegSeen};
use crate::track::{Endpoint, FrameId};
use foldhash::fast::RandomState;
use std::collections::{BTreeMap, BTreeSet, HashSet};

pub(super) const ABOUT: About = About {
    code: "SVC006",
    slug: "listen-overflow",
    title: "a server does not accept connections as fast as they come",
    severity: Severity::Error,
    what: "SYNs reach a server that is up and listens, and it does not answer them, or it ignores the end of the handshake: \
           its queue of connections to accept is full.",
    why: "Clients wait 1, 3, 7 s and more to connect, or time out, while the connections that got in work.",
    how: "At a place next to the server (its packets have a TTL that no router has lowered) SYNs are repeated and \
          unanswered although the same address and port answers others. Or, from anywhere: the server repeats its SYN-ACK \
          after the acknowledgement of it has passed, which Linux does when the accept queue is full. Or eight or more \
          connections are reset, each while as many others are open, and as many come about whenever fewer are.",
    false_positives: "SYNs lost on the way never come next to the server. A policy lets none through. A dead backend of \
                      several answers nobody; this one does.",
    fix: "Accept faster (more workers, no blocking work in the accept loop), raise the application's backlog and \
          `net.core.somaxconn` in the pod, or scale out.",
    filter: "tcp.flags.syn == 1",
    judge: find,
};

/// Attempts that must have met a full queue before it is a pattern.
const PATTERN: u64 = 2;
/// The same where only a guess is possible.
const GUESS: u64 = 3;

/// Attempts at one server.
#[derive(Clone, Debug, Default)]
struct Attempts {
    established: u64,
    /// Attempts whose SYNs next to the server went unanswered, all of them or the first.
    dropped: u64,
    dropped_syns: u64,
    /// Attempts elsewhere whose SYN was repeated before it was answered, and those never answered.
    late: u64,
    never: u64,
    /// Handshakes whose end the server ignored.
    ignored: u64,
    clients: BTreeSet<Addr>,
    /// Addresses in front of the server.
    services: BTreeSet<Endpoint>,
    frames: Vec<FrameId>,
    span_ns: Option<(i64, i64)>,
    /// When the last that was accepted began, and the first whose SYNs were dropped.
    accepted_ns: Option<i64>,
    dropped_ns: Option<i64>,
    /// Whether a host took requests that its server never answered, or answered a SYN at last: it is there.
    is_there: bool,
}

fn find(world: &World<'_>) -> Vec<Finding> {
    let mut findings = overflowing(world);
    findings.extend(limited(world));
    findings
}

fn overflowing(world: &World<'_>) -> Vec<Finding> {
    let had_to_wait = |flow: &&Flow| flow.ignored > 0 || flow.early_syns() > 1;
    let waited = connections_with(Signs::ASKED_AGAIN, world).filter(|(_, _, flows)| flows.iter().any(had_to_wait));
    let suspects: HashSet<Endpoint, RandomState> = waited.map(|(_, resp, _)| resp).collect();
    if suspects.is_empty() {
        return Vec::new();
    }
    let near = Near { places: places_next_to_servers(world), served: served(world, &suspects), world };
    let mut servers: BTreeMap<Endpoint, Attempts> = BTreeMap::new();
    for (orig, resp, flows) in connections(world).filter(|(_, resp, _)| suspects.contains(resp)) {
        servers.entry(resp).or_default().add(orig, &flows, &near);
    }
    let full =
        |(server, attempts): &(&Endpoint, &Attempts)| attempts.are_refused_room() && !is_explained(**server, world);
    servers.iter().filter(full).map(|(server, of)| judge(*server, of, world)).collect()
}

/// Whether another cause is known for what fails at a server.
fn is_explained(server: Endpoint, world: &World<'_>) -> bool {
    has_finding(world, &["SVC002", "SVC011", "NAT003", "NAT004", "NAT005", "SVC007"], server.addr)
}

/// Places, point and tunnel, and whom they are next to.
type Places = BTreeSet<(u16, u32, Endpoint)>;

/// What shows that a SYN came next to its server.
struct Near<'a> {
    places: Places,
    /// Clients of which a server accepted connections.
    served: BTreeSet<(Addr, Endpoint)>,
    world: &'a World<'a>,
}

impl Near<'_> {
    /// SYNs of a connection next to its server. Where a place is all interfaces of a host at once, a policy may drop them
    /// before the last of them: it drops all of a client's, and a queue that overflows takes some.
    fn syns(&self, flow: &Flow) -> Option<u32> {
        let leg = flow.legs().find(|leg| self.places.contains(&(leg.point, leg.tunnel, flow.resp)))?;
        let hides = self.world.points.get(usize::from(leg.point)).is_some_and(|point| point.hides_interface);
        (!hides || self.served.contains(&(flow.orig.addr, flow.resp))).then(|| unanswered(flow, leg))
    }
}

/// Clients of which these servers accepted connections.
fn served(world: &World<'_>, servers: &HashSet<Endpoint, RandomState>) -> BTreeSet<(Addr, Endpoint)> {
    let flows = connections(world).filter(|(_, resp, _)| servers.contains(resp)).flat_map(|(_, _, flows)| flows);
    flows.filter(|flow| is_accepted(flow)).map(|flow| (flow.orig.addr, flow.resp)).collect()
}

fn is_accepted(flow: &Flow) -> bool {
    flow.from_resp.packets > flow.from_resp.syns
}

/// Whether its host took all of a request that was never answered.
fn is_unserved(flow: &Flow) -> bool {
    flow.from_orig.payload_bytes > 0 && flow.from_orig.all_acked && flow.from_resp.payload_bytes == 0
}

/// Places where a server's packets have passed no router and its clients' have, as at no other place of that capture: next
/// to the server, not to a client.
fn places_next_to_servers(world: &World<'_>) -> Places {
    let next_to = |leg: &&LegSeen| is_fresh(leg.resp_ttl) && !is_fresh(leg.orig_ttl);
    let flows = connections(world).flat_map(|(_, _, flows)| flows);
    let flows = flows.filter(|flow| !flow.legs().any(|leg| is_fresh(leg.orig_ttl)));
    let legs = flows.flat_map(|flow| flow.legs().filter(next_to).map(move |leg| (leg.point, leg.tunnel, flow.resp)));
    legs.collect()
}

impl Attempts {
    /// Whether the queue is what stops them. Elsewhere than next to the server, SYNs that are answered late show no more
    /// than that something drops them now and then.
    fn are_refused_room(&self) -> bool {
        let seen = self.dropped >= PATTERN && self.established > 0 && self.lives();
        let ignored = self.ignored > 0 && self.ignored + self.dropped + self.late >= PATTERN;
        seen || ignored || self.is_guess()
    }

    /// Whether the server is still there when SYNs are dropped: what accepts none from some moment on may be gone.
    fn lives(&self) -> bool {
        self.is_there || self.ignored > 0 || self.late > 0 || self.accepted_ns > self.dropped_ns
    }

    fn is_guess(&self) -> bool {
        let many = self.late > 0 && self.late + self.never >= GUESS && self.established > self.late;
        self.dropped < PATTERN && self.ignored == 0 && many
    }

    fn add(&mut self, orig: Endpoint, flows: &[&Flow], near: &Near<'_>) {
        self.services.extend(flows.first().map(|flow| flow.resp));
        let accepted = flows.iter().find(|flow| is_accepted(flow));
        self.established += u64::from(accepted.is_some());
        self.accepted_ns = self.accepted_ns.max(accepted.map(|flow| flow.first_ns));
        self.is_there |= flows.iter().any(|flow| is_unserved(flow));
        let ignored = flows.iter().any(|flow| flow.ignored > 0);
        let next_to = flows.iter().find_map(|flow| Some((*flow, near.syns(flow)?)));
        if flows.iter().any(|flow| flow.rejection().is_some() || (flow.reset().is_some() && flow.from_resp.syns == 0)) {
            return;
        }
        let dropped = next_to.filter(|(flow, syns)| flow.early_syns() > 1 && *syns > 1);
        if let Some(first) = flows.first().filter(|flow| next_to.is_none() && flow.early_syns() > 1) {
            *(if first.from_resp.packets > 0 { &mut self.late } else { &mut self.never }) += 1;
            self.note(orig, first);
        }
        let met = dropped.map(|(flow, _)| flow).or_else(|| flows.first().copied().filter(|_| ignored));
        if let Some(flow) = met {
            self.dropped += u64::from(dropped.is_some());
            if let Some((flow, _)) = dropped {
                self.dropped_ns = Some(self.dropped_ns.map_or(flow.first_ns, |first| first.min(flow.first_ns)));
                self.is_there |= flow.from_resp.packets > 0;
            }
            self.dropped_syns += dropped.map_or(0, |(flow, syns)| flow.early_syns().min(syns).into());
            self.ignored += u64::from(ignored);
            self.note(orig, flow);
        }
    }

    fn note(&mut self, orig: Endpoint, flow: &Flow) {
        self.clients.insert(orig.addr);
        self.frames.extend(flow.syns.as_slice());
        widen(&mut self.span_ns, flow.first_ns, flow.last_ns);
    }
}

/// SYNs of a connection that came to a place next to the server, but for those of one whose every SYN was answered there
/// and whose answers took another way.
fn unanswered(flow: &Flow, leg: &LegSeen) -> u32 {
    if flow.is_half_open() && leg.answers_syns() { 0 } else { leg.syns }
}

impl Flow {
    /// SYNs that waited in vain: those before the first SYN-ACK, less the one it answers.
    fn early_syns(&self) -> u32 {
        match self.from_resp.packets {
            0 => self.from_orig.syns,
            _ if self.syn_waited => self.from_orig.syns,
            _ => 0,
        }
    }
}

fn judge(server: Endpoint, attempts: &Attempts, world: &World<'_>) -> Finding {
    let hit = attempts.dropped.max(attempts.ignored).max(attempts.late + attempts.never);
    let verb = if attempts.is_guess() { "may not" } else { "does not" };
    let title = format!("{server} {verb} take connections fast enough ({})", count_of(hit, "attempt"));
    let mut finding = Finding::of(&ABOUT, title);
    finding.confidence = if attempts.dropped > 0 && attempts.ignored > 0 { 0.9 } else { 0.8 };
    if attempts.is_guess() {
        finding.severity = Severity::Info;
        finding.confidence = 0.4;
        finding.limits.push(
            "the capture is not next to the server: the SYNs may as well be lost on the way, or dropped by NAT"
                .to_owned(),
        );
        finding.capture_next = world.capture_next([Spot::Host(server.addr)], "whether the SYNs arrive there");
    }
    finding.about(Role::Server, &server);
    let services = attempts.services.iter().filter(|service| **service != server);
    services.take(4).for_each(|service| finding.about(Role::Service, service));
    attempts.clients.iter().take(8).for_each(|client| finding.about(Role::Client, client));
    finding.counts.insert("attempts", hit as i64);
    finding.counts.insert("dropped_syns", attempts.dropped_syns as i64);
    finding.counts.insert("ignored_handshakes", attempts.ignored as i64);
    finding.counts.insert("established", attempts.established as i64);
    let (first, last) = attempts.span_ns.unwrap_or_default();
    finding.span(first, last);
    let servers = attempts.services.iter().chain([&server]);
    let filter = format!("({}) && tcp.flags.syn == 1", servers_filter(servers));
    finding.cite(world, attempts.frames.iter().copied(), &filter);
    finding.explanation = explain(server, attempts);
    finding.rule_out("SVC004", "the same address and port answers other attempts at the same time");
    if attempts.dropped > 0 {
        finding.rule_out("NET001", "the SYNs were seen next to the server, so the network had delivered them");
    }
    finding.fix.commands = vec![
        format!("kubectl get pods -A -o wide | grep -wF {}", server.addr),
        "kubectl exec POD -- nstat -az TcpExtListenOverflows TcpExtListenDrops".to_owned(),
        "kubectl exec POD -- ss -ltn   # Recv-Q reaches Send-Q where the queue is full".to_owned(),
    ];
    finding
}

fn explain(server: Endpoint, attempts: &Attempts) -> String {
    let mut parts = Vec::new();
    if attempts.dropped > 0 {
        parts.push(format!(
            "{} of {} came next to {server} and got no answer ({}), while {} came about",
            count_of(attempts.dropped_syns, "SYN"),
            count_of(attempts.dropped, "attempt"),
            some_of(&attempts.clients, 3),
            count_of(attempts.established, "other"),
        ));
    }
    if attempts.late + attempts.never > 0 {
        parts.push(format!(
            "{} had to repeat the SYN, of which {} got an answer late and {} never, while {} came about",
            count_of(attempts.late + attempts.never, "attempt"),
            attempts.late,
            attempts.never,
            count_of(attempts.established, "connection"),
        ));
    }
    if attempts.ignored > 0 {
        parts.push(format!(
            "in {} the server repeated its SYN-ACK although the acknowledgement had passed, as Linux does when the queue \
             of connections to accept is full",
            count_of(attempts.ignored, "handshake"),
        ));
    }
    let cause = if attempts.is_guess() {
        "If they reach the server, its application does not accept fast enough, or its backlog is too small."
    } else {
        "The application does not accept fast enough, or its backlog is too small."
    };
    format!("{}. {cause}", parts.join("; "))
}
