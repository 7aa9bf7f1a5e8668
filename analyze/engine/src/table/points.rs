use super::{Label, Time};

table! {
    /// One row a capture point: an interface of a file.
    "points" => pub struct PointRow {
        /// First file that has the point.
        pub capture: Label,
        /// Name of the point.
        pub point: Label,
        /// Unit of the inputs.
        pub unit: i32,
        /// Link type.
        pub link_type: String,
        /// Frames analysed.
        pub frames: i64,
        /// Bytes of the frames on the wire.
        pub bytes: i64,
        /// Frames that the capture cut.
        pub snapped_frames: i64,
        /// Frames in which some layer contradicts its format.
        pub malformed_frames: i64,
        /// IP fragments.
        pub fragments: i64,
        /// Frames older than the frame before.
        pub backward_frames: i64,
        /// Time of the first frame, nanoseconds since the epoch.
        pub first_ts_ns: Option<i64>,
        /// Time of the first frame.
        pub first_ts: Option<Time>,
        /// Time of the last frame, nanoseconds since the epoch.
        pub last_ts_ns: Option<i64>,
        /// Time of the last frame.
        pub last_ts: Option<Time>,
    }
}
