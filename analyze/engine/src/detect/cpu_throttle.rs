use super::About;
use super::answers::Silence;
use super::evidence::count_of;
use super::world::World;
use crate::Addr;
use crate::finding::{Finding, Role, Severity};

pub(super) const ABOUT: About = About {
    code: "APP006",
    slug: "cpu-throttle-pattern",
    title: "a host falls silent and resumes in steps of 100 ms",
    severity: Severity::Info,
    what: "All connections of a host go without answers for some tens of milliseconds and are answered together, again and \
           again at the same point of a period of 100 ms. Its kernel acknowledges requests meanwhile.",
    why: "This is what a CPU limit looks like from outside: who has used up the quota of a period stands still until the \
          next one begins. Answers take up to 100 ms longer, on an otherwise idle node too.",
    how: "Silences of a host of 20 ms or longer in which two or more connections wait, which were asked at different times \
          and are answered within 10 ms of each other. The Linux scheduler hands out quota every 100 ms \
          (cpu.cfs_period_us, cpu.max) on one clock, so the silences end at one point of that period: ten or more, and \
          60 % of all, within a tenth of it.",
    false_positives: "Requests that come in steps of 100 ms and take the same time each are answered in steps too, but there \
                      all that is answered together was asked together. Garbage collection and locks keep no period. An \
                      application that works in batches of 100 ms looks the same: only the container's counters prove \
                      throttling.",
    fix: "Look at the container's counters; if nr_throttled grows, raise or remove the CPU limit (keep the request), or give \
          the runtime no more threads than the limit has CPUs (GOMAXPROCS, -XX:ActiveProcessorCount).",
    filter: "tcp.len > 0",
    judge: find,
};

/// The period in which the kernel hands out quota, unless it was told another (`cpu.cfs_period_us`).
const PERIOD_NS: i64 = 100_000_000;
/// Part of the period in which silences end.
const WINDOW_NS: i64 = PERIOD_NS / 10;
/// Silences as short are anybody's.
const SILENCE_NS: i64 = 20_000_000;
/// Silences that make a pattern. By chance a tenth of them end in a tenth of the period.
const PATTERN: usize = 10;
/// Requests that were sent this much apart were not sent together.
const APART_NS: i64 = 3_000_000;

fn find(world: &World<'_>) -> Vec<Finding> {
    let hosts = world.facts.answers.silences(SILENCE_NS).into_iter();
    hosts.filter_map(|(host, silences)| judge(host, &silences, world)).collect()
}

/// Where in the period a silence ended.
fn phase(silence: &Silence) -> i64 {
    silence.until_ns.rem_euclid(PERIOD_NS)
}

/// Silences that end in that part of the period in which most do.
fn in_step(silences: &[Silence]) -> Vec<&Silence> {
    let mut phases: Vec<i64> = silences.iter().map(phase).collect();
    phases.sort_unstable();
    let around: Vec<i64> = phases.iter().copied().chain(phases.iter().map(|phase| phase + PERIOD_NS)).collect();
    let before = |end: i64| around.partition_point(|phase| *phase < end);
    let best = phases.iter().copied().max_by_key(|start| (before(start + WINDOW_NS) - before(*start), *start));
    let since = |start: i64, silence: &Silence| (phase(silence) - start).rem_euclid(PERIOD_NS);
    best.map(|start| silences.iter().filter(|silence| since(start, silence) < WINDOW_NS).collect()).unwrap_or_default()
}

/// Whether who was answered together had not asked together.
fn is_stall(silence: &Silence) -> bool {
    let asked = || silence.released.iter().map(|answer| answer.asked_ns);
    asked().max().zip(asked().min()).is_some_and(|(last, first)| last - first >= APART_NS)
}

/// Whether the host's kernel worked meanwhile.
fn is_acknowledged(silence: &Silence) -> bool {
    let early = |acked: i64| silence.until_ns - acked >= SILENCE_NS / 4;
    silence.released.iter().any(|answer| answer.acked_ns.is_some_and(early))
}

fn judge(host: Addr, silences: &[Silence], world: &World<'_>) -> Option<Finding> {
    let stalls = in_step(silences);
    let apart = stalls.iter().filter(|silence| is_stall(silence)).count();
    let acknowledged = stalls.iter().filter(|silence| is_acknowledged(silence)).count();
    let periods = stalls.windows(2).filter(|pair| pair[1].until_ns - pair[0].until_ns > PERIOD_NS / 2).count() + 1;
    let in_step = periods >= PATTERN && stalls.len() * 10 >= silences.len() * 6;
    if !in_step || apart * 2 < stalls.len() || acknowledged * 2 < stalls.len() {
        return None;
    }
    let total_ns: i64 = stalls.iter().map(|silence| silence.until_ns - silence.from_ns).sum();
    let mean_ms = total_ns / 1_000_000 / stalls.len() as i64;
    let mut finding =
        Finding::of(&ABOUT, format!("{host} falls silent for {mean_ms} ms and resumes in steps of 100 ms"));
    finding.confidence = 0.6;
    finding.about(Role::Server, &host);
    finding.counts.insert("silences", silences.len() as i64);
    finding.counts.insert("in_step", stalls.len() as i64);
    finding.counts.insert("mean_ms", mean_ms);
    let (first, last) = (stalls.first()?, stalls.last()?);
    finding.span(first.from_ns, last.until_ns);
    let frames = stalls.iter().filter_map(|silence| silence.released.first()).map(|answer| answer.frame);
    finding.cite(world, frames, &format!("{}.src == {host} && tcp.len > 0", host.family()));
    finding.explanation = format!(
        "{} of {host} of 20 ms or longer, in which two or more connections waited for it: {} of them ended at the same point \
         of a period of 100 ms, within a tenth of it. Who was answered together had asked at different times, and in {} the \
         host's kernel acknowledged requests meanwhile: it is the application that stood still, all of it at once. A CPU \
         limit does that; packets do not prove it.",
        count_of(silences.len() as u64, "silence"),
        stalls.len(),
        acknowledged,
    );
    finding.rule_out("NET001", "turns with segments sent again are left out");
    finding.rule_out("APP001", "a slow request delays itself; here all connections wait and go on together");
    finding.limits = limits(world.facts.answers.left_out);
    finding.fix.commands = vec![
        "kubectl exec POD -- cat /sys/fs/cgroup/cpu.stat   # nr_throttled, throttled_usec".to_owned(),
        "rate(container_cpu_cfs_throttled_periods_total[5m]) / rate(container_cpu_cfs_periods_total[5m])".to_owned(),
    ];
    Some(finding)
}

/// What weakens it; `left_out` answers were not looked at.
fn limits(left_out: u64) -> Vec<String> {
    let more = (left_out > 0).then(|| format!("{} more were not looked at", count_of(left_out, "answer")));
    std::iter::once("Only the container's own counters prove throttling.".to_owned()).chain(more).collect()
}
