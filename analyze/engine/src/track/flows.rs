//! The table of live connections of one shard.

use super::end::{ended, tcp_event};
use super::event::{Event, Tally};
use super::events::Events;
use super::flow::{Cold, Hot, PAUSE_NS, Phase};
use super::index::Index;
use super::key::{End, Key, Seed};
use super::lane::Taken;
use super::passage::Passages;
use super::prefetch::{prefetch, prefetch_all};
use super::talk::{Heard, Spare, Talk};
use super::tcp::{Ledger, Watch};
use crate::packet::{Packet, TcpFlags};

mod leaving;
mod passing;
mod source;

pub(crate) use leaving::Expected;
pub(crate) use source::Source;

/// Packets looked up together: long enough to hide a miss in the cache, short enough to stay in it.
pub(crate) const BATCH: usize = 32;

/// Live connections, bounded: the longest idle ones leave when there are too many.
#[derive(Debug)]
pub(crate) struct Flows {
    index: Index,
    hot: Vec<Hot>,
    cold: Vec<Cold>,
    free: Vec<u32>,
    /// What connections have once they carry data, by slot.
    data: Vec<Data>,
    ledger: Ledger,
    /// Talks that ended, to be used again.
    spare: Spare,
    /// When packets passed, where somebody wants to know.
    passages: Option<Passages>,
    seed: Seed,
    cap: usize,
    /// Bytes that live connections hold beside [`FLOW_BYTES`] each and what is watched.
    extra: u64,
    sweep_at: usize,
    unit: u32,
    /// Connections that left because of the cap.
    pub(crate) evicted: u64,
}

/// What a connection has once it carries data. Apart, so that its places are known before the connection is in the cache.
#[derive(Debug, Default)]
struct Data {
    /// What the first leg watches of it.
    watch: Option<Box<Watch>>,
    /// Its requests and responses, once somebody spoke.
    talk: Option<Box<Talk>>,
}

/// Bytes one live connection takes: both halves and its index entry at the usual load.
pub(crate) const FLOW_BYTES: u64 = 400;

/// A packet on its way through the table.
#[derive(Clone, Copy, Debug, Default)]
struct Probe {
    key: Key,
    end: End,
    tag: u32,
    slot: Option<u32>,
    /// Whether the rare half of the connection is looked at too.
    is_rare: bool,
}

impl Flows {
    /// At most `cap` live connections; fewer where they hold more than [`FLOW_BYTES`] each.
    pub(crate) fn new(cap: usize, passages: Option<Passages>) -> Self {
        Self {
            index: Index::default(),
            hot: Vec::new(),
            cold: Vec::new(),
            free: Vec::new(),
            data: Vec::new(),
            ledger: Ledger::default(),
            spare: Spare::default(),
            passages,
            seed: Seed::random(),
            cap: cap.max(BATCH * 2),
            extra: 0,
            sweep_at: 0,
            unit: 0,
            evicted: 0,
        }
    }

    /// Live connections.
    pub(crate) fn len(&self) -> usize {
        self.hot.len() - self.free.len()
    }

    /// Tracks up to [`BATCH`] packets, in order. All keys are hashed and their index lines asked for first, then their
    /// connections, then the packets are counted: the misses of a batch overlap.
    pub(crate) fn take(&mut self, packets: &[Packet], source: &Source<'_>, events: &mut Events) {
        let mut probes = [Probe::default(); BATCH];
        for (probe, packet) in probes.iter_mut().zip(packets) {
            let (key, end) = Key::of(packet);
            let tag = key.hash(self.seed);
            self.index.prefetch(tag);
            *probe = Probe { key, end, tag, ..Probe::default() };
        }
        for probe in &mut probes[..packets.len()] {
            probe.slot = self.index.guess(probe.tag);
            let Some(slot) = probe.slot.map(|slot| slot as usize) else { continue };
            if let (Some(hot), Some(data)) = (self.hot.get(slot), self.data.get(slot)) {
                prefetch_all(hot);
                prefetch(data);
            }
        }
        for (probe, packet) in probes.iter_mut().zip(packets) {
            self.prefetch_data(probe, packet, source);
        }
        for (probe, packet) in probes.iter().zip(packets) {
            self.prefetch_segment(probe, packet);
        }
        for (probe, packet) in probes.iter().zip(packets) {
            self.count(probe, packet, source, events);
        }
        if source.has_points && self.passages.is_some() {
            self.pass(&probes, packets);
        }
    }

    /// Asks for what is known of a connection's data, and for the rare half where the packet does something its end has
    /// not done before.
    #[inline]
    fn prefetch_data(&self, probe: &mut Probe, packet: &Packet, source: &Source<'_>) {
        let Some(slot) = probe.slot.map(|slot| slot as usize) else { return };
        let (Some(hot), Some(data)) = (self.hot.get(slot), self.data.get(slot)) else { return };
        if let Some(watch) = &data.watch {
            prefetch_all(&watch.halves);
        }
        if let Some(talk) = data.talk.as_ref().filter(|_| hot.turns(packet, probe.end)) {
            prefetch_all(&**talk);
            source.chunk.payload(packet).first().inspect(|byte| prefetch(*byte));
        }
        probe.is_rare = !hot.is_usual(packet, probe.end) || hot.was_silent(packet);
        if probe.is_rare {
            self.cold.get(slot).inspect(|cold| prefetch_all(*cold));
        }
    }

