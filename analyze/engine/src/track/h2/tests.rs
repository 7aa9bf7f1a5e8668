//! Streams of HTTP/2, from bytes as a connection has them.

use crate::track::tests::dsl::run;
use crate::track::{Fate, Resent, Turn};
use crate::wire::app::Protocol;
use proptest::prelude::*;
use std::fmt::Write as _;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const START: &str = "0.000 > S mss=1460\n0.010 < SA mss=1460\n0.010 > A\n";

fn frame(kind: u8, flags: u8, stream: u32, body: &[u8]) -> Vec<u8> {
    let len = (body.len() as u32).to_be_bytes();
    [&len[1..], &[kind, flags], &stream.to_be_bytes(), body].concat()
}

fn get(stream: u32, path: &str) -> Vec<u8> {
    let block = [&[0x82, 0x04, path.len() as u8], path.as_bytes()].concat();
    frame(1, 5, stream, &block)
}

/// A call of gRPC, its fields put into the dynamic table.
fn call(stream: u32, path: &str, timeout: &str) -> Vec<u8> {
    let grpc = b"\x5f\x10application/grpc";
    let (path, timeout) = (path.as_bytes(), timeout.as_bytes());
    let block = [&[0x83, 0x44, path.len() as u8], path, grpc, b"\x40\x0cgrpc-timeout", &[timeout.len() as u8], timeout];
    frame(1, 5, stream, &block.concat())
}

fn trailers(stream: u32, status: &str) -> Vec<u8> {
    let block = [b"\x00\x0bgrpc-status", &[status.len() as u8][..], status.as_bytes()].concat();
    frame(1, 5, stream, &block)
}

const OK: &[u8] = &[0x88];
const NOT_FOUND: &[u8] = &[0x8d];

fn line(at: &str, way: &str, bytes: &[u8]) -> String {
    let hex = bytes.iter().fold(String::new(), |mut all, byte| {
        let _ = write!(all, "{byte:02x}");
        all
    });
    format!("{at} {way} PA hex={hex}\n")
}

fn turns(lines: &[String]) -> Vec<Turn> {
    run(&format!("{START}{}", lines.concat())).turns
}

fn said(turns: &[Turn]) -> Vec<(String, Option<u16>, Fate)> {
    let mut said: Vec<_> =
        turns.iter().map(|turn| (turn.asked.text.to_string(), turn.answered.status, turn.fate)).collect();
    said.sort_by(|a, b| a.0.cmp(&b.0));
    said
}

fn is(text: &str, status: Option<u16>, fate: Fate) -> (String, Option<u16>, Fate) {
    (text.to_owned(), status, fate)
}

#[test]
fn streams_are_answered_in_any_order() {
    let asked = [PREFACE, &frame(4, 0, 0, &[]), &get(1, "/a?token=x"), &get(3, "/b")].concat();
    let first = [frame(4, 0, 0, &[]), frame(1, 5, 3, NOT_FOUND)].concat();
    let second = [frame(1, 4, 1, OK), frame(0, 1, 1, &[7; 100])].concat();
    let lines = [line("0.020", ">", &asked), line("0.050", "<", &first), line("0.520", "<", &second)];
    let turns = turns(&lines);
    assert_eq!(said(&turns), [is("GET /a", Some(200), Fate::Finished), is("GET /b", Some(404), Fate::Finished)]);
    assert_eq!(turns[1].server_ns(), Some(490_000_000), "the answer to /a took half a second, {:?}", turns[1]);
    assert_eq!((turns[1].number, turns[1].response_bytes), (1, 101));
    assert_ne!(turns[0].identity, turns[1].identity);
}

