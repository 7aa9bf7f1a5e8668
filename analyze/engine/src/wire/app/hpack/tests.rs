use super::*;
use proptest::prelude::*;

fn texts(block: &[u8]) -> Vec<(String, String)> {
    let (mut rest, mut all) = (block, Vec::new());
    while !rest.is_empty() {
        let (tail, field) = field(rest).unwrap();
        rest = tail;
        let text = |coded: Coded<'_>| String::from_utf8(coded.read().unwrap().bytes().to_vec()).unwrap();
        all.push(match field {
            Field::Indexed(index) => fixed(index).map(|(name, value)| (name.to_owned(), value.to_owned())).unwrap(),
            Field::Literal { name: Name::Indexed(index), value, .. } => {
                (fixed(index).unwrap().0.to_owned(), text(value))
            }
            Field::Literal { name: Name::Text(name), value, .. } => (text(name), text(value)),
            Field::Resize(size) => ("size".to_owned(), size.to_string()),
        });
    }
    all
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// RFC 7541 C.2.1, C.4.1 and C.6.1.
#[test]
fn the_examples_of_the_standard_are_read() {
    let custom = b"\x40\x0acustom-key\x0dcustom-header";
    assert_eq!(texts(custom), pairs(&[("custom-key", "custom-header")]));
    let request = b"\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff";
    let expected = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "www.example.com")];
    assert_eq!(texts(request), pairs(&expected));
    let response = b"\x48\x82\x64\x02\x58\x85\xae\xc3\x77\x1a\x4b\x61\x96\xd0\x7a\xbe\x94\x10\x54\xd4\x44\xa8\x20\x05\x95\
        \x04\x0b\x81\x66\xe0\x82\xa6\x2d\x1b\xff\x6e\x91\x9d\x29\xad\x17\x18\x63\xc7\x8f\x0b\x97\xc8\xe9\xae\x82\xae\x43\xd3";
    let expected = [
        (":status", "302"),
        ("cache-control", "private"),
        ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
        ("location", "https://www.example.com"),
    ];
    assert_eq!(texts(response), pairs(&expected));
}

/// RFC 7541 C.1.
#[test]
fn integers_grow_over_bytes() {
    assert_eq!(integer(b"\x0a", 5), Some((&b""[..], 10)));
    assert_eq!(integer(b"\x1f\x9a\x0a", 5), Some((&b""[..], 1337)));
    assert_eq!(integer(b"\x1f\x9a", 5), None, "cut");
    assert_eq!(integer(b"\x1f\xff\xff\xff\xff\x01", 5), None, "larger than anything real");
}

#[test]
fn a_code_that_is_wrong_is_no_text() {
    let coded = |bytes: &'static [u8]| Coded { huffman: true, bytes }.read();
    assert!(coded(b"\xff\xff\xff\xff").is_none(), "the code for the end stands for no byte");
    assert!(coded(b"\x00").is_none(), "padding is made of ones");
    assert_eq!(coded(b"\x07").map(|text| text.bytes().to_vec()), Some(b"0".to_vec()));
}

proptest! {
    #[test]
    fn nothing_panics_and_all_ends(block in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut rest = block.as_slice();
        while let Some((tail, field)) = field(rest) {
            prop_assert!(tail.len() < rest.len());
            rest = tail;
            if let Field::Literal { value, .. } = field {
                let _ = value.read();
            }
        }
    }
}
