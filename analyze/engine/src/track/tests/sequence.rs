//! What sequence numbers tell (RFC 9293 3.4, 3.8.4, 3.8.6.1).

use super::dsl::check;

const OPENED: &str = "0.000 > S\n0.010 < SA\n0.011 > A\n";

fn after_handshake(table: &str) {
    check(&format!("{OPENED}{table}"));
}

#[test]
fn sent_again_whole() {
    after_handshake(
        "0.020 > A len=1000
         0.220 > A seq=1 len=1000
         0.230 < A
         expect orig.retransmitted=1 orig.retransmitted_bytes=1000 orig.payload=2000 orig.out_of_order=0 tallies=1
         expect history=ShADTa orig.packets=4 orig.duplicates=0",
    );
}

#[test]
fn sent_again_with_the_rest() {
    // 500 bytes were sent before, 700 are new.
    after_handshake(
        "0.020 > A len=1000
         0.220 > A seq=501 len=1200
         0.230 < A
         expect orig.retransmitted=1 orig.retransmitted_bytes=500 orig.payload=2200 orig.missed=0",
    );
}

#[test]
fn sent_again_in_one_piece() {
    after_handshake(
        "0.020 > A len=500
         0.021 > A len=500
         0.220 > A seq=1 len=1000
         expect orig.retransmitted=1 orig.retransmitted_bytes=1000 orig.out_of_order=0",
    );
}

#[test]
fn a_late_segment_fills_its_gap() {
    after_handshake(
        "0.020 > A len=100
         0.021 > A seq=201 len=100
         0.022 > A seq=101 len=100
         0.030 < A
         expect orig.out_of_order=1 orig.retransmitted=0 orig.retransmitted_bytes=0 orig.missed=0 tallies=0",
    );
}

#[test]
fn a_gap_is_filled_once() {
    after_handshake(
        "0.020 > A len=100
         0.021 > A seq=301 len=100
         0.022 > A seq=101 len=100
         0.122 > A seq=101 len=200
         0.130 < A
         expect orig.out_of_order=2 orig.retransmitted=1 orig.retransmitted_bytes=100 orig.missed=0",
    );
}

#[test]
fn bytes_acknowledged_and_never_seen() {
    after_handshake(
        "0.020 > A len=100
         0.021 > A seq=601 len=100
         0.030 < A ack=701
         expect orig.missed=500 orig.retransmitted=0 orig.out_of_order=0",
    );
    // What is not acknowledged was lost before this point, and what came later is not missing.
    after_handshake("0.020 > A len=100\n0.021 > A seq=601 len=100\n0.030 < A ack=101\nexpect orig.missed=0");
}

#[test]
fn keep_alive_probes_are_no_retransmissions() {
    // RFC 9293 3.8.4: the byte before the next one, with or without a byte of rubbish.
    after_handshake(
        "0.020 > PA len=100
         0.030 < PA len=10
         0.031 > A
         15.000 > A seq=100
         15.010 < A
         30.000 > A seq=100 len=1
         30.010 < A
         expect flows=1 orig.keepalives=2 orig.retransmitted=0 orig.out_of_order=0 tallies=0",
    );
}

#[test]
fn a_window_of_nothing_is_noted() {
    after_handshake(
        "0.020 > PA len=100
         0.030 < A win=0
         0.230 > A seq=100
         0.231 < A win=0
         0.900 < A win=100
         expect history=ShADaw resp.zero_window=true orig.zero_window=false orig.retransmitted=0",
    );
}

#[test]
fn numbers_wrap() {
    check(
        "isn > 4294967290
         isn < 4294967295
         0.000 > S
         0.010 < SA
         0.011 > A
         0.012 > PA len=100
         0.020 < PA len=3000
         0.021 > A
         0.220 < PA seq=1 len=3000
         0.230 > PA len=100
         0.231 < FA
         0.232 > FA
         0.240 < A
         expect flows=1 state=SF orig.retransmitted=0 resp.retransmitted_bytes=3000 resp.out_of_order=0
         expect orig.missed=0 resp.missed=0 orig.isn=4294967290",
    );
    // A gap across the end of the numbers, filled in two pieces.
    check(
        "isn > 4294967200
         0.000 > S\n0.010 < SA\n0.011 > A\n0.020 > A len=50
         0.021 > A seq=151 len=50
         0.022 > A seq=51 len=40
         0.023 > A seq=91 len=60
         0.030 < A
         expect orig.out_of_order=2 orig.retransmitted=0 orig.missed=0",
    );
}

#[test]
fn a_fin_sent_again_is_no_data() {
    after_handshake(
        "0.020 > FA
         0.240 > FA seq=1
         0.250 < FA
         0.251 > A
         expect state=SF orig.retransmitted=0 orig.keepalives=0 orig.packets=5 history=ShAFf",
    );
}

#[test]
fn the_same_packet_twice_on_one_interface_counts_once() {
    // A bridge loop or a mirror of both directions: the identification is the same.
    after_handshake(
        "0.020 > PA len=100 id=900
         0.0201 again
         0.030 < A
         0.0301 again
         expect orig.packets=3 orig.duplicates=1 resp.packets=2 resp.duplicates=1 orig.retransmitted=0 tallies=0
         expect orig.payload=100",
    );
}