#[test]
fn calls_have_the_status_of_grpc_and_deadlines() {
    let asked = [PREFACE, &call(1, "/a.B/C", "1S"), &call(3, "/a.B/D", "1S"), &call(5, "/a.B/E", "9S")].concat();
    let answer = [frame(1, 4, 1, OK), frame(0, 0, 1, &[0; 5]), trailers(1, "14")].concat();
    let cancel = |stream| frame(3, 0, stream, &[0, 0, 0, 8]);
    let lines = [
        line("0.020", ">", &asked),
        line("0.050", "<", &answer),
        line("1.020", ">", &[cancel(3), cancel(5)].concat()),
        "1.030 < A\n".to_owned(),
    ];
    let turns = turns(&lines);
    let expected =
        [is("/a.B/C", Some(14), Fate::Finished), is("/a.B/D", None, Fate::GaveUp), is("/a.B/E", None, Fate::GaveUp)];
    assert_eq!(said(&turns), expected);
    let waits = |turn: &Turn| turn.asked.traits.has(crate::wire::app::Traits::WAITS);
    assert_eq!([waits(&turns[1]), waits(&turns[2])], [false, true], "only one reached its deadline");
}

#[test]
fn what_the_server_did_not_begin_is_refused() {
    let asked = [PREFACE, &get(1, "/a"), &get(3, "/b"), &get(5, "/c")].concat();
    let refuse = [frame(3, 0, 3, &[0, 0, 0, 7]), frame(7, 0, 0, &[0, 0, 0, 3, 0, 0, 0, 0])].concat();
    let lines = [line("0.020", ">", &asked), line("0.050", "<", &refuse), "0.060 < FA\n0.070 > A\n".to_owned()];
    let turns = turns(&lines);
    let expected =
        [is("GET /a", None, Fate::Dropped), is("GET /b", Some(7), Fate::Refused), is("GET /c", Some(0), Fate::Refused)];
    assert_eq!(said(&turns), expected);
}

#[test]
fn a_request_that_meets_the_fin_is_a_race() {
    let served = [line("0.020", ">", &[PREFACE, &get(1, "/a")].concat()), line("0.050", "<", &frame(1, 5, 1, OK))];
    let crossed = [line("5.000", ">", &get(3, "/b")), "5.004 < FA ack=39\n5.005 > FA\n5.010 < R\n".to_owned()];
    let turns = turns(&[served.concat(), crossed.concat()]);
    assert_eq!(said(&turns)[1], is("GET /b", None, Fate::Crossed));
}

#[test]
fn a_hole_in_data_is_passed_over_and_one_in_fields_is_not_guessed() {
    let ask = line("0.020", ">", &[PREFACE, &get(1, "/a"), &get(3, "/b"), &get(5, "/c")].concat());
    let data = frame(0, 1, 1, &[7; 3000]);
    let head = [&frame(1, 4, 1, OK), &data[..1000]].concat();
    // 1000 bytes are missing, then a frame that puts status 418 into the dynamic table, which the last one refers to.
    let rest = [&data[2000..], &frame(1, 5, 3, b"\x48\x03418")].concat();
    let next = frame(1, 5, 5, &[0xbe]);
    let seq = 1 + head.len() + 1000;
    let late = line("0.060", "<", &rest).replace('\n', &format!(" seq={seq}\n"));
    let all = turns(&[ask.clone(), line("0.050", "<", &head), late.clone(), line("0.070", "<", &next)]);
    let teapot = |path: &str| is(path, Some(418), Fate::Finished);
    assert_eq!(said(&all), [is("GET /a", Some(200), Fate::Finished), teapot("GET /b"), teapot("GET /c")]);
    // The same frame lost: what the last one refers to is unknown, and nothing is made up.
    let seq = seq + rest.len();
    let last = line("0.070", "<", &next).replace('\n', &format!(" seq={seq}\n"));
    let crowd: String = (0..9).map(|n| line("0.080", "<", &frame(6, 0, 0, &[n; 8]))).collect();
    let some = turns(&[ask, line("0.050", "<", &head), last, crowd]);
    assert!(said(&some).iter().all(|(path, status, _)| path == "GET /a" || status.is_none()), "{some:?}");
}

#[test]
fn the_answer_to_a_repeated_request_is_the_networks() {
    let asked = line("0.020", ">", &[PREFACE, &get(1, "/a")].concat());
    let again = asked.replace("0.020", "0.240").replace('\n', " seq=1\n");
    let turns = turns(&[asked, again, line("0.260", "<", &frame(1, 5, 1, OK))]);
    assert_eq!((turns[0].resent, turns[0].answered.status), (Resent::Before, Some(200)));
}

const UPGRADE: &[u8] = b"GET /first HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n";
const SWITCH: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nupgrade:  H2C\r\n\r\n";

