use super::COLUMN;
use crate::render::{
    Page,
    units::{bytes, count, counted, duration},
};
use chrono::DateTime;
use kcap_analyze::{
    Report,
    finding::{Between, CaptureSummary, Cluster, ConnectionCounts, Ladder, Rung, Talker, TunnelSummary},
};

/// Talkers and tunnels shown; the report has more.
const SHOWN: usize = 5;
/// Files shown, the newest: a capture that ran for days has thousands of parts.
const FILES: usize = 24;
/// Parts of the way shown: all of four captures.
const MATRIX: usize = 12;

pub(super) fn overview(page: &mut Page, report: &Report) {
    page.heading("Captured");
    captures(page, &report.captures);
    protocols(page, report);
    talkers(page, &report.summary.talkers);
    tunnels(page, &report.summary.tunnels);
    cluster(page, &report.summary.cluster);
    between(page, &report.summary.between);
    connections(page, &report.summary.connections);
    ladder(page, report.ladder);
}

fn captures(page: &mut Page, files: &[CaptureSummary]) {
    let (older, shown) = files.split_at(files.len().saturating_sub(FILES));
    if !older.is_empty() {
        let packets = counted(older.iter().map(|file| file.packets).sum(), "packet");
        page.line(&format!("{}, {packets} (-o json has all)", counted(older.len() as i64, "older file")));
    }
    for file in shown {
        capture(page, file);
    }
}

fn capture(page: &mut Page, capture: &CaptureSummary) {
    let compression = capture.compression.iter().map(|name| format!(", {name}"));
    let kind = format!("{}{}", capture.format, compression.collect::<String>());
    let size = format!("{}, {}", counted(capture.packets, "packet"), bytes(capture.bytes));
    let complete = if capture.complete { "" } else { ", incomplete" };
    page.line(&format!("{}: {kind}, {size}{}{complete}", capture.file, span(capture)));
    if capture.points.iter().any(|point| *point != capture.file) {
        page.entry(COLUMN, "  points", &capture.points.join(", "));
    }
    for problem in &capture.problems {
        page.entry(COLUMN, "  problem", problem);
    }
}

fn span(capture: &CaptureSummary) -> String {
    let (Some(first), Some(last)) = (&capture.first, &capture.last) else { return String::new() };
    let times = DateTime::parse_from_rfc3339(first).ok().zip(DateTime::parse_from_rfc3339(last).ok());
    let lasted = times.and_then(|(first, last)| (last - first).to_std().ok());
    let lasted = lasted.map_or_else(String::new, |lasted| format!("{} ", duration(lasted)));
    format!(", {lasted}from {first}")
}

fn protocols(page: &mut Page, report: &Report) {
    let mut protocols: Vec<_> = report.summary.protocols.iter().collect();
    protocols.sort_by_key(|(_, number)| std::cmp::Reverse(**number));
    let text: Vec<_> = protocols.iter().map(|(name, number)| format!("{} {name}", count(**number))).collect();
    if !text.is_empty() {
        page.entry(COLUMN, "seen", &text.join(", "));
    }
}

fn talkers(page: &mut Page, talkers: &[Talker]) {
    if talkers.is_empty() {
        return;
    }
    page.heading("Top talkers");
    for talker in talkers.iter().take(SHOWN) {
        let name = talker.name.iter().map(|name| format!(" ({name})"));
        let sent = format!("sent {}, received {}", bytes(talker.sent_bytes), bytes(talker.received_bytes));
        let connections = counted(talker.connections, "connection");
        page.line(&format!("{}{}: {sent}, {connections}", talker.address, name.collect::<String>()));
    }
}

fn tunnels(page: &mut Page, tunnels: &[TunnelSummary]) {
    if tunnels.is_empty() {
        return;
    }
    page.heading("Tunnels");
    for tunnel in tunnels.iter().take(SHOWN) {
        let id = tunnel.id.iter().map(|id| format!(" {id}"));
        let (there, back) = (counted(tunnel.packets_ab, "packet"), count(tunnel.packets_ba));
        let ends = format!("{} to {}", tunnel.a, tunnel.b);
        page.line(&format!("{}{}: {ends} {there}, back {back}", tunnel.kind, id.collect::<String>()));
    }
    if tunnels.len() > SHOWN {
        page.line(&format!("and {} more (-o json or the table tunnels has all)", tunnels.len() - SHOWN));
    }
}

