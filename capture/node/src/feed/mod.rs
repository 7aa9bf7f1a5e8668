//! What is written, read along in the same process: an analysis can look at what nobody keeps.
//!
//! The thread that records never waits: bytes that were not read yet are held, as many as there is room for. When they
//! would be more, the feed ends at a chunk, and the capture goes on without it.

#[cfg(test)]
mod tests;

use kcap_file::{Batch, CaptureInfo, Reader, Source};
use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes that wait: a second of 300,000 packets of 200 bytes.
const ROOM: usize = 64 << 20;
/// Parts, of each of which is known what it was.
const MAX_PARTS: usize = 10_000;

/// What is handed over.
enum Piece {
    /// A part with that name begins.
    Part(String),
    Bytes(Vec<u8>),
    /// There was no room for more.
    End,
}

#[derive(Debug, Default)]
struct Level {
    waiting: AtomicUsize,
    parts: AtomicUsize,
    behind: Arc<AtomicBool>,
}

/// The end of a feed that is written to. The feed ends with the last of its clones.
#[derive(Clone, Debug)]
pub struct Feed {
    pieces: Sender<Piece>,
    level: Arc<Level>,
    room: usize,
}

/// The end of a feed that is read: the parts of one capture, in the order they were written.
pub struct Fed {
    pieces: Arc<Mutex<Pieces>>,
    level: Arc<Level>,
    reader: Option<Reader>,
    captures: Vec<CaptureInfo>,
}

/// A feed: one end for the capture, one for whoever reads along.
pub fn feed() -> (Feed, Fed) {
    with_room(ROOM)
}

fn with_room(room: usize) -> (Feed, Fed) {
    let (pieces, given) = channel();
    let level = Arc::new(Level::default());
    let given = Pieces { given, level: Arc::clone(&level), bytes: Vec::new(), at: 0, next: None, ended: false };
    let given = Arc::new(Mutex::new(given));
    let along = Fed { pieces: given, level: Arc::clone(&level), reader: None, captures: Vec::new() };
    (Feed { pieces, level, room }, along)
}

impl Feed {
    /// A part begins; its bytes follow.
    pub(crate) fn part(&self, name: &Path) {
        if self.level.parts.fetch_add(1, Ordering::Relaxed) >= MAX_PARTS {
            self.stop();
        }
        self.send(Piece::Part(name.display().to_string()));
    }

    /// Bytes as they are written, before they are compressed.
    pub(crate) fn bytes(&self, bytes: &[u8]) {
        if self.is_over() || bytes.is_empty() {
            return;
        }
        if self.level.waiting.load(Ordering::Relaxed) + bytes.len() > self.room {
            return self.stop();
        }
        self.level.waiting.fetch_add(bytes.len(), Ordering::Relaxed);
        self.send(Piece::Bytes(bytes.to_vec()));
    }

    fn is_over(&self) -> bool {
        self.level.behind.load(Ordering::Relaxed)
    }

    fn stop(&self) {
        self.send(Piece::End);
        self.level.behind.store(true, Ordering::Relaxed);
    }

    fn send(&self, piece: Piece) {
        if !self.is_over() {
            // Nobody reads along any more: that is no matter of the capture's.
            let _ = self.pieces.send(piece);
        }
    }
}

impl Fed {
    /// Whether what is read ends before what is written, as reading did not keep up.
    pub fn behind(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.level.behind)
    }

    /// Opens the next part. False when there is none.
    fn advance(&mut self) -> bool {
        let Some(name) = self.pieces.lock().unwrap_or_else(PoisonError::into_inner).next_part() else { return false };
        let reader = Reader::from_read(Box::new(PartBytes(Arc::clone(&self.pieces))), name.as_str());
        match reader {
            Ok(reader) => {
                self.captures.push(reader.info().clone());
                self.reader = Some(reader);
            }
            Err(error) => {
                let failure = Some(error.to_string());
                self.captures.push(CaptureInfo { name, failure, ..CaptureInfo::default() });
            }
        }
        true
    }
}

impl Source for Fed {
    fn next_batch(&mut self, batch: &mut Batch) -> bool {
        loop {
            let Some(reader) = &mut self.reader else {
                if self.advance() {
                    continue;
                }
                batch.clear();
                return false;
            };
            if reader.next_batch(batch) {
                // All parts are of one capture.
                (batch.capture, batch.unit) = ((self.captures.len() - 1) as u32, 0);
                return true;
            }
            if let (Some(reader), Some(capture)) = (self.reader.take(), self.captures.last_mut()) {
                *capture = reader.into_info();
            }
        }
    }

    fn captures(&self) -> &[CaptureInfo] {
        &self.captures
    }
}

/// What comes out of a feed, and the part that begins when the one before is over.
struct Pieces {
    given: Receiver<Piece>,
    level: Arc<Level>,
    bytes: Vec<u8>,
    at: usize,
    next: Option<String>,
    ended: bool,
}

impl Pieces {
    /// Bytes of the part that are not read yet; none at its end.
    fn rest(&mut self) -> &[u8] {
        while self.at >= self.bytes.len() && self.next.is_none() && !self.ended {
            match self.given.recv() {
                Ok(Piece::Bytes(bytes)) => {
                    self.level.waiting.fetch_sub(bytes.len(), Ordering::Relaxed);
                    (self.bytes, self.at) = (bytes, 0);
                }
                Ok(Piece::Part(name)) => self.next = Some(name),
                Ok(Piece::End) | Err(_) => self.ended = true,
            }
        }
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// The next part, past what is left of the one before.
    fn next_part(&mut self) -> Option<String> {
        while self.next.is_none() {
            let len = self.rest().len();
            if len == 0 {
                break;
            }
            self.at += len;
        }
        self.next.take()
    }
}

struct PartBytes(Arc<Mutex<Pieces>>);

impl Read for PartBytes {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut pieces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = pieces.rest();
        let len = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..len), rest.get(..len)) {
            to.copy_from_slice(from);
        }
        pieces.at += len;
        Ok(len)
    }
}
