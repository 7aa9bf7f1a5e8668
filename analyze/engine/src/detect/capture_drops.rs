use super::About;
use super::evidence::count_of;
use super::world::{Gaps, World};
use crate::finding::{Evidence, Finding, Severity};
use crate::time::union;
use kcap_file::CaptureInfo;
use std::collections::BTreeMap;

pub(super) const ABOUT: About = About {
    code: "CAP001",
    slug: "capture-drops",
    title: "the capture itself lost packets",
    severity: Severity::Warning,
    what: "The capturing program, the kernel or the interface dropped packets before they were written.",
    why: "What is missing here was not lost on the network. Counts are too low and some connections look broken.",
    how: "Drop counters in the file: interface statistics (`isb_ifdrop`, `isb_osdrop`) and the count of dropped packets \
          between packets (`epb_dropcount`). Without counters: several connections in which one side acknowledges at \
          least 1 % of bytes that the capture does not have.",
    false_positives: "A capture that starts in the middle of connections, or that only one direction passes, lacks bytes \
                      too: only gaps between captured bytes of a direction count, and only if the peer acknowledged them.",
    fix: "Capture less or buffer more: a filter, a smaller snap length (`-s 128`), a larger buffer (`-B` of tcpdump, in \
          KiB), a faster disk.",
    filter: "tcp.analysis.ack_lost_segment || tcp.analysis.lost_segment",
    judge: find,
};

/// Packets dropped while capturing, as the file says; nothing when it does not say.
pub(crate) fn reported_drops(info: &CaptureInfo) -> Option<u64> {
    let counters = info.interfaces.iter().map(|interface| interface.stats);
    let drops = counters.flat_map(|stats| [stats.dropped_by_interface, stats.dropped_by_os]).flatten();
    let reported = drops.reduce(u64::saturating_add);
    let between = Some(info.dropped_between).filter(|drops| *drops > 0);
    reported.into_iter().chain(between).max()
}

/// Connections with gaps before gaps are the capture's fault, and their share of all bytes, in 1/100.
const GAPPY_FLOWS: u64 = 3;
const GAP_PERCENT: u64 = 1;

fn find(world: &World<'_>) -> Vec<Finding> {
    let reported: Vec<_> = world.captures.iter().filter_map(judge_reported).collect();
    if reported.is_empty() { judge_gaps(world).into_iter().collect() } else { reported }
}

fn judge_reported(info: &CaptureInfo) -> Option<Finding> {
    let dropped = reported_drops(info).filter(|dropped| *dropped > 0)?;
    let seen = dropped + info.packets;
    let percent = dropped as f64 * 100.0 / seen as f64;
    let mut finding =
        Finding::of(&ABOUT, format!("{} dropped {} while capturing", info.name, count_of(dropped, "packet")));
    finding.confidence = 1.0;
    finding.counts.insert("dropped", dropped as i64);
    finding.counts.insert("captured", info.packets as i64);
    if let (Some(first), Some(last)) = (info.first_ns, info.last_ns) {
        finding.span(first, last);
    }
    finding.evidence.push(Evidence { file: info.name.clone(), frames: Vec::new(), filter: ABOUT.filter.to_owned() });
    finding.explanation = format!(
        "The file's own counters say that {} of {seen} were dropped ({percent:.2} %).",
        count_of(dropped, "packet")
    );
    Some(finding)
}

fn judge_gaps(world: &World<'_>) -> Option<Finding> {
    let gappy = |gaps: &Gaps| gaps.flows >= GAPPY_FLOWS && gaps.missed * 100 >= (gaps.missed + gaps.seen) * GAP_PERCENT;
    let all = world.facts.flows.gaps.iter().filter(|(_, gaps)| gappy(gaps));
    let units: BTreeMap<u32, Gaps> = all.map(|(unit, gaps)| (*unit, *gaps)).collect();
    if world.restricted || units.is_empty() {
        return None;
    }
    let sum = |count: fn(&Gaps) -> u64| units.values().map(count).sum::<u64>();
    let (missed, seen, flows) = (sum(|gaps| gaps.missed), sum(|gaps| gaps.seen), sum(|gaps| gaps.flows));
    let percent = missed as f64 * 100.0 / (missed + seen) as f64;
    let on_purpose = missed / NOTHING_ELSE >= seen;
    let mut finding = Finding::of(&ABOUT, format!("{percent:.1} % of acknowledged bytes are not in the capture"));
    finding.confidence = 0.7;
    let how = if on_purpose { left_out(&mut finding) } else { "" };
    finding.counts.insert("missed_bytes", missed as i64);
    finding.counts.insert("connections", flows as i64);
    let lacking: Vec<&CaptureInfo> = lacking(world, &units);
    let times = lacking.iter().filter_map(|info| info.first_ns.zip(info.last_ns));
    if let Some((first, last)) = union(times) {
        finding.span(first, last);
    }
    for info in lacking {
        let (file, filter) = (info.name.clone(), ABOUT.filter.to_owned());
        finding.evidence.push(Evidence { file, frames: Vec::new(), filter });
    }
    finding.explanation = format!(
        "In {} one side acknowledged bytes that lie between captured ones and are not in the capture ({missed} bytes). \
         They reached the receiver, so the network did not lose them.{how}",
        count_of(flows, "connection"),
    );
    finding.limits.push("packets that take another path look the same as dropped ones".to_owned());
    finding.rule_out("NET001", "the bytes were acknowledged without being sent again");
    Some(finding)
}

/// Bytes that are missing for each that is there, before nobody can have lost them by chance.
const NOTHING_ELSE: u64 = 20;

/// Says that a filter left the data out.
fn left_out(finding: &mut Finding) -> &'static str {
    "nearly all data was left out of the capture, by its filter".clone_into(&mut finding.title);
    finding.severity = Severity::Info;
    ON_PURPOSE.clone_into(&mut finding.fix.text);
    " Hardly any data is there, so it was left out on purpose, by a filter of sizes or flags, rather than dropped."
}

/// What to do where a filter left data out.
const ON_PURPOSE: &str = "Nothing, where handshakes and ends are what is looked for. What becomes of data, and how long \
                          answers take, shows only in a capture without a filter on flags or sizes.";

/// Files of these units.
fn lacking<'a>(world: &World<'a>, units: &BTreeMap<u32, Gaps>) -> Vec<&'a CaptureInfo> {
    let is_one = |at: u32| world.unit(at).is_none_or(|unit| units.contains_key(&unit));
    (0u32..).zip(world.captures).filter(|(at, _)| is_one(*at)).map(|(_, info)| info).collect()
}
