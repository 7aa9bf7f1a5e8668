use super::{Joined, Label, Time};
use crate::Addr;

table! {
    /// One row a DNS question of a client to a server, all of its attempts with the same identification and port in
    /// one; another port, identification or server is another row.
    "dns_transactions" => pub struct DnsTransactionRow<'a> {
        /// File.
        pub capture: &'a Label,
        /// Capture point that saw it nearest to the client.
        pub point: &'a Label,
        /// First frame: of the first attempt, or of the answer when no attempt was captured.
        pub first_frame: i64,
        /// Time of that frame, nanoseconds since the epoch.
        pub ts_ns: i64,
        /// Time of that frame.
        pub ts: Time,
        /// Who asks, before SNAT where that was seen.
        pub client_addr: Addr,
        /// Port of the client.
        pub client_port: i32,
        /// Who is asked, as the client addresses it.
        pub server_addr: Addr,
        /// Port of the server.
        pub server_port: i32,
        /// Who is asked behind DNAT, where that was seen.
        pub backend_addr: Option<Addr>,
        /// Port of the backend.
        pub backend_port: Option<i32>,
        /// `udp` or `tcp`.
        pub transport: &'static str,
        /// Identification.
        pub dns_id: i32,
        /// Name asked for: lower case, no dot at the end, `\DDD` for odd bytes.
        pub qname: &'a str,
        /// Whether the capture cut the message inside the name, so that `qname` is its beginning.
        pub qname_cut: bool,
        /// Type asked for, `TYPE123` where it has no name here; nothing when the capture cut it.
        pub qtype: Option<Label>,
        /// Class asked for, 1 being the internet; nothing when the capture cut it.
        pub qclass: Option<i32>,
        /// RD: the client asks for recursion.
        pub rd: bool,
        /// AD of the question: the client wants to know whether signatures were checked.
        pub ad: bool,
        /// CD: signatures are not to be checked.
        pub cd: bool,
        /// Datagram size that the client takes (EDNS), bytes.
        pub edns_size: Option<i32>,
        /// `answered`, `rejected` (ICMP error), `unanswered`, `lost` (an answer was seen elsewhere, not here), `open` (the
        /// capture ended too soon to tell) or `answer_only`.
        pub outcome: &'static str,
        /// Attempts, what several places saw counted once.
        pub attempts: i64,
        /// Answers that came, the first included.
        pub answers: i64,
        /// Answers more than attempts.
        pub duplicates: i64,
        /// Answers with this identification, addresses and ports to another question.
        pub mismatched: i64,
        /// First attempt to first answer, microseconds.
        pub rtt_us: Option<f64>,
        /// Last attempt before the first answer to that answer, microseconds.
        pub rtt_last_us: Option<f64>,
        /// First to last attempt, microseconds: what the client waited for nothing.
        pub resend_us: f64,
        /// Frame of the first answer.
        pub answer_frame: Option<i64>,
        /// Response code in words, `RCODE12` where it has none here.
        pub rcode: Option<Label>,
        /// AA: the server claims authority.
        pub aa: Option<bool>,
        /// TC: the answer did not fit.
        pub tc: Option<bool>,
        /// RA: the server asks others.
        pub ra: Option<bool>,
        /// Records in the answer section.
        pub ancount: Option<i64>,
        /// Least TTL in the answer section, seconds.
        pub min_ttl_s: Option<i64>,
        /// First addresses answered, by a space.
        pub addresses: Option<Joined<'a, Addr>>,
        /// Names that aliases lead to, in order, by a space.
        pub cname_chain: Option<Joined<'a, Box<str>>>,
        /// Aliases in the answer section.
        pub cnames: Option<i64>,
        /// Zone that says no.
        pub soa_owner: Option<&'a str>,
        /// Primary name server of that zone.
        pub soa_mname: Option<&'a str>,
        /// Seconds that the absence may be remembered: the least of TTL and MINIMUM (RFC 2308).
        pub soa_negative_ttl_s: Option<i64>,
        /// MINIMUM of the start of authority, seconds.
        pub soa_minimum_s: Option<i64>,
        /// Whether the capture cut the answer, so that what is told of its records is a lower bound.
        pub answer_cut: Option<bool>,
        /// Who answered, where it is no address that was asked.
        pub answered_by_addr: Option<Addr>,
        /// Who sent an ICMP error about the question.
        pub icmp_from_addr: Option<Addr>,
        /// Type and code of that error.
        pub icmp_error: Option<String>,
        /// Of a question over TCP: frame of the truncated answer before it.
        pub truncated_frame: Option<i64>,
        /// Capture points and tunnels that saw it.
        pub legs: i32,
        /// Whether an earlier unit of the inputs has the same transaction.
        pub seen_before: bool,
        /// Whether it was given up early because the memory was full.
        pub evicted: bool,
    }
}
