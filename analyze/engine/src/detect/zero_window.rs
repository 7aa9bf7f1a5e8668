use super::About;
use super::evidence::{count_of, some_of};
use super::losses::connections;
use super::world::World;
use crate::Addr;
use crate::finding::{Finding, Role, Severity};
use crate::time::widen;
use crate::track::event::{Flow, Side};
use crate::track::{Endpoint, FrameId};
use std::collections::{BTreeMap, BTreeSet};

pub(super) const ABOUT: About = About {
    code: "APP003",
    slug: "zero-window",
    title: "a receiver does not read",
    severity: Severity::Warning,
    what: "One end of connections announces a window of zero for a second or more, or half of the time, while the other \
           has more to send.",
    why: "The transfer stands still. Neither network nor sender can do anything about it: the receiving application does \
          not read.",
    how: "The time from a segment with window 0 to the next with another, per side, where the sender probes the window in \
          between (with a byte or none, after 0.2, 0.4, 0.8 s and so on). Shorter times count where they add up to 3 s, \
          with three probes, and to half of the connection's time.",
    false_positives: "Windows that close for a moment in a fast transfer, and closed windows that nobody waits for, are not \
                      reported. Probes look like keep-alives or retransmissions and are neither.",
    fix: "Find out what the receiving application waits for: CPU, locks, disk, or somebody it hands the data on to.",
    filter: "tcp.analysis.zero_window || tcp.analysis.window_update",
    judge: find,
};

/// A transfer that stands still for this long is worth a word.
const LONG_NS: i64 = 1_000_000_000;
/// So is one that stands still half of its time and this long in all, however short each time is: a reader that takes
/// small steps.
const SUM_NS: i64 = 3_000_000_000;
const PROBES: u32 = 3;

/// A side that closed its window.
#[derive(Clone, Debug, Default)]
struct Stalled {
    connections: u64,
    times: u64,
    probes: u64,
    total_ns: i64,
    longest_ns: i64,
    peers: Vec<Endpoint>,
    frames: Vec<FrameId>,
    span_ns: Option<(i64, i64)>,
}

fn find(world: &World<'_>) -> Vec<Finding> {
    let mut stalled: BTreeMap<(Addr, Endpoint, bool), Stalled> = BTreeMap::new();
    for (orig, resp, flows) in connections(world) {
        for reader_is_orig in [true, false] {
            if let Some(flow) = worst(&flows, reader_is_orig) {
                let reader = if reader_is_orig { orig } else { resp };
                stalled.entry((reader.addr, resp, reader_is_orig)).or_default().add(flow, reader_is_orig, orig);
            }
        }
    }
    stalled.iter().map(|(key, stalled)| judge(*key, stalled, world)).collect()
}

/// Reader and writer.
fn sides(flow: &Flow, reader_is_orig: bool) -> (&Side, &Side) {
    if reader_is_orig { (&flow.from_orig, &flow.from_resp) } else { (&flow.from_resp, &flow.from_orig) }
}

/// What was seen of a connection where its window was closed longest, if that is long and somebody waited.
fn worst<'a>(flows: &[&'a Flow], reader_is_orig: bool) -> Option<&'a Flow> {
    let probes = |side: &Side| side.tcp.losses.as_deref().map_or(0, |losses| losses.near.sum.persist);
    let waits = |flow: &&&Flow| {
        let (reader, writer) = sides(flow, reader_is_orig);
        let stands = reader.tcp.closed().longest_ns >= LONG_NS && probes(writer) > 0;
        stands || takes_steps(flow, reader) && probes(writer) >= PROBES
    };
    let longest = |flow: &&&Flow| sides(flow, reader_is_orig).0.tcp.closed().longest_ns;
    flows.iter().filter(waits).max_by_key(longest).copied()
}

/// Whether its window was closed again and again, half of the time.
fn takes_steps(flow: &Flow, reader: &Side) -> bool {
    let whole_ns = flow.last_ns.saturating_sub(flow.first_ns);
    reader.tcp.closed().ns >= SUM_NS && reader.tcp.closed().ns.saturating_mul(2) >= whole_ns
}

impl Stalled {
    fn add(&mut self, flow: &Flow, reader_is_orig: bool, orig: Endpoint) {
        let (reader, writer) = sides(flow, reader_is_orig);
        self.connections += 1;
        self.times += u64::from(reader.tcp.closed().times);
        self.probes += writer.tcp.losses.as_deref().map_or(0, |losses| u64::from(losses.near.sum.persist));
        self.total_ns += reader.tcp.closed().ns;
        self.longest_ns = self.longest_ns.max(reader.tcp.closed().longest_ns);
        self.peers.push(orig);
        self.frames.extend(Some(reader.tcp.closed()).filter(|closed| closed.times > 0).map(|closed| closed.frame));
        widen(&mut self.span_ns, flow.first_ns, flow.last_ns);
    }
}

fn judge((reader, server, reader_is_orig): (Addr, Endpoint, bool), stalled: &Stalled, world: &World<'_>) -> Finding {
    let mut finding = Finding::of(&ABOUT, title(reader, stalled));
    let (role, other) = if reader_is_orig { (Role::Client, Role::Server) } else { (Role::Server, Role::Client) };
    finding.about(role, &reader);
    if reader_is_orig {
        finding.about(other, &server);
    } else {
        stalled.peers.iter().take(4).for_each(|peer| finding.about(other, &peer.addr));
    }
    finding.counts.insert("connections", stalled.connections as i64);
    finding.counts.insert("zero_windows", stalled.times as i64);
    finding.counts.insert("probes", stalled.probes as i64);
    finding.counts.insert("stalled_ms", stalled.total_ns / 1_000_000);
    finding.counts.insert("longest_ms", stalled.longest_ns / 1_000_000);
    let (first, last) = stalled.span_ns.unwrap_or_default();
    finding.span(first, last);
    let family = reader.family();
    let filter = format!("{family}.src == {reader} && tcp.port == {} && tcp.window_size_value == 0", server.port);
    finding.cite(world, stalled.frames.iter().copied(), &filter);
    finding.explanation = explain(reader, reader_is_orig.then_some(server), stalled);
    finding.rule_out("NET001", "nothing was lost: the probes and the window are answered");
    finding.rule_out("APP001", "the sender was ready, the receiver was not");
    finding
}

fn title(reader: Addr, stalled: &Stalled) -> String {
    let what = count_of(stalled.connections, "connection");
    if stalled.longest_ns >= LONG_NS {
        return format!("{reader} does not read for {:.1} s ({what})", seconds(stalled.longest_ns));
    }
    format!("{reader} reads too slowly: it can take nothing for {:.1} s in all ({what})", seconds(stalled.total_ns))
}

/// `server` is the one that sends, where the reader is a client.
fn explain(reader: Addr, server: Option<Endpoint>, stalled: &Stalled) -> String {
    let peers: BTreeSet<Endpoint> = stalled.peers.iter().map(|peer| server.unwrap_or(*peer)).collect();
    format!(
        "{reader} announced that it can take nothing more, {} in {} with {}, for up to {:.1} s. Meanwhile the sender had \
         data and probed the window {}. The network delivered everything: the application on {reader} did not read what \
         had arrived.",
        count_of(stalled.times, "time"),
        count_of(stalled.connections, "connection"),
        some_of(peers, 3),
        seconds(stalled.longest_ns),
        count_of(stalled.probes, "time"),
    )
}

fn seconds(ns: i64) -> f64 {
    ns as f64 / 1e9
}
