//! What happens inside tunnels, by pair of outer ends.

mod outside;

pub(super) use outside::{PASSING_NS, is_next_to_orig};

use super::attempts::Outcome;
use super::world::World;
use crate::Addr;
use crate::packet::{TCP, UDP};
use crate::time::{union, widen};
use crate::track::event::{Echo, Flow, Side};
use crate::track::tunnels::{Macs, Way};
use crate::track::{Endpoint, FrameId};
use crate::wire::TunnelKind;
use foldhash::fast::RandomState;
use outside::{is_stuck, passes_unanswered, strays};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

/// Two ends of tunnels of one kind.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Pair {
    pub(crate) kind: TunnelKind,
    pub(crate) a: Addr,
    pub(crate) b: Addr,
}

/// How connections inside a pair's tunnels fared.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inside {
    /// Attempts without any answer.
    pub(crate) silent: u64,
    /// Attempts whose answers were seen to leave and whose handshake never went on.
    pub(crate) half_open: u64,
    /// Of these, those whose answers a capture next to the originator saw in the tunnel: they came through it.
    pub(crate) came_back: u64,
    /// Of these, those whose answers came to the originator's host in the tunnel and not out of it.
    pub(crate) stuck: u64,
    /// Connections that came about.
    pub(crate) complete: u64,
    /// When the last of these began, or went on without anything that was sent again.
    pub(crate) complete_ns: Option<i64>,
    /// Of these, those whose SYN had to be sent again, by originators behind `a` and behind `b`.
    pub(crate) late: [u64; 2],
    /// SYNs of attempts that failed or came about late, by originators behind `a` and behind `b`.
    pub(crate) troubled_syns: [u64; 2],
    /// Connections both of whose directions were seen in one direction of the tunnel or the other.
    pub(crate) both_ways: u64,
    /// Failed attempts of originators behind `a`, and behind `b`.
    pub(crate) from_a: u64,
    pub(crate) from_b: u64,
    /// The latest attempts without any answer.
    pub(crate) silences: VecDeque<Silence>,
    /// When something last came out of the tunnel and got no answer there, by originators behind `a` and behind `b`.
    pub(crate) came_out_ns: [Option<i64>; 2],
    /// Attempts that came out of it for a link address that the host there does not have, and so no further.
    pub(crate) strayed: u64,
    /// The latest attempt at each server, of some of them, whose handshake never went on.
    pub(crate) half_open_at: BTreeMap<Endpoint, HalfOpen>,
    pub(crate) frames: Vec<FrameId>,
    pub(crate) span_ns: Option<(i64, i64)>,
}

/// An attempt without any answer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Silence {
    /// When it began.
    ns: i64,
    /// Whom it was for; pings have port 0.
    to: Endpoint,
    /// Whether it is a DNS question: a server that waits for others leaves those unanswered too.
    question: bool,
}

/// An attempt whose handshake never went on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HalfOpen {
    first_ns: i64,
    last_ns: i64,
    /// Whether its originator is behind `a`.
    pub(crate) from_a: bool,
    /// Whether its answers came to the originator's host in the tunnel and not out of it.
    pub(crate) stuck: bool,
}

impl HalfOpen {
    /// Whether it went on for longer than a moment.
    fn lasts(self) -> bool {
        self.last_ns.saturating_sub(self.first_ns) >= SILENCE_NS
    }
}

/// The inside of all tunnels, by tunnel.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    inside: HashMap<u32, Inside, RandomState>,
}

const FRAMES: usize = 8;
const TIMES: usize = 64;

impl Overlay {
    pub(crate) fn add(&mut self, flow: &Flow) {
        for (at, leg) in flow.legs().enumerate() {
            let again = flow.legs().take(at).any(|before| before.tunnel == leg.tunnel);
            if leg.tunnel != 0 && !again {
                let inside = self.inside.entry(leg.tunnel).or_default();
                inside.both_ways += u64::from(leg.is_two_way());
                if passes_unanswered(flow, leg) {
                    let last_ns = &mut inside.came_out_ns[usize::from(!leg.orig_from_a)];
                    *last_ns = (*last_ns).max(Some(flow.last_ns));
                } else {
                    inside.strayed += u64::from(strays(flow, leg));
                    inside.add(flow, leg.orig_from_a);
                }
            }
        }
    }

