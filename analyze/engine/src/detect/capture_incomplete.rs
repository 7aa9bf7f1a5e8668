use super::About;
use super::evidence::count_of;
use super::world::World;
use crate::finding::{Evidence, Finding, Severity};
use crate::time::union;
use kcap_file::CaptureInfo;
use std::collections::BTreeSet;

pub(super) const ABOUT: About = About {
    code: "CAP002",
    slug: "capture-incomplete",
    title: "the capture does not have everything",
    severity: Severity::Info,
    what: "The file is torn or damaged, frames are cut, connections were open when it began, or one direction is missing.",
    why: "Some questions cannot be answered from it; the findings say less than they would.",
    how: "Problems met while reading, frames shorter than on the wire, connections without a handshake, connections of \
          which one direction only was seen.",
    false_positives: "None: it says what is missing, not that something is wrong.",
    fix: "Capture before the trouble starts, both directions, whole packets, and stop the capture with Ctrl-C so that \
          the file is closed properly.",
    filter: "frame.len != frame.cap_len",
    judge: find,
};

fn find(world: &World<'_>) -> Vec<Finding> {
    let missing = missing(world);
    if missing.is_empty() {
        return Vec::new();
    }
    let title = match missing.as_slice() {
        [one] => one.trim_end_matches('.').to_owned(),
        _ => ABOUT.title.to_owned(),
    };
    let mut finding = Finding::of(&ABOUT, title);
    finding.confidence = 1.0;
    let times = world.captures.iter().filter_map(|info| info.first_ns.zip(info.last_ns));
    if let Some((first, last)) = union(times) {
        finding.span(first, last);
    }
    for info in world.captures {
        let frames = info.problems.iter().map(|problem| problem.after_frame).filter(|frame| *frame > 0);
        let frames = frames.take(4).collect();
        finding.evidence.push(Evidence { file: info.name.clone(), frames, filter: ABOUT.filter.to_owned() });
    }
    finding.counts.insert("midstream", world.facts.flows.midstream as i64);
    finding.counts.insert("snapped", snapped(world) as i64);
    finding.explanation = missing.join(" ");
    vec![finding]
}

fn missing(world: &World<'_>) -> Vec<String> {
    let flows = &world.facts.flows;
    let mut missing: Vec<String> = world.captures.iter().filter_map(damaged).collect();
    if snapped(world) > 0 {
        missing.push(format!("{} cut by the snap length.", count_of(snapped(world), "frame")));
    }
    if flows.midstream > 0 {
        missing.push(format!("{} open before the capture began.", count_of(flows.midstream, "TCP connection")));
    }
    let units: BTreeSet<u32> = world.points.iter().map(|point| point.unit).collect();
    if units.iter().any(|unit| world.is_one_sided(*unit)) {
        missing.push("A capture has only what comes in, or only what goes out.".to_owned());
    }
    if flows.two_way.is_empty() && flows.one_way > 1 && !units.iter().all(|unit| world.has_both_ways(*unit)) {
        missing.push("No connection shows both directions.".to_owned());
    }
    missing
}

fn damaged(info: &CaptureInfo) -> Option<String> {
    let problem = info.problems.first()?;
    let more = info.problems.len() as u64 - 1 + info.problems_left_out;
    let and = if more > 0 { format!(", and {more} more") } else { String::new() };
    Some(format!("{}: {} at byte {}{and}.", info.name, problem.kind.name(), problem.offset))
}

fn snapped(world: &World<'_>) -> u64 {
    (0..world.points.len()).filter_map(|at| world.decoded.at(at)).map(|counts| counts.snapped).sum()
}
