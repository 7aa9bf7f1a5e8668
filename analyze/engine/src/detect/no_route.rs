use super::About;
use super::evidence::{count_of, some_of};
use super::services::Service;
use super::sweeps::sweepers;
use super::world::World;
use crate::Addr;
use crate::finding::{Finding, Role, Severity};
use crate::path::Connection;
use crate::track::event::ArpUnanswered;
use crate::track::{Endpoint, FrameId, IcmpError};
use crate::wire::dns::PORT;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

pub(super) const ABOUT: About = About {
    code: "NET004",
    slug: "no-route",
    title: "there is no way to this address",
    severity: Severity::Error,
    what: "A router or node answers that it cannot reach a host or network, or nobody answers ARP for it.",
    why: "Every connection to the address fails, after about 3 s where ARP has to give up first. The address is of a pod \
          that is gone, of another network that overlaps, or a route is missing.",
    how: "ICMP net or host unreachable (ICMPv6 no route, address unreachable) about packets to an address with which \
          nobody speaks in this capture; or three or more ARP requests for it without an answer while connection \
          attempts to it stay unanswered.",
    false_positives: "An address that others reach is not this: there one path or moment differs. ARP requests alone, or \
                      a ping or two, as scans make them, are not enough, nor is what a socket sends that asks eight \
                      destinations. Attempts at a service of which other endpoints \
                      answer are a stale endpoint.",
    fix: "See whether the address still belongs to a pod or node; if it does, find the route that is missing on the \
          host that says unreachable.",
    filter: "icmp.type == 3 && icmp.code in {0, 1} || icmpv6.type == 1 && icmpv6.code in {0, 3} || arp.opcode == 1",
    judge: find,
};

/// What says that an address cannot be reached.
#[derive(Default)]
struct Signs<'a> {
    errors: Vec<&'a IcmpError>,
    arps: Vec<&'a ArpUnanswered>,
}

/// IP protocol numbers (IANA).
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// ARP requests until Linux gives up (`mcast_solicit`).
const ARP_TRIES: u32 = 3;

fn find(world: &World<'_>) -> Vec<Finding> {
    let services = world.facts.servers.services();
    // An address behind DNAT lives if the one in front of it does: the errors come from behind.
    let mut alive = world.facts.servers.alive();
    alive.extend(services.iter().filter(|service| answers(service)).flat_map(addresses));
    let silent: BTreeSet<Addr> =
        services.iter().filter(|s| s.attempts.counts.unanswered > 0).flat_map(addresses).collect();
    let mut signs: BTreeMap<Addr, Signs<'_>> = BTreeMap::new();
    for ((_, target), errors) in &world.facts.no_route {
        signs.entry(*target).or_default().errors.extend(errors);
    }
    let sockets = signs.values().flat_map(|signs| &signs.errors).map(|error| error.orig).collect();
    let sweepers = sweepers(&sockets, world);
    signs.retain(|_, signs| is_wanted(signs, &sweepers));
    for arp in &world.facts.silent_arp {
        if arp.requests >= ARP_TRIES && (silent.contains(&arp.target) || signs.contains_key(&arp.target)) {
            signs.entry(arp.target).or_default().arps.push(arp);
        }
    }
    signs.retain(|target, signs| !alive.contains(target) && !is_stale(*target, world) && !is_dns_down(signs, world));
    let fronts = fronts(&signs, world);
    signs.retain(|target, _| !fronts.contains_key(target));
    signs.iter().map(|(target, signs)| judge(*target, signs, &fronts, world)).collect()
}

/// Pings at one address before somebody is taken to want it: who looks for what is there sends each one or two.
const PINGS: usize = 3;

/// Whether somebody wants to reach the address, and does not only look whether there is anybody.
fn is_wanted(signs: &Signs<'_>, sweepers: &BTreeSet<Endpoint>) -> bool {
    let is_ping = |error: &&&IcmpError| matches!(error.proto, ICMP | ICMPV6);
    let sweeps = |error: &&&IcmpError| {
        let pings = is_ping(error) && sweepers.iter().any(|socket| socket.addr == error.orig.addr);
        pings || sweepers.contains(&error.orig)
    };
    let errors = || signs.errors.iter().filter(|error| !sweeps(error));
    let pings = errors().filter(is_ping).count();
    pings < errors().count() || pings >= PINGS
}

