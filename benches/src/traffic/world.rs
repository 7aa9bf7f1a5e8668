use super::output::Output;
use super::tags::{Tags, Truth};
use kcap_samples::Rng;
use kcap_samples::packet::Buf;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, Write};

/// 2026-01-05 00:00:00 UTC, when every capture begins.
const START_NS: u64 = 1_767_571_200_000_000_000;

/// A microsecond and so on, in the nanoseconds that all times here are in.
pub(super) const US: u64 = 1000;
/// A millisecond.
pub(super) const MS: u64 = 1000 * US;
/// A second.
pub(super) const S: u64 = 1000 * MS;

/// Somebody who does something at a time.
pub(super) trait Actor {
    /// Does what is due and says when the next thing is; nothing more to do is `None`.
    fn act(&mut self, now: u64, world: &mut World) -> Option<u64>;
}

/// An event: time, number (which keeps order among equal times), and what it is about.
type Event<T> = Reverse<(u64, u64, T)>;

/// Simulated time, the frames on their way and everything actors share.
pub(super) struct World {
    pub(super) rng: Rng,
    pub(super) buf: Buf,
    /// Compressible payload.
    pub(super) text: Vec<u8>,
    /// Connections and ports handed out so far.
    pub(super) flows: u64,
    actors: Vec<Option<Box<dyn Actor>>>,
    free: Vec<usize>,
    events: BinaryHeap<Event<usize>>,
    frames: BinaryHeap<Event<(usize, Tags)>>,
    store: Vec<Vec<u8>>,
    unused: Vec<usize>,
    number: u64,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let text = text(&mut rng);
        Self {
            rng,
            buf: Buf::default(),
            text,
            flows: 0,
            actors: Vec::new(),
            free: Vec::new(),
            events: BinaryHeap::new(),
            frames: BinaryHeap::new(),
            store: Vec::new(),
            unused: Vec::new(),
            number: 0,
        }
    }

    /// Lets an actor act at a time from the start of the capture on.
    pub(super) fn spawn(&mut self, at: u64, actor: Box<dyn Actor>) {
        let id = self.free.pop().unwrap_or_else(|| {
            self.actors.push(None);
            self.actors.len() - 1
        });
        self.actors[id] = Some(actor);
        self.schedule(at, id);
    }

    fn schedule(&mut self, at: u64, id: usize) {
        self.number += 1;
        self.events.push(Reverse((at, self.number, id)));
    }

    /// Puts the packet in `buf` on the wire at a time that is not before now.
    pub(super) fn emit(&mut self, at: u64, tags: Tags) {
        let slot = self.unused.pop().unwrap_or_else(|| {
            self.store.push(Vec::new());
            self.store.len() - 1
        });
        self.store[slot].clear();
        self.store[slot].extend_from_slice(self.buf.packet());
        self.number += 1;
        self.frames.push(Reverse((at, self.number, (slot, tags))));
    }

    /// Runs until the file is full.
    pub(super) fn run<W: Write>(mut self, mut output: Output<W>) -> io::Result<Truth> {
        while let Some(Reverse((now, _, id))) = self.events.pop() {
            if !self.flush(now, &mut output)? {
                break;
            }
            self.act(now, id);
        }
        output.finish()
    }

    fn act(&mut self, now: u64, id: usize) {
        let Some(mut actor) = self.actors[id].take() else { return };
        if let Some(next) = actor.act(now, self) {
            self.actors[id] = Some(actor);
            self.schedule(next.max(now), id);
        } else {
            self.free.push(id);
        }
    }

    /// Writes the frames that are due; false when the file is full.
    fn flush<W: Write>(&mut self, now: u64, output: &mut Output<W>) -> io::Result<bool> {
        while let Some(&Reverse((at, _, (slot, tags)))) = self.frames.peek()
            && at <= now
        {
            self.frames.pop();
            self.unused.push(slot);
            if !output.write(START_NS + at, &self.store[slot], tags)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Lines like those of a log: compress to about a quarter.
fn text(rng: &mut Rng) -> Vec<u8> {
    const WORDS: [&str; 16] = [
        "order",
        "GET",
        "/api/v1/items",
        "status=200",
        "user",
        "cart",
        "checkout",
        "level=info",
        "latency_ms=",
        "shop",
        "trace",
        "payment",
        "POST",
        "retry",
        "upstream",
        "\n",
    ];
    let mut text = Vec::new();
    while text.len() < 256 * 1024 {
        text.extend_from_slice(WORDS[rng.below(16) as usize].as_bytes());
        text.extend_from_slice(format!(" {:x} ", rng.below(100_000)).as_bytes());
    }
    text
}
