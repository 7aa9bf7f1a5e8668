use super::About;
use super::evidence::{count_of, some_of};
use super::lookups::{FlippedName, exists};
use super::world::World;
use crate::Addr;
use crate::finding::{Finding, Role, Severity};
use crate::time::rfc3339;
use crate::track::lookup::{NameAnswer, Verdict};
use std::collections::{BTreeMap, BTreeSet};

pub(super) const ABOUT: About = About {
    code: "DNS011",
    slug: "dns-negative-cache",
    title: "a name that exists is still answered NXDOMAIN from a cache",
    severity: Severity::Warning,
    what: "A name was asked for before it existed. The answer that it does not is kept for the negative TTL of the zone, \
           and given although the name exists by now.",
    why: "Clients of a new service fail for as long, and where several DNS servers answer, now and then.",
    how: "Answers for one name in order of time: NXDOMAIN after an answer with records, with records again later, all \
          within the time the absence may be kept (the lesser of TTL and MINIMUM of the SOA, RFC 2308 5). The TTL of \
          such an NXDOMAIN has been counting down since before the name existed, or the answers alternate. If the name \
          only went from NXDOMAIN to records once, with a TTL that was counting down before, it is told as information.",
    false_positives: "A service that is deleted and created again is answered NXDOMAIN with a fresh TTL. Answers of \
                      different servers to different clients may differ for good: only answers that share a client \
                      or a server are compared.",
    fix: "Lower the time that CoreDNS keeps negative answers: `cache 30 { denial 9984 5 }` (capacity first, then \
          seconds). Create services before their clients start.",
    filter: "dns.flags.rcode == 3",
    judge: find,
};

const SECOND: i64 = 1_000_000_000;
/// TTLs are whole seconds, and count down in steps.
const STEP_NS: i64 = 2 * SECOND;

/// What a name's answers come to.
struct Stale {
    late: u64,
    nxdomain: u64,
    found: u64,
    noerror: u64,
    first_found: NameAnswer,
    last_missing: NameAnswer,
    first_missing: NameAnswer,
    /// Seconds an absence is kept.
    kept_s: u32,
    proven: bool,
}

fn find(world: &World<'_>) -> Vec<Finding> {
    let judged = world.facts.lookups.flipped.iter().filter_map(|name| Some((name, stale(name)?)));
    judged.map(|(name, stale)| judge(name, &stale, world)).collect()
}

/// Answers that can be compared: those of one server, or to one client; the run that shows most.
fn stale(name: &FlippedName) -> Option<Stale> {
    let by = |of: fn(&NameAnswer) -> Addr| {
        let mut runs: BTreeMap<Addr, Vec<&NameAnswer>> = BTreeMap::new();
        name.answers.iter().for_each(|answer| runs.entry(of(answer)).or_default().push(answer));
        runs.into_values()
    };
    let runs = by(|answer| answer.server).chain(by(|answer| answer.client));
    runs.filter_map(|run| judge_run(&run)).max_by_key(|stale| (stale.proven, stale.late, stale.nxdomain))
}

fn judge_run(run: &[&NameAnswer]) -> Option<Stale> {
    let missing = |answer: &&&NameAnswer| answer.verdict == Verdict::NxDomain;
    let first_found = run.iter().find(|answer| exists(answer))?;
    let last_found = run.iter().rev().find(|answer| exists(answer))?;
    let (first_missing, last_missing) = (run.iter().find(missing)?, run.iter().rev().find(missing)?);
    let kept_s = run.iter().filter(missing).map(|answer| answer.ttl).max()?;
    let queries = |of: &dyn Fn(&NameAnswer) -> bool| {
        run.iter().filter(|answer| of(answer)).map(|answer| u64::from(answer.queries)).sum::<u64>()
    };
    let after = |answer: &NameAnswer| answer.verdict == Verdict::NxDomain && answer.ns > first_found.ns;
    let mut told = Stale {
        late: queries(&after),
        nxdomain: queries(&|answer| answer.verdict == Verdict::NxDomain),
        found: queries(&exists),
        noerror: queries(&|answer| answer.verdict != Verdict::NxDomain),
        first_found: **first_found,
        last_missing: **last_missing,
        first_missing: **first_missing,
        kept_s,
        proven: false,
    };
    if told.late == 0 {
        return was_remembered(run, first_found, kept_s).then_some(told);
    }
    let in_time = last_missing.ns <= first_found.ns + i64::from(kept_s) * SECOND + STEP_NS;
    let again = last_found.ns > last_missing.ns;
    told.proven = in_time && again && (has_aged(run, first_found.ns, kept_s) || relapses(run) >= 2);
    told.proven.then_some(told)
}

