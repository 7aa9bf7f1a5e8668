//! What detectors judge at the end: facts gathered over all captures.

use super::acquaintances::Acquaintances;
use super::answers::Answers;
use super::dns::Dns;
use super::found::Found;
use super::fragments::Fragments;
use super::lookups::LookupFacts;
use super::losses::Lossy;
use super::overlay::Overlay;
use super::path_mtu::PathMtu;
use super::services::Servers;
use super::turns::Turns;
use super::vantage::Vantages;
use crate::Addr;
use crate::Directory;
use crate::context::Vantage;
use crate::finding::{Finding, Role, Severity, Subject};
use crate::packet::TCP;
use crate::track::decoded::{Decoded, PointCounts};
use crate::track::event::{AddressConflict, ArpUnanswered, ConnState, Flow};
use crate::track::points::Point;
use crate::track::tunnels::{Tunnel, TunnelUse};
use crate::track::{Event, IcmpError, Quic, Turn};
use kcap_file::CaptureInfo;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

/// Facts of all units that more than one detector needs.
#[derive(Default)]
pub(crate) struct Facts {
    pub(crate) servers: Servers,
    /// What captures would have seen, had it been there.
    pub(crate) vantage: Vantage,
    /// Names of addresses.
    pub(crate) names: Directory,
    pub(crate) overlay: Overlay,
    pub(crate) path_mtu: PathMtu,
    pub(crate) fragments: Fragments,
    /// ICMP errors that no route exists, by sender and destination; a few of each.
    pub(crate) no_route: BTreeMap<(Addr, Addr), Vec<IcmpError>>,
    /// ICMP errors by which the far end of a tunnel, or what stands before it, refuses its packets, by who sent these and
    /// for whom they were; a few of each.
    pub(crate) refused_tunnels: BTreeMap<(Addr, Addr), Vec<IcmpError>>,
    pub(crate) silent_arp: Vec<ArpUnanswered>,
    /// Addresses that several link addresses claim.
    pub(crate) conflicts: Vec<AddressConflict>,
    /// Addresses that spoke in ARP or neighbour discovery, by unit; some of them.
    pub(crate) speakers: BTreeSet<(u32, Addr)>,
    /// Addresses that were answered there, by unit; some of them.
    pub(crate) neighbours: BTreeSet<(u32, Addr)>,
    pub(crate) flows: FlowFacts,
    pub(crate) turns: Turns,
    pub(crate) answers: Answers,
    /// Who has to do with whom, once asked for.
    pub(crate) acquaintances: OnceLock<Acquaintances>,
    /// Directions of connections that lost segments, once asked for.
    pub(crate) lossy: OnceLock<Vec<Lossy>>,
    /// Which hosts the captures are of, once asked for.
    pub(crate) vantages: OnceLock<Vantages>,
    pub(crate) lookups: LookupFacts,
    pub(crate) dns: Dns,
    /// Facts that were not kept because there are too many.
    pub(crate) left_out: u64,
}

/// Bytes that the captures of a unit do not have.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Gaps {
    /// Payload bytes that were acknowledged although they are not there.
    pub(crate) missed: u64,
    /// Payload bytes that are.
    pub(crate) seen: u64,
    /// Connections with such bytes.
    pub(crate) flows: u64,
}

/// Counts over all connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct FlowFacts {
    pub(crate) tcp: u64,
    pub(crate) handshakes: u64,
    pub(crate) midstream: u64,
    /// Connections of which both directions were seen, by unit, and of which only one was.
    pub(crate) two_way: BTreeMap<u32, u64>,
    pub(crate) one_way: u64,
    /// What the captures of each unit lack.
    pub(crate) gaps: BTreeMap<u32, Gaps>,
    /// Units that lack such bytes.
    pub(crate) holes: BTreeSet<u32>,
    pub(crate) evicted: u64,
    /// Connections that speak QUIC, those of them that got no answer, and with how many datagrams they asked for one.
    pub(crate) quic: u64,
    pub(crate) quic_unanswered: u64,
    pub(crate) quic_initials: u64,
}

