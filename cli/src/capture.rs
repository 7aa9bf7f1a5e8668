//! `kcap TARGET…`: a capture, then what the analysis says of it. And what else is asked of a node.

mod conntrack;
mod targets;

pub(crate) use conntrack::run as conntrack;
pub(crate) use targets::run as targets;

use crate::{
    args::{CaptureCommand, Cli, Command, ExplainFilterArgs},
    exit::{Exit, Failure},
    stream::Streams,
};
use anstream::{eprint, eprintln};
use clap::Parser as _;
use kcap_node::{CaptureError, Destination, End, Observer, Plan, Status, Summary};
use std::ffi::OsString;
use std::io::{self, IsTerminal as _};

const PROGRAM: &str = concat!("kcap ", env!("CARGO_PKG_VERSION"));

/// With the exit code and hint of the error; by `?` alone both would be lost.
fn failure(error: CaptureError) -> Failure {
    let exit = match error.exit_code() {
        2 => Exit::Usage,
        77 => Exit::Permission,
        _ => Exit::Failed,
    };
    let hint = error.hint();
    Failure::new(exit, error).hint(hint)
}

pub(crate) fn run(args: &CaptureCommand, streams: &Streams) -> Result<Exit, Failure> {
    let resolved = kcap_node::resolve(&args.targets, &args.pods).map_err(failure)?;
    let mut plan: Plan = args.capture.plan(resolved.targets, &args.filter, PROGRAM).map_err(failure)?;
    plan.names = resolved.names;
    plan.except_own(&resolved.places);
    let mut console = Console { quiet: args.quiet, terminal: io::stderr().is_terminal() };
    let summary = kcap_node::capture(&resolved.places, &plan, &mut console).map_err(failure)?;
    console.clear();
    if !args.quiet {
        eprintln!("kcap: {summary}");
    }
    let captured = if summary.is_complete() { Exit::Done } else { Exit::Incomplete };
    if args.no_analyze || summary.packets == 0 || plan.output.destination == Destination::Stdout {
        return Ok(nothing(&summary).unwrap_or(captured));
    }
    let analysed = analyze(&summary, streams)?;
    Ok(if analysed == Exit::Done { captured } else { analysed })
}

/// The files through `kcap analyze`.
fn analyze(summary: &Summary, streams: &Streams) -> Result<Exit, Failure> {
    let words = ["kcap", "analyze", "--quiet"].map(OsString::from);
    let files = summary.files.iter().map(|file| std::path::Path::new(".").join(file).into_os_string());
    let cli = Cli::try_parse_from(words.into_iter().chain(files)).map_err(Failure::usage_error)?;
    match cli.command {
        Command::Analyze(args) => crate::analyze::run(&args, streams),
        _ => Ok(Exit::Done),
    }
}

/// Interrupted before the first packet.
fn nothing(summary: &Summary) -> Option<Exit> {
    (summary.packets == 0 && matches!(summary.end, End::Signal(_))).then_some(Exit::Interrupted)
}

/// What is said while capturing, on standard error.
struct Console {
    quiet: bool,
    terminal: bool,
}

impl Console {
    fn clear(&self) {
        if self.terminal && !self.quiet {
            eprint!("\r\x1b[K");
        }
    }
}

impl Observer for Console {
    fn started(&mut self, interfaces: &[String]) {
        if !self.quiet {
            eprintln!("kcap: capturing on {}; Ctrl-C ends it", interfaces.join(", "));
        }
    }

    fn status(&mut self, status: &Status) {
        if self.terminal && !self.quiet {
            eprint!("\r\x1b[K{status}");
        }
    }

    fn warn(&mut self, warning: &str) {
        self.clear();
        eprintln!("kcap: {warning}");
    }
}

/// `kcap filter explain`: the program, as `tcpdump -d` would print it.
pub(crate) fn explain_filter(args: &ExplainFilterArgs, streams: &Streams) -> Result<Exit, Failure> {
    let link_type = if args.no_ethernet { kcap_file::LinkType::RAW } else { kcap_file::LinkType::ETHERNET };
    let wanted = args.filter.wanted();
    let program = wanted.explain(link_type, args.loopback).map_err(failure)?;
    let text = wanted.text().unwrap_or_else(|| "every packet".to_owned());
    let count = program.instructions().len();
    streams.print(format!("# {text}: {count} instructions of 4096\n{program}").as_bytes())?;
    Ok(Exit::Done)
}
