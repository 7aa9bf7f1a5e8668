use super::{Label, Time};
use crate::Addr;

table! {
    /// One row a TCP frame that Wireshark 4.0 would flag. Only with `--compat wireshark-4.0`; its mistakes are kept.
    "tcp_compat" => pub struct TcpCompatRow {
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
        /// Innermost source address.
        pub src_addr: Addr,
        /// Source port.
        pub src_port: i32,
        /// Innermost destination address.
        pub dst_addr: Addr,
        /// Destination port.
        pub dst_port: i32,
        /// Names of the flags without `tcp.analysis.`, separated by commas.
        pub flags: Label,
        /// Since when the retransmission was due (`tcp.analysis.rto`), microseconds.
        pub rto_us: Option<f64>,
        /// Since when the segment that is acknowledged waited (`tcp.analysis.ack_rtt`), microseconds.
        pub ack_rtt_us: Option<f64>,
    }
}