/// ICMP errors of a kind that are kept.
pub(super) const FEW: usize = 8;
const MAX_FACTS: usize = 4096;

impl Facts {
    /// Facts of which connections and DNS queries may take so many bytes.
    pub(crate) fn new(connections: u64, queries: u64) -> Self {
        Self { servers: Servers::new(connections), dns: Dns::new(queries), ..Self::default() }
    }

    /// Takes note of how captures were taken, once all are read.
    pub(crate) fn listen(&mut self, vantage: Vantage) {
        self.servers.kept.until_ns.clone_from(&vantage.until_ns);
        self.vantage = vantage;
    }

    /// Keeps what is left of a connection, noted before.
    pub(crate) fn keep(&mut self, flow: Box<Flow>) {
        self.servers.add(flow);
    }

    /// Puts together what several units saw, once all are read.
    pub(crate) fn settle(&mut self) {
        self.dns.settle();
        self.turns.settle(&self.servers.kept);
    }

    /// Takes note of an event; of turns see [`Self::turn`].
    pub(crate) fn event(&mut self, event: &Event) {
        match event {
            Event::Flow(flow) => {
                self.overlay.add(flow);
                self.path_mtu.add(flow);
                self.flows.add(flow);
                self.dns.flow(flow);
            }
            Event::IcmpError(error) if error.icmp.is_no_route() => self.no_route(error),
            Event::IcmpError(error) if error.refuses_tunnel() => {
                let key = (error.orig.addr, error.resp.addr);
                self.left_out += u64::from(!keep_few(&mut self.refused_tunnels, key, error));
            }
            Event::IcmpError(error) if error.icmp.is_reassembly_timeout() => self.fragments.gave_up(error),
            Event::IcmpError(error) if error.icmp.is_too_big() => self.path_mtu.too_big(error),
            Event::ArpUnanswered(asked) if self.silent_arp.len() < MAX_FACTS => self.silent_arp.push((**asked).clone()),
            Event::AddressConflict(conflict) if self.conflicts.len() < MAX_FACTS => {
                self.conflicts.push((**conflict).clone());
            }
            Event::ArpUnanswered(_) | Event::AddressConflict(_) => self.left_out += 1,
            Event::Speakers(told) => {
                self.speakers.extend(told.addrs.iter().map(|addr| (told.unit, *addr)));
                self.neighbours.extend(told.answered.iter().map(|addr| (told.unit, *addr)));
            }
            Event::Echo(echo) => self.overlay.echo(echo),
            Event::Quic(quic) => self.flows.quic(quic),
            Event::Turn(_) | Event::Tcp(_) | Event::IcmpError(_) | Event::Flagged(_) | Event::Tally { .. } => {}
        }
    }

    /// Takes note of a turn.
    pub(crate) fn turn(&mut self, turn: &Turn) {
        self.turns.add(turn);
        self.answers.add(turn);
    }

    fn no_route(&mut self, error: &IcmpError) {
        let key = (error.from, error.resp.addr);
        self.left_out += u64::from(!keep_few(&mut self.no_route, key, error));
    }
}

/// Keeps a few errors of a kind. False where there is no room for another kind.
fn keep_few(all: &mut BTreeMap<(Addr, Addr), Vec<IcmpError>>, key: (Addr, Addr), error: &IcmpError) -> bool {
    if all.len() >= MAX_FACTS && !all.contains_key(&key) {
        return false;
    }
    let known = all.entry(key).or_default();
    if known.len() < FEW {
        known.push(error.clone());
    }
    true
}

impl FlowFacts {
    fn add(&mut self, flow: &Flow) {
        *(if flow.is_two_way() { self.two_way.entry(flow.unit).or_default() } else { &mut self.one_way }) += 1;
        self.evicted += u64::from(flow.evicted);
        if flow.proto == TCP {
            self.tcp(flow);
        }
    }

