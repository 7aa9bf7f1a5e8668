//! The end of a capture: nothing that the kernel accepted is lost.

use super::{End, LAST_BLOCK, Session, Summary};
use crate::CaptureError;
use crate::record;
use crate::tap::Reading;
use kcap_file::note::When;

impl Session<'_> {
    /// Gets everything out of the rings, and ends the files.
    pub(super) fn conclude(mut self, end: Result<End, CaptureError>) -> Result<Summary, CaptureError> {
        let elapsed = self.started.elapsed();
        let ended = end.and_then(|end| {
            self.drain()?;
            self.name()?;
            self.after()?;
            Ok(end)
        });
        self.follower = None;
        self.count();
        let interfaces = self.recorder.interfaces();
        let (dropped, packets) = (self.recorder.dropped(), self.recorder.packets());
        let (end, (files, forgotten), packets) = match ended {
            Ok(end) => (end, self.recorder.finish(end.text())?, packets),
            Err(error) if record::is_broken_pipe(&error) => (End::Closed, (Vec::new(), 0), packets),
            Err(error) if record::is_full_disk(&error) => {
                let (files, forgotten, packets) = self.recorder.abandon()?;
                (End::DiskFull, (files, forgotten), packets)
            }
            Err(error) => return Err(error),
        };
        // Taken, so that it does not end the program before its summary is told.
        let hurried = self.signals.take().is_some();
        let discarded = self.discarded;
        Ok(Summary { end, packets, dropped, discarded, files, forgotten, hurried, elapsed, interfaces })
    }

    /// Writes the names of addresses, where they did not come before; what opens interfaces is done.
    fn name(&mut self) -> Result<(), CaptureError> {
        let names = self.follower.take().map_or_else(Vec::new, |follower| follower.last_names());
        if names.is_empty() { Ok(()) } else { self.recorder.add(None, names, Vec::new()) }
    }

    /// Writes the context after; a further signal abandons it.
    fn after(&mut self) -> Result<(), CaptureError> {
        self.gather(true)?;
        for mut collector in std::mem::take(&mut self.collectors) {
            for note in collector.collect(When::After, &mut || self.signals.pending()) {
                self.recorder.note(&note)?;
            }
        }
        Ok(())
    }

    /// The kernel hands over the last block of a ring only when it is old enough, also after the interface is gone.
    fn drain(&mut self) -> Result<(), CaptureError> {
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
