//! Datagrams, and how connections leave the table.

use super::dsl::{LINK_ETHERNET, LINK_SLL2, START_NS, check, track, track_file};
use crate::track::ConnState;
use crate::track::flow::{Cold, Hot};
use crate::track::flows::{BATCH, FLOW_BYTES};
use crate::track::key::SHARDS;
use crate::track::leg::Leg;
use kcap_samples::file::pcapng::Pcapng;
use kcap_samples::file::{Frame, Order};
use kcap_samples::packet::{Arp, Ethernet, Icmp, Ipv4, Sll2, Tcp, Udp, build, flags, mac};
use std::net::Ipv4Addr;

const SECOND: u64 = 1_000_000_000;

#[test]
fn datagrams_by_who_spoke() {
    check("0.0 > udp len=30\n0.1 < udp len=90\nexpect state=SF history=Dd orig.bytes=58 resp.payload=90");
    check("0.0 > udp len=30\n1.0 > udp len=30\nexpect state=S0 history=D orig.packets=2 orig.retransmitted=0");
    check("0.0 < udp len=30\nexpect state=S0 orig=10.0.0.2:53");
}

#[test]
fn two_questions_of_one_length_are_two_packets() {
    // A and AAAA from one socket, back to back. Linux leaves the identification of an unconnected socket's datagrams 0.
    let questions = "0.00000 > udp len=30 id=0 fill=1\n0.00002 > udp len=30 id=0 fill=2\n";
    let expected = "expect orig.packets=2 orig.duplicates=0 orig.payload=60";
    check(&format!("{questions}{expected}"));
    check(&format!("link sll\n{questions}{expected}"));
    check(&format!("ip v6\n{questions}{expected}"));
    check(&format!("ip v6\nlink sll\n{questions}{expected}"));
}

#[test]
fn a_datagram_seen_twice_is_one() {
    check(
        "link sll
         0.00000 > udp len=30 id=0 dir=in
         0.00001 again dir=out ttl=63
         expect orig.packets=1 orig.payload=30",
    );
}

#[test]
fn a_silent_minute_ends_datagrams() {
    check(
        "0.0 > udp len=30\n0.1 < udp len=30
         59.0 > udp len=30
         200.0 > udp len=30
         expect flows=2 state=SF orig.packets=2 duration_ms=59000
         expect#1 state=S0 orig.packets=1",
    );
}

#[test]
fn a_closed_connection_keeps_its_late_packets_and_an_open_one_its_pauses() {
    let closed = "0.00 > S\n0.01 < SA\n0.02 > A\n0.03 > FA\n0.04 < FA\n0.05 > A\n";
    check(&format!("{closed}5.0 < FA seq=1\nexpect flows=1 state=SF resp.packets=3"));
    check("0.0 > S\n0.01 < SA\n0.02 > A\n3000.0 > PA len=10\nexpect flows=1 state=S1");
    check("0.0 > S\n0.01 < SA\n0.02 > A\n4000.0 > PA len=10\nexpect flows=2 state=S1");
}

fn syn(client: u32, ts_ns: u64) -> Frame {
    let src = Ipv4Addr::from_bits(0x0a00_0000 + client);
    let tcp = Tcp { src: 40_000, dst: 80, seq: 1, flags: flags::SYN, ..Tcp::default() };
    let layers = [Ethernet::new(1, 2).into(), Ipv4::new(src, Ipv4Addr::new(10, 9, 0, 1)).into(), tcp.into()];
    Frame::new(ts_ns, build(&layers, b""))
}

const A: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const B: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

fn ping(sequence: u16) -> Frame {
    Frame::new(0, build(&[Ethernet::new(1, 2).into(), Ipv4::new(A, B).into(), Icmp::echo(1, sequence).into()], b"ping"))
}

fn arp() -> Frame {
    Frame::new(0, build(&[Ethernet::new(1, 2).into(), Arp::request((mac(1), A), B).into()], b""))
}

fn rejection() -> Frame {
    let layers = [Ethernet::new(2, 1).into(), Ipv4::new(B, A).into(), Icmp::unreachable(1).into()];
    Frame::new(0, build(&layers, &syn(1, 0).data[14..]))
}

