use super::{Label, Time};
use crate::Addr;

table! {
    /// One row a ping.
    "icmp_echo" => pub struct IcmpEchoRow {
        /// File.
        pub capture: Label,
        /// Capture point of the request.
        pub point: Label,
        /// Frame of the request, or of the reply when the request was not captured.
        pub frame: i64,
        /// Time of that frame, nanoseconds since the epoch.
        pub ts_ns: i64,
        /// Time of that frame.
        pub ts: Time,
        /// Who pings.
        pub orig_addr: Addr,
        /// Who is pinged.
        pub resp_addr: Addr,
        /// Identifier.
        pub echo_id: i32,
        /// Sequence number.
        pub echo_seq: i32,
        /// Frame of the reply.
        pub reply_frame: Option<i64>,
        /// Request to reply at one capture point, microseconds.
        pub rtt_us: Option<f64>,
        /// Whether no reply came although the capture went on long enough to see it.
        pub unanswered: bool,
    }
}
