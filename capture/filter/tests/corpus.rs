//! Every filter against every kind of frame, as the program is run here and as the kernel runs it.

#![allow(clippy::unwrap_used, reason = "the set-up of tests fails them")]

mod frames;

use frames::*;
use kcap_filter::{Ancillary, Base, Options, Program, Spec};
use std::net::IpAddr;

const SNAPLEN: u32 = 65_535;

fn program(spec: &Spec) -> Program {
    Program::of(spec, Options { snaplen: SNAPLEN, base: Base::Ethernet, inside: true, received_only: false }).unwrap()
}

fn keeps(program: &Program, frame: &[u8]) -> bool {
    program.run(frame, Ancillary::default()) != 0
}

fn ports(text: &str) -> Spec {
    Spec { ports: text.split(',').map(|port| port.parse().unwrap()).collect(), ..Spec::default() }
}

/// IP packets that carry a segment or datagram with the ports, and how they are called.
fn plain(from: u16, to: u16) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for (a, b) in [(A4, B4), (A6, B6)] {
        all.push((format!("tcp {a}"), ip(a, b, 6, &tcp(from, to))));
        all.push((format!("udp {a}"), ip(a, b, 17, &udp(from, to, b"x"))));
        all.push((format!("sctp {a}"), ip(a, b, 132, &tcp(from, to))));
    }
    let (IpAddr::V4(a4), IpAddr::V4(b4), IpAddr::V6(a6), IpAddr::V6(b6)) = (A4, B4, A6, B6) else { unreachable!() };
    all.push(("options".to_owned(), v4(a4, b4, 6, &[1; 12], 0, &tcp(from, to))));
    all.push(("first fragment".to_owned(), v4(a4, b4, 6, &[], 0x2000, &tcp(from, to))));
    all.push(("destination options".to_owned(), v6(a6, b6, 60, &options6(6, 2, &tcp(from, to)))));
    all.push(("two headers".to_owned(), v6(a6, b6, 0, &options6(43, 0, &options6(17, 1, &udp(from, to, b""))))));
    all.push(("first fragment v6".to_owned(), v6(a6, b6, 44, &fragment6(17, 0, &udp(from, to, b"")))));
    all.push(("authenticated".to_owned(), v6(a6, b6, 51, &authentication(6, &tcp(from, to)))));
    all
}

/// What carries a packet.
fn carried(packet: &[u8]) -> Vec<(String, Vec<u8>)> {
    let kind = if packet[0] >> 4 == 4 { 0x0800 } else { 0x86dd };
    let over = if packet[0] >> 4 == 4 { 4 } else { 41 };
    let mut all = vec![("plain".to_owned(), framed(packet)), ("tagged".to_owned(), vlan(&framed(packet)))];
    all.push(("twice tagged".to_owned(), vlan(&vlan(&framed(packet)))));
    for (c, d) in [(C4, D4), (C6, D6)] {
        let outer = |protocol, body: &[u8]| framed(&ip(c, d, protocol, body));
        for port in [4789, 8472] {
            all.push((format!("vxlan {port} {c}"), outer(17, &udp(50_000, port, &vxlan(&framed(packet))))));
        }
        all.push((format!("vxlan tagged {c}"), outer(17, &udp(50_000, 4789, &vxlan(&vlan(&framed(packet)))))));
        for options in [0, 4, 64, 252] {
            let inner = geneve(0x6558, options, &framed(packet));
            all.push((format!("geneve {options} {c}"), outer(17, &udp(50_000, 6081, &inner))));
        }
        all.push((format!("geneve ip {c}"), outer(17, &udp(50_000, 6081, &geneve(kind, 8, packet)))));
        all.push((format!("ip in ip {c}"), outer(over, packet)));
        for key in [false, true] {
            all.push((format!("gre {key} {c}"), outer(47, &gre(kind, key, packet))));
            all.push((format!("gretap {key} {c}"), outer(47, &gre(0x6558, key, &framed(packet)))));
        }
        let (protocol, errors) = if c.is_ipv4() { (1, [3, 11]) } else { (58, [1, 2]) };
        for kind in errors {
            all.push((format!("error {kind} {c}"), outer(protocol, &error(kind, packet))));
        }
    }
    all
}

fn corpus(from: u16, to: u16) -> Vec<(String, Vec<u8>)> {
    let named = |(inner, packet): (String, Vec<u8>)| {
        carried(&packet).into_iter().map(move |(outer, frame)| (format!("{outer}: {inner}"), frame))
    };
    plain(from, to).into_iter().flat_map(named).collect()
}

#[test]
fn a_port_is_found_wherever_it_is() {
    for spec in ["5432", "80,5432", "5000-6000"] {
        let program = program(&ports(spec));
        for (name, frame) in corpus(5432, 40_000).into_iter().chain(corpus(40_000, 5432)) {
            assert!(keeps(&program, &frame), "{spec}: {name}");
        }
        for (name, frame) in corpus(40_000, 5) {
            assert!(!keeps(&program, &frame), "{spec}: {name}");
        }
    }
}

