use super::About;
use super::evidence::{count_of, servers_filter, some_of};
use super::turns::{Kept, SLOW_NS, ServerTurns, TurnService, VERY_SLOW_NS};
use super::world::World;
use crate::finding::{Finding, Severity};
use crate::track::Turn;
use std::collections::BTreeSet;

pub(super) const ABOUT: About = About {
    code: "APP001",
    slug: "slow-server",
    title: "a server takes long to answer",
    severity: Severity::Warning,
    what: "The server's host acknowledges requests at once, and the server answers them late or so late that clients \
           give up.",
    why: "Users wait for the application, not for the network. A proxy that gives up answers 504 in the server's stead.",
    how: "Each request and its response are timed: until the request is acknowledged (network, at most a round trip), \
          until the first byte of the response (server), until its last (transfer). A turn is slow when the server takes a \
          second, or half a second where half of its answers take at most a tenth of that, and at least 70 % of the turn's \
          time. A client gave up when it closes or resets while it waits for the answer to a request that was acknowledged \
          promptly. Said where this happens at three times or more (two where clients give up, or it is a quarter of all), \
          in at least 1 % of the turns, or for one answer of a gateway with 504.",
    false_positives: "Long polls, watches, blocking reads of queues, HTTP/2, upgrades and protocols that are not known \
                      are not judged: there a late answer is no fault. Turns with segments sent again are left out: \
                      their time is the network's. A delayed acknowledgement is not charged to the network. \
                      Turns that wait at the same time are one stall, such as a cold start.",
    fix: "See what the server does in that time: traces, profiles, slow queries, locks, its own calls to others, CPU \
          limits. Raise the proxy's timeout only if such times are expected.",
    filter: "http.time > 0.5 || http.response.code == 504",
    judge: find,
};

/// Times at which a server is slow before it is more than a stall: turns that wait at the same time are one.
const PATTERN: usize = 3;
/// The same where clients give up, or where it is a quarter of all turns.
const PATTERN_CLEAR: usize = 2;
/// What explains that a server answers late, or seems to.
const CAUSES: [&str; 4] = ["SVC006", "MTU001", "MTU003", "APP003"];

/// A server that is slow, and the turns that show it.
struct Slow<'a> {
    service: &'a TurnService,
    turns: Vec<&'a Turn>,
    /// Late answers in all, of which `turns` has a few.
    late: u64,
}

fn find(world: &World<'_>) -> Vec<Finding> {
    let is_explained = |slow: &Slow<'_>| CAUSES.iter().any(|code| slow.service.is_subject(code, world));
    let services = world.facts.turns.services().iter();
    let slow: Vec<Slow<'_>> = services.filter_map(Slow::of).filter(|slow| !is_explained(slow)).collect();
    let (symptoms, causes): (Vec<_>, Vec<_>) =
        slow.iter().partition(|one| slow.iter().any(|other| other.explains(one)));
    causes.iter().map(|one| one.judge(&symptoms, world)).collect()
}

impl<'a> Slow<'a> {
    fn of(service: &'a TurnService) -> Option<Self> {
        let facts = &service.facts;
        if facts.slow.count + facts.gave_up.count + facts.gateway.count == 0 {
            return None;
        }
        let limit_ns = limit_ns(facts);
        let late = if limit_ns < VERY_SLOW_NS { facts.slow.count } else { facts.very_slow };
        let sum = late + facts.gave_up.count;
        let kept = facts.slow.turns.iter().filter(|turn| turn.server_ns() >= Some(limit_ns));
        let turns: Vec<&Turn> = kept.chain(&facts.gave_up.turns).collect();
        let is_clear = facts.gave_up.count > 0 || sum * 4 >= facts.turns;
        let pattern = if is_clear { PATTERN_CLEAR } else { PATTERN };
        let is_pattern = episodes(&turns) >= pattern && sum * 100 >= facts.turns || facts.gateway.count > 0;
        is_pattern.then_some(Self { service, turns, late })
    }

