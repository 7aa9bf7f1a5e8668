use super::{Label, Time};
use crate::Addr;

table! {
    /// One row a datagram that came in IP fragments, at each capture point. Fragments of a tunnel's outer packets have
    /// `tunnel`, fragments inside a tunnel have `outer_src_addr`.
    "fragments" => pub struct FragmentRow {
        /// File.
        pub capture: Label,
        /// Capture point.
        pub point: Label,
        /// Frame of the fragment that came first.
        pub first_frame: i64,
        /// Its time, nanoseconds since the epoch.
        pub ts_ns: i64,
        /// Its time.
        pub ts: Time,
        /// From the fragment that came first to the last, microseconds.
        pub duration_us: i64,
        /// Source.
        pub src_addr: Addr,
        /// Destination.
        pub dst_addr: Addr,
        /// Source port, where the fragment with the beginning of TCP or UDP came.
        pub src_port: Option<i32>,
        /// Destination port, likewise.
        pub dst_port: Option<i32>,
        /// IP protocol of the datagram.
        pub proto: i32,
        /// Identification.
        pub ip_id: i64,
        /// Fragments, copies left out.
        pub fragments: i64,
        /// Payload bytes of these.
        pub payload_bytes: i64,
        /// Payload bytes of the whole datagram, where the fragment with its end came.
        pub whole_bytes: Option<i64>,
        /// Whether the fragment with the beginning came.
        pub has_first: bool,
        /// Whether all fragments came.
        pub complete: bool,
        /// Why not: complete, snapped (all came, the capture cut some), missing, cut-off (the capture ended), evicted
        /// (memory), overlapping, malformed.
        pub reason: &'static str,
        /// Outer source, where the fragments came inside a tunnel.
        pub outer_src_addr: Option<Addr>,
        /// Outer destination, likewise.
        pub outer_dst_addr: Option<Addr>,
        /// Kind of tunnel whose outer packet the datagram is.
        pub tunnel: Option<&'static str>,
        /// Source of the packet inside it.
        pub inner_src_addr: Option<Addr>,
        /// Destination of the packet inside it.
        pub inner_dst_addr: Option<Addr>,
    }
}
