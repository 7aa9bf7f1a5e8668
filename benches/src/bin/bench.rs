//! Measures kcap against other programs and against its goals.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command")]

use kcap_benches::arena::Arena;
use kcap_benches::inputs::{self, FULL, Inputs};
use kcap_benches::options::Line;
use kcap_benches::record::{Record, table};
use std::env;
use std::process::ExitCode;

const USAGE: &str = "usage: bench [--kcap PROGRAM] [--rounds N] [--size BYTES] [--only TEXT] [--full] [--no-record]
Generates captures into $KCAP_BENCH_DIR (target/bench), runs kcap and its peers in turn and prints ratios. PROGRAM is
$KCAP_BIN or target/release/kcap. --only takes contests whose name or peer holds TEXT; --full adds what takes many
minutes and 22 GB. Exit code 1: a goal was missed.";

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("bench: {message}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<bool, String> {
    let line = Line::parse(env::args().skip(1), &["kcap", "rounds", "size", "only"], &["full", "no-record"])?;
    let kcap = inputs::kcap(line.value("kcap"))?;
    let (rounds, size) = (line.number("rounds", 5)? as usize, line.size("size", FULL)?);
    let inputs = Inputs::new(inputs::folder(), size).map_err(|error| error.to_string())?;
    let mut record = Record::here(size, rounds, &kcap);
    let contests = Arena { kcap, inputs, full: line.has("full") }.contests().map_err(|error| error.to_string())?;
    let only = line.value("only").unwrap_or_default();
    for contest in contests.iter().filter(|it| it.name.contains(only) || it.against.contains(only)) {
        eprintln!("{} against {} …", contest.name, contest.against);
        record.outcomes.push(contest.hold(rounds));
    }
    println!("{}", table(&record.outcomes));
    if only.is_empty() && !line.has("no-record") {
        let folder = record.write().map_err(|error| error.to_string())?;
        println!("Recorded in {}", folder.display());
    }
    Ok(record.outcomes.iter().all(|outcome| outcome.reached() != Some(false)))
}
