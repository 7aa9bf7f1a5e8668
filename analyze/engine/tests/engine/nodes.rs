//! What a capture of all interfaces of a node shows of what its host does with packets.

use crate::support::{Outcome, analyzed, file, run, source};
use crate::traffic::{BACK, MS, S, START_NS, Talk, error, ip, pod};
use kcap_analyze::Options;
use kcap_analyze::finding::Severity;
use kcap_samples::file::Frame;
use kcap_samples::packet::{Arp, Ethernet, Layer, Sll2, build, flags, mac};
use std::net::Ipv4Addr;

const NODES: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 168, 0, 1), Ipv4Addr::new(192, 168, 0, 2)];
/// Interfaces: the wire, the tunnel's, the bridge of the pods.
const WIRE: u32 = 2;
const TUNNEL: u32 = 3;
const BRIDGE: u32 = 4;
/// Packet types of a cooked header.
const IN: u8 = 0;
const TO_ANOTHER: u8 = 3;
const SENT: u8 = 4;
/// A packet takes so long from one interface to the next.
const STEP: u64 = 20_000;
const SLL2: u32 = 276;
/// The TTL, behind the Ethernet header.
const TTL: usize = 14 + 8;

/// An Ethernet frame as an interface of the node has it, some steps later.
fn at(frame: &Frame, steps: u64, (interface, packet_type): (u32, u8), ttl: u8) -> Frame {
    let mut inner = frame.data[14..].to_vec();
    inner[TTL - 14] = ttl;
    Frame::new(frame.ts_ns + steps * STEP, cooked(interface, packet_type, 0x0800, &inner))
}

fn cooked(interface: u32, packet_type: u8, protocol: u16, inner: &[u8]) -> Vec<u8> {
    let mut data = build(&[Layer::from(Sll2 { interface, packet_type, src: mac(1) })], inner);
    data[..2].copy_from_slice(&protocol.to_be_bytes());
    data
}

/// A packet inside the tunnel between the nodes, as it passes the wire.
fn tunnelled(frame: &Frame, steps: u64, out: bool, ttl: u8) -> Frame {
    let (from, to) = if out { (NODES[0], NODES[1]) } else { (NODES[1], NODES[0]) };
    let mut data = crate::traffic::tunnelled(0, (from, to), (pod(1), 1), (pod(2), 2)).data;
    let inner = data.len() - 8 - 8 - 20;
    data.truncate(inner);
    data.extend_from_slice(&frame.data[14..]);
    data[inner + TTL - 14] = ttl;
    let len = (data.len() - 14) as u16;
    data[16..18].copy_from_slice(&len.to_be_bytes());
    data[38..40].copy_from_slice(&(len - 20).to_be_bytes());
    data[40..42].fill(0); // No checksum.
    Frame::new(frame.ts_ns + steps * STEP, cooked(WIRE, if out { SENT } else { IN }, 0x0800, &data[14..]))
}

fn seen(frames: Vec<Frame>) -> Outcome {
    run(source(file(SLL2, frames)), Options::default())
}

fn alarms(outcome: &Outcome) -> Vec<&'static str> {
    let severe = outcome.report.findings.iter().filter(|finding| finding.severity >= Severity::Warning);
    severe.map(|finding| finding.code).collect()
}

fn talk(server: u8, port: u16) -> Talk {
    Talk::new((pod(5), 40_000 + port), (ip(10, 244, 2, server), 8080))
}

/// What the node answers its neighbour on the wire.
fn neighbour(ns: u64) -> Frame {
    let layers = [Ethernet::new(1, 2).into(), Arp::reply((mac(1), NODES[0]), (mac(2), NODES[1])).into()];
    let arp = build(&layers, b"");
    Frame::new(START_NS + ns, cooked(WIRE, SENT, 0x0806, &arp[14..]))
}

