//! What holds for every frame: decoding never panics, and a shorter capture of a frame tells less, never otherwise.

use super::build::*;
use super::*;
use crate::packet::Kind;
use proptest::prelude::*;

const LINKS: [LinkType; 11] = [
    LinkType::ETHERNET,
    LinkType::LINUX_SLL,
    LinkType::LINUX_SLL2,
    LinkType::RAW,
    LinkType::RAW_12,
    LinkType::RAW_14,
    LinkType::IPV4,
    LinkType::IPV6,
    LinkType::NULL,
    LinkType::LOOP,
    LinkType::PPP,
];

/// One frame of everything that is decoded.
fn frames() -> Vec<(LinkType, Vec<u8>)> {
    let segment = tcp(&TIMESTAMPS, b"payload");
    let (v4, v6) = (ipv4(6, &segment), ipv6(6, &segment));
    let tunnel = |port, payload: &[u8]| ethernet(0x0800, &ipv4(17, &udp(50_000, port, payload)));
    let over_gre = |bytes: &[u8]| ethernet(0x0800, &ipv4(47, bytes));
    let first = ipv4_with(17, &udp_with_length(5, 6, 900, &[1; 40]), |header| header.more_fragments = true);
    let error = icmp(3, 4, [0, 0, 5, 120], &v4);
    let wireguard = join(&[&[4, 0, 0, 0], &[0x5a; 6], &[0; 6], &[0x5a; 48]]);
    let erspan_iii = join(&[&[0x20, 5, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1], &[0; 8], &tcp_frame()]);
    let mut frames: Vec<(LinkType, Vec<u8>)> = [
        tcp_frame(),
        ethernet(0x0800, &join(&[&ipv4(6, &tcp(&[], b"")), &[0; 6]])),
        ethernet(0x0800, &ipv4(17, &udp(1, 53, b"question"))),
        ethernet(0x0800, &ipv4(1, &icmp(8, 0, [1, 2, 3, 4], b"ping"))),
        ethernet(0x0800, &ipv4(1, &error)),
        ethernet(0x0800, &first),
        ethernet(0x0800, &ipv4(132, &[1; 40])),
        ethernet(0x0800, &ipv4(51, &join(&[&[6, 4, 0, 0], &[0; 20], &segment]))),
        ethernet(0x0806, &join(&[&arp(1, SRC, DST), &[0; 18]])),
        ethernet(0x86dd, &ipv6(0, &extension(43, 1, &extension(60, 3, &extension(6, 1, &segment))))),
        ethernet(0x86dd, &ipv6(44, &fragment_header(17, 0, true, 7, &udp(5, 6, &[1; 24])))),
        ethernet(0x86dd, &ipv6(44, &fragment_header(17, 0, false, 7, &udp(5, 6, &[1; 24])))),
        ethernet(0x8100, &vlan(7, 0x88a8, &vlan(8, 0x0800, &v4))),
        ethernet(8 + v4.len() as u16, &join(&[&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0], &v4])),
        ethernet(0x8847, &mpls(&[16, 17], &v4)),
        ethernet(0x8864, &pppoe(0x0021, &v4)),
        ethernet(0x8864, &pppoe(0x0057, &v6)),
        ethernet(0x8847, &mpls(&[16, 17], &join(&[&[0; 4], &tcp_frame()]))),
        tunnel(4789, &vxlan(8, 1, &tcp_frame())),
        tunnel(9999, &vxlan(8, 1, &tcp_frame())),
        tunnel(4790, &vxlan_gpe(0x0c, 1, 1, &v4)),
        tunnel(6081, &geneve(1, 0x6558, &[0; 12], &tcp_frame())),
        tunnel(4754, &gre(0x2000, 0x0800, &[1], &v4)),
        tunnel(51_820, &wireguard),
        over_gre(&gre(0, 0x8200, &[], &wlan([0x88, 0x01], &[0, 0], 0x0800, &v4))),
        over_gre(&gre(0xb000, 0x86dd, &[1, 2, 3], &v6)),
        over_gre(&gre(0x1000, 0x22eb, &[1], &erspan_iii)),
        over_gre(&gre(0, 0x88be, &[], &tcp_frame())),
        ethernet(0x0800, &ipv4(4, &ipv4(41, &v6))),
        ethernet(0x86dd, &ipv6(41, &ipv6(4, &v4))),
    ]
    .into_iter()
    .map(|frame| (LinkType::ETHERNET, frame))
    .collect();
    frames.push((LinkType::LINUX_SLL, sll(4, 1, 0x0800, &v4)));
    frames.push((LinkType::LINUX_SLL2, sll2(3, 9, 0x0800, &v4)));
    frames.push((LinkType::NULL, join(&[&30u32.to_le_bytes(), &v6])));
    frames.push((LinkType::RAW, v4));
    frames.push((LinkType::IPV6, v6));
    frames
}