#[test]
fn a_full_table_lets_the_idlest_go_and_says_so() {
    // The smallest table there is, and a hundred times as many connections as it holds.
    let most = BATCH * 2 * SHARDS;
    let frames: Vec<Frame> = (0..100 * most as u32).map(|n| syn(n, START_NS + u64::from(n) * 1000)).collect();
    let facts = track(LINK_ETHERNET, &frames, 1);
    assert_eq!(facts.flows.len(), frames.len());
    let evicted: Vec<_> = facts.flows.iter().filter(|flow| flow.evicted).collect();
    assert_eq!(evicted.len() as u64, facts.evicted);
    assert!(facts.most_open <= most, "{} were held", facts.most_open);
    // Who stayed came last.
    let youngest_evicted = evicted.iter().map(|flow| flow.first.frame()).max().expect("some were");
    let stayed = facts.flows.iter().filter(|flow| !flow.evicted);
    assert!(stayed.clone().count() > most / 2);
    assert!(stayed.map(|flow| flow.first.frame()).min().expect("some did") + (most as u64) > youngest_evicted);
    assert!(facts.flows.iter().all(|flow| flow.state == ConnState::S0 && flow.from_orig.packets == 1));
}

#[test]
fn further_legs_count_against_the_memory() {
    // Each connection is seen on seven interfaces; the table holds fewer than it would of plain ones.
    let memory = 2 << 20;
    let mut frames = Vec::new();
    for n in 0..20_000_u32 {
        for interface in 1..=7 {
            let at = START_NS + u64::from(n) * 100_000 + u64::from(interface) * 1000;
            let mut frame = syn(n, at);
            let link = Sll2 { interface, ..Sll2::default() };
            let mut header = build(&[link.into()], b"");
            header[..2].copy_from_slice(&[8, 0]);
            frame.data.splice(..14, header);
            frames.push(Frame::new(at, frame.data));
        }
    }
    let facts = track(LINK_SLL2, &frames, memory);
    assert_eq!(facts.flows.len(), 20_000);
    let stayed: Vec<_> = facts.flows.iter().filter(|flow| !flow.evicted).collect();
    assert!(stayed.iter().all(|flow| flow.legs().count() == 7));
    let each = FLOW_BYTES + 6 * size_of::<Leg>() as u64;
    let held = stayed.len() as u64 * each;
    assert!(held <= memory && held * 2 > memory, "{} connections of {each} bytes", stayed.len());
}

#[test]
fn attempts_leave_after_their_time_while_others_go_on() {
    // One old attempt; then enough packets of another connection that its slot is looked at.
    let mut frames = vec![syn(1, START_NS)];
    let layers = |n: u16| {
        let (a, b) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
        [Ethernet::new(1, 2).into(), Ipv4 { id: n, ..Ipv4::new(a, b) }.into(), Udp::new(5000, 5001).into()]
    };
    for n in 0..3000_u16 {
        frames.push(Frame::new(START_NS + u64::from(n) * SECOND / 10, build(&layers(n), &[1; 400])));
    }
    let facts = track(LINK_ETHERNET, &frames, 64 << 20);
    assert_eq!(facts.flows.len(), 2);
    assert_eq!((facts.flows[0].state, facts.flows[0].evicted), (ConnState::S0, false));
    assert_eq!(facts.flows[1].from_orig.packets, 3000);
}

#[test]
fn a_connection_costs_what_the_budget_counts() {
    // An index entry takes 8 bytes, and the index is at least five sixteenths full. What is watched is behind a pointer.
    let kept = (size_of::<Hot>() + size_of::<Cold>() + size_of::<usize>() + 8 * 16 / 5) as u64;
    assert!(kept <= FLOW_BYTES, "a connection takes {kept} bytes and is counted as {FLOW_BYTES}");
}

#[test]
fn clocks_at_their_ends_do_no_harm() {
    // Two interfaces, whose offsets put their times at both ends of what 64 bits hold, taking turns.
    let mut file = Pcapng::new();
    file.section(Order::Little, -1, &[]);
    for offset in [i64::MIN, i64::MAX] {
        file.interface(1, 0, &[(9, vec![9]), (14, offset.to_le_bytes().to_vec())]);
    }
    for n in 0..6_u32 {
        for frame in [syn(1, 0), ping(n as u16), ping(7), arp(), rejection()] {
            file.packet(n % 2, u64::MAX * u64::from(n % 2), &frame.data, frame.orig_len, &[]);
        }
    }
    let facts = track_file(file.bytes, 64 << 20);
    assert!(!facts.flows.is_empty() && !facts.echoes.is_empty() && !facts.errors.is_empty());
}
