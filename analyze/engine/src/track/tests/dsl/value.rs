//! What came of a table, in words.

use super::Facts;
use crate::track::event::Flow;

fn maybe<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| value.to_string())
}

fn millis(ns: Option<i64>) -> String {
    maybe(ns.map(|ns| ns as f64 / 1e6))
}

pub(super) fn value(facts: &Facts, flow: usize, key: &str) -> String {
    match key {
        "flows" => return facts.flows.len().to_string(),
        "errors" => return facts.errors.len().to_string(),
        "tallies" => return facts.tallies.to_string(),
        _ => {}
    }
    let flow = facts.flows.get(flow).unwrap_or_else(|| panic!("no connection {flow}"));
    match key {
        "state" => flow.state.name().to_owned(),
        "history" => flow.history.as_str().to_owned(),
        "orig" => flow.orig.to_string(),
        "resp" => flow.resp.to_string(),
        "rtt_resp_ms" => millis(flow.rtt_resp_ns.get()),
        "rtt_orig_ms" => millis(flow.rtt_orig_ns.get()),
        "duration_ms" => millis(Some(flow.last_ns - flow.first_ns)),
        "resets" => flow.reset().map_or(0, |reset| reset.count).to_string(),
        "reset_by" => maybe(flow.reset().map(|reset| if reset.by_orig { "orig" } else { "resp" })),
        "reset_ttl" => maybe(flow.reset().map(|reset| reset.ttl)),
        "icmp" => maybe(flow.rejection().map(|icmp| format!("{}/{}", icmp.icmp.kind, icmp.icmp.code))),
        "icmp_count" => flow.rejection().map_or(0, |icmp| icmp.count).to_string(),
        "icmp_from" => maybe(flow.rejection().map(|icmp| icmp.from)),
        "legs" => flow.legs().count().to_string(),
        "evicted" => flow.evicted.to_string(),
        "outcome" => format!("{:?}", flow.outcome()),
        "first" => flow.first.frame().to_string(),
        _ => side_value(flow, key),
    }
}

fn side_value(flow: &Flow, key: &str) -> String {
    let (side, key) = key.split_once('.').unwrap_or_else(|| panic!("unknown fact {key}"));
    let side = if side == "orig" { &flow.from_orig } else { &flow.from_resp };
    match key {
        "packets" => side.packets.to_string(),
        "bytes" => side.bytes.to_string(),
        "payload" => side.payload_bytes.to_string(),
        "retransmitted_bytes" => side.retransmitted_bytes.to_string(),
        "retransmitted" => side.retransmitted_packets.to_string(),
        "out_of_order" => side.out_of_order.to_string(),
        "duplicates" => side.duplicates.to_string(),
        "missed" => side.missed_bytes.to_string(),
        "syns" => side.syns.to_string(),
        "keepalives" => side.keepalives.to_string(),
        "mss" => maybe(side.mss),
        "ws" => maybe(side.window_scale),
        "ttl" => maybe(side.ttl),
        "isn" => maybe(side.isn),
        "zero_window" => side.zero_window.to_string(),
        "fin" => side.fin.to_string(),
        _ => panic!("unknown fact {key}"),
    }
}
