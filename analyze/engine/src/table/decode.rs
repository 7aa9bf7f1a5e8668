use super::Label;

table! {
    /// One row a layer met at a capture point.
    "decode" => pub struct DecodeRow {
        /// First file that has the point.
        pub capture: Label,
        /// Capture point.
        pub point: Label,
        /// Layer, by name.
        pub layer: &'static str,
        /// Whether the layer is decoded; else frames are decoded up to it.
        pub decoded: bool,
        /// Times the layer was met; more than frames where it is nested.
        pub frames: i64,
        /// Frames that the capture cut inside the layer.
        pub snapped: i64,
        /// Frames whose bytes contradict the layer's format.
        pub malformed: i64,
    }
}
