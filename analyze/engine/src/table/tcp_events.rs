use super::{Label, Time};
use crate::Addr;

table! {
    /// One row a TCP range that was sent again, came late or twice, or is a probe. Of a connection seen at several
    /// places, the rows of each direction are those of the place nearest to the sender.
    "tcp_events" => pub struct TcpEventRow<'a> {
        /// File.
        pub capture: &'a Label,
        /// Capture point.
        pub point: &'a Label,
        /// Number of the frame.
        pub frame: i64,
        /// Time, nanoseconds since the epoch.
        pub ts_ns: i64,
        /// Time.
        pub ts: Time,
        /// Address of the connection's originator.
        pub orig_addr: Addr,
        /// Port of the originator.
        pub orig_port: i32,
        /// Address of the responder.
        pub resp_addr: Addr,
        /// Port of the responder.
        pub resp_port: i32,
        /// Who sent it: orig or resp.
        pub sender: &'static str,
        /// First sequence number, as on the wire.
        pub seq: i64,
        /// Bytes of sequence space.
        pub len: i64,
        /// Segments with payload it stands for; an offloaded packet counts as what it is cut into.
        pub segments: i32,
        /// What made the sender send: `syn_rto`, `synack_rto`, rto, `rack_or_fast`, tlp, persist, keepalive, pmtu,
        /// unknown.
        pub trigger: &'static str,
        /// `lost_downstream`, `lost_upstream`, reordered, duplicate, spurious, probe, unanswered, `out_of_window`.
        pub verdict: &'static str,
        /// What shows it: dsack, eifel, frto, `early_ack`, acknowledged, `ip_id`, timestamp, `too_soon`,
        /// `ack_lost` (it may have been lost too).
        pub proof: Option<&'static str>,
        /// Frame of the transmission before, or of the segment that overtook it.
        pub original_frame: Option<i64>,
        /// File of that frame.
        pub original_capture: Option<&'a Label>,
        /// Time since that frame, microseconds.
        pub gap_us: Option<f64>,
        /// Shortest round trip of the connection until then, microseconds.
        pub rtt_us: Option<f64>,
        /// Whether the other end acknowledged the range later.
        pub acknowledged: bool,
    }
}
