//! Who asks for whose link address and gets no answer, and who claims an address that another claims too: ARP and
//! IPv6 neighbour discovery. All of it is tracked in one shard, because questions and claims of many meet.

use super::event::{AddressConflict, ArpUnanswered, Event, Owner, Speakers};
use super::events::Events;
use super::flows::Source;
use crate::Addr;
use crate::packet::{Kind, Packet};
use crate::track::FrameId;
use crate::wire::arp::{self, Operation};
use crate::wire::neighbour;
use std::collections::{BTreeMap, BTreeSet};

/// Open questions, and claims.
#[derive(Debug, Default)]
pub(crate) struct Neighbours {
    /// By (address asked for, who asks).
    asked: BTreeMap<(Addr, Addr), Asked>,
    claimed: BTreeMap<Claimed, Claims>,
    /// Questions and claims that were not kept because there are too many.
    pub(crate) left_out: u64,
}

/// An address at one place: the same may belong to others elsewhere.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Claimed {
    point: u16,
    tunnel: u32,
    addr: Addr,
}

#[derive(Clone, Debug)]
struct Asked {
    first_ns: i64,
    last_ns: i64,
    requests: u32,
    frames: Vec<FrameId>,
    point: u16,
    tunnel: u32,
}

/// Who claims an address.
#[derive(Clone, Debug, Default)]
struct Claims {
    owners: Vec<Owner>,
    /// Who claimed it last.
    last: [u8; 6],
    /// Times an owner claims it again after another did.
    returns: u32,
    /// The last answer: whose, to whom, when.
    answer: Option<([u8; 6], Addr, i64)>,
    /// Questions that two owners answered.
    double_answers: u32,
}

/// What a message says.
struct Message {
    /// Who asks for whom.
    question: Option<(Addr, Addr)>,
    /// Whose link address is told.
    claim: Option<(Addr, [u8; 6])>,
    /// To whom the claim answers.
    answers: Option<Addr>,
}

const MAX_ASKED: usize = 65_536;
const MAX_CLAIMED: usize = 16_384;
const MAX_OWNERS: usize = 4;
/// Addresses named of those that speak.
const MAX_SPEAKERS: usize = 1024;
const MAX_FRAMES: usize = 4;
/// Questions that Linux asks before it gives up (`mcast_solicit`); fewer without answer, of an address that spoke, are a
/// lost answer or the end of the capture.
const TRIES: u32 = 3;
/// Linux asks once a second (`retrans_time_ms`); what comes sooner is the same request at another point.
const SAME_REQUEST_NS: i64 = 300_000_000;
/// Two answers to one question come within this time; a second question comes later.
const SAME_ANSWER_NS: i64 = 900_000_000;

impl Neighbours {
    pub(crate) fn take(&mut self, packet: &Packet, source: &Source<'_>) {
        let Some(message) = Message::read(packet, source) else { return };
        let frame = source.frame(packet);
        if let Some((asker, target)) = message.question {
            self.ask((target, asker), packet, frame);
        }
        // Whoever speaks with an address is there, question or answer.
        self.answered(packet.src);
        if let Some((addr, mac)) = message.claim {
            self.answered(addr);
            self.claim(addr, mac, message.answers, packet, frame);
        }
    }

    fn answered(&mut self, addr: Addr) {
        let about = (addr, Addr::default())..=(addr, Addr([u8::MAX; 16]));
        while let Some(key) = self.asked.range(about.clone()).next().map(|(key, _)| *key) {
            self.asked.remove(&key);
        }
    }

    fn ask(&mut self, key: (Addr, Addr), packet: &Packet, frame: FrameId) {
        if !self.asked.contains_key(&key) && self.asked.len() >= MAX_ASKED {
            self.left_out += 1;
            return;
        }
        let asked = self.asked.entry(key).or_insert_with(|| Asked {
            first_ns: packet.ts_ns,
            last_ns: i64::MIN,
            requests: 0,
            frames: Vec::new(),
            point: packet.point,
            tunnel: packet.tunnel,
        });
        if packet.ts_ns.saturating_sub(asked.last_ns) < SAME_REQUEST_NS {
            return;
        }
        asked.last_ns = packet.ts_ns;
        asked.requests += 1;
        if asked.frames.len() < MAX_FRAMES {
            asked.frames.push(frame);
        }
    }

    fn claim(&mut self, addr: Addr, mac: [u8; 6], to: Option<Addr>, packet: &Packet, frame: FrameId) {
        let key = Claimed { point: packet.point, tunnel: packet.tunnel, addr };
        if !self.claimed.contains_key(&key) && self.claimed.len() >= MAX_CLAIMED {
            self.left_out += 1;
            return;
        }
        self.claimed.entry(key).or_default().claim(mac, to, packet.ts_ns, frame);
    }

