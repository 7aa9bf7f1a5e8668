//! The whole: source in, rows to the sink, report out.

use crate::Directory;
use crate::Options;
use crate::collect::{Collector, Late, Names};
use crate::context::{Told, Vantage, note_missing_end};
use crate::detect::capture_drops::reported_drops;
use crate::detect::found::{Found, Judged, judge};
use crate::detect::world::{Facts, World};
use crate::finding::{CaptureSummary, Finding, Report, TableSummary};
use crate::ingest::Ingest;
use crate::path;
use crate::pipeline::{self, Finished};
use crate::story::Story;
use crate::table::{
    CaptureRow, ClockRow, DecodeRow, FindingRow, HopRow, Label, PointRow, Row, SegmentRow, Sink, SinkError, TABLES,
    Time, TunnelRow,
};
use crate::tell::what_if_rows;
use crate::time::rfc3339;
use crate::track::shard::Memory;
use crate::verdict::{ladder, not_judged};
use kcap_file::{CaptureInfo, Compression, Format, Problem, ProblemKind, Source};
use std::collections::BTreeMap;

/// Who has how much of the memory.
struct Shares {
    /// Datagrams that wait for fragments.
    fragments: usize,
    /// Connections that ended, until all captures are read and they can be put together.
    ended: u64,
    /// Queries that are put together to lookups.
    lookups: u64,
    /// Queries that were answered or given up, for detectors.
    queries: u64,
    /// What is open: live connections have most.
    trackers: Memory,
}

/// Share of what live connections have for the second look at TCP, where it is wanted.
const COMPAT_SHARE: u64 = 3;
/// Share of it for when packets passed, where somebody wants to know.
const PASSAGE_SHARE: u64 = 8;

impl Shares {
    fn of(memory: u64, has_compat: bool, has_passages: bool) -> Self {
        let part = memory / 32;
        let flows = part * 24;
        let compat = has_compat.then_some(flows / COMPAT_SHARE);
        let passages = has_passages.then_some(flows / PASSAGE_SHARE);
        let flows = flows - compat.unwrap_or_default() - passages.unwrap_or_default();
        Self {
            fragments: usize::try_from(part).unwrap_or(usize::MAX),
            ended: part * 2,
            lookups: part,
            queries: part / 2,
            trackers: Memory { flows, dns: part * 2, compat, passages },
        }
    }
}

/// Analyses everything the source has: rows of the tables go to the sink while reading, the report comes at the end.
///
/// # Errors
/// The sink cannot take rows. Files that cannot be read are no error here: the report says so.
pub fn analyze(source: Box<dyn Source>, options: Options, sink: &mut dyn Sink) -> Result<Report, SinkError> {
    let story = options.restrict.connection.map(|_| Story::default());
    let restricted = options.restrict.is_any();
    let shares = Shares::of(options.memory, options.compat.is_some(), sink.wants(HopRow::SPEC.name));
    let keep_untracked = sink.wants("packets") || story.is_some();
    let ingest = Ingest::new(options.decode, options.restrict, shares.fragments, keep_untracked);
    let mut collector = Collector::new(sink, story, Facts::new(shares.ended, shares.queries), shares.lookups);
    collector.has_compat = options.compat.is_some();
    collector.facts.names = options.names;
    collector.facts.servers.kept.conntrack = options.conntrack;
    let mut finished = pipeline::run(source, ingest, shares.trackers, options.threads, &mut collector)?;
    collector.fragments(&finished.ingest.finish())?;
    finished.captures.iter_mut().for_each(note_missing_end);
    collector.facts.listen(Vantage::of(&finished.captures, finished.ingest.points.list()));
    let told = Told::of(&finished.captures);
    told.add_to(&mut collector.facts.servers.kept.conntrack);
    collector.lookups(told.resolvers())?;
    collector.flush()?;
    let report = conclude(&finished, &mut collector, restricted, options.threads);
    if options.is_last {
        std::mem::forget((finished, collector));
    }
    report
}

