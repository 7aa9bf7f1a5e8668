use super::{Label, Time};
use crate::Addr;

table! {
    /// One row a connection: an innermost five-tuple, all capture points and tunnels that saw it rolled up.
    /// Counts are of packets, not of sightings: those of the leg that saw most.
    "flows" => pub struct FlowRow<'a> {
        /// File of the first frame.
        pub capture: &'a Label,
        /// Capture point of the first frame.
        pub point: &'a Label,
        /// Number of the first frame.
        pub first_frame: i64,
        /// Time of the first packet, nanoseconds since the epoch.
        pub ts_ns: i64,
        /// Time of the first packet.
        pub ts: Time,
        /// First to last packet, microseconds.
        pub duration_us: i64,
        /// IP protocol number.
        pub proto: i32,
        /// IP protocol name where it is TCP or UDP.
        pub transport: Option<&'static str>,
        /// Address of the originator.
        pub orig_addr: Addr,
        /// Port of the originator.
        pub orig_port: i32,
        /// Address of the responder.
        pub resp_addr: Addr,
        /// Port of the responder.
        pub resp_port: i32,
        /// Outcome, as Zeek's `conn_state`.
        pub conn_state: &'static str,
        /// Zeek's history letters, upper case for the originator; t retransmission, w zero window.
        pub history: &'a str,
        /// Packets of the originator.
        pub orig_packets: i64,
        /// Packets of the responder.
        pub resp_packets: i64,
        /// IP bytes of the originator, headers included.
        pub orig_bytes: i64,
        /// IP bytes of the responder, headers included.
        pub resp_bytes: i64,
        /// Payload bytes of the originator, retransmitted ones included.
        pub orig_payload_bytes: i64,
        /// Payload bytes of the responder, retransmitted ones included.
        pub resp_payload_bytes: i64,
        /// Payload bytes the originator sent again.
        pub orig_retransmitted_bytes: i64,
        /// Payload bytes the responder sent again.
        pub resp_retransmitted_bytes: i64,
        /// Segments with bytes the originator sent again.
        pub orig_retransmitted_packets: i64,
        /// Segments with bytes the responder sent again.
        pub resp_retransmitted_packets: i64,
        /// Segments of the originator that filled a gap: late, or sent again after a loss before the capture point.
        pub orig_out_of_order_packets: i64,
        /// Segments of the responder that filled a gap.
        pub resp_out_of_order_packets: i64,
        /// Payload bytes of the originator that the responder acknowledged although the capture does not have them.
        pub orig_missed_bytes: i64,
        /// Payload bytes of the responder that the originator acknowledged although the capture does not have them.
        pub resp_missed_bytes: i64,
        /// SYN segments of the originator.
        pub syns: i64,
        /// SYN to SYN-ACK, microseconds: the way from the capture point to the responder and back.
        pub rtt_resp_us: Option<f64>,
        /// SYN-ACK to ACK, microseconds: the way from the capture point to the originator and back.
        pub rtt_orig_us: Option<f64>,
        /// MSS that the originator announced, bytes.
        pub orig_mss: Option<i32>,
        /// MSS that the responder announced, bytes.
        pub resp_mss: Option<i32>,
        /// Window scale that the originator announced.
        pub orig_window_scale: Option<i32>,
        /// Window scale that the responder announced.
        pub resp_window_scale: Option<i32>,
        /// TTL of the originator's first packet.
        pub orig_ttl: Option<i32>,
        /// TTL of the responder's first packet.
        pub resp_ttl: Option<i32>,
        /// Resets.
        pub resets: i64,
        /// Who reset it: orig or resp, by address.
        pub reset_by: Option<&'static str>,
        /// TTL of the first reset.
        pub reset_ttl: Option<i32>,
        /// Frame of the first reset.
        pub reset_frame: Option<i64>,
        /// ICMP errors about it.
        pub icmp_errors: i64,
        /// First ICMP error, as type/code.
        pub icmp_error: Option<String>,
        /// Silence before the reset in which nothing was on its way, microseconds, where there was one of a second or
        /// more.
        pub idle_before_reset_us: Option<f64>,
        /// Who closed it first and how: `orig_fin`, `resp_fin`, `orig_rst`, `resp_rst`.
        pub closed_by: Option<&'static str>,
        /// Time from data to its acknowledgement by the originator, as seen from the first leg, delayed acknowledgements
        /// left out: median, microseconds.
        pub orig_rtt_p50_us: Option<f64>,
        /// The same, 95th percentile, microseconds.
        pub orig_rtt_p95_us: Option<f64>,
        /// Time from data to its acknowledgement by the responder, median, microseconds.
        pub resp_rtt_p50_us: Option<f64>,
        /// The same, 95th percentile, microseconds.
        pub resp_rtt_p95_us: Option<f64>,
        /// Data segments of the originator that were lost, before the capture points, between them and behind them.
        pub orig_lost: i64,
        /// Data segments of the responder that were lost.
        pub resp_lost: i64,
        /// Segments that the originator sent again for nothing.
        pub orig_spurious: i64,
        /// Segments that the responder sent again for nothing.
        pub resp_spurious: i64,
        /// Segments of the originator that others overtook.
        pub orig_reordered: i64,
        /// Segments of the responder that others overtook.
        pub resp_reordered: i64,
        /// Packets of the originator that came twice on one interface.
        pub orig_duplicates: i64,
        /// Packets of the responder that came twice on one interface.
        pub resp_duplicates: i64,
        /// Time that the originator announced a window of nothing, microseconds.
        pub orig_zero_window_us: f64,
        /// Time that the responder announced a window of nothing, microseconds.
        pub resp_zero_window_us: f64,
        /// Most bytes of the originator in flight.
        pub orig_in_flight_max: i64,
        /// Most bytes of the responder in flight.
        pub resp_in_flight_max: i64,
        /// Tunnel it was first seen in, by kind.
        pub tunnel: Option<&'static str>,
        /// VNI, GRE key or session of that tunnel.
        pub tunnel_id: Option<i64>,
        /// One end of that tunnel.
        pub tunnel_a: Option<Addr>,
        /// The other end of that tunnel.
        pub tunnel_b: Option<Addr>,
        /// Legs: pairs of capture point and tunnel that saw it.
        pub legs: i32,
        /// Whether the row was written before the connection ended, because the memory was full.
        pub evicted: bool,
    }
}
