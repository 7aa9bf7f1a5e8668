//! Facts to rows.

mod dns;
mod packets;

pub(crate) use dns::dns_transaction;
pub(crate) use packets::{in_frame_order, packets};

use crate::collect::{Names, Second};
use crate::table::{
    FlowRow, FragmentRow, IcmpEchoRow, IcmpErrorRow, IntervalRow, Label, TcpCompatRow, TcpEventRow, Time, TurnRow,
};
use crate::track::compat::Flagged;
use crate::track::event::{Echo, Flow, IcmpError, Side};
use crate::track::fragments::{Fate, Fragmented};
use crate::track::tcp::TcpEvent;
use crate::track::tcp::resend::Proof;
use crate::track::tcp::side::Losses;
use crate::track::{self, Resent, Turn};
use crate::wire::app::Text;

pub(crate) fn flow<'a>(flow: &'a Flow, names: &'a Names) -> FlowRow<'a> {
    let leg = flow.leg;
    let tunnel = names.tunnel(leg.tunnel);
    let (orig, resp) = (&flow.from_orig, &flow.from_resp);
    FlowRow {
        capture: names.capture_label(flow.first.capture()),
        point: names.point_label(leg.point),
        first_frame: flow.first.frame() as i64,
        ts_ns: flow.first_ns,
        ts: Time(flow.first_ns),
        duration_us: flow.last_ns.saturating_sub(flow.first_ns) / 1000,
        proto: flow.proto.into(),
        transport: transport(flow.proto),
        orig_addr: flow.orig.addr,
        orig_port: flow.orig.port.into(),
        resp_addr: flow.resp.addr,
        resp_port: flow.resp.port.into(),
        conn_state: flow.state.name(),
        history: flow.history.as_str(),
        orig_packets: orig.packets.into(),
        resp_packets: resp.packets.into(),
        orig_bytes: orig.bytes as i64,
        resp_bytes: resp.bytes as i64,
        orig_payload_bytes: orig.payload_bytes as i64,
        resp_payload_bytes: resp.payload_bytes as i64,
        orig_retransmitted_bytes: orig.retransmitted_bytes as i64,
        resp_retransmitted_bytes: resp.retransmitted_bytes as i64,
        orig_retransmitted_packets: orig.retransmitted_packets.into(),
        resp_retransmitted_packets: resp.retransmitted_packets.into(),
        orig_out_of_order_packets: orig.out_of_order.into(),
        resp_out_of_order_packets: resp.out_of_order.into(),
        orig_missed_bytes: orig.missed_bytes as i64,
        resp_missed_bytes: resp.missed_bytes as i64,
        syns: orig.syns.into(),
        rtt_resp_us: flow.rtt_resp_ns.get().map(micros),
        rtt_orig_us: flow.rtt_orig_ns.get().map(micros),
        orig_mss: orig.mss.map(Into::into),
        resp_mss: resp.mss.map(Into::into),
        orig_window_scale: orig.window_scale.map(Into::into),
        resp_window_scale: resp.window_scale.map(Into::into),
        orig_ttl: orig.ttl.map(Into::into),
        resp_ttl: resp.ttl.map(Into::into),
        resets: flow.reset().map_or(0, |reset| reset.count.into()),
        reset_by: flow.reset().map(|reset| if reset.by_orig { "orig" } else { "resp" }),
        reset_ttl: flow.reset().map(|reset| reset.ttl.into()),
        reset_frame: flow.reset().map(|reset| reset.frame.frame() as i64),
        icmp_errors: flow.rejection().map_or(0, |rejection| rejection.count.into()),
        icmp_error: flow.rejection().map(|rejection| format!("{}/{}", rejection.icmp.kind, rejection.icmp.code)),
        idle_before_reset_us: flow.idle_before_reset_ns().map(micros),
        closed_by: flow.closed_by(),
        orig_rtt_p50_us: resp.tcp.rtt_p50_ns.get().map(micros),
        orig_rtt_p95_us: resp.tcp.rtt_p95_ns.get().map(micros),
        resp_rtt_p50_us: orig.tcp.rtt_p50_ns.get().map(micros),
        resp_rtt_p95_us: orig.tcp.rtt_p95_ns.get().map(micros),
        orig_lost: lost(orig, Losses::lost),
        resp_lost: lost(resp, Losses::lost),
        orig_spurious: lost(orig, Losses::spurious),
        resp_spurious: lost(resp, Losses::spurious),
        orig_reordered: lost(orig, |losses| losses.far().sum.reordered),
        resp_reordered: lost(resp, |losses| losses.far().sum.reordered),
        orig_duplicates: orig.duplicates.into(),
        resp_duplicates: resp.duplicates.into(),
        orig_zero_window_us: micros(orig.tcp.closed().ns),
        resp_zero_window_us: micros(resp.tcp.closed().ns),
        orig_in_flight_max: orig.tcp.in_flight_max.into(),
        resp_in_flight_max: resp.tcp.in_flight_max.into(),
        tunnel: tunnel.map(|tunnel| tunnel.kind.name()),
        tunnel_id: tunnel.and_then(|tunnel| tunnel.id).map(Into::into),
        tunnel_a: tunnel.map(|tunnel| tunnel.a),
        tunnel_b: tunnel.map(|tunnel| tunnel.b),
        legs: flow.legs().count() as i32 + i32::from(flow.has_more_legs),
        evicted: flow.evicted,
    }
}