/// SYNs that come through the tunnel, and out of it in some way.
fn come_out(places: &[(u32, u8)]) -> Vec<Frame> {
    let syns = [(7, 1), (8, 2), (7, 3)].map(|(server, port)| talk(server, port).syns(u64::from(port) * S, 4)).concat();
    let place = |syn: &Frame| {
        let out = (1..).zip(places).map(|(steps, place)| at(syn, steps, *place, 63)).collect::<Vec<_>>();
        [vec![tunnelled(syn, 0, false, 63)], out].concat()
    };
    [vec![neighbour(0)], syns.iter().flat_map(place).collect()].concat()
}

#[test]
fn what_comes_out_of_a_tunnel_for_another_host_did_not_arrive() {
    let outcome = seen(come_out(&[(TUNNEL, TO_ANOTHER)]));
    assert_eq!(alarms(&outcome), ["OVL002"]);
    let finding = outcome.finding("OVL002");
    assert_eq!(finding.title, "192.168.0.2 sends to 192.168.0.1 what is not for it");
    assert!(
        finding.explanation.contains("3 attempts came out of the tunnel at 192.168.0.1"),
        "{}",
        finding.explanation
    );
    // What is for the node, or goes on through a bridge, is dropped behind.
    for places in [&[(TUNNEL, IN)][..], &[(TUNNEL, TO_ANOTHER), (BRIDGE, SENT)]] {
        assert!(alarms(&seen(come_out(places))).iter().all(|code| *code == "SVC004"), "{places:?}");
    }
}

/// A connection of a pod of this node through the tunnel.
fn through(server: u8, port: u16, ns: u64) -> Vec<Frame> {
    let mut talk = talk(server, port);
    let pass = |frame: Frame| {
        let is_out = frame.data[14 + 12..14 + 16] == pod(5).octets();
        if is_out {
            [at(&frame, 0, (BRIDGE, IN), 64), at(&frame, 1, (TUNNEL, SENT), 63), tunnelled(&frame, 2, true, 63)]
        } else {
            [tunnelled(&frame, 0, false, 63), at(&frame, 1, (TUNNEL, IN), 63), at(&frame, 2, (BRIDGE, SENT), 62)]
        }
    };
    talk.whole(ns).into_iter().flat_map(pass).collect()
}

/// SYNs of a pod of this node that get so far.
fn stopped(server: u8, port: u16, ns: u64, enters: bool) -> Vec<Frame> {
    let places = |syn: &Frame| {
        let routed = enters.then(|| at(syn, 1, (TUNNEL, SENT), 63));
        [at(syn, 0, (BRIDGE, IN), 64)].into_iter().chain(routed).collect::<Vec<_>>()
    };
    talk(server, port).syns(ns, 4).iter().flat_map(places).collect()
}

#[test]
fn what_goes_into_a_tunnel_and_is_not_sent() {
    let served = || (0..4).flat_map(|n| through(7 + n % 2, u16::from(n), u64::from(n) * S)).collect::<Vec<_>>();
    let silent = |enters| [7, 8, 7].map(|n| stopped(n, 20 + u16::from(n), u64::from(n) * S, enters)).concat();
    let outcome = seen([served(), silent(true)].concat());
    assert_eq!(alarms(&outcome), ["OVL001"]);
    let finding = outcome.finding("OVL001");
    assert_eq!(finding.title, "vxlan from 192.168.0.1 to 192.168.0.2 does not arrive");
    assert!(finding.explanation.contains("went into the tunnel's interface on 192.168.0.1"), "{}", finding.explanation);
    // A rule stops them before, or the tunnel goes on sending what others ask.
    let before = seen([served(), silent(false)].concat());
    assert!(alarms(&before).iter().all(|code| *code == "SVC004"), "{:?}", before.codes());
    let others = through(8, 90, 24 * S);
    assert!(!alarms(&seen([served(), silent(true), others].concat())).contains(&"OVL001"));
}

