use super::{Label, Time};
use crate::Addr;

table! {
    /// One row an ICMP or ICMPv6 error, as first seen; copies at other points within 50 ms are left out.
    "icmp_errors" => pub struct IcmpErrorRow {
        /// File.
        pub capture: Label,
        /// Capture point.
        pub point: Label,
        /// Frame number.
        pub frame: i64,
        /// Time, nanoseconds since the epoch.
        pub ts_ns: i64,
        /// Time.
        pub ts: Time,
        /// Who says so.
        pub from_addr: Addr,
        /// To whom.
        pub to_addr: Addr,
        /// TTL or hop limit of the error.
        pub ttl: i32,
        /// IP version, 4 or 6.
        pub ip_version: i32,
        /// ICMP type.
        pub icmp_type: i32,
        /// ICMP code.
        pub icmp_code: i32,
        /// Type and code in words.
        pub meaning: &'static str,
        /// Next-hop MTU, bytes.
        pub mtu: Option<i64>,
        /// IP protocol of the quoted packet.
        pub proto: i32,
        /// Source of the quoted packet.
        pub orig_addr: Addr,
        /// Source port of the quoted packet.
        pub orig_port: i32,
        /// Destination of the quoted packet.
        pub resp_addr: Addr,
        /// Destination port of the quoted packet.
        pub resp_port: i32,
        /// TCP sequence number of the quoted packet.
        pub seq: Option<i64>,
        /// Whether the capture has a connection that the quoted packet belongs to.
        pub flow_known: bool,
    }
}
