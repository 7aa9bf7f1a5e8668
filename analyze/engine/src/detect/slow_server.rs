mod patterns;

use super::About;
use super::behind::{self, Behind, over_ns};
use super::evidence::{count_of, servers_filter, some_of};
use super::turns::{self, Kept, SLOW_NS, ServerTurns, TurnService, VERY_SLOW_NS};
use super::world::World;
use crate::finding::{Finding, Severity};
use crate::time::rfc3339;
use crate::track::Endpoint;
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
          in at least 1 % of the turns, or for one answer of a gateway with 504. Where a server used to answer at once \
          it is said too of three clients that leave one after the other while the others wait, and of three requests \
          that wait for five seconds where the capture ends, nothing having been answered since.",
    false_positives: "Long polls, watches, blocking reads of queues, HTTP/2, upgrades and protocols that are not known \
                      are not judged: there a late answer is no fault. Turns with segments sent again are left out: \
                      their time is the network's. A delayed acknowledgement is not charged to the network. \
                      Answers that come late at the same time are one stall, such as a cold start; clients that leave \
                      together may be one that is stopped. Requests are on their way where a capture ends.",
    fix: "See what the server does in that time: traces, profiles, slow queries, locks, its own calls to others, CPU \
          limits. Raise the proxy's timeout only if such times are expected.",
    filter: "http.time > 0.5 || http.response.code == 504",
    judge: find,
};

/// Late answers of a server that others wait for before it is a pattern.
const PATTERN: u64 = 3;
/// What explains that a server answers late, or seems to.
const CAUSES: [&str; 4] = ["SVC006", "MTU001", "MTU003", "APP003"];

/// A server that is slow, and the turns that show it.
struct Slow<'a> {
    service: &'a TurnService,
    turns: Vec<&'a Turn>,
    /// From when on an answer is late.
    limit_ns: i64,
    /// Late answers in all, of which `turns` has a few.
    late: u64,
    /// Requests that it never answers, so far.
    hung: Vec<&'a Turn>,
    /// The one endpoint that is late, where others answer as well.
    culprit: Option<Endpoint>,
}

fn find(world: &World<'_>) -> Vec<Finding> {
    let is_outlier = |slow: &Slow<'_>| slow.culprit.is_some_and(|at| world.knows(&["SVC009"], &at));
    let is_explained =
        |slow: &Slow<'_>| CAUSES.iter().any(|code| slow.service.is_subject(code, world)) || is_outlier(slow);
    let services = world.facts.turns.services().iter();
    let mut slow: Vec<Slow<'_>> =
        services.filter_map(|service| Slow::of(service, world)).filter(|slow| !is_explained(slow)).collect();
    let fronts = slow.iter().flat_map(|slow| behind::addresses(slow.service)).collect();
    let behind = Behind::of(&fronts, world);
    slow.retain(|slow| !behind.is_told(&slow.turns, slow.service, world));
    let steady: Vec<_> = steady(&slow, world).into_iter().filter(|slow| !is_explained(slow)).collect();
    slow.extend(steady);
    let (symptoms, causes): (Vec<_>, Vec<_>) =
        slow.iter().partition(|one| slow.iter().any(|other| other.explains(one)));
    causes.iter().map(|one| one.judge(&symptoms, world)).collect()
}

/// Servers that always take their time, so that none of their answers stands out, and that others wait for.
fn steady<'a>(slow: &[Slow<'a>], world: &World<'a>) -> Vec<Slow<'a>> {
    let unexplained: Vec<&Slow<'_>> = slow.iter().filter(|one| !slow.iter().any(|other| other.explains(one))).collect();
    let is_new = |service: &&TurnService| slow.iter().all(|slow| slow.service.server != service.server);
    let services = world.facts.turns.services().iter().filter(is_new);
    let steady = services.filter(|service| service.facts.slow.count >= PATTERN).map(Slow::always);
    steady.filter(|steady| unexplained.iter().any(|one| steady.explains(one))).collect()
}

impl<'a> Slow<'a> {
    /// A server all of whose answers that take [`SLOW_NS`] count as late.
    fn always(service: &'a TurnService) -> Self {
        let facts = &service.facts;
        let turns = facts.slow.turns.iter().collect();
        Self { service, turns, limit_ns: SLOW_NS, late: facts.slow.count, hung: Vec::new(), culprit: None }
    }