/// Connections that a node passes on from its wire to its pods, of which it drops some SYNs: those of every other one.
fn passed_on(dropped: bool, servers: u8, again: bool) -> Vec<Frame> {
    let pass = |frame: &Frame| {
        let is_out = frame.data[14 + 12..14 + 16] == pod(5).octets();
        let (first, next) = if is_out { ((WIRE, IN), (BRIDGE, SENT)) } else { ((BRIDGE, IN), (WIRE, SENT)) };
        [at(frame, 0, first, 63), at(frame, 1, next, 62)]
    };
    let one = |n: u16| {
        let mut talk = talk(7 + (n / 2) as u8 % servers, n);
        let ns = u64::from(n) * 300 * MS;
        let lost = n % 2 == 1;
        let first = if lost { talk.syn(ns) } else { return talk.whole(ns).iter().flat_map(pass).collect() };
        let first = if dropped { vec![at(&first, 0, (WIRE, IN), 63)] } else { pass(&first).to_vec() };
        let later = if again { talk.whole(ns + S) } else { talk.syns(ns + S, 3) };
        let all = |frame: &Frame| if again { pass(frame).to_vec() } else { vec![at(frame, 0, (WIRE, IN), 63)] };
        [first, later.iter().flat_map(all).collect()].concat()
    };
    (0..20).flat_map(one).collect()
}

#[test]
fn a_node_that_translates_nothing_drops_what_is_new() {
    let outcome = seen(passed_on(true, 2, true));
    assert_eq!(alarms(&outcome), ["NAT005"]);
    let finding = outcome.finding("NAT005");
    assert_eq!((finding.severity, finding.counts["connections"]), (Severity::Error, 10));
    assert!(
        finding.explanation.contains("seen on interface 2 of built and not on interface 4"),
        "{}",
        finding.explanation
    );
    assert_eq!(seen(passed_on(true, 1, true)).finding("NAT005").severity, Severity::Warning, "one server alone");
    // What pods of the node say to each other comes another way.
    let local = (0..200).flat_map(|n| {
        let mut talk = Talk::new((pod(9), 20_000 + n), (ip(10, 244, 2, 7), 8080));
        talk.whole(u64::from(n) * 20 * MS).iter().map(|frame| at(frame, 0, (BRIDGE, IN), 64)).collect::<Vec<_>>()
    });
    assert_eq!(alarms(&seen(passed_on(true, 2, true).into_iter().chain(local).collect())), ["NAT005"]);
    // They are dropped behind the node, or by a rule that lets no repetition pass.
    assert!(!alarms(&seen(passed_on(false, 2, true))).contains(&"NAT005"));
    assert!(!alarms(&seen(passed_on(true, 2, false))).contains(&"NAT005"));
}

/// A connection to a service that the node sends on to an endpoint, with what becomes of it there.
fn balanced(client: u8, endpoint: u8, n: u16, answers: bool) -> Vec<Frame> {
    let ns = u64::from(n) * 400 * MS;
    let mut front = Talk::new((pod(client), 40_000 + n), (ip(10, 96, 0, 20), 80));
    let mut back = Talk { server: (ip(10, 244, 2, endpoint), 8080), ..front };
    let before = if answers { front.whole(ns) } else { front.syns(ns, 3) };
    let after = if answers { back.whole(ns) } else { back.syns(ns, 3) };
    let places = before.iter().zip(&after).flat_map(|(before, after)| {
        let is_out = before.data[14 + 12..14 + 16] == pod(client).octets();
        let (first, next) = if is_out { (before, after) } else { (after, before) };
        let interfaces = if is_out { [(BRIDGE, IN), (WIRE, SENT)] } else { [(WIRE, IN), (BRIDGE, SENT)] };
        let ttls = if is_out { [64, 63] } else { [63, 62] };
        [at(first, 0, interfaces[0], ttls[0]), at(next, 1, interfaces[1], ttls[1])]
    });
    places.collect()
}

