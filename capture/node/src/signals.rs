//! Signals as a descriptor to wait for.

use crate::CaptureError;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::os::fd::{AsFd, BorrowedFd};

/// Signals that end a capture.
const ENDING: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

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
