use super::About;
use super::evidence::count_of;
use super::losses::{Group, Lossy, groups, has_finding, overtaken};
use super::lost_syns;
use super::world::World;
use crate::Addr;
use crate::finding::{Finding, Role, Severity};
use crate::track::FrameId;
use std::collections::{BTreeMap, BTreeSet};

pub(super) const ABOUT: About = About {
    code: "NET001",
    slug: "packet-loss",
    title: "data segments are lost and sent again",
    severity: Severity::Warning,
    what: "TCP had to send data again because the network lost it: so many segments, in this direction, before or \
           behind the place of the capture, one by one, in bursts or at the end of what was sent.",
    why: "Each loss costs a round trip, and a timer of 200 ms and more where nothing comes after it. Bursts stall \
          connections for seconds.",
    how: "Each range that passes again is judged by itself: what made the sender send (timer, selective or repeated \
          acknowledgements, tail loss probe), whether its first transmission passed here (then it was lost behind this \
          place) or not (then before it, if something later of its sender shows that it was sent), and whether the other \
          end acknowledged it in the end. With several places the loss lies between the last that saw it twice and the \
          first that saw it once. SYNs count where one capture has the first and the next on the way only a repetition, in \
          three connections and one of fifty.",
    false_positives: "Not counted are needless resends (proven by D-SACK, timestamps or an acknowledgement that came too \
                      early), resends whose acknowledgement was lost (one came later than any is held back), reordering \
                      (IP identification or timestamp is older than that of the segments before), copies that the \
                      network or the capture made, keep-alive and zero window probes, repeated SYNs, data that a server \
                      drops whose backlog is full, what is sent again in smaller pieces, and full segments between \
                      hosts where large packets do not pass.",
    fix: "Look for errors and drops on the way named here: network card and link counters, queues and policers, an \
          overloaded node.",
    filter: "tcp.analysis.retransmission || tcp.analysis.out_of_order",
    judge: find,
};

/// Fewer lost segments than this, none of which cost much, are no reason to get up.
const FEW: u64 = 3;
/// The least that a retransmission timer waits (Linux `TCP_RTO_MIN`).
const TIMER_NS: i64 = 200_000_000;
/// What a loss may cost before even one matters.
const LONG_NS: i64 = 1_000_000_000;

fn find(world: &World<'_>) -> Vec<Finding> {
    let lossy = groups(world, |lossy| lossy.losses.lost() > 0 && is_loss(lossy, world));
    let needless = overtaken(world);
    let mut found: Vec<Finding> = lossy.iter().map(|group| judge(group, &needless, world)).collect();
    found.extend(lost_syns::find(world, &found));
    found
}

/// Whether segments are rather overtaken than lost: their sender heard of gaps, hardly ever of nothing, and of as many
/// resends as half of these it is proven that they were for nothing. Of the last ones of a connection no proof comes.
fn is_overtaken(group: &Group<'_>, lost: u64, needless: &BTreeMap<(Addr, Addr), u64>) -> bool {
    let pairs: BTreeSet<(Addr, Addr)> = group.lossy.iter().map(|lossy| (lossy.from.addr, lossy.to.addr)).collect();
    let proven: u64 = pairs.iter().filter_map(|pair| needless.get(pair)).sum();
    let timed_out = group.near(|sum| sum.by_rto);
    let between = group.sum(|lossy| (lossy.losses.before() + lossy.losses.between()).into());
    proven * 2 >= lost && timed_out.max(between) * 10 <= proven
}

/// Whether this is how TCP finds the rate of a way: one segment of a thousand, brought back without waiting for a timer.
fn is_repair(group: &Group<'_>, lost: u64, longest_ns: i64) -> bool {
    lost * 1000 < group.sum(|lossy| lossy.packets) && group.near(|sum| sum.by_fast) >= lost && longest_ns < TIMER_NS
}

/// Whether chance explains it, and not something that is another finding's matter.
fn is_loss(lossy: &Lossy, world: &World<'_>) -> bool {
    // A server whose queue is full drops the first data together with the end of the handshake.
    let is_first = lossy.losses.near.sum.first == lossy.losses.near.sum.lost();
    let full = |finding: &Finding| {
        finding.names(&lossy.to) && (finding.severity > Severity::Info || is_first && is_often(finding))
    };
    let ignored = lossy.ignored || lossy.tunnels.iter().any(|tunnel| world.is_broken(*tunnel));
    let sizes_matter = || lossy.losses.near.sum.short == 0 && has_size_finding(lossy, world);
    !ignored && !world.found(&["SVC006"]).any(full) && !sizes_matter()
}

/// Whether a server leaves so many attempts waiting that chance on the way does not explain it.
fn is_often(finding: &Finding) -> bool {
    let count = |name| finding.counts.get(name).copied().unwrap_or(0);
    count("attempts") * 2 >= count("established")
}