#[test]
fn equal_acknowledgements_are_packets_of_their_own() {
    // RFC 5681: duplicate acknowledgements are equal but for their identification.
    after_handshake(
        "0.020 < A len=100
         0.0201 < A seq=201 len=100
         0.0202 < A len=100
         0.0203 > A ack=101
         0.0204 > A ack=101
         0.0205 > A ack=101
         expect orig.packets=5 orig.duplicates=0 resp.missed=0",
    );
}

#[test]
fn a_quick_retransmission_is_one() {
    // Within 2 ms, but with another identification: RACK on a path of 0.2 ms.
    after_handshake(
        "0.0200 > A len=100
         0.0204 > A seq=1 len=100
         expect orig.retransmitted=1 orig.duplicates=0",
    );
}

#[test]
fn data_in_the_syn_counts() {
    // RFC 7413: data in SYN and SYN-ACK.
    check(
        "0.000 > S len=100
         0.010 < SA len=50
         0.011 > PA len=10
         0.020 < A
         expect state=S1 orig.payload=110 resp.payload=50 orig.retransmitted=0 orig.out_of_order=0 orig.missed=0
         expect resp.retransmitted=0",
    );
}

#[test]
fn a_segment_that_is_never_acknowledged_stalls_its_side() {
    let facts = check(
        "0.000 > S\n0.010 < SA\n0.011 > A
         0.020 > A len=1448
         0.230 > A seq=1 len=1448
         0.650 > A seq=1 len=1448
         1.500 > A seq=1 len=1448
         5.000 < FA ack=1
         expect orig.retransmitted=3",
    );
    let stall = facts.flows[0].stall.as_deref().expect("its peer lives and does not acknowledge");
    assert!(stall.by_orig && stall.peer_lives);
    assert_eq!((stall.resent, stall.missing, stall.ip_len), (3, 0, 1448 + 20 + 20));
}

/// The tail that a loss probe sends again hides nothing of the segment that is waited for, neither before nor after it.
#[test]
fn a_tail_loss_probe_is_no_stall() {
    let facts = check(
        "0.000 > S\n0.010 < SA\n0.011 > A
         0.020 > A len=1448
         0.021 > A len=200
         0.060 > A seq=1449 len=200
         0.061 < A ack=1
         0.270 > A seq=1 len=1448
         0.690 > A seq=1 len=1448
         0.700 > A seq=1449 len=200
         1.540 > A seq=1 len=1448
         5.000 < FA ack=1
         expect orig.retransmitted=5",
    );
    let stall = facts.flows[0].stall.as_deref().expect("its first segment is never acknowledged");
    assert_eq!((stall.resent, stall.ip_len), (3, 1448 + 20 + 20));
    assert!(stall.peer_lives);
}

/// What was acknowledged and comes once more is nearer to the beginning, and nobody waits for it.
#[test]
fn an_old_copy_hides_no_stall() {
    let facts = check(
        "0.000 > S\n0.010 < SA\n0.011 > A
         0.020 > A len=100
         0.030 < A
         0.040 > A len=1448
         0.250 > A seq=101 len=1448
         0.300 > A seq=1 len=100
         0.670 > A seq=101 len=1448
         1.500 > A seq=101 len=1448
         5.000 < FA ack=101
         expect orig.retransmitted=4",
    );
    let stall = facts.flows[0].stall.as_deref().expect("its second segment is never acknowledged");
    assert_eq!((stall.resent, stall.seq), (3, 1101));
}

/// A peer that repeats its FIN lacks small acknowledgements as well.
#[test]
fn a_fin_sent_again_tells_that_nothing_arrives() {
    let stopped = "0.000 > S\n0.010 < SA\n0.011 > A
         0.020 > A len=1448
         0.230 > A seq=1 len=1448
         0.650 > A seq=1 len=1448
         1.500 > A seq=1 len=1448
         5.000 < FA ack=1 seq=1\n";
    let repeats = |more: &str| {
        let facts = check(&format!("{stopped}{more}expect orig.retransmitted=3"));
        facts.flows[0].stall.as_deref().expect("a stall").peer_repeats
    };
    assert!(repeats("5.300 < FA ack=1 seq=1\n"));
    assert!(!repeats("5.001 > A seq=1449 ack=2\n"));
}

#[test]
fn an_empty_segment_ahead_of_all_shows_what_never_came() {
    let facts = check(
        "0.000 > S\n0.010 < SA\n0.011 > A
         9.000 < FA ack=1
         9.100 > A seq=4345
         expect orig.retransmitted=0",
    );
    let stall = facts.flows[0].stall.as_deref().expect("bytes are missing");
    assert_eq!((stall.resent, stall.missing), (0, 4344));
}

#[test]
fn what_was_acknowledged_in_the_end_stalls_nothing() {
    let facts = check(
        "0.000 > S\n0.010 < SA\n0.011 > A
         0.020 > A len=1000
         0.230 > A seq=1 len=1000
         0.650 > A seq=1 len=1000
         0.660 < A
         expect orig.retransmitted=2",
    );
    assert!(facts.flows[0].stall.is_none());
}
