//! What makes late answers and missing ones a pattern.

use crate::detect::behind::over_ns;
use crate::detect::turns::{self, SLOW_NS, TurnService};
use crate::detect::world::World;
use crate::path::Connection;
use crate::track::event::Flow;
use crate::track::{Endpoint, Turn};

/// Times at which a server is slow before it is more than a stall: turns that wait at the same time are one.
const PATTERN: usize = 3;
/// The same where clients give up, or where it is a quarter of all turns.
const PATTERN_CLEAR: usize = 2;
/// Clients that leave while others wait, each when its own time is over, before it is a server that hangs.
const VICTIMS: usize = 3;
/// Times of their own are this far apart.
const APART_NS: i64 = 50_000_000;
/// A request that waits this long where the capture ends is not merely on its way, times the server's usual time, and in
/// any case.
const HUNG_TIMES: i64 = 100;
const HUNG_NS: i64 = 5_000_000_000;
/// What says that nobody is there who could answer.
const GONE: [&str; 2] = ["SVC008", "APP005"];

/// Whether turns that wait are a pattern, `late` of all of them being answered late.
pub(super) fn is_pattern(service: &TurnService, turns: &[&Turn], late: u64) -> bool {
    let facts = &service.facts;
    let sum = late + facts.gave_up.count;
    let is_clear = facts.gave_up.count > 0 || sum * 4 >= facts.turns;
    let pattern = if is_clear { PATTERN_CLEAR } else { PATTERN };
    sum * 100 >= facts.turns && (episodes(turns) >= pattern || victims(service) >= VICTIMS)
}