#[test]
fn an_upgrade_makes_the_request_the_first_stream() {
    let switch = [SWITCH, &frame(4, 0, 0, &[])].concat();
    let answers = [frame(1, 5, 3, NOT_FOUND), frame(1, 4, 1, OK), frame(0, 1, 1, &[7; 100])].concat();
    let lines = [
        line("0.020", ">", UPGRADE),
        line("0.030", "<", &switch),
        line("0.031", ">", &[PREFACE, &frame(4, 0, 0, &[]), &get(3, "/b")].concat()),
        line("0.520", "<", &answers),
    ];
    let turns = turns(&lines);
    assert_eq!(said(&turns), [is("GET /b", Some(404), Fate::Finished), is("GET /first", Some(200), Fate::Finished)]);
    let first = turns.iter().find(|turn| turn.number == 1).expect("the first");
    assert_eq!((first.protocol, first.request_bytes), (Protocol::Http2, UPGRADE.len() as u32));
    let waited_ns = first.answered_ns.map(|ns| ns - first.asked_ns);
    assert_eq!(waited_ns, Some(500_000_000), "101 was not the answer");
}

#[test]
fn what_changes_to_something_else_has_no_streams() {
    let other = SWITCH.strip_suffix(b"H2C\r\n\r\n").expect("its end");
    for protocol in [&b"websocket\r\n\r\n"[..], b"h2c-like\r\n\r\n", b"h2c"] {
        let switch = [other, protocol].concat();
        let lines = [
            line("0.020", ">", UPGRADE),
            line("0.030", "<", &switch),
            line("0.040", ">", PREFACE),
            line("0.050", "<", OK),
        ];
        assert_eq!(said(&turns(&lines)), [is("GET /first", Some(101), Fate::GoesOn)]);
    }
}

#[test]
fn a_server_that_declines_goes_on_as_before() {
    let ok = b"HTTP/1.1 200 OK\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n";
    let lines =
        [line("0.020", ">", UPGRADE), line("0.030", "<", ok), line("0.040", ">", UPGRADE), line("0.050", "<", ok)];
    let turns = turns(&lines);
    assert_eq!(
        turns.iter().map(|turn| (turn.protocol, turn.answered.status)).collect::<Vec<_>>(),
        [(Protocol::Http1, Some(200)); 2]
    );
}

fn split(way: &str, at: f64, bytes: &[u8], cuts: &[usize]) -> String {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % bytes.len()).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.dedup();
    let part =
        |(n, pair): (usize, &[usize])| line(&format!("{:.4}", at + n as f64 / 1000.0), way, &bytes[pair[0]..pair[1]]);
    cuts.windows(2).enumerate().map(part).collect()
}

proptest! {
    #[test]
    fn segments_do_not_matter(there in proptest::collection::vec(0usize..500, 0..6), back in proptest::collection::vec(0usize..500, 0..6)) {
        let asked = [PREFACE, &frame(4, 0, 0, &[]), &call(1, "/a.B/C", "1S"), &call(3, "/a.B/D", "1S")].concat();
        let padded = frame(1, 0x0c, 3, &[&[4][..], OK, &[0; 4]].concat());
        let answer =
            [frame(4, 0, 0, &[]), padded, frame(0, 0, 3, &[1; 90]), trailers(3, "0"), frame(1, 4, 1, OK), trailers(1, "5")];
        // The first segment has to tell what is spoken.
        let first = line("0.020", ">", &asked[..24]);
        let lines = [first, split(">", 0.03, &asked[24..], &there), split("<", 0.06, &answer.concat(), &back)];
        let expected = [is("/a.B/C", Some(5), Fate::Finished), is("/a.B/D", Some(0), Fate::Finished)];
        prop_assert_eq!(said(&turns(&lines)), expected);
    }

    #[test]
    fn nothing_panics(there in proptest::collection::vec(any::<u8>(), 1..300), back in proptest::collection::vec(any::<u8>(), 1..300)) {
        let begin = line("0.020", ">", &[PREFACE, &get(1, "/a")].concat());
        let settings = line("0.025", "<", &frame(4, 0, 0, &[]));
        turns(&[begin, settings, line("0.030", ">", &there), line("0.040", "<", &back)]);
    }
}