fn conclude(
    finished: &Finished,
    collector: &mut Collector<'_>,
    restricted: bool,
    threads: usize,
) -> Result<Report, SinkError> {
    collector.facts.settle();
    finished.captures.iter().for_each(|info| collector.facts.names.add_resolved(&info.names));
    let mut findings = judge(&world(finished, collector, restricted), threads);
    findings.kept.iter_mut().for_each(|finding| name_subjects(finding, &collector.facts.names));
    collector.totals.join(&collector.facts.servers.kept);
    let world = world(finished, collector, restricted);
    let mut summary = collector.totals.summary(&collector.names, world.tunnel_uses);
    for talker in &mut summary.talkers {
        talker.name = world.facts.names.name(&talker.address, LATEST);
    }
    let domains = world.facts.lookups.clients().into_iter().filter_map(|client| client.search.cluster_domain());
    let kept = &world.facts.servers.kept;
    summary.cluster = path::cluster::cluster(kept, world.tunnels, domains.map(str::to_owned).next());
    let between = path::rows::between_units(kept, &world.unit_spans(), &collector.names);
    summary.between = path::rows::between(&between.0, &between.1);
    let ladder = ladder(&world, &findings.kept, &summary.connections);
    let not_judged = not_judged(&world);
    let limits_hit = limits(finished, collector, &findings);
    let captures = finished.captures.iter().enumerate().map(|(at, info)| capture(at, info, &collector.names)).collect();
    let tables = write_tables(finished, collector, &findings.kept, between)?;
    let names = finished.captures.iter().map(|info| info.name.clone()).collect::<Vec<_>>();
    let name = |capture: u32| names.get(capture as usize).cloned().unwrap_or_default();
    Ok(Report {
        schema: Report::SCHEMA,
        captures,
        findings: findings.kept,
        summary,
        ladder,
        story: collector.story.take().map(|story| story.finish(name)).unwrap_or_default(),
        not_judged,
        tables,
        limits_hit,
    })
}

/// A time after all others.
const LATEST: &str = "9999";

/// Names those whom a finding is about, as they were called then.
fn name_subjects(finding: &mut Finding, names: &Directory) {
    for subject in &mut finding.subjects {
        subject.name = subject.name.take().or_else(|| names.name(&subject.address, &finding.last));
    }
    finding.name_pod(names);
}

fn world<'a>(finished: &'a Finished, collector: &'a Collector<'_>, restricted: bool) -> World<'a> {
    World {
        facts: &collector.facts,
        captures: &finished.captures,
        points: finished.ingest.points.list(),
        decoded: &finished.ingest.decoded,
        tunnels: finished.ingest.tunnels.list(),
        tunnel_uses: finished.ingest.tunnels.uses(),
        restricted,
        findings: Found::default(),
    }
}

fn limits(finished: &Finished, collector: &Collector<'_>, findings: &Judged) -> Vec<String> {
    let (ingest, left_out) = (&finished.ingest, finished.left_out);
    let facts = &collector.facts;
    let caps = [
        (left_out.flows, "connections were cut in two or more rows: --memory was full"),
        (left_out.echoes, "pings were given up early: too many waited"),
        (collector.ties.left_out, "DNS transactions may count again where another capture has them"),
        (left_out.dns, "DNS questions were given up before their answer could come: --memory was full"),
        (left_out.compat, "conversations began anew for --compat: --memory was full"),
        (left_out.passages, "packets are in no delay of the table hops: --memory was full"),
        (left_out.arps, "ARP questions were not followed: too many waited"),
        (ingest.points.left_out, "frames came from more capture points than are kept"),
        (ingest.tunnels.left_out, "frames came through more tunnels than are kept"),
        (
            ingest.fragments.counts().evicted,
            "datagrams were given up before all their fragments came: --memory was full",
        ),
        (facts.servers.left_out, "connections went to more servers than are compared"),
        (facts.turns.left_out, "requests went to more servers than are compared"),
        (facts.servers.kept.left_out, "connections were only counted and not compared with others: --memory was full"),
        (
            facts.left_out + facts.path_mtu.left_out + facts.fragments.left_out + facts.dns.left_out,
            "facts were left out: too many of their kind",
        ),
        (collector.lookups.untold.ambiguous, "queries may belong to several lookups and count as lookups of their own"),
        (
            collector.lookups.untold.early,
            "queries were put together to lookups before all of these came: --memory was full",
        ),
        (facts.lookups.left_out, "lookups are in no finding: too many clients or names"),
        (facts.lookups.names_left_out(), "lookups are not listed by name: too many names"),
        (collector.totals.left_out, "connection ends are missing among the top talkers"),
        (collector.story.as_ref().map_or(0, |story| story.left_out), "packets of the connection are not told"),
    ];
    let hit = caps.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
    let more = findings.left_out.iter().map(|(code, count)| format!("{count} more findings {code} are not shown"));
    hit.chain(more).collect()
}

