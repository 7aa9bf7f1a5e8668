//! ARP requests that nobody answers.

use super::event::{ArpUnanswered, Event};
use super::flows::{Events, Source};
use crate::Addr;
use crate::packet::Packet;
use crate::track::FrameId;
use crate::wire::arp::{self, Operation};
use std::collections::BTreeMap;

/// Open questions of one shard.
#[derive(Debug, Default)]
pub(crate) struct Arps {
    /// By (address asked for, who asks).
    asked: BTreeMap<(Addr, Addr), Asked>,
    /// Questions that were not kept because there are too many.
    pub(crate) left_out: u64,
}

#[derive(Clone, Debug)]
struct Asked {
    first_ns: i64,
    last_ns: i64,
    requests: u32,
    answered: bool,
    frames: Vec<FrameId>,
    point: u16,
    tunnel: u32,
}

const MAX_ASKED: usize = 8192;
const MAX_FRAMES: usize = 4;
/// Linux asks once a second (`retrans_time_ms`); what comes sooner is the same request at another point.
const SAME_REQUEST_NS: i64 = 300_000_000;

impl Arps {
    pub(crate) fn take(&mut self, packet: &Packet, source: &Source<'_>) {
        let Some(arp) = arp::parse(source.chunk.bytes(packet.l4_offset, packet.l4_caplen)) else { return };
        if arp.operation == Operation::Request && !arp.is_probe() && !arp.is_gratuitous() {
            self.ask(packet, source.frame(packet));
        }
        // Whoever speaks with an address is there, question or answer.
        let about = (packet.src, Addr::default())..=(packet.src, Addr([u8::MAX; 16]));
        self.asked.range_mut(about).for_each(|(_, asked)| asked.answered = true);
    }

    fn ask(&mut self, packet: &Packet, frame: FrameId) {
        let key = (packet.dst, packet.src);
        if !self.asked.contains_key(&key) && self.asked.len() >= MAX_ASKED {
            self.left_out += 1;
            return;
        }
        let asked = self.asked.entry(key).or_insert_with(|| Asked {
            first_ns: packet.ts_ns,
            last_ns: i64::MIN,
            requests: 0,
            answered: false,
            frames: Vec::new(),
            point: packet.point,
            tunnel: packet.tunnel,
        });
        if packet.ts_ns.saturating_sub(asked.last_ns) < SAME_REQUEST_NS {
            return;
        }
        asked.last_ns = packet.ts_ns;
        asked.requests += 1;
        if asked.frames.len() < MAX_FRAMES {
            asked.frames.push(frame);
        }
    }

    /// Says who never answered.
    pub(crate) fn drain(&mut self, unit: u32, events: &mut Events) {
        for ((target, sender), asked) in std::mem::take(&mut self.asked) {
            if !asked.answered {
                let unanswered = ArpUnanswered {
                    unit,
                    sender,
                    target,
                    first_ns: asked.first_ns,
                    last_ns: asked.last_ns,
                    requests: asked.requests,
                    frames: asked.frames,
                    point: asked.point,
                    tunnel: asked.tunnel,
                };
                events.push((u32::MAX, Event::ArpUnanswered(Box::new(unanswered))));
            }
        }
    }
}
