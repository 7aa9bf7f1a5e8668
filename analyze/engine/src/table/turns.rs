use super::{Label, Time};
use crate::Addr;

table! {
    /// One row a request and its response: payload of the client, then of the server, told apart by the change of
    /// direction, whatever the protocol; of HTTP/2 in clear text, and gRPC in it, one row a stream; of QUIC, the
    /// first datagrams alone. As the first capture
    /// point and tunnel of the connection saw it. Connections whose sides talk as they please (upgrades, tunnels) have
    /// none, and those that are encrypted and may be HTTP/2 only their handshake.
    "turns" => pub struct TurnRow<'a> {
        /// File.
        pub capture: &'a Label,
        /// Capture point.
        pub point: &'a Label,
        /// First frame of the request.
        pub frame: i64,
        /// Time of that frame, nanoseconds since the epoch.
        pub ts_ns: i64,
        /// Time of that frame.
        pub ts: Time,
        /// Address of who asks.
        pub client_addr: Addr,
        /// Port of who asks.
        pub client_port: i32,
        /// Address of who answers.
        pub server_addr: Addr,
        /// Port of who answers.
        pub server_port: i32,
        /// Number of the turn within its connection, from 1, of those that the capture has, in the order of requests.
        pub turn: i64,
        /// Protocol, where its messages were recognised.
        pub protocol: Option<&'static str>,
        /// Server name that the connection asked for (TLS, QUIC).
        pub host: Option<&'a str>,
        /// What the request says: method and path, server name, class of a command.
        pub request: Option<&'a str>,
        /// What the response says.
        pub response: Option<&'a str>,
        /// Status or error code of the response; of gRPC, that of the call.
        pub status: Option<i32>,
        /// First frame of the response.
        pub response_frame: Option<i64>,
        /// Payload bytes of the request.
        pub request_bytes: i64,
        /// Payload bytes of the response.
        pub response_bytes: i64,
        /// Silence between the response before and this request, microseconds: the client's time to think.
        pub idle_us: Option<f64>,
        /// First to last packet of the request, microseconds.
        pub upload_us: f64,
        /// Time on the network, microseconds: until the server's host acknowledged the request, at most a round trip.
        pub network_us: Option<f64>,
        /// Time of the server, microseconds: from the request at its host to the first byte of the response.
        pub server_us: Option<f64>,
        /// First to last byte of the response, microseconds.
        pub transfer_us: Option<f64>,
        /// First byte of the request to the last of the response, microseconds.
        pub total_us: Option<f64>,
        /// How long the client waited before it gave up, microseconds.
        pub waited_us: Option<f64>,
        /// Whether segments of the turn were sent again or came late, so that its times are also those of losses.
        pub resent: bool,
        /// How the connection ended for its last turn: goes-on, finished, broken-off, gave-up, crossed,
        /// stale, forgotten, dropped, unseen; of a stream how it ended: finished, gave-up, refused, or as its connection.
        pub fate: Label,
    }
}
