use super::Label;

table! {
    /// One row a pair of captures and direction: what was lost and how long it took between them, of TCP connections that
    /// both saw from the handshake on.
    "segments" => pub struct SegmentRow {
        /// Where packets were seen first.
        pub capture: Label,
        /// Where they were seen next.
        pub other_capture: Label,
        /// Directions of connections that were compared.
        pub lanes: i64,
        /// Packets at the one.
        pub sent_packets: i64,
        /// Packets at the other; segmentation offload changes their number.
        pub seen_packets: i64,
        /// Packets that did not arrive.
        pub lost_packets: i64,
        /// Their share of those sent, 0 to 1.
        pub lost: f64,
        /// Time from the one to the other, microseconds, median of handshakes, clocks put right.
        pub delay_p50_us: Option<f64>,
        /// The same, 99th percentile.
        pub delay_p99_us: Option<f64>,
        /// Delays are known to within this, microseconds.
        pub delay_bound_us: f64,
    }
}
