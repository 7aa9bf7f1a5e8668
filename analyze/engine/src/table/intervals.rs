use super::{Label, Time};

table! {
    /// One row a second and capture point. A second whose frames lie far apart in the file may have several rows: sum
    /// them.
    "intervals" => pub struct IntervalRow {
        /// First file that has the point.
        pub capture: Label,
        /// Capture point.
        pub point: Label,
        /// Start of the second, nanoseconds since the epoch.
        pub ts_ns: i64,
        /// Start of the second.
        pub ts: Time,
        /// Frames.
        pub packets: i64,
        /// Bytes of the frames on the wire.
        pub bytes: i64,
        /// TCP segments with payload sent before, counted at the connection's first leg.
        pub retransmissions: i64,
        /// TCP resets, counted at the connection's first leg.
        pub resets: i64,
    }
}
