//! What a server that passes requests on to others (a gateway, a proxy) went through while it had one.

use super::Outcome;
use super::turns::TurnService;
use super::world::World;
use crate::Addr;
use crate::finding::Severity;
use crate::packet::TCP;
use crate::path::Connection;
use crate::track::{Endpoint, Fate, Turn};
use std::collections::{BTreeMap, BTreeSet};

/// Clocks of two hosts may differ by this much, and who is left leaves others as soon.
const CLOCKS_NS: i64 = 50_000_000;

/// An attempt to connect that did not come about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failed {
    pub(super) to: Endpoint,
    pub(super) outcome: Outcome,
    unit: u32,
    first_ns: i64,
}

/// Connections of some servers to others.
#[derive(Debug, Default)]
pub(super) struct Behind {
    /// Attempts that did not come about, by who tried.
    failed: BTreeMap<Addr, Vec<Failed>>,
    /// Who is seen to connect to others at all.
    askers: BTreeSet<Addr>,
}

/// The addresses at which a server has requests and from which it asks others.
pub(super) fn addresses(service: &TurnService) -> BTreeSet<Addr> {
    service.endpoints().map(|at| at.addr).collect()
}

/// When a turn was over, as far as is known.
pub(super) fn over_ns(turn: &Turn) -> i64 {
    let left = || turn.client_goodbye.or(turn.server_goodbye).map(|goodbye| goodbye.ns);
    // An answer may come when nobody waits for it any more.
    let answered_ns = turn.answered_ns.filter(|_| turn.fate != Fate::GaveUp);
    answered_ns.or_else(left).unwrap_or(turn.asked_ns)
}

/// How far apart two units may see what is at one time.
fn slack_ns(a: u32, b: u32) -> i64 {
    if a == b { 0 } else { CLOCKS_NS }
}

/// Whether one turn ran within the other.
pub(super) fn is_within(inner: &Turn, outer: &Turn) -> bool {
    let asked_ns = outer.asked_ns - slack_ns(inner.unit, outer.unit);
    inner.asked_ns >= asked_ns && over_ns(inner) <= over_ns(outer) + CLOCKS_NS
}

/// Turns that are explained by others, one and all, although these come from addresses of another family: nobody else's.
const MANY: usize = 8;

/// Whether most of these turns of a server end as they do because it passes them on, as these inner turns, which are some
/// of so many: those that come from an address of its own, or where all of these are of the other family, whichever fit
/// all of its turns.
pub(super) fn pass_on(outer: &[&Turn], front: &BTreeSet<Addr>, inner: &[&Turn], of: u64) -> bool {
    let (own, others): (Vec<&Turn>, Vec<&Turn>) = inner.iter().partition(|turn| front.contains(&turn.client.addr));
    let explained = |by: &[&Turn]| outer.iter().filter(|outer| by.iter().any(|inner| is_within(inner, outer))).count();
    let is_other = |turn: &Turn| front.iter().all(|addr| addr.family() != turn.client.addr.family());
    if own.is_empty() {
        let all = outer.len() >= MANY && others.iter().all(|turn| is_other(turn));
        return all && explained(&others) == outer.len();
    }
    // Of some of the inner turns as large a share of what they explain is known.
    explained(&own) as u64 * 2 * of.max(inner.len() as u64) >= (outer.len() * inner.len()) as u64
}

/// Whether a finding so far, and no mere information, is about an address.
pub(super) fn is_alarmed(at: &Endpoint, world: &World<'_>) -> bool {
    world.findings.iter().any(|finding| finding.severity > Severity::Info && finding.names(at))
}

/// Whether most of these turns of a service went wrong at another one that is found already.
fn is_passed_on(turns: &[&Turn], service: &TurnService, front: &BTreeSet<Addr>, world: &World<'_>) -> bool {
    let others = world.facts.turns.services().iter().filter(|other| other.server != service.server);
    let mut told = others.filter(|other| other.facts.is_troubled() && is_alarmed(&other.server, world));
    told.any(|other| pass_on(turns, front, &other.facts.troubled().collect::<Vec<_>>(), 0))
}

impl Behind {
    /// Looks at all connections once.
    pub(super) fn of(servers: &BTreeSet<Addr>, world: &World<'_>) -> Self {
        let mut behind = Self::default();
        if servers.is_empty() {
            return behind;
        }
        let kept = &world.facts.servers.kept;
        for connection in kept.connections().iter().filter(|connection| connection.proto == TCP) {
            let Some(by) = connection.stages.iter().map(|stage| stage.orig.addr).find(|by| servers.contains(by)) else {
                continue;
            };
            behind.askers.insert(by);
            if let Some(failed) = Failed::of(connection, world) {
                behind.failed.entry(by).or_default().push(failed);
            }
        }
        behind
    }

    /// Whether a server is seen to connect to others.
    pub(super) fn asks(&self, front: &BTreeSet<Addr>) -> bool {
        front.iter().any(|addr| self.askers.contains(addr))
    }

    /// The attempts of a server that did not come about while it had a request.
    pub(super) fn failed<'a>(&'a self, front: &'a BTreeSet<Addr>, turn: &Turn) -> impl Iterator<Item = &'a Failed> {
        let (unit, from, to) = (turn.unit, turn.asked_ns, over_ns(turn));
        let meanwhile = move |failed: &&Failed| {
            let slack_ns = slack_ns(unit, failed.unit);
            (from - slack_ns..=to + slack_ns).contains(&failed.first_ns)
        };
        self.all_failed(front).filter(meanwhile)
    }

