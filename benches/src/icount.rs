//! Instructions a packet, counted by cachegrind: the same on a busy machine as on an idle one, so that a regression of a
//! few percent shows.

use crate::traffic::{Format, Mix, Request, generate};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A measured thing: which traffic, with which arguments.
#[derive(Clone, Copy, Debug)]
pub struct Subject {
    /// Name in the baseline.
    pub name: &'static str,
    /// Traffic.
    pub mix: Mix,
    /// Tables are written too.
    pub tables: bool,
}

/// What is counted.
pub const SUBJECTS: [Subject; 3] = [
    Subject { name: "mixed", mix: Mix::Mixed, tables: false },
    Subject { name: "mixed_tables", mix: Mix::Mixed, tables: true },
    Subject { name: "small", mix: Mix::Small, tables: false },
];

/// Bytes of the two slices: what start-up costs is in both, so the difference is without it.
const SLICES: [u64; 2] = [20_000_000, 60_000_000];

/// `benches/baseline.toml`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Baseline {
    /// By how much a count may be above its baseline, as a share.
    pub tolerance: f64,
    /// Instructions a packet, by subject.
    pub instructions_per_packet: BTreeMap<String, f64>,
}

/// Where the baseline is.
pub fn baseline_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("baseline.toml")
}

impl Baseline {
    /// The recorded one.
    ///
    /// # Errors
    /// It cannot be read or parsed.
    pub fn read() -> io::Result<Self> {
        toml::from_str(&fs::read_to_string(baseline_path())?).map_err(io::Error::other)
    }

    /// Records this one.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self) -> io::Result<()> {
        let text = toml::to_string(self).map_err(io::Error::other)?;
        fs::write(baseline_path(), format!("# Written by `icount --update`.\n{text}"))
    }

    /// The most that a subject may take; nothing when it has no baseline.
    pub fn limit(&self, subject: &str) -> Option<f64> {
        self.instructions_per_packet.get(subject).map(|count| count * (1.0 + self.tolerance))
    }
}

/// Counts the instructions that kcap takes for a packet of a subject. `folder` keeps the slices.
///
/// # Errors
/// valgrind is missing or fails, or a slice cannot be generated.
pub fn count(kcap: &Path, subject: Subject, folder: &Path) -> io::Result<f64> {
    let mut points = Vec::new();
    for size in SLICES {
        let (file, packets) = slice(subject.mix, size, folder)?;
        points.push((packets as f64, instructions(kcap, subject, &file, folder)? as f64));
    }
    Ok((points[1].1 - points[0].1) / (points[1].0 - points[0].0))
}

fn slice(mix: Mix, size: u64, folder: &Path) -> io::Result<(PathBuf, u64)> {
    fs::create_dir_all(folder)?;
    let path = folder.join(format!("icount-{mix:?}-{}.pcap", size / 1_000_000).to_lowercase());
    let mut file = BufWriter::new(File::create(&path)?);
    let truth = generate(Request { mix, size, seed: 1, format: Format::Pcap }, &mut file)?;
    file.flush()?;
    Ok((path, truth.packets))
}

/// One thread: how often threads wait for each other is no property of the code.
fn instructions(kcap: &Path, subject: Subject, file: &Path, folder: &Path) -> io::Result<u64> {
    let mut command = Command::new("valgrind");
    command.args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]).arg(kcap);
    command.arg("analyze").arg(file).args(["-q", "-o", "json", "--threads", "1"]);
    if subject.tables {
        command.arg("--overwrite").arg("-O").arg(folder.join("icount-tables"));
    }
    let output = command.output()?;
    let report = String::from_utf8_lossy(&output.stderr);
    parse(&report).ok_or_else(|| io::Error::other(format!("{command:?}: {report}")))
}

/// The count in `==1== I refs: 1,234`, or `==1== I   refs:      1,234`.
fn parse(report: &str) -> Option<u64> {
    let line = report.lines().find(|line| line.contains("refs:") && line.contains(" I "))?;
    line.rsplit("refs:").next()?.trim().replace(',', "").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_found_in_what_valgrind_says() {
        assert_eq!(parse("==7== Cachegrind\n==7== I   refs:      1,234,567\n"), Some(1_234_567));
        assert_eq!(parse("==7== I refs: 12\n"), Some(12));
        assert_eq!(parse("valgrind: no such program"), None);
    }

    #[test]
    fn the_limit_is_above_the_baseline_by_the_tolerance() {
        let counts = [("mixed".to_owned(), 1000.0)].into();
        let baseline = Baseline { tolerance: 0.03, instructions_per_packet: counts };
        assert_eq!(baseline.limit("mixed"), Some(1030.0));
        assert_eq!(baseline.limit("none"), None);
    }
}
