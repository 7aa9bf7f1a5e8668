//! The command `kcap`: arguments, terminal rendering and exit codes. Everything else is in the libraries.

mod analyze;
mod args;
mod exit;
mod explain;
mod filter;
mod hint;
mod render;
mod schema;
mod shell;
mod stream;

use args::{Cli, Command};
use clap::Parser as _;
use exit::{Exit, Failure};
use std::process::ExitCode;

fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => exit::settle(run(cli)),
        Err(error) => hint::usage(&error),
    }
}

fn run(cli: Cli) -> Result<Exit, Failure> {
    let streams = stream::Streams::new(cli.color.color.into());
    match cli.command {
        Command::Analyze(args) => analyze::run(&args, &streams),
        Command::Explain(args) => explain::run(&args, &streams),
        Command::Schema(args) => schema::run(&args, &streams),
        Command::Completion(args) => shell::completion(&args, &streams),
        Command::Man(args) => shell::man(&args, &streams),
    }
}
