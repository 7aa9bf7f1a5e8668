use super::build::*;
use super::*;
use crate::Addr;
use crate::packet::Kind;

fn over_udp(dst_port: u16, payload: &[u8]) -> (Packet, Layers) {
    decode_ipv4(17, &udp(50_000, dst_port, payload))
}

fn assert_inner_tcp(packet: &Packet, layers: &Layers, expected: &str) {
    assert_eq!((names(layers).as_str(), layers.stop), (expected, Stop::End));
    assert_eq!((packet.kind, packet.seq, packet.payload_len), (Kind::Tcp, SEQ, 7));
}

#[test]
fn vxlan_on_its_ports() {
    for port in [4789, 8472] {
        let (packet, layers) = over_udp(port, &vxlan(8, 77, &tcp_frame()));
        assert_inner_tcp(&packet, &layers, "ipv4 udp vxlan ethernet ipv4 tcp");
        let expected = Outer {
            kind: TunnelKind::Vxlan,
            src: Addr::v4(SRC),
            dst: Addr::v4(DST),
            id: Some(77),
            port,
            ip_len: 20 + 8 + 8 + 14 + 20 + 32 + 7,
            l4_offset: 20,
        };
        assert_eq!(layers.outers(), [expected]);
        assert_eq!((packet.ip_len, packet.l4_offset), (59, 70));
    }
    // Group policy and unknown extension bits (draft-smith-vxlan-group-policy).
    assert_eq!(names(&over_udp(4789, &vxlan(0x88, 1, &tcp_frame())).1), "ipv4 udp vxlan ethernet ipv4 tcp");
}

#[test]
fn vxlan_ports_in_other_use_stay_udp() {
    // Without a VNI, and an answer from a DNS server to a client on this port.
    assert_eq!(names(&over_udp(8472, &vxlan(0, 1, &tcp_frame())).1), "ipv4 udp");
    let (packet, layers) = decode_ipv4(17, &udp(53, 4789, &[0x1a, 0x2b, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0, 3]));
    assert_eq!((packet.kind, names(&layers).as_str()), (Kind::Udp, "ipv4 udp"));
    assert_eq!(over_udp(4789, &[]).1.stop, Stop::End);
}

#[test]
fn vxlan_by_shape_on_any_port() {
    let inner = [
        ethernet(0x0800, &ipv4(6, &tcp(&[], b"x"))),
        ethernet(0x86dd, &ipv6(17, &udp(1, 2, b""))),
        ethernet(0x0806, &arp(1, SRC, DST)),
        ethernet(0x0806, &join(&[&arp(1, SRC, DST), &[0; 18]])),
        ethernet(0x8100, &vlan(5, 0x0800, &ipv4(6, &tcp(&[], b"")))),
    ];
    for frame in &inner {
        let (_, layers) = over_udp(1234, &vxlan(8, 9, frame));
        assert_eq!(layers.outers().first().map(|outer| outer.id), Some(Some(9)), "{}", names(&layers));
        assert_eq!(layers.stop, Stop::End);
    }
    // Any bit out of shape, or a length that is not the frame's, and it is some other protocol.
    let good = vxlan(8, 9, &inner[0]);
    for at in [0, 1, 2, 3, 7, 20, 21, 22, 24, 25] {
        let mut payload = good.clone();
        payload[at] ^= 0x41;
        assert_eq!(names(&over_udp(1234, &payload).1), "ipv4 udp", "byte {at}");
    }
}