    /// Asks for the segments that a packet adds to or acknowledges, and for what the rare half leads to.
    #[inline]
    fn prefetch_segment(&self, probe: &Probe, packet: &Packet) {
        if probe.is_rare
            && let Some(cold) = probe.slot.and_then(|slot| self.cold.get(slot as usize))
        {
            cold.prefetch();
        }
        let data = probe.slot.and_then(|slot| self.data.get(slot as usize));
        let Some(watch) = data.and_then(|data| data.watch.as_ref()) else { return };
        let (own, other) = (&watch.halves[probe.end as usize], &watch.halves[probe.end.other() as usize]);
        if packet.payload_len > 0 {
            own.sent.next().inspect(|place| prefetch(*place));
        }
        other.sent.oldest().inspect(|place| prefetch(*place));
    }

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "called for each packet, from one place")]
    fn count(&mut self, probe: &Probe, packet: &Packet, source: &Source<'_>, events: &mut Events) {
        let (mut slot, mut gap_ns) = (self.confirm(probe), 0);
        if let Some(at) = slot {
            let hot = &mut self.hot[at as usize];
            gap_ns = packet.ts_ns.saturating_sub(hot.last_ns);
            let watch = self.data[at as usize].watch.as_deref_mut();
            if hot.goes_on(watch, packet, (probe.end, gap_ns), source) {
                return;
            }
            if is_over(hot, gap_ns) || packet.flags.is_syn() && self.is_reused(at, packet, probe.end) {
                self.end(at, packet.index, false, events);
                (slot, gap_ns) = (None, 0);
            }
        }
        let at = slot.unwrap_or_else(|| self.open(probe, packet, source, events)) as usize;
        let held = self.held();
        let (hot, cold, data) = (&mut self.hot[at], &mut self.cold[at], &mut self.data[at]);
        let taken = hot.take(cold, &mut data.watch, &mut self.ledger, packet, (probe.end, gap_ns), source);
        if hot.hears(packet, probe.end, taken) {
            self.hear(at, packet, probe.end, source, events);
        }
        if !self.ledger.judged.is_empty() {
            self.tell(at, packet, events);
        }
        let unusual = gap_ns >= PAUSE_NS || packet.flags.any(TcpFlags::SYN | TcpFlags::RST);
        if slot.is_none() || unusual || taken.may_grow() {
            self.charge(at);
        }
        if (slot.is_none() || self.held() != held) && self.over() > 0 {
            self.evict(packet.index, events);
        }
        tally(taken, packet, events);
    }

    /// Hands a packet to the talk of its connection, and counts what that has come to hold.
    fn hear(&mut self, at: usize, packet: &Packet, end: End, source: &Source<'_>, events: &mut Events) {
        let (hot, cold, talk) = (&mut self.hot[at], &self.cold[at], &mut self.data[at].talk);
        let before = talk.as_ref().map_or(0, |talk| talk.held());
        let bytes = source.chunk.payload(packet);
        let heard = Heard { packet, end, frame: source.frame(packet), bytes, unit: source.unit };
        hot.hear(cold, talk, &mut self.spare, &heard, &mut |turn| events.turn(packet.index, turn));
        let after = talk.as_ref().map_or(0, |talk| talk.held());
        self.extra = (self.extra + after as u64).saturating_sub(before as u64);
    }

    /// Counts what a connection has come to hold, or has let go.
    pub(crate) fn charge(&mut self, at: usize) {
        let cold = &mut self.cold[at];
        let held = cold.extra_bytes();
        self.extra = (self.extra + held).saturating_sub(cold.charged);
        cold.charged = held;
    }

    /// Tells of ranges that could not wait for the end of their connection.
    #[cold]
    fn tell(&mut self, at: usize, packet: &Packet, events: &mut Events) {
        let (hot, cold) = (&self.hot[at], &self.cold[at]);
        for (end, resend) in self.ledger.judged.drain(..) {
            let event = tcp_event(hot, cold, end, (hot.point, hot.tunnel), &resend);
            events.push((packet.index, Event::Tcp(Box::new(event))));
        }
    }

    /// Bytes that live connections hold beside [`FLOW_BYTES`] each, what is watched included.
    fn held(&self) -> u64 {
        self.extra + self.ledger.held
    }

    /// Bytes held beyond what `cap` connections without extras take.
    fn over(&self) -> u64 {
        (self.len() as u64 * FLOW_BYTES + self.held()).saturating_sub(self.cap as u64 * FLOW_BYTES)
    }

    /// The connection's slot: the guess where it is right, else a search.
    #[inline]
    fn confirm(&self, probe: &Probe) -> Option<u32> {
        let is_right = |slot: &u32| self.hot.get(*slot as usize).is_some_and(|hot| hot.is_of(&probe.key));
        probe.slot.filter(is_right).or_else(|| self.search(probe))
    }

    #[cold]
    fn search(&self, probe: &Probe) -> Option<u32> {
        self.index.find(probe.tag, |slot| self.hot.get(slot as usize).is_some_and(|hot| hot.is_of(&probe.key)))
    }

    /// The slot of the connection this packet, or a packet quoted by ICMP, belongs to, and which end sent it.
    pub(crate) fn find(&self, packet: &Packet) -> Option<(u32, End)> {
        let (key, end) = Key::of(packet);
        let slot = self.confirm(&Probe { key, end, tag: key.hash(self.seed), ..Probe::default() })?;
        Some((slot, end))
    }

    /// The rare half of a live connection.
    pub(crate) fn cold(&mut self, slot: u32) -> Option<&mut Cold> {
        self.cold.get_mut(slot as usize)
    }

    fn is_reused(&self, slot: u32, packet: &Packet, end: End) -> bool {
        let hot = &self.hot[slot as usize];
        hot.is_reused_by(&self.cold[slot as usize], packet, end)
    }

    fn open(&mut self, probe: &Probe, packet: &Packet, source: &Source<'_>, events: &mut Events) -> u32 {
        if self.len() >= self.cap {
            self.evict(packet.index, events);
        }
        self.unit = source.unit;
        let cold = Cold::new(packet, probe.end, probe.tag, source.frame(packet));
        let hot = Hot::new(probe.key, packet, probe.end);
        let slot = self.place(hot, cold);
        self.index.insert(probe.tag, slot);
        slot
    }

    fn place(&mut self, hot: Hot, cold: Cold) -> u32 {
        if let Some(slot) = self.free.pop() {
            self.hot[slot as usize] = hot;
            self.cold[slot as usize] = cold;
            return slot;
        }
        self.hot.push(hot);
        self.cold.push(cold);
        self.data.push(Data::default());
        (self.hot.len() - 1) as u32
    }

    fn end(&mut self, slot: u32, at: u32, evicted: bool, events: &mut Events) {
        let Data { watch, talk } = std::mem::take(&mut self.data[slot as usize]);
        let cold = &mut self.cold[slot as usize];
        prefetch_all(cold);
        if let Some(watch) = &watch {
            prefetch_all(&**watch);
        }
        if let Some(talk) = &talk {
            prefetch_all(&**talk);
        }
        let hot = std::mem::take(&mut self.hot[slot as usize]);
        self.index.remove(cold.tag, slot);
        self.free.push(slot);
        if let Some(mut talk) = talk {
            self.extra -= talk.held() as u64;
            hot.last_turns(&mut talk, &mut |turn| events.turn(at, turn));
            self.spare.keep(talk);
        }
        events.extend(hot.quic(cold).map(|quic| (at, Event::Quic(quic))));
        let (mut flow, told) = ended(&hot, cold, self.unit, evicted, watch, &mut self.ledger);
        flow.passed = self.passages.as_mut().and_then(|passages| passages.end(slot, &hot, cold));
        events.extend(told.into_iter().map(|event| (at, Event::Tcp(Box::new(event)))));
        events.push((at, Event::Flow(Box::new(flow))));
        self.extra -= cold.charged;
        cold.release();
    }

    /// Lets go of the places of connections, once all have ended.
    pub(crate) fn release(&mut self) {
        debug_assert_eq!(self.len(), 0, "connections end before their places go");
        (self.index, self.sweep_at) = (Index::default(), 0);
        (self.hot, self.cold, self.free, self.data) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    }
}