    fn quic(&mut self, quic: &Quic) {
        self.quic += 1;
        self.quic_unanswered += u64::from(quic.unanswered > 0);
        self.quic_initials += u64::from(quic.unanswered);
    }

    fn tcp(&mut self, flow: &Flow) {
        self.tcp += 1;
        self.handshakes += u64::from(flow.from_orig.isn.is_some());
        self.midstream += u64::from(flow.state == ConnState::Oth);
        let missed = flow.from_orig.missed_bytes + flow.from_resp.missed_bytes;
        let gaps = self.gaps.entry(flow.unit).or_default();
        gaps.missed += missed;
        gaps.flows += u64::from(missed > 0);
        gaps.seen += flow.from_orig.payload_bytes + flow.from_resp.payload_bytes;
        self.holes.extend((missed > 0).then_some(flow.unit));
    }
}

/// Everything that is known at the end.
pub(crate) struct World<'a> {
    pub(crate) facts: &'a Facts,
    pub(crate) captures: &'a [CaptureInfo],
    pub(crate) points: &'a [Point],
    pub(crate) decoded: &'a Decoded,
    pub(crate) tunnels: &'a [Tunnel],
    pub(crate) tunnel_uses: &'a [TunnelUse],
    /// Whether the user restricted what is analysed.
    pub(crate) restricted: bool,
    /// Findings so far, of detectors that take precedence.
    pub(crate) findings: Found<'a>,
}

/// Frames of which some would have passed the other way, if the capture had that.
const MANY: u64 = 16;

