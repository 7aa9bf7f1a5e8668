use super::build::*;
use super::tcp::TcpOptions;
use super::*;
use crate::Addr;
use crate::packet::{Kind, TcpFlags};
use icmp::{Quote, Quoted};

#[test]
fn tcp_fields() {
    let (packet, layers) = decode_ipv4(6, &tcp(&TIMESTAMPS, b"hello"));
    assert_eq!((packet.kind, layers.stop), (Kind::Tcp, Stop::End));
    assert_eq!((packet.src_port, packet.dst_port), (40_000, 80));
    assert_eq!((packet.seq, packet.ack, packet.window), (SEQ, ACK, 512));
    assert_eq!(packet.flags, TcpFlags(TcpFlags::ACK | TcpFlags::PSH));
    assert_eq!((packet.bits.has_timestamps(), packet.tsval), (true, 9));
    assert_eq!((packet.l4_header_len, packet.payload_len, packet.l4_offset), (32, 5, 20));
}

#[test]
fn tcp_timestamps_behind_other_options() {
    // Multipath TCP (30) and fast open (34) stand before the timestamps.
    let options = [2, 4, 5, 180, 30, 4, 0, 0, 34, 2, 8, 10, 0, 0, 1, 0, 0, 0, 0, 0];
    let (packet, _) = decode_ipv4(6, &tcp(&options, b""));
    assert_eq!((packet.bits.has_timestamps(), packet.tsval), (true, 256));
    let (packet, _) = decode_ipv4(6, &tcp(&[2, 4, 5, 180], b""));
    assert!(!packet.bits.has_timestamps());
}

#[test]
fn accurate_ecn_flag_is_kept() {
    let mut segment = tcp(&[], b"");
    segment[12] |= 1;
    assert!(decode_ipv4(6, &segment).0.flags.any(0x100));
}

#[test]
fn cut_tcp_headers_yield_what_is_there() {
    let frame = ipv4(6, &tcp(&TIMESTAMPS, b"hello"));
    let cut = |len: usize| decode_cut(LinkType::IPV4, &frame, 20 + len);
    for len in 0..32 {
        let (packet, layers) = cut(len);
        assert_eq!(layers.stop, Stop::Snapped(Layer::Tcp), "{len}");
        assert_eq!(packet.kind, if len < 14 { Kind::Ip } else { Kind::Tcp }, "{len}");
        assert_eq!(packet.src_port, if len < 4 { 0 } else { 40_000 }, "{len}");
        assert!(!packet.bits.has_timestamps(), "{len}: the option is cut");
        assert!(packet.bits.is_snapped() && !packet.bits.is_malformed());
    }
    let (packet, _) = cut(14);
    assert_eq!((packet.l4_header_len, packet.payload_len, packet.payload_caplen()), (32, 5, 0));
    assert_eq!(cut(34).1.stop, Stop::End);
    assert_eq!(cut(34).0.payload_caplen(), 2);
}

#[test]
fn tcp_contradictions() {
    let stop = |segment: &[u8]| {
        let (packet, layers) = decode_ipv4(6, segment);
        assert!(packet.bits.is_malformed());
        (packet.kind, layers.stop)
    };
    let with_offset = |words: u8| {
        let mut segment = tcp(&[], b"");
        segment[12] = words << 4;
        segment
    };
    let malformed = (Kind::Ip, Stop::Malformed(Layer::Tcp));
    assert_eq!(stop(&with_offset(4)), malformed);
    assert_eq!(stop(&with_offset(6)), malformed);
    assert_eq!(stop(&tcp(&[], b"")[..19]), malformed);
    assert_eq!(stop(&[]), malformed);
}

#[test]
fn tcp_options_of_a_handshake() {
    let syn = tcp(&[2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 3, 3, 7], b"");
    let expected = TcpOptions {
        mss: Some(1460),
        window_scale: Some(7),
        sack_permitted: true,
        timestamps: Some((1, 2)),
        ..TcpOptions::default()
    };
    assert_eq!(tcp::options(&syn), expected);
    assert_eq!(tcp::options(&join(&[&syn, &[2, 4, 9, 9]])), expected, "payload is no option");
    assert_eq!(tcp::options(&syn[..24]), TcpOptions { mss: Some(1460), ..TcpOptions::default() });
    assert_eq!(tcp::options(&[]), TcpOptions::default());
}

