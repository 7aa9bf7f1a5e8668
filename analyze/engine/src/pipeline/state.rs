//! Chunks on their way and the shards that track them.

use super::track_all;
use crate::ingest::Work;
use crate::track::events::Events;
use crate::track::shard::Shard;
use std::collections::VecDeque;
use std::sync::Arc;

/// Chunks on their way at once; each is some hundred KiB.
const IN_FLIGHT: usize = 6;
/// As many let nobody wait: what is read is tracked before more is.
const ENOUGH: usize = 5;

/// What the threads of a crew share.
pub(super) struct State<'a> {
    groups: Vec<Group<'a>>,
    /// Chunks on their way, oldest first.
    flights: VecDeque<Flight>,
    /// Number of the oldest.
    first: usize,
    /// To be read into again, and to be told into.
    pub(super) spent: Vec<Work>,
    pub(super) spare: Vec<Events>,
    pub(super) all_read: bool,
    /// Whether somebody gave up, so that nobody may wait any more.
    pub(super) stopped: bool,
    /// Threads that wait for work.
    pub(super) idle: usize,
    /// Whether the reader waits for room.
    pub(super) reader_waits: bool,
}

/// Shards that one thread at a time tracks.
struct Group<'a> {
    /// Number of its first shard.
    first: usize,
    /// `None` while a thread has them.
    shards: Option<&'a mut [Shard]>,
    /// Number of the chunk that is theirs next.
    next: usize,
}

/// A chunk on its way.
pub(super) struct Flight {
    pub(super) work: Arc<Work>,
    /// Whether the unit before has to end first.
    begins_unit: bool,
    /// What each group told of it.
    pub(super) told: Vec<Option<Events>>,
}

/// A chunk that a group is to track.
pub(super) struct Task<'a> {
    group: usize,
    chunk: usize,
    first: usize,
    shards: &'a mut [Shard],
    work: Arc<Work>,
    events: Events,
}

/// What a group told of a chunk.
pub(super) struct Tracked<'a> {
    group: usize,
    chunk: usize,
    shards: &'a mut [Shard],
    events: Events,
}

impl<'a> Task<'a> {
    pub(super) fn track(self) -> Tracked<'a> {
        let Self { group, chunk, first, shards, work, mut events } = self;
        track_all(first, shards, &work, &mut events);
        Tracked { group, chunk, shards, events }
    }
}

/// Which group is taken of those that wait for the same chunk: threads that come from two sides keep to their shards.
#[derive(Clone, Copy)]
pub(super) enum Side {
    First,
    Last,
}

impl<'a> State<'a> {
    pub(super) fn new(groups: impl Iterator<Item = &'a mut [Shard]>) -> Self {
        let mut first = 0;
        let groups = groups.map(|shards| {
            let group = Group { first, next: 0, shards: None };
            first += shards.len();
            Group { shards: Some(shards), ..group }
        });
        Self {
            groups: groups.collect(),
            flights: VecDeque::new(),
            first: 0,
            spent: Vec::new(),
            spare: Vec::new(),
            all_read: false,
            stopped: false,
            idle: 0,
            reader_waits: false,
        }
    }

    /// Whether there is nothing left to do.
    pub(super) fn is_over(&self) -> bool {
        self.stopped || self.all_read && self.flights.is_empty()
    }

    pub(super) fn has_room(&self) -> bool {
        self.flights.len() < IN_FLIGHT
    }

    /// Whether so few chunks are on their way that others may soon wait for more. That is also when a reader that waits
    /// is woken: not for each chunk, because it costs as much as decoding a tenth of one.
    pub(super) fn has_little(&self) -> bool {
        self.flights.len() < ENOUGH
    }

    /// A chunk to read into.
    pub(super) fn work(&mut self) -> Work {
        self.spent.pop().unwrap_or_default()
    }

    /// A chunk was read.
    pub(super) fn add(&mut self, work: Work, begins_unit: bool) {
        let told = self.groups.iter().map(|_| None).collect();
        self.flights.push_back(Flight { work: Arc::new(work), begins_unit, told });
    }

    /// The oldest chunk that a group waits for.
    pub(super) fn claim(&mut self, side: Side) -> Option<Task<'a>> {
        let open = self.first + self.flights.iter().take_while(|flight| !flight.begins_unit).count();
        let waits = |(_, group): &(usize, &mut Group<'_>)| group.shards.is_some() && group.next < open;
        let waiting = self.groups.iter_mut().enumerate().filter(waits);
        let (at, group) = waiting.min_by_key(|(at, group)| match side {
            Side::First => (group.next, *at),
            Side::Last => (group.next, usize::MAX - at),
        })?;
        let shards = group.shards.take()?;
        let (chunk, first) = (group.next, group.first);
        group.next += 1;
        let work = Arc::clone(&self.flights[chunk - self.first].work);
        Some(Task { group: at, chunk, first, shards, work, events: self.spare.pop().unwrap_or_default() })
    }

    /// A group tracked a chunk.
    pub(super) fn take(&mut self, tracked: Tracked<'a>) {
        self.groups[tracked.group].shards = Some(tracked.shards);
        self.flights[tracked.chunk - self.first].told[tracked.group] = Some(tracked.events);
    }

    /// The oldest chunk, when all groups have tracked it.
    pub(super) fn next_tracked(&mut self) -> Option<Flight> {
        let oldest = self.flights.front()?;
        let tracked = oldest.told.iter().all(Option::is_some);
        self.first += usize::from(tracked);
        tracked.then(|| self.flights.pop_front())?
    }

    /// All shards, when the oldest chunk begins a unit and the one before is to be ended.
    pub(super) fn ended_unit(&mut self) -> Option<Vec<&'a mut [Shard]>> {
        self.flights.front().filter(|oldest| oldest.begins_unit)?;
        Some(self.groups.iter_mut().filter_map(|group| group.shards.take()).collect())
    }

    /// The unit before was ended.
    pub(super) fn begin_unit(&mut self, shards: Vec<&'a mut [Shard]>) {
        for (group, shards) in self.groups.iter_mut().zip(shards) {
            group.shards = Some(shards);
        }
        if let Some(oldest) = self.flights.front_mut() {
            oldest.begins_unit = false;
        }
    }
}