    fn of(service: &'a TurnService, world: &World<'_>) -> Option<Self> {
        let facts = &service.facts;
        let hung = patterns::hung(service, world);
        if facts.slow.count + facts.gave_up.count + facts.gateway.count == 0 && hung.is_empty() {
            return None;
        }
        let limit_ns = limit_ns(facts);
        let late = if limit_ns < VERY_SLOW_NS { facts.slow.count } else { facts.very_slow };
        let kept = facts.slow.turns.iter().filter(|turn| turn.server_ns() >= Some(limit_ns));
        let mut turns: Vec<&Turn> = kept.chain(&facts.gave_up.turns).collect();
        let is_said = patterns::is_pattern(service, &turns, late) || facts.gateway.count > 0 || !hung.is_empty();
        if !is_said {
            return None;
        }
        turns.extend(&hung);
        let clear = facts.gave_up.count == 0 && hung.is_empty();
        let hanging = || patterns::hanging(service, &turns, world).filter(|_| hung.is_empty());
        let culprit = if clear { patterns::culprit(service, limit_ns, world) } else { hanging() };
        Some(Self { service, turns, limit_ns, late, hung, culprit })
    }

    /// Who is slow, in words.
    fn who(&self) -> String {
        let server = self.service.server;
        self.culprit.map_or_else(|| server.to_string(), |at| format!("{at}, one endpoint of {server},"))
    }

    /// Whether the turns of another server are slow because it asks this one and waits.
    fn explains(&self, other: &Self) -> bool {
        let is_same = self.service.server == other.service.server;
        !is_same && behind::pass_on(&other.turns, &behind::addresses(other.service), &self.turns, 0)
    }

    fn judge(&self, symptoms: &[&Self], world: &World<'_>) -> Finding {
        let (server, facts) = (self.service.server, &self.service.facts);
        let mut finding = Finding::of(&ABOUT, self.title());
        finding.confidence = if facts.gave_up.count + facts.gateway.count > 0 { 0.9 } else { 0.8 };
        self.introduce(&mut finding, world);
        self.count(&mut finding);
        let ends = self.turns.iter().map(|turn| over_ns(turn));
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
            format!(
                "kubectl get pods,services -A -o wide | grep -wF {}",
                self.service.behind.first().unwrap_or(&server).addr
            ),
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

    /// Says whom it is about; who has a request that is not answered is looked up, because most such requests are.
    fn introduce(&self, finding: &mut Finding, world: &World<'_>) {
        let asked = self.hung.iter().filter_map(|turn| turns::endpoint(turn, &world.facts.servers.kept));
        let mut addresses: BTreeSet<Endpoint> = self.service.behind.iter().copied().chain(asked).collect();
        addresses.remove(&self.service.server);
        let clients = self.turns.iter().map(|turn| turn.client.addr).collect();
        self.service.introduce_as(finding, std::iter::once(&self.service.server).chain(&addresses), &clients);
    }

    fn title(&self) -> String {
        let (server, facts) = (self.who(), &self.service.facts);
        let longest = self.turns.iter().filter_map(|turn| turn.server_ns()).max();
        match (self.late, facts.gave_up.count) {
            _ if !self.hung.is_empty() => {
                format!("{server} answers nothing any more: {} wait for it", count_of(self.waiting(), "request"))
            }
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
        if !self.hung.is_empty() {
            put("waiting", self.waiting() as i64);
        }
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
            millis(Some(self.limit_ns)),
            millis(facts.server.quantile(50)),
            millis(facts.network.quantile(50)),
        );
        let parts =
            [Some(measured), self.hanging(), self.patience(), self.names(), self.gateway(), self.through(symptoms)];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }

    /// Requests that wait for ever, so far: of many, not all are kept.
    fn waiting(&self) -> u64 {
        let open = &self.service.facts.open;
        if self.hung.len() == open.turns.len() { open.count } else { self.hung.len() as u64 }
    }

    fn hanging(&self) -> Option<String> {
        let first = self.hung.iter().map(|turn| turn.asked_ns).min()?;
        Some(format!(
            "{} from {} on are acknowledged and not answered, and nothing else is since; where the capture ends they still \
             wait. It answered the same before: it hangs (a deadlock, a pool that ran dry, a stopped process).",
            count_of(self.waiting(), "request"),
            rfc3339(first)
        ))
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