impl World<'_> {
    /// Whether a tunnel was found broken, so that what fails inside is its symptom.
    pub(crate) fn is_broken(&self, tunnel: u32) -> bool {
        let Some(tunnel) = self.tunnel(tunnel) else { return false };
        let broken = || self.knows_pair(&["OVL001", "OVL002", "OVL003", "OVL004"], tunnel.a, tunnel.b);
        self.has_double_end(tunnel.a, tunnel.b) || broken()
    }

    /// Whether two hosts own the address of an end of a tunnel, so that what is sent to it goes to either.
    pub(crate) fn has_double_end(&self, a: Addr, b: Addr) -> bool {
        let certain = |finding: &&Finding| finding.severity >= Severity::Error;
        self.found(&["NET003"]).filter(certain).any(|finding| finding.names(&a) || finding.names(&b))
    }

    /// A tunnel by its number; 0 is none.
    pub(crate) fn tunnel(&self, tunnel: u32) -> Option<&Tunnel> {
        self.tunnels.get(tunnel as usize).filter(|_| tunnel != 0)
    }

    /// Whether a capture lost packets itself, so that what is missing may have been there.
    pub(crate) fn lacks_packets(&self) -> bool {
        self.found(&["CAP001"]).next().is_some()
    }

    /// Whether a connection passes a tunnel that was found broken.
    pub(crate) fn is_in_broken_tunnel(&self, flow: &Flow) -> bool {
        flow.legs().any(|leg| self.is_broken(leg.tunnel))
    }

    /// Whether a finding of one of these kinds is about two addresses already.
    pub(crate) fn knows_pair(&self, codes: &[&str], a: Addr, b: Addr) -> bool {
        self.found(codes).any(|finding| finding.names(&a) && finding.names(&b))
    }

    /// The interface that a capture point is, where the file says it.
    pub(crate) fn interface(&self, point: u16) -> Option<&str> {
        self.points.get(usize::from(point))?.interface.as_deref()
    }

    /// The command that shows what the links of capture points dropped, where the capture names them.
    pub(crate) fn link_counters(&self, points: impl Iterator<Item = u16>) -> String {
        let named =
            points.filter_map(|point| self.interface(point)).filter(|name| !name.contains('#') && *name != "any");
        let interface = named.min().unwrap_or("INTERFACE");
        format!("ethtool -S {interface} | grep -iE 'drop|err|discard'")
    }

    /// A capture point by its name, and inside what kind of tunnel.
    pub(crate) fn place_name(&self, point: u16, tunnel: u32) -> String {
        let point = self.points.get(usize::from(point));
        let name = match point.map(|point| (&point.interface, point.capture)) {
            Some((Some(interface), capture)) => {
                let interface = interface.replace("if#", "interface ");
                format!("{interface} of {}", self.capture_name(capture))
            }
            Some((None, capture)) => self.capture_name(capture).to_owned(),
            None => "?".to_owned(),
        };
        match self.tunnel(tunnel) {
            Some(tunnel) => format!("{name} ({})", tunnel.kind.name()),
            None => name,
        }
    }

    /// Findings of these kinds so far: mostly none.
    pub(crate) fn found(&self, codes: &[&str]) -> impl Iterator<Item = &Finding> {
        self.findings.of_kinds(codes)
    }

    /// Whether a finding of one of these kinds is about an address already.
    pub(crate) fn knows(&self, codes: &[&str], address: &impl ToString) -> bool {
        self.found(codes).any(|finding| finding.names(address))
    }

    /// Whether a finding says that there is no way to an address.
    pub(crate) fn has_no_way_to(&self, addr: Addr) -> bool {
        let target = |subject: &Subject| subject.role == Role::Server && subject.address == addr.to_string();
        self.found(&["NET004"]).any(|finding| finding.subjects.iter().any(target))
    }

    /// From when each unit saw something, to when it did or listened.
    pub(crate) fn unit_spans(&self) -> BTreeMap<u32, (i64, i64)> {
        let mut spans: BTreeMap<u32, (i64, i64)> = BTreeMap::new();
        for (at, point) in self.points.iter().enumerate() {
            if let Some((first, last)) = self.decoded.at(at).and_then(|counts| counts.span_ns) {
                let span = spans.entry(point.unit).or_insert((first, last));
                *span = (span.0.min(first), span.1.max(last));
            }
        }
        for (unit, until) in &self.facts.vantage.until_ns {
            spans.entry(*unit).and_modify(|span| span.1 = span.1.max(*until));
        }
        spans
    }

    /// Whether a unit has frames of one direction only, as its files say: what comes in, or what goes out.
    pub(crate) fn is_one_sided(&self, unit: u32) -> bool {
        let points = self.points.iter().enumerate().filter(|(_, point)| point.unit == unit);
        let counts = points.filter_map(|(at, _)| self.decoded.at(at)).filter(|counts| counts.frames > 0);
        let frames: u64 = counts.clone().map(|counts| counts.frames).sum();
        let all = |passes: fn(&PointCounts) -> bool| counts.clone().all(|counts| !passes(counts));
        frames >= MANY && (all(PointCounts::may_come_in) || all(PointCounts::may_go_out))
    }

    /// Whether a unit is known to have both directions of what passes, whether or not anything came back.
    pub(crate) fn has_both_ways(&self, unit: u32) -> bool {
        self.facts.vantage.both_ways.contains(&unit) && !self.is_one_sided(unit)
    }

    /// Connections of which a unit saw both directions: as many show that it would see answers.
    pub(crate) fn two_way(&self, unit: u32) -> u64 {
        if self.is_one_sided(unit) {
            return 0;
        }
        self.facts.flows.two_way.get(&unit).copied().unwrap_or_default()
    }

    /// The unit that a file is of.
    pub(crate) fn unit(&self, capture: u32) -> Option<u32> {
        self.points.iter().find(|point| point.capture == capture).map(|point| point.unit)
    }

    /// The first file of a unit.
    pub(crate) fn unit_name(&self, unit: u32) -> Option<&str> {
        let point = self.points.iter().find(|point| point.unit == unit)?;
        Some(self.capture_name(point.capture))
    }

    /// A file by its number.
    pub(crate) fn capture_name(&self, capture: u32) -> &str {
        self.captures.get(capture as usize).map_or("?", |info| &info.name)
    }
}
