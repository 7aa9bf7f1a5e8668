//! Runs the program `kcap` on the cases of `kcap-samples`.

use kcap_samples::case::{Case, Outcome, Run};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, fs, io};

/// The program under test: `KCAP_BIN`, or the one that was built beside this test.
///
/// # Errors
/// There is none; `cargo build -p kcap` makes it.
pub fn program() -> io::Result<PathBuf> {
    if let Some(path) = env::var_os("KCAP_BIN") {
        return Ok(path.into());
    }
    // target/debug/deps/cases-0123 → target/debug/kcap
    let test = env::current_exe()?;
    let beside = test.ancestors().nth(2).unwrap_or(Path::new(".")).join(format!("kcap{}", env::consts::EXE_SUFFIX));
    if beside.is_file() {
        Ok(beside)
    } else {
        Err(io::Error::other(format!("no {}: run cargo build -p kcap", beside.display())))
    }
}

fn command(case: &Case, run: &Run) -> io::Result<Command> {
    let mut command = Command::new(program()?);
    command
        .current_dir(&case.folder)
        .env("NO_COLOR", "1")
        .env_remove("COLUMNS")
        .arg("analyze")
        .args(&run.args)
        .args(&run.files);
    Ok(command)
}

/// Analyses the captures of a run: report and all tables.
///
/// # Errors
/// The program cannot be started, or what it wrote cannot be read.
pub fn outcome(case: &Case, run: &Run) -> io::Result<Outcome> {
    let folder = tempfile::tempdir()?;
    let tables = folder.path().join("tables");
    let mut command = command(case, run)?;
    let output = command.args(["-o", "json", "--packets", "--format", "ndjson", "-O"]).arg(&tables).output()?;
    Ok(Outcome {
        exit: output.status.code().unwrap_or(-1),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        report: parse(&output)?,
        tables: read_tables(&tables)?,
    })
}

fn parse(output: &Output) -> io::Result<Value> {
    if output.stdout.is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_slice(&output.stdout)?) }
}

fn read_tables(folder: &Path) -> io::Result<BTreeMap<String, Vec<Value>>> {
    let mut tables = BTreeMap::new();
    if !folder.is_dir() {
        return Ok(tables);
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let rows = fs::read_to_string(&path)?.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        tables.insert(name, rows);
    }
    Ok(tables)
}

/// What a terminal shows for all runs of a case.
///
/// # Errors
/// The program cannot be started.
pub fn terminal(case: &Case) -> io::Result<String> {
    let mut text = String::new();
    for run in &case.runs {
        let output = command(case, run)?.output()?;
        let words = [&["kcap analyze".to_owned()], &run.args[..], &run.files[..]].concat();
        let (report, notes) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        text.extend(["$ ", &words.join(" "), "\n", &report, &notes, "\n"]);
    }
    Ok(text)
}
