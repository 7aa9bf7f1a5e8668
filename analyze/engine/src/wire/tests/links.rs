use super::build::*;
use super::*;
use crate::Addr;
use crate::packet::Kind;
use kcap_file::Direction;

fn segment() -> Vec<u8> {
    ipv4(6, &tcp(&[], b""))
}

#[test]
fn ethernet_tags_and_padding() {
    let (packet, layers) = decode_ethernet(0x0800, &join(&[&segment(), &[0; 6]]));
    assert_eq!(names(&layers), "ethernet ipv4 tcp");
    assert_eq!(layers.stop, Stop::End);
    assert_eq!((packet.payload_len, packet.l4_caplen, packet.ip_len), (0, 20, 40));
    let tagged = vlan(7, 0x8100, &vlan(8, 0x88a8, &vlan(9, 0x0800, &segment())));
    assert_eq!(names(&decode_ethernet(0x88a8, &tagged).1), "ethernet vlan vlan vlan ipv4 tcp");
}

#[test]
fn logical_link_control() {
    let snap =
        |oui: &[u8], protocol: u16, payload: &[u8]| join(&[&[0xaa, 0xaa, 3], oui, &protocol.to_be_bytes(), payload]);
    let with_length = |llc: &[u8]| decode_ethernet(llc.len() as u16, llc).1;
    let ip = with_length(&snap(&[0, 0, 0], 0x0800, &segment()));
    assert_eq!((names(&ip).as_str(), ip.stop), ("ethernet llc ipv4 tcp", Stop::End));
    assert_eq!(with_length(&snap(&[0, 0, 12], 0x2000, &[1; 8])).stop, Stop::Undecoded("snap"));
    assert_eq!(with_length(&[0x42, 0x42, 3, 0, 0]).stop, Stop::Undecoded("stp"));
    assert_eq!(with_length(&[0xfe, 0xfe, 3, 0x83]).stop, Stop::Undecoded("llc"));
    assert_eq!(with_length(&[0xff, 0xff, 0, 40]).stop, Stop::Undecoded("ipx"));
    assert_eq!(with_length(&[0xaa]).stop, Stop::Malformed(Layer::Llc));
    let tagged = vlan(1, 5, &[0x42, 0x42, 3, 0, 0]);
    assert_eq!(decode_ethernet(0x8100, &tagged).1.stop, Stop::Undecoded("stp"));
    assert_eq!(decode_ethernet(1501, &[0; 50]).1.stop, Stop::Undecoded("ethernet type between length and protocol"));
}

#[test]
fn linux_cooked_directions() {
    let directions = [
        (0, Direction::In, false),
        (1, Direction::In, false),
        (2, Direction::In, false),
        (3, Direction::In, true),
        (4, Direction::Out, false),
        (6, Direction::Unknown, false),
    ];
    for (packet_type, direction, other_host) in directions {
        let v1 = decode_whole(LinkType::LINUX_SLL, &sll(packet_type, 1, 0x0800, &segment()));
        let v2 = decode_whole(LinkType::LINUX_SLL2, &sll2(packet_type as u8, 42, 0x0800, &segment()));
        assert_eq!((names(&v1.1), names(&v2.1)), ("sll ipv4 tcp".into(), "sll2 ipv4 tcp".into()));
        assert_eq!((v1.1.interface_index, v2.1.interface_index), (None, Some(42)));
        for packet in [v1.0, v2.0] {
            assert_eq!((packet.direction, packet.bits.is_other_host()), (direction, other_host), "{packet_type}");
        }
    }
}

#[test]
fn linux_cooked_payloads() {
    let stop = |hardware, protocol| decode_whole(LinkType::LINUX_SLL, &sll(0, hardware, protocol, &segment())).1.stop;
    // A tunnel device has no hardware type of its own.
    assert_eq!(stop(65_534, 0x0800), Stop::End);
    assert_eq!(stop(778, 0x0800), Stop::End);
    assert_eq!(stop(824, 0), Stop::Undecoded("netlink"));
    assert_eq!(stop(803, 0x0800), Stop::Undecoded("802.11"));
    assert_eq!(stop(770, 0x0800), Stop::Undecoded("frame-relay"));
    assert_eq!(stop(1, 4), Stop::Undecoded("llc"));
    assert_eq!(stop(1, 1), Stop::Undecoded("ipx"));
    let tagged = decode_whole(LinkType::LINUX_SLL, &sll(0, 1, 0x8100, &vlan(3, 0x0800, &segment())));
    assert_eq!(names(&tagged.1), "sll vlan ipv4 tcp");
}