fn lost(side: &Side, count: fn(&Losses) -> u32) -> i64 {
    side.tcp.losses.as_deref().map_or(0, count).into()
}

pub(crate) fn tcp_event<'a>(event: &TcpEvent, names: &'a Names) -> TcpEventRow<'a> {
    TcpEventRow {
        capture: names.capture_label(event.frame.capture()),
        point: names.point_label(event.point),
        frame: event.frame.frame() as i64,
        ts_ns: event.ns,
        ts: Time(event.ns),
        orig_addr: event.orig.addr,
        orig_port: event.orig.port.into(),
        resp_addr: event.resp.addr,
        resp_port: event.resp.port.into(),
        sender: if event.from_orig { "orig" } else { "resp" },
        seq: event.seq.into(),
        len: event.len.into(),
        segments: event.segments.into(),
        trigger: event.trigger.name(),
        verdict: event.verdict.name(),
        proof: event.proof.map(Proof::name),
        original_frame: event.original.map(|original| original.frame() as i64),
        original_capture: event.original.map(|original| names.capture_label(original.capture())),
        gap_us: event.gap_ns.map(micros),
        rtt_us: event.rtt_ns.map(micros),
        acknowledged: event.acknowledged,
    }
}

fn micros(ns: i64) -> f64 {
    ns as f64 / 1000.0
}

fn transport(proto: u8) -> Option<&'static str> {
    match proto {
        6 => Some("tcp"),
        17 => Some("udp"),
        _ => None,
    }
}

pub(crate) fn icmp_error(error: &IcmpError, names: &Names) -> IcmpErrorRow {
    IcmpErrorRow {
        capture: names.capture(error.frame.capture()),
        point: names.point(error.point),
        frame: error.frame.frame() as i64,
        ts_ns: error.ns,
        ts: Time(error.ns),
        from_addr: error.from,
        to_addr: error.to,
        ttl: error.ttl.into(),
        ip_version: if error.icmp.v4 { 4 } else { 6 },
        icmp_type: error.icmp.kind.into(),
        icmp_code: error.icmp.code.into(),
        meaning: error.icmp.name(),
        mtu: error.mtu.map(Into::into),
        proto: error.proto.into(),
        orig_addr: error.orig.addr,
        orig_port: error.orig.port.into(),
        resp_addr: error.resp.addr,
        resp_port: error.resp.port.into(),
        seq: error.seq.map(Into::into),
        flow_known: error.flow_known,
    }
}

pub(crate) fn echo(echo: &Echo, names: &Names) -> IcmpEchoRow {
    IcmpEchoRow {
        capture: names.capture(echo.frame.capture()),
        point: names.point(echo.point),
        frame: echo.frame.frame() as i64,
        ts_ns: echo.ns,
        ts: Time(echo.ns),
        orig_addr: echo.orig,
        resp_addr: echo.resp,
        echo_id: echo.id.into(),
        echo_seq: echo.seq.into(),
        reply_frame: echo.reply.map(|reply| reply.frame() as i64),
        rtt_us: echo.rtt_ns.map(micros),
        unanswered: echo.unanswered,
    }
}

