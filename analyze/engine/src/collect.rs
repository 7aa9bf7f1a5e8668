//! The last stage: events in frame order become rows, facts and, at the end, findings and the report.

use crate::Addr;
use crate::detect::world::Facts;
use crate::ingest::Work;
use crate::pipeline::Collect;
use crate::rows;
use crate::story::Story;
use crate::summary::Totals;
use crate::table::{self, Label, PacketRow, Row, Sink, SinkError, TcpCompatRow};
use crate::tell::Tell;
use crate::track::dns::{Ties, Transaction};
use crate::track::events::Events;
use crate::track::fragments::Fragmented;
use crate::track::lookup::{Lookups, Resolver};
use crate::track::points::Point;
use crate::track::prefetch::prefetch_all;
use crate::track::tunnels::Tunnel;
use crate::track::{Event, FrameId, Tally, Turn};
use std::collections::BTreeMap;

mod output;

pub(crate) use output::{Late, Output};

/// How many transactions ahead memory is asked for: first the transaction, then what its name leads to.
const SOON: usize = 8;
const NEXT: usize = 4;
/// Seconds kept open; older ones are written first.
const SECONDS: usize = 100_000;

/// What is counted in a second at a point.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Second {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) retransmissions: u64,
    pub(crate) resets: u64,
}

/// Names of what packets refer to by number.
#[derive(Default)]
pub(crate) struct Names {
    pub(crate) captures: Vec<Label>,
    pub(crate) points: Vec<Point>,
    pub(crate) point_labels: Vec<Label>,
    pub(crate) tunnels: Vec<Tunnel>,
}

impl Names {
    fn learn(&mut self, work: &Work) {
        self.captures.extend(work.captures.iter().cloned().map(Label::Shared));
        for point in &work.points {
            self.point_labels.push(match &point.interface {
                Some(name) => Label::Shared(name.clone()),
                None => self.capture(point.capture),
            });
            self.points.push(point.clone());
        }
        if self.tunnels.is_empty() {
            self.tunnels.push(Tunnel::default());
        }
        self.tunnels.extend_from_slice(&work.tunnels);
    }

    /// A file.
    pub(crate) fn capture(&self, capture: u32) -> Label {
        self.capture_label(capture).clone()
    }

    /// A capture point.
    pub(crate) fn point(&self, point: u16) -> Label {
        self.point_label(point).clone()
    }

    /// A file, to borrow.
    pub(crate) fn capture_label(&self, capture: u32) -> &Label {
        self.captures.get(capture as usize).unwrap_or_default()
    }

    /// A capture point, to borrow.
    pub(crate) fn point_label(&self, point: u16) -> &Label {
        self.point_labels.get(usize::from(point)).unwrap_or_default()
    }

    /// A tunnel, where there is one.
    pub(crate) fn tunnel(&self, tunnel: u32) -> Option<&Tunnel> {
        self.tunnels.get(tunnel as usize).filter(|_| tunnel != 0)
    }
}

/// The collector.
pub(crate) struct Collector<'a> {
    pub(crate) sink: &'a mut dyn Sink,
    pub(crate) names: Names,
    pub(crate) facts: Facts,
    pub(crate) totals: Totals,
    pub(crate) outputs: Outputs,
    /// Whether a second look at TCP was wanted.
    pub(crate) has_compat: bool,
    seconds: BTreeMap<(i64, u16), Second>,
    pub(crate) ties: Ties,
    pub(crate) lookups: Lookups,
    pub(crate) story: Option<Story>,
    /// DNS transactions of a chunk, in the order of time.
    order: Vec<(i64, FrameId, u32)>,
}

/// Where the rows of each table go.
pub(crate) struct Outputs {
    pub(crate) flows: Output,
    pub(crate) tcp_events: Output,
    pub(crate) icmp_errors: Output,
    pub(crate) icmp_echo: Output,
    pub(crate) turns: Output,
    pub(crate) intervals: Output,
    pub(crate) fragments: Output,
    pub(crate) dns_transactions: Output,
    pub(crate) packets: Output,
    pub(crate) tcp_compat: Output,
    pub(crate) dns_lookups: Output,
}

impl Outputs {
    fn all(&mut self) -> [&mut Output; 11] {
        let Self { flows, tcp_events, tcp_compat, icmp_errors, icmp_echo, turns, .. } = self;
        let Self { intervals, fragments, dns_transactions, dns_lookups, packets, .. } = self;
        [
            flows,
            tcp_events,
            tcp_compat,
            icmp_errors,
            icmp_echo,
            turns,
            intervals,
            fragments,
            dns_transactions,
            dns_lookups,
            packets,
        ]
    }
}