    /// Takes note of a ping that nobody answered.
    pub(crate) fn echo(&mut self, echo: &Echo) {
        if echo.unanswered && echo.tunnel != 0 {
            let inside = self.inside.entry(echo.tunnel).or_default();
            inside.be_silent(echo.ns, Endpoint { addr: echo.resp, port: 0 }, false);
            inside.note((echo.ns, echo.ns), [echo.frame]);
        }
    }

    /// What happened inside a tunnel.
    pub(crate) fn inside(&self, tunnel: u32) -> Option<&Inside> {
        self.inside.get(&tunnel)
    }
}

impl Inside {
    fn add(&mut self, flow: &Flow, from_a: bool) {
        match flow.outcome() {
            Outcome::HalfOpen => self.be_half_open(flow, from_a),
            Outcome::Unanswered => self.be_silent(flow.first_ns, flow.resp, false),
            Outcome::Unclear if is_silent_question(flow) => self.be_silent(flow.first_ns, flow.resp, true),
            // Only a SYN is sent again and again without having heard anything.
            Outcome::Unclear if flow.from_resp.packets == 0 && repeats_syn(flow, &flow.from_orig) => {
                self.be_silent(flow.first_ns, flow.resp, false);
            }
            Outcome::Unclear if repeats_syn(flow, &flow.from_orig) && repeats_syn(flow, &flow.from_resp) => {
                self.be_half_open(flow, from_a);
            }
            // Only a handshake proves that answers arrive at the other end.
            Outcome::Established if flow.proto == TCP => {
                // A SYN-ACK that was sent last may still be lost.
                let is_complete = flow.from_orig.packets > flow.from_orig.syns;
                self.complete += u64::from(is_complete);
                let worked_ns = if goes_well(flow) { flow.last_ns } else { flow.first_ns };
                self.complete_ns = self.complete_ns.max(is_complete.then_some(worked_ns));
                if flow.syn_waited {
                    self.late[usize::from(!from_a)] += 1;
                    self.troubled_syns[usize::from(!from_a)] += u64::from(flow.from_orig.syns);
                }
                return;
            }
            _ => return,
        }
        *(if from_a { &mut self.from_a } else { &mut self.from_b }) += 1;
        self.troubled_syns[usize::from(!from_a)] += u64::from(flow.from_orig.syns);
        self.note((flow.first_ns, flow.last_ns), flow.syns.iter().copied().chain([flow.first]));
    }

    fn note(&mut self, span_ns: (i64, i64), frames: impl IntoIterator<Item = FrameId>) {
        widen(&mut self.span_ns, span_ns.0, span_ns.1);
        let room = FRAMES.saturating_sub(self.frames.len());
        self.frames.extend(frames.into_iter().take(2.min(room)));
    }

    fn be_half_open(&mut self, flow: &Flow, from_a: bool) {
        self.half_open += 1;
        let stuck = is_stuck(flow);
        self.stuck += u64::from(stuck);
        self.came_back += u64::from(!stuck && is_next_to_orig(flow));
        self.keep(flow.resp, HalfOpen { first_ns: flow.first_ns, last_ns: flow.last_ns, from_a, stuck });
    }

    fn be_silent(&mut self, ns: i64, to: Endpoint, question: bool) {
        self.silent += 1;
        keep_latest(&mut self.silences, [Silence { ns, to, question }]);
    }
}

impl Inside {
    /// Keeps the latest attempt at a server, but none of a moment in place of a longer one.
    fn keep(&mut self, server: Endpoint, attempt: HalfOpen) {
        if self.half_open_at.len() >= TIMES && !self.half_open_at.contains_key(&server) {
            return;
        }
        let kept = self.half_open_at.entry(server).or_insert(attempt);
        if (attempt.lasts(), attempt.first_ns) > (kept.lasts(), kept.first_ns) {
            *kept = attempt;
        }
    }

