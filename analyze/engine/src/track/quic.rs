//! The first datagrams of connections that speak QUIC.

use super::endpoint::Endpoint;
use super::event::FrameId;
use super::few::Few;
use super::flow::{Cold, Hot};
use super::flows::Source;
use super::key::End;
use super::turn::Turn;
use crate::packet::Packet;
use crate::wire::app::quic::{Kind, header, hello_pieces, opening, server_name, version_name};
use crate::wire::app::{Protocol, Said, Text};

/// What is readable of a QUIC connection.
#[derive(Clone, Debug)]
pub struct Quic {
    /// The client's first datagram and the server's, as far as they can be read.
    pub turn: Turn,
    /// Datagrams of a client that got no answer: all of them open the connection.
    pub unanswered: u32,
}

/// A QUIC connection while it opens.
#[derive(Clone, Debug)]
pub(crate) struct Opening {
    turn: Turn,
    /// The identifier from which the keys follow.
    origin: Few<u8, 20>,
    /// Pieces of the `ClientHello`, which may take several datagrams.
    hello: Vec<(usize, Vec<u8>)>,
    /// Datagrams of the client that are still looked at.
    left: u8,
}

/// Datagrams of a client that may have its `ClientHello`.
const DATAGRAMS: u8 = 8;
/// The longest one that is put together.
const MAX_HELLO: usize = 8 * 1024;

impl Opening {
    /// Bytes held.
    pub(crate) fn held(&self) -> usize {
        size_of::<Self>()
            + self.hello.iter().map(|(_, bytes)| bytes.len() + size_of::<(usize, Vec<u8>)>()).sum::<usize>()
    }

    /// Takes what a datagram of the client has of its hello.
    fn read(&mut self, bytes: &[u8]) {
        let pieces = hello_pieces(bytes, self.origin.as_slice());
        let held: usize = self.hello.iter().map(|(_, bytes)| bytes.len()).sum();
        let more: usize = pieces.iter().map(|(_, bytes)| bytes.len()).sum();
        if held + more <= MAX_HELLO {
            self.hello.extend(pieces);
        }
        self.turn.host = server_name(&self.whole());
        self.left = if self.turn.host.is_empty() { self.left - 1 } else { 0 };
        if self.left == 0 {
            self.hello = Vec::new();
        }
    }

    /// The hello up to the first gap.
    fn whole(&mut self) -> Vec<u8> {
        self.hello.sort_unstable_by_key(|(at, _)| *at);
        let mut whole: Vec<u8> = Vec::new();
        for (at, bytes) in &self.hello {
            let Some(known) = whole.len().checked_sub(*at) else { break };
            whole.extend_from_slice(bytes.get(known..).unwrap_or_default());
        }
        whole
    }

    /// The first answer; a Retry means that the client begins again, with another identifier.
    fn answer(&mut self, bytes: &[u8], packet: &Packet, frame: FrameId) {
        let header = header(bytes);
        self.turn.answered_ns = Some(packet.ts_ns);
        self.turn.response = Some(frame);
        self.turn.response_bytes = packet.payload_len;
        self.turn.answered.text = header.map(|header| Text::of(header.kind.name().as_bytes())).unwrap_or_default();
        if header.is_some_and(|header| header.kind == Kind::Retry) {
            self.origin = Few::default();
        }
    }
}

impl Hot {
    /// Looks at the first datagrams of a connection, as its first leg saw them.
    #[cold]
    pub(crate) fn meet(&mut self, cold: &mut Cold, packet: &Packet, end: End, source: &Source<'_>) {
        let bytes = source.chunk.payload(packet);
        let by_client = end == cold.orig;
        if !self.is_vantage(packet, end) {
            return;
        }
        if cold.more().quic.is_none()
            && by_client
            && let Some(opening) = open(bytes, packet, source)
        {
            cold.more_mut().quic = Some(Box::new(opening));
        }
        let Some(opening) = cold.quic_mut() else {
            self.talk = 0;
            return;
        };
        if !by_client {
            if opening.turn.answered_ns.is_none() {
                opening.answer(bytes, packet, source.frame(packet));
            }
        } else if opening.left > 0 {
            if opening.origin.as_slice().is_empty() {
                header(bytes).iter().flat_map(|header| header.destination).for_each(|byte| opening.origin.push(*byte));
            }
            opening.read(bytes);
        }
        let goes_on = opening.left > 0 || opening.turn.answered_ns.is_none();
        self.talk = u8::from(goes_on);
    }

    /// What is known of a QUIC connection that ends.
    pub(crate) fn quic(&self, cold: &mut Cold) -> Option<Box<Quic>> {
        let turn = cold.take_quic()?.turn;
        let unanswered = if turn.answered_ns.is_none() { self.lanes[cold.orig as usize].packets } else { 0 };
        Some(Box::new(Quic { turn, unanswered }))
    }
}

fn open(bytes: &[u8], packet: &Packet, source: &Source<'_>) -> Option<Opening> {
    let header = opening(bytes, packet.payload_len)?;
    let mut origin = Few::default();
    header.destination.iter().for_each(|byte| origin.push(*byte));
    let mut text = Text::of(b"Initial ");
    text.append(version_name(header.version).as_bytes());
    let turn = Turn {
        unit: source.unit,
        point: packet.point,
        tunnel: packet.tunnel,
        client: Endpoint::src(packet),
        server: Endpoint::dst(packet),
        number: 1,
        identity: header.destination.iter().fold(0, |all, byte| all << 8 | u64::from(*byte)),
        request: source.frame(packet),
        asked_ns: packet.ts_ns,
        request_end_ns: packet.ts_ns,
        request_bytes: packet.payload_len,
        protocol: Protocol::Quic,
        asked: Said { text, ..Said::default() },
        ..Turn::default()
    };
    Some(Opening { turn, origin, hello: Vec::new(), left: DATAGRAMS })
}