impl<'a> Collector<'a> {
    /// A collector whose queries on their way to lookups may take so many bytes.
    pub(crate) fn new(sink: &'a mut dyn Sink, story: Option<Story>, facts: Facts, lookups: u64) -> Self {
        let outputs = Outputs {
            flows: Output::new::<table::FlowRow<'_>>(sink),
            tcp_events: Output::new::<table::TcpEventRow<'_>>(sink),
            icmp_errors: Output::new::<table::IcmpErrorRow>(sink),
            icmp_echo: Output::new::<table::IcmpEchoRow>(sink),
            turns: Output::new::<table::TurnRow<'_>>(sink),
            intervals: Output::new::<table::IntervalRow>(sink),
            fragments: Output::new::<table::FragmentRow>(sink),
            dns_transactions: Output::new::<table::DnsTransactionRow<'_>>(sink),
            packets: Output::new::<PacketRow>(sink),
            tcp_compat: Output::new::<TcpCompatRow>(sink),
            dns_lookups: Output::new::<table::DnsLookupRow<'_>>(sink),
        };
        Self {
            sink,
            names: Names::default(),
            facts,
            totals: Totals::default(),
            outputs,
            has_compat: false,
            seconds: BTreeMap::new(),
            ties: Ties::default(),
            lookups: Lookups::new(lookups),
            story,
            order: Vec::new(),
        }
    }

    /// Hands on the rows that are left.
    pub(crate) fn flush(&mut self) -> Result<(), SinkError> {
        self.write_seconds(usize::MAX)?;
        self.outputs.all().into_iter().try_for_each(|output| output.flush(self.sink))
    }