/// Whether all that is known is that questions to a DNS server do not come to it, which is told as that.
fn is_dns_down(signs: &Signs<'_>, world: &World<'_>) -> bool {
    let known = |server: Endpoint| world.knows(&["DNS017"], &server) || world.knows(&["DNS017"], &server.addr);
    let told = |error: &&IcmpError| error.resp.port == PORT && error.icmp.is_no_route() && known(error.resp);
    !signs.errors.is_empty() && signs.errors.iter().all(told)
}

/// Addresses whose packets were sent on to another of the addresses, and that one: errors from behind DNAT name the
/// address in front of it once they are translated back.
fn fronts(signs: &BTreeMap<Addr, Signs<'_>>, world: &World<'_>) -> BTreeMap<Addr, Addr> {
    let kept = &world.facts.servers.kept;
    let behind = |error: &&IcmpError| {
        let endpoints = kept.sent_to(error.resp).filter_map(Connection::endpoint).map(|endpoint| endpoint.addr);
        endpoints.filter(|addr| *addr != error.resp.addr).find(|addr| signs.contains_key(addr))
    };
    let of =
        |(target, signs): (&Addr, &Signs<'_>)| Some((*target, signs.errors.iter().copied().find_map(|e| behind(&e))?));
    signs.iter().filter_map(of).collect()
}

/// Whether the address is known for an endpoint that is gone.
fn is_stale(target: Addr, world: &World<'_>) -> bool {
    let stale = world.found(&["SVC002"]);
    let mut subjects = stale.flat_map(|finding| &finding.subjects).filter(|subject| subject.role == Role::Endpoint);
    subjects.any(|subject| subject.address.parse().is_ok_and(|socket: SocketAddr| Addr::from(socket.ip()) == target))
}

fn answers(service: &Service) -> bool {
    let counts = &service.attempts.counts;
    counts.established + counts.half_open + counts.refused > 0
}

fn addresses(service: &Service) -> impl Iterator<Item = Addr> {
    std::iter::once(&service.server).chain(&service.behind).map(|server| server.addr)
}

/// An error passes the points of one host within this time.
const PASS_NS: u64 = 50_000_000;

impl Signs<'_> {
    /// Errors, each once: of the unit that has most, and not again where source NAT shows another address.
    fn count(&self) -> u64 {
        let mut units: BTreeMap<u32, Vec<&IcmpError>> = BTreeMap::new();
        for error in &self.errors {
            let known = units.entry(error.unit).or_default();
            if !known.iter().any(|other| is_translated(other, error)) {
                known.push(error);
            }
        }
        units.values().map(|errors| errors.len() as u64).max().unwrap_or_default()
    }
}

/// Whether two errors are one, before source NAT and behind. That may change the port, but no sequence number.
fn is_translated(a: &IcmpError, b: &IcmpError) -> bool {
    let number = |error: &IcmpError| error.seq.unwrap_or(error.orig.port.into());
    let packet = |error: &IcmpError| (error.icmp, error.proto, error.resp, number(error), error.quoted_len);
    a.orig.addr != b.orig.addr && packet(a) == packet(b) && a.ns.abs_diff(b.ns) < PASS_NS
}

