//! What is said while capturing, on standard error.

use super::stop::Stop;
use anstream::{eprint, eprintln};
use kcap_node::{Observer, Status};
use std::collections::VecDeque;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

pub(super) struct Console {
    quiet: bool,
    terminal: bool,
    /// Whether a status stands in the last line.
    shown: bool,
    stop: Option<Stop>,
}

impl Console {
    pub(super) fn new(quiet: bool, stop: Option<Stop>) -> Self {
        Self { quiet, terminal: io::stderr().is_terminal(), shown: false, stop }
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
