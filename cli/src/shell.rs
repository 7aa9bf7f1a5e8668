//! `kcap completion` and `kcap man`.

use crate::{
    args::{Cli, CompletionArgs, ManArgs},
    exit::{Exit, Failure},
    stream::Streams,
};
use clap::CommandFactory as _;

pub(crate) fn completion(args: &CompletionArgs, streams: &Streams) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "kcap", &mut script);
    streams.print_plain(&script)?;
    Ok(Exit::Done)
}

pub(crate) fn man(args: &ManArgs, streams: &Streams) -> Result<Exit, Failure> {
    let mut command = Cli::command();
    // Names subcommands "kcap analyze" and gives them the global options.
    command.build();
    let command = match &args.command {
        None => command,
        Some(name) => command.find_subcommand(name).cloned().ok_or_else(|| unknown(name))?,
    };
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    streams.print_plain(&page)?;
    Ok(Exit::Done)
}

fn unknown(name: &str) -> Failure {
    Failure::usage(format!("man {name}: kcap has no such command"))
}
