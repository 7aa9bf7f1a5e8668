use super::known;
use crate::{
    args::{AnalyzeArgs, Moment, RestrictArgs},
    exit::Failure,
    filter::{self, Unsuited},
};
use kcap_analyze::{Options, Restrict, wire::DecodeConfig};
use kcap_file::{Batch, Inputs, Source as _};
use std::{path::PathBuf, thread};

/// The engine's options.
pub(super) fn options(args: &AnalyzeArgs, unsuited: &Unsuited) -> Result<Options, Failure> {
    let threads = args.threads.map_or_else(threads, usize::from);
    Ok(Options {
        threads,
        memory: args.memory,
        decode: DecodeConfig { udp_tunnels: args.decode_as.iter().copied().map(Into::into).collect() },
        restrict: restrict(&args.restrict, &args.files, unsuited)?,
        compat: args.tables.compat,
        names: known::names(args)?,
        conntrack: known::conntrack(args)?,
        // Tables that a thread of their own writes are finished afterwards, and what that takes comes on top.
        is_last: args.tables.dir.is_none() || threads == 1,
    })
}

/// More than two cost more than they save: what tracks is what takes time, and packets would change caches twice.
fn threads() -> usize {
    const MOST: usize = 2;
    thread::available_parallelism().map_or(1, |processors| processors.get().min(MOST))
}

fn restrict(args: &RestrictArgs, files: &[PathBuf], unsuited: &Unsuited) -> Result<Restrict, Failure> {
    let (since_ns, until_ns) = times(args, files)?;
    Ok(Restrict {
        since_ns,
        until_ns,
        hosts: args.host.clone(),
        ports: args.port.clone(),
        connection: args.connection.map(|connection| (connection.0, connection.1)),
        frames: if args.bpf.is_empty() { None } else { Some(bpf(&args.bpf.join(" "), unsuited)?) },
    })
}

fn bpf(expression: &str, unsuited: &Unsuited) -> Result<Box<dyn kcap_analyze::FrameFilter>, Failure> {
    filter::compile(expression, unsuited).map_err(|error| {
        Failure::usage_error(error).hint(Some("--host and --port need no libpcap, and match inside tunnels too"))
    })
}

fn times(args: &RestrictArgs, files: &[PathBuf]) -> Result<(Option<i64>, Option<i64>), Failure> {
    let relative = [args.since, args.until].iter().any(|moment| matches!(moment, Some(Moment::AfterStart(_))));
    let first_ns = if relative { first_ns(files)? } else { 0 };
    let ns = |moment: Option<Moment>| moment.map(|moment| moment.ns(first_ns));
    let (since, until) = (ns(args.since), ns(args.until));
    if since.zip(until).is_some_and(|(since, until)| since > until) {
        return Err(Failure::usage("--since is later than --until"));
    }
    Ok((since, until))
}

/// Time of the first packet, which the files are opened once more for.
fn first_ns(files: &[PathBuf]) -> Result<i64, Failure> {
    if files.iter().any(|file| file.as_os_str() == "-") {
        return Err(Failure::usage("times after the first packet: standard input can be read only once")
            .hint(Some("use RFC 3339 times, or a file")));
    }
    let mut batch = Batch::default();
    Inputs::open(files).next_batch(&mut batch);
    Ok(batch.records.iter().map(|record| record.ts_ns).min().unwrap_or(0))
}
