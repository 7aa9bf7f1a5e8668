//! Rows of the tables about paths.

use super::clock::{Clock, clocks};
use super::endpoints::{Pairing, Usage, endpoints};
use super::hops::{Place, hops, lost};
use super::segments::{Segment, Spans, segments};
use super::{Binding, Connection, Kept, Stage, quantile};
use crate::collect::Names;
use crate::finding::Between;
use crate::table::{ClockRow, EndpointRow, HopRow, NatBindingRow, SegmentRow, Time};
use crate::track::Endpoint;
use crate::track::event::Flow;
use std::collections::BTreeMap;

/// Translations, in order of their first packets.
pub(crate) fn nat_bindings<'a>(kept: &'a Kept, names: &'a Names) -> impl Iterator<Item = NatBindingRow> {
    kept.connections().iter().flat_map(move |connection| {
        let seen: Vec<NatBindingRow> =
            Binding::of(connection).map(|binding| nat_binding(&binding, kept, names)).collect();
        let listed = connection.listed.filter(|_| seen.is_empty());
        seen.into_iter().chain(listed.map(|post| listed_binding(connection, post, kept, names)))
    })
}

/// A translation that only a listing has.
fn listed_binding(connection: &Connection, post: (Endpoint, Endpoint), kept: &Kept, names: &Names) -> NatBindingRow {
    let mut behind = connection.clone();
    behind.stages.push(Stage { orig: post.0, resp: post.1, seen: connection.front().seen.clone() });
    let binding = Binding { connection: &behind, pre: &behind.stages[0], post: behind.back() };
    NatBindingRow { method: "conntrack", confidence: 0.99, delay_us: None, ..nat_binding(&binding, kept, names) }
}

fn nat_binding(binding: &Binding<'_>, kept: &Kept, names: &Names) -> NatBindingRow {
    let (pre, post) = binding.nearest(kept);
    NatBindingRow {
        capture: names.capture(pre.first.capture()),
        point: names.point(pre.leg.point),
        first_frame: pre.first.frame() as i64,
        post_capture: names.capture(post.first.capture()),
        post_point: names.point(post.leg.point),
        post_frame: post.first.frame() as i64,
        ts_ns: pre.first_ns,
        ts: Time(pre.first_ns),
        proto: pre.proto.into(),
        kind: binding.kind(),
        pre_orig_addr: binding.pre.orig.addr,
        pre_orig_port: binding.pre.orig.port.into(),
        pre_resp_addr: binding.pre.resp.addr,
        pre_resp_port: binding.pre.resp.port.into(),
        post_orig_addr: binding.post.orig.addr,
        post_orig_port: binding.post.orig.port.into(),
        post_resp_addr: binding.post.resp.addr,
        post_resp_port: binding.post.resp.port.into(),
        method: binding.method(kept),
        confidence: binding.connection.confidence,
        conntrack_agrees: binding.connection.agrees(),
        delay_us: delay_us(pre, post),
    }
}

fn delay_us(pre: &Flow, post: &Flow) -> Option<f64> {
    (pre.unit == post.unit).then(|| post.first_ns.saturating_sub(pre.first_ns) as f64 / 1000.0)
}

/// Endpoints by service.
pub(crate) fn endpoint_rows(kept: &Kept, names: &Names) -> Vec<EndpointRow> {
    let all = endpoints(kept);
    let mut totals: BTreeMap<_, u64> = BTreeMap::new();
    for (pairing, usage) in &all {
        *totals.entry((pairing.proto, pairing.service)).or_default() += usage.connections;
    }
    let total = |pairing: &Pairing| totals.get(&(pairing.proto, pairing.service)).copied().unwrap_or_default();
    all.iter().map(|(pairing, usage)| endpoint(*pairing, usage, total(pairing), names)).collect()
}

fn endpoint(pairing: Pairing, usage: &Usage, total: u64, names: &Names) -> EndpointRow {
    let Pairing { proto, service, endpoint } = pairing;
    let micros = |ns: i64| ns as f64 / 1000.0;
    let (first, point) = usage.first.unwrap_or_default();
    EndpointRow {
        capture: names.capture(first.capture()),
        point: names.point(point),
        first_frame: first.frame() as i64,
        proto: proto.into(),
        service_addr: service.addr,
        service_port: service.port.into(),
        endpoint_addr: endpoint.addr,
        endpoint_port: endpoint.port.into(),
        connections: usage.connections as i64,
        share: usage.connections as f64 / total.max(1) as f64,
        established: usage.counts.established as i64,
        refused: usage.counts.refused as i64,
        rejected: usage.counts.rejected as i64,
        unanswered: (usage.counts.unanswered + usage.counts.half_open) as i64,
        success: usage.counts.established as f64 / usage.connections.max(1) as f64,
        resets: usage.resets as i64,
        rtt_p50_us: usage.rtt_ns(0.5).map(micros),
        rtt_p95_us: usage.rtt_ns(0.95).map(micros),
        packets: usage.packets as i64,
        retransmitted_packets: usage.retransmitted as i64,
    }
}

