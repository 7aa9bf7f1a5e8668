//! `kcap analyze`: arguments to options, files through the engine, the report to the terminal.

mod known;
mod options;
mod source;

use crate::{
    args::{AnalyzeArgs, ReportArgs, TableArgs},
    exit::{Exit, Failure},
    filter::Unsuited,
    render::{self, Screen},
    stream::Streams,
};
use kcap_analyze::{
    Report,
    table::{Null, Sink, SinkError, TABLES},
};
use kcap_file::Inputs;
use kcap_report::{Format, Layout, TableDir, TableError, behind};
use source::Watched;
use std::sync::PoisonError;

pub(crate) fn run(args: &AnalyzeArgs, streams: &Streams) -> Result<Exit, Failure> {
    let unsuited = Unsuited::default();
    let options = options::options(args, &unsuited)?;
    let tables = open_tables(&args.tables)?;
    let (source, seen) = Watched::new(Inputs::open(&args.files), !args.report.quiet);
    let (report, tables) = analyze(source, options, tables)?;
    let seen = seen.take();
    seen.print(args);
    print_unsuited(&unsuited);
    if let Some(exit) = seen.nothing_read() {
        return Ok(exit);
    }
    finish_tables(tables, args)?;
    tell(&report, &args.report, seen.any_failed(), streams)
}

/// Prints the report; the exit code it comes to.
pub(crate) fn tell(report: &Report, args: &ReportArgs, any_failed: bool, streams: &Streams) -> Result<Exit, Failure> {
    print(report, &args.output, streams)?;
    Ok(exit(report, args, any_failed))
}

fn analyze(
    source: Watched,
    options: kcap_analyze::Options,
    tables: Option<TableDir>,
) -> Result<(Report, Option<TableDir>), Failure> {
    let several = options.threads > 1;
    let engine = |sink: &mut dyn Sink| kcap_analyze::analyze(Box::new(source), options, sink);
    let (report, tables) = match tables {
        Some(mut tables) if several => (behind(&mut tables, engine), Some(tables)),
        Some(mut tables) => (engine(&mut tables), Some(tables)),
        None => (engine(&mut Null), None),
    };
    let report = report.map_err(|SinkError { table, source }| {
        Failure::from(anyhow::Error::from_boxed(source).context(format!("write table {table}")))
    })?;
    Ok((report, tables))
}

fn open_tables(args: &TableArgs) -> Result<Option<TableDir>, Failure> {
    let Some(dir) = &args.dir else { return Ok(None) };
    let format = Format::find(&args.format).unwrap_or(&kcap_report::FORMATS[0]);
    let on_demand = [("packets", args.packets), ("tcp_compat", args.compat.is_some())];
    let without = on_demand.into_iter().filter(|(_, wanted)| !wanted).map(|(table, _)| table).collect();
    let layout = Layout { format, tables: TABLES, without, overwrite: args.overwrite };
    TableDir::create(dir, layout).map(Some).map_err(|error| {
        let taken = matches!(error, TableError::NotEmpty { .. });
        Failure::from(error).hint(taken.then_some("name another folder, or replace its tables with --overwrite"))
    })
}

fn finish_tables(tables: Option<TableDir>, args: &AnalyzeArgs) -> Result<(), Failure> {
    if let (Some(tables), Some(dir)) = (tables, &args.tables.dir) {
        let files = tables.finish()?;
        if !args.report.quiet {
            eprintln!("kcap: wrote {} tables to {}", files.len(), dir.display());
        }
    }
    Ok(())
}

fn print(report: &Report, format: &str, streams: &Streams) -> Result<(), Failure> {
    let format = render::FORMATS.iter().find(|known| known.name == format).unwrap_or(&render::FORMATS[0]);
    let screen = Screen { width: streams.width(), terminal: streams.is_terminal() };
    let mut bytes = Vec::new();
    (format.render)(report, &screen, &mut bytes)?;
    let print = if format.styled { Streams::print } else { Streams::print_plain };
    Ok(print(streams, &bytes)?)
}

fn print_unsuited(unsuited: &Unsuited) {
    for (link, error) in unsuited.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        eprintln!("kcap: no {link} frame was analysed: the filter does not suit them: {error}");
    }
}

fn exit(report: &Report, args: &ReportArgs, any_failed: bool) -> Exit {
    let worst = report.findings.iter().map(|finding| finding.severity).max();
    let complete = report.captures.iter().all(|capture| capture.complete) && report.limits_hit.is_empty();
    if args.fail_on.is_some_and(|least| worst >= Some(least)) {
        Exit::Found
    } else if !complete || any_failed {
        Exit::Incomplete
    } else {
        Exit::Done
    }
}
