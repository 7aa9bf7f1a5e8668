//! What is said of servers that went down.

use super::super::evidence::{count_of, some_of};
use super::super::services::Service;
use super::super::slow_server::millis;
use super::super::{Outcome, backend_reset};
use super::Down;
use super::how::How;
use crate::Addr;
use std::collections::BTreeSet;

/// In a line.
pub(super) fn title(service: &Service, down: &Down) -> String {
    let tries = count_of(down.failed.len() as u64, "connection");
    let server = match down.of.as_slice() {
        _ if down.dealt_out => format!("one endpoint of {}", service.server),
        [one] if *one != service.server => format!("endpoint {one} of {}", service.server),
        _ => some_of([service.server].iter().chain(&down.with), 2),
    };
    let what = match down.how {
        How::Refuses => "went down and has refused every connection since",
        How::Closed => "has refused every new connection since it worked",
        How::Gone if !down.with.is_empty() => "went away at once and have answered no connection since",
        How::Gone => "went away and has answered no connection since",
        How::Filtered | How::Held => "stopped answering new connections",
        How::Empty => "has had no endpoints since it worked",
        How::Forbidden => "is rejected since it worked",
        How::NoRoute => "cannot be reached any more since it worked",
    };
    format!("{server} {what} ({tries})")
}

/// What happened.
pub(super) fn explain(down: &Down, clients: &BTreeSet<Addr>) -> String {
    let (worked_ns, first_ns, last_ns) = down.times_ns();
    let open = match (down.cut, down.alive) {
        (_, alive @ 1..) => format!("{} went on", count_of(alive as u64, "earlier connection")),
        (0, _) => "No connection was open to show whether those that are there still pass".to_owned(),
        (cut, _) => format!(
            "{} got no answer any more either, for {}",
            count_of(cut as u64, "earlier connection"),
            millis(Some((down.cut_until_ns - first_ns).max(0))),
        ),
    };
    let (met, so) = met(down, &open);
    let rest = match (down.dealt_out, down.others) {
        (true, _) => "the others were accepted",
        (false, true) => "none of theirs was accepted any more, while other clients are served",
        (false, false) => "none was accepted any more",
    };
    format!(
        "{} to {} came about. From {} after the last of them on, {} from {} {met}, for {}, and {rest}{so}.",
        count_of(down.worked.len() as u64, "connection"),
        if down.with.is_empty() { "it" } else { "them" },
        millis(Some((first_ns - worked_ns).max(0))),
        count_of(down.failed.len() as u64, "connection"),
        some_of(clients, 3),
        millis(Some(last_ns - first_ns)),
    )
}

/// What those met that failed, and what follows of it and of those that were open.
fn met(down: &Down, open: &str) -> (&'static str, String) {
    let gone = if down.alive > 0 || down.others { "" } else { ", or the host is gone" };
    match down.how {
        How::Refuses => ("met a reset instead of a SYN-ACK", refusal(down.nearer)),
        How::Closed => {
            ("met a reset", format!(". {open}: the server no longer listens, or a rule on the way rejects what is new"))
        }
        How::Gone if !down.with.is_empty() => (
            "got no answer",
            format!(
                ". {open}. They went at once: their node is gone, or the way to it, or a rule drops what is for them"
            ),
        ),
        How::Gone => (unanswered(down), format!(". {open}: the pod or its host is gone, and clients still go there")),
        How::Held => (
            "got no answer",
            format!(
                ". {open}. Their SYNs come to the clients' node and do not leave it any more: what drops them is there, a \
                 rule or a route that is missing"
            ),
        ),
        How::Filtered => {
            ("got no answer", format!(". {open}: a rule drops what is new (NetworkPolicy, firewall){gone}"))
        }
        How::Empty => ("met ICMP port unreachable of a node", ": its last endpoint was removed".into()),
        How::Forbidden => ("met ICMP errors", ": something on the way began to reject them".into()),
        How::NoRoute => ("met ICMP unreachable at once", ": a route is gone".into()),
    }
}

/// What those met that no server answered.
fn unanswered(down: &Down) -> &'static str {
    let rejected = down.failed.iter().filter(|at| at.outcome == Outcome::Rejected).count();
    if rejected * 2 > down.failed.len() { "met ICMP host unreachable" } else { "got no answer" }
}

/// What to do where it is not the process that went.
pub(super) fn advice(how: How) -> Option<&'static str> {
    match how {
        How::Gone => Some(
            "See what became of the pod and of its node at that time: deleted, evicted or moved, node lost, network \
             plugin restarted, or a NetworkPolicy, firewall rule or route changed. Where the address is nobody's any \
             more, find who still names it: an EndpointSlice, the rules of the clients' nodes, a connection pool.",
        ),
        _ => None,
    }
}

/// The same as commands.
pub(super) fn commands(how: How, server: Addr) -> Vec<String> {
    let whose = format!("kubectl get pods,services,endpointslices -A -o wide | grep -wF {server}");
    match how {
        How::Gone => vec![
            whose,
            "kubectl get nodes -o wide".to_owned(),
            "kubectl get events -A --sort-by=.lastTimestamp".to_owned(),
        ],
        How::Filtered | How::Held | How::Forbidden => vec![whose, "kubectl get networkpolicy -A -o yaml".to_owned()],
        _ => backend_reset::commands(server),
    }
}

/// Who refuses.
fn refusal(nearer: Option<(u8, u8)>) -> String {
    match nearer {
        None => ": the process is gone, and clients still go there".to_owned(),
        Some((reset, answer)) => format!(
            ". The resets arrive with TTL {reset}, answers before with {answer}: they were made nearer than the server \
             is, so a node on the way refuses for it, and the pod is gone or cut off"
        ),
    }
}
