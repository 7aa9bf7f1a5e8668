use super::About;
use super::evidence::{count_of, some_of};
use super::losses::connections_with;
use super::world::World;
use crate::Addr;
use crate::finding::{Finding, Role, Severity};
use crate::path::Signs;
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
                      reported, nor is a proxy that reads no more because who it hands the data on to does not. Probes look like keep-alives or retransmissions and are neither.",
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

/// Who does not read, and as what server, or as a client: of whomever, its own reasons are the same.
type Key = (Addr, Option<Endpoint>);

/// A side that closed its window.
#[derive(Clone, Debug, Default)]
struct Stalled {
    connections: u64,
    times: u64,
    probes: u64,
    total_ns: i64,
    longest_ns: i64,
    /// Clients of a server, or servers of a client.
    peers: BTreeSet<Endpoint>,
    /// Ports of servers, as they were seen.
    ports: BTreeSet<u16>,
    frames: Vec<FrameId>,
    span_ns: Option<(i64, i64)>,
}

fn find(world: &World<'_>) -> Vec<Finding> {
    let mut stalled: BTreeMap<Key, Stalled> = BTreeMap::new();
    for (orig, resp, flows) in connections_with(Signs::CLOSED, world) {
        for reader_is_orig in [true, false] {
            if let Some(flow) = worst(&flows, reader_is_orig) {
                let (key, peer) =
                    if reader_is_orig { ((orig.addr, None), resp) } else { ((resp.addr, Some(resp)), orig) };
                stalled.entry(key).or_default().add(flow, reader_is_orig, peer);
            }
        }
    }
    let waits = |(key, one): &(&Key, &Stalled)| stalled.iter().any(|(of, other)| waits_for(**key, one, *of, other));
    let causes = stalled.iter().filter(|one| !waits(one));
    causes.map(|(key, stalled)| judge(*key, stalled, world)).collect()
}

/// Whether a reader waits for another one, to whom it hands on what it reads, and not the other way round.
fn waits_for(key: Key, one: &Stalled, of: Key, other: &Stalled) -> bool {
    let meanwhile = one.span_ns.zip(other.span_ns).is_some_and(|(one, other)| one.0 <= other.1 && other.0 <= one.1);
    let is_less = one.connections <= other.connections && one.longest_ns <= other.longest_ns + LONG_NS;
    meanwhile && is_less && other.hears(key.0) && !one.hears(of.0)
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
    /// Whether somebody has something to say to this reader.
    fn hears(&self, writer: Addr) -> bool {
        self.peers.iter().any(|peer| peer.addr == writer)
    }

    fn add(&mut self, flow: &Flow, reader_is_orig: bool, peer: Endpoint) {
        let (reader, writer) = sides(flow, reader_is_orig);
        self.connections += 1;
        self.times += u64::from(reader.tcp.closed().times);
        self.probes += writer.tcp.losses.as_deref().map_or(0, |losses| u64::from(losses.near.sum.persist));
        self.total_ns += reader.tcp.closed().ns;
        self.longest_ns = self.longest_ns.max(reader.tcp.closed().longest_ns);
        self.peers.insert(peer);
        self.ports.insert(flow.resp.port);
        self.frames.extend(Some(reader.tcp.closed()).filter(|closed| closed.times > 0).map(|closed| closed.frame));
        widen(&mut self.span_ns, flow.first_ns, flow.last_ns);
    }
}

fn judge((reader, server): Key, stalled: &Stalled, world: &World<'_>) -> Finding {
    let mut finding = Finding::of(&ABOUT, title(reader, stalled));
    if server.is_none() {
        finding.about(Role::Client, &reader);
        stalled.peers.iter().take(PEERS).for_each(|peer| finding.about(Role::Server, peer));
    } else {
        finding.about(Role::Server, &reader);
        stalled.peers.iter().take(PEERS).for_each(|peer| finding.about(Role::Client, &peer.addr));
    }
    finding.counts.insert("connections", stalled.connections as i64);
    finding.counts.insert("zero_windows", stalled.times as i64);
    finding.counts.insert("probes", stalled.probes as i64);
    finding.counts.insert("stalled_ms", stalled.total_ns / 1_000_000);
    finding.counts.insert("longest_ms", stalled.longest_ns / 1_000_000);
    let (first, last) = stalled.span_ns.unwrap_or_default();
    finding.span(first, last);
    finding.cite(world, stalled.frames.iter().copied(), &filter(reader, stalled));
    finding.explanation = explain(reader, stalled);
    finding.rule_out("NET001", "nothing was lost: the probes and the window are answered");
    finding.rule_out("APP001", "the sender was ready, the receiver was not");
    finding
}

