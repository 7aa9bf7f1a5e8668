//! Totals for the report's summary: talkers, outcomes, protocols.

use crate::Addr;
use crate::collect::Names;
use crate::detect::Outcome;
use crate::finding::{ConnectionCounts, Summary, Talker, TunnelSummary};
use crate::packet::{TCP, UDP};
use crate::path::Kept;
use crate::track::event::{ConnState, Event, Flow};
use crate::track::tunnels::TunnelUse;
use crate::wire::dns;
use foldhash::fast::RandomState;
use std::collections::{BTreeMap, HashMap};

/// Addresses counted; those that come later are only counted in sum.
const MAX_TALKERS: usize = 65_536;
/// Talkers and tunnels shown.
const SHOWN: usize = 10;

#[derive(Clone, Copy, Debug, Default)]
struct Volume {
    sent: u64,
    received: u64,
    connections: u64,
}

/// Totals over all units.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    talkers: HashMap<Addr, Volume, RandomState>,
    connections: ConnectionCounts,
    protocols: BTreeMap<&'static str, i64>,
    /// Connection ends whose address is beyond the cap.
    pub(crate) left_out: u64,
}

impl Totals {
    /// Adds an event.
    pub(crate) fn event(&mut self, event: &Event) {
        match event {
            Event::Flow(flow) => self.flow(flow),
            Event::IcmpError(_) => *self.protocols.entry("icmp errors").or_default() += 1,
            Event::Echo(_) => *self.protocols.entry("pings").or_default() += 1,
            Event::Quic(quic) => {
                *self.protocols.entry("quic connections").or_default() += 1;
                if quic.unanswered > 0 {
                    *self.protocols.entry("quic initials without answer").or_default() += i64::from(quic.unanswered);
                }
            }
            Event::Turn(_)
            | Event::Tcp(_)
            | Event::ArpUnanswered(_)
            | Event::AddressConflict(_)
            | Event::Speakers(_)
            | Event::Flagged(_)
            | Event::Tally { .. } => {}
        }
    }

    /// Counts DNS transactions.
    pub(crate) fn dns(&mut self, count: i64) {
        if count > 0 {
            *self.protocols.entry("dns transactions").or_default() += count;
        }
    }

    fn flow(&mut self, flow: &Flow) {
        let (orig, resp) = (flow.from_orig.bytes, flow.from_resp.bytes);
        self.talk(flow.orig.addr, orig, resp);
        self.talk(flow.resp.addr, resp, orig);
        let kind = match flow.proto {
            6 => "tcp connections",
            17 if flow.resp.port == 53 => "dns flows",
            17 => "udp flows",
            _ => "other flows",
        };
        *self.protocols.entry(kind).or_default() += 1;
        if let Some(kind) = link_local_dns(flow) {
            *self.protocols.entry(kind).or_default() += flow.packets() as i64;
        }
        if flow.proto == TCP {
            self.outcome(flow);
        }
    }

    fn talk(&mut self, addr: Addr, sent: u64, received: u64) {
        let is_full = self.talkers.len() >= MAX_TALKERS;
        let volume = if is_full { self.talkers.get_mut(&addr) } else { Some(self.talkers.entry(addr).or_default()) };
        let Some(volume) = volume else {
            self.left_out += 1;
            return;
        };
        volume.sent += sent;
        volume.received += received;
        volume.connections += 1;
    }

    fn outcome(&mut self, flow: &Flow) {
        let cut = matches!(flow.state, ConnState::Rsto | ConnState::Rstr);
        count(&mut self.connections, flow.outcome(), cut, flow.state == ConnState::Oth);
    }

