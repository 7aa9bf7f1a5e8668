//! What NAT made of connections.

use super::{Connection, Kept, Stage};
use crate::track::event::Flow;

/// Addresses of a connection before and behind a NAT.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Binding<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) pre: &'a Stage,
    pub(crate) post: &'a Stage,
}

impl<'a> Binding<'a> {
    /// The bindings of a connection, each two stages that follow each other.
    pub(crate) fn of(connection: &'a Connection) -> impl Iterator<Item = Self> {
        connection.stages.windows(2).filter_map(move |pair| match pair {
            [pre, post] => Some(Self { connection, pre, post }),
            _ => None,
        })
    }

    /// Which address was translated: `dnat`, `snat`, `both`, or `hairpin` where a host reaches itself.
    pub(crate) fn kind(&self) -> &'static str {
        let (source, destination) = (self.pre.orig != self.post.orig, self.pre.resp != self.post.resp);
        match (source, destination) {
            _ if self.is_hairpin() => "hairpin",
            (true, true) => "both",
            (true, false) => "snat",
            _ => "dnat",
        }
    }

    /// Whether the originator is sent back to itself.
    pub(crate) fn is_hairpin(&self) -> bool {
        self.pre.resp != self.post.resp && self.post.resp.addr == self.connection.front().orig.addr
    }

    /// The sightings on both sides of the NAT, of one unit where there is one that saw both.
    pub(crate) fn nearest(&self, kept: &'a Kept) -> (&'a Flow, &'a Flow) {
        let together = |pre: &'a Flow| Some((pre, self.post.flows(kept).find(|post| post.unit == pre.unit)?));
        let apart = || (kept.flow(self.pre.seen[0]), kept.flow(self.post.seen[0]));
        self.pre.flows(kept).find_map(together).unwrap_or_else(apart)
    }

    /// How it is known: by the handshake, by the first datagram, by where its sequence numbers ended.
    pub(crate) fn method(&self, kept: &Kept) -> &'static str {
        let flow = kept.flow(self.pre.seen[0]);
        match (flow.from_orig.isn, flow.from_orig.sample, flow.from_resp.isn) {
            (Some(_), _, _) => "syn",
            (_, Some(_), _) => "datagram",
            (_, _, Some(_)) => "syn-ack",
            _ => "numbers",
        }
    }
}
