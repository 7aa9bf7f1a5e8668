//! Threads: one reads and decodes, the others track, the caller's collects; of two, both track some of the shards. What is
//! computed never depends on their number: shards are fixed, and what they say is put back in frame order chunk by chunk.

use crate::ingest::{Ingest, Work};
use crate::track::events::Events;
use crate::track::key::SHARDS;
use crate::track::shard::{LeftOut, Memory, Shard};
use kcap_file::{CaptureInfo, Source};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

/// What a collector does with the chunks, in order.
pub(crate) trait Collect {
    /// Why it could not.
    type Error;

    /// A chunk was tracked; `events` are in frame order.
    ///
    /// # Errors
    /// Stops the pipeline.
    fn chunk(&mut self, work: &Work, events: &mut Events) -> Result<(), Self::Error>;

    /// Part of what ends with a unit is told, between its last chunk and the next one's first.
    ///
    /// # Errors
    /// Stops the pipeline.
    fn part(&mut self, events: &mut Events) -> Result<(), Self::Error>;
}

/// Connections that end together when a unit is over: their records take as much memory as the table has for them.
const ENDED_AT_ONCE: usize = 1024;

/// What is left when all is read.
pub(crate) struct Finished {
    pub(crate) ingest: Ingest,
    pub(crate) captures: Vec<CaptureInfo>,
    pub(crate) left_out: LeftOut,
}

/// Runs the source dry.
pub(crate) fn run<C: Collect>(
    source: Box<dyn Source>,
    ingest: Ingest,
    memory: Memory,
    threads: usize,
    collect: &mut C,
) -> Result<Finished, C::Error> {
    let mut shards: Vec<Shard> = (0..SHARDS).map(|_| Shard::new(memory)).collect();
    let (ingest, captures) = match threads {
        0 | 1 => alone(source, ingest, &mut shards, collect)?,
        2 => beside(source, ingest, &mut shards, collect)?,
        _ => together(source, ingest, &mut shards, threads - 2, collect)?,
    };
    finish(&mut shards, collect)?;
    let left_out = shards.iter().map(Shard::left_out).fold(LeftOut::default(), LeftOut::plus);
    Ok(Finished { ingest, captures, left_out })
}

/// Ends a unit: connections first, then what waits for answers.
fn finish<C: Collect>(shards: &mut [Shard], collect: &mut C) -> Result<(), C::Error> {
    end_flows(shards, |events| collect.part(events))?;
    collect.part(&mut end_others(shards))
}

/// Ends all connections, a portion at a time.
fn end_flows<E>(shards: &mut [Shard], mut told: impl FnMut(&mut Events) -> Result<(), E>) -> Result<(), E> {
    let mut events = Events::default();
    for shard in shards {
        for ending in shard.flows.in_order().chunks(ENDED_AT_ONCE) {
            shard.flows.end_all(ending, &mut events);
            told(&mut events)?;
            events.clear();
        }
        shard.flows.release();
    }
    Ok(())
}

fn end_others(shards: &mut [Shard]) -> Events {
    let mut events = Events::default();
    for shard in shards {
        shard.end_others(&mut events);
    }
    events
}

type Read = (Ingest, Vec<CaptureInfo>);

fn alone<C: Collect>(
    mut source: Box<dyn Source>,
    mut ingest: Ingest,
    shards: &mut [Shard],
    collect: &mut C,
) -> Result<Read, C::Error> {
    let mut work = Work::default();
    let mut caller = Caller::new(shards, collect);
    let mut unit = 0;
    while source.next_batch(&mut work.chunk.batch) {
        ingest.take(&mut work, source.captures());
        if begins_unit(&mut unit, &work) {
            finish(caller.shards, caller.collect)?;
        }
        caller.take(&mut work)?;
    }
    if ingest.take_silence(&mut work, source.captures()) {
        caller.take(&mut work)?;
    }
    Ok((ingest, source.captures().to_vec()))
}

/// Shards that the reading thread of two tracks: what it then does is about half of all.
const READERS: usize = 3;

/// Two threads share the work: one reads, decodes and tracks the last shards, the caller's tracks the others and collects.
fn beside<C: Collect>(
    source: Box<dyn Source>,
    ingest: Ingest,
    shards: &mut [Shard],
    collect: &mut C,
) -> Result<Read, C::Error> {
    let (mut recycle, recycled) = Recycle::new();
    let (to_caller, from_reader) = sync_channel(IN_FLIGHT);
    let (own, readers) = shards.split_at_mut(SHARDS - READERS);
    let mut tracker = Tracker { first: own.len(), shards: readers, unit: 0, to_caller };
    thread::scope(|scope| {
        let reader = scope.spawn(move || read(source, ingest, &recycled, |work| tracker.take(work).is_ok()));
        let mut caller = Caller::new(own, collect);
        let result = from_reader.iter().try_for_each(|told| caller.hear(told, &mut recycle));
        // After an error nobody listens any more: closing both ends lets the reader stop.
        drop((from_reader, recycle));
        let read = reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        result.map(|()| read)
    })
}

