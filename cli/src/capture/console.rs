//! What is said while capturing, on standard error.

use super::along::Along;
use super::stop::Stop;
use kcap_node::{Feed, Observer, Status};
use std::collections::VecDeque;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

pub(super) struct Console {
    quiet: bool,
    terminal: bool,
    /// Whether a status stands in the last line.
    shown: bool,
    watch: Watch,
    stop: Option<Stop>,
    along: Option<Along>,
}

/// What is looked for in packets while they are captured.
#[derive(Default)]
pub(super) struct Watch {
    /// Findings that end the capture.
    pub(super) stop_on: Vec<&'static str>,
    /// Whether what is written is analysed.
    pub(super) along: bool,
}

impl Console {
    pub(super) fn new(quiet: bool) -> Self {
        let terminal = io::stderr().is_terminal();
        Self { quiet, terminal, shown: false, watch: Watch::default(), stop: None, along: None }
    }

    pub(super) fn set_watch(&mut self, watch: Watch) {
        self.watch = watch;
    }

    /// The analysis of what was captured.
    pub(super) fn take_along(&mut self) -> Option<Along> {
        self.along.take()
    }

    fn start<T>(&mut self, what: &str, started: io::Result<T>) -> Option<T> {
        started.map_err(|error| self.line(&format!("{what}: {error}"))).ok()
    }

    /// Prints a line, unless nothing but errors is wanted.
    pub(super) fn note(&mut self, text: &str) {
        if !self.quiet {
            self.line(text);
        }
    }

    fn line(&mut self, text: &str) {
        self.clear();
        eprintln!("kcap: {text}");
    }

    /// Erases the status, for what is printed next.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            eprint!("\r\x1b[K");
        }
    }
}

impl Observer for Console {
    fn feed(&mut self) -> Option<Feed> {
        if !self.watch.stop_on.is_empty() {
            let codes = std::mem::take(&mut self.watch.stop_on);
            self.stop = self.start("--stop-on looks at nothing", Stop::new(codes));
        }
        let along = self.watch.along.then(Along::start)?;
        let (feed, along) = self.start("nothing is analysed", along)?;
        self.along = Some(along);
        Some(feed)
    }

    fn started(&mut self, interfaces: &[String]) {
        self.note(&format!("capturing on {}; Ctrl-C ends it", interfaces.join(", ")));
    }

    fn joined(&mut self, interfaces: &[String]) {
        self.note(&format!("now also on {}", interfaces.join(", ")));
    }

    fn status(&mut self, status: &Status) {
        if self.terminal && !self.quiet {
            self.shown = true;
            eprint!("\r\x1b[K{status}");
        }
    }

    fn warn(&mut self, warning: &str) {
        self.line(warning);
    }

    fn finished(&mut self, files: &VecDeque<PathBuf>) {
        if let Some(stop) = &self.stop {
            stop.look_at(files);
        }
    }

    fn holds_files(&self) -> bool {
        self.stop.as_ref().is_some_and(Stop::holds)
    }

    fn wants_end(&mut self) -> bool {
        let Some(found) = self.stop.as_ref().and_then(Stop::found) else { return false };
        self.line(&format!("{found}: --stop-on ends the capture"));
        true
    }
}
