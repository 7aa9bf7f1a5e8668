//! How connections begin and end (RFC 9293 3.5, 3.6; states and history letters as Zeek's documentation has them).

use super::dsl::check;

#[test]
fn a_whole_connection() {
    check(
        "0.000 > S mss=1460 ws=7
         0.010 < SA mss=1410 ws=9 ttl=61
         0.013 > A
         0.014 > PA len=100
         0.030 < A
         0.031 < PA len=500
         0.034 > A
         0.040 > FA
         0.050 < FA
         0.053 > A
         expect flows=1 state=SF history=ShADadFf outcome=Established orig=10.0.0.1:40000 resp=10.0.0.2:80
         expect rtt_resp_ms=10 rtt_orig_ms=3 duration_ms=53 resets=0 reset_by=none icmp=none legs=1 evicted=false
         expect orig.packets=6 orig.payload=100 orig.mss=1460 orig.ws=7 orig.ttl=64 orig.isn=1000 orig.fin=true
         expect resp.packets=4 resp.payload=500 resp.mss=1410 resp.ws=9 resp.ttl=61 resp.isn=5000 resp.fin=true
         expect orig.bytes=348 resp.bytes=668 orig.syns=1 orig.retransmitted_bytes=0 resp.retransmitted_bytes=0
         expect orig.out_of_order=0 orig.duplicates=0 orig.keepalives=0 orig.missed=0 tallies=0",
    );
}

#[test]
fn ipv6_without_identifications() {
    check(
        "ip v6
         0.000 > S mss=1440
         0.010 < SA mss=1440
         0.013 > A
         0.014 > PA len=100
         0.030 < A
         0.031 < FA
         0.032 > FA
         0.040 < A
         expect flows=1 state=SF history=ShADafF orig=[fd00::1]:40000 resp=[fd00::2]:80 orig.packets=4 resp.packets=4
         expect orig.mss=1440 rtt_resp_ms=10 orig.duplicates=0 resp.duplicates=0 orig.bytes=344",
    );
}

#[test]
fn a_syn_sent_again_hides_the_round_trip() {
    // Karn: which of the two SYNs was answered is not known.
    check(
        "0.000 > S
         1.000 > S seq=0
         1.010 < SA
         1.012 > A
         expect flows=1 state=S1 history=ShA orig.syns=2 rtt_resp_ms=none rtt_orig_ms=2 orig.retransmitted_bytes=0
         expect orig.packets=3 orig.duplicates=0",
    );
}

#[test]
fn a_syn_ack_sent_again_hides_the_other_round_trip() {
    check(
        "0.000 > S
         0.010 < SA
         1.010 < SA seq=0
         1.012 > A
         expect flows=1 state=S1 orig.syns=1 resp.syns=2 rtt_resp_ms=10 rtt_orig_ms=none",
    );
}

#[test]
fn what_ends_a_connection_is_no_round_trip() {
    // Through a filter for SYN, FIN and RST.
    check(
        "0.000 > S
         0.010 < SA
         0.500 > FA seq=101 ack=501
         0.501 < FA seq=501 ack=102
         expect flows=1 rtt_resp_ms=10 rtt_orig_ms=none",
    );
    // It closes at once, and says nothing.
    check(
        "0.000 > S
         0.010 < SA
         0.500 > FA
         expect flows=1 rtt_resp_ms=10 rtt_orig_ms=none",
    );
}

#[test]
fn a_handshake_seen_twice_at_once_was_not_sent_twice() {
    // SYN-ACKs have no identification, nor has IPv6.
    check(
        "0.000 > S id=7
         0.000002 > S id=7 seq=0
         0.010 < SA id=0
         0.010002 < SA id=0 seq=0
         0.013 > A
         expect flows=1 orig.syns=1 resp.syns=1 orig.packets=2 resp.packets=1 rtt_resp_ms=10 rtt_orig_ms=3",
    );
    // A timer makes the other one.
    check(
        "0.000 > S id=7
         0.010 < SA id=0
         1.010 < SA id=0 seq=0
         expect flows=1 orig.syns=1 resp.syns=2 resp.packets=2",
    );
}

#[test]
fn silence() {
    check(
        "0.000 > S
         1.020 > S seq=0
         3.050 > S seq=0
         7.300 > S seq=0
         expect flows=1 state=S0 history=S outcome=Unanswered orig.syns=4 orig.packets=4 resp.packets=0
         expect rtt_resp_ms=none resp.mss=none resp.ttl=none resp.isn=none",
    );
}

#[test]
fn one_lost_syn_is_no_verdict() {
    check("0.000 > S\nexpect state=S0 outcome=Unclear");
}

#[test]
fn refused() {
    check(
        "0.000 > S
         0.010 < RA ttl=62 win=0
         expect flows=1 state=REJ history=Sr outcome=Refused resets=1 reset_by=resp reset_ttl=62 tallies=1
         expect rtt_resp_ms=none resp.zero_window=false",
    );
}

#[test]
fn refused_and_tried_again_with_the_same_port() {
    check(
        "0.000 > S
         0.010 < RA
         isn > 99000
         1.000 > S seq=0
         1.010 < RA ack=1
         expect flows=2 state=REJ outcome=Refused
         expect#1 state=REJ outcome=Refused orig.isn=99000",
    );
}