/// Most turns that waited one after the other: those that waited at the same time may be one stall.
fn episodes(turns: &[&Turn]) -> usize {
    let mut spans: Vec<(i64, i64)> = turns.iter().map(|turn| (over_ns(turn), turn.asked_ns)).collect();
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

/// Clients that gave up one after the other although they waited at the same time, of a server that had answered at once
/// before. Those that leave together may be one that is stopped.
fn victims(service: &TurnService) -> usize {
    let began_ns = service.facts.answers_ns.filter(|_| is_quick(service)).map_or(i64::MAX, |(first, _)| first);
    let gave_up = service.facts.gave_up.turns.iter().filter(|turn| turn.asked_ns > began_ns);
    let mut spans: Vec<(i64, i64)> =
        gave_up.filter_map(|turn| Some((turn.asked_ns, turn.client_goodbye?.ns))).collect();
    spans.sort_unstable();
    let mut last = None;
    spans.retain(|(from, to)| {
        let apart = last.is_none_or(|(begin, end)| *from >= begin + APART_NS && *to >= end + APART_NS);
        last = if apart { Some((*from, *to)) } else { last };
        apart
    });
    spans.len()
}

/// Whether half of its answers come at once.
fn is_quick(service: &TurnService) -> bool {
    service.facts.server.quantile(50).is_some_and(|half| half <= SLOW_NS / 10)
}

/// Requests that wait where the capture ends, on several connections, of a server that used to answer the same at once
/// and has answered nothing since. Each is measured by the end of what its unit saw.
pub(super) fn hung<'a>(service: &'a TurnService, world: &World<'_>) -> Vec<&'a Turn> {
    let facts = &service.facts;
    if facts.open.turns.len() < VICTIMS || world.lacks_packets() || world.facts.flows.evicted > 0 {
        return Vec::new();
    }
    let Some((_, last_ns)) = facts.answers_ns.filter(|_| is_quick(service)) else { return Vec::new() };
    let patience_ns = facts.server.quantile(50).unwrap_or_default().saturating_mul(HUNG_TIMES).max(HUNG_NS);
    let ends = world.unit_spans();
    let holes = &world.facts.flows.holes;
    let waits = |turn: &Turn| ends.get(&turn.unit).map_or(0, |(_, end)| end.saturating_sub(turn.request_end_ns));
    let is_lost = |turn: &&Turn| turn.asked_ns > last_ns && facts.quick.knows(turn) && !holes.contains(&turn.unit);
    let hung: Vec<&Turn> = facts.open.turns.iter().filter(is_lost).collect();
    let long = hung.iter().filter(|turn| waits(turn) >= patience_ns);
    let mut begins: Vec<i64> = long.map(|turn| turn.asked_ns).collect();
    begins.sort_unstable();
    begins.dedup_by(|later, earlier| *later < *earlier + APART_NS);
    let is_gone = || GONE.iter().any(|code| service.is_subject(code, world));
    if begins.len() >= VICTIMS && !is_gone() { hung } else { Vec::new() }
}

/// Answers of siblings that show that only one endpoint is late.
const SIBLINGS: usize = 3;

/// The endpoint that all late answers came from, where others answer as well.
pub(super) fn culprit(service: &TurnService, limit_ns: i64, world: &World<'_>) -> Option<Endpoint> {
    let shares = turns::shares(service, &world.facts.servers.kept);
    let (late, siblings): (Vec<_>, Vec<_>) = shares.iter().partition(|share| share.is_late(limit_ns));
    let answers: usize = siblings.iter().map(|share| share.count()).sum();
    let at = late.first().map(|share| share.at);
    at.filter(|_| late.len() == 1 && answers >= SIBLINGS)
}

/// The endpoint that all of these requests were sent on to, where others of the service go on to answer.
pub(super) fn hanging(service: &TurnService, turns: &[&Turn], world: &World<'_>) -> Option<Endpoint> {
    let kept = &world.facts.servers.kept;
    let at = turns::endpoint(turns.first()?, kept)?;
    if turns.iter().any(|turn| turns::endpoint(turn, kept) != Some(at)) {
        return None;
    }
    let since_ns = turns.iter().map(|turn| turn.asked_ns).min()?;
    let answers = |flow: &Flow| flow.last_ns > since_ns && flow.from_resp.payload_bytes > 0;
    let is_sibling = |to: &&Connection| to.endpoint().is_some_and(|other| other != at) && to.flows(kept).any(answers);
    (kept.sent_to(service.server).filter(is_sibling).count() >= SIBLINGS).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::track::{FrameId, Goodbye};

    const S: i64 = 1_000_000_000;

    /// A server that answers in a millisecond, and clients that ask and leave at these times.
    fn service(gave_up: &[(i64, i64)]) -> TurnService {
        let mut service =
            TurnService { server: Endpoint::default(), behind: Vec::new(), facts: turns::ServerTurns::default() };
        service.facts.server.add(S / 1000);
        service.facts.answers_ns = Some((0, S));
        let turn = |(asked_ns, ns): &(i64, i64)| Turn {
            asked_ns: *asked_ns,
            client_goodbye: Some(Goodbye { ns: *ns, frame: FrameId::default(), reset: false, ttl: 64 }),
            ..Turn::default()
        };
        service.facts.gave_up.turns = gave_up.iter().map(turn).collect();
        service
    }

    #[test]
    fn clients_that_leave_one_after_the_other_are_several() {
        let patient = [(2 * S, 5 * S), (3 * S, 6 * S), (4 * S, 7 * S)];
        assert_eq!(victims(&service(&patient)), 3);
        let stopped = [(2 * S, 7 * S), (3 * S, 7 * S), (4 * S, 7 * S + 1)];
        assert_eq!(victims(&service(&stopped)), 1, "one client that ends all of its connections");
        let one = [(2 * S, 5 * S), (2 * S + 1, 6 * S), (2 * S + 2, 7 * S)];
        assert_eq!(victims(&service(&one)), 1, "asked at the same time");
        let mut cold = service(&patient);
        cold.facts.answers_ns = Some((8 * S, 9 * S));
        assert_eq!(victims(&cold), 0, "it had not answered yet");
        let mut slow = service(&patient);
        (0..9).for_each(|_| slow.facts.server.add(S / 10));
        assert_eq!(victims(&slow), 0, "it is never quick");
    }
}