    /// Whether the turns of another server are slow because it asks this one and waits.
    fn explains(&self, other: &Self) -> bool {
        let front: BTreeSet<_> = other.service.endpoints().map(|endpoint| endpoint.addr).collect();
        let own: Vec<_> = self.turns.iter().filter(|turn| front.contains(&turn.client.addr)).collect();
        let within = |outer: &&&Turn| own.iter().any(|inner| overlaps(outer, inner));
        let explained = other.turns.iter().filter(within).count();
        !own.is_empty() && explained * 2 >= other.turns.len()
    }

    fn judge(&self, symptoms: &[&Self], world: &World<'_>) -> Finding {
        let (server, facts) = (self.service.server, &self.service.facts);
        let mut finding = Finding::of(&ABOUT, self.title());
        finding.confidence = if facts.gave_up.count + facts.gateway.count > 0 { 0.9 } else { 0.8 };
        self.service.introduce(&mut finding, &self.turns.iter().map(|turn| turn.client.addr).collect());
        self.count(&mut finding);
        let ends = self.turns.iter().map(|turn| end_ns(turn));
        let first = self.turns.iter().map(|turn| turn.asked_ns).min().unwrap_or_default();
        finding.span(first, ends.max().unwrap_or(first));
        finding.cite(world, self.turns.iter().flat_map(|turn| frames(turn)), &servers_filter(self.service.endpoints()));
        finding.explanation = self.explain(symptoms);
        finding.rule_out(
            "NET006",
            &format!("the way to the server and back takes {}", millis(facts.network.quantile(50))),
        );
        finding.rule_out("NET001", "no segment of these turns was sent again before the answer");
        finding.rule_out("APP003", "the answer had not begun, so no receiver's window held it up");
        finding.fix.commands = vec![
            format!("kubectl get pods -A -o wide | grep {}", self.service.behind.first().unwrap_or(&server).addr),
            "kubectl top pod POD --containers".to_owned(),
            "kubectl exec POD -- cat /sys/fs/cgroup/cpu.stat   # nr_throttled, throttled_usec".to_owned(),
        ];
        if facts.gateway.count > 0 {
            finding.capture_next = Some(format!(
                "on {} towards its own upstreams: 504 is a gateway's word for a server behind it that does not answer in \
                 time",
                server.addr
            ));
        }
        finding
    }

    fn title(&self) -> String {
        let (server, facts) = (self.service.server, &self.service.facts);
        let longest = self.turns.iter().filter_map(|turn| turn.server_ns()).max();
        match (self.late, facts.gave_up.count) {
            (0, gave_up) => format!("{server} does not answer in time: {} given up", count_of(gave_up, "request")),
            (slow, 0) => {
                format!("{server} answers {} late, after up to {}", count_of(slow, "request"), millis(longest))
            }
            (slow, gave_up) => format!(
                "{server} answers {} late, after up to {}, and clients gave up on {gave_up}",
                count_of(slow, "request"),
                millis(longest)
            ),
        }
    }

    fn count(&self, finding: &mut Finding) {
        let facts = &self.service.facts;
        let mut put = |name, value| finding.counts.insert(name, value);
        put("turns", facts.turns as i64);
        put("slow", self.late as i64);
        put("gave_up", facts.gave_up.count as i64);
        put("gateway_timeouts", facts.gateway.count as i64);
        let millis = |ns: Option<i64>| ns.map_or(0, |ns| ns / 1_000_000);
        put("server_p50_ms", millis(facts.server.quantile(50)));
        put("server_p95_ms", millis(facts.server.quantile(95)));
        put("server_max_ms", millis(self.turns.iter().filter_map(|turn| turn.server_ns()).max()));
        if let Some(ns) = patience_ns(&facts.gave_up) {
            put("gave_up_after_ms", ns / 1_000_000);
        }
    }

    fn explain(&self, symptoms: &[&Self]) -> String {
        let (server, facts) = (self.service.server, &self.service.facts);
        let measured = format!(
            "Of {} to {server}, {} took the server {} or longer; the median is {}. Its host acknowledged them \
             at once (the way there and back takes {}), so the time is the application's.",
            count_of(facts.turns, "request"),
            self.late,
            millis(Some(limit_ns(facts))),
            millis(facts.server.quantile(50)),
            millis(facts.network.quantile(50)),
        );
        let parts = [Some(measured), self.patience(), self.names(), self.gateway(), self.through(symptoms)];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }

