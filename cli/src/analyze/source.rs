//! The input, watched: what could not be read decides the exit code, and the engine reports it as text only.

use crate::{
    args::AnalyzeArgs,
    exit::{Exit, Failure},
};
use kcap_file::{Batch, CaptureInfo, Inputs, ReadError, Source};
use std::{
    io::{self, IsTerminal as _},
    mem,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How often progress is shown.
const PROGRESS: Duration = Duration::from_millis(250);

/// What reading met.
#[derive(Default)]
pub(super) struct Seen {
    failures: Vec<Failure>,
    skipped: Vec<String>,
    skipped_count: u64,
    captures: usize,
}

/// [`Seen`] after everything was read.
pub(super) struct Handle(Arc<Mutex<Seen>>);

impl Handle {
    pub(super) fn take(self) -> Seen {
        mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Inputs that leave a note of what they met.
pub(super) struct Watched {
    inputs: Inputs,
    seen: Arc<Mutex<Seen>>,
    progress: Option<Progress>,
}

impl Watched {
    pub(super) fn new(inputs: Inputs, notes: bool) -> (Self, Handle) {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let progress = (notes && io::stderr().is_terminal()).then(Progress::new);
        (Self { inputs, seen: Arc::clone(&seen), progress }, Handle(seen))
    }

    fn note(&mut self) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.failures = self.inputs.errors().iter().map(failure).collect();
        seen.skipped = self.inputs.skipped().iter().map(ToString::to_string).collect();
        seen.skipped_count = self.inputs.skipped_count();
        seen.captures = self.inputs.captures().len();
    }
}

impl Source for Watched {
    fn next_batch(&mut self, batch: &mut Batch) -> bool {
        let more = self.inputs.next_batch(batch);
        if let Some(progress) = &mut self.progress {
            progress.show(batch, more);
        }
        if !more {
            self.note();
        }
        more
    }

    fn captures(&self) -> &[CaptureInfo] {
        self.inputs.captures()
    }
}

impl Seen {
    /// Prints what could not be read, and files of folders that were passed over.
    pub(super) fn print(&self, args: &AnalyzeArgs) {
        for failure in &self.failures {
            failure.print();
        }
        if args.verbose {
            for skipped in &self.skipped {
                eprintln!("kcap: passed over: {skipped}");
            }
        } else if self.skipped_count > 0 && !args.report.quiet {
            eprintln!("kcap: passed over {} files that are no captures (-v names them)", self.skipped_count);
        }
    }

    pub(super) fn any_failed(&self) -> bool {
        !self.failures.is_empty()
    }

    /// The exit code when no input could be read at all.
    pub(super) fn nothing_read(&self) -> Option<Exit> {
        let none = self.failures.len() == self.captures;
        self.failures.first().filter(|_| none).map(Failure::exit)
    }
}

fn failure(error: &ReadError) -> Failure {
    let exit = match error {
        ReadError::Open { source, .. } | ReadError::Read { source, .. } | ReadError::List { source, .. } => {
            if source.kind() == io::ErrorKind::PermissionDenied { Exit::Permission } else { Exit::Failed }
        }
        ReadError::Folder { .. } | ReadError::NothingInFolder { .. } => Exit::Failed,
        _ => Exit::Data,
    };
    Failure::new(exit, describe(error)).hint(error.hint().or_else(|| meant_filter(error)))
}

/// Words that a filter expression begins with and files are hardly called.
const FILTER_WORDS: [&str; 12] =
    ["host", "src", "dst", "net", "port", "tcp", "udp", "icmp", "icmp6", "arp", "vlan", "not"];

/// A hint, where what is no file would be a filter for tcpdump.
fn meant_filter(error: &ReadError) -> Option<&'static str> {
    let ReadError::Open { path, source } = error else { return None };
    let is_word = path.to_str().is_some_and(|name| FILTER_WORDS.contains(&name));
    (is_word && source.kind() == io::ErrorKind::NotFound)
        .then_some("a filter expression goes behind --: kcap analyze FILE -- tcp port 80")
}

/// The error and its cause as one message: it outlives the reader.
fn describe(error: &ReadError) -> anyhow::Error {
    match std::error::Error::source(error) {
        Some(cause) => anyhow::anyhow!("{error}: {cause}"),
        None => anyhow::anyhow!("{error}"),
    }
}

/// A line on the terminal that says how far reading is.
struct Progress {
    packets: u64,
    shown: Instant,
    any: bool,
}

impl Progress {
    fn new() -> Self {
        Self { packets: 0, shown: Instant::now(), any: false }
    }

    fn show(&mut self, batch: &Batch, more: bool) {
        self.packets += batch.records.len() as u64;
        if !more && self.any {
            // Erase the line (ECMA-48 EL), for what is printed next.
            eprint!("\r\x1b[K");
        } else if more && self.shown.elapsed() >= PROGRESS {
            self.shown = Instant::now();
            self.any = true;
            eprint!("\rkcap: {} packets read", self.packets);
        }
    }
}