#[test]
fn tcp_options_that_do_not_fit() {
    assert_eq!(tcp::options(&tcp(&[3, 3, 200, 0], b"")).window_scale, Some(14));
    assert_eq!(tcp::options(&tcp(&[0, 2, 4, 5, 180, 0, 0, 0], b"")), TcpOptions::default());
    assert_eq!(tcp::options(&tcp(&[2, 0, 5, 180], b"")), TcpOptions::default());
    assert_eq!(tcp::options(&tcp(&[2, 40, 5, 180], b"")), TcpOptions::default());
    let blocks: Vec<u8> = (1u32..=4).flat_map(|n| [n * 10, n * 10 + 5]).flat_map(u32::to_be_bytes).collect();
    let sack = tcp::options(&tcp(&join(&[&[1, 1, 5, 34], &blocks]), b"")).sack;
    assert_eq!(sack, [Some((10, 15)), Some((20, 25)), Some((30, 35)), Some((40, 45))]);
}

#[test]
fn udp_lengths() {
    let (packet, layers) = decode_ipv4(17, &join(&[&udp(1, 2, b"abc"), &[0; 4]]));
    assert_eq!((packet.kind, packet.payload_len, packet.payload_caplen()), (Kind::Udp, 3, 3));
    assert_eq!((packet.l4_header_len, layers.stop), (8, Stop::End));
    let (packet, layers) = decode_ipv4(17, &udp_with_length(1, 2, 200, b"abc"));
    assert_eq!((packet.payload_len, packet.bits.is_malformed(), layers.stop), (3, true, Stop::End));
    let (packet, layers) = decode_ipv4(17, &udp_with_length(1, 2, 7, b"abc"));
    assert_eq!((packet.kind, layers.stop), (Kind::Ip, Stop::Malformed(Layer::Udp)));
    assert_eq!(decode_ipv4(17, &udp_with_length(1, 2, 0, b"abc")).0.payload_len, 3);
    assert_eq!(decode_ipv4(17, &udp(1, 2, b"")[..7]).1.stop, Stop::Malformed(Layer::Udp));
}

#[test]
fn cut_udp_headers_yield_ports() {
    let frame = ipv4(17, &udp(1, 2, b"abc"));
    let (packet, layers) = decode_cut(LinkType::IPV4, &frame, 24);
    assert_eq!((packet.kind, packet.dst_port, packet.payload_len), (Kind::Udp, 2, 3));
    assert_eq!(layers.stop, Stop::Snapped(Layer::Udp));
    assert_eq!(decode_cut(LinkType::IPV4, &frame, 23).0.kind, Kind::Ip);
    // A length that contradicts itself and is cut away: the layers before and behind the cut are the same.
    let frame = ipv4(17, &udp_with_length(1, 2, 1, b"abc"));
    let (cut, whole) = (decode_cut(LinkType::IPV4, &frame, 24).1, decode_cut(LinkType::IPV4, &frame, 31).1);
    assert_eq!((cut.list(), whole.stop), (whole.list(), Stop::Malformed(Layer::Udp)));
}

#[test]
fn echoes() {
    for (link, frame) in [
        (LinkType::IPV4, ipv4(1, &icmp(8, 0, [1, 2, 3, 4], b"ping"))),
        (LinkType::IPV4, ipv4(1, &icmp(0, 0, [1, 2, 3, 4], b"ping"))),
        (LinkType::IPV6, ipv6(58, &icmp(128, 0, [1, 2, 3, 4], b"ping"))),
        (LinkType::IPV6, ipv6(58, &icmp(129, 0, [1, 2, 3, 4], b"ping"))),
    ] {
        let (packet, layers) = decode_whole(link, &frame);
        assert_eq!((packet.kind, packet.src_port, packet.dst_port), (Kind::Echo, 0x0102, 0x0102));
        assert_eq!((packet.seq, packet.payload_len, layers.stop), (0x0304, 4, Stop::End));
        assert_eq!(decode_cut(link, &frame, frame.len() - 5).1.stop, Stop::Snapped(*layer_of(link)));
    }
}

fn layer_of(link: LinkType) -> &'static Layer {
    if link == LinkType::IPV4 { &Layer::Icmp } else { &Layer::Icmpv6 }
}

#[test]
fn kinds_of_icmp() {
    let v4 = |icmp_type| decode_ipv4(1, &icmp(icmp_type, 0, [0; 4], b"")).0.kind;
    let v6 = |icmp_type| decode_whole(LinkType::IPV6, &ipv6(58, &icmp(icmp_type, 0, [0; 4], b""))).0.kind;
    assert!([3, 4, 11, 12].iter().all(|&icmp_type| v4(icmp_type) == Kind::IcmpError));
    assert!([5, 9, 10, 13, 14, 200].iter().all(|&icmp_type| v4(icmp_type) == Kind::Icmp));
    assert!([1, 2, 3, 4].iter().all(|&icmp_type| v6(icmp_type) == Kind::IcmpError));
    assert!([133, 134, 135, 136, 137, 0, 8].iter().all(|&icmp_type| v6(icmp_type) == Kind::Icmp));
    assert_eq!(decode_ipv4(1, &[3, 1, 0]).1.stop, Stop::Malformed(Layer::Icmp));
}