    fn patience(&self) -> Option<String> {
        let gave_up = &self.service.facts.gave_up;
        match patience_ns(gave_up) {
            Some(ns) => Some(format!(
                "Clients gave up on {} after {} each: that is their timeout (nginx: proxy_read_timeout), and their own \
                 clients get 504.",
                gave_up.count,
                millis(Some(ns))
            )),
            None if gave_up.count > 0 => Some(format!("Clients gave up on {} while they waited.", gave_up.count)),
            None => None,
        }
    }

    fn names(&self) -> Option<String> {
        let named: BTreeSet<&str> = self.turns.iter().map(|turn| turn.asked.text.as_str()).collect();
        let named: Vec<&str> = named.into_iter().filter(|name| !name.is_empty()).collect();
        (!named.is_empty()).then(|| format!("Slow are: {}.", some_of(named, 4)))
    }

    fn gateway(&self) -> Option<String> {
        let count = self.service.facts.gateway.count;
        (count > 0).then(|| format!("{count} of the answers are 504: it waits for a server of its own."))
    }

    fn through(&self, symptoms: &[&Self]) -> Option<String> {
        let through = symptoms.iter().filter(|symptom| self.explains(symptom)).map(|symptom| symptom.service.server);
        let through: Vec<_> = through.collect();
        let text =
            || format!("Seen from outside it is {} that is slow, because it waits for this one.", some_of(&through, 3));
        (!through.is_empty()).then(text)
    }
}

/// From when on an answer of the server counts as slow.
fn limit_ns(facts: &ServerTurns) -> i64 {
    let quick = facts.server.quantile(50).is_some_and(|half| half <= SLOW_NS / 10);
    if quick { SLOW_NS } else { VERY_SLOW_NS }
}

/// How long clients waited, where it is the same time each time: a timeout and no user.
fn patience_ns(gave_up: &Kept) -> Option<i64> {
    let mut waits: Vec<i64> = gave_up.turns.iter().filter_map(Turn::waited_ns).collect();
    waits.sort_unstable();
    let (first, last) = (*waits.first()?, *waits.last()?);
    (waits.len() > 1 && last - first <= first / 20).then(|| waits[waits.len() / 2])
}

/// Clocks of two hosts may differ by this much.
const CLOCKS_NS: i64 = 50_000_000;

/// Most turns that waited one after the other: those that waited at the same time may be one stall.
fn episodes(turns: &[&Turn]) -> usize {
    let mut spans: Vec<(i64, i64)> = turns.iter().map(|turn| (end_ns(turn), turn.asked_ns)).collect();
    spans.sort_unstable();
    let mut until = i64::MIN;
    let mut count = 0;
    for (to, from) in spans {
        if from > until {
            count += 1;
            until = to;
        }
    }
    count
}

/// When the waiting ended.
fn end_ns(turn: &Turn) -> i64 {
    turn.answered_ns.or(turn.client_goodbye.map(|goodbye| goodbye.ns)).unwrap_or(turn.asked_ns)
}

/// Whether one turn ran within the other.
fn overlaps(outer: &Turn, inner: &Turn) -> bool {
    inner.asked_ns >= outer.asked_ns - CLOCKS_NS && end_ns(inner) <= end_ns(outer) + CLOCKS_NS
}

fn frames(turn: &Turn) -> impl Iterator<Item = crate::track::FrameId> {
    let goodbye = turn.client_goodbye.filter(|_| turn.response.is_none()).map(|goodbye| goodbye.frame);
    std::iter::once(turn.request).chain(turn.response).chain(goodbye)
}

/// A duration in words.
pub(super) fn millis(ns: Option<i64>) -> String {
    match ns {
        None => "an unknown time".to_owned(),
        Some(ns) if ns >= 1_000_000_000 => format!("{:.1} s", ns as f64 / 1e9),
        Some(ns) if ns >= 1_000_000 => format!("{:.0} ms", ns as f64 / 1e6),
        Some(_) => "under 1 ms".to_owned(),
    }
}