fn cluster(page: &mut Page, cluster: &Cluster) {
    if cluster.is_empty() {
        return;
    }
    page.heading("Cluster, as these captures show it");
    if !cluster.nodes.is_empty() {
        page.entry(COLUMN, "nodes", &format!("{} (ends of tunnels)", few(&cluster.nodes)));
    }
    for pods in cluster.pods.iter().take(SHOWN) {
        let node = pods.behind.as_ref().map(|node| format!(" behind {node}")).unwrap_or_default();
        let seen = counted(pods.addresses, "address");
        page.entry(COLUMN, "pods", &format!("{}{node} ({seen} seen)", pods.range));
    }
    if let Some(services) = &cluster.services {
        let seen = counted(services.addresses, "address");
        page.entry(COLUMN, "services", &format!("{} ({seen} translated)", services.range));
    }
    if let Some(domain) = &cluster.domain {
        page.entry(COLUMN, "domain", &format!("{domain} (from search lists)"));
    }
}

fn few(names: &[String]) -> String {
    let shown = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = names.len().saturating_sub(SHOWN);
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

/// Loss and delay of each part of the way, where several captures saw it, and clocks that differ.
fn between(page: &mut Page, all: &[Between]) {
    let Some(first) = all.first() else { return };
    page.heading("Between the captures");
    for way in all.iter().take(MATRIX) {
        let lost = format!("{} of {} lost", count(way.lost_packets), counted(way.sent_packets, "packet"));
        let delay = delay(way).map(|delay| format!(", {delay}")).unwrap_or_default();
        page.line(&format!("{} to {}: {lost}{delay}", short(&way.from), short(&way.to)));
    }
    if all.len() > MATRIX {
        page.line(&format!("and {} more (-o json or the table segments has all)", all.len() - MATRIX));
    }
    for way in all.iter().filter(|way| way.from == first.from) {
        let clock = way.clock_offset_us.zip(way.clock_bound_us).filter(|(offset, bound)| offset.abs() > *bound);
        if let Some((offset, bound)) = clock {
            let ahead = if offset > 0.0 { "ahead of" } else { "behind" };
            let (offset, bound) = (micros(offset.abs()), micros(bound));
            page.line(&format!("clock of {} {offset} ± {bound} {ahead} {}", short(&way.to), short(&way.from)));
        }
    }
}

/// How long packets take, as far as the clocks are known.
fn delay(way: &Between) -> Option<String> {
    let (p50, p99) = way.delay_p50_us.zip(way.delay_p99_us)?;
    let bound = way.clock_bound_us.unwrap_or_default();
    Some(if bound * 2.0 < p50 {
        format!("{} (99 %: {})", micros(p50), micros(p99))
    } else {
        format!("at most {}", micros(p99 + bound))
    })
}

/// The name of a file without its folder.
fn short(file: &str) -> &str {
    file.rsplit('/').next().unwrap_or(file)
}

fn micros(us: f64) -> String {
    if us >= 1000.0 { format!("{:.1} ms", us / 1000.0) } else { format!("{us:.0} µs") }
}

fn connections(page: &mut Page, counts: &ConnectionCounts) {
    let parts = [
        (counts.established, "established"),
        (counts.reset, "of these reset later"),
        (counts.refused, "refused"),
        (counts.unanswered, "unanswered"),
        (counts.rejected, "rejected by ICMP"),
        (counts.midstream, "open before the capture"),
    ];
    let seen: Vec<_> =
        parts.iter().filter(|(number, _)| *number > 0).map(|(n, name)| format!("{} {name}", count(*n))).collect();
    if !seen.is_empty() {
        page.heading("TCP connections");
        page.line(&seen.join(", "));
    }
}

/// The rungs that something was seen of.
fn ladder(page: &mut Page, ladder: Ladder) {
    let rungs = [
        ("DNS", ladder.dns),
        ("endpoints", ladder.endpoints),
        ("pod addresses", ladder.pod_ip),
        ("policy", ladder.policy),
        ("overlay", ladder.overlay),
        ("MTU", ladder.mtu),
        ("TCP", ladder.tcp),
    ];
    let seen: Vec<_> = rungs.iter().filter_map(|(name, rung)| Some(format!("{name} {}", rung_word(*rung)?))).collect();
    if !seen.is_empty() {
        page.heading("Layer by layer");
        page.line(&seen.join(", "));
    }
}

fn rung_word(rung: Rung) -> Option<&'static str> {
    match rung {
        Rung::Ok => Some("ok"),
        Rung::Degraded => Some("degraded"),
        Rung::Broken => Some("broken"),
        Rung::NotSeen => None,
    }
}