#[test]
fn quotes_of_ipv4() {
    let quoted = ipv4_with(6, &tcp(&[], &[0; 500])[..8], |header| header.total_len = 1500);
    let error = icmp(3, 4, [0, 0, 5, 120], &quoted);
    let packet = Quoted {
        head: None,
        src: Addr::v4(SRC),
        dst: Addr::v4(DST),
        proto: 6,
        src_port: 40_000,
        dst_port: 80,
        seq: Some(SEQ),
        ip_len: 1500,
        ttl: 64,
    };
    let expected = Quote { icmp_type: 3, code: 4, mtu: Some(1400), packet, tunnel: None, inner: None };
    assert_eq!(icmp::quote(&error, true), Some(expected));
    let refused = icmp(3, 3, [0; 4], &ipv4(17, &udp(50_000, 53, b"")));
    let quote = icmp::quote(&refused, true).expect("a quote");
    assert_eq!((quote.mtu, quote.packet.dst_port, quote.packet.seq), (None, 53, None));
    assert_eq!(icmp::quote(&error[..27], true), None, "the quoted header is cut");
    assert_eq!(icmp::quote(&icmp(8, 0, [0; 4], &quoted), true), None, "an echo quotes nothing");
    assert_eq!(icmp::quote(&icmp(3, 1, [0; 4], &[0x60; 40]), true), None, "quotes another version");
}

#[test]
fn quotes_of_ipv6_and_echoes() {
    let quoted = ipv6(58, &icmp(128, 0, [0, 7, 0, 9], b""));
    let quote = icmp::quote(&icmp(2, 0, [0, 0, 5, 0], &quoted), false).expect("a quote");
    assert_eq!((quote.mtu, quote.packet.src), (Some(1280), Addr::v6(SRC_V6)));
    assert_eq!((quote.packet.src_port, quote.packet.seq), (7, Some(9)));
    let behind = ipv6(60, &extension(6, 1, &tcp(&[], b"")[..8]));
    let quote = icmp::quote(&icmp(1, 0, [0; 4], &behind), false).expect("a quote");
    assert_eq!((quote.packet.proto, quote.packet.dst_port, quote.packet.seq), (6, 80, Some(SEQ)));
}

#[test]
fn quotes_of_a_fragment_and_of_a_bare_header() {
    let part = ipv4_with(17, &[1; 8], |header| {
        header.fragment_offset = etherparse::IpFragOffset::try_new(100).expect("in range");
    });
    let quote = icmp::quote(&icmp(11, 1, [0; 4], &part), true).expect("a quote");
    assert_eq!((quote.packet.proto, quote.packet.src_port, quote.tunnel), (17, 0, None));
    let bare = ipv4_with(6, &[], |header| header.total_len = 60);
    let quote = icmp::quote(&icmp(11, 0, [0; 4], &bare), true).expect("a quote");
    assert_eq!((quote.packet.proto, quote.packet.src_port, quote.packet.seq), (6, 0, None));
}

#[test]
fn quotes_of_tunnels() {
    let outer = udp(50_000, 8472, &vxlan(8, 1, &tcp_frame()));
    let whole = icmp::quote(&icmp(3, 4, [0, 0, 5, 220], &ipv4(17, &outer)), true).expect("a quote");
    assert_eq!((whole.tunnel, whole.packet.dst_port), (Some(TunnelKind::Vxlan), 8472));
    assert_eq!(whole.inner.map(|inner| (inner.dst_port, inner.seq)), Some((80, Some(SEQ))));
    let ipip = ipv4(4, &ipv4(6, &tcp(&[], b"")));
    let quote = icmp::quote(&icmp(3, 4, [0, 0, 5, 200], &ipip), true).expect("a quote");
    assert_eq!((quote.tunnel, quote.inner.map(|inner| inner.dst_port)), (Some(TunnelKind::IpIp), Some(80)));
    // Routers that keep to RFC 792 quote eight bytes: the port alone names the tunnel.
    let short = ipv4_with(17, &outer[..8], |header| header.total_len = 1550);
    let quote = icmp::quote(&icmp(3, 4, [0, 0, 5, 220], &short), true).expect("a quote");
    assert_eq!((quote.tunnel, quote.inner), (Some(TunnelKind::Vxlan), None));
}
