//! What happens inside tunnels, by pair of outer ends.

use super::attempts::Outcome;
use crate::Addr;
use crate::track::event::Flow;
use crate::track::{Endpoint, FrameId};
use crate::wire::TunnelKind;
use foldhash::fast::RandomState;
use std::collections::{BTreeSet, HashMap};

/// Two ends of tunnels of one kind.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Pair {
    pub(crate) kind: TunnelKind,
    pub(crate) a: Addr,
    pub(crate) b: Addr,
}

/// How connections inside a pair's tunnels fared.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inside {
    /// Attempts without any answer.
    pub(crate) silent: u64,
    /// Attempts whose answers were seen to leave and whose handshake never went on.
    pub(crate) half_open: u64,
    /// Servers of those, a few.
    pub(crate) servers: BTreeSet<Endpoint>,
    /// Connections that came about.
    pub(crate) complete: u64,
    /// Connections both of whose directions were seen in one direction of the tunnel or the other.
    pub(crate) both_ways: u64,
    /// Failed attempts of originators behind `a`, and behind `b`.
    pub(crate) from_a: u64,
    pub(crate) from_b: u64,
    pub(crate) frames: Vec<FrameId>,
    pub(crate) span_ns: Option<(i64, i64)>,
}

/// The inside of all tunnels, by tunnel.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    inside: HashMap<u32, Inside, RandomState>,
}

const FRAMES: usize = 8;
const TCP: u8 = 6;

impl Overlay {
    pub(crate) fn add(&mut self, flow: &Flow) {
        for (at, leg) in flow.legs().enumerate() {
            let again = flow.legs().take(at).any(|before| before.tunnel == leg.tunnel);
            if leg.tunnel != 0 && !again {
                let inside = self.inside.entry(leg.tunnel).or_default();
                inside.both_ways += u64::from(leg.orig_packets > 0 && leg.resp_packets > 0);
                inside.add(flow, leg.orig_from_a);
            }
        }
    }

    /// What happened inside a tunnel.
    pub(crate) fn inside(&self, tunnel: u32) -> Option<&Inside> {
        self.inside.get(&tunnel)
    }
}

impl Inside {
    fn add(&mut self, flow: &Flow, from_a: bool) {
        match flow.outcome() {
            Outcome::HalfOpen => {
                self.half_open += 1;
                if self.servers.len() < FRAMES {
                    self.servers.insert(flow.resp);
                }
            }
            Outcome::Unanswered => self.silent += 1,
            Outcome::Unclear if is_silent_question(flow) => self.silent += 1,
            // Only a handshake proves that answers arrive at the other end.
            Outcome::Established if flow.proto == TCP => {
                self.complete += 1;
                return;
            }
            _ => return,
        }
        *(if from_a { &mut self.from_a } else { &mut self.from_b }) += 1;
        let (first, last) = self.span_ns.unwrap_or((flow.first_ns, flow.last_ns));
        self.span_ns = Some((first.min(flow.first_ns), last.max(flow.last_ns)));
        let room = FRAMES.saturating_sub(self.frames.len());
        self.frames.extend(flow.syns.iter().chain([&flow.first]).take(2.min(room)));
    }
}

impl Inside {
    /// Takes in what happened inside another tunnel of the same two ends.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.silent += other.silent;
        self.half_open += other.half_open;
        self.complete += other.complete;
        self.both_ways += other.both_ways;
        self.from_a += other.from_a;
        self.from_b += other.from_b;
        self.servers.extend(&other.servers);
        self.frames.extend(other.frames.iter().take(FRAMES.saturating_sub(self.frames.len())));
        let spans = self.span_ns.into_iter().chain(other.span_ns);
        self.span_ns = spans.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
    }
}

/// A DNS question without an answer; other one-way datagrams are normal.
fn is_silent_question(flow: &Flow) -> bool {
    flow.proto == 17 && flow.resp.port == 53 && flow.from_resp.packets == 0
}
