//! Writing what is captured: parts, their names, their limits.

mod part;
mod room;
mod salvage;
mod sink;

pub use room::Room;

use crate::feed::Feed;
use crate::tap::{Counters, Frame};
use crate::{CaptureError, Size};
use kcap_file::note::{CaptureNote, Note, PlaceNote, Trailer};
use kcap_file::{Interface, InterfaceStats, NameRecord, Packet, Section, WriteError};
use part::Part;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Where packets go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Destination {
    /// Standard output, as they come.
    Stdout,
    /// A file of that name.
    File(PathBuf),
    /// A file in that folder, named after the target and the time.
    Folder(PathBuf),
}

impl Destination {
    /// Waits until somebody reads a named pipe, where it is one; it stays open as long as what this answers.
    pub(crate) fn wait_for_reader(&self) -> Result<Option<File>, CaptureError> {
        let Self::File(path) = self else { return Ok(None) };
        let is_pipe = std::fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo());
        let opened = is_pipe.then(|| File::options().write(true).open(path)).transpose();
        opened.map_err(|source| CaptureError::Create { path: path.clone(), source })
    }

    /// The folder in which files are made.
    pub(crate) fn folder(&self) -> Option<&Path> {
        let folder = match self {
            Self::Stdout => return None,
            Self::File(path) => path.parent().unwrap_or(Path::new("")),
            Self::Folder(path) => path,
        };
        Some(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })
    }
}

/// When a part ends and the next begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rotate {
    /// At that size.
    Size(Size),
    /// After that time.
    Time(Duration),
}

/// How a capture is written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Output {
    /// Where to.
    pub destination: Destination,
    /// Stem of file names.
    pub name: String,
    /// In parts, each ended by the first of these; whole when there are none.
    pub rotate: Vec<Rotate>,
    /// Parts that are kept; the oldest go.
    pub keep: Option<usize>,
    /// Whether files are compressed with zstd.
    pub compress: bool,
}

/// What every part begins with.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Head {
    /// Section header.
    pub section: Section,
    /// How it was taken.
    pub note: CaptureNote,
    /// Names of addresses.
    pub names: Vec<NameRecord>,
    /// Further notes.
    pub notes: Vec<Note>,
}

/// Packets and bytes, of all parts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Totals {
    /// Packets written.
    pub packets: u64,
    /// Bytes of finished parts, as written.
    pub bytes: u64,
}

/// An interface of the capture and its counters.
#[derive(Debug)]
struct Source {
    interface: Interface,
    counters: Counters,
    /// Counters when the part began: each part has its own.
    before: Counters,
}

/// Writes a capture, in one part or several.
#[derive(Debug)]
pub(crate) struct Recorder {
    output: Output,
    head: Head,
    feed: Option<Feed>,
    sources: Vec<Source>,
    part: Part,
    started: Instant,
    finished: VecDeque<PathBuf>,
    count: u32,
    totals: Totals,
    forgotten: u64,
    /// Whether finished parts are in use: none is removed.
    pub(crate) keeps_all: bool,
    pub(crate) max_packets: Option<u64>,
    /// Up to when all interfaces were listened to, once that is over.
    pub(crate) listened_ns: Option<i64>,
}

impl Recorder {
    pub(crate) fn start(
        output: Output,
        head: Head,
        interfaces: Vec<Interface>,
        feed: Option<Feed>,
    ) -> Result<Self, CaptureError> {
        let part = Part::create(&output, &head, 1, feed.as_ref())?;
        let mut recorder = Self {
            output,
            head,
            feed,
            sources: interfaces.into_iter().map(Source::new).collect(),
            part,
            started: Instant::now(),
            finished: VecDeque::new(),
            count: 1,
            totals: Totals::default(),
            forgotten: 0,
            keeps_all: false,
            max_packets: None,
            listened_ns: None,
        };
        recorder.describe()?;
        Ok(recorder)
    }

    /// Interfaces, then notes: an interface's addresses and names are known before its packets.
    fn describe(&mut self) -> Result<(), CaptureError> {
        for source in &self.sources {
            self.part.writer.interface(&source.interface)?;
        }
        self.part.writer.names(&self.head.names)?;
        for note in &self.head.notes {
            self.part.writer.note(note)?;
        }
        Ok(())
    }

    /// Writes a packet; not once there are as many as were asked for.
    pub(crate) fn packet(&mut self, interface: u32, frame: &Frame<'_>) -> Result<(), CaptureError> {
        if self.is_complete() {
            return Ok(());
        }
        if self.is_full() {
            self.rotate()?;
        }
        let Frame { ts_ns, data, orig_len, direction } = *frame;
        self.part.writer.packet(&Packet { interface, ts_ns, data, orig_len, direction, ..Packet::default() })?;
        self.part.packets += 1;
        self.totals.packets += 1;
        Ok(())
    }

    /// Whether as many packets as were asked for are written.
    pub(crate) fn is_complete(&self) -> bool {
        self.max_packets.is_some_and(|max| self.totals.packets >= max)
    }

    fn is_full(&self) -> bool {
        let reached = |rotate: &Rotate| matches!(rotate, Rotate::Size(size) if self.part.bytes() >= size.0);
        self.part.packets > 0 && self.output.rotate.iter().any(reached)
    }

    /// Begins the next part when its time has come, packets or none.
    pub(crate) fn tick(&mut self) -> Result<(), CaptureError> {
        let reached = |rotate: &Rotate| matches!(rotate, Rotate::Time(every) if self.started.elapsed() >= *every);
        if self.output.rotate.iter().any(reached) { self.rotate() } else { Ok(()) }
    }