    /// Says who never answered, and which addresses have several owners.
    pub(crate) fn drain(&mut self, unit: u32, events: &mut Events) {
        let spoke: BTreeSet<Addr> = self.claimed.keys().map(|key| key.addr).collect();
        for ((target, sender), asked) in std::mem::take(&mut self.asked) {
            if asked.requests < TRIES && spoke.contains(&target) {
                continue;
            }
            let unanswered = ArpUnanswered {
                unit,
                sender,
                target,
                first_ns: asked.first_ns,
                last_ns: asked.last_ns,
                requests: asked.requests,
                frames: asked.frames,
                point: asked.point,
                tunnel: asked.tunnel,
            };
            events.push((u32::MAX, Event::ArpUnanswered(Box::new(unanswered))));
        }
        self.conflicts(unit, events);
    }

    fn conflicts(&mut self, unit: u32, events: &mut Events) {
        let claimed = std::mem::take(&mut self.claimed);
        if claimed.is_empty() {
            return;
        }
        let outside = || claimed.iter().filter(|(key, _)| key.tunnel == 0);
        let some = |addrs: BTreeSet<Addr>| addrs.into_iter().take(MAX_SPEAKERS).collect();
        let addrs = some(outside().map(|(key, _)| key.addr).collect());
        let answered = some(outside().filter_map(|(_, of)| of.answer.map(|(_, to, _)| to)).collect());
        events.push((u32::MAX, Event::Speakers(Box::new(Speakers { unit, addrs, answered }))));
        let mut addresses: BTreeMap<(u16, u32, [u8; 6]), u32> = BTreeMap::new();
        for (key, owner) in claimed.iter().flat_map(|(key, of)| of.owners.iter().map(move |owner| (key, owner))) {
            *addresses.entry((key.point, key.tunnel, owner.mac)).or_default() += 1;
        }
        for (key, owners) in claimed.into_iter().filter(|(_, of)| of.owners.len() > 1) {
            let count = |mac| addresses.get(&(key.point, key.tunnel, mac)).copied().unwrap_or_default();
            let conflict = AddressConflict {
                unit,
                point: key.point,
                tunnel: key.tunnel,
                addr: key.addr,
                owners: owners.owners.iter().map(|owner| Owner { addresses: count(owner.mac), ..*owner }).collect(),
                returns: owners.returns,
                double_answers: owners.double_answers,
            };
            events.push((u32::MAX, Event::AddressConflict(Box::new(conflict))));
        }
    }
}

impl Claims {
    fn claim(&mut self, mac: [u8; 6], to: Option<Addr>, ns: i64, frame: FrameId) {
        let known = self.owners.iter().position(|owner| owner.mac == mac);
        self.returns += u32::from(known.is_some() && self.last != mac);
        self.last = mac;
        match known {
            Some(at) => self.owners[at].again(ns, frame),
            None if self.owners.len() < MAX_OWNERS => {
                self.owners.reserve_exact(1);
                self.owners.push(Owner::new(mac, ns, frame));
            }
            None => {}
        }
        if let Some(to) = to {
            let same = |(other, whom, at): ([u8; 6], Addr, i64)| {
                other != mac && whom == to && ns.saturating_sub(at) < SAME_ANSWER_NS
            };
            self.double_answers += u32::from(self.answer.is_some_and(same));
            self.answer = Some((mac, to, ns));
        }
    }
}

impl Owner {
    fn new(mac: [u8; 6], ns: i64, frame: FrameId) -> Self {
        let mut owner = Self { mac, first_ns: ns, last_ns: ns, ..Self::default() };
        owner.again(ns, frame);
        owner
    }

    fn again(&mut self, ns: i64, frame: FrameId) {
        self.last_ns = self.last_ns.max(ns);
        self.claims += 1;
        self.frames.push(frame);
    }
}

impl Message {
    fn read(packet: &Packet, source: &Source<'_>) -> Option<Self> {
        let bytes = source.chunk.bytes(packet.l4_offset, packet.l4_caplen);
        if packet.kind == Kind::Arp { Self::arp(bytes) } else { Self::neighbour(bytes, packet) }
    }

    fn arp(bytes: &[u8]) -> Option<Self> {
        let arp = arp::parse(bytes)?;
        let asks = arp.operation == Operation::Request && !arp.is_probe() && !arp.is_gratuitous();
        let is_answer = arp.operation == Operation::Reply && !arp.is_gratuitous();
        Some(Self {
            question: asks.then_some((arp.sender, arp.target)),
            claim: (!arp.is_probe()).then_some((arp.sender, arp.sender_mac)),
            answers: is_answer.then_some(arp.target),
        })
    }

    fn neighbour(bytes: &[u8], packet: &Packet) -> Option<Self> {
        let message = neighbour::parse(bytes)?;
        let is_probe = packet.src == Addr::v6([0; 16]);
        let whose = if message.is_question { packet.src } else { message.target };
        Some(Self {
            question: (message.is_question && !is_probe).then_some((packet.src, message.target)),
            claim: message.mac.filter(|_| !is_probe).map(|mac| (whose, mac)),
            answers: message.is_answer.then_some(packet.dst),
        })
    }
}
