use super::About;
use super::backend_reset::attempts;
use super::evidence::{count_of, some_of};
use super::losses::{connections_with, has_finding};
use super::vantage::Spot;
use super::world::World;
use crate::finding::{Finding, Role, Severity};
use crate::path::Signs;
use crate::time::widen;
use crate::track::event::Flow;
use crate::track::{Endpoint, FrameId};
use std::collections::BTreeMap;

pub(super) const ABOUT: About = About {
    code: "NAT007",
    slug: "idle-reset",
    title: "idle connections are forgotten on the way",
    severity: Severity::Warning,
    what: "A connection was idle for a while; the next thing sent on it is answered by a reset of somebody who knows of no \
           such connection, or by nothing at all.",
    why: "Something between the ends (conntrack, a NAT gateway, a load balancer, a firewall) forgets connections that are \
          idle. Applications with connection pools see resets or hang at the first request after a pause.",
    how: "A reset without acknowledgement, as a host sends it that has no such connection, right after data that ended a \
          silence of two seconds or more; neither end had finished or reset the connection before. Or the data after the \
          silence is sent again and again and nothing comes back.",
    false_positives: "A server that closes idle connections says so with FIN: then this is a race, not forgetting. A host \
                      that restarted answers the same way, but for all its connections at once. Where new connections \
                      fail as well since, the server is gone (APP005).",
    fix: "Send TCP keep-alives more often than the shortest timeout on the way (60 s suits nearly all), let pools drop \
          connections that were idle for longer, or raise the timeout.",
    filter: "tcp.flags.reset == 1",
    judge: find,
};

/// A silence shorter than this is no reason for anybody to forget.
const SILENCE_NS: i64 = 2_000_000_000;
/// A silence as long as this makes one connection enough (the shortest timeouts of gateways are a minute and more).
const LONG_NS: i64 = 55_000_000_000;
/// Timeouts of well-known boxes, seconds.
const KNOWN: &[(i64, &str)] = &[
    (60, "AWS ALB, nginx keep-alive"),
    (240, "Azure load balancer"),
    (350, "AWS NAT gateway and NLB"),
    (600, "GCP firewall"),
    (1200, "GCP Cloud NAT"),
    (3600, "kube-proxy close-wait, firewalls"),
    (86_400, "kube-proxy established"),
];

/// How a connection died after a silence.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Death {
    /// Reset, with this TTL, where the peer's packets have the other.
    Reset(u8, Option<u8>),
    Silence,
}

/// Connections to one server that died after a silence, and those that lived through one.
#[derive(Clone, Debug, Default)]
struct Forgotten {
    resets: u64,
    silent: u64,
    gaps_ns: Vec<i64>,
    /// The longest silence that did no harm.
    survived_ns: i64,
    survivors: u64,
    foreign_ttl: u64,
    clients: Vec<crate::Addr>,
    frames: Vec<FrameId>,
    span_ns: Option<(i64, i64)>,
    /// When the first was not answered.
    silent_ns: Option<i64>,
}

fn find(world: &World<'_>) -> Vec<Finding> {
    let mut servers: BTreeMap<Endpoint, Forgotten> = BTreeMap::new();
    for (orig, _, flows) in connections_with(Signs::IDLE, world) {
        // Under the address the client knows: the same connection may have been sent to several endpoints.
        let Some(resp) = flows.first().map(|flow| flow.resp) else { continue };
        let idle = flows.iter().filter_map(|flow| flow.idle()).map(|idle| idle.gap_ns).max();
        let Some(gap_ns) = idle else { continue };
        let forgotten = servers.entry(resp).or_default();
        match flows.iter().find_map(|flow| Some((*flow, death(flow)?))) {
            Some((flow, death)) => forgotten.add(flow, death, gap_ns, orig.addr),
            None => forgotten.survive(gap_ns),
        }
    }
    let dead = servers.iter().filter(|(server, of)| {
        let many = of.gaps_ns.len() > 1 || of.gaps_ns.iter().any(|gap_ns| *gap_ns >= LONG_NS);
        (many || of.resets > 0)
            && !of.gaps_ns.is_empty()
            && !is_gone(**server, of, world)
            && !has_finding(world, &["NAT002", "NAT008"], server.addr)
    });
    dead.map(|(server, forgotten)| judge(*server, forgotten, world)).collect()
}

/// Whether new connections fail as well from then on: the server is gone, and nobody forgot anything.
fn is_gone(server: Endpoint, forgotten: &Forgotten, world: &World<'_>) -> bool {
    let since_ns = forgotten.silent_ns.filter(|_| forgotten.resets == 0);
    let Some(since_ns) = since_ns else { return false };
    let mut later = attempts(std::iter::once(&server), world);
    later.retain(|attempt| attempt.ns > since_ns);
    later.iter().any(|attempt| attempt.outcome.is_failure()) && !later.iter().any(|at| at.outcome.is_granted())
}

/// How a connection died after a silence, if it did.
fn death(flow: &Flow) -> Option<Death> {
    let idle = flow.idle().filter(|idle| idle.gap_ns >= SILENCE_NS)?;
    let waker = if idle.by_orig { &flow.from_orig } else { &flow.from_resp };
    let peer = if idle.by_orig { &flow.from_resp } else { &flow.from_orig };
    let known = waker.packets > waker.syns && peer.packets > peer.syns;
    if !known || waker.fin || peer.fin {
        return None;
    }
    if let Some(reset) = flow.reset() {
        let answers = reset.by_orig != idle.by_orig && reset.bare && flow.idle_before_reset_ns().is_some();
        return answers.then_some(Death::Reset(reset.ttl, peer.ttl));
    }
    let stall = flow.stall.as_deref()?;
    let after = stall.by_orig == idle.by_orig && stall.first_ns >= idle.until_ns && !stall.peer_lives;
    let at_once = stall.first_ns - idle.until_ns < 2_000_000_000;
    (after && at_once && stall.resent >= 3).then_some(Death::Silence)
}

