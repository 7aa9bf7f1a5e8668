use super::{Label, Time};
use crate::Addr;

table! {
    /// One row a connection and translation: its addresses before and behind a NAT, where the captures saw both. The
    /// originator's side is before. Where only a listing of conntrack has what is behind, the frame is that before.
    "nat_bindings" => pub struct NatBindingRow {
        /// File of the first frame before the NAT.
        pub capture: Label,
        /// Capture point of that frame.
        pub point: Label,
        /// Number of that frame.
        pub first_frame: i64,
        /// File of the first frame behind the NAT.
        pub post_capture: Label,
        /// Capture point of that frame.
        pub post_point: Label,
        /// Number of that frame.
        pub post_frame: i64,
        /// Time of the first packet before the NAT, nanoseconds since the epoch.
        pub ts_ns: i64,
        /// Time of the first packet before the NAT.
        pub ts: Time,
        /// IP protocol number.
        pub proto: i32,
        /// What was translated: dnat (destination), snat (source), both, or hairpin (back to the originator itself).
        pub kind: &'static str,
        /// Address of the originator before the NAT.
        pub pre_orig_addr: Addr,
        /// Port of the originator before the NAT.
        pub pre_orig_port: i32,
        /// Address of the responder before the NAT: the service's.
        pub pre_resp_addr: Addr,
        /// Port of the responder before the NAT.
        pub pre_resp_port: i32,
        /// Address of the originator behind the NAT.
        pub post_orig_addr: Addr,
        /// Port of the originator behind the NAT.
        pub post_orig_port: i32,
        /// Address of the responder behind the NAT: the endpoint's.
        pub post_resp_addr: Addr,
        /// Port of the responder behind the NAT.
        pub post_resp_port: i32,
        /// How the two are known to be one: syn (its sequence number, timestamp, window and options), segments (equal
        /// segments in the middle), datagram (equal payload), conntrack (a listing says so).
        pub method: &'static str,
        /// How sure, 0 to 1.
        pub confidence: f64,
        /// Whether a listing of conntrack says the same; nothing where it does not have the connection.
        pub conntrack_agrees: Option<bool>,
        /// First packet before the NAT to first packet behind it, microseconds, where one clock saw both.
        pub delay_us: Option<f64>,
    }
}
