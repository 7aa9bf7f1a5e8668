use super::endpoint::Endpoint;
use super::event::FrameId;
use crate::wire::app::{Protocol, Said, Text, Traits};

/// How a connection ended for its last turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Fate {
    /// Another turn followed, or the connection stayed as it was.
    #[default]
    GoesOn,
    /// Both sides were done.
    Finished,
    /// The server closed or reset in the middle of its answer, which says how long it is (HTTP/1).
    BrokenOff,
    /// The client closed or reset while it waited for an answer.
    GaveUp,
    /// The server closed before the request could reach it.
    Crossed,
    /// The client asked although it had the server's goodbye.
    Stale,
    /// A reset came from a socket that did not exist (any more), and no goodbye before.
    Forgotten,
    /// The server closed or reset with the request in its hands, and did not answer.
    Dropped,
    /// The server answered, but the answer never came by here; of a stream, it may have.
    Unseen,
    /// The server said that it did not begin with it, so that it may be asked again (HTTP/2: GOAWAY, `REFUSED_STREAM`).
    Refused,
}

impl Fate {
    /// Name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::GoesOn => "goes-on",
            Self::Finished => "finished",
            Self::BrokenOff => "broken-off",
            Self::GaveUp => "gave-up",
            Self::Crossed => "crossed",
            Self::Stale => "stale",
            Self::Forgotten => "forgotten",
            Self::Dropped => "dropped",
            Self::Unseen => "unseen",
            Self::Refused => "refused",
        }
    }
}

/// Whether segments of a turn were sent again or came late.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Resent {
    /// None was.
    #[default]
    No,
    /// Some of the response, once it had begun.
    InResponse,
    /// Some before the response began, so that the network shaped the time it took.
    Before,
}

/// The first FIN or RST of a side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Goodbye {
    /// When.
    pub ns: i64,
    /// Where.
    pub frame: FrameId,
    /// Whether it is a reset.
    pub reset: bool,
    /// Its TTL.
    pub ttl: u8,
}

/// One request and its response: payload of the client, then of the server, told apart by the change of direction, as
/// the first leg of the connection saw it. Times are nanoseconds since the epoch.
#[derive(Clone, Debug, Default)]
pub struct Turn {
    /// Unit of the inputs.
    pub unit: u32,
    /// Capture point.
    pub point: u16,
    /// Tunnel; 0 is none.
    pub tunnel: u32,
    /// Who asks.
    pub client: Endpoint,
    /// Who answers.
    pub server: Endpoint,
    /// Number within the connection, from 1, of those that this capture has.
    pub number: u32,
    /// Sequence and acknowledgement number of the request's first segment: what address translation does not change.
    pub identity: u64,
    /// First frame of the request.
    pub request: FrameId,
    /// First frame of the response.
    pub response: Option<FrameId>,
    /// First packet of the request.
    pub asked_ns: i64,
    /// Last packet of the request.
    pub request_end_ns: i64,
    /// When the server's host had acknowledged all of the request.
    pub acked_ns: Option<i64>,
    /// First packet of the response.
    pub answered_ns: Option<i64>,
    /// Last packet of the response.
    pub response_end_ns: Option<i64>,
    /// Silence between the response before and this request.
    pub idle_ns: Option<i64>,
    /// Shortest way to the server and back that this connection showed so far, from the handshake or acknowledgements.
    pub rtt_ns: Option<i64>,
    /// Payload bytes of the request.
    pub request_bytes: u32,
    /// Payload bytes of the response.
    pub response_bytes: u32,
    /// Whether and when segments were sent again or came late.
    pub resent: Resent,
    /// What the two speak.
    pub protocol: Protocol,
    /// Server name that the connection asked for (TLS).
    pub host: Text,
    /// Whether the turn before was the two hellos of TLS, so that this one is about the handshake.
    pub greeted: bool,
    /// Whether it is encrypted and may carry several requests at a time (HTTP/2 offered, or not known).
    pub interleaves: bool,
    /// What the request says.
    pub asked: Said,
    /// What the response says.
    pub answered: Said,
    /// How the connection ended, for its last turn.
    pub fate: Fate,
    /// The client's FIN or RST.
    pub client_goodbye: Option<Goodbye>,
    /// The server's FIN or RST.
    pub server_goodbye: Option<Goodbye>,
}

