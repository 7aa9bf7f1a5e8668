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
fn the_length_of_http_is_that_of_head_and_body() {
    let asked = |bytes: &[u8]| request(bytes).unwrap().1.promised;
    assert_eq!(asked(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), Some(27));
    assert_eq!(asked(b"POST / HTTP/1.1\r\nCONTENT-LENGTH:  10 \r\n\r\nabc"), Some(51));
    assert_eq!(asked(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"), None);
    assert_eq!(asked(b"POST / HTTP/1.1\r\nContent-Length: 1"), None, "the head goes on");
    assert_eq!(asked(b"GET / HTTP/1.1\r\nHost: a\r\n\r"), None, "the capture or segment ends in it");
    assert_eq!(asked(b"POST / HTTP/1.1\r\nContent-Length: many\r\n\r\n"), None);
    let answered = |bytes: &[u8]| response(bytes).unwrap().1.promised;
    assert_eq!(answered(b"HTTP/1.1 200 OK\r\ncontent-length: 20000\r\n\r\n"), Some(20_042));
    assert_eq!(answered(b"HTTP/1.1 200 OK\r\n\r\n"), None, "until the connection ends");
    assert_eq!(answered(b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n"), None);
    assert_eq!(answered(b"HTTP/1.1 200 OK\r\ncontent-length: 4294967295\r\n\r\n"), None, "more than can be counted");
}

#[test]
fn requests_that_ask_to_wait_are_known() {
    let waits = |bytes: &[u8]| request(bytes).unwrap().1.traits.has(Traits::WAITS);
    assert!(waits(b"GET /api/v1/pods?watch=true HTTP/1.1\r\n"));
    assert!(waits(b"GET /v1/kv/a?index=7&wait=60s HTTP/1.1\r\n"));
    assert!(waits(b"GET /v1/kv/a?ind"), "what was cut off may ask to wait");
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
        if let Some((_, part)) = request(whole.get(..cut).unwrap_or(whole)) {
            prop_assert!(said.text.as_str().starts_with(part.text.as_str()));
        }
    }
}

fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind, 3, 3][..], &(body.len() as u16).to_be_bytes(), body].concat()
}

fn extension(kind: u16, value: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &(value.len() as u16).to_be_bytes(), value].concat()
}

fn handshake(kind: u8, parts: &[&[u8]], extensions: &[Vec<u8>]) -> Vec<u8> {
    let extensions = extensions.concat();
    let body = [&parts.concat()[..], &(extensions.len() as u16).to_be_bytes(), &extensions].concat();
    let len = (body.len() as u32).to_be_bytes();
    record(22, &[&[kind][..], &len[1..], &body].concat())
}

fn client_hello(host: &[u8], protocols: &[&[u8]]) -> Vec<u8> {
    let entry = [&[0][..], &(host.len() as u16).to_be_bytes(), host].concat();
    let names = [&(entry.len() as u16).to_be_bytes()[..], &entry].concat();
    let list: Vec<u8> = protocols.iter().flat_map(|name| [&[name.len() as u8][..], name].concat()).collect();
    let alpn = [&(list.len() as u16).to_be_bytes()[..], &list].concat();
    let parts: [&[u8]; 4] = [&[3, 3], &[7; 32], &[0], &[0, 2, 0x13, 1, 1, 0]];
    handshake(1, &parts, &[extension(0, &names), extension(16, &alpn)])
}

#[test]
fn hellos_name_the_server_and_what_follows() {
    let (protocol, said) = request(&client_hello(b"shop.example", &[b"h2", b"http/1.1"])).unwrap();
    assert_eq!((protocol, said.text.as_str()), (Protocol::Tls, "shop.example"));
    assert!(said.traits.has(Traits::HELLO.and(Traits::INTERLEAVES)));
    assert!(!request(&client_hello(b"shop.example", &[b"http/1.1"])).unwrap().1.traits.has(Traits::INTERLEAVES));

    let parts: [&[u8]; 4] = [&[3, 3], &[9; 32], &[0], &[0x13, 1, 0]];
    let said = response(&handshake(2, &parts, &[extension(43, &[3, 4])])).unwrap().1;
    assert_eq!(said.text.as_str(), "TLS 1.3");
    assert!(!said.traits.has(Traits::SETTLED));
    let said = response(&handshake(2, &parts, &[extension(16, b"\0\x03\x02h2")])).unwrap().1;
    assert_eq!(said.text.as_str(), "TLS 1.2 h2");
    assert!(said.traits.has(Traits::SETTLED.and(Traits::INTERLEAVES)));
}