    /// Attempts whose answers left and whose handshakes never went on, one a server. With a time, those after it that went
    /// on for longer than a moment.
    pub(super) fn half_open_since(&self, since_ns: Option<i64>) -> Vec<HalfOpen> {
        let is_later = |at: &HalfOpen| since_ns.is_none_or(|since| at.first_ns > since && at.lasts());
        self.half_open_at.values().copied().filter(is_later).collect()
    }

    /// Takes in what happened inside another tunnel of the same two ends.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.silent += other.silent;
        self.half_open += other.half_open;
        self.came_back += other.came_back;
        self.stuck += other.stuck;
        self.strayed += other.strayed;
        self.complete += other.complete;
        self.complete_ns = self.complete_ns.max(other.complete_ns);
        for (own, other) in [(&mut self.late, &other.late), (&mut self.troubled_syns, &other.troubled_syns)] {
            *own = [own[0] + other[0], own[1] + other[1]];
        }
        self.both_ways += other.both_ways;
        self.from_a += other.from_a;
        self.from_b += other.from_b;
        self.silences.extend(&other.silences);
        self.silences.make_contiguous().sort_unstable();
        keep_latest(&mut self.silences, []);
        for (own, other) in self.came_out_ns.iter_mut().zip(other.came_out_ns) {
            *own = (*own).max(other);
        }
        other.half_open_at.iter().for_each(|(server, attempt)| self.keep(*server, *attempt));
        self.frames.extend(other.frames.iter().take(FRAMES.saturating_sub(self.frames.len())));
        self.span_ns = union(self.span_ns.into_iter().chain(other.span_ns));
    }
}

/// Whether everything that both ends sent was acknowledged, and nothing had to be sent again.
fn goes_well(flow: &Flow) -> bool {
    let well = |side: &Side| side.all_acked && side.payload_bytes > 0 && side.retransmitted_packets == 0;
    well(&flow.from_orig) && well(&flow.from_resp)
}

/// Adds items, of which the last ones stay.
fn keep_latest<T>(kept: &mut VecDeque<T>, more: impl IntoIterator<Item = T>) {
    kept.extend(more);
    kept.drain(..kept.len().saturating_sub(TIMES));
}

/// Packets of one size that a side repeats before they are SYNs.
const REPEATED: u32 = 3;
/// IP packet of a SYN of Linux, without the IP header: header and options.
const SYN_LEN: u64 = 40;

/// Whether a side of a connection whose flags the capture cut off sends nothing but packets as long as a SYN.
fn repeats_syn(flow: &Flow, side: &Side) -> bool {
    let len = SYN_LEN + if flow.orig.addr.is_v4() { 20 } else { 40 };
    let cut = flow.proto == TCP && side.isn.is_none() && side.ttl.is_some();
    cut && side.packets >= REPEATED
        && side.bytes == u64::from(side.packets) * len
        && u64::from(side.largest_packet) == len
}

/// A DNS question without an answer; other one-way datagrams are normal.
fn is_silent_question(flow: &Flow) -> bool {
    flow.proto == UDP && flow.resp.port == 53 && flow.from_resp.packets == 0
}

/// What one unit saw of a pair.
#[derive(Clone, Default)]
pub(super) struct View {
    pub(super) ab: Way,
    pub(super) ba: Way,
    pub(super) inside: Inside,
    /// Identifiers of the frames from `a` to `b`, and from `b` to `a`.
    pub(super) ids: (BTreeSet<u32>, BTreeSet<u32>),
    /// Link addresses inside, of the tunnel with most frames.
    pub(super) macs: Macs,
}

/// What each unit saw of a pair.
pub(super) type Units = BTreeMap<u32, View>;

/// What was seen of all pairs.
pub(super) fn views(world: &World<'_>) -> BTreeMap<Pair, Units> {
    let mut pairs: BTreeMap<Pair, Units> = BTreeMap::new();
    for (id, (tunnel, usage)) in (0..).zip(world.tunnels.iter().zip(world.tunnel_uses)).skip(1) {
        let pair = Pair { kind: tunnel.kind, a: tunnel.a, b: tunnel.b };
        let view = pairs.entry(pair).or_default().entry(tunnel.unit).or_default();
        view.ab.add(usage.ab);
        view.ba.add(usage.ba);
        view.ids.0.extend(tunnel.id.filter(|_| usage.ab.frames > 0));
        view.ids.1.extend(tunnel.id.filter(|_| usage.ba.frames > 0));
        let frames = |macs: &Macs| macs.a.frames + macs.b.frames;
        if frames(&usage.macs) > frames(&view.macs) {
            view.macs = usage.macs;
        }
        if let Some(inside) = world.facts.overlay.inside(id) {
            view.inside.merge(inside);
        }
    }
    pairs
}

