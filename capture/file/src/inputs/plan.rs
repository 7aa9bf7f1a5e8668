//! Which files there are to read, in which order.

use super::stem::stem;
use crate::{Batch, Format, LinkType, ReadError, Reader};
use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Reasons for leaving a file of a folder out that are kept; the rest is counted.
const MAX_SKIPPED: usize = 100;

/// A file to read.
pub(super) struct Part {
    pub(super) name: String,
    pub(super) origin: Origin,
    pub(super) first_ns: Option<i64>,
    /// Parts with the same number follow each other.
    pub(super) group: usize,
}

/// Where a part comes from.
pub(super) enum Origin {
    File(PathBuf),
    /// Standard input or a pipe, which can be opened once only: opened already, with its first batch.
    Held(Box<(Reader, Batch)>),
    Failed(ReadError),
}

/// What parts of one rotated capture have in common.
#[derive(PartialEq, Eq, Hash)]
struct Family {
    folder: PathBuf,
    stem: String,
    format: Format,
    link_type: LinkType,
    interface: Option<String>,
}

/// Collects the parts.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) parts: Vec<Part>,
    pub(super) skipped: Vec<ReadError>,
    pub(super) skipped_count: u64,
    known: HashSet<PathBuf>,
    families: HashMap<Family, usize>,
    groups: usize,
}

impl Plan {
    pub(super) fn new(paths: &[PathBuf]) -> Self {
        let mut plan = Self::default();
        for path in paths {
            plan.add(path);
        }
        plan.sort();
        plan
    }

    fn add(&mut self, path: &Path) {
        let name = path.display().to_string();
        if path == Path::new("-") {
            if self.known.insert(path.to_owned()) {
                let reader = Reader::from_read(Box::new(io::stdin()), name.as_str());
                self.hold(name, reader);
            }
            return;
        }
        if self.is_known(path) {
            return;
        }
        match fs::metadata(path) {
            Ok(meta) if meta.is_dir() => self.add_folder(path),
            Ok(meta) if meta.is_file() => self.add_file(path),
            Ok(_) => self.hold(name, Reader::open(path)),
            Err(source) => self.fail(name, ReadError::Open { path: path.to_owned(), source }),
        }
    }

    /// Whether this file, under whatever name, has been added before.
    fn is_known(&mut self, path: &Path) -> bool {
        fs::canonicalize(path).is_ok_and(|real| !self.known.insert(real))
    }

    fn add_file(&mut self, path: &Path) {
        let name = path.display().to_string();
        match look(path) {
            Ok(look) => self.push(path, look),
            Err(error) => self.fail(name, error),
        }
    }

    /// The captures in a folder and the folders in it.
    fn add_folder(&mut self, folder: &Path) {
        let before = self.parts.len();
        let known = self.visit(folder, true);
        if self.parts.len() == before && !known {
            let path = folder.to_owned();
            self.fail(folder.display().to_string(), ReadError::NothingInFolder { path });
        }
    }

    /// True when a file in it had been added before.
    fn visit(&mut self, folder: &Path, deeper: bool) -> bool {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(source) => {
                self.fail(folder.display().to_string(), ReadError::List { path: folder.to_owned(), source });
                return false;
            }
        };
        let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        let mut known = false;
        for path in paths {
            let Ok(meta) = fs::metadata(&path) else { continue };
            if meta.is_dir() && deeper {
                known |= self.visit(&path, false);
            } else if meta.is_file() && self.is_known(&path) {
                known = true;
            } else if meta.is_file() {
                self.add_found(&path);
            }
        }
        known
    }

    /// A file of a folder: what is no capture was not meant.
    fn add_found(&mut self, path: &Path) {
        use ReadError::{Empty, NotACapture, Short};
        match look(path) {
            Ok(look) => self.push(path, look),
            Err(error @ (NotACapture { .. } | Empty { .. } | Short { .. })) => {
                self.skipped_count += 1;
                if self.skipped.len() < MAX_SKIPPED {
                    self.skipped.push(error);
                }
            }
            Err(error) => self.fail(path.display().to_string(), error),
        }
    }

    fn push(&mut self, path: &Path, look: Look) {
        let family = Family {
            folder: path.parent().unwrap_or(Path::new("")).to_owned(),
            stem: stem(&path.file_name().unwrap_or_default().to_string_lossy()),
            format: look.format,
            link_type: look.link_type,
            interface: look.interface,
        };
        let next = self.groups;
        let group = *self.families.entry(family).or_insert(next);
        self.groups = next.max(group + 1);
        let name = path.display().to_string();
        self.parts.push(Part { name, origin: Origin::File(path.to_owned()), first_ns: look.first_ns, group });
    }

    fn hold(&mut self, name: String, reader: Result<Reader, ReadError>) {
        let mut reader = match reader {
            Ok(reader) => reader,
            Err(error) => return self.fail(name, error),
        };
        let mut batch = Batch::default();
        reader.next_batch(&mut batch);
        let first_ns = first_time(&batch);
        self.parts.push(Part { name, origin: Origin::Held(Box::new((reader, batch))), first_ns, group: self.groups });
        self.groups += 1;
    }

    fn fail(&mut self, name: String, error: ReadError) {
        self.parts.push(Part { name, origin: Origin::Failed(error), first_ns: None, group: self.groups });
        self.groups += 1;
    }

    /// Groups by first time and name, and the parts of a group likewise; what has no time comes last.
    fn sort(&mut self) {
        let key = |part: &Part| (part.first_ns.is_none(), part.first_ns, part.name.clone());
        let mut first = HashMap::new();
        for part in &self.parts {
            let least = first.entry(part.group).or_insert_with(|| key(part));
            *least = key(part).min(least.clone());
        }
        self.parts.sort_by_cached_key(|part| (first.get(&part.group).cloned(), part.group, key(part)));
    }
}

/// What the first records of a file say.
struct Look {
    first_ns: Option<i64>,
    format: Format,
    link_type: LinkType,
    interface: Option<String>,
}

fn look(path: &Path) -> Result<Look, ReadError> {
    let file = File::open(path).map_err(|source| ReadError::Open { path: path.to_owned(), source })?;
    let mut reader = Reader::for_a_look(file, path.display().to_string())?;
    let mut batch = Batch::default();
    reader.next_batch(&mut batch);
    let interface = reader.info().interfaces.first();
    Ok(Look {
        first_ns: first_time(&batch),
        format: reader.info().format,
        link_type: interface.map(|i| i.link_type).unwrap_or_default(),
        interface: interface.and_then(|i| i.name.clone()),
    })
}

/// Time of the first record that has one.
fn first_time(batch: &Batch) -> Option<i64> {
    batch.records.iter().map(|record| record.ts_ns).find(|&ns| ns != 0)
}