#[test]
fn alerts_are_failures_or_goodbyes() {
    let said = response(&record(21, &[2, 40])).unwrap().1;
    assert_eq!((said.text.as_str(), said.status), ("alert handshake_failure", Some(40)));
    assert!(said.traits.has(Traits::ERROR));
    let goodbye = |bytes: &[u8]| read(Protocol::Tls, Part::Client, bytes).unwrap().1.traits == Traits::GOODBYE;
    assert!(goodbye(&record(21, &[1, 0])), "close_notify");
    assert!(goodbye(&record(21, &[0; 26])), "encrypted, TLS 1.2");
    assert!(goodbye(&record(23, &[0; 19])), "encrypted, TLS 1.3");
    assert!(goodbye(&[record(20, &[1]), record(23, &[0; 19])].concat()), "behind a gesture to middleboxes");
    assert!(!goodbye(&record(23, &[0; 53])), "Finished");
}

#[test]
fn queries_are_named_by_their_first_word() {
    let query = b"select * from users where name = 'x'\0";
    let message = [&b"Q"[..], &(query.len() as u32 + 4).to_be_bytes(), query].concat();
    let (protocol, said) = request(&message).unwrap();
    assert_eq!((protocol, said.text.as_str()), (Protocol::Postgres, "SELECT"));
    let error = b"SERROR\0VERROR\0C57014\0Mcanceling statement\0\0";
    let message = [&b"E"[..], &(error.len() as u32 + 4).to_be_bytes(), error].concat();
    let said = read(Protocol::Postgres, Part::Server, &message).unwrap().1;
    assert_eq!(said.text.as_str(), "57014");

    let (protocol, said) = response(b"\x0e\0\0\0\x0a8.0.36\0abcdefg").unwrap();
    assert_eq!((protocol, said.text.as_str()), (Protocol::Mysql, "greeting 8.0.36"));
    assert_eq!(request(b"\x09\0\0\0\x03SELECT 1").unwrap().1.text.as_str(), "SELECT");
    let said = read(Protocol::Mysql, Part::Server, b"\x10\0\0\x01\xff\x28\x04#42000You have").unwrap().1;
    assert_eq!(said.status, Some(1064));
}

#[test]
fn commands_that_wait_are_known() {
    let said = request(b"*3\r\n$5\r\nblpop\r\n$1\r\nq\r\n$1\r\n0\r\n").unwrap();
    assert_eq!((said.0, said.1.text.as_str(), said.1.traits), (Protocol::Redis, "BLPOP", Traits::WAITS));
    assert_eq!(request(b"*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\nc\r\n").unwrap().1.traits, Traits::STREAM);
    let fetch = b"\0\0\0\x20\0\x01\0\x0b\0\0\0\x07\0\x03abc\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let said = request(fetch).unwrap();
    assert_eq!((said.0, said.1.text.as_str(), said.1.traits), (Protocol::Kafka, "Fetch", Traits::WAITS));
    assert!(request(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap().1.traits.has(Traits::STREAM));
}

proptest! {
    #[test]
    fn a_cut_hello_says_a_prefix_or_nothing(cut in 0usize..120) {
        let whole = client_hello(b"shop.example", &[b"http/1.1"]);
        if let Some((protocol, part)) = request(whole.get(..cut).unwrap_or(&whole)) {
            prop_assert_eq!(protocol, Protocol::Tls);
            prop_assert!("shop.example".starts_with(part.text.as_str()));
        }
    }

    #[test]
    fn changed_bytes_never_panic(at in 0usize..120, byte: u8) {
        let mut bytes = client_hello(b"shop.example", &[b"h2"]);
        if let Some(changed) = bytes.get_mut(at) {
            *changed = byte;
        }
        let _ = (request(&bytes), response(&bytes));
    }
}
