//! Signals as a descriptor to wait for.

use crate::CaptureError;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::io::{self, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// Signals that end a capture.
const ENDING: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

/// How long a signal may wait: reading and writing take milliseconds.
const UNHEARD: Duration = Duration::from_secs(2);
/// The exit code of a capture that is not whole.
const INCOMPLETE: i32 = 3;

/// Holds the ending signals back while it lives: they end the capture, not the program. Threads started meanwhile hold
/// them back too.
#[derive(Debug)]
pub(crate) struct Signals {
    descriptor: SignalFd,
    before: SigSet,
}

impl Signals {
    pub(crate) fn hold() -> Result<Self, CaptureError> {
        let set = SigSet::from_iter(ENDING);
        let failed = CaptureError::system("wait for signals");
        let before = SigSet::thread_get_mask().and_then(|before| set.thread_block().map(|()| before));
        let descriptor = before.and_then(|before| {
            Ok((before, SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?))
        });
        descriptor.map(|(before, descriptor)| Self { descriptor, before }).map_err(failed)
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }

    /// Ends the program when a signal waits for seconds: writing to who does not read waits for ever, and nothing
    /// interrupts it.
    pub(crate) fn insist(&self) -> io::Result<()> {
        let descriptor = self.fd().try_clone_to_owned()?;
        let waits = move |timeout| {
            let mut fds = [PollFd::new(descriptor.as_fd(), PollFlags::POLLIN)];
            poll(&mut fds, timeout).is_ok_and(|ready| ready > 0)
        };
        let work = move || {
            loop {
                if waits(PollTimeout::NONE) {
                    std::thread::sleep(UNHEARD);
                    if waits(PollTimeout::ZERO) {
                        let _ = writeln!(io::stderr(), "ended: what was captured is not read");
                        std::process::exit(INCOMPLETE);
                    }
                }
            }
        };
        std::thread::Builder::new().name("signals".to_owned()).spawn(work).map(drop)
    }

    /// The signal that came.
    pub(crate) fn take(&self) -> Option<Signal> {
        let info = self.descriptor.read_signal().ok()??;
        Signal::try_from(info.ssi_signo as i32).ok()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        // What cannot be restored was not changed.
        let _ = self.before.thread_set_mask();
    }
}
