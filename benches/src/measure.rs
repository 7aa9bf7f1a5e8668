//! Processor time, wall time and peak memory of a command.

use serde::Serialize;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use wait4::Wait4 as _;

/// What one run of a command took.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Sample {
    /// User and system time, seconds.
    pub cpu_s: f64,
    /// Wall time, seconds.
    pub wall_s: f64,
    /// Peak resident memory, bytes.
    pub peak_bytes: u64,
}

/// A program and its arguments; output goes nowhere.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Job {
    /// Program and arguments.
    pub words: Vec<OsString>,
}

/// Why a command could not be measured.
#[derive(Debug)]
pub enum Failed {
    /// The program is not installed.
    Missing,
    /// It could not be run, or it ended with an error.
    Broken(String),
}

fn shown(word: &OsStr) -> String {
    let path = Path::new(word);
    let mut names = path.iter().rev().take(2).collect::<Vec<_>>();
    names.reverse();
    let shown = if path.is_absolute() { names.iter().collect::<PathBuf>() } else { path.into() };
    shown.to_string_lossy().into_owned()
}

/// Exit code of kcap where something in its answer is partial.
const PARTIAL: i32 = 3;

impl Job {
    /// A job from words.
    pub fn new<T: Into<OsString>>(words: impl IntoIterator<Item = T>) -> Self {
        Self { words: words.into_iter().map(Into::into).collect() }
    }

    /// Adds a word.
    #[must_use]
    pub fn and(mut self, word: impl AsRef<Path>) -> Self {
        self.words.push(word.as_ref().into());
        self
    }

    /// The command line, for people, who have other folders: of a whole path the last two names.
    pub fn text(&self) -> String {
        self.words.iter().map(|word| shown(word)).collect::<Vec<_>>().join(" ")
    }

    /// Runs it once; that something is partial is no failure.
    ///
    /// # Errors
    /// The program is missing or fails.
    pub fn run(&self) -> Result<Sample, Failed> {
        let (program, arguments) = self.words.split_first().ok_or(Failed::Missing)?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let start = Instant::now();
        let mut child = command.spawn().map_err(|error| self.failed(&error))?;
        let used = child.wait4().map_err(|error| self.failed(&error))?;
        let wall_s = start.elapsed().as_secs_f64();
        // kcap's 3 says that a cap was reached, such as how many findings are shown: all the work was done.
        if !used.status.success() && used.status.code() != Some(PARTIAL) {
            return Err(Failed::Broken(format!("{}: {}", self.text(), used.status)));
        }
        let cpu: Duration = used.rusage.utime + used.rusage.stime;
        Ok(Sample { cpu_s: cpu.as_secs_f64(), wall_s, peak_bytes: used.rusage.maxrss })
    }

    fn failed(&self, error: &io::Error) -> Failed {
        if error.kind() == io::ErrorKind::NotFound {
            return Failed::Missing;
        }
        Failed::Broken(format!("{}: {error}", self.text()))
    }
}

/// Smallest, middle and largest of some numbers.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize)]
pub struct Spread {
    /// Smallest.
    pub min: f64,
    /// Middle; of an even count the mean of the two in the middle.
    pub median: f64,
    /// Largest.
    pub max: f64,
}

impl Spread {
    /// Of at least one number; of none all are 0.
    pub fn of(numbers: impl IntoIterator<Item = f64>) -> Self {
        let mut numbers: Vec<f64> = numbers.into_iter().collect();
        numbers.sort_by(f64::total_cmp);
        let (Some(&min), Some(&max)) = (numbers.first(), numbers.last()) else { return Self::default() };
        let half = numbers.len() / 2;
        let median =
            if numbers.len() % 2 == 1 { numbers[half] } else { f64::midpoint(numbers[half - 1], numbers[half]) };
        Self { min, median, max }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_measured() {
        let sample = Job::new(["sleep", "0.05"]).run().unwrap();
        assert!(sample.wall_s >= 0.05 && sample.cpu_s < sample.wall_s);
        assert!(sample.peak_bytes > 100_000, "{}", sample.peak_bytes);
    }

    #[test]
    fn missing_and_failing_programs_are_told_apart() {
        assert!(matches!(Job::new(["no-such-program-here"]).run(), Err(Failed::Missing)));
        assert!(matches!(Job::new(["false"]).run(), Err(Failed::Broken(_))));
    }

    #[test]
    fn spread_has_the_middle() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Spread { min: 1.0, median: 2.0, max: 3.0 });
        assert_eq!(Spread::of([4.0, 1.0]), Spread { min: 1.0, median: 2.5, max: 4.0 });
    }
}