/// One way that goes on after the other has fallen silent, or never was.
pub(super) struct OneWay {
    /// Who goes on, and who is not heard.
    pub(super) near: Addr,
    pub(super) far: Addr,
    /// Frames of `near`.
    pub(super) sent: u64,
    /// Last frame of `far`, when there was one.
    pub(super) since_ns: Option<i64>,
    /// Attempts inside that began afterwards and got no answer.
    pub(super) silent: u64,
    /// When the first of these began.
    pub(super) begun_ns: i64,
    /// Addresses that they were for, a few.
    pub(super) asked: usize,
    /// Ports that they were for.
    pub(super) ports: usize,
}

/// Unanswered attempts that make a pattern.
pub(super) const ATTEMPTS: u64 = 2;
/// Frames one way that make it more than chance.
pub(super) const SENT: u64 = 6;
/// Silence that is none of a pause.
pub(super) const SILENCE_NS: i64 = 3_000_000_000;
/// Who has not answered for so long, while other answers came through the tunnel, has reasons of its own: a SYN is sent
/// again after this time.
const OWN_SILENCE_NS: i64 = 1_000_000_000;

impl View {
    /// Whether one way goes on alone, with attempts inside that need the other.
    pub(super) fn one_way(&self, pair: Pair) -> Option<OneWay> {
        let ways = [(pair.a, pair.b, self.ab, self.ba), (pair.b, pair.a, self.ba, self.ab)];
        ways.into_iter().find_map(|(near, far, there, back)| self.goes_on(near, far, there, back))
    }

    fn goes_on(&self, near: Addr, far: Addr, there: Way, back: Way) -> Option<OneWay> {
        let since_ns = (back.frames > 0).then_some(back.last_ns);
        let fell_silent = since_ns.is_none_or(|since| there.last_ns.saturating_sub(since) >= SILENCE_NS);
        // Both directions of connections inside one direction of the tunnel: a mirror.
        let is_mirror = since_ns.is_none() && self.inside.both_ways > 0;
        let silent = self.silent_since(since_ns);
        let (first, count) = (silent.first()?, silent.len() as u64);
        let asked: BTreeSet<Addr> = silent.iter().map(|silence| silence.to.addr).collect();
        let ports: BTreeSet<u16> = silent.iter().map(|silence| silence.to.port).collect();
        let (begun_ns, asked, ports) = (first.ns, asked.len(), ports.len());
        let one_way = fell_silent && !is_mirror && there.alone >= SENT && count >= ATTEMPTS;
        one_way.then_some(OneWay { near, far, sent: there.frames, since_ns, silent: count, begun_ns, asked, ports })
    }

    /// Attempts after a time that got no answer, of those that the tunnel may be to blame for. Questions alone are none
    /// where it worked before: their servers may wait for others.
    fn silent_since(&self, since_ns: Option<i64>) -> Vec<Silence> {
        let Some(since) = since_ns else { return self.inside.silences.iter().copied().collect() };
        let own = |before: &&Silence| before.ns.saturating_add(OWN_SILENCE_NS) < since;
        let own: BTreeSet<Endpoint> = self.inside.silences.iter().filter(own).map(|silence| silence.to).collect();
        let later = |silence: &&Silence| silence.ns > since && !own.contains(&silence.to);
        let silent: Vec<Silence> = self.inside.silences.iter().filter(later).copied().collect();
        if silent.iter().all(|silence| silence.question) { Vec::new() } else { silent }
    }

    /// Whether something that an end sent was seen to come out at the other after a time.
    pub(super) fn delivers(&self, from_a: bool, since_ns: Option<i64>) -> bool {
        let came_out_ns = self.inside.came_out_ns[usize::from(!from_a)];
        came_out_ns.is_some_and(|ns| since_ns.is_none_or(|since| ns > since))
    }
}
