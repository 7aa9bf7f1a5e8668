use super::*;
use proptest::prelude::*;

fn request(bytes: &[u8]) -> Option<(Protocol, Said)> {
    read(Protocol::Unknown, Part::Client, bytes)
}

fn response(bytes: &[u8]) -> Option<(Protocol, Said)> {
    read(Protocol::Unknown, Part::Server, bytes)
}

#[test]
fn http_is_labelled_without_its_query() {
    let (protocol, said) = request(b"GET /items?token=secret HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!((protocol, said.text.as_str()), (Protocol::Http1, "GET /items"));
    let (_, said) = response(b"HTTP/1.1 504 Gateway Time-out\r\n").unwrap();
    assert_eq!(said.status, Some(504));
    assert!(said.traits.has(Traits::ERROR));
}

#[test]
fn requests_that_ask_to_wait_are_known() {
    let waits = |bytes: &[u8]| request(bytes).unwrap().1.traits.has(Traits::WAITS);
    assert!(waits(b"GET /api/v1/pods?watch=true HTTP/1.1\r\n"));
    assert!(waits(b"GET /v1/kv/a?index=7&wait=60s HTTP/1.1\r\n"));
    assert!(!waits(b"GET /items HTTP/1.1\r\nX: ?watch=1\r\n"));
}

proptest! {
    #[test]
    fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = (request(&bytes), response(&bytes));
    }

    #[test]
    fn a_cut_says_a_prefix_or_nothing(cut in 0usize..60) {
        let whole = b"POST /orders/17/confirm?a=b HTTP/1.1\r\nHost: shop\r\n\r\n";
        let said = request(whole).unwrap().1;
        if let Some((_, part)) = request(&whole[..cut.min(whole.len())]) {
            prop_assert!(said.text.as_str().starts_with(part.text.as_str()));
        }
    }
}
