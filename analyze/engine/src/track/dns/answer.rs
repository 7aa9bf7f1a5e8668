//! What an answer says, of its records what look-ups are about.

use super::Seen;
use super::transaction::{ALIASES, Answer, HeaderFlags, Soa, Zone};
use crate::track::Few;
use crate::wire::dns::{self, Record, Section};
use std::sync::Arc;

/// Zones told of last, so that their names are kept once.
#[derive(Debug, Default)]
pub(super) struct Zones {
    recent: Vec<Arc<Zone>>,
    /// The one told of last, and the one that came last.
    last: usize,
    at: usize,
    /// Room to read names of a zone that is probably known.
    owner: Vec<u8>,
    mname: Vec<u8>,
}

/// Zones remembered; a cluster's clients meet a handful.
const ZONES: usize = 32;

impl Zones {
    /// The zone of a start of authority.
    fn read(&mut self, record: &Record<'_>, message: &[u8]) -> Option<Arc<Zone>> {
        let is_it = |zone: &Arc<Zone>| {
            dns::is_name(message, record.name_at, zone.owner.as_bytes())
                && dns::is_name(message, record.data_at, zone.mname.as_bytes())
        };
        if let Some(last) = self.recent.get(self.last).filter(|zone| is_it(zone)) {
            return Some(Arc::clone(last));
        }
        if let Some(known) = self.recent.iter().position(is_it) {
            self.last = known;
            return Some(Arc::clone(&self.recent[known]));
        }
        self.read_new(record, message)
    }

    fn read_new(&mut self, record: &Record<'_>, message: &[u8]) -> Option<Arc<Zone>> {
        self.owner.clear();
        self.mname.clear();
        dns::push_name(&mut self.owner, message, record.name_at)?;
        dns::push_name(&mut self.mname, message, record.data_at)?;
        let is_it = |known: &&Arc<Zone>| known.owner.as_bytes() == self.owner && known.mname.as_bytes() == self.mname;
        if let Some(known) = self.recent.iter().find(is_it) {
            return Some(Arc::clone(known));
        }
        let text = |name: &[u8]| str::from_utf8(name).unwrap_or_default().into();
        let new = Arc::new(Zone { owner: text(&self.owner), mname: text(&self.mname) });
        if self.recent.len() < ZONES {
            self.recent.push(Arc::clone(&new));
        } else {
            self.at = (self.at + 1) % ZONES;
            self.recent[self.at] = Arc::clone(&new);
        }
        Some(new)
    }
}

/// The datagram size that a question offers (RFC 6891 6.2.3).
pub(super) fn edns_size(seen: &Seen<'_>) -> Option<u16> {
    let [_, _, _, additionals] = seen.message.counts;
    let mut records = (additionals > 0).then(|| seen.message.records())?;
    records.find(|record| record.rtype == dns::OPT).map(|record| record.class)
}

/// Reads an answer.
pub(super) fn answer(seen: &Seen<'_>, zones: &mut Zones) -> Answer {
    let [_, ancount, _, _] = seen.message.counts;
    let mut answer = Answer {
        ns: seen.ns(),
        frame: seen.frame,
        flags: HeaderFlags(seen.message.flags),
        rcode: seen.message.rcode(),
        ancount,
        min_ttl: None,
        addresses: Few::default(),
        address_count: 0,
        alias_count: 0,
        aliases: Vec::new(),
        soa: None,
        unexpected: None,
        partial: false,
    };
    let mut records = seen.message.records();
    for record in records.by_ref() {
        match (record.section, record.rtype) {
            (Section::Answer, _) => answered(&mut answer, &record, seen.message.bytes),
            (Section::Authority, dns::SOA) if ancount == 0 => {
                answer.soa = answer.soa.or_else(|| soa(&record, seen.message.bytes, zones));
            }
            (Section::Additional, dns::OPT) => answer.rcode |= (record.ttl >> 24 << 4) as u16,
            _ => {}
        }
    }
    answer.partial = !records.is_complete();
    answer
}

fn answered(answer: &mut Answer, record: &Record<'_>, message: &[u8]) {
    answer.min_ttl = Some(answer.min_ttl.map_or(record.ttl, |least| least.min(record.ttl)));
    if let Some(address) = dns::address(record) {
        answer.addresses.push(address);
        answer.address_count = answer.address_count.saturating_add(1);
    } else if record.rtype == dns::CNAME {
        answer.alias_count = answer.alias_count.saturating_add(1);
        if answer.aliases.len() < ALIASES {
            answer.aliases.extend(dns::name_at(message, record.data_at).map(String::into_boxed_str));
        }
    }
}

fn soa(record: &Record<'_>, message: &[u8], zones: &mut Zones) -> Option<Soa> {
    Some(Soa { zone: zones.read(record, message)?, ttl: record.ttl, minimum: dns::soa_minimum(record)? })
}
