use super::Label;

table! {
    /// One row a pair of captures whose clocks can be compared, from handshakes that both saw.
    "clocks" => pub struct ClockRow {
        /// One capture.
        pub capture: Label,
        /// The other.
        pub other_capture: Label,
        /// The other's clock minus the one's, microseconds, in the middle of the time they share.
        pub offset_us: f64,
        /// The offset is known to within this, microseconds.
        pub bound_us: f64,
        /// How much faster the other's clock goes, parts per million; nothing under 30 s or where it cannot be told.
        pub drift_ppm: Option<f64>,
        /// Packets that were used.
        pub samples: i64,
    }
}