/// Steps through the points of a unit.
pub(crate) fn hop_rows<'a>(kept: &'a Kept, names: &'a Names) -> impl Iterator<Item = HopRow> {
    let hops = kept.connections().iter().flat_map(|connection| hops(connection, kept));
    hops.map(|(from, to)| hop(from, to, names))
}

fn hop(from: Place<'_>, to: Place<'_>, names: &Names) -> HopRow {
    let (flow, here, there) = (from.flow, from.leg, to.leg);
    let [orig_delays, resp_delays] = from.delays_ns(&to);
    let delay_us = |sorted: &[i64], share: f64| quantile(sorted, share).map(|ns| ns as f64 / 1000.0);
    let ttl_drop = here.orig_ttl.zip(there.orig_ttl).map(|(a, b)| i32::from(a) - i32::from(b));
    HopRow {
        capture: names.capture(flow.first.capture()),
        point: names.point(here.point),
        first_frame: flow.first.frame() as i64,
        next_point: names.point(there.point),
        ts_ns: here.first_ns,
        ts: Time(here.first_ns),
        proto: flow.proto.into(),
        orig_addr: flow.orig.addr,
        orig_port: flow.orig.port.into(),
        resp_addr: flow.resp.addr,
        resp_port: flow.resp.port.into(),
        next_tunnel: names.tunnel(there.tunnel).map(|tunnel| tunnel.kind.name()),
        translated: (flow.orig, flow.resp) != (to.flow.orig, to.flow.resp),
        orig_packets: here.orig_packets as i64,
        next_orig_packets: there.orig_packets as i64,
        orig_lost: lost((here.orig_packets, here.orig_payload), (there.orig_packets, there.orig_payload)) as i64,
        next_resp_packets: to.resp.0 as i64,
        resp_packets: from.resp.0 as i64,
        resp_lost: lost(to.resp, from.resp) as i64,
        delay_us: there.first_ns.saturating_sub(here.first_ns) as f64 / 1000.0,
        orig_delay_packets: orig_delays.len() as i64,
        orig_delay_p50_us: delay_us(&orig_delays, 0.5),
        orig_delay_p99_us: delay_us(&orig_delays, 0.99),
        resp_delay_packets: resp_delays.len() as i64,
        resp_delay_p50_us: delay_us(&resp_delays, 0.5),
        resp_delay_p99_us: delay_us(&resp_delays, 0.99),
        ttl_drop,
    }
}

/// Clocks of pairs of units, and what was lost between them.
pub(crate) fn between_units(kept: &Kept, spans: &Spans, names: &Names) -> (Vec<ClockRow>, Vec<SegmentRow>) {
    let clocks = clocks(kept);
    let micros = |ns: i64| ns as f64 / 1000.0;
    let capture = |unit: u32| {
        let point = names.points.iter().find(|point| point.unit == unit);
        point.map(|point| names.capture(point.capture)).unwrap_or_default()
    };
    let clock = |((a, b), clock): (&(u32, u32), &Clock)| ClockRow {
        capture: capture(*a),
        other_capture: capture(*b),
        offset_us: micros(clock.offset_ns),
        bound_us: micros(clock.bound_ns),
        drift_ppm: clock.drift_ppm,
        samples: (clock.samples.0 + clock.samples.1) as i64,
    };
    let segment = |((from, to), segment): (&(u32, u32), &Segment)| SegmentRow {
        capture: capture(*from),
        other_capture: capture(*to),
        lanes: segment.lanes as i64,
        sent_packets: segment.sent as i64,
        seen_packets: segment.seen as i64,
        lost_packets: segment.lost as i64,
        lost: segment.lost as f64 / segment.sent.max(1) as f64,
        delay_p50_us: segment.delay_ns(0.5).map(micros),
        delay_p99_us: segment.delay_ns(0.99).map(micros),
        delay_bound_us: micros(segment.bound_ns),
    };
    let segments = segments(kept, &clocks, spans);
    (clocks.iter().map(clock).collect(), segments.iter().map(segment).collect())
}

/// The same for the report: clocks belong to either direction of a pair.
pub(crate) fn between(clocks: &[ClockRow], segments: &[SegmentRow]) -> Vec<Between> {
    let offset = |segment: &SegmentRow| {
        let (from, to) = (segment.capture.as_str(), segment.other_capture.as_str());
        clocks.iter().find_map(|clock| match (clock.capture.as_str(), clock.other_capture.as_str()) {
            (a, b) if (a, b) == (from, to) => Some((clock.offset_us, clock.bound_us)),
            (a, b) if (b, a) == (from, to) => Some((-clock.offset_us, clock.bound_us)),
            _ => None,
        })
    };
    let one = |segment: &SegmentRow| Between {
        from: segment.capture.as_str().to_owned(),
        to: segment.other_capture.as_str().to_owned(),
        sent_packets: segment.sent_packets,
        lost_packets: segment.lost_packets,
        delay_p50_us: segment.delay_p50_us,
        delay_p99_us: segment.delay_p99_us,
        clock_offset_us: offset(segment).map(|(offset, _)| offset),
        clock_bound_us: offset(segment).map(|(_, bound)| bound),
    };
    segments.iter().map(one).collect()
}