#[test]
fn an_endpoint_that_never_answers_one_client() {
    let (kept_out, dead) =
        (|client: u8, endpoint: u8| client == 5 && endpoint == 7, |_: u8, endpoint: u8| endpoint == 7);
    let all = |fails: fn(u8, u8) -> bool| {
        let one = |n: u16| {
            let (client, endpoint) = (5 + (n % 3) as u8, 7 + (n / 3 % 2) as u8);
            balanced(client, endpoint, n, !fails(client, endpoint))
        };
        seen((0..36).flat_map(one).collect())
    };
    let outcome = all(kept_out);
    assert_eq!(alarms(&outcome), ["SVC004"]);
    let finding = outcome.finding("SVC004");
    assert_eq!(finding.title, "10.244.2.7:8080 never answers 10.244.1.5 (6 connection attempts)");
    assert!(finding.subjects.iter().any(|subject| subject.address == "10.96.0.20:80"));
    assert_eq!(alarms(&all(dead)), ["SVC002"]);
    // One that is kept from all endpoints from some time on, and happens to have reached one of them before.
    let cut_off = |n: u16| {
        let (client, endpoint) = (5 + (n % 3) as u8, 7 + (n / 3 % 2) as u8);
        let fails = client == 5 && (endpoint == 7 || n >= 12);
        (n >= 3 || client != 5)
            .then(|| balanced(client, if n < 12 && client == 5 { 8 } else { endpoint }, n, !fails || n < 12))
    };
    let outcome = seen((0..36).filter_map(cut_off).flatten().collect());
    assert_eq!(alarms(&outcome), ["SVC004"]);
    assert!(!outcome.finding("SVC004").title.contains("never answers"), "{}", outcome.finding("SVC004").title);
}

#[test]
fn answers_for_which_a_route_is_missing_are_no_lost_answers() {
    let half = |port: u16, no_route: bool| {
        let mut talk = talk(7, port);
        let mut frames = Vec::new();
        for second in [0, 1, 3] {
            let ns = u64::from(port) * 300 * MS + second * S;
            let answer = talk.segment(ns + MS, BACK, flags::SYN | flags::ACK, (0, 1), 0);
            let told = no_route.then(|| error(ns + 2 * MS, NODES[0], 0, &answer));
            frames.extend([talk.syn(ns), answer].into_iter().chain(told));
        }
        frames
    };
    let all = |no_route| (0..3).flat_map(|port| half(port, no_route)).collect::<Vec<_>>();
    let mut other = Talk::new((pod(9), 50_000), (pod(8), 80));
    let outcome = analyzed([other.whole(0), all(true)].concat());
    assert_eq!(alarms(&outcome), ["NET004"]);
    let told = &outcome.finding("NET004").explanation;
    assert!(told.contains("What it sends itself arrives"), "{told}");
    assert_eq!(alarms(&analyzed([other.whole(0), all(false)].concat())), ["SVC007"]);
}

/// What of a packet in the tunnel a snap length of 96 bytes leaves: ports, and no flags.
fn cut(mut frames: Vec<Frame>) -> Vec<Frame> {
    for frame in &mut frames {
        frame.data.truncate(96);
    }
    frames
}

#[test]
fn what_is_cut_off_inside_a_tunnel_is_not_lost() {
    // SYNs that are answered late, by servers beyond the tunnel.
    let late = |n: u8| {
        let syn = talk(7 + n % 2, 60 + u16::from(n)).syn(u64::from(n) * S);
        let places = [at(&syn, 0, (BRIDGE, IN), 64), at(&syn, 1, (TUNNEL, SENT), 63), tunnelled(&syn, 2, true, 63)];
        [places.to_vec(), through(7 + n % 2, 60 + u16::from(n), u64::from(n) * S + S)].concat()
    };
    let at_once = |n: u8| through(7 + n % 2, 80 + u16::from(n), u64::from(n) * S + 300 * MS);
    let frames = || (0..8).flat_map(|n| [late(n), at_once(n)].concat()).collect::<Vec<_>>();
    assert!(!seen(cut(frames())).codes().contains(&"NAT005"));
    assert!(!seen(frames()).codes().contains(&"NAT005"));
}