impl Forgotten {
    fn add(&mut self, flow: &Flow, death: Death, gap_ns: i64, client: crate::Addr) {
        match death {
            Death::Reset(ttl, usual) => {
                self.resets += 1;
                self.foreign_ttl += u64::from(usual.is_some_and(|usual| usual != ttl));
                self.frames.extend(flow.reset().map(|reset| reset.frame));
            }
            Death::Silence => {
                self.silent += 1;
                let since_ns = flow.stall.as_deref().map(|stall| stall.first_ns);
                self.silent_ns = self.silent_ns.into_iter().chain(since_ns).min();
                self.frames.extend(flow.stall.iter().flat_map(|stall| stall.frames.as_slice().to_vec()));
            }
        }
        self.gaps_ns.push(gap_ns);
        if !self.clients.contains(&client) {
            self.clients.push(client);
        }
        widen(&mut self.span_ns, flow.first_ns, flow.last_ns);
    }

    fn survive(&mut self, gap_ns: i64) {
        self.survivors += u64::from(gap_ns >= SILENCE_NS);
        self.survived_ns = self.survived_ns.max(gap_ns);
    }
}

fn judge(server: Endpoint, forgotten: &Forgotten, world: &World<'_>) -> Finding {
    let died = forgotten.gaps_ns.len() as u64;
    let shortest_ns = forgotten.gaps_ns.iter().copied().min().unwrap_or(0);
    let longest_ns = forgotten.gaps_ns.iter().copied().max().unwrap_or(0);
    let seconds = |ns: i64| ns as f64 / 1e9;
    let title = format!(
        "{} to {server} forgotten after {:.1} s of silence",
        count_of(died, "connection"),
        seconds(shortest_ns)
    );
    let mut finding = Finding::of(&ABOUT, title);
    let constant = longest_ns - shortest_ns <= (shortest_ns / 20).max(1_000_000_000);
    finding.severity = if died > 1 { ABOUT.severity } else { Severity::Info };
    finding.confidence = if died > 1 && constant { 0.8 } else { 0.6 };
    finding.about(Role::Server, &server);
    forgotten.clients.iter().take(8).for_each(|client| finding.about(Role::Client, client));
    finding.counts.insert("connections", died as i64);
    finding.counts.insert("resets", forgotten.resets as i64);
    finding.counts.insert("silent", forgotten.silent as i64);
    finding.counts.insert("survived", forgotten.survivors as i64);
    finding.counts.insert("idle_ms", shortest_ns / 1_000_000);
    let (first, last) = forgotten.span_ns.unwrap_or_default();
    finding.span(first, last);
    let family = server.addr.family();
    let filter = format!("{family}.addr == {} && tcp.port == {}", server.addr, server.port);
    finding.cite(world, forgotten.frames.iter().copied(), &filter);
    finding.explanation = explain(server, forgotten, shortest_ns, longest_ns);
    finding.rule_out("APP002", "neither end had closed the connection before");
    if died > 1 && constant {
        finding.rule_out("APP005", "the connections died at the same length of silence, not at the same time");
    }
    let ends = forgotten.clients.iter().copied().take(1).chain([server.addr]);
    let tells = "whose RST it is, or where the segment is last seen";
    finding.capture_next = world.capture_next(ends.map(Spot::NodeOf), tells);
    finding.fix.commands = vec![
        "sysctl net.netfilter.nf_conntrack_tcp_timeout_established net.ipv4.tcp_keepalive_time".to_owned(),
        format!("conntrack -L -p tcp --orig-dst {} | head", server.addr),
    ];
    finding
}

fn explain(server: Endpoint, forgotten: &Forgotten, shortest_ns: i64, longest_ns: i64) -> String {
    let seconds = |ns: i64| ns as f64 / 1e9;
    let death = match (forgotten.resets, forgotten.silent) {
        (resets, 0) => format!("{} at once, by somebody who knows of no such connection", count_of(resets, "reset")),
        (0, silent) => format!("no answer at all, however often it was repeated ({silent})"),
        (resets, silent) => format!("{} and {silent} times no answer", count_of(resets, "reset")),
    };
    let survivors = match forgotten.survivors {
        0 => String::new(),
        n => format!(" {n} others lived through up to {:.1} s.", seconds(forgotten.survived_ns)),
    };
    let ttl = if forgotten.foreign_ttl > 0 {
        " The resets have another TTL than the server's own packets: a box between made them."
    } else {
        ""
    };
    let about = |(limit, _): &&(i64, &str)| (shortest_ns / 1_000_000_000 - limit).abs() <= 3 && *limit > 0;
    let device = KNOWN.iter().find(about).map(|(limit, name)| format!(" {limit} s is the limit of: {name}."));
    format!(
        "{} from {} to {server} were silent for {:.1} to {:.1} s with nothing on its way; the first data after that \
         met {death}.{survivors}{ttl}{} Somebody between the ends had forgotten them: the conntrack of a node, \
         or a NAT gateway, load balancer or firewall.",
        count_of(forgotten.gaps_ns.len() as u64, "connection"),
        some_of(&forgotten.clients, 3),
        seconds(shortest_ns),
        seconds(longest_ns),
        device.unwrap_or_default(),
    )
}
