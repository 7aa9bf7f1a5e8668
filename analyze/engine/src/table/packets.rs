use super::{Label, Time};
use crate::Addr;

table! {
    /// One row a frame, with its innermost packet. Only on demand: it doubles the work.
    "packets" => pub struct PacketRow {
        /// File.
        pub capture: Label,
        /// Capture point.
        pub point: Label,
        /// Frame number.
        pub frame: i64,
        /// Time, nanoseconds since the epoch.
        pub ts_ns: i64,
        /// Time.
        pub ts: Time,
        /// Kind: tcp, udp, icmp, icmp-echo, icmp-error, arp, fragment, ip or other.
        pub kind: Label,
        /// Innermost source address.
        pub src_addr: Option<Addr>,
        /// Innermost destination address.
        pub dst_addr: Option<Addr>,
        /// Source port.
        pub src_port: i32,
        /// Destination port.
        pub dst_port: i32,
        /// IP protocol number.
        pub proto: i32,
        /// Bytes of the innermost IP packet.
        pub ip_bytes: i32,
        /// Bytes of transport payload.
        pub payload_bytes: i32,
        /// TTL or hop limit.
        pub ttl: i32,
        /// IPv4 identification.
        pub ip_id: i32,
        /// TCP flags as a number.
        pub tcp_flags: i32,
        /// TCP sequence number, or that of a ping.
        pub seq: i64,
        /// TCP acknowledgement number.
        pub ack: i64,
        /// TCP window, unscaled.
        pub window: i32,
        /// Tunnel kind.
        pub tunnel: Option<Label>,
        /// VNI, key or session of the tunnel.
        pub tunnel_id: Option<i64>,
        /// Whether the capture cut the frame.
        pub snapped: bool,
    }
}
