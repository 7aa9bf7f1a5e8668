//! What is left of the watches of a connection when it ends.

use super::resend::Resend;
use super::sum::Sum;
use super::trouble::Closed;
use super::{Ledger, Watch};
use crate::track::FrameId;
use crate::track::flow::{Cold, Hot};
use crate::track::key::End;
use crate::track::lane::{Lane, Rare};
use crate::track::maybe::MaybeNs;
use smallvec::SmallVec;

/// A silence of a second or more in which nobody waited for an acknowledgement.
#[derive(Clone, Copy, Debug)]
pub struct Idle {
    /// How long, nanoseconds.
    pub gap_ns: i64,
    /// When it ended, nanoseconds since the epoch.
    pub until_ns: i64,
    /// Whether the originator ended it.
    pub by_orig: bool,
}

/// What one place saw of one end's data.
#[derive(Clone, Copy, Debug, Default)]
pub struct View {
    /// Numbers.
    pub sum: Sum,
    /// Capture point.
    pub point: u16,
    /// First sequence number of data, and the one after the last.
    pub span: (u32, u32),
    /// Bytes that were acknowledged though they were not seen here.
    pub missed: u64,
    /// Whether acknowledgements of it were seen.
    pub answered: bool,
}

/// What the places that saw one end's data say together. A segment that was sent again passes the places before its
/// loss twice and those behind it once.
#[derive(Clone, Debug, Default)]
pub struct Losses {
    /// The place nearest to the sender, which saw most sent again.
    pub near: View,
    /// The place nearest to the receiver, where it is another.
    far: Option<Box<View>>,
}

impl View {
    /// Whether this place saw all that another did, so that what it saw less of was lost between.
    fn covers(&self, other: &Self) -> bool {
        self.span == other.span && self.missed == 0 && self.answered
    }

    /// How near it is to the sender, where it saw everything.
    fn nearness(&self) -> (bool, u32, std::cmp::Reverse<u32>) {
        (self.missed == 0 && self.answered, self.sum.again, std::cmp::Reverse(self.sum.upstream))
    }
}

impl Losses {
    /// Of one place.
    pub fn at(view: &View) -> Self {
        Self { near: *view, far: None }
    }

    /// The place nearest to the receiver, which saw least sent again.
    pub fn far(&self) -> &View {
        self.far.as_deref().unwrap_or(&self.near)
    }

    /// Of two places, or two sets of them.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        let near = if other.near.nearness() > self.near.nearness() { &other.near } else { &self.near };
        let all = [&self.near, self.far(), &other.near, other.far()];
        let far = all
            .into_iter()
            .filter(|view| view.covers(near))
            .min_by_key(|view| (view.sum.again, std::cmp::Reverse(view.sum.spurious)));
        let far = far.filter(|far| !std::ptr::eq(*far, near));
        Self { near: *near, far: far.map(|far| Box::new(*far)) }
    }

    /// Segments lost before the place nearest to the sender.
    pub fn before(&self) -> u32 {
        self.near.sum.upstream
    }

    /// Segments lost between the places.
    pub fn between(&self) -> u32 {
        // What passed both and was acknowledged at one of them only is no loss between them.
        let differ = self.near.sum.again.saturating_sub(self.far().sum.again + self.far().sum.unanswered);
        // What is known to have arrived before passed both places twice, or was made two of behind the first. Where the
        // network does that, a late copy looks like a resend whose acknowledgement was lost.
        let unheard = if self.near.sum.duplicates == 0 { self.near.sum.unheard } else { 0 };
        differ.min(self.near.sum.downstream() + unheard)
    }

    /// Segments lost behind the place nearest to the receiver.
    pub fn behind(&self) -> u32 {
        self.far().sum.downstream()
    }

    /// Segments lost.
    pub fn lost(&self) -> u32 {
        self.before() + self.between() + self.behind()
    }

    /// Segments sent again for nothing.
    pub fn spurious(&self) -> u32 {
        self.far().sum.spurious.max(self.near.sum.spurious)
    }
}

/// Times that an end announced a window of nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClosedSum {
    /// All of them, nanoseconds.
    pub ns: i64,
    /// The longest.
    pub longest_ns: i64,
    /// How many.
    pub times: u32,
    /// Where first.
    pub frame: FrameId,
}

/// What is known of one end's data beyond counts.
#[derive(Clone, Debug, Default)]
pub struct TcpSide {
    /// Time from data to its acknowledgement, as seen from the first leg: median, nanoseconds.
    pub rtt_p50_ns: MaybeNs,
    /// The same, 95th percentile.
    pub rtt_p95_ns: MaybeNs,
    /// Packets with data, offloaded ones as they were seen.
    pub data_packets: u32,
    /// Most bytes in flight.
    pub in_flight_max: u32,
    /// Bytes of the longest segment that was acknowledged and sent once, offloaded packets included.
    pub delivered_len: u32,
    closed: Option<Box<ClosedSum>>,
    /// Keep-alive probes at the end that nothing answered, where answers would have been seen.
    pub unanswered_probes: u32,
    /// Where there was trouble.
    pub losses: Option<Box<Losses>>,
}

/// One leg at the end.
struct Ended<'a> {
    watch: Box<Watch>,
    lanes: &'a [Lane; 2],
    rare: &'a [Rare; 2],
    point: u16,
    tunnel: u32,
}