/// Peers named.
const PEERS: usize = 4;

fn filter(reader: Addr, stalled: &Stalled) -> String {
    let family = reader.family();
    let ports: Vec<String> = stalled.ports.iter().map(|port| format!("tcp.port == {port}")).collect();
    let ports = if ports.len() > 1 { format!("({})", ports.join(" || ")) } else { ports.concat() };
    format!("{family}.src == {reader} && {ports} && tcp.window_size_value == 0")
}

fn title(reader: Addr, stalled: &Stalled) -> String {
    let what = count_of(stalled.connections, "connection");
    if stalled.longest_ns >= LONG_NS {
        return format!("{reader} does not read for {:.1} s ({what})", seconds(stalled.longest_ns));
    }
    format!("{reader} reads too slowly: it can take nothing for {:.1} s in all ({what})", seconds(stalled.total_ns))
}

fn explain(reader: Addr, stalled: &Stalled) -> String {
    format!(
        "{reader} announced that it can take nothing more, {} in {} with {}, for up to {:.1} s. Meanwhile the sender had \
         data and probed the window {}. The network delivered everything: the application on {reader} did not read what \
         had arrived.",
        count_of(stalled.times, "time"),
        count_of(stalled.connections, "connection"),
        some_of(&stalled.peers, 3),
        seconds(stalled.longest_ns),
        count_of(stalled.probes, "time"),
    )
}

fn seconds(ns: i64) -> f64 {
    ns as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(host: u8, port: u16) -> Endpoint {
        Endpoint { addr: std::net::IpAddr::from([10, 0, 0, host]).into(), port }
    }

    fn stalled(peer: Endpoint, longest_ns: i64) -> Stalled {
        Stalled { connections: 1, longest_ns, peers: [peer].into(), span_ns: Some((0, 9)), ..Stalled::default() }
    }

    /// A key of a client, and of a server.
    fn client(host: u8) -> Key {
        (at(host, 0).addr, None)
    }

    fn server(of: Endpoint) -> Key {
        (of.addr, Some(of))
    }

    #[test]
    fn a_proxy_waits_for_who_it_hands_data_on_to() {
        let (reader, proxy) = (stalled(at(2, 80), 5 * LONG_NS), stalled(at(3, 8080), 5 * LONG_NS));
        assert!(waits_for(client(2), &proxy, client(1), &reader));
        assert!(!waits_for(client(1), &reader, client(2), &proxy));
        let longer = stalled(at(3, 8080), 9 * LONG_NS);
        assert!(!waits_for(client(2), &longer, client(1), &reader), "it has reasons of its own");
        let later = Stalled { span_ns: Some((10, 19)), ..stalled(at(3, 8080), LONG_NS) };
        assert!(!waits_for(client(2), &later, client(1), &reader), "at another time");
    }

    #[test]
    fn an_upload_stands_still_from_its_end_on() {
        let (end, proxy) = (stalled(at(2, 40_000), 5 * LONG_NS), stalled(at(1, 40_000), 5 * LONG_NS));
        let (of_end, of_proxy) = (server(at(3, 8080)), server(at(2, 80)));
        assert!(waits_for(of_proxy, &proxy, of_end, &end));
        assert!(!waits_for(of_end, &end, of_proxy, &proxy));
    }

    #[test]
    fn two_that_do_not_read_what_the_other_says_are_two() {
        let (asking, asked) = (stalled(at(2, 80), 5 * LONG_NS), stalled(at(1, 40_000), 5 * LONG_NS));
        let (of_client, of_server) = (client(1), server(at(2, 80)));
        assert!(!waits_for(of_client, &asking, of_server, &asked));
        assert!(!waits_for(of_server, &asked, of_client, &asking));
    }
}
