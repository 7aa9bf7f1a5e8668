//! The end of a capture: nothing that the kernel accepted is lost.

use super::follow::LastWords;
use super::{End, LAST_BLOCK, Session, Summary};
use crate::tap::{Reading, Tap};
use crate::{CaptureError, clock, record};

impl Session<'_> {
    /// Gets everything out of the rings, and ends the files.
    pub(super) fn conclude(mut self, end: Result<End, CaptureError>) -> Result<Summary, CaptureError> {
        let elapsed = self.started.elapsed();
        let ended = end.and_then(|end| {
            self.drain()?;
            self.ask()?;
            self.count();
            self.recorder.end_part(end.text())?;
            Ok(end)
        });
        self.count();
        let end = match ended {
            Err(error) if record::is_broken_pipe(&error) => End::Closed,
            Err(error) if record::is_full_disk(&error) => {
                self.recorder.abandon()?;
                End::DiskFull
            }
            ended => ended?,
        };
        let interfaces = self.recorder.interfaces();
        let (dropped, packets) = (self.recorder.dropped(), self.recorder.packets());
        // Taken, so that it does not end the program before its summary is told.
        let hurried = self.signals.take().is_some();
        let discarded = self.discarded;
        let (files, forgotten) = self.recorder.into_files();
        Ok(Summary { end, packets, dropped, discarded, files, forgotten, hurried, elapsed, interfaces })
    }

    /// Writes the context after, and what else is only known at the end.
    fn ask(&mut self) -> Result<(), CaptureError> {
        let Some(follower) = self.follower.take() else { return Ok(()) };
        let LastWords { names, notes } = follower.finish(&self.signals);
        self.recorder.add(None, names, notes)
    }

    /// The kernel hands over the last block of a ring only when it is old enough, also after the interface is gone.
    fn drain(&mut self) -> Result<(), CaptureError> {
        let is_there = |tap: &Option<Tap>| tap.as_ref().is_some_and(|tap| tap.gone.is_none());
        let listened = self.taps.iter().all(is_there) && !self.recorder.is_complete();
        self.recorder.listened_ns = listened.then(clock::now_ns);
        for tap in self.taps.iter_mut().flatten() {
            // The filter of an interface that is gone lets nothing in anyway.
            let _ = tap.close();
        }
        std::thread::sleep(LAST_BLOCK);
        for index in 0..self.taps.len() {
            while self.read(index)? == Reading::More {}
        }
        self.recorder.flush()
    }
}