    fn rotate(&mut self) -> Result<(), CaptureError> {
        self.end_part("rotated")?;
        self.count += 1;
        self.part = Part::create(&self.output, &self.head, self.count, self.feed.as_ref())?;
        self.started = Instant::now();
        for source in &mut self.sources {
            source.before = source.counters;
        }
        self.describe()
    }

    /// Adds to what the capture says of itself, here and in the parts to come.
    pub(crate) fn add(
        &mut self,
        place: Option<PlaceNote>,
        names: Vec<NameRecord>,
        notes: Vec<Note>,
    ) -> Result<(), CaptureError> {
        if let Some(place) = place {
            self.head.note.places.push(place);
            self.note(&part::capture_note(&self.output, &self.head, self.count))?;
        }
        self.part.writer.names(&names)?;
        for note in &notes {
            self.note(note)?;
        }
        self.head.names.extend(names);
        self.head.notes.extend(notes);
        Ok(())
    }

    /// Adds an interface; its number.
    pub(crate) fn add_interface(&mut self, interface: Interface) -> Result<u32, CaptureError> {
        let index = self.part.writer.interface(&interface)?;
        self.sources.push(Source::new(interface));
        Ok(index)
    }

    /// Each interface: its name, and packets received and dropped.
    pub(crate) fn interfaces(&self) -> Vec<(String, u64, u64)> {
        let of = |source: &Source| {
            let name = source.interface.name.clone().unwrap_or_default();
            (name, source.counters.received, source.counters.dropped)
        };
        self.sources.iter().map(of).collect()
    }

    /// The files that are kept, oldest first.
    pub(crate) fn finished(&self) -> &VecDeque<PathBuf> {
        &self.finished
    }

    /// Parts begun.
    pub(crate) fn parts(&self) -> u32 {
        self.count
    }

    /// What the kernel has counted on an interface.
    pub(crate) fn counted(&mut self, interface: u32, counters: Counters) {
        if let Some(source) = self.sources.get_mut(interface as usize) {
            source.counters = counters;
        }
    }

    /// Writes the counters of all interfaces.
    pub(crate) fn statistics(&mut self, ts_ns: i64) -> Result<(), CaptureError> {
        for (index, source) in self.sources.iter().enumerate() {
            self.part.writer.statistics(index as u32, ts_ns, &source.stats())?;
        }
        Ok(())
    }

    /// Writes a note where the capture is.
    pub(crate) fn note(&mut self, note: &Note) -> Result<(), CaptureError> {
        self.part.writer.note(note)
    }

    /// Hands on everything: somebody may be watching.
    pub(crate) fn flush(&mut self) -> Result<(), CaptureError> {
        Ok(self.part.writer.inner.flush()?)
    }

    /// Bytes of all parts that are there.
    pub(crate) fn bytes(&self) -> u64 {
        self.totals.bytes + self.part.bytes()
    }

    pub(crate) fn packets(&self) -> u64 {
        self.totals.packets
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.sources.iter().map(|source| source.counters.dropped).sum()
    }

    /// Saves what can be after a write failed: the part is cut behind its last whole block and gets its name. Packets
    /// are those that are left.
    pub(crate) fn abandon(&mut self) -> Result<(), CaptureError> {
        if let Some((path, packets)) = self.part.salvage()? {
            self.totals.packets -= self.part.packets - packets;
            self.finished.push_back(path);
        }
        Ok(())
    }

    /// The files that are kept, oldest first, and how many were removed.
    pub(crate) fn into_files(self) -> (Vec<PathBuf>, u64) {
        (self.finished.into(), self.forgotten)
    }

    /// Ends the part that is written.
    pub(crate) fn end_part(&mut self, reason: &str) -> Result<(), CaptureError> {
        let now = crate::clock::now_ns();
        self.statistics(now)?;
        let trailer = Trailer {
            packets: self.part.packets,
            packets_total: self.totals.packets,
            dropped: self.dropped(),
            reason: reason.to_owned(),
            ended_ns: self.listened_ns,
        };
        self.note(&Note::Trailer(trailer))?;
        self.totals.bytes += self.part.bytes_after_flush()?;
        if let Some(path) = self.part.finish()? {
            self.finished.push_back(path);
        }
        self.forget_oldest();
        Ok(())
    }

    fn forget_oldest(&mut self) {
        let keep = if self.keeps_all { usize::MAX } else { self.output.keep.unwrap_or(usize::MAX).max(1) };
        while self.finished.len() > keep {
            if let Some(path) = self.finished.pop_front() {
                self.forgotten += 1;
                let size = std::fs::metadata(&path).map_or(0, |found| found.len());
                // Somebody else may have removed it: then it is gone as wanted.
                if std::fs::remove_file(&path).is_ok() {
                    self.totals.bytes = self.totals.bytes.saturating_sub(size);
                }
            }
        }
    }
}

impl Source {
    fn new(interface: Interface) -> Self {
        Self { interface, counters: Counters::default(), before: Counters::default() }
    }

    fn stats(&self) -> InterfaceStats {
        let Counters { received, dropped, delivered } = self.counters;
        InterfaceStats {
            received: Some(received - self.before.received),
            accepted_by_filter: Some(received - self.before.received),
            dropped_by_os: Some(dropped - self.before.dropped),
            delivered: Some(delivered - self.before.delivered),
            dropped_by_interface: None,
        }
    }
}

/// Whether the reader of the output went away.
pub(crate) fn is_broken_pipe(error: &CaptureError) -> bool {
    matches!(error, CaptureError::Write(WriteError::Write { source, .. }) if source.kind() == io::ErrorKind::BrokenPipe)
}

/// Whether there is no room left for the output.
pub(crate) fn is_full_disk(error: &CaptureError) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error, CaptureError::Write(WriteError::Write { source, .. })
        if matches!(source.kind(), StorageFull | QuotaExceeded | io::ErrorKind::FileTooLarge))
}
