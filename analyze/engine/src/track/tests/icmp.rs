//! ICMP errors and the connections they quote, pings, ARP.

use super::dsl::{Facts, LINK_ETHERNET, LINK_SLL2, START_NS, check, track};
use crate::track::FrameId;
use kcap_samples::file::Frame;
use kcap_samples::packet::{Arp, Ethernet, Icmp, Layer, Sll2, build, ip, mac};
use std::net::{IpAddr, Ipv4Addr};

#[test]
fn errors_of_both_versions_find_their_connection() {
    check(
        "0.00 > S\n0.01 ! 3/1 from=10.0.0.254
         expect errors=1 icmp=3/1 icmp_from=10.0.0.254 outcome=Rejected",
    );
    check(
        "ip v6\n0.00 > S\n0.01 ! 1/3 from=fd00::fe
         expect errors=1 icmp=1/3 icmp_from=fd00::fe outcome=Rejected",
    );
    check("0.0 > udp len=40\n0.1 ! 3/3\nexpect flows=1 icmp=3/3 icmp_count=1 state=S0");
}

#[test]
fn errors_in_a_tunnel_find_their_connection() {
    let facts = check("0.00 > S vni=7\n0.01 ! 3/13 from=10.0.0.254\nexpect icmp=3/13 errors=1 outcome=Rejected");
    assert_ne!(facts.errors[0].tunnel, 0);
    assert!(facts.errors[0].flow_known);
}

#[test]
fn too_big_says_how_big() {
    let facts = check(
        "0.00 > S\n0.01 < SA\n0.02 > A\n0.03 > A len=1400\n0.04 ! 3/4 mtu=1400 from=10.0.0.254
         expect state=S1 icmp=3/4 outcome=Established",
    );
    assert_eq!((facts.errors[0].mtu, facts.errors[0].seq), (Some(1400), Some(1001)));
    let facts = check("ip v6\n0.0 > A seq=1 len=1400\n0.1 ! 2/0 mtu=1280\nexpect icmp=2/0");
    assert_eq!(facts.errors[0].mtu, Some(1280));
}

#[test]
fn an_error_seen_at_two_points_is_one() {
    check(
        "link sll2
         0.00 > S if=5\n0.0001 again if=2 dir=out
         0.01 ! 3/13 from=10.0.0.254 if=2 ttl=64 id=9
         0.0101 ! 3/13 from=10.0.0.254 if=5 ttl=63 id=9
         expect errors=1 icmp_count=1",
    );
}

/// The second `!` quotes the SYN before it: errors about two SYNs are two.
#[test]
fn errors_about_two_packets_are_two() {
    check(
        "0.0 > S\n0.01 ! 3/13 id=9
         1.0 > S seq=0\n1.01 ! 3/13 id=10
         expect flows=1 errors=2 icmp_count=2 orig.syns=2 outcome=Rejected",
    );
}

#[test]
fn an_error_about_nobody_is_kept() {
    // The capture does not have the packet: a filter, or NAT on the way.
    let mut table = String::from("0.0 > S\n0.5 ! 3/1\n");
    table.push_str("expect errors=1");
    let facts = check(&table);
    assert!(facts.errors[0].flow_known);
    let quoted =
        build(&[ip(addr("10.0.0.9"), addr("10.0.0.8")), Layer::from(kcap_samples::packet::Udp::new(1, 2))], b"x");
    let error = [Ethernet::new(1, 2).into(), ip(addr("10.0.0.254"), addr("10.0.0.9")), Icmp::unreachable(1).into()];
    let facts = track(LINK_ETHERNET, &[Frame::new(START_NS, build(&error, &quoted))], 1 << 20);
    assert_eq!(facts.errors.len(), 1);
    assert!(!facts.errors[0].flow_known && facts.flows.is_empty());
    assert_eq!(facts.errors[0].orig.to_string(), "10.0.0.9:1");
}

