use super::{Label, Time};
use crate::Addr;

table! {
    /// One row a tunnel: two outer addresses and an identifier. Counts are of frames: a capture with several points
    /// counts a packet at each.
    "tunnels" => pub struct TunnelRow {
        /// File of the first frame.
        pub capture: Label,
        /// Number of the first frame.
        pub first_frame: i64,
        /// Time of the first frame, nanoseconds since the epoch.
        pub ts_ns: i64,
        /// Time of the first frame.
        pub ts: Time,
        /// First to last frame, microseconds.
        pub duration_us: i64,
        /// Kind: vxlan, vxlan-gpe, geneve, gre, erspan, ipip or wireguard.
        pub kind: &'static str,
        /// The end with the lower address.
        pub a_addr: Addr,
        /// The end with the higher address.
        pub b_addr: Addr,
        /// VNI, GRE key or ERSPAN session.
        pub id: Option<i64>,
        /// Outer UDP destination port of the first frame.
        pub port: Option<i32>,
        /// Frames from a to b.
        pub ab_frames: i64,
        /// Frames from b to a.
        pub ba_frames: i64,
        /// Outer IP bytes from a to b.
        pub ab_bytes: i64,
        /// Outer IP bytes from b to a.
        pub ba_bytes: i64,
    }
}
