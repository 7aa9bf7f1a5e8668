//! What is left of a connection when it ends.

use super::event::{ConnState, Flow, LegSeen, Odd, Rejection, Reset, Side};
use super::flow::{Cold, Hot, Seen};
use super::key::End;
use super::lane::{Lane, Rare};
use super::leg::Leg;
use super::stall::stall;
use super::tcp::resend::Resend;
use super::tcp::side::{self, TcpSide};
use super::tcp::{Ledger, TcpEvent, Watch};

/// Ends a connection: what its watches still have to tell, and the sum of it.
pub(crate) fn ended(
    hot: &Hot,
    cold: &mut Cold,
    unit: u32,
    evicted: bool,
    watch: Option<Box<Watch>>,
    ledger: &mut Ledger,
) -> (Flow, Vec<TcpEvent>) {
    let ([low, high], told) = side::ended(hot, cold, watch, ledger);
    let mut events = Vec::new();
    for (end, point, tunnel, resends) in told {
        events.extend(resends.iter().map(|resend| tcp_event(hot, cold, end, (point, tunnel), resend)));
    }
    let (orig, resp) = if cold.orig == End::Low { (low, high) } else { (high, low) };
    (sum_up(hot, cold, unit, evicted, orig, resp), events)
}

/// What is told of one range.
pub(crate) fn tcp_event(hot: &Hot, cold: &Cold, end: End, (point, tunnel): (u16, u32), resend: &Resend) -> TcpEvent {
    TcpEvent {
        point,
        tunnel,
        orig: hot.key.endpoint(cold.orig),
        resp: hot.key.endpoint(cold.orig.other()),
        from_orig: end == cold.orig,
        ns: resend.ns,
        frame: resend.frame,
        original: resend.original,
        gap_ns: resend.gap_ns,
        seq: resend.start,
        len: resend.end.wrapping_sub(resend.start),
        segments: resend.segments,
        trigger: resend.trigger,
        verdict: resend.verdict,
        proof: resend.proof,
        acknowledged: resend.acknowledged,
        rtt_ns: resend.rtt_ns,
    }
}

fn sum_up(hot: &Hot, cold: &Cold, unit: u32, evicted: bool, tcp_orig: TcpSide, tcp_resp: TcpSide) -> Flow {
    let (orig, resp, more) = (cold.orig, cold.orig.other(), cold.more());
    let from_orig = Side { tcp: tcp_orig, ..side(hot, cold, orig) };
    let from_resp = Side { tcp: tcp_resp, ..side(hot, cold, resp) };
    Flow {
        unit,
        orig: hot.key.endpoint(orig),
        resp: hot.key.endpoint(resp),
        proto: hot.key.proto(),
        first_ns: cold.first_ns,
        last_ns: hot.last_ns,
        first: cold.first,
        state: state(hot, cold),
        rtt_resp_ns: cold.handshake.syn_ns.until(cold.handshake.syn_ack_ns).filter(|_| from_orig.syns <= 1).into(),
        rtt_orig_ns: cold.handshake.rtt_orig_ns().filter(|_| from_resp.syns <= 1).into(),
        syn_ns: cold.handshake.syn_ns,
        from_orig,
        from_resp,
        odd: odd(cold),
        stall: if hot.key.is_tcp() { stall(hot, cold) } else { None },
        leg: first_leg(hot, cold),
        other_legs: more.legs.iter().map(|leg| other_leg(leg, orig)).collect(),
        has_more_legs: more.legs_left_out > 0,
        history: cold.history,
        syns: cold.syns(),
        ignored: cold.handshake.ignored,
        syn_waited: cold.handshake.waited,
        data_ns: [cold.data_ns[orig as usize], cold.data_ns[resp as usize]],
        passed: None,
        evicted,
    }
}

/// What few connections have, where this one does.
fn odd(cold: &Cold) -> Option<Box<Odd>> {
    let more = cold.more();
    let reset = more.reset.map(|reset| Reset {
        by_orig: reset.by == cold.orig,
        ns: reset.ns,
        ttl: reset.ttl,
        point: reset.point,
        tunnel: reset.tunnel,
        bare: reset.bare,
        frame: reset.frame,
        count: reset.count.max(1),
    });
    let rejection = more.icmp.map(|icmp| Rejection {
        from: icmp.from,
        of_orig: icmp.of == cold.orig,
        icmp: icmp.icmp,
        ttl: icmp.ttl,
        ns: icmp.ns,
        frame: icmp.frame,
        count: icmp.count,
    });
    let has_any = reset.is_some() || rejection.is_some() || more.pause.is_some() || more.idle.is_some();
    has_any.then(|| Box::new(Odd { reset, rejection, pause: more.pause, idle: more.idle }))
}

fn first_leg(hot: &Hot, cold: &Cold) -> LegSeen {
    LegSeen {
        point: hot.point,
        tunnel: hot.tunnel,
        first_ns: cold.first_ns,
        orig_from_a: cold.orig_from_a,
        ..counted(&hot.lanes, &cold.rare, cold.orig)
    }
}

fn other_leg(leg: &Leg, orig: End) -> LegSeen {
    LegSeen {
        point: leg.point,
        tunnel: leg.tunnel,
        first_ns: leg.first_ns,
        orig_from_a: leg.orig_from_a,
        ..counted(&leg.lanes, &leg.rare, orig)
    }
}

