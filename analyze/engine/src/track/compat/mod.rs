//! A second look at TCP, as tshark 4.0 has it: each frame's `tcp.analysis.*` flags. Off by default.
//!
//! The rules are those of `tcp_analyze_sequence_number` in Wireshark 4.0.17 with its default preferences, its mistakes
//! included: they are for comparing with what others see, and no detector reads them. One state serves each pair of
//! addresses and ports, whatever the interface, tunnel or capture point, so a packet that is seen twice is a
//! retransmission. What tshark calls otherwise than the connection tracker does, and why, is in `README.md` beside this
//! file.
//!
//! Only the innermost segment of a frame is looked at, and none that an ICMP error quotes.

mod conversation;
mod flags;
mod segment;
mod side;
mod unacked;

#[cfg(test)]
mod tests;

pub use flags::Flags;

use super::endpoint::Endpoint;
use super::event::{Event, FrameId};
use super::events::Events;
use super::flows::Source;
use super::key::Key;
use crate::packet::{Kind, Packet};
use conversation::{Conversation, Verdict};
use foldhash::fast::RandomState;
use segment::Segment;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// A frame that tshark flags.
#[derive(Clone, Debug)]
pub struct Flagged {
    /// Where.
    pub frame: FrameId,
    /// When.
    pub ns: i64,
    /// Capture point.
    pub point: u16,
    /// Sender.
    pub src: Endpoint,
    /// Receiver.
    pub dst: Endpoint,
    /// Flags.
    pub flags: Flags,
    /// `tcp.analysis.rto`, nanoseconds.
    pub rto_ns: Option<i64>,
    /// `tcp.analysis.ack_rtt`, nanoseconds.
    pub ack_rtt_ns: Option<i64>,
}

/// The conversations of one shard, bounded: those silent for longest leave when there are too many.
#[derive(Debug)]
pub(crate) struct Compat {
    conversations: HashMap<Key, Live, RandomState>,
    /// Bytes that all may hold.
    memory: usize,
    /// Bytes held beside those of [`LIVE_BYTES`].
    extra: usize,
    /// Segments counted so far: the order in which conversations were silent.
    segments: u64,
    /// Conversations that left because of the memory.
    pub(crate) evicted: u64,
}

#[derive(Debug, Default)]
struct Live {
    conversation: Conversation,
    last: u64,
    /// What it holds beside its place in the map.
    extra: usize,
}

/// Bytes of a conversation in the map, which is at worst half empty.
const LIVE_BYTES: usize = 2 * size_of::<(Key, Live)>();

impl Compat {
    /// For `memory` bytes.
    pub(crate) fn new(memory: usize) -> Self {
        Self { conversations: HashMap::default(), memory, extra: 0, segments: 0, evicted: 0 }
    }

    /// Counts a packet, if it is a segment.
    pub(crate) fn take(&mut self, packet: &Packet, source: &Source<'_>, events: &mut Events) {
        if packet.kind != Kind::Tcp {
            return;
        }
        let Some(segment) = Segment::of(packet, source) else { return };
        let verdict = self.count(packet, &segment);
        if !verdict.flags.is_empty() {
            events.push((packet.index, Event::Flagged(Box::new(flagged(packet, verdict, source.frame(packet))))));
        }
    }

    fn count(&mut self, packet: &Packet, segment: &Segment) -> Verdict {
        let (key, end) = Key::of(packet);
        self.segments += 1;
        let (live, is_new) = match self.conversations.entry(key) {
            Entry::Occupied(entry) => (entry.into_mut(), false),
            Entry::Vacant(entry) => (entry.insert(Live::default()), true),
        };
        live.last = self.segments;
        let verdict = live.conversation.take(end, segment);
        let extra = live.conversation.extra_bytes();
        let has_grown = is_new || extra > live.extra;
        self.extra = self.extra + extra - std::mem::replace(&mut live.extra, extra);
        if has_grown && self.bytes() > self.memory {
            self.evict();
        }
        verdict
    }

    fn bytes(&self) -> usize {
        self.conversations.len() * LIVE_BYTES + self.extra
    }

    /// Makes room: the eighth that was silent for longest leaves.
    fn evict(&mut self) {
        let mut last: Vec<u64> = self.conversations.values().map(|live| live.last).collect();
        let (_, &mut limit, _) = last.select_nth_unstable(self.conversations.len() / 8);
        let before = self.conversations.len();
        self.conversations.retain(|_, live| live.last > limit);
        self.extra = self.conversations.values().map(|live| live.extra).sum();
        self.evicted += (before - self.conversations.len()) as u64;
    }

    /// Forgets all: the unit is over.
    pub(crate) fn clear(&mut self) {
        self.conversations.clear();
        self.extra = 0;
    }
}

fn flagged(packet: &Packet, verdict: Verdict, frame: FrameId) -> Flagged {
    Flagged {
        frame,
        ns: packet.ts_ns,
        point: packet.point,
        src: Endpoint::src(packet),
        dst: Endpoint::dst(packet),
        flags: verdict.flags,
        rto_ns: verdict.rto_ns,
        ack_rtt_ns: verdict.ack_rtt_ns,
    }
}
