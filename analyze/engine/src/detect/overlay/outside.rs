//! What places outside of a tunnel tell of a connection inside.

use crate::packet::is_fresh;
use crate::track::event::{Flow, LegSeen};

/// Whether a capture with a connection's tunnel has it outside too, where no router has passed it on and no answer has
/// come straight from who answers: what it has of answers in the tunnel arrived.
pub(crate) fn is_next_to_orig(flow: &Flow) -> bool {
    let outside = flow.legs().filter(|leg| leg.tunnel == 0);
    let sent = outside.clone().any(|leg| is_fresh(leg.orig_ttl));
    let answered = flow.legs().any(|leg| leg.tunnel != 0 && leg.is_two_way());
    sent && answered && !outside.clone().any(|leg| is_fresh(leg.resp_ttl))
}

/// Whether a capture that sees what goes into the tunnel, routed and still outside, sees answers in the tunnel and none
/// come out: the host drops them before it takes them out.
pub(super) fn is_stuck(flow: &Flow) -> bool {
    let outside = || flow.legs().filter(|leg| leg.tunnel == 0);
    let enters = outside().any(|leg| leg.orig_ttl.is_some() && !is_fresh(leg.orig_ttl));
    enters && is_next_to_orig(flow) && outside().all(|leg| leg.resp_packets == 0)
}

/// A host passes on what comes out of a tunnel in less time than this; a SYN is sent again later.
pub(crate) const PASSING_NS: i64 = 100_000_000;

/// Whether a connection that got nowhere shows that the tunnel works: what was sent came out of it on the far host and got
/// no answer there, or none that went back into it.
pub(super) fn passes_unanswered(flow: &Flow, leg: &LegSeen) -> bool {
    // What comes out for another host's link address, and goes nowhere from there, is dropped.
    let arrives = |outside: &LegSeen| !outside.orig_strays && comes_out(outside, leg);
    let answers_inside = flow.legs().any(|leg| leg.tunnel != 0 && leg.resp_packets > 0);
    let no_way_back = flow.from_resp.packets == 0 || flow.is_half_open();
    no_way_back && !answers_inside && leg.orig_packets > 0 && flow.legs().any(arrives)
}

/// Whether a place outside sees what was inside a moment before, or with less TTL. Where the capture cut off what is inside,
/// the first packet there may not be known for one of the connection.
fn comes_out(outside: &LegSeen, inside: &LegSeen) -> bool {
    let after_ns = outside.first_ns.saturating_sub(inside.first_ns);
    let at_once = outside.orig_ttl == inside.orig_ttl && (1..PASSING_NS).contains(&after_ns);
    outside.tunnel == 0 && outside.orig_packets > 0 && (at_once || outside.orig_ttl < inside.orig_ttl)
}

/// Whether what came out of the tunnel was for a link address that the host there does not have, and went no further.
pub(super) fn strays(flow: &Flow, leg: &LegSeen) -> bool {
    let mut out = flow.legs().filter(|outside| comes_out(outside, leg)).peekable();
    flow.from_resp.packets == 0 && out.peek().is_some() && out.all(|outside| outside.orig_strays)
}
