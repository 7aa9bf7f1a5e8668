//! Connections to a DNS server over TCP.

use super::Query;
use crate::detect::Outcome;
use crate::detect::world::World;
use crate::packet::TCP;
use crate::path::{Connection, Kept};
use crate::time::union;
use crate::track::{Endpoint, FrameId};

/// How connections of all clients to a server ended.
#[derive(Clone, Debug, Default)]
pub(super) struct OverTcp {
    pub(super) established: u64,
    pub(super) refused: u64,
    pub(super) failed: u64,
    pub(super) frames: Vec<FrameId>,
    /// When the last one that was established began.
    worked_ns: Option<i64>,
    /// When the first one began that was not, and when such a one was last seen.
    fails_ns: Option<(i64, i64)>,
}

/// Connections that fail in a row, and for how long at least, before those that came about earlier say nothing any more.
const IN_A_ROW: u64 = 2;
const LASTING_NS: i64 = 3_000_000_000;

/// Frames cited.
const FRAMES: usize = 8;

/// Connections of all clients to the server's port, each once whatever saw it.
pub(super) fn over_tcp(server: Endpoint, world: &World<'_>) -> OverTcp {
    let kept = &world.facts.servers.kept;
    let mut all = OverTcp::default();
    for connection in kept.sent_to(server).filter(|connection| connection.proto == TCP) {
        all.add(connection, kept);
    }
    all
}

/// Whether TCP does not work, or not any more, while what is asked over UDP is answered as truncated.
pub(super) fn is_blocked(tcp: &OverTcp, truncated: &[Query]) -> bool {
    let since = tcp.fails_ns.map(|(first, _)| first);
    let still_asked = || truncated.iter().any(|query| since.is_some_and(|since| query.first_ns > since));
    tcp.failed + tcp.refused > 0 && (tcp.established == 0 || tcp.stopped() && still_asked())
}

impl OverTcp {
    /// Whether connections came about, and from some moment on none does.
    fn stopped(&self) -> bool {
        let Some((first, last)) = self.fails_ns else { return false };
        let after = self.worked_ns.is_none_or(|worked| worked < first);
        after && self.failed + self.refused >= IN_A_ROW && last.saturating_sub(first) >= LASTING_NS
    }

    fn add(&mut self, connection: &Connection, kept: &Kept) {
        let span_ns = union(connection.flows(kept).map(|flow| (flow.first_ns, flow.last_ns)));
        match connection.outcome {
            Outcome::Established => {
                self.established += 1;
                self.worked_ns = self.worked_ns.max(span_ns.map(|(first, _)| first));
                return;
            }
            Outcome::Refused => self.refused += 1,
            Outcome::Unclear if !is_repeated_in_vain(connection, kept) => return,
            _ => self.failed += 1,
        }
        self.fails_ns = union(self.fails_ns.into_iter().chain(span_ns));
        let syns = connection.flows(kept).flat_map(|flow| flow.syns.iter().copied().take(3));
        self.frames.extend(syns.take(FRAMES.saturating_sub(self.frames.len())));
    }
}

/// Whether a SYN was sent again and not answered by then.
fn is_repeated_in_vain(connection: &Connection, kept: &Kept) -> bool {
    let unheard = connection.flows(kept).all(|flow| flow.from_resp.packets == 0);
    unheard && connection.flows(kept).any(|flow| flow.from_orig.syns >= 2)
}
