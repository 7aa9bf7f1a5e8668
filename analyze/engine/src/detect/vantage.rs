//! Where captures were taken, as the packets in them show it, and where another would tell more.

use super::world::World;
use crate::Addr;
use crate::packet::is_fresh;
use crate::path::{Connection, Kept};
use crate::track::event::{ConnState, Flow, LegSeen};
use std::collections::BTreeSet;

/// A place to capture at.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Spot {
    /// In the pod that has this address, or on the host.
    Host(Addr),
    /// On the node of a pod, all interfaces.
    NodeOf(Addr),
}

/// Which hosts and nodes the units are captures of.
#[derive(Debug, Default)]
pub(crate) struct Vantages {
    /// No router lies between the unit and the host, while one lies between it and whom the host talks to.
    hosts: BTreeSet<(Addr, u32)>,
    /// The same, and it sees where the host's packets go from there.
    nodes: BTreeSet<(Addr, u32)>,
}

/// Hosts kept.
const HOSTS: usize = 4096;

impl Vantages {
    fn of(kept: &Kept) -> Self {
        let mut vantages = Self::default();
        for connection in kept.connections() {
            for flow in connection.flows(kept).filter(|flow| flow.is_two_way() && flow.state != ConnState::Rej) {
                flow.legs()
                    .filter_map(|leg| end_of(flow, leg))
                    .for_each(|host| vantages.add(host, flow, connection, kept));
            }
        }
        vantages
    }

    fn add(&mut self, host: Addr, flow: &Flow, connection: &Connection, kept: &Kept) {
        if self.hosts.len() >= HOSTS {
            return;
        }
        self.hosts.insert((host, flow.unit));
        let sightings = connection.flows(kept).filter(|other| other.unit == flow.unit).flat_map(Flow::legs);
        if sightings.take(2).count() > 1 {
            self.nodes.insert((host, flow.unit));
        }
    }
}

/// The end of a connection whose segment a place is on: its packets come as it made them, and its peer's were routed.
fn end_of(flow: &Flow, leg: &LegSeen) -> Option<Addr> {
    let (orig, resp) = (leg.orig_ttl?, leg.resp_ttl?);
    match (is_fresh(Some(orig)), is_fresh(Some(resp))) {
        _ if leg.tunnel != 0 => None,
        (true, false) => Some(flow.orig.addr),
        (false, true) => Some(flow.resp.addr),
        _ => None,
    }
}

/// Places in words: pods before nodes, and of one pod both at once.
fn in_words(spots: &BTreeSet<Spot>) -> String {
    let of = |wanted: fn(&Spot) -> Option<Addr>| spots.iter().filter_map(wanted).collect::<BTreeSet<Addr>>();
    let hosts = of(|spot| if let Spot::Host(addr) = spot { Some(*addr) } else { None });
    let nodes = of(|spot| if let Spot::NodeOf(addr) = spot { Some(*addr) } else { None });
    let both = hosts.intersection(&nodes).map(|addr| format!("on the node of {addr} and in its pod"));
    let host = hosts.difference(&nodes).map(|addr| format!("on the host or in the pod of {addr}"));
    let node = nodes.difference(&hosts).map(|addr| format!("on the node of {addr}, all interfaces (`-i any`)"));
    both.chain(host).chain(node).take(MOST).collect::<Vec<_>>().join("; ")
}

impl World<'_> {
    fn vantages(&self) -> &Vantages {
        let kept = &self.facts.servers.kept;
        self.facts.vantages.get_or_init(|| Vantages::of(kept))
    }

    /// Units that are captures of a host, in order.
    pub(super) fn captures_of(&self, host: Addr) -> impl Iterator<Item = u32> {
        self.vantages().hosts.range((host, 0)..=(host, u32::MAX)).map(|(_, unit)| *unit)
    }

    fn is_captured(&self, spot: Spot) -> bool {
        match spot {
            Spot::Host(addr) => self.captures_of(addr).next().is_some(),
            Spot::NodeOf(addr) => self.vantages().nodes.range((addr, 0)..=(addr, u32::MAX)).next().is_some(),
        }
    }

    /// Where to capture next, of places that tell something: those that no capture is of; nothing where all are there.
    pub(super) fn capture_next(&self, spots: impl IntoIterator<Item = Spot>, tells: &str) -> Option<String> {
        let spots: BTreeSet<Spot> = spots.into_iter().filter(|spot| !self.is_captured(*spot)).collect();
        let together = if spots.len() > 1 { ", at the same time" } else { "" };
        (!spots.is_empty()).then(|| format!("{}{together}: {tells}", in_words(&spots)))
    }
}

/// Places asked for at most.
const MOST: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_words() {
        let [a, b] = [1, 2].map(|last| Addr::v4([192, 0, 2, last]));
        let words = |spots: &[Spot]| in_words(&spots.iter().copied().collect());
        assert_eq!(words(&[Spot::NodeOf(a), Spot::Host(a)]), "on the node of 192.0.2.1 and in its pod");
        let apart = "on the host or in the pod of 192.0.2.1; on the node of 192.0.2.2, all interfaces (`-i any`)";
        assert_eq!(words(&[Spot::Host(a), Spot::NodeOf(b)]), apart);
    }
}
