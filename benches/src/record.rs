//! What was measured, on which machine, of which commit.

use crate::contest::{Goal, Metric, Outcome};
use crate::measure::Spread;
use serde::Serialize;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

/// A run of the benchmarks.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    /// Day, UTC.
    pub date: String,
    /// Processor.
    pub cpu: String,
    /// Processors.
    pub processors: usize,
    /// Kernel.
    pub kernel: String,
    /// Load average over a minute, before.
    pub load: String,
    /// Commit, with `-dirty` when the tree had changes.
    pub commit: String,
    /// Versions of the programs.
    pub versions: Vec<String>,
    /// Bytes of the mixed capture.
    pub mixed_bytes: u64,
    /// Rounds asked for.
    pub rounds: usize,
    /// What came of the contests.
    pub outcomes: Vec<Outcome>,
}

impl Record {
    /// The machine, the tree and the programs as they are now; no outcomes yet.
    pub fn here(mixed_bytes: u64, rounds: usize, kcap: &Path) -> Self {
        let now = chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now());
        Self {
            date: now.format("%Y-%m-%d").to_string(),
            cpu: cpu(),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: line(Command::new("uname").arg("-r")),
            load: fs::read_to_string("/proc/loadavg")
                .unwrap_or_default()
                .split(' ')
                .next()
                .unwrap_or_default()
                .to_owned(),
            commit: commit(),
            versions: versions(kcap),
            mixed_bytes,
            rounds,
            outcomes: Vec::new(),
        }
    }

    /// The folder of this record.
    pub fn folder(&self) -> PathBuf {
        let cpu: String =
            self.cpu.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
        let cpu = cpu.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-");
        let runs = Path::new(env!("CARGO_MANIFEST_DIR")).join("runs");
        runs.join(format!("{}-{cpu}-{}", self.date, self.commit))
    }

    /// Writes the record as JSON and Markdown.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self) -> io::Result<PathBuf> {
        let folder = self.folder();
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("record.json"), serde_json::to_string_pretty(self)? + "\n")?;
        fs::write(folder.join("README.md"), self.markdown())?;
        Ok(folder)
    }

    /// The record for people.
    pub fn markdown(&self) -> String {
        let mut text = format!("# {} · {} · {}\n\n", self.date, self.cpu, self.commit);
        let size = self.mixed_bytes as f64 / 1e9;
        let _ = writeln!(
            text,
            "{} processors, Linux {}, load {} before; mixed capture of {size:.2} GB, up to {} rounds, each kcap and peer in \
             turn; files in the page cache.\n",
            self.processors, self.kernel, self.load, self.rounds
        );
        let _ = writeln!(text, "{}\n", self.versions.join(" · "));
        text += &table(&self.outcomes);
        text
    }
}

/// The outcomes as a Markdown table.
pub fn table(outcomes: &[Outcome]) -> String {
    let mut text = String::from(
        "| what | against | of | kcap | peer | measured (min–max) | goal | |\n|---|---|---|---|---|---|---|---|\n",
    );
    for outcome in outcomes {
        text += &row(outcome);
    }
    text
}

fn row(outcome: &Outcome) -> String {
    let metric = match outcome.metric {
        Metric::Cpu => "CPU",
        Metric::Wall => "wall",
        Metric::Peak => "peak memory",
    };
    let (kcap, peer) = (absolute(outcome.metric, &outcome.kcap), absolute(outcome.metric, &outcome.peer));
    let verdict = match outcome.reached() {
        Some(true) => "reached",
        Some(false) => "**missed**",
        None => "",
    };
    let measured = measured(outcome);
    let goal = goal(outcome.goal);
    format!(
        "| {} | {} | {metric} | {kcap} | {peer} | {measured} | {goal} | {verdict} |\n",
        outcome.name, outcome.against
    )
}

/// The median of a program's samples.
fn absolute(metric: Metric, samples: &[crate::measure::Sample]) -> String {
    if samples.is_empty() {
        return String::new();
    }
    let median = Spread::of(samples.iter().map(|sample| metric.of(sample))).median;
    if metric == Metric::Peak { format!("{median:.1} MiB") } else { format!("{median:.2} s") }
}

fn measured(outcome: &Outcome) -> String {
    let Some(value) = outcome.value else { return outcome.skipped.clone().unwrap_or_default() };
    let unit = if matches!(outcome.goal, Goal::PeakMib(_)) { " MiB" } else { " ×" };
    let less = if matches!(outcome.goal, Goal::AtLeast(_)) { " less" } else { "" };
    format!("{:.2}{unit}{less} ({:.2}–{:.2})", value.median, value.min, value.max)
}

fn goal(goal: Goal) -> String {
    match goal {
        Goal::AtMost(limit) => format!("≤ {limit} ×"),
        Goal::AtLeast(limit) => format!("≥ {limit} × less"),
        Goal::PeakMib(limit) => format!("≤ {limit} MiB"),
        Goal::None => String::new(),
    }
}

fn cpu() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find(|line| line.starts_with("model name"));
    model.and_then(|line| line.split(": ").nth(1)).unwrap_or(std::env::consts::ARCH).trim().to_owned()
}

fn commit() -> String {
    let commit = line(Command::new("git").args(["rev-parse", "--short", "HEAD"]));
    let changes = line(Command::new("git").args(["status", "--porcelain", "-uno"]));
    if changes.is_empty() { commit } else { commit + "-dirty" }
}

fn versions(kcap: &Path) -> Vec<String> {
    let ask = |program: &Path| line(Command::new(program).arg("--version"));
    let peers = ["tcpdump", "capinfos", "tshark", "gzip", "zstd"].map(|name| ask(Path::new(name)));
    std::iter::once(ask(kcap)).chain(peers).filter(|version| !version.is_empty()).collect()
}

/// The first line that a command prints; nothing when it cannot be run.
fn line(command: &mut Command) -> String {
    let output = command.output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).lines().next().unwrap_or_default().trim().to_owned()
}