/// Counts what goes by second: retransmissions and resets.
#[inline]
fn tally(taken: Taken, packet: &Packet, events: &mut Events) {
    let what = match taken {
        Taken::Copy => return,
        taken if taken.is_again() && packet.payload_len > 0 => Tally::Retransmission,
        _ if packet.flags.any(TcpFlags::RST) => Tally::Reset,
        _ => return,
    };
    let second = u32::try_from(packet.ts_ns.div_euclid(SECOND)).unwrap_or_default();
    events.push((packet.index, Event::Tally { second, point: packet.point, what }));
}

const SECOND: i64 = 1_000_000_000;

/// No connection is over before this time.
const LEAST_IDLE_NS: i64 = 20 * SECOND;

/// Whether a connection was silent for too long, so that its next packet belongs to another one: what other traffic makes
/// the sweep find or not must not shape the result.
#[inline]
fn is_over(hot: &Hot, silent_ns: i64) -> bool {
    silent_ns > LEAST_IDLE_NS && silent_ns > idle_limit_ns(hot)
}

/// How long a connection may be silent before it counts as over. A SYN's last repetition comes 64 s after the one
/// before (`tcp_syn_retries` 6); late packets of a closed connection within `TIME_WAIT` are its own.
fn idle_limit_ns(hot: &Hot) -> i64 {
    let tcp = hot.key.is_tcp();
    SECOND
        * match (hot.phase, tcp) {
            (Phase::Closed, _) => 20,
            (Phase::Attempt, true) => 130,
            (_, true) => 3600,
            (_, false) => 60,
        }
}