/// What the reading thread tells the caller's.
#[expect(clippy::large_enum_variant, reason = "nearly all are chunks")]
enum Told {
    /// A chunk, with the events of the reader's shards.
    Chunk(Work),
    /// Connections that ended with a unit.
    Ended(Events),
    /// All else that ended with it.
    Rest(Events),
}

/// Nobody listens any more.
struct Gone;

/// The reading thread, where it tracks.
struct Tracker<'a> {
    /// Number of its first shard.
    first: usize,
    shards: &'a mut [Shard],
    unit: u32,
    to_caller: SyncSender<Told>,
}

impl Tracker<'_> {
    fn take(&mut self, mut work: Work) -> Result<(), Gone> {
        if begins_unit(&mut self.unit, &work) {
            let to_caller = &self.to_caller;
            end_flows(self.shards, |events| tell(to_caller, Told::Ended(std::mem::take(events))))?;
            tell(to_caller, Told::Rest(end_others(self.shards)))?;
        }
        let mut events = std::mem::take(&mut work.told);
        track_all(self.first, self.shards, &work, &mut events);
        work.told = events;
        tell(&self.to_caller, Told::Chunk(work))
    }
}

fn tell(to_caller: &SyncSender<Told>, told: Told) -> Result<(), Gone> {
    to_caller.send(told).map_err(|_| Gone)
}

/// The caller's thread, where it tracks and collects.
struct Caller<'a, C> {
    shards: &'a mut [Shard],
    collect: &'a mut C,
    events: Events,
}

impl<'a, C: Collect> Caller<'a, C> {
    fn new(shards: &'a mut [Shard], collect: &'a mut C) -> Self {
        Self { shards, collect, events: Events::default() }
    }

    fn hear(&mut self, told: Told, recycle: &mut Recycle) -> Result<(), C::Error> {
        match told {
            Told::Chunk(mut work) => {
                self.take(&mut work)?;
                recycle.give(work);
                Ok(())
            }
            Told::Ended(mut events) => {
                self.end_flows()?;
                self.collect.part(&mut events)
            }
            Told::Rest(mut rest) => {
                self.end_flows()?;
                let mut events = end_others(self.shards);
                events.append(&mut rest);
                self.collect.part(&mut events)
            }
        }
    }

    /// Ends the connections of its own shards, which come before the reader's, where there still are any.
    fn end_flows(&mut self) -> Result<(), C::Error> {
        end_flows(self.shards, |events| self.collect.part(events))
    }

    fn take(&mut self, work: &mut Work) -> Result<(), C::Error> {
        track_all(0, self.shards, work, &mut self.events);
        self.events.append(&mut work.told);
        self.events.sort_by_key(|(at, _)| *at);
        self.collect.chunk(work, &mut self.events)?;
        self.events.clear();
        work.told.share(&mut self.events);
        Ok(())
    }
}

/// Whether a chunk is of another unit than the one before, which `unit` remembers.
fn begins_unit(unit: &mut u32, work: &Work) -> bool {
    std::mem::replace(unit, work.chunk.batch.unit) != work.chunk.batch.unit
}

/// Tracks a chunk with shards from a number on. What is idle ends last, so that what it leads to comes meanwhile.
fn track_all(first: usize, shards: &mut [Shard], work: &Work, events: &mut Events) {
    for (at, shard) in (first..).zip(&mut *shards) {
        track(at, shard, work, events);
    }
    for (at, shard) in (first..).zip(&*shards) {
        shard.expect_sweep(work.shards[at].len());
    }
    for (at, shard) in (first..).zip(shards) {
        shard.sweep(work.shards[at].len(), events);
    }
}

fn track(at: usize, shard: &mut Shard, work: &Work, events: &mut Events) {
    let frames = work.frames();
    shard.take(&work.shards[at], &frames, work.now_ns, events);
    shard.take_dns(work.dns(at), &frames, events);
}

/// Chunks on their way at once; each is some hundred KiB.
const IN_FLIGHT: usize = 6;

/// Chunks on their way back to the reader, half of all at a time: waking a thread costs as much as decoding a chunk's
/// tenth.
struct Recycle {
    spent: Vec<Work>,
    to_reader: Sender<Work>,
}

impl Recycle {
    fn new() -> (Self, Receiver<Work>) {
        let (to_reader, recycled) = channel();
        for _ in 0..IN_FLIGHT {
            let _ = to_reader.send(Work::default());
        }
        (Self { spent: Vec::new(), to_reader }, recycled)
    }

    fn give(&mut self, work: Work) {
        self.spent.push(work);
        if self.spent.len() >= IN_FLIGHT / 2 {
            self.spent.drain(..).for_each(|work| drop(self.to_reader.send(work)));
        }
    }
}