fn format_name(format: Format) -> &'static str {
    match format {
        Format::Pcap => "pcap",
        Format::PcapNanos => "pcap-ns",
        Format::PcapModified => "pcap-modified",
        Format::Pcapng => "pcapng",
    }
}

fn compression_name(compression: Compression) -> Option<&'static str> {
    match compression {
        Compression::None => None,
        Compression::Gzip => Some("gzip"),
        Compression::Zstd => Some("zstd"),
    }
}

fn problems(info: &CaptureInfo) -> Vec<String> {
    let listed = info.problems.iter().map(|problem| {
        let skipped = match problem.skipped_bytes {
            0 => String::new(),
            bytes => format!(", {bytes} bytes skipped"),
        };
        format!("{} (byte {}, after frame {}{skipped})", problem.kind.name(), problem.offset, problem.after_frame)
    });
    let more = Some(info.problems_left_out).filter(|more| *more > 0).map(|more| format!("{more} more problems"));
    info.failure.iter().cloned().chain(listed).chain(more).collect()
}

/// Whether the file was read to its proper end and nothing of it is missing.
fn is_complete(info: &CaptureInfo) -> bool {
    let harmless = |problem: &Problem| matches!(problem.kind, ProblemKind::LongerThanSnaplen);
    info.failure.is_none() && info.problems_left_out == 0 && info.problems.iter().all(harmless)
}

fn capture(at: usize, info: &CaptureInfo, names: &Names) -> CaptureSummary {
    let points = names.points.iter().zip(&names.point_labels).filter(|(point, _)| point.capture as usize == at);
    CaptureSummary {
        file: info.name.clone(),
        format: format_name(info.format).to_owned(),
        compression: compression_name(info.compression).map(str::to_owned),
        packets: info.packets as i64,
        bytes: info.bytes as i64,
        first: info.first_ns.map(rfc3339),
        last: info.last_ns.map(rfc3339),
        points: points.map(|(_, name)| name.as_str().to_owned()).collect(),
        complete: is_complete(info),
        problems: problems(info),
    }
}

/// Writes the tables that are complete only at the end, and counts the rows of all.
fn write_tables(
    finished: &Finished,
    collector: &mut Collector<'_>,
    findings: &[Finding],
    (clocks, segments): (Vec<ClockRow>, Vec<SegmentRow>),
) -> Result<BTreeMap<&'static str, TableSummary>, SinkError> {
    let counts = collector.counts();
    let Collector { names, facts, sink, .. } = collector;
    let (names, kept) = (&*names, &facts.servers.kept);
    let points = || 0..names.points.len();
    let mut late = Late { sink: *sink, counts };
    late.write(finished.captures.iter().enumerate().map(|(at, info)| capture_row(at, info, names)))?;
    late.write(points().map(|at| point_row(at, finished, names)))?;
    late.write(points().flat_map(|at| decode_rows(at, finished, names)))?;
    late.write((1..names.tunnels.len()).filter_map(|at| tunnel_row(at, finished, names)))?;
    late.write(facts.lookups.clients().into_iter().flat_map(|client| what_if_rows(client, names)))?;
    late.write(findings.iter().map(finding_row))?;
    late.write(path::rows::nat_bindings(kept, names))?;
    late.write(path::rows::endpoint_rows(kept, names))?;
    late.write(path::rows::hop_rows(kept, names))?;
    late.write(clocks)?;
    late.write(segments)?;
    debug_assert!(late.counts.keys().all(|name| TABLES.iter().any(|table| table.name == *name)));
    Ok(late.counts.into_iter().map(|(name, rows)| (name, TableSummary { rows })).collect())
}

