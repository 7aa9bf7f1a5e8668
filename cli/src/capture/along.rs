//! The analysis of what is captured, while it is: also of what nobody keeps, what goes to standard output and parts that
//! `--keep` removes.

use super::MEMORY;
use crate::exit::Failure;
use kcap_analyze::table::{Null, SinkError};
use kcap_analyze::{Options, Report};
use kcap_node::{Feed, feed, give_up_privileges};
use std::io;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

/// A thread that reads along.
pub(super) struct Along(JoinHandle<Result<Read, SinkError>>);

/// What it came to.
pub(super) struct Read {
    pub(super) report: Report,
    /// Whether it is of the beginning only, as reading did not keep up.
    pub(super) behind: bool,
}

impl Read {
    pub(super) fn packets(&self) -> u64 {
        self.report.captures.iter().map(|capture| capture.packets.unsigned_abs()).sum()
    }
}

impl Along {
    /// Reads what is fed until that ends.
    pub(super) fn start() -> io::Result<(Feed, Self)> {
        let (feed, along) = feed();
        let work = move || {
            give_up_privileges();
            let options = Options { threads: 1, memory: MEMORY, ..Options::default() };
            let behind = along.behind();
            let report = kcap_analyze::analyze(Box::new(along), options, &mut Null)?;
            Ok(Read { report, behind: behind.load(Ordering::Relaxed) })
        };
        let thread = std::thread::Builder::new().name("analyze".to_owned()).spawn(work)?;
        Ok((feed, Self(thread)))
    }

    /// What it found, once it has read everything. It reads on at its own pace: the capture is over.
    pub(super) fn conclude(self) -> Result<Read, Failure> {
        let read = self.0.join().map_err(|_| anyhow::Error::msg("the analysis of what was captured failed"))?;
        Ok(read?)
    }
}
