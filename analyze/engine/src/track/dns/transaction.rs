//! A DNS question of one client to one server, all of its attempts, and what came back.

use crate::Addr;
use crate::track::event::{FrameId, Rejection};
use crate::track::{Endpoint, Few};
use crate::wire::dns::Name;
use smallvec::SmallVec;
use std::sync::Arc;

/// What carries DNS messages.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Transport {
    /// One datagram a message.
    #[default]
    Udp,
    /// Messages behind their length (RFC 1035 4.2.2).
    Tcp,
}

/// Bits of the second word of a message's header (RFC 1035 4.1.1, RFC 4035 3.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct HeaderFlags(pub u16);

macro_rules! header_flags {
    ($($name:ident = $mask:literal, $doc:literal;)*) => {
        impl HeaderFlags {
            $(
                #[doc = $doc]
                pub fn $name(self) -> bool { self.0 & $mask != 0 }
            )*
        }
    };
}

header_flags! {
    is_response = 0x8000, "QR: it is an answer.";
    authoritative = 0x0400, "AA: the server is an authority for the name; CoreDNS' cache sets it as well.";
    truncated = 0x0200, "TC: the answer did not fit.";
    recursion_desired = 0x0100, "RD: the server is to ask others.";
    recursion_available = 0x0080, "RA: the server asks others.";
    authentic_data = 0x0020, "AD: signatures were checked, or are asked about.";
    checking_disabled = 0x0010, "CD: signatures are not to be checked.";
}

impl HeaderFlags {
    /// Kind of query: 0 is the usual one.
    pub fn opcode(self) -> u8 {
        (self.0 >> 11 & 0xf) as u8
    }
}

/// Response codes (RFC 1035 4.1.1, RFC 6891 6.1.3).
pub mod rcode {
    /// There is an answer, or there is no record of this type (NODATA).
    pub const NOERROR: u16 = 0;
    /// The server does not understand the question.
    pub const FORMERR: u16 = 1;
    /// The server failed, or those it asked.
    pub const SERVFAIL: u16 = 2;
    /// The name does not exist.
    pub const NXDOMAIN: u16 = 3;
    /// The server does not do this kind of query.
    pub const NOTIMP: u16 = 4;
    /// The server will not answer.
    pub const REFUSED: u16 = 5;
}

/// Types of records that matter to look-ups (IANA, DNS parameters).
pub mod qtype {
    /// IPv4 address.
    pub const A: u16 = 1;
    /// Name server.
    pub const NS: u16 = 2;
    /// Another name for this one.
    pub const CNAME: u16 = 5;
    /// Start of authority, which bounds how long an absence is remembered.
    pub const SOA: u16 = 6;
    /// IPv6 address.
    pub const AAAA: u16 = 28;
    /// Extended DNS (RFC 6891).
    pub const OPT: u16 = 41;
    /// Service binding (RFC 9460).
    pub const HTTPS: u16 = 65;
}

/// What a response code is called; `None` where it has no name here.
pub fn rcode_name(code: u16) -> Option<&'static str> {
    Some(match code {
        rcode::NOERROR => "NOERROR",
        rcode::FORMERR => "FORMERR",
        rcode::SERVFAIL => "SERVFAIL",
        rcode::NXDOMAIN => "NXDOMAIN",
        rcode::NOTIMP => "NOTIMP",
        rcode::REFUSED => "REFUSED",
        6 => "YXDOMAIN",
        7 => "YXRRSET",
        8 => "NXRRSET",
        9 => "NOTAUTH",
        10 => "NOTZONE",
        16 => "BADVERS",
        23 => "BADCOOKIE",
        _ => return None,
    })
}

/// What a type of record is called; `None` where it has no name here.
pub fn qtype_name(number: u16) -> Option<&'static str> {
    Some(match number {
        qtype::A => "A",
        qtype::NS => "NS",
        qtype::CNAME => "CNAME",
        qtype::SOA => "SOA",
        12 => "PTR",
        13 => "HINFO",
        15 => "MX",
        16 => "TXT",
        qtype::AAAA => "AAAA",
        29 => "LOC",
        33 => "SRV",
        35 => "NAPTR",
        39 => "DNAME",
        qtype::OPT => "OPT",
        43 => "DS",
        44 => "SSHFP",
        46 => "RRSIG",
        47 => "NSEC",
        48 => "DNSKEY",
        50 => "NSEC3",
        52 => "TLSA",
        64 => "SVCB",
        qtype::HTTPS => "HTTPS",
        251 => "IXFR",
        252 => "AXFR",
        255 => "ANY",
        257 => "CAA",
        _ => return None,
    })
}