    /// Rows by table, of those that were asked for by an option or are always counted.
    pub(crate) fn counts(&mut self) -> BTreeMap<&'static str, i64> {
        let (compat, packets) = (self.has_compat, self.outputs.packets.wanted);
        let counted =
            |name: &str| (name != TcpCompatRow::SPEC.name || compat) && (name != PacketRow::SPEC.name || packets);
        let all = self.outputs.all().into_iter().map(|output| (output.rows.spec.name, output.written));
        all.filter(|(name, _)| counted(name)).collect()
    }

    fn turn(&mut self, turn: &Turn) -> Result<(), SinkError> {
        self.facts.turn(turn);
        let names = &self.names;
        if turn.is_exchange() { self.outputs.turns.push(|| rows::turn(turn, names), self.sink) } else { Ok(()) }
    }

    /// Takes an event that is no turn.
    fn event(&mut self, event: Event) -> Result<(), SinkError> {
        self.facts.event(&event);
        self.totals.event(&event);
        let (names, outputs) = (&self.names, &mut self.outputs);
        match event {
            Event::Flow(flow) => {
                outputs.flows.push(|| rows::flow(&flow, names), self.sink)?;
                self.facts.keep(flow);
                Ok(())
            }
            Event::IcmpError(error) => outputs.icmp_errors.push(|| rows::icmp_error(&error, names), self.sink),
            Event::Echo(echo) => outputs.icmp_echo.push(|| rows::echo(&echo, names), self.sink),
            Event::Tcp(event) => outputs.tcp_events.push(|| rows::tcp_event(&event, names), self.sink),
            Event::Flagged(flagged) => outputs.tcp_compat.push(|| rows::flagged(&flagged, names), self.sink),
            Event::Quic(quic) => outputs.turns.push(|| rows::turn(&quic.turn, names), self.sink),
            Event::Turn(_) | Event::ArpUnanswered(_) | Event::AddressConflict(_) | Event::Speakers(_) => Ok(()),
            Event::Tally { second, point, what } => {
                self.tally(second, point, what);
                Ok(())
            }
        }
    }

    /// Takes note of datagrams that came in fragments.
    pub(crate) fn fragments(&mut self, decided: &[Fragmented]) -> Result<(), SinkError> {
        for one in decided {
            let unit = self.names.points.get(usize::from(one.point)).map_or(0, |point| point.unit);
            self.facts.fragments.add(one, unit);
            let names = &self.names;
            self.outputs.fragments.push(|| rows::fragments(one, names), self.sink)?;
        }
        Ok(())
    }

    /// Takes a chunk's events: DNS transactions last, by time, each tied to those before it.
    fn events(&mut self, events: &mut Events) -> Result<(), SinkError> {
        self.facts.turns.prefetch(events.iter().filter_map(|(_, event)| event.turn()));
        events.hand_on(|event| match event {
            Event::Turn(turn) => self.turn(&turn).map(|()| Some(turn)),
            event => self.event(event).map(|()| None),
        })?;
        self.order.clear();
        let place = |(at, told): (usize, &Transaction)| (told.first_ns, told.first, at as u32);
        self.order.extend(events.transactions.iter().enumerate().map(place));
        self.order.sort_unstable();
        let mut count = 0;
        for at in 0..self.order.len() {
            let ahead = |far: usize| events.transactions.get(self.order.get(at + far)?.2 as usize);
            ahead(SOON).inspect(|told| prefetch_all(*told));
            ahead(NEXT).inspect(|told| self.lookups.prefetch(told));
            let told = &mut events.transactions[self.order[at].2 as usize];
            if self.ties.admit(told) {
                count += 1;
                self.dns(told)?;
            }
        }
        self.totals.dns(count);
        events.transactions.clear();
        Ok(())
    }

    fn dns(&mut self, told: &Transaction) -> Result<(), SinkError> {
        self.facts.dns.add(told);
        let names = &self.names;
        self.outputs.dns_transactions.push(|| rows::dns_transaction(told, names), self.sink)?;
        self.lookups.take(told);
        if self.lookups.is_full() { self.tell(|lookups, tell| lookups.tell_some(tell)) } else { Ok(()) }
    }

    /// Hands on the lookups that are left, with what is known of resolvers.
    pub(crate) fn lookups(&mut self, told: BTreeMap<Addr, Resolver>) -> Result<(), SinkError> {
        self.lookups.told = told;
        self.tell(|lookups, tell| lookups.tell_all(tell))
    }

    /// Hands lookups on.
    fn tell(&mut self, how: impl FnOnce(&mut Lookups, &mut Tell<'_>)) -> Result<(), SinkError> {
        let mut tell = Tell {
            facts: &mut self.facts,
            output: &mut self.outputs.dns_lookups,
            names: &self.names,
            sink: self.sink,
            result: Ok(()),
        };
        how(&mut self.lookups, &mut tell);
        tell.result
    }

    fn tally(&mut self, second: u32, point: u16, what: Tally) {
        let counts = self.seconds.entry((i64::from(second), point)).or_default();
        match what {
            Tally::Retransmission => counts.retransmissions += 1,
            Tally::Reset => counts.resets += 1,
        }
    }

    fn count_seconds(&mut self, work: &Work) -> Result<(), SinkError> {
        for count in &work.seconds {
            let second = self.seconds.entry((count.second, count.point)).or_default();
            second.packets += count.packets;
            second.bytes += count.bytes;
        }
        if self.seconds.len() > SECONDS { self.write_seconds(SECONDS / 2) } else { Ok(()) }
    }

    /// Writes the oldest seconds.
    fn write_seconds(&mut self, count: usize) -> Result<(), SinkError> {
        for _ in 0..count {
            let Some(((second, point), counts)) = self.seconds.pop_first() else { break };
            let names = &self.names;
            self.outputs.intervals.push(|| rows::interval(second, point, &counts, names), self.sink)?;
        }
        Ok(())
    }

    fn packets(&mut self, work: &Work) -> Result<(), SinkError> {
        if !self.outputs.packets.wanted && self.story.is_none() {
            return Ok(());
        }
        let order = rows::in_frame_order(work);
        if let Some(story) = &mut self.story {
            for packet in &order {
                story.take(packet, work);
            }
        }
        self.outputs.packets.packets(&order, work.first(), &self.names, self.sink)
    }
}

impl Collect for Collector<'_> {
    type Error = SinkError;

    fn chunk(&mut self, work: &Work, events: &mut Events) -> Result<(), SinkError> {
        self.names.learn(work);
        self.packets(work)?;
        self.count_seconds(work)?;
        self.fragments(&work.fragments)?;
        let batch = &work.chunk.batch;
        self.ties.last_unit = batch.is_last_unit.then_some(batch.unit);
        self.lookups.pass(batch.unit, work.now_ns);
        self.events(events)
    }

    fn part(&mut self, events: &mut Events) -> Result<(), SinkError> {
        self.events(events)
    }
}