#[test]
fn vxlan_gpe_names_what_it_carries() {
    let segment = ipv4(6, &tcp(&TIMESTAMPS, b"payload"));
    let decode = |flags, protocol, payload: &[u8]| over_udp(4790, &vxlan_gpe(flags, protocol, 5, payload));
    let (packet, layers) = decode(0x0c, 1, &segment);
    assert_inner_tcp(&packet, &layers, "ipv4 udp vxlan-gpe ipv4 tcp");
    assert_eq!((layers.outers()[0].kind, layers.outers()[0].id), (TunnelKind::VxlanGpe, Some(5)));
    assert_eq!(names(&decode(0x0c, 2, &ipv6(59, &[])).1), "ipv4 udp vxlan-gpe ipv6");
    assert_eq!(names(&decode(0x0c, 3, &tcp_frame()).1), "ipv4 udp vxlan-gpe ethernet ipv4 tcp");
    assert_eq!(names(&decode(0x08, 0, &tcp_frame()).1), "ipv4 udp vxlan-gpe ethernet ipv4 tcp");
    assert_eq!(decode(0x0c, 4, &segment).1.stop, Stop::Undecoded("nsh"));
    assert_eq!(names(&decode(0x0c, 5, &mpls(&[3], &segment)).1), "ipv4 udp vxlan-gpe mpls ipv4 tcp");
    assert_eq!(names(&decode(0x3c, 1, &segment).1), "ipv4 udp");
}

#[test]
fn geneve_with_options() {
    let options = [0, 1, 0x80, 1, 1, 2, 3, 4];
    let (packet, layers) = over_udp(6081, &geneve(0x00ab_cdef, 0x6558, &options, &tcp_frame()));
    assert_inner_tcp(&packet, &layers, "ipv4 udp geneve ethernet ipv4 tcp");
    assert_eq!((layers.outers()[0].kind, layers.outers()[0].id), (TunnelKind::Geneve, Some(0x00ab_cdef)));
    let (_, layers) = over_udp(6081, &geneve(1, 0x0800, &[], &ipv4(6, &tcp(&[], b""))));
    assert_eq!(names(&layers), "ipv4 udp geneve ipv4 tcp");
    assert_eq!(over_udp(6081, &[0x3f, 0, 0x65, 0x58, 0, 0, 0, 0]).1.stop, Stop::Malformed(Layer::Geneve));
    assert_eq!(names(&over_udp(6081, &[0x40; 40]).1), "ipv4 udp");
}

#[test]
fn gre_with_its_optional_fields() {
    let segment = ipv4(6, &tcp(&TIMESTAMPS, b"payload"));
    for (flags, words, key) in [
        (0u16, &[][..], None),
        (0x8000, &[1][..], None),
        (0x2000, &[42][..], Some(42)),
        (0x1000, &[7][..], None),
        (0xb000, &[1, 42, 7][..], Some(42)),
    ] {
        let (packet, layers) = decode_ipv4(47, &gre(flags, 0x0800, words, &segment));
        assert_inner_tcp(&packet, &layers, "ipv4 gre ipv4 tcp");
        assert_eq!((layers.outers()[0].kind, layers.outers()[0].id), (TunnelKind::Gre, key));
    }
    let bridged = decode_ipv4(47, &gre(0, 0x6558, &[], &tcp_frame())).1;
    assert_eq!(names(&bridged), "ipv4 gre ethernet ipv4 tcp");
    let (packet, layers) = over_udp(4754, &gre(0x2000, 0x0800, &[3], &segment));
    assert_inner_tcp(&packet, &layers, "ipv4 udp gre ipv4 tcp");
    assert_eq!(layers.outers()[0].port, 4754);
}

#[test]
fn gre_of_other_forms_is_named() {
    let stop = |bytes: &[u8]| decode_ipv4(47, bytes).1.stop;
    assert_eq!(stop(&gre(0x3001, 0x880b, &[0, 0], b"")), Stop::Undecoded("gre-pptp"));
    assert_eq!(stop(&gre(0x0002, 0x0800, &[], b"")), Stop::Undecoded("gre version"));
    assert_eq!(stop(&gre(0x4000, 0x0800, &[0], b"")), Stop::Undecoded("gre-routing"));
    assert_eq!(stop(&gre(0, 0x883e, &[0], b"")), Stop::Undecoded("wccp"));
    assert_eq!(stop(&gre(0x2000, 0x0800, &[], b"")), Stop::Malformed(Layer::Gre));
    let (packet, layers) = decode_ipv4(47, &gre(0x2000, 0x880b, &[9], &[0; 9]));
    assert_eq!((packet.kind, packet.src, layers.outers().len()), (Kind::Ip, Addr::v4(SRC), 1));
}

