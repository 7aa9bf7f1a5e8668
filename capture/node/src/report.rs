//! Captures in words.

use crate::session::{Status, Summary};
use crate::{CaptureError, Size};
use std::error::Error;
use std::fmt;

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { packets, new_packets, dropped, bytes, elapsed } = self;
        let time = elapsed.as_secs();
        write!(f, "{packets} packets, {new_packets}/s, {dropped} dropped, {}, {time} s", Size(*bytes))
    }
}

impl Summary {
    /// Whether every packet that passed the filter is in the capture.
    pub fn is_complete(&self) -> bool {
        use crate::End;
        self.dropped == 0 && !matches!(self.end, End::DiskFull | End::Room)
    }
}

/// `12345 packets, 0 dropped → x.pcapng (interrupted after 12.1 s)`.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} packets, {} dropped by the kernel", self.packets, self.dropped)?;
        match self.files.as_slice() {
            [] => {}
            [file] => write!(f, " → {}", file.display())?,
            [first, .., last] => {
                write!(f, " → {} files, {} to {}", self.files.len(), first.display(), last.display())?;
            }
        }
        write!(f, " ({} after {:.1} s)", self.end.text(), self.elapsed.as_secs_f64())?;
        for (name, received, dropped) in self.interfaces.iter().filter(|(.., dropped)| *dropped > 0) {
            write!(f, "\n  {name}: {dropped} of {received} dropped; a larger --buffer or a filter loses fewer")?;
        }
        Ok(())
    }
}

impl CaptureError {
    /// The message with all its causes.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text
    }

    /// 1 failed, 2 the command line is wrong, 77 not permitted (`EX_NOPERM` of sysexits.h).
    pub fn exit_code(&self) -> u8 {
        match self {
            _ if self.is_permission() => 77,
            _ if self.is_usage() => 2,
            _ => 1,
        }
    }
}
