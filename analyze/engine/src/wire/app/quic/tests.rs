use super::*;
use proptest::prelude::*;

fn long(first: u8, version: u32, destination: &[u8]) -> Vec<u8> {
    [&[first], &version.to_be_bytes()[..], &[destination.len() as u8], destination, &[0]].concat()
}

#[test]
fn headers_tell_version_and_kind() {
    let kind = |first, version| header(&long(first, version, &[7; 8])).map(|header| header.kind);
    assert_eq!(kind(0xc3, 1), Some(Kind::Initial));
    assert_eq!(kind(0xd3, 0x6b33_43cf), Some(Kind::Initial), "version 2 counts otherwise");
    assert_eq!(kind(0xc3, 0x6b33_43cf), Some(Kind::Retry));
    assert_eq!(kind(0xe0, 0xff00_001d), Some(Kind::Handshake));
    assert_eq!(kind(0x80, 0), Some(Kind::VersionNegotiation));
    assert_eq!(kind(0xc0, 0x1a2a_3a4a), Some(Kind::Initial), "a version that is there to be refused");
    assert_eq!(kind(0xc0, 0x1234_5678), None);
    assert_eq!(kind(0x43, 1), None, "a short header");
    assert_eq!(header(&long(0xc3, 1, &[7; 21])), None, "an identifier that is too long");
}

#[test]
fn only_a_padded_initial_opens() {
    let datagram = long(0xc3, 1, &[7; 8]);
    assert!(opening(&datagram, 1200).is_some());
    assert!(opening(&datagram, 1199).is_none());
    assert!(opening(&long(0xe3, 1, &[7; 8]), 1200).is_none());
}

#[test]
fn versions_have_names() {
    let names = [1, 0x6b33_43cf, 0xff00_001d, u32::from_be_bytes(*b"Q046"), 0x0a0a_0a0a].map(version_name);
    assert_eq!(names, ["QUIC v1", "QUIC v2", "QUIC draft-29", "gQUIC Q046", "QUIC version 0x0a0a0a0a"]);
}

/// RFC 9000 A.1.
#[test]
fn numbers_tell_their_length() {
    let value = |bytes: &[u8]| varint(bytes).ok().map(|(_, value)| value);
    assert_eq!(value(&[0x9d, 0x7f, 0x3e, 0x7d]), Some(494_878_333));
    assert_eq!(value(&[0x7b, 0xbd]), Some(15_293));
    assert_eq!(value(&[0x25]), Some(37));
    assert_eq!(value(&[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c]), Some(151_288_809_941_952_652));
    assert_eq!(value(&[0x7b]), None, "cut");
}

proptest! {
    #[test]
    fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..1300), first in 0xc0u8..0xd0) {
        let datagram = [long(first, 1, &[7; 8]), bytes].concat();
        for (_, piece) in hello_pieces(&datagram, &[7; 8]) {
            let _ = server_name(&piece);
        }
    }
}