fn judge(target: Addr, signs: &Signs<'_>, fronts: &BTreeMap<Addr, Addr>, world: &World<'_>) -> Finding {
    let mut finding = Finding::of(&ABOUT, format!("no way to {target}: {}", says(signs)));
    finding.confidence = if signs.errors.is_empty() { 0.75 } else { 0.9 };
    finding.about(Role::Server, &target);
    for (front, _) in fronts.iter().filter(|(_, behind)| **behind == target) {
        finding.about(Role::Service, front);
    }
    let askers: BTreeSet<Addr> = signs.errors.iter().map(|error| error.orig.addr).collect();
    for client in &askers {
        finding.about(Role::Client, client);
    }
    let hops: BTreeSet<Addr> = signs.errors.iter().map(|e| e.from).chain(signs.arps.iter().map(|a| a.sender)).collect();
    for hop in &hops {
        finding.about(Role::Hop, hop);
    }
    let requests: u32 = signs.arps.iter().map(|arp| arp.requests).sum();
    finding.counts.insert("icmp_errors", signs.count() as i64);
    finding.counts.insert("arp_requests", requests.into());
    let times: Vec<i64> = signs.errors.iter().map(|e| e.ns).chain(signs.arps.iter().map(|a| a.first_ns)).collect();
    if let (Some(first), Some(last)) = (times.iter().min(), times.iter().max()) {
        finding.span(*first, *last);
    }
    let frames = signs.errors.iter().map(|e| e.frame).chain(signs.arps.iter().flat_map(|a| a.frames.iter().copied()));
    finding.cite(world, frames.collect::<Vec<FrameId>>(), &filter(target));
    finding.explanation = explain(target, signs, requests, &hops, heard(target, signs, world));
    finding.rule_out("SVC004", "a host on the way says, or shows by ARP, that it cannot reach the address");
    advise(&mut finding, target, signs, &some_of(&hops, 3));
    finding
}

/// What to do by what is missing: the route, or the host where the route ends.
fn advise(finding: &mut Finding, target: Addr, signs: &Signs<'_>, hops: &str) {
    let no_route = signs.errors.iter().any(|error| !error.icmp.is_host_unreachable()) && signs.arps.is_empty();
    let (missing, look) = if no_route {
        (format!("{hops} has no route to it: add the one that is missing there"), "ip route get")
    } else {
        (format!("{hops} asks for it on its own network and gets no answer: that pod or host is down"), "ip neigh show")
    };
    finding.fix.text = format!(
        "See whether the address still belongs to a pod or node. If it does not, find who still names it: an \
         EndpointSlice, a DNS record, a configuration. If it does, {missing}."
    );
    finding.fix.commands = vec![
        format!("kubectl get pods,services,nodes -A -o wide | grep -wF {target}"),
        format!("kubectl get endpointslices -A -o wide | grep -wF {target}"),
        format!("{look} {target}"),
    ];
}

fn says(signs: &Signs<'_>) -> String {
    match signs.errors.first() {
        Some(error) => format!("{} says {}", error.from, error.icmp.name()),
        None => "nobody answers ARP for it".to_owned(),
    }
}

/// What is known of the address itself.
fn heard(target: Addr, signs: &Signs<'_>, world: &World<'_>) -> &'static str {
    let units: BTreeSet<u32> = signs.errors.iter().map(|error| error.unit).collect();
    let kept = &world.facts.servers.kept;
    let flows = kept.connections().iter().flat_map(|connection| connection.flows(kept));
    if flows.filter(|flow| flow.orig.addr == target).any(|flow| units.contains(&flow.unit)) {
        "What it sends itself arrives: the way back to it is missing."
    } else {
        "Nobody at that address speaks in this capture."
    }
}

fn explain(target: Addr, signs: &Signs<'_>, requests: u32, hops: &BTreeSet<Addr>, heard: &str) -> String {
    let mut parts = Vec::new();
    if let Some(error) = signs.errors.first() {
        let errors = count_of(signs.count(), "ICMP error");
        parts.push(format!("{errors} ({}) from {} about packets to {target}.", error.icmp, some_of(hops, 3)));
    }
    if let Some(kind) = signs.errors.iter().find_map(|error| error.quoted_tunnel) {
        parts.push(format!("It is the far end of a {} tunnel: nothing for the pods behind it arrives.", kind.name()));
    }
    if requests > 0 {
        parts.push(format!("{} for {target} stay unanswered.", count_of(requests.into(), "ARP request")));
    }
    parts.push(heard.to_owned());
    parts.join(" ")
}

fn filter(target: Addr) -> String {
    if target.is_v4() {
        format!("ip.addr == {target} || arp.dst.proto_ipv4 == {target}")
    } else {
        format!("ipv6.addr == {target}")
    }
}