/// Connections that come out of the tunnel, and whose answers find no way into it.
fn no_way_back() -> Vec<Frame> {
    let one = |n: u8| {
        let mut talk = talk(7 + n % 2, 60 + u16::from(n));
        let pass = |second: u64| {
            let ns = u64::from(n) * S + second * S;
            let (syn, answer) = (talk.syn(ns), talk.segment(ns + MS, BACK, flags::SYN | flags::ACK, (0, 1), 0));
            let inside = tunnelled(&syn, 0, false, 63);
            [inside, at(&syn, 1, (TUNNEL, IN), 63), at(&syn, 2, (BRIDGE, SENT), 62), at(&answer, 0, (BRIDGE, IN), 64)]
        };
        [0, 1, 3, 7].map(pass).concat()
    };
    (0..4).flat_map(one).collect()
}

#[test]
fn answers_that_do_not_enter_a_tunnel_are_not_lost_in_it() {
    let back = |frames: Vec<Frame>| {
        let served = (0..2_u8).flat_map(|n| through(7, n.into(), u64::from(n) * 100 * MS));
        alarms(&seen(served.chain(frames).collect()))
    };
    assert!(!back(no_way_back()).contains(&"OVL001"));
    assert!(!back(cut(no_way_back())).contains(&"OVL001"));
}

/// A service whose connections this node translates at its bridge, one that stays open among them, and attempts of which
/// nothing comes out of it. `others`: whether those that are new go to another endpoint meanwhile.
fn swallowed(others: bool) -> Vec<Frame> {
    let served = (0..9).flat_map(|n| balanced(5, 7 + (n % 2) as u8, n, true));
    let mut open = Talk::new((pod(5), 41_000), (ip(10, 96, 0, 20), 80));
    let mut behind = Talk { server: (ip(10, 244, 2, 7), 8080), ..open };
    let (psh, end) = (flags::PSH | flags::ACK, 4 * S);
    let mut frames = Vec::new();
    for (talk, place) in [(&mut open, 0), (&mut behind, 1)] {
        let mut all = talk.handshake(0);
        all.push(talk.segment(3 * MS, true, psh, (1, 1), 200));
        all.push(talk.segment(5 * MS, BACK, psh, (1, 201), 1000));
        let again = [0, 200, 600, 1400, 3000, 6200].map(|ms| talk.segment(end + ms * MS, true, psh, (201, 1001), 200));
        all.extend(again.into_iter().filter(|_| place == 0));
        let at_place = |frame: &Frame| {
            let is_out = frame.data[14 + 12..14 + 16] == pod(5).octets();
            let spots = if is_out { [(BRIDGE, IN), (WIRE, SENT)] } else { [(BRIDGE, SENT), (WIRE, IN)] };
            at(
                frame,
                if is_out { place } else { 1 - place },
                spots[place as usize],
                64 - u8::from(is_out) * place as u8,
            )
        };
        frames.extend(all.iter().map(at_place));
    }
    let vanish = |n: u16| {
        let syns = Talk::new((pod(5), 42_000 + n), (ip(10, 96, 0, 20), 80)).syns(end + S + u64::from(n) * S, 4);
        syns.iter().map(|syn| at(syn, 0, (BRIDGE, IN), 64)).collect::<Vec<_>>()
    };
    let new = (0..6).filter(|_| others).flat_map(|n| balanced(6, 8, 12 + n, true));
    served.chain(frames).chain((0..4).filter(|_| !others).flat_map(vanish)).chain(new).collect()
}

#[test]
fn a_node_that_swallows_all_that_is_new_removed_no_endpoint() {
    let outcome = seen(swallowed(false));
    assert_eq!(alarms(&outcome), ["SVC004"]);
    let told = &outcome.finding("SVC004").explanation;
    assert!(told.contains("come to the clients' node and do not leave it"), "{told}");
    assert_eq!(alarms(&seen(swallowed(true))), ["NAT008"], "others are given to other endpoints");
}
