//! Counts instructions a packet and compares them with the recorded baseline: the guard that noise cannot move.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command")]

use kcap_benches::icount::{Baseline, SUBJECTS, count};
use kcap_benches::inputs;
use kcap_benches::options::Line;
use std::process::ExitCode;

const USAGE: &str = "usage: icount [--kcap PROGRAM] [--max N] [--update]
Needs valgrind. Exit code 1: a count is above its baseline (benches/baseline.toml) by more than the tolerance, or above
N. --update records the counts as the baseline.";

/// By how much a count may be above its baseline where none is recorded yet.
const TOLERANCE: f64 = 0.03;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("icount: {message}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<bool, String> {
    let line = Line::parse(std::env::args().skip(1), &["kcap", "max"], &["update"])?;
    let kcap = inputs::kcap(line.value("kcap"))?;
    let max = line.value("max").map(|_| line.number("max", 0)).transpose()?;
    let baseline = Baseline::read().unwrap_or(Baseline { tolerance: TOLERANCE, ..Baseline::default() });
    let mut measured = Baseline { tolerance: baseline.tolerance, ..Baseline::default() };
    let mut good = true;
    for subject in SUBJECTS {
        let count = count(&kcap, subject, &inputs::folder()).map_err(|error| error.to_string())?;
        let limit = max.map(|max| max as f64).or_else(|| baseline.limit(subject.name));
        good &= report(subject.name, count, limit);
        measured.instructions_per_packet.insert(subject.name.to_owned(), count.round());
    }
    if line.has("update") {
        measured.write().map_err(|error| error.to_string())?;
        return Ok(true);
    }
    Ok(good)
}

fn report(name: &str, count: f64, limit: Option<f64>) -> bool {
    let within = limit.is_none_or(|limit| count <= limit);
    let limit = limit.map_or_else(|| "no baseline".to_owned(), |limit| format!("at most {limit:.0}"));
    let verdict = if within { "" } else { ": too many" };
    println!("{name:>14} {count:>8.0} instructions a packet ({limit}){verdict}");
    within
}
