//! DNS transactions to rows.

use super::micros;
use crate::Addr;
use crate::collect::Names;
use crate::table::{DnsTransactionRow, Joined, Label, Time};
use crate::track::dns::Transaction;
use crate::track::dns::transaction::{Answer, Transport, qtype_name, rcode_name};

pub(crate) fn dns_transaction<'a>(told: &'a Transaction, names: &'a Names) -> DnsTransactionRow<'a> {
    let answer = told.answer.as_ref();
    let soa = answer.and_then(|answer| answer.soa.as_ref());
    let known = told.qtype != 0;
    DnsTransactionRow {
        capture: names.capture_label(told.first.capture()),
        point: told.legs.first().map(|leg| names.point_label(leg.point)).unwrap_or_default(),
        first_frame: told.first.frame() as i64,
        ts_ns: told.first_ns,
        ts: Time(told.first_ns),
        client_addr: told.client.addr,
        client_port: told.client.port.into(),
        server_addr: told.server.addr,
        server_port: told.server.port.into(),
        backend_addr: told.backend.map(|backend| backend.addr),
        backend_port: told.backend.map(|backend| backend.port.into()),
        transport: match told.transport {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
        },
        dns_id: told.id.into(),
        qname: &told.name,
        qname_cut: told.name_cut,
        qtype: known.then(|| label(qtype_name(told.qtype), "TYPE", told.qtype)),
        qclass: known.then(|| told.qclass.into()),
        rd: told.flags.recursion_desired(),
        ad: told.flags.authentic_data(),
        cd: told.flags.checking_disabled(),
        edns_size: told.edns_size.map(Into::into),
        outcome: told.outcome.name(),
        attempts: told.attempt_count.into(),
        answers: told.answer_count.into(),
        duplicates: told.duplicates.into(),
        mismatched: told.mismatched.into(),
        rtt_us: told.rtt_ns().map(micros),
        rtt_last_us: told.last_rtt_ns().map(micros),
        resend_us: micros(told.last_query_ns.saturating_sub(told.first_ns)),
        answer_frame: answer.map(|answer| answer.frame.frame() as i64),
        rcode: answer.map(|answer| label(rcode_name(answer.rcode), "RCODE", answer.rcode)),
        aa: answer.map(|answer| answer.flags.authoritative()),
        tc: answer.map(|answer| answer.flags.truncated()),
        ra: answer.map(|answer| answer.flags.recursion_available()),
        ancount: answer.map(|answer| answer.ancount.into()),
        min_ttl_s: answer.and_then(|answer| answer.min_ttl).map(Into::into),
        addresses: answer.and_then(addresses),
        cname_chain: answer.filter(|answer| !answer.aliases.is_empty()).map(|answer| Joined(&answer.aliases)),
        cnames: answer.map(|answer| answer.alias_count.into()),
        soa_owner: soa.map(|soa| &*soa.zone.owner),
        soa_mname: soa.map(|soa| &*soa.zone.mname),
        soa_negative_ttl_s: soa.map(|soa| soa.negative_ttl().into()),
        soa_minimum_s: soa.map(|soa| soa.minimum.into()),
        answer_cut: answer.map(|answer| answer.partial),
        answered_by_addr: answer.and_then(|answer| answer.unexpected).map(|from| from.addr),
        icmp_from_addr: told.rejection.map(|rejection| rejection.from),
        icmp_error: told.rejection.map(|rejection| format!("{}/{}", rejection.icmp.kind, rejection.icmp.code)),
        truncated_frame: told.truncated.map(|before| before.frame.frame() as i64),
        legs: told.legs.len() as i32,
        seen_before: told.seen_before,
        evicted: told.evicted,
    }
}

fn addresses(answer: &Answer) -> Option<Joined<'_, Addr>> {
    Some(Joined(answer.addresses.as_slice())).filter(|all| !all.0.is_empty())
}

/// The name of a number, or the number behind what it is.
fn label(name: Option<&'static str>, kind: &str, number: u16) -> Label {
    name.map_or_else(|| Label::Shared(format!("{kind}{number}").into()), Label::Static)
}
