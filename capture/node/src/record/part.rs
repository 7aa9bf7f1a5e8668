//! One file of a capture, `.part` until it is whole.

use super::sink::Sink;
use super::{Destination, Head, Output, salvage};
use crate::feed::Feed;
use crate::{CaptureError, clock};
use kcap_file::note::{CaptureNote, ENTERPRISE, Note};
use kcap_file::{Interface, InterfaceStats, NameRecord, Packet, WriteError, Writer};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};

/// A part being written.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) writer: PartWriter,
    pub(super) packets: u64,
    paths: Option<Paths>,
    compressed: bool,
}

#[derive(Debug)]
struct Paths {
    unfinished: PathBuf,
    finished: PathBuf,
}

/// The writer of a part; nothing once it is finished.
#[derive(Debug)]
pub(super) struct PartWriter {
    pub(super) inner: Writer<Sink>,
}

impl Part {
    pub(super) fn create(output: &Output, head: &Head, number: u32, feed: Option<&Feed>) -> Result<Self, CaptureError> {
        let (file, paths) = open(output, number)?;
        let stdout = Path::new("-");
        let shown = paths.as_ref().map_or(stdout, |paths| &paths.unfinished).to_owned();
        if let Some(feed) = feed {
            feed.part(paths.as_ref().map_or(stdout, |paths| &paths.finished));
        }
        let sink = Sink::new(file, output.compress, feed.cloned());
        let sink = sink.map_err(|source| CaptureError::Create { path: shown, source })?;
        let mut inner = Writer::new(sink, &head.section)?;
        inner.custom(ENTERPRISE, &capture_note(output, head, number).encode())?;
        Ok(Self { writer: PartWriter { inner }, packets: 0, paths, compressed: output.compress })
    }

    /// Bytes written, or for compressed files that got to the file.
    pub(super) fn bytes(&self) -> u64 {
        if self.compressed { self.writer.inner.get_ref().bytes() } else { self.writer.inner.written() }
    }

    pub(super) fn bytes_after_flush(&mut self) -> Result<u64, CaptureError> {
        self.writer.inner.flush()?;
        Ok(self.bytes())
    }

    /// Ends the file and gives it its name.
    pub(super) fn finish(&mut self) -> Result<Option<PathBuf>, CaptureError> {
        self.writer.take()?.finish()?.finish().map_err(|source| WriteError::Write { block: "last blocks", source })?;
        self.rename()
    }

    /// Cuts the file behind its last whole block and gives it its name; it and the packets in it. A compressed file is
    /// left as it is: whoever reads it gets what is whole.
    pub(super) fn salvage(&mut self) -> Result<Option<(PathBuf, u64)>, CaptureError> {
        let Some(paths) = &self.paths else { return Ok(None) };
        let path = paths.unfinished.clone();
        let packets = if self.compressed {
            self.packets
        } else {
            salvage::cut(&path).map_err(|source| CaptureError::Create { path, source })?
        };
        Ok(self.rename()?.map(|path| (path, packets)))
    }

    fn rename(&mut self) -> Result<Option<PathBuf>, CaptureError> {
        let Some(Paths { unfinished, finished }) = self.paths.take() else { return Ok(None) };
        if unfinished != finished {
            let renamed = std::fs::rename(&unfinished, &finished);
            let failed = |source| CaptureError::Rename { from: unfinished.clone(), to: finished.clone(), source };
            renamed.map_err(failed)?;
        }
        Ok(Some(finished))
    }
}

impl PartWriter {
    pub(super) fn interface(&mut self, interface: &Interface) -> Result<u32, CaptureError> {
        Ok(self.inner.interface(interface)?)
    }

    pub(super) fn packet(&mut self, packet: &Packet<'_>) -> Result<(), CaptureError> {
        Ok(self.inner.packet(packet)?)
    }

    pub(super) fn names(&mut self, names: &[NameRecord]) -> Result<(), CaptureError> {
        Ok(self.inner.names(names)?)
    }

    pub(super) fn note(&mut self, note: &Note) -> Result<(), CaptureError> {
        Ok(self.inner.custom(ENTERPRISE, &note.encode())?)
    }

    pub(super) fn statistics(&mut self, index: u32, ts_ns: i64, stats: &InterfaceStats) -> Result<(), CaptureError> {
        Ok(self.inner.statistics(index, ts_ns, stats)?)
    }

    /// The writer, with one that goes nowhere in its place.
    fn take(&mut self) -> Result<Writer<Sink>, CaptureError> {
        let nowhere = OpenOptions::new().write(true).open("/dev/null");
        let nowhere = nowhere.and_then(|file| Sink::new(file, false, None));
        let sink = nowhere.map_err(|source| CaptureError::System { operation: "open /dev/null", source })?;
        Ok(std::mem::replace(&mut self.inner, Writer::new(sink, &kcap_file::Section::default())?))
    }
}