/// Asserts that what is told of the first `len` bytes of a frame is told of the whole frame too.
fn assert_prefix(link: LinkType, frame: &[u8], len: usize) {
    let (packet, layers) = decode_cut(link, frame, len);
    let (whole, all) = decode_cut(link, frame, frame.len());
    let place = format!("{link} {} at {len}: {}", names(&all), names(&layers));
    assert!(all.list().starts_with(layers.list()), "{place}");
    assert!(all.outers().starts_with(layers.outers()), "{place}");
    let networks = |layers: &Layers| {
        let is_network = |layer: &&Layer| matches!(layer, Layer::Ipv4 | Layer::Ipv6 | Layer::Arp);
        layers.list().iter().filter(is_network).count()
    };
    if networks(&layers) != networks(&all) || packet.kind == Kind::Other {
        return;
    }
    let same_or_none = |ours: u64, theirs: u64, what: &str| assert!(ours == theirs || ours == 0, "{place}: {what}");
    assert_eq!((packet.src, packet.dst, packet.ip_len), (whole.src, whole.dst, whole.ip_len), "{place}");
    assert_eq!((packet.ttl, packet.ip_id, packet.direction), (whole.ttl, whole.ip_id, whole.direction), "{place}");
    assert_eq!(packet.bits.dont_fragment(), whole.bits.dont_fragment(), "{place}");
    same_or_none(packet.src_port.into(), whole.src_port.into(), "source port");
    same_or_none(packet.dst_port.into(), whole.dst_port.into(), "destination port");
    same_or_none(packet.seq.into(), whole.seq.into(), "sequence");
    same_or_none(packet.ack.into(), whole.ack.into(), "acknowledgement");
    same_or_none(packet.window.into(), whole.window.into(), "window");
    same_or_none(packet.flags.0.into(), whole.flags.0.into(), "flags");
    same_or_none(packet.tsval.into(), whole.tsval.into(), "timestamp");
    assert!(packet.l4_caplen <= whole.l4_caplen || packet.proto != whole.proto, "{place}");
    if packet.kind == whole.kind {
        let lengths = |packet: &Packet| (packet.proto, packet.l4_offset, packet.payload_len, packet.l4_header_len);
        assert!(packet.kind == Kind::Ip || lengths(&packet) == lengths(&whole), "{place}");
    } else {
        assert!(packet.kind == Kind::Ip, "{place}: {:?} of {:?}", packet.kind, whole.kind);
    }
    assert!(packet.bits.is_malformed() == whole.bits.is_malformed(), "{place}");
}

#[test]
fn every_cut_of_every_frame_tells_a_prefix() {
    for (link, frame) in frames() {
        let (packet, layers) = decode_whole(link, &frame);
        assert!(!packet.bits.is_malformed() && !packet.bits.is_snapped(), "{}: {:?}", names(&layers), layers.stop);
        for len in 0..frame.len() {
            assert_prefix(link, &frame, len);
            let (cut, layers) = decode_cut(link, &frame, len);
            assert!(!matches!(layers.stop, Stop::Malformed(_)), "{} at {len}: {:?}", names(&layers), layers.stop);
            let end = whole_end(&packet);
            assert_eq!(cut.bits.is_snapped(), len < end, "{} of {end} at {len}", names(&layers));
        }
    }
}

/// Packets whose IP header leaves less than the transport header needs: cut or not, they are no segment or datagram.
#[test]
fn every_cut_of_a_packet_that_is_too_short_tells_a_prefix() {
    for (link, frame) in frames().into_iter().filter(|(link, frame)| *link == LinkType::ETHERNET && frame[14] == 0x45) {
        for total_len in 20..44u8 {
            let mut short = frame.clone();
            short[16..18].copy_from_slice(&[0, total_len]);
            (0..short.len()).for_each(|len| assert_prefix_of_damaged(link, &short, len));
        }
    }
}

/// Where the innermost packet of a whole frame ends, padding left out.
fn whole_end(packet: &Packet) -> usize {
    (packet.l4_offset + packet.l4_caplen) as usize
}

#[test]
fn every_layer_has_a_frame() {
    let seen: std::collections::BTreeSet<Layer> =
        frames().iter().flat_map(|(link, frame)| decode_whole(*link, frame).1.list().to_vec()).collect();
    let missing: Vec<_> = Layer::ALL.iter().filter(|layer| !seen.contains(layer)).collect();
    // ICMPv6 is decoded by the same function as ICMP.
    assert_eq!(missing, [&Layer::Icmpv6]);
}