fn addr(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

const PINGER: &str = "10.0.0.1";
const PINGED: &str = "10.0.0.2";

fn ping(seconds: f64, sequence: u16, reply: bool) -> Frame {
    let (from, to) = if reply { (PINGED, PINGER) } else { (PINGER, PINGED) };
    let icmp = if reply { Icmp::echo_reply(7, sequence) } else { Icmp::echo(7, sequence) };
    let layers = [Ethernet::new(1, 2).into(), ip(addr(from), addr(to)), icmp.into()];
    Frame::new(START_NS + (seconds * 1e9) as u64, build(&layers, &[0; 56]))
}

fn ping_v6(seconds: f64, reply: bool) -> Frame {
    let (from, to) = if reply { ("fd00::2", "fd00::1") } else { ("fd00::1", "fd00::2") };
    let icmp = if reply { Icmp::echo_reply_v6(9, 1) } else { Icmp::echo_v6(9, 1) };
    let layers = [Ethernet::new(1, 2).into(), ip(addr(from), addr(to)), icmp.into()];
    Frame::new(START_NS + (seconds * 1e9) as u64, build(&layers, &[0; 56]))
}

fn tracked(mut frames: Vec<Frame>) -> Facts {
    frames.sort_by_key(|frame| frame.ts_ns);
    track(LINK_ETHERNET, &frames, 1 << 20)
}

#[test]
fn pings_and_their_answers() {
    let facts = tracked(vec![ping(0.0, 1, false), ping(0.004, 1, true), ping_v6(0.1, false), ping_v6(0.102, true)]);
    let seen: Vec<_> = facts.echoes.iter().map(|echo| (echo.orig.to_string(), echo.rtt_ns, echo.unanswered)).collect();
    assert_eq!(seen, [(PINGER.into(), Some(4_000_000), false), ("fd00::1".into(), Some(2_000_000), false)]);
    let first = &facts.echoes[0];
    assert_eq!((first.id, first.seq, first.frame.frame()), (7, 1, 1));
    assert_eq!(first.reply.map(FrameId::frame), Some(2));
}

#[test]
fn a_ping_is_unanswered_only_when_the_capture_went_on() {
    let late = tracked(vec![ping(0.0, 1, false), ping(5.0, 2, false), ping(5.001, 2, true)]);
    let of = |facts: &Facts, seq| facts.echoes.iter().find(|echo| echo.seq == seq).map(|echo| echo.unanswered);
    assert_eq!((of(&late, 1), of(&late, 2)), (Some(true), Some(false)));
    let short = tracked(vec![ping(0.0, 1, false), ping(1.0, 2, false), ping(1.001, 2, true)]);
    assert_eq!(of(&short, 1), Some(false), "the answer may come after the end of the capture");
    assert_eq!(short.echoes.len(), 2);
}

#[test]
fn an_answer_without_its_question_is_kept() {
    let facts = tracked(vec![ping(0.0, 3, true)]);
    let echo = &facts.echoes[0];
    assert_eq!((echo.orig.to_string().as_str(), echo.rtt_ns, echo.unanswered), (PINGER, None, false));
    assert_eq!(echo.reply, Some(echo.frame));
}

#[test]
fn copies_of_pings_count_once() {
    let both = |seconds, reply| [ping(seconds, 1, reply), ping(seconds + 0.0001, 1, reply)];
    let facts = tracked([both(0.0, false), both(0.01, true)].concat());
    assert_eq!(facts.echoes.len(), 1);
    assert_eq!(facts.echoes[0].rtt_ns, Some(10_000_000));
}

/// A ping or its reply at an interface of a cooked capture.
fn at_interface(interface: u32, mut frame: Frame) -> Frame {
    let mut header = build(&[Sll2 { interface, ..Sll2::default() }.into()], b"");
    header[..2].copy_from_slice(&[8, 0]);
    frame.data.splice(..14, header);
    Frame::new(frame.ts_ns, frame.data)
}

#[test]
fn a_round_trip_is_measured_where_the_request_was_seen_first() {
    // Pod's veth and node's interface: the reply passes them the other way round.
    let request = [at_interface(5, ping(0.0, 1, false)), at_interface(2, ping(0.001, 1, false))];
    let reply = [at_interface(2, ping(0.011, 1, true)), at_interface(5, ping(0.012, 1, true))];
    let both = track(LINK_SLL2, &[request.clone(), reply.clone()].concat(), 1 << 20);
    assert_eq!((both.echoes.len(), both.echoes[0].rtt_ns), (1, Some(12_000_000)));
    assert_eq!(both.echoes[0].reply.map(FrameId::frame), Some(4));
    // Lost between the two: it was answered, but that cannot be measured from here.
    let lost =
        track(LINK_SLL2, &[request.as_slice(), &reply[..1], &[at_interface(5, ping(9.0, 2, false))]].concat(), 1 << 20);
    let first = &lost.echoes[0];
    assert_eq!((first.rtt_ns, first.unanswered, first.reply.map(FrameId::frame)), (None, false, Some(3)));
}

#[test]
fn a_flood_of_pings_is_bounded_and_counted_once_each() {
    let frames: Vec<Frame> = (0..30_000_u16).map(|n| ping(f64::from(n) * 1e-5, n, false)).collect();
    let facts = tracked(frames);
    assert_eq!(facts.echoes.len(), 30_000);
}

fn request(seconds: f64, sender: [u8; 4], target: [u8; 4]) -> Frame {
    let arp = Arp::request((mac(sender[3].into()), Ipv4Addr::from(sender)), Ipv4Addr::from(target));
    Frame::new(START_NS + (seconds * 1e9) as u64, build(&[Ethernet::new(1, 2).into(), arp.into()], b""))
}

fn reply(seconds: f64, sender: [u8; 4], target: [u8; 4]) -> Frame {
    let (sender, target) = (sender.map(|n| n), target.map(|n| n));
    let who = |addr: [u8; 4]| (mac(addr[3].into()), Ipv4Addr::from(addr));
    let arp = Arp::reply(who(sender), who(target));
    Frame::new(START_NS + (seconds * 1e9) as u64, build(&[Ethernet::new(2, 1).into(), arp.into()], b""))
}

const A: [u8; 4] = [10, 0, 0, 1];
const B: [u8; 4] = [10, 0, 0, 2];
const C: [u8; 4] = [10, 0, 0, 3];

#[test]
fn arp_that_nobody_answers() {
    let asked = |target| [request(0.0, A, target), request(1.0, A, target), request(2.0, A, target)];
    let facts = tracked([asked(B).to_vec(), asked(C).to_vec(), vec![reply(2.1, C, A)]].concat());
    let silent: Vec<_> =
        facts.arps.iter().map(|arp| (arp.target.to_string(), arp.requests, arp.frames.len())).collect();
    assert_eq!(silent, [("10.0.0.2".to_owned(), 3, 3)]);
}

#[test]
fn who_asks_is_there_too() {
    // B never replies, but asks for A: it is there.
    let facts = tracked(vec![request(0.0, A, B), request(0.5, B, A), request(1.0, A, B), reply(1.1, A, B)]);
    assert!(facts.arps.is_empty(), "{:?}", facts.arps);
}

#[test]
fn two_answers_to_one_question_are_a_conflict() {
    let other = Arp::reply((mac(9), Ipv4Addr::from(B)), (mac(1), Ipv4Addr::from(A)));
    let other = |seconds: f64| {
        Frame::new(START_NS + (seconds * 1e9) as u64, build(&[Ethernet::new(9, 1).into(), other.into()], b""))
    };
    let facts =
        tracked(vec![request(0.0, A, B), reply(0.001, B, A), other(0.002), request(9.0, A, B), reply(9.1, B, A)]);
    let [conflict] = facts.conflicts.as_slice() else { panic!("one conflict: {:?}", facts.conflicts) };
    assert_eq!((conflict.addr.to_string().as_str(), conflict.owners.len()), ("10.0.0.2", 2));
    assert_eq!((conflict.double_answers, conflict.returns), (1, 1));
    // Passing from one to the next is a failover.
    let moved = tracked(vec![request(0.0, A, B), reply(0.001, B, A), request(9.0, A, B), other(9.1)]);
    assert_eq!((moved.conflicts[0].double_answers, moved.conflicts[0].returns), (0, 0));
}

#[test]
fn probes_announcements_and_copies_are_no_questions() {
    // RFC 5227: a probe has no sender, an announcement asks for itself. Copies at another point come at once.
    let quiet = tracked(vec![request(0.0, [0; 4], B), request(1.0, [0; 4], B), request(2.0, B, B)]);
    assert!(quiet.arps.is_empty(), "{:?}", quiet.arps);
    let copies = [request(0.0, A, B), request(0.001, A, B), request(0.002, A, B), request(1.0, A, B)];
    assert_eq!(tracked(copies.to_vec()).arps[0].requests, 2);
}