#[test]
fn a_port_of_one_protocol_is_not_that_of_another() {
    let program = program(&ports("udp/53"));
    for (name, frame) in corpus(40_000, 53) {
        // What carries datagrams with that port, whatever else is in the name.
        let wanted = name.contains(": udp") || name.contains("two headers") || name.contains("first fragment v6");
        assert_eq!(keeps(&program, &frame), wanted, "{name}");
    }
}

#[test]
fn later_fragments_have_no_ports() {
    let (IpAddr::V4(a), IpAddr::V4(b), IpAddr::V6(a6), IpAddr::V6(b6)) = (A4, B4, A6, B6) else { unreachable!() };
    let later = framed(&v4(a, b, 17, &[], 0x0010, &udp(53, 53, b"")));
    let later6 = framed(&v6(a6, b6, 44, &fragment6(17, 16, &udp(53, 53, b""))));
    for frame in [&later, &later6] {
        assert!(!keeps(&program(&ports("53")), frame));
        let protocol = Spec { protocols: vec!["udp".parse().unwrap()], ..Spec::default() };
        assert!(keeps(&program(&protocol), frame));
    }
    let host = Spec { hosts: vec![A4], ..Spec::default() };
    assert!(keeps(&program(&host), &later));
}

#[test]
fn addresses_are_found_at_one_level_with_the_rest() {
    let host = |host: IpAddr| Spec { hosts: vec![host], ..Spec::default() };
    for (name, frame) in corpus(1, 2) {
        let four = name.contains("10.0.0.1")
            || ["options", "first fragment"].iter().any(|end| name.ends_with(end))
                && !name.ends_with("destination options");
        for (inner, wanted) in [(A4, four), (B4, four), (A6, !four), (B6, !four)] {
            assert_eq!(keeps(&program(&host(inner)), &frame), wanted, "host {inner}: {name}");
        }
        let outer = name.contains("192.0.2.1") && name.contains(" 192.0.2.1:");
        assert_eq!(keeps(&program(&host(D4)), &frame), outer, "outer: {name}");
        // The port is the inner packet's and the address the outer's: at no level do both agree.
        let mixed = Spec { hosts: vec![D4], ..ports("2") };
        assert!(!keeps(&program(&mixed), &frame), "mixed: {name}");
    }
}

#[test]
fn networks_are_matched_by_their_prefix() {
    let net = |text: &str| Spec { nets: vec![text.parse().unwrap()], ..Spec::default() };
    let four = framed(&ip(A4, B4, 6, &tcp(1, 2)));
    let six = framed(&ip(A6, B6, 6, &tcp(1, 2)));
    for (text, has_four, has_six) in [
        ("10.0.9.0/24", true, false),
        ("10.0.8.0/24", false, false),
        ("0.0.0.0/0", true, false),
        ("10.0.0.1/32", true, false),
        ("fd00:0:0:2::/64", false, true),
        ("fd00:0:0:3::/64", false, false),
        ("fd00::/13", false, true),
        ("::/0", false, true),
        ("fd00:0:0:2::2/128", false, true),
        ("fd00:0:0:2:8000::/65", false, false),
    ] {
        assert_eq!(keeps(&program(&net(text)), &four), has_four, "{text}");
        assert_eq!(keeps(&program(&net(text)), &six), has_six, "{text}");
    }
}

#[test]
fn arp_has_addresses_and_no_ports() {
    let (IpAddr::V4(a), IpAddr::V4(b)) = (A4, B4) else { unreachable!() };
    let frame = arp(a, b);
    let host = |hosts: Vec<IpAddr>| Spec { hosts, ..Spec::default() };
    assert!(keeps(&program(&host(vec![A4])), &frame) && keeps(&program(&host(vec![B4])), &frame));
    assert!(!keeps(&program(&host(vec![C4])), &frame) && !keeps(&program(&host(vec![A6])), &frame));
    assert!(!keeps(&program(&ports("80")), &frame));
    let protocol = |name: &str| Spec { protocols: vec![name.parse().unwrap()], ..Spec::default() };
    assert!(keeps(&program(&protocol("arp")), &frame) && !keeps(&program(&protocol("tcp")), &frame));
}

#[test]
fn what_is_excepted_is_left_out_only_outside_of_tunnels() {
    let except = Spec { except: vec![10_250], ..Spec::default() };
    for (name, frame) in corpus(10_250, 7) {
        let plain_tcp = ["plain", "tagged", "twice tagged"].iter().any(|outer| name.starts_with(&format!("{outer}:")))
            && !["udp", "sctp", "two headers", "first fragment v6"].iter().any(|inner| name.contains(inner));
        assert_eq!(keeps(&program(&except), &frame), !plain_tcp, "{name}");
    }
}

