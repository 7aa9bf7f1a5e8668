//! One shard: the trackers of the connections that hash to it.

use super::compat::Compat;
use super::dns::Dns;
use super::events::Events;
use super::flows::{BATCH, Expected, FLOW_BYTES, Flows, Source};
use super::icmp::{Echoes, Errors};
use super::key::SHARDS;
use super::neighbours::Neighbours;
use super::passage::Passages;
use crate::packet::{Kind, Packet};

/// Trackers of one shard. Shards share nothing, so any number of threads gives the same result.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) flows: Flows,
    errors: Errors,
    echoes: Echoes,
    neighbours: Neighbours,
    dns: Dns,
    compat: Option<Compat>,
    unit: u32,
    last_ns: i64,
}

/// What a shard could not keep.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LeftOut {
    pub(crate) flows: u64,
    pub(crate) echoes: u64,
    pub(crate) arps: u64,
    pub(crate) dns: u64,
    pub(crate) compat: u64,
    pub(crate) passages: u64,
}

/// What all shards together may hold, bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    pub(crate) flows: u64,
    /// For DNS transactions that may still be answered.
    pub(crate) dns: u64,
    /// For the second look at TCP, where it is wanted.
    pub(crate) compat: Option<u64>,
    /// For when packets passed places, where somebody wants to know.
    pub(crate) passages: Option<u64>,
}

impl Shard {
    pub(crate) fn new(memory: Memory) -> Self {
        let share = |bytes: u64| usize::try_from(bytes / SHARDS as u64).unwrap_or(usize::MAX);
        let passages = memory.passages.map(|bytes| Passages::new(bytes / SHARDS as u64));
        Self {
            flows: Flows::new(share(memory.flows / FLOW_BYTES), passages),
            compat: memory.compat.map(|bytes| Compat::new(share(bytes))),
            errors: Errors::default(),
            echoes: Echoes::default(),
            neighbours: Neighbours::default(),
            dns: Dns::new(memory.dns),
            unit: 0,
            last_ns: i64::MIN,
        }
    }

    /// Tracks the shard's packets of a chunk, in order. `now_ns` is the time at the chunk's end.
    pub(crate) fn take(&mut self, packets: &[Packet], source: &Source<'_>, now_ns: i64, events: &mut Events) {
        self.unit = source.unit;
        self.flows.expect_sweep(now_ns, packets.len(), Expected::Connection);
        for run in packets.chunk_by(|a, b| is_flow(a) == is_flow(b)) {
            match run {
                [first, ..] if is_flow(first) => {
                    run.chunks(BATCH).for_each(|batch| self.flows.take(batch, source, events));
                }
                others => others.iter().for_each(|packet| self.other(packet, source, events)),
            }
        }
        if let Some(compat) = &mut self.compat {
            for packet in packets {
                compat.take(packet, source, events);
            }
        }
        self.last_ns = now_ns;
        self.flows.expect_sweep(now_ns, packets.len(), Expected::Data);
    }

    /// Asks for what [`Self::sweep`] needs last.
    pub(crate) fn expect_sweep(&self, packets: usize) {
        self.flows.expect_sweep(self.last_ns, packets, Expected::Rest);
    }

    /// Ends what has been idle too long, after a chunk with so many packets of the shard.
    pub(crate) fn sweep(&mut self, packets: usize, events: &mut Events) {
        self.flows.sweep(self.last_ns, packets, events);
        self.echoes.sweep(self.last_ns, self.unit, events);
    }

    /// Tracks the DNS of a chunk that is this shard's, in order, whichever shard tracks its packets otherwise.
    pub(crate) fn take_dns<'p>(
        &mut self,
        packets: impl Iterator<Item = &'p Packet> + Clone,
        source: &Source<'_>,
        events: &mut Events,
    ) {
        self.dns.take_all(packets, source);
        self.dns.sweep(self.last_ns, events);
    }

    fn other(&mut self, packet: &Packet, source: &Source<'_>, events: &mut Events) {
        match packet.kind {
            Kind::IcmpError => self.errors.take(packet, source, &mut self.flows, events),
            Kind::Echo => self.echoes.take(packet, source, events),
            Kind::Arp | Kind::Icmp => self.neighbours.take(packet, source),
            _ => {}
        }
    }

    /// Ends everything else.
    pub(crate) fn end_others(&mut self, events: &mut Events) {
        self.echoes.drain(self.last_ns, self.unit, events);
        self.neighbours.drain(self.unit, events);
        self.dns.drain(self.last_ns, events);
        self.errors = Errors::default();
        if let Some(compat) = &mut self.compat {
            compat.clear();
        }
    }

    pub(crate) fn left_out(&self) -> LeftOut {
        LeftOut {
            flows: self.flows.evicted,
            echoes: self.echoes.evicted,
            arps: self.neighbours.left_out,
            dns: self.dns.evicted,
            compat: self.compat.as_ref().map_or(0, |compat| compat.evicted),
            passages: self.flows.unnoted(),
        }
    }
}

fn is_flow(packet: &Packet) -> bool {
    matches!(packet.kind, Kind::Tcp | Kind::Udp | Kind::Ip)
}

impl LeftOut {
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            flows: self.flows + other.flows,
            echoes: self.echoes + other.echoes,
            arps: self.arps + other.arps,
            dns: self.dns + other.dns,
            compat: self.compat + other.compat,
            passages: self.passages + other.passages,
        }
    }
}
