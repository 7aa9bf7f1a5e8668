//! Threads: one reads and decodes, the others track, the caller's collects; of two, the caller's tracks as well. What is
//! computed never depends on their number: shards are fixed, and what they say is put back in frame order chunk by chunk.

use crate::ingest::{Ingest, Work};
use crate::track::events::Events;
use crate::track::flows::Source as Frames;
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
    let mut events = Events::default();
    for shard in &mut *shards {
        for ending in shard.flows.in_order().chunks(ENDED_AT_ONCE) {
            shard.flows.end_all(ending, &mut events);
            collect.part(&mut events)?;
            events.clear();
        }
        shard.flows.release();
    }
    for shard in shards {
        shard.end_others(&mut events);
    }
    collect.part(&mut events)
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
    while source.next_batch(&mut work.chunk.batch) {
        ingest.take(&mut work, source.captures());
        caller.take(&work)?;
    }
    Ok((ingest, source.captures().to_vec()))
}

/// One thread reads and decodes, the caller's does the rest: packets change caches once.
fn beside<C: Collect>(
    source: Box<dyn Source>,
    ingest: Ingest,
    shards: &mut [Shard],
    collect: &mut C,
) -> Result<Read, C::Error> {
    let (mut recycle, recycled) = Recycle::new();
    let (to_caller, from_reader) = sync_channel(IN_FLIGHT);
    thread::scope(|scope| {
        let reader = scope.spawn(move || read(source, ingest, &recycled, |work| to_caller.send(work).is_ok()));
        let mut caller = Caller::new(shards, collect);
        let result = from_reader.iter().try_for_each(|work| {
            caller.take(&work)?;
            recycle.give(work);
            Ok(())
        });
        // After an error nobody listens any more: closing both ends lets the reader stop.
        drop((from_reader, recycle));
        let read = reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        result.map(|()| read)
    })
}

/// The caller's thread, where it tracks and collects.
struct Caller<'a, C> {
    shards: &'a mut [Shard],
    collect: &'a mut C,
    events: Events,
    unit: u32,
}

impl<'a, C: Collect> Caller<'a, C> {
    fn new(shards: &'a mut [Shard], collect: &'a mut C) -> Self {
        Self { shards, collect, events: Events::default(), unit: 0 }
    }

    fn take(&mut self, work: &Work) -> Result<(), C::Error> {
        if begins_unit(&mut self.unit, work) {
            finish(self.shards, self.collect)?;
        }
        for (at, shard) in self.shards.iter_mut().enumerate() {
            track(at, shard, work, &mut self.events);
        }
        self.events.sort_by_key(|(at, _)| *at);
        self.collect.chunk(work, &mut self.events)?;
        self.events.clear();
        Ok(())
    }
}

/// Whether a chunk is of another unit than the one before, which `unit` remembers.
fn begins_unit(unit: &mut u32, work: &Work) -> bool {
    std::mem::replace(unit, work.chunk.batch.unit) != work.chunk.batch.unit
}

fn track(at: usize, shard: &mut Shard, work: &Work, events: &mut Events) {
    let (unit, has_points) = (work.chunk.batch.unit, work.has_points);
    let frames = Frames { chunk: &work.chunk, first: work.first(), unit, has_points };
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
        if !source.next_batch(&mut work.chunk.batch) {
            break;
        }
        ingest.take(&mut work, source.captures());
        if !send(work) {
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
        let events = each(&mut shards, |at, shard, events| track(at, shard, &work, events));
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