/// How it was taken, in the part of that number.
pub(super) fn capture_note(output: &Output, head: &Head, number: u32) -> Note {
    let part = if output.rotate.is_empty() { 0 } else { number };
    Note::Capture(CaptureNote { part, ..head.note.clone() })
}

/// Opens a part. Of names that kcap gives, one that nothing has: another capture may have begun in the same second.
fn open(output: &Output, number: u32) -> Result<(File, Option<Paths>), CaptureError> {
    if output.destination == Destination::Stdout {
        return Ok((stdout()?, None));
    }
    for again in 0..MAX_SAME {
        let finished = finished(output, number, again);
        let known = std::fs::metadata(&finished);
        // A pipe or device is written to as it is.
        if known.as_ref().is_ok_and(|found| !found.is_file()) {
            return Ok((special(&finished)?, Some(Paths { unfinished: finished.clone(), finished })));
        }
        let is_chosen = matches!(output.destination, Destination::File(_)) && output.rotate.is_empty();
        if !is_chosen && known.is_ok() {
            continue;
        }
        let mut unfinished = finished.clone().into_os_string();
        unfinished.push(".part");
        let paths = Paths { unfinished: unfinished.into(), finished };
        match create(&paths.unfinished)? {
            Some(file) => return Ok((file, Some(paths))),
            None if is_chosen => return Err(CaptureError::Taken { path: paths.finished }),
            None => {}
        }
    }
    Err(CaptureError::Taken { path: finished(output, number, 0) })
}

/// Captures that begin in one second with one name.
const MAX_SAME: u32 = 100;

/// The name of a part, the one after `again` others that are taken.
fn finished(output: &Output, number: u32, again: u32) -> PathBuf {
    let end = if again > 0 { format!("-{}", again + 1) } else { String::new() };
    let (stamp, extension) = (format!("{}{end}", clock::stamp()), extension(output.compress));
    let numbered = |stem: &str| format!("{stem}.{stamp}.{number:04}.{extension}");
    match &output.destination {
        Destination::File(path) if !output.rotate.is_empty() => path.with_file_name(numbered(&stem(path))),
        Destination::Folder(folder) if output.rotate.is_empty() => {
            folder.join(format!("{}.{stamp}.{extension}", output.name))
        }
        Destination::Folder(folder) => folder.join(numbered(&output.name)),
        // Where a link leads to is what is meant.
        Destination::File(path) if path.is_symlink() => std::fs::canonicalize(path).unwrap_or_else(|_| path.clone()),
        Destination::File(path) => path.clone(),
        Destination::Stdout => PathBuf::from("-"),
    }
}

fn stdout() -> Result<File, CaptureError> {
    let failed = |source| CaptureError::System { operation: "write to standard output", source };
    Ok(File::from(io::stdout().as_fd().try_clone_to_owned().map_err(failed)?))
}

fn special(path: &Path) -> Result<File, CaptureError> {
    let opened = File::options().write(true).open(path);
    opened.map_err(|source| CaptureError::Create { path: path.to_owned(), source })
}

/// Makes a file, and holds a lock on it as long as it is open. Nothing where another capture does; what is left of one
/// that was killed is put aside.
fn create(path: &Path) -> Result<Option<File>, CaptureError> {
    let failed = |source| CaptureError::Create { path: path.to_owned(), source };
    loop {
        match File::options().write(true).create_new(true).mode(0o600).open(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if !is_left(path) {
                    return Ok(None);
                }
                put_aside(path).map_err(failed)?;
            }
            Err(error) => return Err(failed(error)),
            Ok(file) => {
                // Without locks, as on some network file systems, names alone keep captures apart.
                let _ = file.try_lock();
                give_away(&file).map_err(failed)?;
                return Ok(Some(file));
            }
        }
    }
}

/// Whether nobody writes to that file any more.
fn is_left(path: &Path) -> bool {
    File::options().write(true).open(path).is_ok_and(|file| file.try_lock().is_ok())
}

/// Gives the file a name that nothing has.
fn put_aside(path: &Path) -> io::Result<()> {
    let aside = |number: u32| {
        let mut name = path.to_owned().into_os_string();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    };
    let free = (1..=u32::MAX).map(aside).find(|name| !name.exists());
    free.map_or(Ok(()), |free| std::fs::rename(path, free))
}

/// Gives the file to the user behind sudo, whose it is.
fn give_away(file: &File) -> io::Result<()> {
    let id = |name| std::env::var(name).ok().and_then(|id| id.parse::<u32>().ok());
    match (id("SUDO_UID"), id("SUDO_GID")) {
        (Some(user), group) if nix::unistd::geteuid().is_root() => fchown(file, Some(user), group),
        _ => Ok(()),
    }
}

fn extension(compress: bool) -> &'static str {
    if compress { "pcapng.zst" } else { "pcapng" }
}

/// A file's name without what says that it is a capture.
fn stem(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let ends = [".pcapng.zst", ".pcapng", ".pcap"];
    ends.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name).to_owned()
}