pub(crate) fn fragments(one: &Fragmented, names: &Names) -> FragmentRow {
    FragmentRow {
        capture: names.capture(one.seen.frame.capture()),
        point: names.point(one.point),
        first_frame: one.seen.frame.frame() as i64,
        ts_ns: one.seen.ns,
        ts: Time(one.seen.ns),
        duration_us: one.last_ns.saturating_sub(one.seen.ns) / 1000,
        src_addr: one.src,
        dst_addr: one.dst,
        src_port: one.seen.ports.map(|ports| ports.0.into()),
        dst_port: one.seen.ports.map(|ports| ports.1.into()),
        proto: one.proto.into(),
        ip_id: one.id.into(),
        fragments: one.parts.into(),
        payload_bytes: one.bytes.into(),
        whole_bytes: one.whole.map(Into::into),
        has_first: one.has_first,
        complete: matches!(one.fate, Fate::Complete | Fate::Snapped),
        reason: one.fate.name(),
        outer_src_addr: one.outer.map(|outer| outer.0),
        outer_dst_addr: one.outer.map(|outer| outer.1),
        tunnel: one.seen.inside.map(|inside| inside.kind.name()),
        inner_src_addr: one.seen.inside.map(|inside| inside.src),
        inner_dst_addr: one.seen.inside.map(|inside| inside.dst),
    }
}

pub(crate) fn flagged(flagged: &Flagged, names: &Names) -> TcpCompatRow {
    TcpCompatRow {
        capture: names.capture(flagged.frame.capture()),
        point: names.point(flagged.point),
        frame: flagged.frame.frame() as i64,
        ts_ns: flagged.ns,
        ts: Time(flagged.ns),
        src_addr: flagged.src.addr,
        src_port: flagged.src.port.into(),
        dst_addr: flagged.dst.addr,
        dst_port: flagged.dst.port.into(),
        flags: Label::Shared(flagged.flags.names().into()),
        rto_us: flagged.rto_ns.map(micros),
        ack_rtt_us: flagged.ack_rtt_ns.map(micros),
    }
}

pub(crate) fn turn<'a>(turn: &'a Turn, names: &'a Names) -> TurnRow<'a> {
    let waited = turn.client_goodbye.filter(|_| turn.fate == track::Fate::GaveUp);
    TurnRow {
        capture: names.capture_label(turn.request.capture()),
        point: names.point_label(turn.point),
        frame: turn.request.frame() as i64,
        ts_ns: turn.asked_ns,
        ts: Time(turn.asked_ns),
        client_addr: turn.client.addr,
        client_port: turn.client.port.into(),
        server_addr: turn.server.addr,
        server_port: turn.server.port.into(),
        turn: turn.number.into(),
        protocol: turn.protocol.name(),
        host: text(&turn.host),
        request: text(&turn.asked.text),
        response: text(&turn.answered.text),
        status: turn.answered.status.map(Into::into),
        response_frame: turn.response.map(|frame| frame.frame() as i64),
        request_bytes: turn.request_bytes.into(),
        response_bytes: turn.response_bytes.into(),
        idle_us: turn.idle_ns.map(micros),
        upload_us: micros(turn.request_end_ns.saturating_sub(turn.asked_ns)),
        network_us: turn.network_ns().map(micros),
        server_us: turn.server_ns().map(micros),
        transfer_us: turn.transfer_ns().map(micros),
        total_us: turn.total_ns().map(micros),
        waited_us: waited.map(|goodbye| micros(goodbye.ns.saturating_sub(turn.request_end_ns))),
        resent: turn.resent != Resent::No,
        fate: Label::Static(turn.fate.name()),
    }
}

fn text(text: &Text) -> Option<&str> {
    (!text.is_empty()).then(|| text.as_str())
}

pub(crate) fn interval(second: i64, point: u16, counts: &Second, names: &Names) -> IntervalRow {
    let ts_ns = second.saturating_mul(1_000_000_000);
    let capture = names.points.get(usize::from(point)).map_or(0, |point| point.capture);
    IntervalRow {
        capture: names.capture(capture),
        point: names.point(point),
        ts_ns,
        ts: Time(ts_ns),
        packets: counts.packets as i64,
        bytes: counts.bytes as i64,
        retransmissions: counts.retransmissions as i64,
        resets: counts.resets as i64,
    }
}