/// A record of TLS 1.3 with an alert: header, level, description, type, authentication tag (RFC 8446 5.2).
const SECRET_ALERT_BYTES: u32 = 5 + 2 + 1 + 16;

/// Why a TLS handshake did not come about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum TlsFailure {
    /// The server sent an alert, by its number.
    ServerAlert(u16),
    /// The client sent an alert, by its number.
    ClientAlert(u16),
    /// The client sent an alert that is encrypted (TLS 1.3).
    SecretAlert,
    /// The server's first words after it had asked for the client's certificate are an alert that is encrypted (TLS 1.3).
    SecretServerAlert,
    /// The server closed or reset after the `ClientHello`.
    Closed,
    /// The server took the `ClientHello` and said nothing until the client gave up.
    Silence,
}

impl Turn {
    /// The request, and the server's goodbye that it met.
    pub(crate) fn met_goodbye(&self) -> impl Iterator<Item = FrameId> + use<> {
        std::iter::once(self.request).chain(self.server_goodbye.map(|goodbye| goodbye.frame))
    }

    /// Whether it is one request and its response. Where several may be on their way at a time and all of it is encrypted,
    /// only the two turns of the handshake are.
    pub fn is_exchange(&self) -> bool {
        !self.interleaves || self.number <= 2
    }

    /// Whether it is a TLS handshake that failed here, and why.
    pub fn tls_failure(&self) -> Option<TlsFailure> {
        let (asked, answered) = (self.asked.traits, self.answered.traits);
        let hello = asked.has(Traits::HELLO);
        match self.protocol {
            Protocol::Tls if answered.has(Traits::ERROR) => self.answered.status.map(TlsFailure::ServerAlert),
            Protocol::Tls if asked.has(Traits::ERROR) => self.asked.status.map(TlsFailure::ClientAlert),
            Protocol::Tls if self.greeted && asked.has(Traits::GOODBYE) && self.asked.status.is_none() => {
                Some(TlsFailure::SecretAlert)
            }
            Protocol::Tls if self.rejects_client() => Some(TlsFailure::SecretServerAlert),
            Protocol::Tls if hello && self.answered_ns.is_none() => match self.fate {
                Fate::Dropped | Fate::Forgotten | Fate::Crossed => Some(TlsFailure::Closed),
                Fate::GaveUp if self.acked_ns.is_some() && self.resent != Resent::Before => Some(TlsFailure::Silence),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether all that the server had to say to a client that it had asked for a certificate has the length of an alert.
    /// A `close_notify` is as long: it follows a ticket or an answer, or the client's own goodbye.
    fn rejects_client(&self) -> bool {
        let alone = self.response_bytes == SECRET_ALERT_BYTES && self.answered.status.is_none();
        let is_alert = alone && self.answered.traits.has(Traits::GOODBYE);
        let left_first = self.client_goodbye.is_some_and(|goodbye| Some(goodbye.ns) <= self.answered_ns);
        self.greeted && self.asked.traits.has(Traits::AUTHENTICATES) && is_alert && !left_first
    }

    /// Time of the request on the network: until the server's host acknowledged it, at most a round trip. A delayed
    /// acknowledgement (Linux holds one back for 40 to 200 ms) is no time of the network.
    pub fn network_ns(&self) -> Option<i64> {
        let acked = self.acked_ns?.saturating_sub(self.request_end_ns);
        Some(self.rtt_ns.map_or(acked, |rtt| acked.min(rtt)).max(0))
    }

    /// Time of the server: from the request in its host's hands to the first byte of the response.
    pub fn server_ns(&self) -> Option<i64> {
        let waited = self.answered_ns?.saturating_sub(self.request_end_ns);
        Some(waited.saturating_sub(self.network_ns()?).max(0))
    }

    /// From the first to the last byte of the response.
    pub fn transfer_ns(&self) -> Option<i64> {
        Some(self.response_end_ns?.saturating_sub(self.answered_ns?).max(0))
    }

    /// From the first byte of the request to the last of the response.
    pub fn total_ns(&self) -> Option<i64> {
        Some(self.response_end_ns?.saturating_sub(self.asked_ns).max(0))
    }
}