/// What a leg counted of both sides.
fn counted(lanes: &[Lane; 2], rare: &[Rare; 2], orig: End) -> LegSeen {
    let (from_orig, from_resp) = (orig as usize, orig.other() as usize);
    let ttl = |end: usize| (lanes[end].packets > 0).then_some(rare[end].ttl);
    LegSeen {
        orig_packets: lanes[from_orig].packets.into(),
        resp_packets: lanes[from_resp].packets.into(),
        orig_payload: lanes[from_orig].payload,
        resp_payload: lanes[from_resp].payload,
        syns: rare[from_orig].syns,
        orig_strays: rare[from_orig].strays,
        orig_ttl: ttl(from_orig),
        resp_ttl: ttl(from_resp),
        ..LegSeen::default()
    }
}

/// Bytes that a lane counted, and packets.
type Counts = ([u64; 3], [u32; 6]);

fn counts(lane: &Lane, rare: &Rare) -> Counts {
    let odd = rare.counts();
    let bytes = [lane.bytes, lane.payload, odd.retransmitted_bytes];
    let packets = [lane.packets, odd.retransmitted_packets, odd.out_of_order, odd.repeats, rare.syns, odd.keepalives];
    (bytes, packets)
}

fn most<T: Copy + Ord, const N: usize>(a: [T; N], b: [T; N]) -> [T; N] {
    std::array::from_fn(|at| a[at].max(b[at]))
}

/// What one end did, by the leg that saw most of it: every leg sees a packet once, and a packet that was dropped on the
/// way was seen by the legs before.
fn side(hot: &Hot, cold: &Cold, end: End) -> Side {
    let at = end as usize;
    let legs =
        || std::iter::once((&hot.lanes, &cold.rare)).chain(cold.legs().iter().map(|leg| (&leg.lanes, &leg.rare)));
    let counts = legs().map(|(lanes, rare)| counts(&lanes[at], &rare[at]));
    let counts = counts.fold(Counts::default(), |all, leg| (most(all.0, leg.0), most(all.1, leg.1)));
    let ([bytes, payload_bytes, retransmitted_bytes], counts) = counts;
    let [packets, retransmitted_packets, out_of_order, duplicates, syns, keepalives] = counts;
    let missed = legs().map(|(lanes, rare)| rare[at].acknowledged_unseen(&lanes[end.other() as usize]));
    let seen = hot.seen[at];
    let hello = cold.handshake.hello[at];
    let greeted = seen & (Seen::SYN | Seen::SYN_ACK) != 0;
    Side {
        packets,
        bytes,
        payload_bytes,
        retransmitted_bytes,
        retransmitted_packets,
        out_of_order,
        duplicates,
        missed_bytes: missed.min().unwrap_or_default(),
        syns,
        keepalives,
        mss: hello.mss(),
        window_scale: hello.window_scale(),
        ttl: legs().find(|(lanes, _)| lanes[at].packets > 0).map(|(_, rare)| rare[at].ttl),
        isn: greeted.then_some(hello.isn),
        tsval: hello.tsval().filter(|_| greeted),
        sample: (!hot.key.is_tcp() && seen & Seen::DATA != 0).then_some(hello.isn),
        shape: hello.shape,
        sent: legs().find_map(|(lanes, _)| lanes[at].sent()),
        acknowledged: legs().find_map(|(lanes, _)| lanes[at].acknowledged()),
        zero_window: seen & Seen::ZERO_WINDOW != 0,
        fin: seen & Seen::FIN != 0,
        largest_packet: hot.largest[at],
        all_acked: hot.lanes[at].is_acked_by(&hot.lanes[end.other() as usize]),
        tcp: TcpSide::default(),
    }
}

/// Zeek's `conn_state` of a connection.
fn state(hot: &Hot, cold: &Cold) -> ConnState {
    let (orig, resp) = (hot.seen[cold.orig as usize], hot.seen[cold.orig.other() as usize]);
    if !hot.key.is_tcp() {
        return match (orig & Seen::DATA != 0, resp & Seen::DATA != 0) {
            (true, true) => ConnState::Sf,
            (true, false) => ConnState::S0,
            (false, true) => ConnState::Shr,
            (false, false) => ConnState::Oth,
        };
    }
    match (orig & Seen::SYN != 0, resp & Seen::SYN_ACK != 0) {
        (true, true) => established(orig, resp),
        (true, false) => attempted(orig, resp),
        (false, true) if resp & Seen::RST != 0 => ConnState::Rstrh,
        (false, true) if resp & Seen::FIN != 0 => ConnState::Shr,
        _ => ConnState::Oth,
    }
}

fn established(orig: u8, resp: u8) -> ConnState {
    let (orig_fin, resp_fin) = (orig & Seen::FIN != 0, resp & Seen::FIN != 0);
    match (orig & Seen::RST != 0, resp & Seen::RST != 0) {
        _ if orig_fin && resp_fin => ConnState::Sf,
        (true, _) => ConnState::Rsto,
        (_, true) => ConnState::Rstr,
        _ if orig_fin => ConnState::S2,
        _ if resp_fin => ConnState::S3,
        _ => ConnState::S1,
    }
}

fn attempted(orig: u8, resp: u8) -> ConnState {
    let answered = resp & (Seen::DATA | Seen::ACK | Seen::FIN) != 0;
    match (orig & Seen::RST != 0, resp & Seen::RST != 0) {
        (_, true) if !answered => ConnState::Rej,
        _ if answered => ConnState::Oth,
        (true, _) => ConnState::Rstos0,
        _ if orig & Seen::FIN != 0 => ConnState::Sh,
        _ => ConnState::S0,
    }
}
