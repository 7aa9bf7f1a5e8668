#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "a test that indexes badly fails")]

use super::*;
use proptest::prelude::*;

/// An answer with an alias, an address behind it, a start of authority and an extension record; names are compressed.
fn answer() -> Vec<u8> {
    let mut bytes = vec![0x12, 0x34, 0x85, 0x80, 0, 1, 0, 2, 0, 1, 0, 1];
    bytes.extend(b"\x03WWW\x07example\x03com\0");
    bytes.extend([0, 1, 0, 1]);
    bytes.extend([0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, 6]);
    bytes.extend(b"\x03cdn\xc0\x10");
    bytes.extend([0xc0, 45, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4, 203, 0, 113, 7]);
    bytes.extend([0xc0, 16, 0, 6, 0, 1, 0, 0, 0, 9, 0, 25]);
    bytes.extend(b"\x02ns\xc0\x10\0");
    bytes.extend([0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 5]);
    bytes.extend([0, 0, 0]);
    bytes.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
    bytes
}

#[test]
fn a_whole_answer_is_read() {
    let bytes = answer();
    let message = message(&bytes, bytes.len()).expect("a message");
    let asked = message.asked().expect("a question");
    assert_eq!((message.id, message.rcode(), message.is_response(), asked.qtype), (0x1234, 0, true, A));
    assert_eq!(name_text(asked.name), "www.example.com");
    let mut records = message.records();
    let all: Vec<(Section, u16, u32)> =
        records.by_ref().map(|record| (record.section, record.rtype, record.ttl)).collect();
    let expected = [
        (Section::Answer, CNAME, 60),
        (Section::Answer, A, 30),
        (Section::Authority, SOA, 9),
        (Section::Additional, OPT, 0),
    ];
    assert_eq!(all, expected);
    assert!(records.is_complete());
}

#[test]
fn names_and_values_of_records_are_read() {
    let bytes = answer();
    let message = message(&bytes, bytes.len()).expect("a message");
    let records: Vec<Record<'_>> = message.records().collect();
    assert_eq!(name_at(&bytes, records[0].data_at).as_deref(), Some("cdn.example.com"));
    assert_eq!(name_at(&bytes, records[1].name_at).as_deref(), Some("cdn.example.com"));
    assert_eq!(address(&records[1]), Some(Addr::v4([203, 0, 113, 7])));
    assert_eq!(name_at(&bytes, records[2].name_at).as_deref(), Some("example.com"));
    assert_eq!(records[3].class, 1232);
}

#[test]
fn a_cut_answer_gives_what_it_has() {
    let bytes = answer();
    let whole = message(&bytes, bytes.len()).expect("a message");
    let all = whole.records().count();
    for len in 0..bytes.len() {
        let Some(cut) = message(&bytes[..len], bytes.len()) else {
            assert!(len < 4, "nothing of {len} bytes");
            continue;
        };
        assert!(cut.is_cut && cut.id == whole.id && cut.flags == whole.flags);
        let records = cut.records();
        assert!(cut.asked().is_none_or(|asked| Some(asked) == whole.asked()));
        assert!(records.clone().count() < all && !records.is_complete());
        assert_eq!(cut.asked().is_some(), len >= 12 + 17 + 4, "{len} bytes");
    }
}

#[test]
fn pointers_that_do_not_lead_backwards_are_no_name() {
    assert_eq!(name_at(&[0xc0, 0], 0), None);
    assert_eq!(name_at(&[0xc0, 2, 0xc0, 0], 2), None);
    assert_eq!(name_at(&[1, b'a', 0xc0, 0], 2), None, "a loop");
    assert_eq!(name_at(&[1, b'a', 0, 0xc0, 0], 3).as_deref(), Some("a"));
}

#[test]
fn odd_bytes_of_names_are_escaped() {
    assert_eq!(name_text(b"\x05a.\\\0B\x01_\0"), "a\\046\\092\\000b._");
    assert_eq!(name_text(b"\0"), ".");
    assert_eq!(name_text(b"\x05ab"), "ab", "cut inside a label");
}

#[test]
fn names_hash_alike_whatever_their_case() {
    assert_eq!(name_hash(b"\x03WwW\x07Example\0"), name_hash(b"\x03www\x07eXAMPLE\0"));
    assert_ne!(name_hash(b"\x03www\x07example\0"), name_hash(b"\x03wwx\x07example\0"));
    assert_ne!(name_hash(b"\x01a\0"), name_hash(b"\x01a\x01a\0"));
}

#[test]
fn only_what_is_dns_in_all_has_its_shape() {
    let bytes = answer();
    let shape = |bytes: &[u8]| message(bytes, bytes.len()).is_some_and(|message| message.has_shape());
    assert!(shape(&bytes));
    assert!(!shape(&bytes[..bytes.len() - 1]), "the last record is short");
    let mut longer = bytes.clone();
    longer.push(0);
    assert!(!shape(&longer), "something follows");
    let mut update = bytes.clone();
    update[2] |= 0x28;
    assert!(!shape(&update), "another kind of query");
}

/// Bytes of a label: mostly such as names have.
fn label() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![12 => prop::sample::select(b"abzAZ019-_".to_vec()), 1 => any::<u8>()];
    prop::collection::vec(byte, 1..30)
}

/// A name on the wire.
fn name() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(label(), 0..7).prop_map(|labels| {
        let labels = labels.iter().flat_map(|label| [&[label.len() as u8], &label[..]].concat());
        labels.chain([0]).collect()
    })
}

proptest! {
    #[test]
    fn names_in_place_are_names_as_text(name in name(), cut in 0usize..200) {
        let cut = &name[..name.len().min(cut)];
        prop_assert_eq!(&*Name::of_question(&name), name_text(&name));
        prop_assert_eq!(&*Name::of_question(cut), name_text(cut));
    }

    #[test]
    fn a_name_is_itself_and_no_other(name in name(), other in name(), at in 0usize..200, byte in any::<u8>()) {
        let text = name_at(&name, 0).unwrap_or_default();
        let plain = !text.contains('\\') && text != ".";
        prop_assert_eq!(is_name(&name, 0, text.as_bytes()), plain && !text.is_empty());
        let mut changed = other;
        let at = at % changed.len();
        changed[at] = byte;
        for (bytes, text) in [(&changed, &text), (&name, &name_at(&changed, 0).unwrap_or_default())] {
            prop_assert!(!is_name(bytes, 0, text.as_bytes()) || name_at(bytes, 0).as_ref() == Some(text));
        }
    }

    #[test]
    fn no_bytes_are_too_odd(bytes in prop::collection::vec(any::<u8>(), 0..300), more in 0usize..50) {
        if let Some(message) = message(&bytes, bytes.len() + more) {
            let records = message.records();
            for record in records {
                let name = name_at(&bytes, record.name_at);
                prop_assert!(name.is_none_or(|name| name.len() <= 4 * MAX_NAME));
            }
            message.has_shape();
        }
    }

    #[test]
    fn changed_answers_end(at in 0usize..120, byte in any::<u8>()) {
        let mut bytes = answer();
        let at = at % bytes.len();
        bytes[at] = byte;
        let count = message(&bytes, bytes.len()).map_or(0, |message| message.records().count());
        prop_assert!(count <= MAX_RECORDS);
    }
}