/// What a worker made of a chunk, or what ended with a unit where there is none: the events of each of its shards.
struct Tracked {
    work: Option<Arc<Work>>,
    events: Vec<(usize, Events)>,
}

fn together<C: Collect>(
    source: Box<dyn Source>,
    ingest: Ingest,
    shards: &mut [Shard],
    workers: usize,
    collect: &mut C,
) -> Result<Read, C::Error> {
    let workers = workers.min(shards.len());
    let (mut recycle, recycled) = Recycle::new();
    thread::scope(|scope| {
        let (to_workers, from_reader): (Vec<_>, Vec<_>) = (0..workers).map(|_| sync_channel(IN_FLIGHT)).unzip();
        let send = move |work| {
            let work = Arc::new(work);
            to_workers.iter().all(|worker: &SyncSender<_>| worker.send(Arc::clone(&work)).is_ok())
        };
        let reader = scope.spawn(move || read(source, ingest, &recycled, send));
        let mut tracked = Vec::new();
        for (chunks, own) in from_reader.into_iter().zip(deal(shards, workers)) {
            let (done, results) = sync_channel(IN_FLIGHT);
            scope.spawn(move || work(&chunks, own, &done));
            tracked.push(results);
        }
        let result = gather(&tracked, &mut recycle, collect);
        // After an error nobody listens any more: closing both ends lets the other threads stop.
        drop((tracked, recycle));
        let read = reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        result.map(|()| read)
    })
}

/// Shards of each worker, with their numbers.
fn deal(shards: &mut [Shard], workers: usize) -> Vec<Vec<(usize, &mut Shard)>> {
    let mut dealt: Vec<Vec<_>> = (0..workers).map(|_| Vec::new()).collect();
    for (at, shard) in shards.iter_mut().enumerate() {
        dealt[at % workers].push((at, shard));
    }
    dealt
}

fn read(
    mut source: Box<dyn Source>,
    mut ingest: Ingest,
    recycled: &Receiver<Work>,
    mut send: impl FnMut(Work) -> bool,
) -> Read {
    while let Ok(mut work) = recycled.recv() {
        let more = source.next_batch(&mut work.chunk.batch);
        if more {
            ingest.take(&mut work, source.captures());
        } else if !ingest.take_silence(&mut work, source.captures()) {
            break;
        }
        if !send(work) || !more {
            break;
        }
    }
    (ingest, source.captures().to_vec())
}

fn work(chunks: &Receiver<Arc<Work>>, mut shards: Vec<(usize, &mut Shard)>, done: &SyncSender<Tracked>) {
    let mut unit = 0;
    for work in chunks {
        let ended = begins_unit(&mut unit, &work);
        let ends: &[fn(&mut Shard, &mut Events)] = if ended { &[Shard::end_flows, Shard::end_others] } else { &[] };
        let ends =
            ends.iter().map(|end| Tracked { work: None, events: each(&mut shards, |_, shard, to| end(shard, to)) });
        let mut results: Vec<Tracked> = ends.collect();
        let mut events = each(&mut shards, |at, shard, events| track(at, shard, &work, events));
        events.extend(each(&mut shards, |at, shard, events| shard.sweep(work.shards[at].len(), events)));
        results.push(Tracked { work: Some(work), events });
        if results.into_iter().any(|result| done.send(result).is_err()) {
            return;
        }
    }
}

/// The events of each shard.
fn each(shards: &mut [(usize, &mut Shard)], what: impl Fn(usize, &mut Shard, &mut Events)) -> Vec<(usize, Events)> {
    let events = |(at, shard): &mut (usize, &mut Shard)| {
        let mut events = Events::default();
        what(*at, shard, &mut events);
        (*at, events)
    };
    shards.iter_mut().map(events).collect()
}

/// Puts the chunks together again and hands them on in order.
fn gather<C: Collect>(tracked: &[Receiver<Tracked>], recycle: &mut Recycle, collect: &mut C) -> Result<(), C::Error> {
    loop {
        let mut parts: Vec<(usize, Events)> = Vec::new();
        let mut whole = None;
        for results in tracked {
            let Ok(part) = results.recv() else { return Ok(()) };
            parts.extend(part.events);
            // The references before are dropped here, so the last worker's is the only one left.
            whole = part.work;
        }
        let mut events = in_order(parts);
        let Some(work) = whole else {
            collect.part(&mut events)?;
            continue;
        };
        collect.chunk(&work, &mut events)?;
        recycle.give(Arc::into_inner(work).unwrap_or_default());
    }
}

/// The events of all shards, in frame order.
fn in_order(mut parts: Vec<(usize, Events)>) -> Events {
    parts.sort_by_key(|(shard, _)| *shard);
    let mut events = Events::default();
    for (_, part) in &mut parts {
        events.append(part);
    }
    events.sort_by_key(|(at, _)| *at);
    events
}