    /// The attempts of a server that did not come about, at any time.
    pub(super) fn all_failed<'a>(&'a self, front: &'a BTreeSet<Addr>) -> impl Iterator<Item = &'a Failed> {
        front.iter().filter_map(|addr| self.failed.get(addr)).flatten()
    }

    /// Whether most of these turns of a server end as they do because of one behind it that is found already: it could not
    /// connect to that, or passed them on.
    pub(super) fn is_told(&self, turns: &[&Turn], service: &TurnService, world: &World<'_>) -> bool {
        let front = addresses(service);
        let is_known = |failed: &Failed| is_alarmed(&failed.to, world);
        let told = turns.iter().filter(|turn| self.failed(&front, turn).any(is_known)).count();
        told > 0 && told * 2 >= turns.len() || self.asks(&front) && is_passed_on(turns, service, &front, world)
    }
}

impl Failed {
    fn of(connection: &Connection, world: &World<'_>) -> Option<Self> {
        let outcome = connection.outcome;
        let flow = connection.flows(&world.facts.servers.kept).find(|flow| flow.from_orig.isn.is_some())?;
        let came_about = outcome.is_granted() || outcome == Outcome::Unclear && flow.from_resp.packets > 0;
        let to = connection.front().resp;
        (!came_about).then_some(Self { to, outcome, unit: flow.unit, first_ns: flow.first_ns })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::track::{FrameId, Goodbye};

    const MS: i64 = 1_000_000;

    fn turn(client: u8, unit: u32, from_ms: i64, to_ms: i64) -> Turn {
        let client = Endpoint { addr: std::net::IpAddr::from([10, 0, 0, client]).into(), port: 40_000 };
        Turn { client, unit, asked_ns: from_ms * MS, answered_ns: Some(to_ms * MS), ..Turn::default() }
    }

    #[test]
    fn who_is_asked_in_between_may_be_the_cause() {
        let outer = turn(1, 0, 100, 900);
        assert!(is_within(&turn(2, 0, 101, 899), &outer));
        assert!(!is_within(&turn(2, 0, 99, 899), &outer), "asked before");
        assert!(is_within(&turn(2, 0, 101, 901), &outer), "left where its own client leaves");
        assert!(!is_within(&turn(2, 0, 101, 1000), &outer), "over after");
        assert!(is_within(&turn(2, 1, 99, 901), &outer), "by another clock");
    }

    #[test]
    fn a_late_answer_does_not_prolong_what_was_given_up() {
        let mut inner = turn(2, 0, 101, 5000);
        inner.client_goodbye = Some(Goodbye { ns: 899 * MS, frame: FrameId::default(), reset: false, ttl: 64 });
        assert!(!is_within(&inner, &turn(1, 0, 100, 900)), "it was waited for");
        inner.fate = Fate::GaveUp;
        assert!(is_within(&inner, &turn(1, 0, 100, 900)));
    }

    #[test]
    fn requests_are_passed_on_by_who_has_them() {
        let (outer, inner) = (turn(1, 0, 100, 900), turn(2, 0, 101, 899));
        let front = |n: u8| BTreeSet::from([turn(n, 0, 0, 0).client.addr]);
        assert!(pass_on(&[&outer], &front(2), &[&inner], 1));
        assert!(!pass_on(&[&outer], &front(3), &[&inner], 1), "somebody else asks");
        let others = [turn(1, 0, 2000, 2900), turn(1, 0, 4000, 4900)];
        assert!(!pass_on(&[&outer, &others[0], &others[1]], &front(2), &[&inner], 1), "it explains one of three");
        assert!(!pass_on(&[&inner], &front(1), &[&outer], 1), "one host is both: who is asked last is the cause");
    }

    /// Turns one after another.
    fn turns(client: u8, count: i64) -> Vec<Turn> {
        (0..count).map(|n| turn(client, 0, n * 1000 + i64::from(client), n * 1000 + 900)).collect()
    }

    #[test]
    fn of_some_inner_turns_a_share_is_expected() {
        let (outer, inner) = (turns(1, 24), turns(2, 60));
        let front = BTreeSet::from([inner[0].client.addr]);
        let (outer, some): (Vec<_>, Vec<_>) = (outer.iter().collect(), inner.iter().step_by(3).take(20).collect());
        assert!(pass_on(&outer, &front, &some, 60));
        assert!(!pass_on(&outer, &front, &some, 20), "there are no more");
    }

    #[test]
    fn a_gateway_may_ask_in_another_family() {
        let (outer, inner) = (turns(1, 8), turns(2, 8));
        let all = |turns: &[Turn], other: &[Turn], front: Addr| {
            let (outer, inner): (Vec<_>, Vec<_>) = (turns.iter().collect(), other.iter().collect());
            pass_on(&outer, &BTreeSet::from([front]), &inner, 0)
        };
        let v6: Addr = std::net::IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 9]).into();
        let v4: Addr = std::net::IpAddr::from([10, 0, 0, 9]).into();
        assert!(all(&outer, &inner, v6));
        assert!(!all(&outer, &inner, v4), "it would ask from that address");
        assert!(!all(&outer, &inner[1..], v6), "one is not explained");
        assert!(!all(&outer[1..], &inner, v6), "too few");
    }
}
