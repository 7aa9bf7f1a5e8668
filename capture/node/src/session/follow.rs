//! The process beside a capture, as the process that captures sees it.
//!
//! What opens namespaces, interfaces and the kernel's tables needs capabilities as long as the capture lasts: that
//! process has them ([`Watch`]). The one that captures reads what strangers sent, and has none.

use super::watch::{News, Open, Watch};
use super::wire;
use crate::place::Place;
use crate::resolve::Follow;
use crate::signals::Signals;
use crate::{CaptureError, Plan, beside};
use kcap_file::NameRecord;
use kcap_file::note::Note;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// How long the end of a message may be behind its beginning.
const STALLED: Duration = Duration::from_secs(2);
/// How long a capture that is over waits for names, which are asked for of one pod after the other.
const NAMED: Duration = Duration::from_secs(1);
/// How long it waits for what the network looks like: longer than one part of it may take.
const LAST: Duration = Duration::from_secs(12);

/// The process beside this one.
#[derive(Debug)]
pub(super) struct Follower {
    stream: UnixStream,
    _process: beside::Process,
    /// Whether the names of addresses came.
    named: bool,
    /// How long everything may be gone before the capture is over; for ever when there is none.
    pub(super) patience: Option<Duration>,
}

/// What it said last.
#[derive(Debug, Default)]
pub(super) struct LastWords {
    pub(super) names: Vec<NameRecord>,
    pub(super) notes: Vec<Note>,
}

impl Follower {
    /// Starts it, before this process has a second thread; none where there is nothing for it to do. It looks at the
    /// places and for what the targets will find, from when it is [told](Self::begin) to.
    pub(super) fn start(places: &[Place], follow: Option<Follow>, plan: &Plan) -> Result<Option<Self>, CaptureError> {
        if follow.is_none() && !plan.interfaces.is_empty() && !plan.context {
            return Ok(None);
        }
        let patience = follow.as_ref().map_or(Some(Duration::ZERO), Follow::patience);
        let failed = |source| CaptureError::System { operation: "start the process that opens", source };
        let (ours, theirs) = UnixStream::pair().map_err(failed)?;
        ours.set_read_timeout(Some(STALLED)).map_err(failed)?;
        let work = move || {
            crate::privilege::keep_for_opening();
            // When nobody listens any more, that is its end too.
            let _ = Watch::new(follow, plan).run(places, &theirs);
        };
        let (process, stream) = beside::Process::start(ours, work).map_err(failed)?;
        Ok(Some(Self { stream, _process: process, named: false, patience }))
    }

    /// Those interfaces are open.
    pub(super) fn begin(&self, open: &Open) -> Result<(), CaptureError> {
        let failed = |source| CaptureError::System { operation: "talk to the process that opens", source };
        wire::send(&self.stream, open, &[]).map_err(failed)
    }

    /// Readable when there is news.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// News, after [`fd`](Self::fd) was readable, and the sockets that came with it; none when the process has ended.
    pub(super) fn take(&mut self) -> Option<(News, Vec<OwnedFd>)> {
        let (news, sockets) = wire::receive(&self.stream).ok()??;
        self.named |= matches!(news, News::Names(_));
        Some((news, sockets))
    }

    /// Tells it that the capture is over, and takes what it has to say; a further signal abandons that.
    pub(super) fn finish(mut self, signals: &Signals) -> LastWords {
        let mut last = LastWords::default();
        let until = Instant::now() + NAMED;
        while !self.named && self.waits(until, signals) && self.note(&mut last) {}
        // Where it is gone already, nothing more comes.
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
        let until = Instant::now() + LAST;
        while self.waits(until, signals) && self.note(&mut last) {}
        last
    }

    /// Takes the next news; false when there is none. It is too late for what joins now.
    fn note(&mut self, last: &mut LastWords) -> bool {
        match self.take() {
            Some((News::Context(notes), _)) => last.notes.extend(notes),
            Some((News::Names(names), _)) => last.names.extend(names),
            Some(_) => {}
            None => return false,
        }
        true
    }

    /// Waits for news, and says whether there is some: a signal and the time end it.
    fn waits(&self, until: Instant, signals: &Signals) -> bool {
        let mut fds = [PollFd::new(self.fd(), PollFlags::POLLIN), PollFd::new(signals.fd(), PollFlags::POLLIN)];
        let left = until.saturating_duration_since(Instant::now()).as_millis();
        let _ = poll(&mut fds, PollTimeout::from(u16::try_from(left).unwrap_or(u16::MAX)));
        let [news, signal] = fds.map(|fd| fd.any().unwrap_or_default());
        news && !signal
    }
}