fn capture_row(at: usize, info: &CaptureInfo, names: &Names) -> CaptureRow {
    let problems = problems(info);
    let unit = names.points.iter().find(|point| point.capture as usize == at).map_or(0, |point| point.unit);
    CaptureRow {
        capture: Label::Shared(info.name.as_str().into()),
        unit: unit as i32,
        format: format_name(info.format),
        compression: compression_name(info.compression),
        packets: info.packets as i64,
        bytes: info.bytes as i64,
        captured_bytes: info.captured_bytes as i64,
        file_bytes: info.file_bytes as i64,
        first_ts_ns: info.first_ns,
        first_ts: info.first_ns.map(Time),
        last_ts_ns: info.last_ns,
        last_ts: info.last_ns.map(Time),
        interfaces: info.interfaces.len() as i32,
        sections: info.sections as i32,
        os: info.os.clone(),
        application: info.application.clone(),
        dropped: reported_drops(info).map(|drops| drops as i64),
        unknown_blocks: info.unknown_blocks as i64,
        complete: is_complete(info),
        problems: Some(problems.join("; ")).filter(|text| !text.is_empty()),
    }
}

fn point_row(at: usize, finished: &Finished, names: &Names) -> PointRow {
    let point = &names.points[at];
    let counts = finished.ingest.decoded.at(at).cloned().unwrap_or_default();
    let (first, last) = (counts.span_ns.map(|span| span.0), counts.span_ns.map(|span| span.1));
    PointRow {
        capture: names.capture(point.capture),
        point: names.point(at as u16),
        unit: point.unit as i32,
        link_type: point.link_type.to_string(),
        frames: counts.frames as i64,
        bytes: counts.bytes as i64,
        snapped_frames: counts.snapped as i64,
        malformed_frames: counts.malformed() as i64,
        fragments: counts.fragments as i64,
        backward_frames: counts.backwards as i64,
        first_ts_ns: first,
        first_ts: first.map(Time),
        last_ts_ns: last,
        last_ts: last.map(Time),
    }
}

fn decode_rows(at: usize, finished: &Finished, names: &Names) -> Vec<DecodeRow> {
    let Some(counts) = finished.ingest.decoded.at(at) else { return Vec::new() };
    let row = |line: &crate::track::decoded::LayerCount| DecodeRow {
        capture: names.capture(names.points[at].capture),
        point: names.point(at as u16),
        layer: line.name,
        decoded: line.decoded,
        frames: line.frames as i64,
        snapped: line.snapped as i64,
        malformed: line.malformed as i64,
    };
    counts.lines().iter().map(row).collect()
}

fn tunnel_row(at: usize, finished: &Finished, names: &Names) -> Option<TunnelRow> {
    let (tunnel, usage) = (names.tunnels.get(at)?, finished.ingest.tunnels.uses().get(at)?);
    let (first, last) = usage.span_ns.unwrap_or_default();
    Some(TunnelRow {
        capture: names.capture(usage.first.capture()),
        first_frame: usage.first.frame() as i64,
        ts_ns: first,
        ts: Time(first),
        duration_us: last.saturating_sub(first) / 1000,
        kind: tunnel.kind.name(),
        a_addr: tunnel.a,
        b_addr: tunnel.b,
        id: tunnel.id.map(Into::into),
        port: Some(i32::from(usage.port)).filter(|port| *port > 0),
        ab_frames: usage.ab.frames as i64,
        ba_frames: usage.ba.frames as i64,
        ab_bytes: usage.ab.bytes as i64,
        ba_bytes: usage.ba.bytes as i64,
    })
}

fn finding_row(finding: &Finding) -> FindingRow {
    let evidence = finding.evidence.first();
    let subjects = finding.subjects.iter().map(|subject| format!("{}={}", subject.role.name(), subject.address));
    FindingRow {
        code: finding.code,
        slug: finding.slug,
        severity: finding.severity.name(),
        confidence: finding.confidence,
        title: finding.title.clone(),
        subjects: subjects.collect::<Vec<_>>().join(" "),
        capture: evidence.map(|evidence| Label::Shared(evidence.file.as_str().into())).unwrap_or_default(),
        frame: evidence.and_then(|evidence| evidence.frames.first()).map(|frame| *frame as i64),
        first: finding.first.clone(),
        last: finding.last.clone(),
        filter: evidence.map(|evidence| evidence.filter.clone()).unwrap_or_default(),
        explanation: finding.explanation.clone(),
        fix: finding.fix.text.clone(),
    }
}
