use super::build::*;
use super::*;
use crate::Addr;
use crate::packet::Kind;
use etherparse::{IpFragOffset, Ipv4Options};

fn decode_ipv6(next_header: u8, payload: &[u8]) -> (Packet, Layers) {
    decode_whole(LinkType::IPV6, &ipv6(next_header, payload))
}

#[test]
fn ipv4_fields() {
    let (packet, layers) = decode_ipv4(17, &udp(1000, 53, &[0; 5]));
    assert_eq!((packet.src, packet.dst), (Addr::v4(SRC), Addr::v4(DST)));
    assert_eq!((packet.ttl, packet.ip_id, packet.ip_len, packet.proto), (64, 0x1234, 33, 17));
    assert!(packet.bits.dont_fragment());
    assert_eq!((packet.kind, layers.stop), (Kind::Udp, Stop::End));
}

#[test]
fn ipv4_options_are_passed() {
    let with_options = |header: &mut etherparse::Ipv4Header| {
        header.options = Ipv4Options::try_from(&[1u8, 1, 1, 0, 1, 1, 1, 0][..]).expect("a multiple of 4");
        header.total_len += 8;
    };
    let frame = ipv4_with(6, &tcp(&[], b"abc"), with_options);
    let (packet, layers) = decode_whole(LinkType::IPV4, &frame);
    assert_eq!((names(&layers).as_str(), packet.l4_offset, packet.payload_len), ("ipv4 tcp", 28, 3));
}

#[test]
fn ipv4_contradictions() {
    let stop = |bytes: &[u8]| decode_ethernet(0x0800, bytes).1.stop;
    let good = ipv4(6, &tcp(&[], b""));
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    assert_eq!(stop(&with(0, 0x44)), Stop::Malformed(Layer::Ipv4));
    assert_eq!(stop(&with(0, 0x65)), Stop::Malformed(Layer::Ipv4));
    assert_eq!(stop(&with(3, 19)), Stop::Malformed(Layer::Ipv4));
    assert_eq!(stop(&good[..19]), Stop::Malformed(Layer::Ipv4));
    assert_eq!(stop(&[]), Stop::Malformed(Layer::Ipv4));
}

#[test]
fn ipv4_longer_than_its_frame_is_malformed_but_read() {
    let frame = ipv4_with(6, &tcp(&[], b"abc"), |header| header.total_len = 1500);
    let (packet, layers) = decode_whole(LinkType::IPV4, &frame);
    assert_eq!((packet.kind, layers.stop, packet.src_port), (Kind::Tcp, Stop::End, 40_000));
    assert!(packet.bits.is_malformed() && !packet.bits.is_snapped());
    assert_eq!((packet.payload_len, packet.payload_caplen()), (1460, 3));
}

#[test]
fn lengths_of_segmentation_offload_come_from_the_frame() {
    let big = vec![7; 70_000];
    let v4 = ipv4_with(6, &tcp(&[], &big[..60_000]), |header| header.total_len = 0);
    let (packet, _) = decode_whole(LinkType::IPV4, &v4);
    assert_eq!((packet.payload_len, packet.ip_len), (60_000, 60_040));
    let v6 = ipv6_with(6, &tcp(&[], &big), |header| header.payload_length = 0);
    let (packet, _) = decode_whole(LinkType::IPV6, &v6);
    assert_eq!((packet.payload_len, packet.ip_len), (70_000, 70_060));
    assert!(!packet.bits.is_malformed());
}

#[test]
fn no_card_sends_more_than_offload_allows() {
    let frame = ipv4_with(6, &tcp(&[], b"abc"), |header| header.total_len = 0);
    let (mut packet, mut layers) = (Packet::default(), Layers::default());
    decode(&frame, LinkType::IPV4, 3_600_000_000, &DecodeConfig::default(), &mut packet, &mut layers);
    assert_eq!((packet.kind, layers.stop), (Kind::Other, Stop::Malformed(Layer::Ipv4)));
}

