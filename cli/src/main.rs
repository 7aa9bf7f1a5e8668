//! The command `kcap`: arguments, terminal rendering and exit codes. Everything else is in the libraries.

#[macro_use]
mod say;

mod analyze;
mod args;
#[cfg(all(target_os = "linux", feature = "libpcap"))]
mod capture;
mod exit;
mod explain;
mod filter;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod heap;
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
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    heap::keep_small();
    #[cfg(all(target_os = "linux", feature = "libpcap"))]
    let arguments = args::with_command(std::env::args_os());
    #[cfg(not(all(target_os = "linux", feature = "libpcap")))]
    let arguments = std::env::args_os();
    match Cli::try_parse_from(arguments) {
        Ok(cli) => exit::settle(run(cli)),
        Err(error) => hint::usage(&error),
    }
}

fn run(cli: Cli) -> Result<Exit, Failure> {
    let streams = stream::Streams::new(cli.color.color.into());
    match cli.command {
        #[cfg(all(target_os = "linux", feature = "libpcap"))]
        Command::Capture(args) => capture::run(&args, &streams),
        #[cfg(all(target_os = "linux", feature = "libpcap"))]
        Command::Targets(args) => capture::targets(&args, &streams),
        #[cfg(all(target_os = "linux", feature = "libpcap"))]
        Command::Conntrack(args) => capture::conntrack(&args, &streams),
        #[cfg(all(target_os = "linux", feature = "libpcap"))]
        Command::Filter(args) => match args.what {
            args::FilterWhat::Explain(args) => capture::explain_filter(&args, &streams),
        },
        Command::Analyze(args) => {
            #[cfg(all(target_os = "linux", target_env = "gnu"))]
            heap::make_room();
            analyze::run(&args, &streams)
        }
        Command::Explain(args) => explain::run(&args, &streams),
        Command::Schema(args) => schema::run(&args, &streams),
        Command::Completion(args) => shell::completion(&args, &streams),
        Command::Man(args) => shell::man(&args, &streams),
    }
}