/// Whether packets between the two are known to be too big, or to miss fragments.
fn has_size_finding(lossy: &Lossy, world: &World<'_>) -> bool {
    [lossy.from, lossy.to].iter().any(|end| has_finding(world, &["MTU001", "MTU003", "MTU004"], end.addr))
}

fn judge(group: &Group<'_>, needless: &BTreeMap<(Addr, Addr), u64>, world: &World<'_>) -> Finding {
    let lost = group.sum(|lossy| lossy.losses.lost().into());
    let pairs = group.pairs(|lossy| lossy.losses.lost().into());
    let segments = segments(group, lost);
    let mut finding = Finding::of(&ABOUT, title(&segments, &pairs));
    let longest_ns = group.lossy.iter().map(|lossy| lossy.losses.near.sum.longest_ns).max().unwrap_or(0);
    let overtaken = is_overtaken(group, lost, needless);
    if overtaken || lost < FEW && longest_ns < LONG_NS || is_repair(group, lost, longest_ns) {
        finding.severity = Severity::Info;
    }
    count(&mut finding, group, lost, longest_ns);
    name(&mut finding, &pairs);
    let (begin, end) = group.span_ns();
    finding.span(begin, end);
    finding.cite(world, frames(group.shown(&pairs)), &Group::filter(&pairs, world));
    finding.explanation = explain(group, world, (lost, &segments), &pairs, longest_ns);
    limit(&mut finding, group);
    if overtaken {
        finding.limits.push("as many resends were for nothing: these may have been too, told by nobody".to_owned());
    }
    finding.rule_out("NET002", "late segments are told by IP identification, timestamp and time, and are not counted");
    finding.rule_out("MTU001", "segments as long as the lost ones arrive too");
    finding.fix.commands = vec![
        "ip -s -s link show".to_owned(),
        world.link_counters(group.lossy.iter().map(|lossy| lossy.losses.near.point)),
        "nstat -az | grep -iE 'drop|retrans|overflow'".to_owned(),
    ];
    finding
}

/// How many, as far as the places of the capture can tell.
fn segments(group: &Group<'_>, lost: u64) -> String {
    let segments = count_of(lost, "data segment");
    let all_seen = group.sum(|lossy| lossy.losses.before().into()) == 0 && group.near(|sum| sum.unheard) == 0;
    if all_seen { segments } else { format!("at least {segments}") }
}

fn title(segments: &str, pairs: &[((Addr, Addr), u64)]) -> String {
    match pairs {
        [((from, to), _)] => format!("{segments} lost from {from} to {to}"),
        [((from, to), _), rest @ ..] => {
            format!("{segments} lost between {from} and {to} and {}", count_of(rest.len() as u64, "other direction"))
        }
        [] => format!("{segments} lost"),
    }
}

fn count(finding: &mut Finding, group: &Group<'_>, lost: u64, longest_ns: i64) {
    let burst = group.near(|sum| sum.burst).min(lost);
    let tail = group.near(|sum| sum.tail).min(lost - burst);
    let all = [
        ("lost_segments", lost),
        ("lost_before", group.sum(|lossy| lossy.losses.before().into())),
        ("lost_between", group.sum(|lossy| lossy.losses.between().into())),
        ("lost_behind", group.sum(|lossy| lossy.losses.behind().into())),
        ("burst", burst),
        ("tail", tail),
        ("random", lost - burst - tail),
        ("by_rto", group.near(|sum| sum.by_rto)),
        ("by_fast", group.near(|sum| sum.by_fast)),
        ("by_tlp", group.near(|sum| sum.by_tlp)),
        ("lost_acks", group.sum(|lossy| lossy.acks_lost)),
        ("spurious", group.sum(|lossy| lossy.losses.spurious().into())),
        ("data_packets", group.sum(|lossy| lossy.packets)),
        ("directions", group.lossy.len() as u64),
    ];
    finding.counts.extend(all.map(|(name, count)| (name, count as i64)));
    finding.counts.insert("longest_wait_ms", longest_ns / 1_000_000);
}

fn name(finding: &mut Finding, pairs: &[((Addr, Addr), u64)]) {
    let mut named: Vec<Addr> = Vec::new();
    for ((from, to), _) in pairs.iter().take(8) {
        for address in [from, to] {
            if !named.contains(address) {
                named.push(*address);
            }
        }
    }
    for address in named {
        finding.about(Role::Endpoint, &address);
    }
}

fn frames<'a>(of: impl Iterator<Item = &'a Lossy>) -> impl Iterator<Item = FrameId> {
    of.flat_map(|lossy| {
        let Lossy { losses, .. } = lossy;
        let (near, far) = (losses.near.sum.lost_frames, losses.far().sum.lost_frames);
        near.as_slice().to_vec().into_iter().chain(far.as_slice().to_vec())
    })
}