#[test]
fn loopback_families_in_both_orders() {
    let v6 = ipv6(6, &tcp(&[], b""));
    let (v4_net, v6_net) = (2u32.to_be_bytes(), 30u32.to_be_bytes());
    for family in [2u32.to_be_bytes(), 2u32.to_le_bytes()] {
        assert_eq!(names(&decode_whole(LinkType::NULL, &join(&[&family, &segment()])).1), "null ipv4 tcp");
    }
    for family in [10u32, 24, 28, 30] {
        for bytes in [family.to_be_bytes(), family.to_le_bytes()] {
            assert_eq!(names(&decode_whole(LinkType::NULL, &join(&[&bytes, &v6])).1), "null ipv6 tcp");
        }
    }
    assert_eq!(names(&decode_whole(LinkType::LOOP, &join(&[&v4_net, &segment()])).1), "null ipv4 tcp");
    assert_eq!(names(&decode_whole(LinkType::LOOP, &join(&[&v6_net, &v6])).1), "null ipv6 tcp");
    let with_ether_type = join(&[&[15, 0, 8, 0], &segment()]);
    assert_eq!(names(&decode_whole(LinkType::NULL, &with_ether_type).1), "null ipv4 tcp");
    let appletalk = join(&[&16u32.to_le_bytes(), &segment()]);
    assert_eq!(decode_whole(LinkType::NULL, &appletalk).1.stop, Stop::Undecoded("address family"));
}

#[test]
fn raw_ip() {
    let v6 = ipv6(6, &tcp(&[], b""));
    for link in [LinkType::RAW, LinkType::RAW_12, LinkType::RAW_14] {
        assert_eq!(names(&decode_whole(link, &segment()).1), "ipv4 tcp");
        assert_eq!(names(&decode_whole(link, &v6).1), "ipv6 tcp");
        assert_eq!(decode_whole(link, &[0x50; 40]).1.stop, Stop::Malformed(Layer::Ipv4));
    }
    assert_eq!(names(&decode_whole(LinkType::IPV4, &segment()).1), "ipv4 tcp");
    assert_eq!(names(&decode_whole(LinkType::IPV6, &v6).1), "ipv6 tcp");
    assert_eq!(names(&decode_whole(LinkType::IPV4, &v6).1), "ipv6 tcp", "a wrong promise");
}

#[test]
fn other_links_and_ethernet_protocols_are_named() {
    let stop = |link| decode_whole(link, &segment()).1.stop;
    assert_eq!(stop(LinkType::PPP), Stop::Undecoded("ppp"));
    assert_eq!(stop(LinkType::IEEE802_11), Stop::Undecoded("802.11"));
    assert_eq!(stop(LinkType(9999)), Stop::Undecoded("link type"));
    for (number, name) in
        [(0x8863, "pppoe-discovery"), (0x88cc, "lldp"), (0x88e5, "macsec"), (0x1234 + 0x600, "ethertype")]
    {
        let (packet, layers) = decode_ethernet(number, &[0; 40]);
        assert_eq!((packet.kind, layers.stop), (Kind::Other, Stop::Undecoded(name)));
    }
}

