//! Which direction lost what (RFC 9293 4.2, 5681 3.2, 2883).

use super::dsl::run;
use crate::track::tcp::side::{Losses, View};
use crate::track::tcp::sum::Sum;

const OPENED: &str = "0.000 > S\n0.001 < SA\n0.002 > A\n";

/// Who sent again, what it means and what proves that, in the order of the connection.
fn judged(table: &str) -> Vec<String> {
    judged_of(&format!("{OPENED}{table}"))
}

fn judged_of(whole: &str) -> Vec<String> {
    let mut resends = run(whole).resends;
    resends.sort_by_key(|resend| resend.ns);
    let line = |resend: crate::track::tcp::TcpEvent| {
        let sender = if resend.from_orig { "orig" } else { "resp" };
        let proof = resend.proof.map_or("-", crate::track::tcp::resend::Proof::name);
        format!("{sender} {} {proof}", resend.verdict.name())
    };
    resends.into_iter().map(line).collect()
}

#[test]
fn an_acknowledgement_that_comes_at_once_answers_the_last_resend() {
    let table = "0.010 > PA len=100\n0.220 > PA len=100 seq=1\n0.640 > PA len=100 seq=1\n0.641 < A ack=101";
    assert_eq!(judged(table), ["orig lost_downstream -"; 2]);
    // A receiver may hold it back for 200 ms.
    let table = "0.010 > PA len=100\n0.220 > PA len=100 seq=1\n0.640 > PA len=100 seq=1\n0.840 < A ack=101";
    assert_eq!(judged(table), ["orig lost_downstream -"; 2]);
}

#[test]
fn an_acknowledgement_that_comes_later_than_any_is_held_back_was_lost_before() {
    let table = "0.010 > PA len=100\n0.220 > PA len=100 seq=1\n0.640 > PA len=100 seq=1\n0.872 < PA len=50 ack=101";
    assert_eq!(judged(table), ["orig spurious ack_lost"; 2]);
}

#[test]
fn what_the_receiver_missed_was_lost_whenever_the_acknowledgement_comes() {
    let table = "0.010 > PA len=100
        0.011 > PA len=100
        0.012 < A ack=1 sack=101-201
        0.013 > PA len=100 seq=1
        0.400 < A ack=201";
    assert_eq!(judged(table), ["orig lost_downstream -"]);
}

#[test]
fn a_copy_that_was_told_of_says_that_acknowledgements_were_lost() {
    let table = "0.010 > PA len=100
        0.220 > PA len=100 seq=1
        0.640 > PA len=100 seq=1
        0.641 < A ack=101 sack=1-101";
    assert_eq!(judged(table), ["orig spurious ack_lost", "orig spurious dsack"]);
}

#[test]
fn one_report_of_what_came_twice_may_be_of_several_resends() {
    let table = "0.010 > PA len=100
        0.011 > PA len=100
        0.220 > PA len=100 seq=1
        0.221 > PA len=100 seq=101
        0.222 < A ack=201
        0.223 < A ack=201 sack=1-201";
    assert_eq!(judged(table), ["orig spurious dsack"; 2]);
}

#[test]
fn an_original_that_comes_behind_its_resend_had_not_been_lost() {
    let table = "0.010 > PA len=100 id=10
        0.012 > PA len=100 seq=201 id=12
        0.013 < A ack=101 sack=201-301
        0.016 > PA len=100 seq=101 id=13
        0.017 > PA len=100 seq=101 id=11
        0.018 < A ack=301";
    assert_eq!(judged(table), ["orig spurious ip_id", "orig reordered ip_id"]);
}

#[test]
fn an_acknowledgement_shows_that_data_before_it_was_lost() {
    let table = "0.010 > PA len=100 id=10
        0.011 < A ack=101 id=20 seq=301
        0.240 < PA len=200 seq=1 id=21
        0.241 < PA len=100 seq=201 id=22";
    assert_eq!(judged(table), ["resp lost_upstream -"; 2]);
}

#[test]
fn an_acknowledgement_may_overtake_data() {
    let table = "0.010 > PA len=100 id=10
        0.011 < A ack=101 id=20 seq=301
        0.012 < PA len=300 seq=1 id=19
        0.013 < PA len=300 id=21";
    assert_eq!(judged(table), ["resp reordered too_soon"]);
}

#[test]
fn data_that_passes_elsewhere_is_not_lost() {
    let table = "0.010 > PA len=100
        0.011 < PA len=10
        0.020 < A seq=301
        0.021 > A ack=301
        0.300 < PA len=100 seq=301
        0.301 > A ack=401";
    assert!(judged(table).is_empty());
}

#[test]
fn what_one_place_saw_twice_and_is_known_to_have_arrived_was_not_lost_between() {
    let at = |again, spurious, unheard| {
        let mut sum = Sum::default();
        (sum.again, sum.spurious, sum.unheard) = (again, spurious, unheard);
        View { sum, span: (1, 2), answered: true, ..View::default() }
    };
    let between = |near: View| Losses::at(&near).with(&Losses::at(&at(0, 0, 0))).between();
    assert_eq!(between(at(3, 0, 0)), 3, "sent again at one place, seen once at the other");
    assert_eq!(between(at(3, 3, 0)), 0, "made two of by the network behind the other place");
    assert_eq!(between(at(3, 3, 2)), 2, "only their acknowledgements are known to be lost");
}

