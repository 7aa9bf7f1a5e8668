//! Requests and responses told apart by direction.

use crate::track::tests::dsl::run;
use crate::track::{Fate, Resent, TlsFailure, Turn};

fn millis(ns: Option<i64>) -> Option<i64> {
    ns.map(|ns| (ns + 500_000) / 1_000_000)
}

#[test]
fn a_turn_has_four_times() {
    let turns = run("0.000 > S
         0.010 < SA
         0.010 > A
         0.020 > PA len=100
         0.060 < A
         0.520 < PA len=500
         0.521 < PA len=500
         0.522 > A")
    .turns;
    let [turn] = turns.as_slice() else { panic!("{turns:?}") };
    assert_eq!((turn.request_bytes, turn.response_bytes), (100, 1000));
    // The acknowledgement was delayed by 30 ms: the network gets its round trip, the server the rest.
    assert_eq!(turn.network_ns(), Some(10_000_000));
    assert_eq!(millis(turn.server_ns()), Some(490));
    assert_eq!(millis(turn.transfer_ns()), Some(1));
    assert_eq!(turn.fate, Fate::GoesOn);
}

#[test]
fn repetitions_are_no_turns() {
    let turns = run("0.000 > S
         0.010 < SA
         0.010 > A
         0.020 > PA len=100
         0.030 < PA len=50
         0.240 > PA len=100 seq=1
         0.250 < A
         0.300 > PA len=100
         0.310 < PA len=50")
    .turns;
    assert_eq!(turns.len(), 2, "{turns:?}");
    assert_eq!([turns[0].resent, turns[1].resent], [Resent::InResponse, Resent::No]);
    assert_eq!(millis(turns[1].idle_ns), Some(270));
}

#[test]
fn a_connection_without_its_beginning_is_asked_by_the_ephemeral_port() {
    let turns = run("0.020 < PA len=100
         0.030 > PA len=50
         0.031 < A
         0.040 < PA len=70
         0.050 < A")
    .turns;
    assert_eq!(turns.len(), 1, "{turns:?}");
    assert_eq!((turns[0].client.port, turns[0].request_bytes, turns[0].response_bytes), (40000, 50, 70));
}

#[test]
fn an_answer_is_one_wherever_its_numbers_are() {
    for server in [1_u32, 1_000_000_000, 2_000_000_000, 3_000_000_000, 4_000_000_000] {
        let turns = run(&format!(
            "0.020 > PA len=50 ack={server}
             0.031 < A seq={server}
             0.040 < PA len=70 seq={server}
             0.050 > A"
        ))
        .turns;
        let [turn] = turns.as_slice() else { panic!("{turns:?}") };
        assert_eq!((turn.request_bytes, turn.response_bytes), (50, 70), "{server}");
    }
}

fn fate(end: &str) -> Fate {
    let turn = "0.000 > S
         0.010 < SA
         0.010 > A
         0.020 > PA len=100
         0.030 < PA len=50
         0.040 > A
         ";
    run(&format!("{turn}{end}")).turns.last().map(|turn| turn.fate).expect("a turn")
}

#[test]
fn a_request_that_meets_the_fin() {
    // Seen by the client: the FIN that comes back does not know the request.
    assert_eq!(fate("2.000 > PA len=100\n2.004 < FA ack=101\n2.005 > FA\n2.010 < R"), Fate::Crossed);
    // Seen by the server: the FIN is first.
    assert_eq!(fate("2.000 < FA\n2.001 > PA len=100 ack=51\n2.001 < R"), Fate::Crossed);
    assert_eq!(fate("2.000 < FA\n2.001 > A\n3.000 > PA len=100\n3.001 < R"), Fate::Stale);
    // Last words of a client that knows are no request.
    assert_eq!(fate("2.000 < FA\n2.001 > PA len=31\n2.001 > FA\n2.002 < R"), Fate::Finished);
}

#[test]
fn who_leaves_while_a_request_waits() {
    assert_eq!(fate("2.000 > PA len=100\n2.010 < A\n2.500 < FA"), Fate::Dropped);
    assert_eq!(fate("2.000 > PA len=100\n2.010 < A\n2.500 < R"), Fate::Dropped);
    assert_eq!(fate("2.000 > PA len=100\n2.010 < R"), Fate::Forgotten);
    assert_eq!(fate("2.000 > PA len=100\n2.010 < A\n7.000 > FA\n7.010 < A"), Fate::GaveUp);
    assert_eq!(fate("2.000 > PA len=100\n2.010 < A\n7.000 > FA\n8.000 < PA len=9\n8.000 > R"), Fate::GaveUp);
    assert_eq!(fate("2.000 > PA len=100\n2.001 > FA\n2.010 < A\n8.000 < PA len=9\n8.000 > A"), Fate::Finished);
    assert_eq!(fate("2.000 > PA len=100\n2.010 < A\n7.000 > FA"), Fate::GoesOn, "the server's word is not known yet");
    // The server answered, but the answer was lost on the way here.
    assert_eq!(fate("2.000 > PA len=100\n2.010 < A\n7.000 > FA\n7.010 < A seq=4000"), Fate::Unseen);
}

fn hex(text: &str) -> String {
    text.bytes().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

/// The fate of a request for 100 bytes of which 60 come, both heads told; what ends it is told too.
fn fate_of_half(asked: &str, head: &str, end: &str) -> Fate {
    let (asked, half) = (hex(&format!("{asked}\r\n\r\n")), hex(&format!("{head}\r\n\r\n{}", "x".repeat(60))));
    let turn = format!("0.000 > S\n0.010 < SA\n0.010 > A\n0.020 > PA hex={asked}\n0.030 < PA hex={half}\n{end}");
    run(&turn).turns.last().map(|turn| turn.fate).expect("a turn")
}

#[test]
fn an_answer_that_ends_before_its_length() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-length: 100";
    let get = |head, end| fate_of_half("GET / HTTP/1.1", head, end);
    assert_eq!(get(HEAD, "0.040 < FA"), Fate::BrokenOff);
    assert_eq!(get(HEAD, "0.040 < RA"), Fate::BrokenOff);
    assert_eq!(get(HEAD, "0.040 < PA len=40\n0.050 < FA"), Fate::Finished, "all of it came");
    assert_eq!(get(HEAD, "0.040 < FA seq=141"), Fate::Finished, "the capture lacks the rest");
    assert_eq!(get(HEAD, "0.040 > FA\n0.050 < FA"), Fate::Finished, "the client left first");
    assert_eq!(get(HEAD, "0.040 > A win=0\n60.0 < RA"), Fate::Finished, "the client read no more");
    assert_eq!(get(HEAD, ""), Fate::GoesOn, "the rest may follow");
    assert_eq!(get("HTTP/1.1 304 Not Modified\r\ncontent-length: 100", "0.040 < FA"), Fate::Finished, "no body");
    assert_eq!(fate_of_half("HEAD / HTTP/1.1", HEAD, "0.040 < FA"), Fate::Finished, "the length of what is not sent");
}

#[test]
fn an_answer_that_ends_before_its_last_chunk() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked";
    let get = |end: &str| fate_of_half("GET / HTTP/1.1", HEAD, end);
    let (more, last) = (hex("\r\n3\r\nabc\r\n"), hex("\r\n0\r\n\r\n"));
    assert_eq!(get("0.040 < FA"), Fate::BrokenOff);
    assert_eq!(get(&format!("0.035 < PA hex={more}\n0.040 < RA")), Fate::BrokenOff);
    assert_eq!(get(&format!("0.035 < PA hex={last}\n0.040 < FA")), Fate::Finished);
    assert_eq!(get(&format!("0.035 < PA hex={more}\n0.036 < PA hex={}\n0.040 < FA", &last[4..])), Fate::Finished);
    let in_two = format!("0.035 < PA hex={}\n0.036 < PA hex={}\n0.040 < FA", &last[..8], &last[8..]);
    assert_eq!(get(&in_two), Fate::Finished);
    assert_eq!(get("0.035 < PA len=40\n0.040 < FA seq=300"), Fate::Finished, "the capture lacks the rest");
    assert_eq!(get("0.040 > FA\n0.050 < FA"), Fate::Finished, "the client left first");
    let events = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked";
    assert_eq!(fate_of_half("GET / HTTP/1.1", events, "0.040 < FA"), Fate::Finished, "it has no end");
    assert_eq!(fate_of_half("HEAD / HTTP/1.1", HEAD, "0.040 < FA"), Fate::Finished, "no body");
    let next = format!("0.035 < PA hex={last}\n0.5 > PA len=100\n0.6 < A\n0.7 < FA");
    assert_eq!(get(&next), Fate::Dropped, "that of the next request is another");
}

/// A record of TLS 1.3 that is encrypted.
fn secret(len: usize) -> String {
    format!("170303{len:04x}{}", "00".repeat(len))
}

/// Hellos, what a client says then, and what its server does.
fn failure(client: &str, end: &str) -> Option<TlsFailure> {
    let hello = |kind: u8, rest: &str| {
        let body = format!("0303{}00{rest}", "11".repeat(32));
        let len = body.len() / 2;
        format!("160303{:04x}{kind:02x}{len:06x}{body}", len + 4)
    };
    let (asked, answered) = (hello(1, "00021301010000"), hello(2, "1301000006002b00020304"));
    let hellos = format!("0.000 > S\n0.010 < SA\n0.010 > A\n0.020 > PA hex={asked}\n0.030 < PA hex={answered}\n");
    let turns = run(&format!("{hellos}0.040 > PA hex=140303000101{client}\n{end}")).turns;
    turns.iter().find_map(Turn::tls_failure)
}

#[test]
fn a_server_that_rejects_a_client_without_a_certificate() {
    let (none, alert) = (secret(25) + &secret(53), secret(19));
    let rejected = Some(TlsFailure::SecretServerAlert);
    assert_eq!(failure(&none, &format!("0.050 < PA hex={alert}\n0.051 < FA\n0.060 > FA")), rejected);
    assert_eq!(failure(&none, &format!("0.050 < PA hex={alert}\n0.051 > PA len=90\n0.052 < R")), rejected);
    let certificate = secret(900) + &secret(281) + &secret(69);
    assert_eq!(failure(&certificate, &format!("0.050 < PA hex={alert}\n0.051 < RA")), rejected);
    assert_eq!(failure(&secret(53), &format!("0.050 < PA hex={alert}\n0.051 < FA")), None, "it was not asked for one");
    assert_eq!(failure(&none, &format!("0.045 > FA\n0.050 < PA hex={alert}\n0.051 < FA")), None, "the client left");
    let answered = format!("0.050 < PA hex={}\n0.060 < PA hex={alert}\n0.061 < FA", secret(250));
    assert_eq!(failure(&none, &answered), None, "a ticket first, and close_notify at the end");
    assert_eq!(failure(&none, &format!("0.050 < PA hex={alert}{}", secret(250))), None, "not alone");
}
