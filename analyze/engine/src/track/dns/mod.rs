//! DNS: questions and their answers. What was asked is known by its identification and question, which neither NAT nor
//! a tunnel changes.

mod answer;
mod answering;
mod open;
mod stream;
mod ties;
mod tracker;
pub mod transaction;

pub(crate) use answering::Answering;
pub(crate) use ties::Ties;
pub(crate) use tracker::{Dns, DnsRef, is_dns_port, shard_of_id};
pub use transaction::Transaction;

use super::Endpoint;
use super::event::FrameId;
use crate::packet::Packet;
use crate::wire::dns::{Message, Question, name_hash};
use transaction::Transport;

/// A message where it was seen.
pub(crate) struct Seen<'a> {
    packet: &'a Packet,
    frame: FrameId,
    unit: u32,
    transport: Transport,
    message: Message<'a>,
    /// Number of the question's name (see [`name_hash`]); 0 when it was not captured whole.
    name_hash: u64,
}

impl<'a> Seen<'a> {
    fn new(packet: &'a Packet, frame: FrameId, unit: u32, transport: Transport, message: Message<'a>) -> Self {
        let name_hash = message.asked().map_or(0, |asked| name_hash(asked.name) | 1);
        Self { packet, frame, unit, transport, message, name_hash }
    }

    /// Who asks.
    fn client(&self) -> Endpoint {
        if self.message.is_response() { Endpoint::dst(self.packet) } else { Endpoint::src(self.packet) }
    }

    /// Who is asked.
    fn server(&self) -> Endpoint {
        if self.message.is_response() { Endpoint::src(self.packet) } else { Endpoint::dst(self.packet) }
    }

    fn ns(&self) -> i64 {
        self.packet.ts_ns
    }

    fn name_is_cut(&self) -> bool {
        matches!(self.message.question, Question::Cut(_))
    }
}