/// How a transaction ended at the place nearest to its client that saw it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Outcome {
    /// An answer came.
    Answered,
    /// An ICMP error or a reset came in its place.
    Rejected,
    /// Nothing came, though the capture went on long enough: whether answers can be seen at that place is another
    /// matter, which only the whole capture tells.
    Unanswered,
    /// An answer was seen on its way, but not where the question was seen first.
    Lost,
    /// Nobody can tell: the capture ended too soon, or the memory was full.
    #[default]
    Open,
    /// Only the answer was seen.
    AnswerOnly,
}

impl Outcome {
    /// Name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Rejected => "rejected",
            Self::Unanswered => "unanswered",
            Self::Lost => "lost",
            Self::Open => "open",
            Self::AnswerOnly => "answer_only",
        }
    }
}

/// One time the question was sent, or answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Attempt {
    /// When, nanoseconds since the epoch.
    pub ns: i64,
    /// Where.
    pub frame: FrameId,
}

/// Zone whose start of authority came with a negative answer.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Zone {
    /// Owner of the record, as [`Transaction::name`] is written.
    pub owner: Box<str>,
    /// Primary name server of the zone.
    pub mname: Box<str>,
}

/// Start of authority of a negative answer (RFC 2308).
#[derive(Clone, Debug)]
pub struct Soa {
    /// The zone.
    pub zone: Arc<Zone>,
    /// Seconds the record may be kept.
    pub ttl: u32,
    /// Its MINIMUM field, seconds.
    pub minimum: u32,
}

impl Soa {
    /// Seconds that the absence may be remembered (RFC 2308 5).
    pub fn negative_ttl(&self) -> u32 {
        self.ttl.min(self.minimum)
    }
}

/// Addresses kept of an answer.
pub const ADDRESSES: usize = 4;
/// Names kept of a chain of aliases.
pub const ALIASES: usize = 4;

/// What came back first.
#[derive(Clone, Debug)]
pub struct Answer {
    /// When, at the place nearest to the client that saw it; nanoseconds since the epoch.
    pub ns: i64,
    /// Where.
    pub frame: FrameId,
    /// Header.
    pub flags: HeaderFlags,
    /// Response code, the extended bits included (see [`rcode`]).
    pub rcode: u16,
    /// Records in the answer section, as the header says.
    pub ancount: u16,
    /// Least TTL of the answer section, seconds.
    pub min_ttl: Option<u32>,
    /// First addresses of the answer section.
    pub addresses: Few<Addr, ADDRESSES>,
    /// Addresses in the answer section, all counted.
    pub address_count: u16,
    /// Aliases followed, all counted.
    pub alias_count: u16,
    /// Where the aliases lead to, the first [`ALIASES`].
    pub aliases: Vec<Box<str>>,
    /// Of a negative answer.
    pub soa: Option<Soa>,
    /// Who answered, where it is none of the addresses asked.
    pub unexpected: Option<Endpoint>,
    /// Whether the capture cut the message before its end: counts and lists above are a lower bound.
    pub partial: bool,
}

impl Answer {
    /// Whether the name exists but has no record of the type asked (RFC 2308 2.2).
    pub fn is_nodata(&self) -> bool {
        self.rcode == rcode::NOERROR && self.ancount == 0 && !self.flags.truncated()
    }

    /// Whether it gives records.
    pub fn is_positive(&self) -> bool {
        self.rcode == rcode::NOERROR && self.ancount > 0
    }
}

/// Where the messages of a transaction were seen: a capture point and a tunnel.
#[derive(Clone, Copy, Debug, Default)]
pub struct Leg {
    /// Capture point.
    pub point: u16,
    /// Tunnel; 0 is none.
    pub tunnel: u32,
    /// Who asks, as seen here.
    pub client: Endpoint,
    /// Who is asked, as seen here.
    pub server: Endpoint,
    /// TTL of the question, 0 when it was not seen here.
    pub ttl: u8,
    /// TTL of the answer, 0 when it was not seen here.
    pub answer_ttl: u8,
    /// Attempts that passed.
    pub queries: u16,
    /// Answers that passed.
    pub answers: u16,
    /// First attempt that passed, nanoseconds since the epoch.
    pub first_ns: i64,
    /// Last attempt that passed.
    pub last_ns: i64,
    /// First answer that passed.
    pub answer: Option<Attempt>,
    /// Last answer that passed.
    pub last_answer_ns: i64,
    /// Identification of its IP packet: answers may come close together, so each place tells copies for itself.
    pub(super) answer_ip_id: u16,
}