#[test]
fn jumbograms_say_their_length() {
    let segment = tcp(&[], &vec![7; 70_000]);
    let jumbo = join(&[&[6, 0, 0xc2, 4], &(segment.len() as u32 + 8).to_be_bytes(), &segment]);
    let frame = join(&[&ipv6_with(0, &jumbo, |header| header.payload_length = 0), &[0; 10]]);
    let (packet, layers) = decode_whole(LinkType::IPV6, &frame);
    assert_eq!((names(&layers).as_str(), packet.payload_len), ("ipv6 ipv6-ext tcp", 70_000));
}

#[test]
fn ipv6_fields_and_extension_headers() {
    let chain = extension(43, 1, &extension(60, 2, &extension(17, 1, &udp(5, 6, b"xy"))));
    let (packet, layers) = decode_ipv6(0, &chain);
    assert_eq!(names(&layers), "ipv6 ipv6-ext ipv6-ext ipv6-ext udp");
    assert_eq!((packet.src, packet.dst), (Addr::v6(SRC_V6), Addr::v6(DST_V6)));
    assert_eq!((packet.ttl, packet.proto, packet.l4_offset, packet.payload_len), (63, 17, 72, 2));
    assert_eq!(packet.ip_len, 40 + 32 + 10);
}

#[test]
fn authenticated_headers_are_passed() {
    let ah = |next_header: u8, payload: &[u8]| join(&[&[next_header, 4, 0, 0], &[0; 20], payload]);
    let (packet, layers) = decode_ipv4(51, &ah(17, &udp(5, 6, b"")));
    assert_eq!((names(&layers).as_str(), packet.kind, packet.proto), ("ipv4 ah udp", Kind::Udp, 17));
    let (_, layers) = decode_ipv6(51, &ah(60, &extension(6, 1, &tcp(&[], b""))));
    assert_eq!(names(&layers), "ipv6 ah ipv6-ext tcp");
    let (_, layers) = decode_ipv4(51, &[17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(layers.stop, Stop::Malformed(Layer::Ah));
}

#[test]
fn what_ends_an_ipv6_chain() {
    let (packet, layers) = decode_ipv6(59, &[]);
    assert_eq!((packet.kind, packet.proto, layers.stop), (Kind::Ip, 59, Stop::End));
    assert_eq!(decode_ipv6(0, &[6, 200, 0, 0, 0, 0, 0, 0]).1.stop, Stop::Malformed(Layer::Ipv6Ext));
    assert_eq!(decode_ipv6(60, &[]).1.stop, Stop::Malformed(Layer::Ipv6Ext));
    let endless = (0..40).fold(tcp(&[], b""), |inner, _| extension(60, 1, &inner));
    assert_eq!(decode_ipv6(60, &endless).1.stop, Stop::TooDeep);
}

#[test]
fn extension_headers_belong_to_ipv6_and_icmp_to_its_version() {
    assert_eq!(decode_ipv4(60, &extension(6, 1, &tcp(&[], b""))).1.stop, Stop::Undecoded("ip protocol"));
    assert_eq!(decode_ipv4(58, &icmp(128, 0, [0; 4], b"")).1.stop, Stop::Undecoded("icmpv6 in ipv4"));
    assert_eq!(decode_ipv6(1, &icmp(8, 0, [0; 4], b"")).1.stop, Stop::Undecoded("icmp in ipv6"));
}

#[test]
fn other_protocols_are_named() {
    for (proto, name) in [(132, "sctp"), (50, "esp"), (89, "ospf"), (2, "igmp"), (103, "pim"), (112, "vrrp")] {
        let (packet, layers) = decode_ipv4(proto, &[1; 24]);
        assert_eq!((packet.kind, packet.proto, layers.stop), (Kind::Ip, proto, Stop::Undecoded(name)));
        assert_eq!((packet.src_port, packet.l4_header_len, packet.payload_len), (0, 0, 24));
    }
}

#[test]
fn ipv4_fragments() {
    let at = |offset: u16, more: bool, payload: &[u8]| {
        let frame = ipv4_with(17, payload, |header| {
            header.fragment_offset = IpFragOffset::try_new(offset / 8).expect("in range");
            header.more_fragments = more;
        });
        decode_whole(LinkType::ETHERNET, &ethernet(0x0800, &join(&[&frame, &[0; 9]])))
    };
    let (packet, layers) = at(0, true, &udp_with_length(4000, 53, 100, &[0; 8]));
    assert_eq!((packet.kind, layers.stop, names(&layers).as_str()), (Kind::Fragment, Stop::End, "ethernet ipv4"));
    assert_eq!((packet.src_port, packet.dst_port, packet.proto), (4000, 53, 17));
    let expected = Fragment {
        id: 0x1234,
        offset: 0,
        more: true,
        proto: 17,
        payload_offset: 34,
        payload_len: 16,
        payload_caplen: 16,
    };
    assert_eq!(layers.fragment, Some(expected));
    let (packet, layers) = at(1480, false, &[9; 5]);
    let expected = Fragment { offset: 1480, more: false, payload_len: 5, payload_caplen: 5, ..expected };
    assert_eq!(layers.fragment, Some(expected));
    assert_eq!((packet.kind, packet.src_port), (Kind::Fragment, 0));
}

#[test]
fn ipv6_fragments() {
    let (packet, layers) = decode_ipv6(44, &fragment_header(17, 8, true, 77, &[1; 16]));
    assert_eq!((packet.kind, packet.proto, names(&layers).as_str()), (Kind::Fragment, 17, "ipv6 ipv6-ext"));
    let fragment = layers.fragment.expect("a fragment");
    assert_eq!((fragment.id, fragment.offset, fragment.more, fragment.payload_offset), (77, 8, true, 48));
    // An atomic fragment is a whole packet (RFC 6946).
    let (packet, layers) = decode_ipv6(44, &fragment_header(17, 0, false, 77, &udp(5, 6, b"")));
    assert_eq!((packet.kind, layers.fragment), (Kind::Udp, None));
}

#[test]
fn reassembled_payloads_are_decoded_on() {
    let payload = udp(50_000, 4789, &vxlan(8, 5, &tcp_frame()));
    let (first, _) = payload.split_at(24);
    let frame = ipv4_with(17, first, |header| header.more_fragments = true);
    let (mut packet, mut layers) = decode_whole(LinkType::IPV4, &frame);
    let config = DecodeConfig::default();
    decode_transport(17, &payload, payload.len() as u32, true, &config, &mut packet, &mut layers);
    assert_eq!(names(&layers), "ipv4 udp vxlan ethernet ipv4 tcp");
    assert_eq!((packet.kind, layers.fragment, layers.stop), (Kind::Tcp, None, Stop::End));
    assert_eq!(layers.outers()[0].ip_len, 20 + payload.len() as u32);
    assert_eq!(&payload[packet.payload_offset() as usize..], b"payload");
}

#[test]
fn a_reassembled_packet_is_the_datagram() {
    let payload = udp(4000, 53, &[7; 100]);
    let (_, last) = payload.split_at(64);
    let frame = ipv4_with(17, last, |header| header.fragment_offset = IpFragOffset::try_new(8).expect("in range"));
    let (mut packet, mut layers) = decode_whole(LinkType::IPV4, &frame);
    let config = DecodeConfig::default();
    decode_transport(17, &payload, payload.len() as u32, true, &config, &mut packet, &mut layers);
    assert_eq!((packet.kind, packet.src_port, packet.payload_len), (Kind::Udp, 4000, 100));
    assert_eq!((packet.ip_len, packet.l4_offset, packet.l4_caplen), (128, 0, 108));
    assert!(packet.bits.is_reassembled());
}
