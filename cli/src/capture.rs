//! `kcap TARGET…`: a capture, then what the analysis says of it. And what else is asked of a node.

mod along;
mod conntrack;
mod console;
mod offer;
mod stop;
mod targets;

pub(crate) use conntrack::run as conntrack;
pub(crate) use targets::run as targets;

use crate::{
    args::{CaptureCommand, Cli, Command, ExplainFilterArgs, ReportArgs},
    exit::{Exit, Failure},
    stream::Streams,
};
use along::Along;
use clap::Parser as _;
use console::{Console, Watch};
use kcap_node::{CaptureArgs, CaptureError, End, Plan, Rotate, Summary};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

const PROGRAM: &str = concat!("kcap ", env!("CARGO_PKG_VERSION"));
/// How often --stop-on looks, where nobody says how long parts are.
const STOP_EVERY: Duration = Duration::from_secs(30);
/// Bytes for an analysis beside a capture, which must not lose packets.
const MEMORY: u64 = 128 << 20;

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
    let mut console = Console::new(args.report.quiet);
    let (resolved, plan) = plan(args, &mut console)?;
    console.set_watch(Watch { stop_on: args.stop_on.clone(), along: !args.no_analyze });
    let summary = kcap_node::capture(resolved, &plan, &mut console).map_err(failure)?;
    console.note(&summary.to_string());
    if !args.report.quiet {
        explain(&summary, &plan);
    }
    let captured = if summary.is_complete() { Exit::Done } else { Exit::Incomplete };
    if args.no_analyze || summary.hurried || summary.packets == 0 {
        return Ok(nothing(&summary).unwrap_or(captured));
    }
    // What was fed last is not in the file where the disk was full.
    let analysed = match console.take_along().filter(|_| summary.end != End::DiskFull) {
        Some(along) => read_along(along, &summary, args, streams)?,
        None => analyze(&summary, args, streams)?,
    };
    Ok(if analysed == Exit::Done { captured } else { analysed })
}

fn plan(args: &CaptureCommand, console: &mut Console) -> Result<(kcap_node::Resolved, Plan), Failure> {
    let capture = rotated(args)?;
    // Before anything is asked of the runtime: what is typed wrong is wrong on every node.
    let mut plan: Plan = capture.plan(&args.filter, PROGRAM).map_err(failure)?;
    if let Some(translation) = args.capture.translation() {
        console.note(&translation);
    }
    let resolved = offer::resolve(&args.targets, &args.pods, |text| console.note(text))?;
    plan.set_targets(&resolved);
    Ok((resolved, plan))
}

/// Parts, where findings are to be looked for in them.
fn rotated(args: &CaptureCommand) -> Result<CaptureArgs, Failure> {
    let mut capture = args.capture.clone();
    let letters = &capture.letters;
    if !args.stop_on.is_empty() && capture.rotate.is_empty() && letters.megabytes.or(letters.seconds).is_none() {
        capture.rotate = vec![Rotate::Time(STOP_EVERY)];
    }
    if !args.stop_on.is_empty() && capture.write.as_deref() == Some(Path::new("-")) {
        return Err(Failure::usage("--stop-on looks at finished files: name a file or folder with -w"));
    }
    Ok(capture)
}

/// What was found while capturing. Where that is not all, the files are read again: they are what people have.
fn read_along(along: Along, summary: &Summary, args: &CaptureCommand, streams: &Streams) -> Result<Exit, Failure> {
    let read = along.conclude()?;
    let (analysed, packets) = (read.packets(), summary.packets);
    if read.behind && !summary.files.is_empty() {
        if summary.forgotten > 0 {
            eprintln!(
                "kcap: the analysis fell behind after {analysed} of {packets} packets; what follows is of the files"
            );
        }
        return analyze(summary, args, streams);
    }
    if read.behind {
        let share = analysed * 100 / packets.max(1);
        eprintln!("kcap: the analysis fell behind; it is of the first {analysed} of {packets} packets ({share} %)");
    }
    let aside = streams.aside();
    let streams = if summary.files.is_empty() { &aside } else { streams };
    crate::analyze::tell(&read.report, &args.report, read.behind, streams)
}

/// What the summary does not say by itself.
fn explain(summary: &Summary, plan: &Plan) {
    if summary.packets == 0 && summary.end != End::Closed {
        let on: Vec<&str> = summary.interfaces.iter().map(|(name, ..)| name.as_str()).collect();
        let what = plan.wanted.text().map(|filter| format!(" matched {filter}; see what comes without"));
        let hint = what.map_or_else(
            || format!("no packet came on {}", on.join(", ")),
            |what| format!("no packet on {}{what}", on.join(", ")),
        );
        eprintln!("hint: {hint}");
    }
    if summary.forgotten > 0 {
        eprintln!("kcap: {} older files were removed, as asked", summary.forgotten);
    }
}

/// The files through `kcap analyze`.
fn analyze(summary: &Summary, args: &CaptureCommand, streams: &Streams) -> Result<Exit, Failure> {
    let words = ["kcap", "analyze"].map(OsString::from);
    let files = summary.files.iter().map(|file| not_an_option(file).into_os_string());
    let cli = Cli::try_parse_from(words.into_iter().chain(files)).map_err(Failure::usage_error)?;
    let Command::Analyze(mut analyze) = cli.command else { return Ok(Exit::Done) };
    analyze.report = ReportArgs { quiet: true, ..args.report.clone() };
    crate::analyze::run(&analyze, streams)
}

/// A file whose name begins with a dash, by a name that does not.
fn not_an_option(file: &Path) -> PathBuf {
    let is_option = file.as_os_str().as_encoded_bytes().starts_with(b"-");
    if is_option { Path::new(".").join(file) } else { file.to_owned() }
}

/// Interrupted before the first packet.
fn nothing(summary: &Summary) -> Option<Exit> {
    (summary.packets == 0 && matches!(summary.end, End::Signal(_))).then_some(Exit::Interrupted)
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
