use super::About;
use super::evidence::{count_of, some_of};
use super::losses::{connections_with, has_finding};
use super::vantage::Spot;
use super::world::World;
use crate::finding::{Finding, Role, Severity};
use crate::packet::TCP;
use crate::path::Signs;
use crate::time::widen;
use crate::track::event::{Flow, Reset, Stall};
use crate::track::{Endpoint, FrameId};
use std::collections::{BTreeMap, BTreeSet};

pub(super) const ABOUT: About = About {
    code: "APP005",
    slug: "dead-peer",
    title: "an established connection goes unanswered",
    severity: Severity::Error,
    what: "One end of an established connection stops answering: data is sent again on the retransmission timer, or \
           keep-alive probes are repeated, and nothing comes back until the sender gives up or the capture ends. Or what \
           comes back shows that the other end hears nothing any more.",
    why: "The host behind the address is gone, or the way to it is. Linux keeps trying for up to 15 minutes; the \
          application hangs as long.",
    how: "Four or more resends of the same segment over three seconds or more, or three keep-alive probes in a row, and not \
          one packet from the other end since: it went silent. Where packets of it do come and acknowledge nothing, it \
          went deaf: one direction of the way is lost, and the other works.",
    false_positives: "A closed window is answered, a black hole for large packets lets small ones pass, a capture that does \
                      not see the other direction proves nothing: these are left out.",
    fix: "Find out what became of the silent host at that time: pod killed or moved, node lost, route or policy changed. \
          Clients get over it sooner with TCP keep-alives or `TCP_USER_TIMEOUT`.",
    filter: "tcp.analysis.retransmission || tcp.analysis.keep_alive",
    judge: find,
};

/// Resends in a row before silence is death: 0.2, 0.4, 0.8, 1.6 s.
const RESENDS: u32 = 4;
const LONG_NS: i64 = 3_000_000_000;
/// Keep-alive probes in a row.
const PROBES: u32 = 3;

/// How an end of a connection waits for the other in vain.
#[derive(Clone, Copy, Debug)]
struct Wait {
    /// Whether it is the originator who waits.
    by_orig: bool,
    /// Whether the other end still sends.
    deaf: bool,
}

/// Connections of one end that went silent, or deaf.
#[derive(Clone, Debug, Default)]
struct Silent {
    connections: u64,
    resends: u64,
    probes: u64,
    from: Vec<Endpoint>,
    frames: Vec<FrameId>,
    span_ns: Option<(i64, i64)>,
}

fn find(world: &World<'_>) -> Vec<Finding> {
    let mut silent: BTreeMap<(Endpoint, bool), Silent> = BTreeMap::new();
    for (orig, resp, flows) in connections_with(Signs::UNANSWERED, world) {
        // Where flags were cut off nothing is known of what follows what.
        let readable = |flow: &&Flow| !flow.history.as_str().is_empty();
        let two_way = || flows.iter().copied().filter(|flow| flow.is_two_way()).filter(readable);
        // A place that sees both ends send knows more than those behind the loss.
        let waits = two_way().filter_map(|flow| Some((flow, goes_unanswered(flow)?)));
        let Some((flow, Wait { by_orig, deaf })) = waits.min_by_key(|(_, wait)| !wait.deaf) else { continue };
        if two_way().any(|other| goes_unanswered(other).is_none() && saw(other, flow, by_orig)) {
            continue;
        }
        if flows.iter().any(|flow| world.is_in_broken_tunnel(flow)) {
            continue;
        }
        let (from, to) = if by_orig { (orig, resp) } else { (resp, orig) };
        let known = has_finding(world, &["NAT007", "NAT002", "NAT008", "MTU001", "MTU003", "MTU004"], to.addr);
        let known = known || deaf && (world.has_no_way_to(to.addr) || is_way_back(from, to, world));
        if !known && (deaf || !flows.iter().map(|flow| flow.resp).chain([to]).any(|to| is_counted(from, to, world))) {
            let to = if by_orig { to } else { Endpoint { port: 0, ..to } };
            silent.entry((to, deaf)).or_default().add(flow, by_orig, from);
        }
    }
    silent.iter().map(|((to, deaf), silent)| judge(*to, *deaf, silent, world)).collect()
}

/// Whether a finding that says since when a server answers nothing new to a client counts what it left unanswered too.
fn is_counted(from: Endpoint, to: Endpoint, world: &World<'_>) -> bool {
    let cut = |finding: &&Finding| finding.counts.get("cut_connections").is_some_and(|count| *count > 0);
    world
        .found(&["SVC001", "SVC004", "SVC005", "SVC008", "NET004"])
        .filter(cut)
        .any(|finding| finding.names(&to) && finding.names(&from.addr))
}

/// Whether it is told that nothing that an end sends to the other arrives, not even what answers a SYN.
fn is_way_back(from: Endpoint, to: Endpoint, world: &World<'_>) -> bool {
    world.found(&["SVC007"]).any(|finding| finding.names(&from) && finding.names(&to.addr))
}

/// Whether another place saw what goes unanswered here. One that did not knows nothing of it, such as that of a pod which
/// was deleted.
fn saw(other: &Flow, flow: &Flow, by_orig: bool) -> bool {
    let of = |flow: &Flow| if by_orig { flow.from_orig.keepalives } else { flow.from_resp.keepalives };
    let Some(stall) = flow.stall.as_deref() else { return of(other) >= of(flow) };
    let side = if by_orig { &other.from_orig } else { &other.from_resp };
    side.sent.is_none_or(|sent| sent.wrapping_sub(stall.seq).cast_signed() > 0)
}

