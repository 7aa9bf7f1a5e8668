//! Packets that were seen before a NAT and not behind it, though others of their kind pass.

use super::world::World;
use crate::Addr;
use crate::finding::{Finding, Role};
use crate::packet::TCP;
use crate::path::{Binding, Connection, Kept};
use crate::track::event::Flow;
use crate::track::{Endpoint, FrameId};
use std::collections::{BTreeMap, BTreeSet};

/// A connection that lost SYNs, or its question, at a NAT.
pub(super) struct Lost<'a> {
    pub(super) connection: &'a Connection,
    /// As it was seen before the NAT.
    pub(super) pre: &'a Flow,
    /// As it was seen behind, once a retry passed.
    pub(super) post: Option<&'a Flow>,
    pub(super) syns: u64,
    /// Whether the NAT translates the source of such connections.
    pub(super) snat: bool,
    /// Whether it vanished earlier on the way than those that pass are translated.
    pub(super) early: bool,
}

/// The same by numbers, to be kept beside what they number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LostAt {
    connection: u32,
    pre: u32,
    post: Option<u32>,
    syns: u64,
    snat: bool,
    early: bool,
}

/// What is known of connections to one address between two units (or within one).
#[derive(Default)]
struct Usual {
    snat: u64,
    passed: u64,
    /// Most points that one was seen at before the translation.
    legs: usize,
}

type Way = (u8, Endpoint, u32, u32);

/// A retry comes at least this long after what it repeats.
const RETRY_NS: i64 = 500_000_000;
/// A capture may begin and end this much earlier than another of the same trouble.
const MARGIN_NS: i64 = 2_000_000_000;

/// All of them, looked for once.
pub(super) fn lost<'a>(world: &'a World<'a>) -> Vec<Lost<'a>> {
    let servers = &world.facts.servers;
    let found = servers.lost.get_or_init(|| look(world));
    found.iter().map(|at| at.view(&servers.kept)).collect()
}

impl LostAt {
    fn view(self, kept: &Kept) -> Lost<'_> {
        Lost {
            connection: &kept.connections()[self.connection as usize],
            pre: kept.flow(self.pre),
            post: self.post.map(|post| kept.flow(post)),
            syns: self.syns,
            snat: self.snat,
            early: self.early,
        }
    }
}

fn look(world: &World<'_>) -> Vec<LostAt> {
    let kept = &world.facts.servers.kept;
    let usual = usual(world);
    let spans = world.unit_spans();
    let mut all = Vec::new();
    let may_lack = |connection: &Connection| connection.stages.len() > 1 || connection.silent;
    for (connection, at) in kept.connections().iter().zip(0u32..).filter(|(connection, _)| may_lack(connection)) {
        let front = connection.front();
        for ((_, _, from, to), usual) in
            usual.range((connection.proto, front.resp, 0, 0)..=(connection.proto, front.resp, u32::MAX, u32::MAX))
        {
            let in_unit = |unit: u32| move |flow: &&u32| kept.flow(**flow).unit == unit;
            let Some(&pre_at) = front.seen.iter().find(in_unit(*from)) else { continue };
            let pre = kept.flow(pre_at);
            let covered = from == to
                || spans
                    .get(to)
                    .is_some_and(|(first, last)| pre.first_ns >= *first && pre.last_ns + MARGIN_NS <= *last);
            let post = connection.stages[1..].iter().flat_map(|stage| &stage.seen).find(in_unit(*to)).copied();
            if let Some(syns) = lost_syns(pre, post.map(|post| kept.flow(post))).filter(|_| covered) {
                let early = post.is_none() && pre.legs().count() < usual.legs;
                let snat = usual.snat * 2 > usual.passed;
                all.push(LostAt { connection: at, pre: pre_at, post, syns, snat, early });
                break;
            }
        }
    }
    all
}

/// SYNs (or questions) that did not pass, where any did not.
fn lost_syns(pre: &Flow, post: Option<&Flow>) -> Option<u64> {
    let asked = pre.proto != TCP || pre.from_orig.isn.is_some();
    let silent = pre.from_resp.packets == 0;
    match post {
        None if asked && silent => {
            Some(if pre.proto == TCP { pre.from_orig.syns } else { pre.from_orig.packets }.into())
        }
        None => None,
        Some(post) => {
            let late = match (pre.from_orig.tsval, post.from_orig.tsval) {
                (Some(pre), Some(post)) => i64::from(post.wrapping_sub(pre) as i32) * 1_000_000 >= RETRY_NS,
                _ => pre.unit == post.unit && post.first_ns - pre.first_ns >= RETRY_NS,
            };
            let repeated = pre.proto == TCP && pre.from_orig.syns > post.from_orig.syns;
            (late && repeated).then(|| (pre.from_orig.syns - post.from_orig.syns).into())
        }
    }
}

