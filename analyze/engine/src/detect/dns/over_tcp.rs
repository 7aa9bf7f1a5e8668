//! Connections to a DNS server over TCP.

use crate::detect::Outcome;
use crate::detect::world::World;
use crate::packet::TCP;
use crate::path::{Connection, Kept};
use crate::track::{Endpoint, FrameId};

/// How connections of all clients to a server ended.
#[derive(Clone, Debug, Default)]
pub(super) struct OverTcp {
    pub(super) established: u64,
    pub(super) refused: u64,
    pub(super) failed: u64,
    pub(super) frames: Vec<FrameId>,
}

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

impl OverTcp {
    fn add(&mut self, connection: &Connection, kept: &Kept) {
        match connection.outcome {
            Outcome::Established => {
                self.established += 1;
                return;
            }
            Outcome::Refused => self.refused += 1,
            Outcome::Unclear if !is_repeated_in_vain(connection, kept) => return,
            _ => self.failed += 1,
        }
        let syns = connection.flows(kept).flat_map(|flow| flow.syns.iter().copied().take(3));
        self.frames.extend(syns.take(FRAMES.saturating_sub(self.frames.len())));
    }
}

/// Whether a SYN was sent again and not answered by then.
fn is_repeated_in_vain(connection: &Connection, kept: &Kept) -> bool {
    let unheard = connection.flows(kept).all(|flow| flow.from_resp.packets == 0);
    unheard && connection.flows(kept).any(|flow| flow.from_orig.syns >= 2)
}
