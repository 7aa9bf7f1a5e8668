//! Threads that share the work: one reads and decodes, the caller's collects, and whoever has nothing else to do tracks.
//! Shards are tracked a group at a time, each group chunk after chunk, by whichever thread is free.

use super::state::{Flight, Side, State, Task};
use super::{Collect, Read, begins_unit, finish};
use crate::ingest::{Ingest, Work};
use crate::track::events::Events;
use crate::track::shard::Shard;
use kcap_file::Source;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Shards that are tracked together: what the one needs comes while another is looked at.
const GROUP: usize = 2;

/// Runs the source dry with two threads or more.
pub(super) fn together<C: Collect>(
    source: Box<dyn Source>,
    ingest: Ingest,
    shards: &mut [Shard],
    threads: usize,
    collect: &mut C,
) -> Result<Read, C::Error> {
    let helpers = threads.saturating_sub(2).min(shards.len().div_ceil(GROUP));
    let crew = Crew::new(shards);
    thread::scope(|scope| {
        let reader = scope.spawn(|| crew.read(source, ingest));
        for _ in 0..helpers {
            scope.spawn(|| crew.help());
        }
        let result = crew.collect(collect);
        crew.stop();
        let read = reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        result.map(|()| read)
    })
}

/// What the threads share.
struct Crew<'a> {
    state: Mutex<State<'a>>,
    /// There is something to track or to collect.
    work: Condvar,
    /// There is room to read.
    room: Condvar,
}

type Guard<'c, 'a> = MutexGuard<'c, State<'a>>;

/// Nobody waits for a thread that panicked.
struct Watch<'c, 'a>(&'c Crew<'a>);

impl Drop for Watch<'_, '_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.stop();
        }
    }
}

impl<'a> Crew<'a> {
    fn new(shards: &'a mut [Shard]) -> Self {
        let state = State::new(shards.chunks_mut(GROUP));
        Self { state: Mutex::new(state), work: Condvar::new(), room: Condvar::new() }
    }

    fn lock(&self) -> Guard<'_, 'a> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&self) {
        let mut state = self.lock();
        (state.stopped, state.reader_waits) = (true, false);
        drop(state);
        self.work.notify_all();
        self.room.notify_all();
    }

    /// The reading thread.
    fn read(&self, mut source: Box<dyn Source>, mut ingest: Ingest) -> Read {
        let _watch = Watch(self);
        let mut unit = 0;
        while let Some(mut work) = self.room() {
            let more = source.next_batch(&mut work.chunk.batch);
            if more {
                ingest.take(&mut work, source.captures());
            } else if !ingest.take_silence(&mut work, source.captures()) {
                break;
            }
            let begins = begins_unit(&mut unit, &work);
            let mut state = self.lock();
            state.add(work, begins);
            self.tell(&state);
            drop(state);
            if !more {
                break;
            }
        }
        self.lock().all_read = true;
        self.work.notify_all();
        self.help();
        (ingest, source.captures().to_vec())
    }

    /// A chunk to read into, as soon as one is wanted; `None` when nobody wants one any more. What is read is tracked
    /// before more is read than the others need to go on.
    fn room(&self) -> Option<Work> {
        let mut state = self.lock();
        while !state.stopped {
            if state.has_little() {
                return Some(state.work());
            }
            state = match state.claim(Side::Last) {
                Some(task) => self.track(task, state),
                None if state.has_room() => return Some(state.work()),
                None => self.wait_for_room(state),
            };
        }
        None
    }

    fn wait_for_room<'c>(&'c self, mut state: Guard<'c, 'a>) -> Guard<'c, 'a> {
        state.reader_waits = true;
        self.room.wait_while(state, |state| state.reader_waits).unwrap_or_else(PoisonError::into_inner)
    }

    /// A thread that only tracks; the reading thread when all is read.
    fn help(&self) {
        let _watch = Watch(self);
        let mut state = self.lock();
        while !state.is_over() {
            state = self.track_some(state, Side::Last);
        }
    }

    /// The caller's thread, which gets the chunks in order.
    fn collect<C: Collect>(&self, collect: &mut C) -> Result<(), C::Error> {
        let _watch = Watch(self);
        let mut events = Events::default();
        let mut state = self.lock();
        while !state.is_over() {
            state = if let Some(mut groups) = state.ended_unit() {
                drop(state);
                finish(&mut groups, collect)?;
                let mut state = self.lock();
                state.begin_unit(groups);
                self.tell(&state);
                state
            } else if let Some(flight) = state.next_tracked() {
                drop(state);
                let spent = collect_one(flight, &mut events, collect)?;
                let mut state = self.lock();
                self.give_back(spent, &mut state);
                state
            } else {
                self.track_some(state, Side::First)
            };
        }
        Ok(())
    }

    fn give_back(&self, (work, told): (Work, Vec<Events>), state: &mut State<'a>) {
        state.spent.push(work);
        state.spare.extend(told);
        if state.reader_waits && state.has_little() {
            state.reader_waits = false;
            self.room.notify_one();
        }
        if state.is_over() {
            self.work.notify_all();
        }
    }

    /// Tracks what waits to be tracked, or waits for that.
    fn track_some<'c>(&'c self, mut state: Guard<'c, 'a>, side: Side) -> Guard<'c, 'a> {
        if let Some(task) = state.claim(side) {
            return self.track(task, state);
        }
        state.idle += 1;
        let mut state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        state.idle -= 1;
        state
    }

    fn track<'c>(&'c self, task: Task<'a>, state: Guard<'c, 'a>) -> Guard<'c, 'a> {
        drop(state);
        let tracked = task.track();
        let mut state = self.lock();
        state.take(tracked);
        self.tell(&state);
        state
    }

    /// Wakes those who wait for work: what changed may be some.
    fn tell(&self, state: &State<'a>) {
        if state.idle > 0 {
            self.work.notify_all();
        }
    }
}

/// Hands a tracked chunk on, and what can be used again back.
fn collect_one<C: Collect>(
    flight: Flight,
    events: &mut Events,
    collect: &mut C,
) -> Result<(Work, Vec<Events>), C::Error> {
    let mut told: Vec<Events> = flight.told.into_iter().flatten().collect();
    for told in &mut told {
        events.append(told);
    }
    events.sort_by_key(|(at, _)| *at);
    collect.chunk(&flight.work, events)?;
    events.clear();
    for told in &mut told {
        told.share(events);
    }
    Ok((Arc::into_inner(flight.work).unwrap_or_default(), told))
}
