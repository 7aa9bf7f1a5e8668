//! DNS messages (RFC 1035 4.1): one question, and what an answer says to it.

use std::net::IpAddr;

/// Type of an IPv4 address.
pub const A: u16 = 1;
/// Type of an IPv6 address.
pub const AAAA: u16 = 28;

/// What an answer says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer<'a> {
    /// An address and its TTL.
    Address(IpAddr, u32),
    /// The name does not exist; zone, TTL of its SOA and MINIMUM.
    Missing(&'a str, u32, u32),
    /// The name has no record of this type; zone, TTL of its SOA and MINIMUM.
    NoData(&'a str, u32, u32),
    /// The server failed.
    Failure,
}

/// A question that a resolver asks.
pub fn question(id: u16, name: &str, kind: u16) -> Vec<u8> {
    message(id, 0x0100, [1, 0, 0, 0], name, kind)
}

/// The answer to it.
pub fn answer(id: u16, name: &str, kind: u16, answer: Answer<'_>) -> Vec<u8> {
    let (flags, records, authorities) = match answer {
        Answer::Address(..) => (0x8180, 1, 0),
        Answer::Missing(..) => (0x8183, 0, 1),
        Answer::NoData(..) => (0x8180, 0, 1),
        Answer::Failure => (0x8182, 0, 0),
    };
    let mut bytes = message(id, flags, [1, records, authorities, 0], name, kind);
    match answer {
        Answer::Address(IpAddr::V4(ip), ttl) => record(&mut bytes, &[0xc0, 12], A, ttl, &ip.octets()),
        Answer::Address(IpAddr::V6(ip), ttl) => record(&mut bytes, &[0xc0, 12], AAAA, ttl, &ip.octets()),
        Answer::Missing(zone, ttl, minimum) | Answer::NoData(zone, ttl, minimum) => {
            record(&mut bytes, &wire(zone), 6, ttl, &soa(zone, minimum));
        }
        Answer::Failure => {}
    }
    bytes
}

fn message(id: u16, flags: u16, counts: [u16; 4], name: &str, kind: u16) -> Vec<u8> {
    let mut bytes: Vec<u8> = [id, flags].iter().chain(&counts).flat_map(|word| word.to_be_bytes()).collect();
    bytes.extend(wire(name));
    bytes.extend([kind, 1].iter().flat_map(|word| word.to_be_bytes()));
    bytes
}

/// A name in labels.
fn wire(name: &str) -> Vec<u8> {
    let labels = name.split('.').filter(|label| !label.is_empty());
    let mut bytes: Vec<u8> = labels.flat_map(|label| std::iter::once(label.len() as u8).chain(label.bytes())).collect();
    bytes.push(0);
    bytes
}

fn record(bytes: &mut Vec<u8>, owner: &[u8], kind: u16, ttl: u32, data: &[u8]) {
    bytes.extend_from_slice(owner);
    bytes.extend([kind, 1].iter().flat_map(|word| word.to_be_bytes()));
    bytes.extend(ttl.to_be_bytes());
    bytes.extend((data.len() as u16).to_be_bytes());
    bytes.extend_from_slice(data);
}

fn soa(zone: &str, minimum: u32) -> Vec<u8> {
    let mut data = wire(&format!("ns.dns.{zone}"));
    data.extend(wire(&format!("hostmaster.{zone}")));
    data.extend([1, 7200, 1800, 86_400, minimum].iter().flat_map(|word: &u32| word.to_be_bytes()));
    data
}