/// Whether an end of a connection waits for the other in vain.
fn goes_unanswered(flow: &Flow) -> Option<Wait> {
    let open = flow.is_two_way() && flow.from_resp.packets > flow.from_resp.syns && !flow.is_half_open();
    if !open || flow.proto != TCP {
        return None;
    }
    let resent = flow.stall.as_deref().filter(|stall| {
        let side = if stall.by_orig { &flow.from_orig } else { &flow.from_resp };
        let headers = if flow.orig.addr.is_v4() { 52 } else { 72 };
        // What is longer than anything that arrived may be too long for the way.
        let arrives = stall.ip_len <= side.tcp.delivered_len + headers || stall.ip_len < SMALL;
        let peer = if stall.by_orig { &flow.from_resp } else { &flow.from_orig };
        let long = stall.last_ns - stall.first_ns >= LONG_NS;
        stall.resent >= RESENDS && long && arrives && !peer.zero_window && !is_disowned(flow, stall)
    });
    let probes = |side: u32| side >= PROBES;
    match resent {
        Some(stall) => Some(Wait { by_orig: stall.by_orig, deaf: stall.peer_lives }),
        None if probes(flow.from_orig.tcp.unanswered_probes) => Some(Wait { by_orig: true, deaf: false }),
        None if probes(flow.from_resp.tcp.unanswered_probes) => Some(Wait { by_orig: false, deaf: false }),
        None => None,
    }
}

/// Whether the peer's host answered the last resend that it knows no such connection: it is there, and hears.
fn is_disowned(flow: &Flow, stall: &Stall) -> bool {
    let answers = |reset: Reset| {
        let at_once = reset.ns.abs_diff(stall.last_ns) < ANSWER_NS;
        reset.bare && reset.by_orig != stall.by_orig && at_once
    };
    flow.reset().is_some_and(answers)
}

/// An answer comes within this time of a resend, or belongs to another.
const ANSWER_NS: u64 = 200_000_000;

/// Bytes of an IP packet that fits every way (RFC 791, the least that must pass is 576).
const SMALL: u32 = 576;

impl Silent {
    fn add(&mut self, flow: &Flow, by_orig: bool, from: Endpoint) {
        let side = if by_orig { &flow.from_orig } else { &flow.from_resp };
        let stall = flow.stall.as_deref();
        self.connections += 1;
        self.resends += stall.map_or(0, |stall| stall.resent.into());
        self.probes += u64::from(side.tcp.unanswered_probes);
        self.from.push(from);
        match stall {
            Some(stall) => self.frames.extend(stall.frames.as_slice()),
            None => self.frames.push(flow.first),
        }
        let since = stall.map_or(flow.last_ns, |stall| stall.first_ns);
        widen(&mut self.span_ns, since, flow.last_ns);
    }
}

fn judge(to: Endpoint, deaf: bool, silent: &Silent, world: &World<'_>) -> Finding {
    let name = if to.port == 0 { to.addr.to_string() } else { to.to_string() };
    let what = count_of(silent.connections, "established connection");
    let how = if deaf { "hears nothing any more" } else { "went silent" };
    let mut finding = Finding::of(&ABOUT, format!("{name} {how} in {what}"));
    finding.confidence = 0.8;
    finding.about(if to.port == 0 { Role::Client } else { Role::Server }, &name);
    silent.from.iter().take(4).for_each(|from| finding.about(Role::Endpoint, &from.addr));
    finding.counts.insert("connections", silent.connections as i64);
    finding.counts.insert("resends", silent.resends as i64);
    finding.counts.insert("keepalive_probes", silent.probes as i64);
    let (first, last) = silent.span_ns.unwrap_or_default();
    finding.span(first, last);
    finding.cite(world, silent.frames.iter().copied(), &format!("{} && tcp", world.host_filter(to.addr)));
    finding.explanation = explain(&name, deaf, silent);
    finding.rule_out("APP003", "the window was open");
    finding.rule_out("MTU001", "segments of that size had been acknowledged before, or are small");
    finding.capture_next = world.capture_next([Spot::Host(to.addr)], "whether the segments still arrive there");
    if deaf {
        ONE_WAY.clone_into(&mut finding.fix.text);
        finding.capture_next = Some(format!("on the way to {}: where the segments are seen last", to.addr));
    }
    finding
}

/// What to do where one direction is lost.
const ONE_WAY: &str = "Find out what changed at that time for packets of this one direction: network policies and host \
                       firewalls at both ends (also rules that drop packets in state INVALID), routes, and where \
                       connections are tracked on a way that the other direction does not take.";

fn explain(name: &str, deaf: bool, silent: &Silent) -> String {
    let what = count_of(silent.connections, "established connection");
    let from = some_of(silent.from.iter().map(|from| from.addr).collect::<BTreeSet<_>>(), 3);
    let resends = count_of(silent.resends, "resend");
    if deaf {
        return format!(
            "{what} between {from} and {name} worked. Then {resends} from there were not acknowledged, while {name} went on \
             sending: its packets pass, and those to it are dropped on the way, by a policy, a firewall or a route of one \
             direction."
        );
    }
    format!(
        "{what} from {from} to {name} worked, then got nothing back any more: {resends} and {} went unanswered until the \
         end. The host is gone, or what passes packets to it has stopped doing so.",
        count_of(silent.probes, "keep-alive probe"),
    )
}
