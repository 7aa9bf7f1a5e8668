//! One packet seen at several places is one packet.

use super::dsl::check;

#[test]
fn loopback_shows_every_packet_twice() {
    check(
        "link sll2
         0.00000 > S dir=out if=1\n0.00001 again dir=in
         0.00002 < SA dir=out if=1\n0.00003 again dir=in
         0.00004 > A dir=out if=1\n0.00005 again dir=in
         0.00006 > PA len=100 dir=out if=1\n0.00007 again dir=in
         0.00008 < A dir=out if=1\n0.00009 again dir=in
         0.00010 < PA len=300 dir=out if=1\n0.00011 again dir=in
         expect flows=1 state=S1 orig.packets=3 resp.packets=3 orig.payload=100 resp.payload=300
         expect orig.retransmitted=0 resp.retransmitted=0 orig.out_of_order=0 orig.syns=1 rtt_resp_ms=0.03 tallies=0",
    );
}

#[test]
fn loopback_may_send_two_before_it_receives_them() {
    check(
        "link sll2
         0.00000 > S dir=out if=1\n0.00001 again dir=in
         0.00002 < SA dir=out if=1\n0.00003 again dir=in
         0.00004 > A dir=out if=1\n0.00005 again dir=in
         0.00006 > A len=100 dir=out if=1 id=20
         0.00007 > A len=100 dir=out if=1 id=21
         0.00008 > A seq=1 len=100 dir=in if=1 id=20
         0.00009 > A seq=101 len=100 dir=in if=1 id=21
         0.00010 < A dir=out if=1\n0.00011 again dir=in
         expect flows=1 orig.packets=4 orig.payload=200 orig.retransmitted=0 orig.out_of_order=0 tallies=0",
    );
}

#[test]
fn cooked_captures_hide_the_interface() {
    // Linux SLL: pod's veth, bridge and node's interface, the TTL one less after routing.
    check(
        "link sll
         0.00000 > S dir=in\n0.00001 again dir=in\n0.00002 again dir=out ttl=63
         0.00100 < SA dir=in ttl=60\n0.00101 again dir=out ttl=59\n0.00102 again dir=out ttl=59
         0.00200 > A dir=in\n0.00201 again dir=in\n0.00202 again dir=out ttl=63
         0.00300 > PA len=100 dir=in\n0.00301 again dir=in\n0.00302 again dir=out ttl=63
         0.00400 < A dir=in\n0.00401 again dir=out\n0.00402 again dir=out
         expect flows=1 orig.packets=3 resp.packets=2 orig.payload=100 orig.retransmitted=0 orig.syns=1
         expect rtt_resp_ms=1 rtt_orig_ms=1 tallies=0",
    );
}

#[test]
fn cooked_captures_see_a_tunnel_and_its_inside_apart() {
    // The server's node: questions come in the tunnel first, answers come from the pod first.
    check(
        "link sll
         0.00000 > S dir=in vni=1 ttl=63\n0.00001 again dir=in vni=0\n0.00002 again dir=out ttl=62
         0.00010 < SA dir=in vni=0\n0.00011 again dir=in\n0.00012 again dir=out vni=1 ttl=63
         0.00100 > A dir=in vni=1 ttl=63\n0.00101 again dir=in vni=0\n0.00102 again dir=out ttl=62
         0.00110 > PA len=100 dir=in vni=1 ttl=63\n0.00111 again dir=in vni=0\n0.00112 again dir=out ttl=62
         0.20000 < PA len=300 dir=in vni=0\n0.20001 again dir=in\n0.20002 again dir=out vni=1 ttl=63
         0.20100 > A dir=in vni=1 ttl=63\n0.20101 again dir=in vni=0\n0.20102 again dir=out ttl=62
         expect flows=1 legs=2 state=S1 orig.packets=4 resp.packets=2 orig.payload=100 resp.payload=300
         expect rtt_resp_ms=0.12 orig.retransmitted=0 resp.retransmitted=0 orig.out_of_order=0 tallies=0",
    );
}

#[test]
fn cooked_captures_still_show_retransmissions() {
    check(
        "link sll
         0.000 > S dir=in\n0.0001 again dir=out ttl=63
         0.001 < SA dir=in\n0.0011 again dir=out ttl=63
         0.002 > A dir=in\n0.0021 again dir=out ttl=63
         0.003 > PA len=100 dir=in\n0.0031 again dir=out ttl=63
         0.203 > PA seq=1 len=100 dir=in\n0.2031 again dir=out ttl=63
         expect orig.packets=4 orig.retransmitted=1 orig.retransmitted_bytes=100 tallies=1",
    );
}