#[test]
fn address_resolution() {
    let (packet, layers) = decode_ethernet(0x0806, &join(&[&arp(1, SRC, DST), &[0; 18]]));
    assert_eq!((names(&layers).as_str(), layers.stop, packet.kind), ("ethernet arp", Stop::End, Kind::Arp));
    assert_eq!((packet.src, packet.dst), (Addr::v4(SRC), Addr::v4(DST)));
    assert_eq!((packet.l4_offset, packet.l4_caplen), (14, 28));

    let parse = |operation, sender, target| arp::parse(&arp(operation, sender, target)).expect("whole");
    let request = parse(1, SRC, DST);
    assert_eq!((request.operation, request.sender_mac), (arp::Operation::Request, [2, 0, 0, 0, 0, 1]));
    assert!(!request.is_gratuitous() && !request.is_probe());
    assert!(parse(1, SRC, SRC).is_gratuitous());
    assert!(parse(2, SRC, SRC).is_gratuitous());
    assert!(parse(1, [0; 4], DST).is_probe());
    assert!(!parse(1, [0; 4], [0; 4]).is_gratuitous());
    assert_eq!(parse(9, SRC, DST).operation, arp::Operation::Other(9));
    assert_eq!(arp::parse(&arp(1, SRC, DST)[..27]), None);
}

#[test]
fn address_resolution_of_another_protocol() {
    let mut bytes = arp(1, SRC, DST);
    bytes[2] = 0x09;
    assert_eq!(decode_ethernet(0x0806, &bytes).1.stop, Stop::Undecoded("arp for another protocol"));
    assert_eq!(decode_ethernet(0x0806, &arp(1, SRC, DST)[..20]).1.stop, Stop::Malformed(Layer::Arp));
}

#[test]
fn label_stacks() {
    let one = |payload: &[u8]| decode_ethernet(0x8847, &mpls(&[16, 17, 18], payload));
    assert_eq!(names(&one(&segment()).1), "ethernet mpls mpls mpls ipv4 tcp");
    assert_eq!(names(&one(&ipv6(6, &tcp(&[], b""))).1), "ethernet mpls mpls mpls ipv6 tcp");
    let pseudowire = one(&tcp_frame());
    assert_eq!(names(&pseudowire.1), "ethernet mpls mpls mpls ethernet ipv4 tcp");
    let with_control_word = one(&join(&[&[0, 0, 0, 9], &tcp_frame()]));
    assert_eq!(names(&with_control_word.1), "ethernet mpls mpls mpls ethernet ipv4 tcp");
    assert_eq!(one(&[0x10; 40]).1.stop, Stop::Undecoded("mpls payload"));
    assert_eq!(one(&[]).1.stop, Stop::Malformed(Layer::Mpls));
}

#[test]
fn ppp_over_ethernet() {
    let one = |protocol, payload: &[u8]| decode_ethernet(0x8864, &pppoe(protocol, payload));
    assert_eq!(names(&one(0x0021, &segment()).1), "ethernet pppoe ipv4 tcp");
    assert_eq!(names(&one(0x0057, &ipv6(6, &tcp(&[], b""))).1), "ethernet pppoe ipv6 tcp");
    assert_eq!(one(0xc021, &[1; 40]).1.stop, Stop::Undecoded("ppp"));
    // The length ends the packet where the Ethernet frame goes on.
    let padded = ethernet(0x8864, &join(&[&pppoe(0x0021, &segment()), &[0; 10]]));
    let (packet, _) = decode_whole(LinkType::ETHERNET, &padded);
    assert!(packet.payload_len == 0 && !packet.bits.is_malformed());
}

#[test]
fn wireless_frames_in_gre() {
    let one = |frame: &[u8]| decode_ipv4(47, &gre(0, 0x8200, &[], frame));
    let inside = |control: [u8; 2], more: &[u8]| one(&wlan(control, more, 0x0800, &segment()));
    let all = "ipv4 gre 802.11 llc ipv4 tcp";
    assert_eq!(names(&inside([0x08, 0x02], &[]).1), all);
    assert_eq!(names(&inside([0x88, 0x01], &[0; 2]).1), all);
    assert_eq!(names(&inside([0x88, 0x83], &[0; 12]).1), all, "four addresses, QoS and HT control");
    assert_eq!(inside([0x08, 0x42], &[]).1.stop, Stop::Undecoded("802.11"), "encrypted");
    assert_eq!(inside([0x88, 0x01], &[0x80, 0]).1.stop, Stop::Undecoded("802.11"), "several in one");
    assert_eq!(inside([0x80, 0x00], &[]).1.stop, Stop::Undecoded("802.11"), "a beacon");
    assert_eq!(names(&inside([0x48, 0x01], &[]).1), "ipv4 gre 802.11", "a frame without data");
}
