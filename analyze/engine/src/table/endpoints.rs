use super::Label;
use crate::Addr;

table! {
    /// One row a service and endpoint: how the service's connections are shared out among the addresses behind it, and
    /// how they fare there. Of connections that were seen before and behind the NAT.
    "endpoints" => pub struct EndpointRow {
        /// File of the first connection's first frame.
        pub capture: Label,
        /// Capture point of that frame.
        pub point: Label,
        /// Number of that frame.
        pub first_frame: i64,
        /// IP protocol number.
        pub proto: i32,
        /// Address of the service, as clients use it.
        pub service_addr: Addr,
        /// Port of the service.
        pub service_port: i32,
        /// Address behind it.
        pub endpoint_addr: Addr,
        /// Port behind it.
        pub endpoint_port: i32,
        /// Connections, or flows of datagrams.
        pub connections: i64,
        /// Share of the service's connections, 0 to 1.
        pub share: f64,
        /// Connections that came about; flows that were answered.
        pub established: i64,
        /// Connections met by a reset.
        pub refused: i64,
        /// Connections met by an ICMP error.
        pub rejected: i64,
        /// Connections and flows that were not answered.
        pub unanswered: i64,
        /// Share of connections that came about, 0 to 1.
        pub success: f64,
        /// Connections that came about and were reset later.
        pub resets: i64,
        /// SYN to SYN-ACK, microseconds, median.
        pub rtt_p50_us: Option<f64>,
        /// SYN to SYN-ACK, microseconds, 95th percentile.
        pub rtt_p95_us: Option<f64>,
        /// Packets, both directions.
        pub packets: i64,
        /// Segments sent again, both directions.
        pub retransmitted_packets: i64,
    }
}