/// Offsets and lengths that trackers rely on, whatever the bytes were.
fn assert_sound(packet: &Packet, frame: &[u8]) {
    let end = packet.l4_offset as usize + packet.l4_caplen as usize;
    assert!(end <= frame.len(), "{packet:?}");
    assert!(packet.payload_offset() as usize + packet.payload_caplen() as usize <= frame.len().max(end + 64));
    assert!(packet.payload_caplen() == 0 || packet.payload_offset() + packet.payload_caplen() <= end as u32);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5000))]

    #[test]
    fn random_bytes_never_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        extra in 0usize..100,
        link in proptest::sample::select(&LINKS[..]),
    ) {
        let (mut packet, mut layers) = (Packet::default(), Layers::default());
        let wire_len = (bytes.len() + extra) as u32;
        decode(&bytes, link, wire_len, &DecodeConfig::default(), &mut packet, &mut layers);
        assert_sound(&packet, &bytes);
        tcp::options(&bytes);
        icmp::quote(&bytes, extra % 2 == 0);
        arp::parse(&bytes);
        for proto in [0, 1, 4, 6, 17, 41, 43, 44, 47, 51, 58] {
            let config = DecodeConfig::default();
            decode_transport(proto, &bytes, wire_len, extra % 2 == 0, &config, &mut packet, &mut layers);
            assert_sound(&packet, &bytes);
        }
    }

    #[test]
    fn damaged_frames_never_panic_and_keep_the_prefix_property(
        which in 0usize..32,
        damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<proptest::sample::Index>(),
    ) {
        let frames = frames();
        let (link, mut frame) = frames[which % frames.len()].clone();
        for (at, byte) in damage {
            let at = at.index(frame.len());
            frame[at] = byte;
        }
        let (packet, _) = decode_whole(link, &frame);
        assert_sound(&packet, &frame);
        let len = cut.index(frame.len());
        let (cut, _) = decode_cut(link, &frame, len);
        assert_sound(&cut, &frame[..len]);
        assert_prefix_of_damaged(link, &frame, len);
    }
}

/// An Ethernet frame decoded header by header, without the step that decodes usual ones at once.
fn decode_by_header(frame: &[u8], wire_len: u32) -> (Packet, Layers) {
    let (mut packet, mut layers, config) = (Packet::default(), Layers::default(), DecodeConfig::default());
    let mut walk = Walk::new(frame, wire_len, &config, &mut packet, &mut layers);
    walk.enter(Layer::Ethernet, 14).unwrap();
    run(Next::ether_type(ethernet::IPV4), &mut walk);
    (packet, layers)
}

/// Frames that the one step may take: TCP and UDP with any lengths, options, flags, padding and cuts.
fn usual_frame() -> impl Strategy<Value = (Vec<u8>, u32)> {
    let header = proptest::collection::vec(any::<u8>(), 14 + 20 + 20 + 60);
    (header, any::<bool>(), 0u16..120, 0u16..90, 4u8..16, 0usize..120, prop_oneof![Just(0u32), 1u32..40]).prop_map(
        |(mut bytes, is_tcp, total_len, udp_len, data_offset, len, missing)| {
            bytes[12..15].copy_from_slice(&[8, 0, 0x45]);
            bytes[16..18].copy_from_slice(&total_len.to_be_bytes());
            bytes[20] &= 0x40;
            bytes[21] = 0;
            bytes[23] = if is_tcp { 6 } else { 17 };
            if is_tcp {
                bytes[46] = data_offset << 4 | bytes[46] & 1;
            } else {
                bytes[38..40].copy_from_slice(&udp_len.to_be_bytes());
            }
            bytes.truncate(len.max(14));
            let wire_len = bytes.len() as u32 + missing;
            (bytes, wire_len)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn one_step_decodes_as_the_headers_one_by_one_do((frame, wire_len) in usual_frame()) {
        let (mut packet, mut layers) = (Packet::default(), Layers::default());
        decode(&frame, LinkType::ETHERNET, wire_len, &DecodeConfig::default(), &mut packet, &mut layers);
        let (expected, expected_layers) = decode_by_header(&frame, wire_len);
        prop_assert_eq!(format!("{packet:?}"), format!("{expected:?}"));
        prop_assert_eq!(layers.list(), expected_layers.list());
        prop_assert_eq!(layers.outers(), expected_layers.outers());
        prop_assert_eq!(layers.stop, expected_layers.stop);
    }
}

/// Damaged bytes may contradict themselves only where the cut hides it; the layers are a prefix all the same.
fn assert_prefix_of_damaged(link: LinkType, frame: &[u8], len: usize) {
    let (cut, all) = (decode_cut(link, frame, len).1, decode_cut(link, frame, frame.len()).1);
    assert!(all.list().starts_with(cut.list()), "{link} {} at {len}: {}", names(&all), names(&cut));
    assert!(all.outers().starts_with(cut.outers()), "{link} {} at {len}: {}", names(&all), names(&cut));
}
