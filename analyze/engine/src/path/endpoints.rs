//! How services share out their connections, and how the endpoints fare.

use super::{Kept, quantile};
use crate::detect::{Counts, Outcome};
use crate::packet::TCP;
use crate::track::event::{ConnState, Flow, Side};
use crate::track::{Endpoint, FrameId};
use std::collections::BTreeMap;

/// What became of a service's connections at one endpoint.
#[derive(Clone, Debug, Default)]
pub(crate) struct Usage {
    /// The first frame seen of any, and where.
    pub(crate) first: Option<(FrameId, u16)>,
    pub(crate) connections: u64,
    pub(crate) counts: Counts,
    /// Connections that came about and were reset later.
    pub(crate) resets: u64,
    /// SYN to SYN-ACK, nanoseconds, ascending.
    pub(crate) rtts_ns: Vec<i64>,
    pub(crate) packets: u64,
    pub(crate) retransmitted: u64,
    /// Of these, those of segments that nobody ever acknowledged: the endpoint or its way was gone, not lossy.
    pub(crate) unheard: u64,
    /// Of the segments sent again, those that had arrived: overtaken ones, mostly.
    pub(crate) needless: u64,
}

/// A service with one of its endpoints.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Pairing {
    pub(crate) proto: u8,
    pub(crate) service: Endpoint,
    pub(crate) endpoint: Endpoint,
}

/// Endpoints by service, of connections whose destination was translated in sight.
pub(crate) fn endpoints(kept: &Kept) -> BTreeMap<Pairing, Usage> {
    let mut all: BTreeMap<Pairing, Usage> = BTreeMap::new();
    for connection in kept.connections() {
        let Some(endpoint) = connection.endpoint() else { continue };
        let (proto, service) = (connection.proto, connection.front().resp);
        let usage = all.entry(Pairing { proto, service, endpoint }).or_default();
        let front: Vec<&Flow> = connection.front().flows(kept).collect();
        usage.add(connection.outcome, &front);
    }
    for usage in all.values_mut() {
        usage.rtts_ns.sort_unstable();
    }
    all
}

impl Usage {
    /// Adds a connection as its originator's side saw it.
    fn add(&mut self, outcome: Outcome, seen: &[&Flow]) {
        self.connections += 1;
        self.first = self.first.or_else(|| seen.first().map(|flow| (flow.first, flow.leg.point)));
        let Some(flow) = seen.iter().max_by_key(|flow| flow.packets()) else { return };
        self.counts.add(if flow.proto == TCP { outcome } else { answered(flow) });
        self.resets += u64::from(matches!(flow.state, ConnState::Rsto | ConnState::Rstr));
        self.rtts_ns.extend(seen.iter().find_map(|flow| flow.rtt_resp_ns.get()));
        self.packets += flow.packets();
        let again = |side: &Side| u64::from(side.retransmitted_packets);
        self.retransmitted += again(&flow.from_orig) + again(&flow.from_resp);
        let needless = |side: &Side| side.tcp.losses.as_deref().map_or(0, |losses| u64::from(losses.spurious()));
        self.needless += needless(&flow.from_orig) + needless(&flow.from_resp);
        self.unheard += flow.stall.as_deref().map_or(0, |stall| stall.resent.into());
    }

    /// The value below which this share of the handshakes lies, nanoseconds.
    pub(crate) fn rtt_ns(&self, share: f64) -> Option<i64> {
        quantile(&self.rtts_ns, share)
    }
}

/// The outcome of a flow of datagrams.
fn answered(flow: &Flow) -> Outcome {
    if flow.from_resp.packets > 0 { Outcome::Established } else { Outcome::Unanswered }
}
