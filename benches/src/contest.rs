//! kcap against other programs, in turn (A B A B …), as ratios: on a busy machine both suffer alike.

use crate::inputs::warm;
use crate::measure::{Failed, Job, Sample, Spread};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What is compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Processor time.
    Cpu,
    /// Wall time.
    Wall,
    /// Peak memory.
    Peak,
}

/// What must hold.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// kcap / peer is at most this.
    AtMost(f64),
    /// peer / kcap is at least this.
    AtLeast(f64),
    /// kcap's peak memory, MiB, is at most this.
    PeakMib(f64),
    /// Nothing is asked.
    None,
}

/// A contest: kcap's command, the peer's, and what is asked of them.
#[derive(Clone, Debug)]
pub struct Contest {
    /// What it is about.
    pub name: &'static str,
    /// kcap.
    pub kcap: Job,
    /// The peer; none when kcap alone is measured.
    pub peer: Option<Job>,
    /// Name of the peer.
    pub against: &'static str,
    /// What is compared.
    pub metric: Metric,
    /// What is asked.
    pub goal: Goal,
    /// Rounds at most: programs that take minutes run less often.
    pub most_rounds: usize,
    /// The files of both, to be warmed.
    pub files: Vec<PathBuf>,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// See [`Contest::name`].
    pub name: &'static str,
    /// Name of the peer.
    pub against: &'static str,
    /// See [`Contest::metric`].
    pub metric: Metric,
    /// See [`Contest::goal`].
    pub goal: Goal,
    /// kcap's command.
    pub kcap_command: String,
    /// The peer's command.
    pub peer_command: Option<String>,
    /// kcap, round by round.
    pub kcap: Vec<Sample>,
    /// The peer, round by round.
    pub peer: Vec<Sample>,
    /// The ratio that the goal is about (or MiB), over the rounds.
    pub value: Option<Spread>,
    /// Why it was not measured.
    pub skipped: Option<String>,
}

impl Contest {
    pub(crate) fn new(name: &'static str, kcap: Job, file: &Path, metric: Metric, goal: Goal) -> Self {
        let files = vec![file.to_owned()];
        Self { name, kcap, peer: None, against: "", metric, goal, most_rounds: usize::MAX, files }
    }

    /// Names the peer.
    #[must_use]
    pub(crate) fn against(mut self, name: &'static str, peer: Job) -> Self {
        self.against = name;
        self.peer = Some(peer);
        self
    }

    /// Bounds the rounds.
    #[must_use]
    pub(crate) fn rounds(mut self, most: usize) -> Self {
        self.most_rounds = most;
        self
    }

    /// Runs kcap and the peer in turn.
    pub fn hold(&self, rounds: usize) -> Outcome {
        let mut outcome = Outcome {
            name: self.name,
            against: self.against,
            metric: self.metric,
            goal: self.goal,
            kcap_command: self.kcap.text(),
            peer_command: self.peer.as_ref().map(Job::text),
            kcap: Vec::new(),
            peer: Vec::new(),
            value: None,
            skipped: None,
        };
        outcome.skipped = self.rounds_of(rounds.min(self.most_rounds), &mut outcome).err();
        if outcome.skipped.is_none() {
            outcome.value = Some(outcome.spread());
        }
        outcome
    }

    fn rounds_of(&self, rounds: usize, outcome: &mut Outcome) -> Result<(), String> {
        let files: Vec<&Path> = self.files.iter().map(PathBuf::as_path).collect();
        warm(&files).map_err(|error| error.to_string())?;
        for _ in 0..rounds {
            if let Some(peer) = &self.peer {
                outcome.peer.push(peer.run().map_err(|failed| failed.text(self.against))?);
            }
            outcome.kcap.push(self.kcap.run().map_err(|failed| failed.text("kcap"))?);
        }
        Ok(())
    }
}

impl Failed {
    fn text(self, program: &str) -> String {
        match self {
            Self::Missing => format!("{program} is not installed"),
            Self::Broken(text) => text,
        }
    }
}

const MIB: f64 = 1024.0 * 1024.0;

impl Metric {
    pub(crate) fn of(self, sample: &Sample) -> f64 {
        match self {
            Self::Cpu => sample.cpu_s,
            Self::Wall => sample.wall_s,
            Self::Peak => sample.peak_bytes as f64 / MIB,
        }
    }
}

impl Outcome {
    fn spread(&self) -> Spread {
        let kcap = self.kcap.iter().map(|sample| self.metric.of(sample));
        let peer = self.peer.iter().map(|sample| self.metric.of(sample));
        match self.goal {
            Goal::PeakMib(_) => Spread::of(kcap),
            Goal::AtLeast(_) => Spread::of(kcap.zip(peer).map(|(kcap, peer)| peer / kcap)),
            Goal::AtMost(_) | Goal::None => Spread::of(kcap.zip(peer).map(|(kcap, peer)| kcap / peer)),
        }
    }

    /// Whether the goal is reached; nothing where none is set or nothing was measured.
    pub fn reached(&self) -> Option<bool> {
        let median = self.value?.median;
        match self.goal {
            Goal::AtMost(limit) | Goal::PeakMib(limit) => Some(median <= limit),
            Goal::AtLeast(limit) => Some(median >= limit),
            Goal::None => None,
        }
    }
}

#[cfg(test)]
mod tests;
