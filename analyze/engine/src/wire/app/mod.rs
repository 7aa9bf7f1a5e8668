//! What messages of applications say: enough to label a request and its response, and no more. Payload is read where it
//! lies and never kept; only names come out (method and path, server name, class of a command, status).
//!
//! One file a protocol, one line in `protocols!`. A protocol is known by the shape of its first bytes, never by its
//! port. Messages may be cut anywhere: what is not there is not said.

pub(crate) mod hpack;
pub(crate) mod http1;
pub(crate) mod http2;
mod kafka;
mod mysql;
mod postgres;
pub mod quic;
mod redis;
mod sql;
#[cfg(test)]
mod tests;
mod text;
pub(crate) mod tls;

pub use text::Text;

/// What is special about a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Traits(u16);

impl Traits {
    /// Its answer may take as long as it likes: a long poll, a blocking read of a queue, a watch.
    pub const WAITS: Self = Self(1);
    /// From here on the two sides talk as they please: an upgrade, a tunnel, a subscription, several streams in one.
    pub const STREAM: Self = Self(2);
    /// A preliminary answer; the real one follows (HTTP 100).
    pub const INTERIM: Self = Self(4);
    /// The answer says that the request failed.
    pub const ERROR: Self = Self(8);
    /// A goodbye that nobody answers.
    pub const GOODBYE: Self = Self(16);

    /// It opens a handshake (TLS).
    pub const HELLO: Self = Self(32);
    /// What follows may carry several requests at a time (HTTP/2 by ALPN).
    pub const INTERLEAVES: Self = Self(64);
    /// The two have settled on what follows (ALPN in a readable `ServerHello`).
    pub const SETTLED: Self = Self(128);
    /// Another protocol follows (TLS after a request for it).
    pub const RESTARTS: Self = Self(256);
    /// It answers a request for a certificate (TLS 1.3), maybe with none.
    pub const AUTHENTICATES: Self = Self(512);
    /// It comes in chunks of which the last is empty (HTTP/1).
    pub const CHUNKS: Self = Self(1024);

    /// Whether all of `other` hold.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Only if so.
    #[must_use]
    pub const fn only_if(self, holds: bool) -> Self {
        if holds { self } else { Self(0) }
    }
}

/// What a message says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Said {
    /// Method and path, server name, class of a command.
    pub text: Text,
    /// Status or error code, where the protocol has a number for it.
    pub status: Option<u16>,
    /// What is special about it.
    pub traits: Traits,
    /// Bytes that the whole message has, head and body, where its head is all there and says it (HTTP/1).
    pub promised: Option<u32>,
}

impl Said {
    fn new(text: Text) -> Self {
        Self { text, ..Self::default() }
    }

    #[must_use]
    fn with(self, traits: Traits) -> Self {
        Self { traits: self.traits.and(traits), ..self }
    }
}

/// How a protocol reads one message: none where the bytes are not one.
type Read = fn(&[u8]) -> Option<Said>;

macro_rules! protocols {
    ($($(#[doc = $doc:literal])+ $protocol:ident = $name:literal, $request:path, $response:path;)*) => {
        /// Protocols that messages are recognised of.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
        pub enum Protocol {
            /// None of those known, or nothing seen of it yet.
            #[default]
            Unknown,
            $($(#[doc = $doc])+ $protocol,)*
        }

        /// In the order in which they are tried.
        const PROTOCOLS: &[(Protocol, Read, Read)] = &[$((Protocol::$protocol, $request, $response),)*];

        impl Protocol {
            /// Name in tables; none where it is unknown.
            pub fn name(self) -> Option<&'static str> {
                match self {
                    Self::Unknown => None,
                    $(Self::$protocol => Some($name),)*
                }
            }
        }
    };
}

protocols! {
    /// HTTP/1.0 and HTTP/1.1 (RFC 9112).
    Http1 = "http/1", http1::request, http1::response;
    /// TLS (RFC 8446, RFC 5246).
    Tls = "tls", tls::request, tls::response;
    /// HTTP/2 in clear text (RFC 9113).
    Http2 = "http/2", http2::request, http2::response;
    /// Redis (RESP).
    Redis = "redis", redis::request, redis::response;
    /// `PostgreSQL` (frontend/backend protocol 3).
    Postgres = "postgresql", postgres::request, postgres::response;
    /// `MySQL` and `MariaDB`.
    Mysql = "mysql", mysql::request, mysql::response;
    /// Kafka.
    Kafka = "kafka", kafka::request, kafka::response;
    /// gRPC, in streams of HTTP/2.
    Grpc = "grpc", http2::never, http2::never;
    /// QUIC (RFC 9000), in datagrams.
    Quic = "quic", http2::never, http2::never;
}

impl Protocol {
    /// Whether an answer alone has a shape that tells the protocol.
    fn is_known_by_its_answers(self) -> bool {
        matches!(self, Self::Http1 | Self::Tls | Self::Http2 | Self::Mysql)
    }

    /// Whether each request waits for the answer to the one before or has a stream of its own, so that a late answer is
    /// a slow one.
    pub fn is_timed(self) -> bool {
        let in_turn = matches!(self, Self::Http1 | Self::Redis | Self::Postgres | Self::Mysql | Self::Kafka);
        in_turn || matches!(self, Self::Http2 | Self::Grpc)
    }
}

/// Who spoke.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// Who asks.
    Client,
    /// Who answers.
    Server,
}

/// Reads the first bytes of a message from one part: as one of the protocol that the connection is known to speak, or
/// as one of any.
pub fn read(known: Protocol, part: Part, bytes: &[u8]) -> Option<(Protocol, Said)> {
    let may_be = |protocol: Protocol| match (known, part) {
        (Protocol::Unknown, Part::Client) => true,
        (Protocol::Unknown, Part::Server) => protocol.is_known_by_its_answers(),
        _ => protocol == known,
    };
    PROTOCOLS.iter().filter(|(protocol, ..)| may_be(*protocol)).find_map(|(protocol, request, response)| {
        let read = if part == Part::Client { request } else { response };
        Some((*protocol, read(bytes)?))
    })
}
