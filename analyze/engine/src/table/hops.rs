use super::{Label, Time};
use crate::Addr;

table! {
    /// One row a connection and step of its way within a capture: from one capture point to the next, translation and
    /// tunnels in between included. Packets of the originator; the way back has the points in reverse.
    "hops" => pub struct HopRow {
        /// File of the connection's first frame there.
        pub capture: Label,
        /// Capture point that packets of the originator pass first.
        pub point: Label,
        /// Number of the connection's first frame.
        pub first_frame: i64,
        /// Capture point they pass next.
        pub next_point: Label,
        /// Time of the first packet at the first point, nanoseconds since the epoch.
        pub ts_ns: i64,
        /// Time of the first packet at the first point.
        pub ts: Time,
        /// IP protocol number.
        pub proto: i32,
        /// Address of the originator at the first point.
        pub orig_addr: Addr,
        /// Port of the originator at the first point.
        pub orig_port: i32,
        /// Address of the responder at the first point.
        pub resp_addr: Addr,
        /// Port of the responder at the first point.
        pub resp_port: i32,
        /// Tunnel at the next point, by kind.
        pub next_tunnel: Option<&'static str>,
        /// Whether addresses were translated in between.
        pub translated: bool,
        /// Packets of the originator at the first point.
        pub orig_packets: i64,
        /// Packets of the originator at the next point.
        pub next_orig_packets: i64,
        /// Packets of the originator that were seen at the first point and not at the next.
        pub orig_lost: i64,
        /// Packets of the responder at the next point, which they pass first.
        pub next_resp_packets: i64,
        /// Packets of the responder at the first point.
        pub resp_packets: i64,
        /// Packets of the responder that were seen at the next point and not at the first.
        pub resp_lost: i64,
        /// Time of the first packet from the one point to the other, microseconds.
        pub delay_us: f64,
        /// Packets of the originator whose passing both points was noted: all of up to 256 at each, else a random sample.
        pub orig_delay_packets: i64,
        /// Time that they took from the one point to the other, median, microseconds.
        pub orig_delay_p50_us: Option<f64>,
        /// The same, 99th percentile.
        pub orig_delay_p99_us: Option<f64>,
        /// Packets of the responder whose passing both points was noted.
        pub resp_delay_packets: i64,
        /// Time that they took from the next point to the first, median, microseconds.
        pub resp_delay_p50_us: Option<f64>,
        /// The same, 99th percentile.
        pub resp_delay_p99_us: Option<f64>,
        /// TTL of the originator's first packet at the next point less than at the first: routers passed.
        pub ttl_drop: Option<i32>,
    }
}
