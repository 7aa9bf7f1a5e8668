//! What a capture is asked for, and what is told of it.

use crate::Size;
use crate::feed::Feed;
use crate::filter::Wanted;
use crate::place::Place;
use crate::record::{Destination, Output};
use crate::resolve::Resolved;
use kcap_file::NameRecord;
use nix::sys::signal::Signal;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::Duration;

/// What to capture and how.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What to capture, in the words of the command line.
    pub targets: Vec<String>,
    /// Interfaces; all that are up when there are none.
    pub interfaces: Vec<String>,
    /// Packets.
    pub wanted: Wanted,
    /// Bytes of each ring; on a node, of all together.
    pub buffer: Size,
    /// Where packets go.
    pub output: Output,
    /// When it ends.
    pub limits: Limits,
    /// Whether links, routes, sockets and so on are written beside the packets.
    pub context: bool,
    /// Whether capabilities are given up once everything is open.
    pub drop_privileges: bool,
    /// Names of addresses that are known.
    pub names: Vec<NameRecord>,
    /// Program and version.
    pub program: String,
}

/// The port of the kubelet, through which the output of what runs in a pod is read.
const KUBELET: u16 = 10_250;

impl Plan {
    /// Takes over what targets were found to be.
    pub fn set_targets(&mut self, resolved: &Resolved) {
        self.targets.clone_from(&resolved.targets);
        self.names.clone_from(&resolved.names);
        self.output.name = file_stem(&resolved.targets);
        self.except_own(&resolved.places);
    }

    /// Leaves out the connection that the capture itself is read by, where it would be captured: each packet of it would
    /// make more. It is the kubelet's, or that of the terminal.
    fn except_own(&mut self, places: &[Place]) {
        if self.output.destination == Destination::Stdout && places.iter().any(|place| place.node) {
            let session = std::env::var("SSH_CONNECTION").ok();
            let port = session.and_then(|text| text.split(' ').nth(1)?.parse().ok());
            self.wanted.spec.except = std::iter::once(KUBELET).chain(port).collect();
        }
    }
}

/// A file name of what is captured.
fn file_stem(targets: &[String]) -> String {
    let first = targets.first().map_or("kcap", String::as_str);
    let name = first.strip_prefix("pod/").unwrap_or(first).trim_matches('/');
    let plain: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || "-._".contains(c) { c } else { '-' }).collect();
    let plain = plain.trim_start_matches(['.', '-']).to_owned();
    if targets.len() > 1 { format!("{plain}-and-{}-more", targets.len() - 1) } else { plain }
}

/// What ends a capture.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Limits {
    /// Time.
    pub duration: Option<Duration>,
    /// Packets.
    pub count: Option<u64>,
    /// Bytes of all parts.
    pub size: Option<Size>,
    /// Bytes that stay free on the output's file system, instead of the rules.
    pub min_free: Option<Size>,
    /// The end of standard input.
    pub stdin: bool,
}

/// Why a capture ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum End {
    /// SIGINT, SIGTERM or SIGHUP.
    Signal(Signal),
    /// Its time is over.
    Duration,
    /// It has as many packets as were asked for.
    Count,
    /// It is as large as it may be.
    Size,
    /// Too little room is left.
    Room,
    /// The disk is full.
    DiskFull,
    /// Nobody reads it any more.
    Closed,
    /// Standard input ended.
    Stdin,
    /// All interfaces are gone.
    Gone,
    /// Whoever is told how it goes asked for the end.
    Asked,
}

impl End {
    /// In words.
    pub fn text(self) -> &'static str {
        match self {
            Self::Signal(Signal::SIGINT) => "interrupted",
            Self::Signal(Signal::SIGHUP) => "the terminal went away",
            Self::Signal(_) => "terminated",
            Self::Duration => "its time was over",
            Self::Count => "it had the packets asked for",
            Self::Size => "it was as large as it may be",
            Self::Room => "too little room was left on the disk",
            Self::DiskFull => "the disk was full",
            Self::Closed => "nobody read it any more",
            Self::Stdin => "standard input ended",
            Self::Gone => "all of its interfaces went away",
            Self::Asked => "what it waited for was found",
        }
    }
}

/// How a running capture is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Status {
    /// Packets written.
    pub packets: u64,
    /// Packets written since the status before.
    pub new_packets: u64,
    /// Packets that the kernel dropped.
    pub dropped: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Since the first packet could be captured.
    pub elapsed: Duration,
}

/// Is told how a capture goes.
pub trait Observer {
    /// Where what is written goes as well; asked once, before the first packet. Threads started here hold signals back,
    /// and have what privileges they do not [give up](crate::give_up_privileges).
    fn feed(&mut self) -> Option<Feed> {
        None
    }
    /// Everything is open: the interfaces, as they are called in the file.
    fn started(&mut self, _interfaces: &[String]) {}
    /// Interfaces that came later.
    fn joined(&mut self, _interfaces: &[String]) {}
    /// Once a second.
    fn status(&mut self, _status: &Status) {}
    /// A part is finished; the files that are kept, oldest first.
    fn finished(&mut self, _files: &VecDeque<PathBuf>) {}
    /// Whether finished files are in use: then none is removed, whatever [`Output::keep`] says.
    fn holds_files(&self) -> bool {
        false
    }
    /// Whether the capture shall end; asked once a second.
    fn wants_end(&mut self) -> bool {
        false
    }
    /// Something that does not end it.
    fn warn(&mut self, _warning: &str) {}
}

/// What became of a capture.
#[derive(Debug)]
pub struct Summary {
    /// Why it ended.
    pub end: End,
    /// Packets written.
    pub packets: u64,
    /// Packets that the kernel dropped for want of room in its ring.
    pub dropped: u64,
    /// Packets that passed the filter and are not in the capture because writing failed or enough were written.
    pub discarded: u64,
    /// The files, oldest first.
    pub files: Vec<PathBuf>,
    /// Files that were removed because newer ones took their place.
    pub forgotten: u64,
    /// Whether a further signal came while it ended: nobody wants to wait.
    pub hurried: bool,
    /// How long it took.
    pub elapsed: Duration,
    /// Each interface: its name in the file, and packets received and dropped.
    pub interfaces: Vec<(String, u64, u64)>,
}

impl Summary {
    /// Of a capture that nobody wanted to read.
    pub(super) fn unread() -> Self {
        Self {
            end: End::Closed,
            packets: 0,
            dropped: 0,
            discarded: 0,
            files: Vec::new(),
            forgotten: 0,
            hurried: false,
            elapsed: Duration::ZERO,
            interfaces: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::file_stem;

    #[test]
    fn files_are_named_after_targets() {
        assert_eq!(file_stem(&["pod/api-1".to_owned()]), "api-1");
        assert_eq!(file_stem(&["netns//var/run/x".to_owned()]), "netns--var-run-x");
        assert_eq!(file_stem(&["node".to_owned(), "pid/3".to_owned()]), "node-and-1-more");
    }
}