#[test]
fn erspan_types() {
    let type_ii = join(&[&[0x10, 5, 0, 9, 0, 0, 0, 0], &tcp_frame()]);
    let type_iii =
        |last: u8, subheader: &[u8]| join(&[&[0x20, 5, 0, 9, 0, 0, 0, 0, 0, 0, 0, last], subheader, &tcp_frame()]);
    for (bytes, session) in [
        (gre(0, 0x88be, &[], &tcp_frame()), None),
        (gre(0x1000, 0x88be, &[1], &type_ii), Some(9)),
        (gre(0x1000, 0x22eb, &[1], &type_iii(0, &[])), Some(9)),
        (gre(0x1000, 0x22eb, &[1], &type_iii(1, &[0; 8])), Some(9)),
    ] {
        let (packet, layers) = decode_ipv4(47, &bytes);
        assert_inner_tcp(&packet, &layers, "ipv4 gre erspan ethernet ipv4 tcp");
        assert_eq!((layers.outers()[0].kind, layers.outers()[0].id), (TunnelKind::Erspan, session));
        assert!(packet.bits.is_mirrored());
    }
    assert_eq!(decode_ipv4(47, &gre(0x1000, 0x88be, &[1], &[0x30; 60])).1.stop, Stop::Undecoded("erspan version"));
}

#[test]
fn what_a_mirror_cut_is_snapped() {
    let frame = tcp_frame();
    let truncated = join(&[&[0x10, 5, 4, 9, 0, 0, 0, 0], &frame[..44]]);
    let (packet, layers) = decode_ipv4(47, &gre(0x1000, 0x88be, &[1], &truncated));
    assert_eq!((packet.src_port, layers.stop), (40_000, Stop::Snapped(Layer::Tcp)));
}

#[test]
fn ip_in_ip() {
    let (v4, v6) = (ipv4(6, &tcp(&TIMESTAMPS, b"payload")), ipv6(6, &tcp(&TIMESTAMPS, b"payload")));
    for (link, frame, expected) in [
        (LinkType::IPV4, ipv4(4, &v4), "ipv4 ipv4 tcp"),
        (LinkType::IPV4, ipv4(41, &v6), "ipv4 ipv6 tcp"),
        (LinkType::IPV6, ipv6(4, &v4), "ipv6 ipv4 tcp"),
        (LinkType::IPV6, ipv6(41, &v6), "ipv6 ipv6 tcp"),
    ] {
        let (packet, layers) = decode_whole(link, &frame);
        assert_inner_tcp(&packet, &layers, expected);
        assert_eq!((layers.outers()[0].kind, layers.outers()[0].ip_len), (TunnelKind::IpIp, frame.len() as u32));
    }
}

#[test]
fn wireguard_is_recognised_and_stays_closed() {
    let message = |kind: u8, len: usize| join(&[&[kind, 0, 0, 0], &[0x5a; 6], &[0; 6], &vec![0x5a; len - 16]]);
    for (kind, len) in [(1, 148), (2, 92), (3, 64), (4, 32), (4, 1456)] {
        let (packet, layers) = over_udp(51_820, &message(kind, len));
        assert_eq!((names(&layers).as_str(), layers.stop), ("ipv4 udp wireguard", Stop::End));
        assert_eq!((packet.kind, packet.dst_port, packet.payload_len), (Kind::Udp, 51_820, len as u32));
        assert_eq!(layers.outers()[0].kind, TunnelKind::WireGuard);
    }
    for (kind, len) in [(1, 149), (2, 93), (3, 63), (4, 40), (5, 148), (0, 148)] {
        assert_eq!(names(&over_udp(51_820, &message(kind, len)).1), "ipv4 udp", "{kind} {len}");
    }
}