#[test]
fn a_super_packet_in_a_cooked_capture_is_its_segments() {
    // The veth shows what segmentation offload has not cut yet, the node's interface what it has.
    check(
        "link sll
         0.00000 > S dir=in\n0.00001 again dir=out ttl=63
         0.00100 < SA dir=in\n0.00101 again dir=out ttl=63
         0.00200 > A dir=in\n0.00201 again dir=out ttl=63
         0.00300 > PA len=2800 dir=in id=50
         0.00301 > A seq=1 len=1400 dir=out ttl=63 id=50
         0.00302 > PA seq=1401 len=1400 dir=out ttl=63 id=51
         0.00400 < A dir=in\n0.00401 again dir=out ttl=63
         expect orig.retransmitted=0 orig.retransmitted_bytes=0 orig.payload=2800 tallies=0",
    );
    // The other way round: segments in, put together by GRO.
    check(
        "link sll
         0.00000 > S dir=in\n0.00001 again dir=out ttl=63
         0.00100 < SA dir=in\n0.00101 again dir=out ttl=63
         0.00200 > A dir=in\n0.00201 again dir=out ttl=63
         0.00300 < A len=1400 dir=in id=50
         0.00301 < PA len=1400 dir=in id=51
         0.00302 < PA seq=1 len=2800 dir=out ttl=63 id=50
         0.00400 > A dir=in\n0.00401 again dir=out ttl=63
         expect resp.retransmitted=0 resp.retransmitted_bytes=0 tallies=0",
    );
}

#[test]
fn a_super_packet_and_its_segments_at_two_points() {
    // The veth shows what segmentation offload has not cut yet, the node's interface what VXLAN carries.
    check(
        "link sll2
         0.00000 > S if=5\n0.00001 again if=2 vni=1 dir=out
         0.00100 < SA if=2 vni=1 dir=in\n0.00101 again if=5 vni=0 dir=out
         0.00200 > A if=5\n0.00201 again if=2 vni=1 dir=out
         0.00300 > PA len=2800 if=5 id=50
         0.00301 > A seq=1 len=1400 if=2 vni=1 dir=out id=50
         0.00302 > PA seq=1401 len=1400 if=2 vni=1 dir=out id=51
         0.00400 < A if=2 vni=1 dir=in\n0.00401 again if=5 vni=0 dir=out
         expect flows=1 legs=2 orig.packets=4 resp.packets=2 orig.payload=2800 orig.retransmitted=0 tallies=0
         expect orig.out_of_order=0 orig.syns=1 rtt_resp_ms=1.01 state=S1 history=ShADa",
    );
}

#[test]
fn a_reset_seen_at_two_points_is_one() {
    check(
        "link sll2
         0.00000 > S if=5\n0.00001 again if=2 vni=1 dir=out
         0.00100 < RA if=2 vni=1 dir=in ttl=63\n0.00101 again if=5 vni=0 dir=out ttl=62
         expect flows=1 state=REJ resets=1 reset_ttl=63 tallies=1",
    );
}

#[test]
fn a_retransmission_seen_at_two_points_is_one() {
    check(
        "link sll2
         0.00000 > S if=5\n0.00001 again if=2 dir=out
         0.00100 < SA if=2 dir=in\n0.00101 again if=5 dir=out
         0.00200 > A if=5\n0.00201 again if=2 dir=out
         0.00300 > PA len=100 if=5\n0.00301 again if=2 dir=out
         0.20300 > PA seq=1 len=100 if=5\n0.20301 again if=2 dir=out
         expect legs=2 orig.packets=4 orig.retransmitted=1 orig.retransmitted_bytes=100 orig.payload=200 tallies=1",
    );
}

#[test]
fn a_packet_lost_between_two_points_was_sent() {
    check(
        "link sll2
         0.000 > S if=5\n0.0001 again if=2 dir=out
         0.001 < SA if=2 dir=in\n0.0011 again if=5 dir=out
         0.002 > A if=5\n0.0021 again if=2 dir=out
         0.003 > A len=100 if=5
         0.004 > A len=100 if=5\n0.0041 again if=2 dir=out
         0.204 > A seq=1 len=100 if=5\n0.2041 again if=2 dir=out
         expect orig.packets=5 orig.payload=300 orig.retransmitted=1 orig.out_of_order=1",
    );
}

#[test]
fn tunnels_whose_number_names_the_sender_are_measured() {
    // Cilium puts the sender's identity where others put one network's number.
    check(
        "0.000 > S vni=11
         0.010 < SA vni=22
         0.013 > A vni=11
         0.014 > PA len=10 vni=11
         0.030 < PA len=20 vni=22
         expect flows=1 state=S1 rtt_resp_ms=10 rtt_orig_ms=3 orig.packets=3 resp.packets=2",
    );
}
