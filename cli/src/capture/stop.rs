//! `--stop-on`: each finished part is analysed together with those before it, while the capture goes on.

use super::MEMORY;
use kcap_analyze::table::Null;
use kcap_analyze::{Options, Report};
use kcap_file::Inputs;
use kcap_node::give_up_all_but_reading;
use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Parts that are looked at together: what began in one shows in the next.
const WINDOW: usize = 4;

/// Looks for findings in what was captured.
pub(super) struct Stop {
    parts: SyncSender<Vec<PathBuf>>,
    found: Receiver<String>,
    /// Whether parts are being looked at, or something was found in them.
    holds: Arc<AtomicBool>,
}

impl Stop {
    /// Looks for findings with these codes, on a thread of its own.
    pub(super) fn new(codes: Vec<&'static str>) -> io::Result<Self> {
        let (parts, given) = sync_channel::<Vec<PathBuf>>(1);
        let (tell, found) = sync_channel(1);
        let holds = Arc::new(AtomicBool::new(false));
        let looking = Arc::clone(&holds);
        let work = move || {
            give_up_all_but_reading();
            while let Ok(files) = given.recv() {
                if let Some(text) = first(&files, &codes) {
                    // Once is enough.
                    let _ = tell.send(text);
                    return;
                }
                looking.store(false, Ordering::Relaxed);
            }
        };
        std::thread::Builder::new().name("stop-on".to_owned()).spawn(work)?;
        Ok(Self { parts, found, holds })
    }

    /// Looks at the newest of the files; when it is still busy, it will at the next.
    pub(super) fn look_at(&self, files: &VecDeque<PathBuf>) {
        let newest = files.iter().skip(files.len().saturating_sub(WINDOW)).cloned().collect();
        if !self.holds.swap(true, Ordering::Relaxed) && self.parts.try_send(newest).is_err() {
            self.holds.store(false, Ordering::Relaxed);
        }
    }

    /// Whether no file may be removed.
    pub(super) fn holds(&self) -> bool {
        self.holds.load(Ordering::Relaxed)
    }

    /// What was found.
    pub(super) fn found(&self) -> Option<String> {
        self.found.try_recv().ok()
    }
}

fn first(files: &[PathBuf], codes: &[&str]) -> Option<String> {
    let options = Options { threads: 1, memory: MEMORY, ..Options::default() };
    // A file that was removed meanwhile is one that nobody wants any more.
    let report: Report = kcap_analyze::analyze(Box::new(Inputs::open(files)), options, &mut Null).ok()?;
    let found = report.findings.iter().find(|finding| codes.contains(&finding.code))?;
    Some(format!("{} {}", found.code, found.title))
}