/// Ranges of one end, and the point and tunnel that saw them.
pub(crate) type Told = (End, u16, u32, Vec<Resend>);

/// Ends the watches of a connection: what is known of each end's data, and the ranges to tell of.
pub(crate) fn ended(
    hot: &Hot,
    cold: &mut Cold,
    watch: Option<Box<Watch>>,
    ledger: &mut Ledger,
) -> ([TcpSide; 2], Vec<Told>) {
    let others: Vec<_> = cold.legs_mut().iter_mut().map(|leg| leg.watch.take()).collect();
    let first = (watch, &hot.lanes, &cold.rare, hot.point, hot.tunnel);
    let others = others.into_iter().zip(cold.legs());
    let others = others.map(|(watch, leg)| (watch, &leg.lanes, &leg.rare, leg.point, leg.tunnel));
    let mut legs: SmallVec<[Ended<'_>; 1]> = SmallVec::new();
    for (watch, lanes, rare, point, tunnel) in std::iter::once(first).chain(others) {
        if let Some(watch) = watch {
            legs.push(Ended { watch, lanes, rare, point, tunnel });
        }
    }
    let mut told = Vec::new();
    let sides = [End::Low, End::High].map(|end| side(&mut legs, end, hot.last_ns, &mut told));
    legs.into_iter().for_each(|leg| ledger.end(leg.watch));
    (sides, told)
}

fn side(legs: &mut [Ended<'_>], end: End, last_ns: i64, told: &mut Vec<Told>) -> TcpSide {
    let at = end as usize;
    let mut side = TcpSide { unanswered_probes: u32::MAX, ..TcpSide::default() };
    // Places behind a drop see no more probes.
    let probes = legs.iter().map(|leg| leg.rare[at].counts().keepalives).max().unwrap_or_default();
    for leg in legs.iter() {
        let half = &leg.watch.halves[at];
        side.in_flight_max = side.in_flight_max.max(half.in_flight_max);
        side.data_packets = side.data_packets.max(half.packets);
        // A bridge that translates shows probes under one address and answers under another.
        if leg.lanes.iter().all(|lane| lane.packets > 0) && leg.rare[at].counts().keepalives >= probes {
            side.unanswered_probes = side.unanswered_probes.min(half.asks);
        }
        side.delivered_len = side.delivered_len.max(half.delivered_len);
        if !side.rtt_p50_ns.is_some() {
            let quantiles = half.rtt.quantiles_ns(&leg.watch.samples[at]);
            (side.rtt_p50_ns, side.rtt_p95_ns) = (quantiles.map(|q| q.0).into(), quantiles.map(|q| q.1).into());
        }
    }
    if side.unanswered_probes == u32::MAX {
        side.unanswered_probes = 0;
    }
    if legs.iter().any(|leg| leg.watch.halves[at].trouble.is_some()) {
        side.close(legs, end, last_ns);
        side.lose(legs, end, told);
    }
    side
}

impl TcpSide {
    /// Times that this end announced a window of nothing.
    pub fn closed(&self) -> ClosedSum {
        self.closed.as_deref().copied().unwrap_or_default()
    }

    /// Whether there were any.
    pub(crate) fn was_closed(&self) -> bool {
        self.closed.is_some()
    }

    /// The closed window, by the leg that saw it longest.
    fn close(&mut self, legs: &mut [Ended<'_>], end: End, last_ns: i64) {
        for leg in legs {
            let half = &mut leg.watch.halves[end as usize];
            let Some(trouble) = &mut half.trouble else { continue };
            if half.closed {
                trouble.closed.open(last_ns);
            }
            let Closed { total_ns, longest_ns, times, frame, .. } = trouble.closed;
            if times > 0 && total_ns >= self.closed().ns {
                self.closed = Some(Box::new(ClosedSum { ns: total_ns, longest_ns, times, frame }));
            }
        }
    }

    /// What was lost, by all legs; the ranges of the one nearest to the sender are told.
    fn lose(&mut self, legs: &mut [Ended<'_>], end: End, told: &mut Vec<Told>) {
        let mut views: Vec<(View, Told)> = Vec::new();
        // A bridge that translates shows data under one address and acknowledgements under another.
        for leg in legs.iter_mut().filter(|leg| leg.lanes[end as usize].packets > 0) {
            let missed = leg.rare[end as usize].acknowledged_unseen(&leg.lanes[end.other() as usize]);
            let half = &mut leg.watch.halves[end as usize];
            let resends = half.trouble().settle_all();
            let span = (half.first, leg.lanes[end as usize].next_seq);
            let answered = half.una != half.first;
            let view = View { sum: half.trouble().sum, point: leg.point, span, missed, answered };
            views.push((view, (end, leg.point, leg.tunnel, resends)));
        }
        let losses = views.iter().map(|(view, _)| Losses::at(view)).reduce(|a, b| a.with(&b));
        self.losses = losses.map(Box::new);
        let best = views.into_iter().reduce(|a, b| if b.0.nearness() > a.0.nearness() { b } else { a });
        told.extend(best.map(|(_, ranges)| ranges).filter(|ranges| !ranges.3.is_empty()));
    }
}