#[test]
fn what_comes_again_because_it_was_too_big_is_no_copy() {
    let told = |error: &str| {
        let table = format!(
            "ip v6
            0.000 > S ts=1
            0.010 < SA ts=1
            0.011 > A ts=2
            0.0200 > PA len=1200 ts=5
            0.0201 > PA len=1200 ts=5
            {error}
            0.0203 > PA len=1200 seq=1 ts=5
            0.0204 > PA len=1200 seq=1201 ts=5
            0.030 < A ack=2401"
        );
        judged_of(&table)
    };
    assert_eq!(told(""), ["orig duplicate -"; 2]);
    assert_eq!(told("0.0202 ! 2/0 mtu=1280"), ["orig lost_downstream -"; 2]);
}

#[test]
fn what_a_receiver_throws_away_is_not_lost() {
    let data = |window: &str| {
        let table = format!(
            "0.000 > S ws=0
            0.001 < SA ws=0 win=5000
            0.002 > A
            0.010 > PA len=1000
            0.011 > PA len=1000
            0.012 < A ack=1001 {window}
            0.220 > PA len=1000 seq=1001
            0.221 < A ack=1001 {window}
            0.640 > PA len=1000 seq=1001
            0.641 < A ack=2001 win=5000"
        );
        judged_of(&table)
    };
    assert_eq!(data("win=0"), ["orig probe -"; 2]);
    assert_eq!(data("win=5000"), ["orig lost_downstream -"; 2]);
}

#[test]
fn of_more_gaps_than_are_remembered_nothing_is_claimed() {
    let gaps = |count: u32| {
        let jumps = (1..=count).map(|n| format!("1.{n:04} > PA len=10 seq={}\n", n * 20 + 1));
        let jumps = jumps.collect::<String>();
        judged(&format!("0.9 > PA len=10\n{jumps}2.0 > PA len=5 seq=11\n2.1 > PA len=5 seq=16\n"))
    };
    assert_eq!(gaps(250), ["orig lost_upstream -"; 2]);
    assert_eq!(gaps(300), ["orig unanswered -"; 2]);
}

#[test]
fn what_comes_behind_the_first_segment_seen_was_not_lost_behind_it() {
    // The capture begins with a question; the answer's segments change places.
    let swapped = judged_of(
        "0.010 > PA len=100 seq=1 ack=1
        0.020 < PA len=207 seq=1399 ack=101
        0.021 < A len=1398 seq=1 ack=101
        0.022 > A seq=101 ack=1606",
    );
    assert!(!swapped.iter().any(|line| line.contains("lost_downstream")), "{swapped:?}");
    // What was seen and is sent again was.
    let again = judged_of(
        "0.010 > PA len=100 seq=1 ack=1
        0.020 < A len=1398 seq=1 ack=101
        0.240 < A len=1398 seq=1 ack=101
        0.242 > A seq=101 ack=1399",
    );
    assert_eq!(again, ["resp lost_downstream -"]);
}

/// What becomes of a segment that was overtaken and comes 8 ms later, where a round trip takes 1 ms. The stamps are of the
/// SYN, of what overtakes it 99 ms later, and its own.
fn overtaken_with_stamps([syn, over, own]: [u32; 3]) -> Vec<String> {
    judged_of(&format!(
        "ip v6
        0.000 > S ts={syn}
        0.001 < SA ts=70
        0.002 > A ts={over}
        0.099 > PA len=100 ts={over}
        0.099 > PA len=100 seq=201 ts={over}
        0.100 < A ack=101 sack=201-301 ts=170
        0.107 > PA len=100 seq=101 ts={own}
        0.108 < A ack=301 ts=178"
    ))
}

#[test]
fn what_was_sent_in_the_same_tick_as_what_overtook_it_was_late() {
    assert_eq!(overtaken_with_stamps([1, 100, 100]), ["orig reordered timestamp"]);
    assert_eq!(overtaken_with_stamps([u32::MAX - 9, 89, 89]), ["orig reordered timestamp"], "stamps go round");
}

#[test]
fn a_tick_longer_than_the_round_trip_tells_nothing() {
    for stamps in [[1, 100, 108], [1, 3, 3], [1, 2, 2], [1, 1, 1], [100, 1, 1]] {
        assert_eq!(overtaken_with_stamps(stamps), ["orig lost_upstream -"], "{stamps:?}");
    }
}

/// A segment that comes some milliseconds behind what overtook it, and a later one that comes 1.6 ms behind, where a round
/// trip takes 0.7 ms. The stamps are those of what overtook it and its own.
fn late_again(first_ms: u64, [over, own]: [u32; 2]) -> Vec<String> {
    judged_of(&format!(
        "ip v6
        0.0000 > S ts=1
        0.0005 < SA ts=70
        0.0007 > A ts=2
        0.0990 > PA len=100 ts=100
        0.0990 > PA len=100 seq=201 ts=100
        0.1000 < A ack=101 sack=201-301 ts=170
        0.1{first_ms:02}0 > PA len=100 seq=101 ts=100
        0.1200 < A ack=301 ts=190
        0.2000 > PA len=100 seq=401 ts={over}
        0.2001 < A ack=301 sack=401-501 ts=270
        0.2016 > PA len=100 seq=301 ts={own}
        0.2020 < A ack=501 ts=272"
    ))
}

#[test]
fn a_way_that_holds_segments_back_explains_what_is_late_by_less() {
    assert_eq!(late_again(8, [201, 201]), ["orig reordered timestamp", "orig reordered too_soon"]);
    assert_eq!(late_again(8, [201, 202]), ["orig reordered timestamp", "orig lost_upstream -"], "it was sent later");
    // Nothing came as late before.
    assert_eq!(late_again(0, [201, 201])[1..], ["orig lost_upstream -"]);
}