#[test]
fn without_looking_inside_the_outermost_packet_decides() {
    let options = Options { snaplen: 96, base: Base::Ethernet, inside: false, received_only: false };
    let program = Program::of(&ports("5432"), options).unwrap();
    for (name, frame) in corpus(5432, 7) {
        let outermost = ["plain", "tagged", "twice tagged"].iter().any(|outer| name.starts_with(&format!("{outer}:")));
        let expected = if outermost { 96 } else { 0 };
        assert_eq!(program.run(&frame, Ancillary::default()), expected, "{name}");
    }
}

#[test]
fn packets_without_a_link_header_are_matched() {
    let options = Options { snaplen: SNAPLEN, base: Base::Ip, inside: true, received_only: false };
    let program = Program::of(&ports("5432"), options).unwrap();
    for (name, packet) in plain(5432, 7) {
        assert!(keeps(&program, &packet), "{name}");
    }
    for (name, packet) in plain(5433, 7) {
        assert!(!keeps(&program, &packet), "{name}");
    }
}

#[test]
fn what_a_loopback_sends_is_left_out() {
    let options = Options { snaplen: SNAPLEN, base: Base::Ethernet, inside: true, received_only: true };
    let program = Program::of(&Spec::default(), options).unwrap();
    let frame = framed(&ip(A4, B4, 6, &tcp(1, 2)));
    for (packet_type, kept) in [(0, SNAPLEN), (4, 0)] {
        assert_eq!(program.run(&frame, Ancillary { packet_type, wire_len: 0 }), kept);
    }
}

#[test]
fn cut_frames_match_no_more_than_whole_ones() {
    let program = program(&ports("5432"));
    for (name, frame) in corpus(1, 2) {
        for len in 0..frame.len() {
            assert!(!keeps(&program, &frame[..len]), "{name} cut to {len}");
        }
    }
}

#[test]
fn long_lists_fit_or_are_refused() {
    let port = |port: u16| kcap_filter::PortRange { transport: None, first: port, last: port };
    let many = Spec { ports: (1..=500).map(|n| port(n * 7)).collect(), ..Spec::default() };
    let assembled = program(&many);
    for (spec_port, kept) in [(7, true), (3500, true), (2100, true), (3501, false), (8, false)] {
        for (name, frame) in corpus(60_000, spec_port) {
            assert_eq!(keeps(&assembled, &frame), kept, "{spec_port}: {name}");
        }
    }
    let hosts = (0..2000u32).map(|n| IpAddr::V4((0x0a00_0000 + n).into())).collect();
    let options = Options { snaplen: SNAPLEN, base: Base::Ethernet, inside: true, received_only: false };
    let refused = Program::of(&Spec { hosts, ..Spec::default() }, options);
    assert!(matches!(refused, Err(kcap_filter::ProgramError::TooLong { len }) if len > 4096));
}

#[test]
fn two_programs_keep_what_both_keep() {
    let both = program(&ports("5432")).and(&program(&Spec { hosts: vec![A4], ..Spec::default() })).unwrap();
    assert!(keeps(&both, &framed(&ip(A4, B4, 6, &tcp(5432, 1)))));
    assert!(!keeps(&both, &framed(&ip(A4, B4, 6, &tcp(5433, 1)))));
    assert!(!keeps(&both, &framed(&ip(C4, B4, 6, &tcp(5432, 1)))));
}

#[test]
fn one_port_is_a_program_of_this_length() {
    // A change here is a change of what each packet costs: not wrong, but to be seen.
    assert_eq!(program(&ports("5432")).instructions().len(), 563);
}

/// The kernel's own verdict, without any privilege: a datagram arrives at a socket whose filter keeps it.
#[cfg(target_os = "linux")]
#[test]
fn the_kernel_agrees() {
    use socket2::{Domain, SockFilter, Socket, Type};
    let specs = [
        ports("5432"),
        ports("udp/53,80-90"),
        Spec { hosts: vec![A4, B6], ..Spec::default() },
        Spec { nets: vec!["fd00:0:0:2::/64".parse().unwrap()], ..ports("5432") },
        Spec { except: vec![10_250], ..Spec::default() },
        Spec { ports: (1..=300).map(|n| (n * 20).to_string().parse().unwrap()).collect(), ..Spec::default() },
    ];
    for spec in specs {
        let program = program(&spec);
        let (sender, receiver) = Socket::pair(Domain::UNIX, Type::DGRAM, None).unwrap();
        receiver.set_nonblocking(true).unwrap();
        let filter: Vec<_> = program.instructions().iter().map(|i| SockFilter::new(i.code, i.jt, i.jf, i.k)).collect();
        receiver.attach_filter(&filter).unwrap();
        for (name, frame) in corpus(40_000, 5432).into_iter().chain(corpus(53, 10_250)) {
            sender.send(&frame).unwrap();
            let mut buffer = vec![std::mem::MaybeUninit::uninit(); 2048];
            assert_eq!(receiver.recv(&mut buffer).is_ok(), keeps(&program, &frame), "{spec}: {name}");
        }
    }
}