/// Whether an NXDOMAIN after the name existed was first given before: its TTL has been counting down for longer.
fn has_aged(run: &[&NameAnswer], first_found_ns: i64, kept_s: u32) -> bool {
    let aged = |answer: &&NameAnswer| {
        let age_ns = i64::from(kept_s.saturating_sub(answer.ttl)) * SECOND;
        answer.verdict == Verdict::NxDomain && answer.ns > first_found_ns && age_ns > answer.ns - first_found_ns
    };
    run.iter().any(aged)
}

/// How often the name vanished.
fn relapses(run: &[&NameAnswer]) -> usize {
    let told: Vec<bool> = run.iter().filter(|answer| answer.verdict != Verdict::NoData).map(|a| exists(a)).collect();
    told.windows(2).filter(|pair| pair[0] && !pair[1]).count()
}

/// Whether the last NXDOMAIN before the name existed came from a cache, and records no sooner than it could.
fn was_remembered(run: &[&NameAnswer], first_found: &NameAnswer, kept_s: u32) -> bool {
    let before = run.iter().rev().find(|answer| answer.verdict == Verdict::NxDomain);
    before.is_some_and(|last| {
        let expires = last.ns + i64::from(last.ttl) * SECOND;
        last.ttl < kept_s && first_found.ns + STEP_NS >= expires
    })
}

fn judge(name: &FlippedName, stale: &Stale, world: &World<'_>) -> Finding {
    let title = if stale.proven {
        format!("{} was answered NXDOMAIN {} after it existed", name.name, count_of(stale.late, "time"))
    } else {
        format!("{} was answered NXDOMAIN from a cache until it was found", name.name)
    };
    let mut finding = Finding::of(&ABOUT, title);
    if !stale.proven {
        (finding.severity, finding.confidence) = (Severity::Info, 0.5);
    }
    let clients: BTreeSet<Addr> = name.answers.iter().map(|answer| answer.client).collect();
    let servers: BTreeSet<Addr> = name.answers.iter().map(|answer| answer.server).collect();
    for client in &clients {
        finding.about(Role::Client, client);
    }
    for server in &servers {
        finding.about(Role::Resolver, server);
    }
    let window_ms = stale.last_missing.ns.saturating_sub(stale.first_missing.ns) / 1_000_000;
    for (name, count) in [
        ("nxdomain_answers", stale.nxdomain as i64),
        ("stale_answers", stale.late as i64),
        ("found_answers", stale.found as i64),
        ("noerror_answers", stale.noerror as i64),
        ("negative_ttl_s", stale.kept_s.into()),
        ("window_ms", window_ms),
        ("clients", clients.len() as i64),
    ] {
        finding.counts.insert(name, count);
    }
    finding.span(stale.first_missing.ns, stale.last_missing.ns.max(stale.first_found.ns));
    let telling = name.answers.iter().filter(|answer| answer.verdict != Verdict::NoData).map(|answer| answer.frame);
    finding.cite(world, telling, &format!("dns.qry.name == \"{}\"", name.name.replace(['"', '\\'], "")));
    finding.explanation = explain(name, stale, &servers);
    finding.rule_out("DNS018", "other answers say that the name exists");
    finding.rule_out("DNS006", "NXDOMAIN is an answer; the server did not fail");
    finding.fix.yaml = Some("cache 30 {\n    denial 9984 5\n}\n".to_owned());
    finding.fix.commands = vec!["kubectl -n kube-system edit configmap coredns".to_owned()];
    finding
}

fn explain(name: &FlippedName, stale: &Stale, servers: &BTreeSet<Addr>) -> String {
    let until = stale.last_missing.ns + i64::from(stale.last_missing.ttl) * SECOND;
    let bound = format!(
        "The SOA lets an absence be kept for {} s; the last NXDOMAIN, at {}, may be given until {} at the latest.",
        stale.kept_s,
        rfc3339(stale.last_missing.ns),
        rfc3339(until),
    );
    if !stale.proven {
        return format!(
            "{} was answered NXDOMAIN by {} with a TTL that was counting down, so from a cache, and was found only when \
             that was over, at {}. It may have existed before; the answers cannot tell since when. {bound}",
            name.name,
            some_of(servers, 2),
            rfc3339(stale.first_found.ns),
        );
    }
    format!(
        "{} was first found at {}. After that it was still answered NXDOMAIN {}, and found again in between: the absence \
         was kept from before the name existed, by one of the DNS servers behind {}. {bound}",
        name.name,
        rfc3339(stale.first_found.ns),
        count_of(stale.late, "time"),
        some_of(servers, 2),
    )
}