#[test]
fn rejected_by_icmp() {
    check(
        "0.000 > S
         0.001 ! 3/13 from=10.0.0.254 ttl=63
         expect flows=1 errors=1 state=S0 outcome=Rejected icmp=3/13 icmp_count=1 icmp_from=10.0.0.254",
    );
}

#[test]
fn reset_by_either_side() {
    let opened = "0.000 > S\n0.010 < SA\n0.011 > A\n0.012 > PA len=10\n0.020 < A\n";
    check(&format!("{opened}0.030 > RA\nexpect state=RSTO reset_by=orig history=ShADaR outcome=Established"));
    check(&format!("{opened}0.030 < RA\nexpect state=RSTR reset_by=resp history=ShADar outcome=Established"));
    // Closed properly, then a late packet is answered with a reset: nothing went wrong.
    check(&format!(
        "{opened}0.030 > FA\n0.040 < FA\n0.041 > A\n0.050 < R\nexpect state=SF resets=1 reset_by=resp tallies=1"
    ));
}

#[test]
fn every_reset_counts() {
    check(
        "0.000 > S\n0.010 < SA\n0.011 > A\n0.020 < RA
         0.021 > R
         0.022 < R seq=1
         expect state=RSTO resets=3 reset_by=resp history=ShArR tallies=3",
    );
}

#[test]
fn given_up_by_the_originator() {
    check("0.000 > S\n0.100 > R seq=1\nexpect state=RSTOS0 reset_by=orig history=SR");
    check("0.000 > S\n0.100 > F seq=1\nexpect state=SH history=SF");
}

#[test]
fn half_closed_goes_on() {
    check(
        "0.000 > S\n0.010 < SA\n0.011 > A\n0.012 > PA len=10\n0.013 > FA
         0.020 < A
         5.000 < PA len=1000
         5.001 > A
         expect flows=1 state=S2 history=ShADFad orig.fin=true resp.fin=false resp.payload=1000",
    );
    check(
        "0.000 > S\n0.010 < SA\n0.011 > A\n0.020 < FA
         0.021 > A
         0.500 > PA len=10
         expect flows=1 state=S3 history=ShAfD",
    );
}

#[test]
fn simultaneous_open_is_one_connection() {
    // RFC 9293 3.5, figure 7.
    check(
        "0.000 > S
         0.001 < S
         0.010 > SA seq=0 ack=1
         0.011 < SA seq=0 ack=1
         0.020 > PA len=5
         0.030 < A
         expect flows=1 state=S1 orig=10.0.0.1:40000 outcome=Established orig.isn=1000 resp.isn=5000
         expect history=SsHhDa orig.payload=5 rtt_resp_ms=none",
    );
}

#[test]
fn a_port_used_again_is_another_connection() {
    check(
        "0.000 > S\n0.010 < SA\n0.011 > A\n0.020 > FA\n0.030 < FA\n0.031 > A
         isn > 700000
         isn < 800000
         2.000 > S seq=0
         2.005 < SA seq=0 ack=1
         2.006 > A seq=1 ack=1
         expect flows=2 state=SF orig.isn=1000 duration_ms=31 rtt_resp_ms=10
         expect#1 state=S1 orig.isn=700000 rtt_resp_ms=5 history=ShA",
    );
}

#[test]
fn a_connection_that_was_there_before() {
    check(
        "0.000 > PA seq=1 len=100
         0.010 < PA seq=1 ack=101 len=200
         0.020 > A ack=201
         expect flows=1 state=OTH history=DdA outcome=Established orig.isn=none resp.isn=none rtt_resp_ms=none
         expect orig.syns=0 orig.mss=none orig.missed=0 resp.missed=0 orig=10.0.0.1:40000",
    );
    // Then it ends and the port is used again, this time from the start.
    check(
        "0.000 > PA seq=1 len=100
         0.010 < A seq=1
         isn > 90000
         1.000 > S seq=0
         expect flows=2 state=OTH
         expect#1 state=S0 orig.isn=90000",
    );
}

#[test]
fn an_answer_first_was_asked_for_by_the_other() {
    check(
        "0.000 < SA seq=0 ack=1
         0.002 > A seq=1 ack=1
         0.003 > PA seq=1 len=10
         expect flows=1 state=OTH orig=10.0.0.1:40000 resp=10.0.0.2:80 history=hAD rtt_orig_ms=2 rtt_resp_ms=none
         expect resp.isn=5000 orig.isn=none",
    );
    check("0.000 < SA seq=0 ack=1\n0.100 < R seq=1\nexpect state=RSTRH reset_by=resp");
    check("0.000 < SA seq=0 ack=1\n0.100 < FA seq=1\nexpect state=SHR");
}

#[test]
fn repeated_answers_and_nothing_after_is_half_open() {
    check(
        "0.000 > S\n0.001 < SA
         1.000 > S seq=0\n1.001 < SA seq=0
         3.000 > S seq=0\n3.001 < SA seq=0
         expect state=S1 outcome=HalfOpen history=Sh resp.syns=3",
    );
}

#[test]
fn nobody_finishes() {
    check("0.000 > S\n0.010 < SA\n0.011 > A\nexpect state=S1 history=ShA outcome=Established");
}