    /// Counts each TCP connection once, whatever saw it, where all of them are known one by one.
    pub(crate) fn join(&mut self, kept: &Kept) {
        if kept.left_out > 0 {
            return;
        }
        let mut counts = ConnectionCounts::default();
        let tcp = kept.connections().iter().filter(|connection| connection.proto == TCP);
        let mut all = 0;
        for connection in tcp {
            let is = |state: &[ConnState]| connection.flows(kept).any(|flow| state.contains(&flow.state));
            let midstream = connection.flows(kept).all(|flow| flow.state == ConnState::Oth);
            count(&mut counts, connection.outcome, is(&[ConnState::Rsto, ConnState::Rstr]), midstream);
            all += 1;
        }
        self.connections = counts;
        if let Some(tcp) = self.protocols.get_mut("tcp connections") {
            *tcp = all;
        }
    }

    /// The report's summary.
    pub(crate) fn summary(&self, names: &Names, uses: &[TunnelUse]) -> Summary {
        Summary {
            talkers: self.top_talkers(),
            tunnels: top_tunnels(names, uses),
            connections: self.connections.clone(),
            protocols: self.protocols.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect(),
            ..Summary::default()
        }
    }

    fn top_talkers(&self) -> Vec<Talker> {
        let mut all: Vec<_> = self.talkers.iter().collect();
        all.sort_by_key(|(addr, volume)| (std::cmp::Reverse(volume.sent + volume.received), **addr));
        let talker = |(addr, volume): (&Addr, &Volume)| Talker {
            address: addr.to_string(),
            name: None,
            sent_bytes: volume.sent as i64,
            received_bytes: volume.received as i64,
            connections: volume.connections as i64,
        };
        all.into_iter().take(SHOWN).map(talker).collect()
    }
}

/// Counts a connection: how it began, whether it was reset, and whether nobody saw how it began.
fn count(counts: &mut ConnectionCounts, outcome: Outcome, cut: bool, midstream: bool) {
    match outcome {
        _ if cut => {
            counts.established += 1;
            counts.reset += 1;
        }
        _ if midstream => counts.midstream += 1,
        Outcome::Established => counts.established += 1,
        Outcome::Refused => counts.refused += 1,
        Outcome::Rejected => counts.rejected += 1,
        Outcome::Unanswered | Outcome::HalfOpen => counts.unanswered += 1,
        Outcome::Unclear => {}
    }
}

/// What asks the link's hosts in the format of DNS, and is none of a resolver's business (RFC 6762, RFC 4795): to a group,
/// or from port to port.
fn link_local_dns(flow: &Flow) -> Option<&'static str> {
    let ports = [flow.orig.port, flow.resp.port];
    let groups = [flow.orig.addr, flow.resp.addr].iter().any(|addr| addr.ip().is_multicast());
    let speaks = |port| ports == [port; 2] || groups && ports.contains(&port);
    match () {
        () if flow.proto != UDP => None,
        () if speaks(dns::MDNS_PORT) => Some("mdns messages"),
        () if speaks(dns::LLMNR_PORT) => Some("llmnr messages"),
        () => None,
    }
}

/// Tunnels that carried most; of one that several captures saw, what the one counted that saw most.
fn top_tunnels(names: &Names, uses: &[TunnelUse]) -> Vec<TunnelSummary> {
    let mut tunnels: BTreeMap<_, (u64, u64)> = BTreeMap::new();
    for (tunnel, usage) in names.tunnels.iter().zip(uses).skip(1) {
        let most = tunnels.entry((tunnel.kind, tunnel.a, tunnel.b, tunnel.id)).or_default();
        *most = (*most).max((usage.ab.frames, usage.ba.frames));
    }
    let mut all: Vec<_> = tunnels.into_iter().collect();
    all.sort_by_key(|(_, (ab, ba))| std::cmp::Reverse(ab + ba));
    let shown = all.into_iter().take(SHOWN).map(|((kind, a, b, id), (ab, ba))| TunnelSummary {
        kind: kind.name().to_owned(),
        a: a.to_string(),
        b: b.to_string(),
        id: id.map(Into::into),
        packets_ab: ab as i64,
        packets_ba: ba as i64,
    });
    shown.collect()
}