fn usual(world: &World<'_>) -> BTreeMap<Way, Usual> {
    let kept = &world.facts.servers.kept;
    let mut all: BTreeMap<Way, Usual> = BTreeMap::new();
    for connection in kept.connections() {
        let Some(binding) = Binding::of(connection).next() else { continue };
        let (pre, post) = binding.nearest(kept);
        let usual = all.entry((connection.proto, connection.front().resp, pre.unit, post.unit)).or_default();
        usual.passed += 1;
        usual.snat += u64::from(connection.front().orig != connection.back().orig);
        usual.legs = usual.legs.max(pre.legs().count());
    }
    all
}

impl Lost<'_> {
    /// Whether a retry passed in the end.
    pub(super) fn passed(&self) -> bool {
        self.post.is_some()
    }

    /// Service and client.
    pub(super) fn pair(&self) -> (Endpoint, Addr) {
        let front = self.connection.front();
        (front.resp, front.orig.addr)
    }

    /// Frames of what vanished, and of what passed.
    pub(super) fn frames(&self) -> impl Iterator<Item = FrameId> {
        let syns = self.pre.syns.iter().copied().take(2);
        std::iter::once(self.pre.first).chain(syns).chain(self.post.map(|post| post.first))
    }
}

/// Hosts that lost what they sent to a service they are an endpoint of, and never reached themselves through it: where the
/// lot falls on themselves, a bridge without hairpin mode lets nothing pass, and no translation is seen.
pub(super) fn own_endpoints(lost: &[Lost<'_>], world: &World<'_>) -> BTreeSet<(Endpoint, Addr)> {
    let kept = &world.facts.servers.kept;
    let mut own = BTreeSet::new();
    for service in lost.iter().map(|lost| lost.connection.front().resp).collect::<BTreeSet<_>>() {
        let given = || kept.sent_to(service).filter_map(|at| Some((at.front().orig.addr, at.endpoint()?.addr, at)));
        let behind: BTreeSet<Addr> = given().map(|(_, endpoint, _)| endpoint).collect();
        let granted = given().filter(|(client, endpoint, at)| client == endpoint && at.outcome.is_granted());
        let well: BTreeSet<Addr> = granted.map(|(client, ..)| client).collect();
        own.extend(behind.difference(&well).map(|addr| (service, *addr)));
    }
    own
}

/// Says whom and when lost connections are about.
pub(super) fn concern(finding: &mut Finding, lost: &[&Lost<'_>], world: &World<'_>, filter: &str) {
    let servers: BTreeSet<Endpoint> = lost.iter().map(|lost| lost.connection.front().resp).collect();
    let clients: BTreeSet<Addr> = lost.iter().map(|lost| lost.connection.front().orig.addr).collect();
    for server in servers.iter().take(8) {
        finding.about(Role::Server, server);
    }
    for client in clients.iter().take(8) {
        finding.about(Role::Client, client);
    }
    let translated: BTreeSet<Addr> = lost.iter().filter_map(|lost| lost.post).map(|post| post.orig.addr).collect();
    for hop in translated.difference(&clients).take(4) {
        finding.about(Role::Hop, hop);
    }
    finding.counts.insert("connections", lost.len() as i64);
    finding.counts.insert("clients", clients.len() as i64);
    finding.counts.insert("lost_syns", lost.iter().map(|lost| lost.syns as i64).sum());
    let times = || lost.iter().map(|lost| lost.pre.first_ns);
    finding.span(times().min().unwrap_or_default(), times().max().unwrap_or_default());
    finding.cite(world, lost.iter().flat_map(|lost| lost.frames()).collect::<Vec<_>>(), filter);
}

/// Says what a counter of conntrack says, where a listing of them was given.
pub(super) fn confirm(finding: &mut Finding, world: &World<'_>, counter: &'static str) {
    let Some(value) = world.facts.servers.kept.conntrack.stat(counter) else { return };
    finding.counts.insert(counter, value as i64);
    if value == 0 {
        finding.confidence = finding.confidence.min(0.5);
        finding.limits.push(format!("the listing of conntrack's counters has {counter}=0"));
    } else {
        finding.confidence = finding.confidence.max(0.97);
        let confirmed = [" conntrack counts ", counter, "=", &value.to_string(), "."];
        finding.explanation.extend(confirmed);
    }
}