/// Legs kept in place.
const LEGS: usize = 1;

/// Attempts of which time and frame are kept.
pub const ATTEMPTS: usize = 4;

/// A question of a client to a server and what became of it. The same question from another port, with another
/// identification or to another server is another transaction: the client's next try, or a forwarder's own question.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "they are independent of each other")]
pub struct Transaction {
    /// Unit of the inputs.
    pub unit: u32,
    /// What carried it.
    pub transport: Transport,
    /// Who asks, where it was seen nearest to it: before SNAT.
    pub client: Endpoint,
    /// Who is asked, as the client addresses it: before DNAT.
    pub server: Endpoint,
    /// Who is asked behind DNAT, where that was seen.
    pub backend: Option<Endpoint>,
    /// Identification.
    pub id: u16,
    /// Name asked for: lower case, labels parted by dots, none at the end, `\DDD` for odd bytes (RFC 1035 5.1); the
    /// root is `.`. At most 255 bytes on the wire.
    pub name: Name,
    /// Whether the capture cut the message inside the name, so that `name` is its beginning.
    pub name_cut: bool,
    /// Type asked for.
    pub qtype: u16,
    /// Class asked for: 1 is the internet.
    pub qclass: u16,
    /// Header of the question; only RD, AD and CD where only the answer was seen.
    pub flags: HeaderFlags,
    /// Size of datagram that the client takes (EDNS, RFC 6891 6.2.3), where it says so.
    pub edns_size: Option<u16>,
    /// First attempt, or the answer where no question was seen; nanoseconds since the epoch.
    pub first_ns: i64,
    /// Its frame.
    pub first: FrameId,
    /// Last attempt, nanoseconds since the epoch.
    pub last_query_ns: i64,
    /// Attempts with the same identification, port and question; what several places saw counts once.
    pub attempt_count: u32,
    /// The first of them.
    pub attempts: SmallVec<[Attempt; 1]>,
    /// Answers at the place nearest to the client, the first included. More than attempts: some are duplicates.
    pub answer_count: u32,
    /// The first answer.
    pub answer: Option<Answer>,
    /// First ICMP error about the question.
    pub rejection: Option<Rejection>,
    /// How it ended.
    pub outcome: Outcome,
    /// Answers more than attempts.
    pub duplicates: u32,
    /// Answers with the same identification that do not fit the question.
    pub mismatched: u32,
    /// Where it was seen, nearest to the client first.
    pub legs: SmallVec<[Leg; LEGS]>,
    /// Of a question over TCP: the truncated answer to a datagram that made the client ask again.
    pub truncated: Option<Attempt>,
    /// Whether the capture ended too soon after the last attempt to tell what became of it.
    pub undecided: bool,
    /// Whether an earlier unit of the inputs told the same transaction: it is another row, but counts once.
    pub seen_before: bool,
    /// Whether it was given up early because the memory was full.
    pub evicted: bool,
}

impl Transaction {
    /// First attempt to first answer, nanoseconds: what the client waited, resends included.
    pub fn rtt_ns(&self) -> Option<i64> {
        let answer = self.answer.as_ref()?;
        (self.attempt_count > 0).then(|| answer.ns.saturating_sub(self.first_ns))
    }

    /// Last attempt before the first answer to that answer, nanoseconds: what the server and the way took, as far as
    /// can be told when attempts repeat.
    pub fn last_rtt_ns(&self) -> Option<i64> {
        let answer = self.answer.as_ref()?;
        let before = self.attempts.iter().rfind(|attempt| attempt.ns <= answer.ns)?;
        Some(answer.ns.saturating_sub(before.ns))
    }

    /// A number that sightings of the same transaction share, in whatever unit: identification and question. Source NAT
    /// changes address and port. The same client may use it again.
    pub fn identity(&self) -> u64 {
        let tcp = u64::from(self.transport == Transport::Tcp);
        let numbers = u64::from(self.id) << 32 | u64::from(self.qtype);
        self.name.hash().rotate_left(7) ^ numbers ^ tcp << 63
    }

    /// Response code of the first answer.
    pub fn rcode(&self) -> Option<u16> {
        self.answer.as_ref().map(|answer| answer.rcode)
    }

    /// Attempts that no answer came for; 0 where nobody can tell.
    pub fn unanswered_attempts(&self) -> u32 {
        match self.outcome {
            Outcome::Answered | Outcome::Unanswered | Outcome::Lost => {
                self.attempt_count.saturating_sub(self.answer_count).saturating_sub(self.undecided.into())
            }
            Outcome::Rejected | Outcome::Open | Outcome::AnswerOnly => 0,
        }
    }
}