#[test]
fn resolver_messages_are_no_tunnel() {
    // A question without recursion whose identification looks like WireGuard data.
    let question = join(&[&[4, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0], b"\x09localhost\0\0\x01\0\x01", &[0; 5]]);
    assert_eq!(question.len() % 16, 0);
    assert_eq!(names(&over_udp(53, &question).1), "ipv4 udp");
}

#[test]
fn other_tunnels_are_named_by_either_port() {
    assert_eq!(over_udp(2152, &[0x30; 20]).1.stop, Stop::Undecoded("gtp"));
    assert_eq!(over_udp(3544, &[0x60; 60]).1.stop, Stop::Undecoded("teredo"));
    assert_eq!(decode_ipv4(17, &udp(3544, 50_000, &[0x60; 60])).1.stop, Stop::Undecoded("teredo"));
}

#[test]
fn tunnels_that_the_user_names() {
    let decode = |kind, payload: &[u8]| {
        let (mut packet, mut layers) = (Packet::default(), Layers::default());
        let config = DecodeConfig { udp_tunnels: vec![(8473, kind)] };
        let frame = ipv4(17, &udp(50_000, 8473, payload));
        decode(&frame, LinkType::IPV4, frame.len() as u32, &config, &mut packet, &mut layers);
        names(&layers)
    };
    let segment = ipv4(6, &tcp(&[], b""));
    assert_eq!(decode(TunnelKind::Vxlan, &vxlan(0x88, 1, &tcp_frame())), "ipv4 udp vxlan ethernet ipv4 tcp");
    assert_eq!(decode(TunnelKind::VxlanGpe, &vxlan_gpe(0x0c, 1, 1, &segment)), "ipv4 udp vxlan-gpe ipv4 tcp");
    assert_eq!(decode(TunnelKind::Geneve, &geneve(1, 0x0800, &[], &segment)), "ipv4 udp geneve ipv4 tcp");
    assert_eq!(decode(TunnelKind::Gre, &gre(0, 0x0800, &[], &segment)), "ipv4 udp gre ipv4 tcp");
    assert_eq!(decode(TunnelKind::WireGuard, &[9; 50]), "ipv4 udp wireguard");
}

#[test]
fn tunnels_in_tunnels_and_their_end() {
    let deep = ipv4(
        17,
        &udp(50_000, 4789, &vxlan(8, 1, &ethernet(0x0800, &ipv4(4, &ipv4(47, &gre(0, 0x6558, &[], &tcp_frame())))))),
    );
    let (packet, layers) = decode_whole(LinkType::IPV4, &deep);
    assert_inner_tcp(&packet, &layers, "ipv4 udp vxlan ethernet ipv4 ipv4 gre ethernet ipv4 tcp");
    let kinds: Vec<_> = layers.outers().iter().map(|outer| outer.kind).collect();
    assert_eq!(kinds, [TunnelKind::Vxlan, TunnelKind::IpIp, TunnelKind::Gre]);
    let bomb = (0..100).fold(ipv4(6, &tcp(&[], b"")), |inner, _| ipv4(4, &inner));
    let (_, layers) = decode_whole(LinkType::IPV4, &bomb);
    assert_eq!((layers.stop, layers.outers().len()), (Stop::TooDeep, Layers::MAX_TUNNELS));
    let tags = (0..100).fold(vlan(1, 0x0800, &ipv4(6, &tcp(&[], b""))), |inner, _| vlan(1, 0x8100, &inner));
    let (packet, layers) = decode_ethernet(0x8100, &tags);
    assert_eq!((layers.stop, layers.list().len(), packet.kind), (Stop::TooDeep, Layers::MAX, Kind::Other));
}

#[test]
fn a_tunnel_whose_inside_is_unknown_leaves_the_outer_packet() {
    let (packet, layers) = over_udp(4789, &vxlan(8, 1, &ethernet(0x88cc, &[0; 40])));
    assert_eq!(layers.stop, Stop::Undecoded("lldp"));
    assert_eq!((packet.kind, packet.src, packet.dst_port), (Kind::Udp, Addr::v4(SRC), 4789));
    assert_eq!(layers.outers().len(), 1);
}
