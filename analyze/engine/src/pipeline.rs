//! Threads: one reads and decodes, the caller's collects, all track. What is computed never depends on their number, nor
//! on who does what: shards are fixed, and what they say is put back in frame order chunk by chunk.

mod crew;
mod state;

use crate::ingest::{Ingest, Work};
use crate::track::events::Events;
use crate::track::key::SHARDS;
use crate::track::shard::{LeftOut, Memory, Shard};
use kcap_file::{CaptureInfo, Source};

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
        _ => crew::together(source, ingest, &mut shards, threads, collect)?,
    };
    finish(&mut [&mut shards], collect)?;
    let left_out = shards.iter().map(Shard::left_out).fold(LeftOut::default(), LeftOut::plus);
    Ok(Finished { ingest, captures, left_out })
}

/// Ends a unit: connections first, then what waits for answers.
fn finish<C: Collect>(groups: &mut [&mut [Shard]], collect: &mut C) -> Result<(), C::Error> {
    let mut events = Events::default();
    for shard in groups.iter_mut().flat_map(|shards| shards.iter_mut()) {
        for ending in shard.flows.in_order().chunks(ENDED_AT_ONCE) {
            shard.flows.end_all(ending, &mut events);
            collect.part(&mut events)?;
            events.clear();
        }
        shard.flows.release();
    }
    groups.iter_mut().flat_map(|shards| shards.iter_mut()).for_each(|shard| shard.end_others(&mut events));
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
    let mut events = Events::default();
    let mut unit = 0;
    while source.next_batch(&mut work.chunk.batch) {
        ingest.take(&mut work, source.captures());
        if begins_unit(&mut unit, &work) {
            finish(&mut [&mut *shards], collect)?;
        }
        take(shards, &work, &mut events, collect)?;
    }
    if ingest.take_silence(&mut work, source.captures()) {
        take(shards, &work, &mut events, collect)?;
    }
    Ok((ingest, source.captures().to_vec()))
}

/// Tracks and collects a chunk.
fn take<C: Collect>(shards: &mut [Shard], work: &Work, events: &mut Events, collect: &mut C) -> Result<(), C::Error> {
    track_all(0, shards, work, events);
    events.sort_by_key(|(at, _)| *at);
    collect.chunk(work, events)?;
    events.clear();
    Ok(())
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
