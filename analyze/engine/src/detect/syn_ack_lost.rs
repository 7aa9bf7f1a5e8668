use super::About;
use super::evidence::{count_of, some_of};
use super::losses::{connections, connections_with};
use super::overlay::is_next_to_orig;
use super::vantage::Spot;
use super::world::World;
use crate::Addr;
use crate::finding::{Finding, Role, Severity};
use crate::packet::is_fresh;
use crate::path::Signs;
use crate::time::widen;
use crate::track::event::{Flow, LegSeen};
use crate::track::{Endpoint, FrameId};
use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet};

pub(super) const ABOUT: About = About {
    code: "SVC007",
    slug: "syn-ack-lost",
    title: "a server's answer to connection attempts gets lost",
    severity: Severity::Error,
    what: "A server answers SYNs with SYN-ACKs, and the client goes on repeating its SYN: the answers do not reach it.",
    why: "The way to the server works, the way back does not. Clients see a connection timeout; the server sees half-open \
          connections.",
    how: "SYN and SYN-ACK both repeat, and no acknowledgement follows. The client repeats its SYN after the SYN-ACK has \
          passed here, so it has not got it.",
    false_positives: "A scan or flood sends its SYN once and never comes back. Inside of a tunnel that works one way only \
                      this is the tunnel's symptom.",
    fix: "Look at the way back from the server to the client: its routes, reverse path filters, policies for answers, and \
          the tunnel in that direction.",
    filter: "tcp.flags.syn == 1",
    judge: find,
};

/// Handshakes of one server that never end.
#[derive(Clone, Debug, Default)]
struct Halves {
    attempts: u64,
    syns: u64,
    syn_acks: u64,
    clients: BTreeSet<Addr>,
    /// Addresses in front of the server.
    services: BTreeSet<Endpoint>,
    frames: Vec<FrameId>,
    span_ns: Option<(i64, i64)>,
    /// The last place, and inside of which tunnel, that has the answers, where another has none.
    last: Option<(u16, u32)>,
}

fn find(world: &World<'_>) -> Vec<Finding> {
    let mut servers: BTreeMap<Endpoint, Halves> = BTreeMap::new();
    let whole = LazyCell::new(|| whole(world));
    for (orig, resp, flows) in connections_with(Signs::ASKED_AGAIN, world) {
        let over = flows.iter().any(|flow| flow.from_orig.packets > flow.from_orig.syns);
        let half = flows.iter().find(|flow| flow.is_half_open() && is_answered(flow));
        let half = half.filter(|_| !over && !flows.iter().any(|flow| world.is_in_broken_tunnel(flow)));
        if let Some(flow) = half.filter(|flow| whole.contains(&flow.unit) || flow.from_orig.syns > CHANCE) {
            let halves = servers.entry(resp).or_default();
            halves.add(orig, flow);
            halves.services.extend(flows.first().map(|flow| flow.resp));
        }
    }
    let astray = |server: &Endpoint| world.knows(&["NAT001"], server);
    // A host on the way says that it knows no way to them; of errors it sends some.
    let no_way = |halves: &Halves| halves.clients.iter().any(|client| world.has_no_way_to(*client));
    let lost = servers.iter().filter(|(server, halves)| !astray(server) && !no_way(halves));
    lost.map(|(server, halves)| judge(*server, halves, world)).collect()
}

/// SYNs that chance may cost a connection that came about after all.
const CHANCE: u32 = 3;

/// Units that have segments besides SYN, FIN and RST: a filter for those hides how handshakes end.
fn whole(world: &World<'_>) -> BTreeSet<u32> {
    let flows = connections(world).flat_map(|(_, _, flows)| flows);
    flows.filter(|flow| flow.history.as_str().contains(['a', 'A', 'd', 'D'])).map(|flow| flow.unit).collect()
}

/// Whether the server answered what it got: every SYN here or next to it, or those of which answers came out of a tunnel
/// and no further, or came to some of the places here and not to the others.
fn is_answered(flow: &Flow) -> bool {
    let by_server = || flow.legs().any(|leg| is_fresh(leg.resp_ttl) && leg.answers_syns());
    let lost = || is_next_to_orig(flow) || last_answered(flow).is_some() || by_server();
    flow.from_orig.syns > 1 && (!flow.syn_waited || lost())
}

/// The last place on the way back that has the answers of a connection, of which another place has the SYNs alone. Where
/// answers take a way of their own, that place is none.
fn last_answered(flow: &Flow) -> Option<&LegSeen> {
    let unanswered = flow.legs().any(|leg| leg.orig_packets > 0 && leg.resp_packets == 0);
    let own_way = flow.legs().any(|leg| leg.orig_packets == 0 && leg.resp_packets > 0);
    let answered = flow.legs().filter(|leg| leg.is_two_way()).min_by_key(|leg| leg.first_ns);
    answered.filter(|_| unanswered && !own_way)
}

impl Halves {
    fn add(&mut self, orig: Endpoint, flow: &Flow) {
        self.attempts += 1;
        self.syns += u64::from(flow.from_orig.syns);
        self.syn_acks += u64::from(flow.from_resp.syns);
        self.clients.insert(orig.addr);
        self.frames.extend(flow.syns.as_slice());
        widen(&mut self.span_ns, flow.first_ns, flow.last_ns);
        self.last = self.last.or_else(|| last_answered(flow).map(|leg| (leg.point, leg.tunnel)));
    }
}

fn judge(server: Endpoint, halves: &Halves, world: &World<'_>) -> Finding {
    let attempts = count_of(halves.attempts, "attempt");
    let mut finding = Finding::of(&ABOUT, format!("SYN-ACKs of {server} do not arrive ({attempts})"));
    finding.confidence = 0.85;
    finding.about(Role::Server, &server);
    let services = halves.services.iter().filter(|service| **service != server);
    services.take(4).for_each(|service| finding.about(Role::Service, service));
    halves.clients.iter().take(8).for_each(|client| finding.about(Role::Client, client));
    finding.counts.insert("attempts", halves.attempts as i64);
    finding.counts.insert("syns", halves.syns as i64);
    finding.counts.insert("syn_acks", halves.syn_acks as i64);
    let (first, last) = halves.span_ns.unwrap_or_default();
    finding.span(first, last);
    let family = server.addr.family();
    let filter = format!("{family}.addr == {} && tcp.port == {} && tcp.flags.syn == 1", server.addr, server.port);
    finding.cite(world, halves.frames.iter().copied(), &filter);
    let place = halves.last.map(|(point, tunnel)| world.place_name(point, tunnel));
    let behind = place.map_or_else(
        || "behind this place".to_owned(),
        |place| format!("behind {place}, where they were seen last: what is on that host drops them"),
    );
    finding.explanation = format!(
        "{attempts} from {} got {} from {server}, seen here, and went on with {} in all: no SYN-ACK arrived. The way back \
         from the server to the client drops them {behind}.",
        some_of(&halves.clients, 3),
        count_of(halves.syn_acks, "SYN-ACK"),
        count_of(halves.syns, "SYN"),
    );
    finding.rule_out("SVC004", "the server answers");
    finding.rule_out("SVC006", "the server answers every SYN");
    let client = halves.clients.iter().take(1).flat_map(|client| [Spot::NodeOf(*client), Spot::Host(*client)]);
    finding.capture_next = world.capture_next(client, "where the SYN-ACK is last seen");
    finding
}