fn explain(
    group: &Group<'_>,
    world: &World<'_>,
    (lost, segments): (u64, &str),
    pairs: &[((Addr, Addr), u64)],
    longest_ns: i64,
) -> String {
    let worst = Group::worst(pairs);
    let packets = group.sum(|lossy| lossy.packets);
    let burst = group.near(|sum| sum.burst).min(lost);
    let tail = group.near(|sum| sum.tail).min(lost - burst);
    let by_fast = group.near(|sum| sum.by_fast);
    let kind = match (burst, tail) {
        (burst, _) if burst * 2 > lost && by_fast * 2 > lost => {
            "Most were lost in a row while later ones passed, as in a queue that is full"
        }
        (burst, _) if burst * 2 > lost => "Most were lost in a row, so the way was interrupted rather than crowded",
        (_, tail) if tail * 2 > lost => "Most were the last of what was sent, which only a timer brings back",
        _ => "They were lost one by one",
    };
    let acks = match group.sum(|lossy| lossy.acks_lost) {
        0 => String::new(),
        acks => format!(" At least {} on the same way were lost too.", count_of(acks, "acknowledgement")),
    };
    let longest = longest_ns / 1_000_000;
    let text = format!(
        "{segments} of about {packets} sent in these connections did not arrive and had to be sent again: {worst}. {} \
         {kind}. The longest wait for one was {longest} ms.{acks}",
        places(group, world),
    );
    capital(&text)
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

/// Where the loss lies, seen from the places of the capture.
fn places(group: &Group<'_>, world: &World<'_>) -> String {
    let before = group.sum(|lossy| lossy.losses.before().into());
    let between = group.sum(|lossy| lossy.losses.between().into());
    let behind = group.sum(|lossy| lossy.losses.behind().into());
    let name = |of: fn(&Lossy) -> u16| {
        let points: BTreeSet<u16> = group.lossy.iter().map(|lossy| of(lossy)).collect();
        match (points.first(), points.len()) {
            (Some(point), 1) => world.place_name(*point, 0),
            _ => "the capture's places".to_owned(),
        }
    };
    let (near, far) = (name(|lossy| lossy.losses.near.point), name(|lossy| lossy.losses.far().point));
    let mut parts = Vec::new();
    if before > 0 {
        parts.push(format!("{before} before they came to {near} (first seen as a gap)"));
    }
    match between {
        0 => {}
        n if near == far => parts.push(format!("{n} between the capture's places")),
        n => parts.push(format!("{n} on the way from {near} to {far}")),
    }
    if behind > 0 {
        parts.push(format!("{behind} behind {far} (first transmission seen there)"));
    }
    format!("Lost: {}.", parts.join(", "))
}

fn limit(finding: &mut Finding, group: &Group<'_>) {
    let before = group.sum(|lossy| lossy.losses.before().into());
    if before > 0 {
        finding.limits.push(
            "losses before the place of the capture are seen only where a later segment left a gap: their number is a \
             lower bound"
                .to_owned(),
        );
    }
    let unheard = group.near(|sum| sum.unheard);
    if unheard > 0 {
        finding.limits.push(format!(
            "of {} acknowledgements were lost: whether the segments were lost before as well cannot be told, and they are \
             not counted",
            count_of(unheard, "more segment")
        ));
    }
    let between = group.sum(|lossy| lossy.losses.between().into());
    let behind = group.sum(|lossy| lossy.losses.behind().into());
    let timed = group.near(|sum| sum.by_rto + sum.by_tlp).min(behind);
    if between == 0 && timed > 0 {
        finding.limits.push(format!(
            "{timed} of them were sent again because nothing was heard: where the acknowledgement was lost instead and no \
             D-SACK told so, the segment had arrived",
        ));
    }
    if between == 0 {
        finding.confidence = 0.85;
        finding.capture_next = next_host(group);
    }
}

/// The host on whose side of this place most are lost, be it their sender or their receiver.
fn next_host(group: &Group<'_>) -> Option<String> {
    let mut sides: BTreeMap<Addr, u64> = BTreeMap::new();
    for lossy in &group.lossy {
        *sides.entry(lossy.from.addr).or_default() += u64::from(lossy.losses.before());
        *sides.entry(lossy.to.addr).or_default() += u64::from(lossy.losses.behind());
    }
    let all: u64 = group.sum(|lossy| (lossy.losses.before() + lossy.losses.behind()).into());
    let (host, lost) = sides.into_iter().max_by_key(|(host, lost)| (*lost, std::cmp::Reverse(*host)))?;
    Some(format!(
        "on the next host on the way from this place to {host}, where {lost} of {all} were lost: the cause lies between \
         the place that has the lost segments and the one that does not"
    ))
}
