//! TCP (RFC 9293) and its options (RFC 7323 timestamps and window scale, RFC 2018 SACK).

use super::checksum::Ends;
use super::layers::Layer;
use super::walk::{Step, Walk};
use super::{Next, Stop, udp};
use crate::packet::{Kind, Packet, TcpFlags};
use etherparse::TcpHeaderSlice;

pub(super) const PROTOCOL: u8 = crate::packet::TCP;

const MIN_LEN: usize = 20;
/// Ports, sequence, acknowledgement, data offset and flags: enough to track.
const ENOUGH: usize = 14;

const END_OF_OPTIONS: u8 = 0;
const NO_OPERATION: u8 = 1;
const MSS: u8 = 2;
const WINDOW_SCALE: u8 = 3;
const SACK_PERMITTED: u8 = 4;
const SACK: u8 = 5;
const TIMESTAMPS: u8 = 8;
const FAST_OPEN: u8 = 34;
/// Options for experiments and the magic number of TCP Fast Open in them (RFC 6994, RFC 7413 4.1.1).
const EXPERIMENTS: [u8; 2] = [253, 254];
const FAST_OPEN_MAGIC: [u8; 2] = [0xf9, 0x89];

/// How the option begins in every segment of Linux but SYN (RFC 7323 appendix A).
const LINUX_TIMESTAMPS: [u8; 4] = [NO_OPERATION, NO_OPERATION, TIMESTAMPS, 10];

/// Largest window scale (RFC 7323 2.3).
const MAX_WINDOW_SCALE: u8 = 14;

/// Whether the checksum of a segment that `datagram` ends with is still to come.
pub(super) fn is_sum_to_come(packet: &Packet, datagram: &[u8]) -> bool {
    let len = u32::from(packet.l4_header_len).saturating_add(packet.payload_len);
    let segment = datagram.len().checked_sub(len as usize).and_then(|start| datagram.get(start..));
    let Some(&[a, b]) = segment.and_then(|segment| segment.get(16..18)) else { return false };
    Ends { src: packet.src, dst: packet.dst, proto: PROTOCOL }.is_to_come(len as u16, [a, b])
}

#[inline]
pub(super) fn decode(walk: &mut Walk<'_>) -> Step {
    let Ok(header) = TcpHeaderSlice::from_slice(walk.bytes()) else { return partial(walk) };
    let bytes = header.slice();
    let packet = &mut *walk.packet;
    packet.kind = Kind::Tcp;
    (packet.src_port, packet.dst_port) = (header.source_port(), header.destination_port());
    packet.seq = header.sequence_number();
    packet.ack = header.acknowledgment_number();
    packet.window = header.window_size();
    packet.flags = flags(bytes);
    packet.l4_header_len = bytes.len() as u8;
    note_timestamps(bytes, packet);
    walk.enter(Layer::Tcp, bytes.len())?;
    walk.packet.payload_len = walk.said();
    Ok(Next::END)
}

fn flags(header: &[u8]) -> TcpFlags {
    let Some(&[offset, flags]) = header.get(12..ENOUGH) else { return TcpFlags::default() };
    TcpFlags(u16::from_be_bytes([offset & 1, flags]))
}

/// Notes the timestamp of a header.
#[inline]
pub(super) fn note_timestamps(header: &[u8], packet: &mut Packet) {
    let options = header.get(MIN_LEN..).unwrap_or_default();
    let tsval = match options.first_chunk::<12>() {
        Some(&[first, second, third, fourth, a, b, c, d, ..]) if [first, second, third, fourth] == LINUX_TIMESTAMPS => {
            Some([a, b, c, d])
        }
        _ => find_timestamps(options),
    };
    if let Some(tsval) = tsval {
        packet.bits.set_timestamps();
        packet.tsval = u32::from_be_bytes(tsval);
    }
}

fn find_timestamps(options: &[u8]) -> Option<[u8; 4]> {
    let (_, data) = Options(options).find(|(kind, data)| *kind == TIMESTAMPS && data.len() == 8)?;
    data.first_chunk().copied()
}

/// A header that is cut or malformed: whatever there is of it.
#[cold]
fn partial(walk: &mut Walk<'_>) -> Step {
    udp::note_ports(walk);
    let bytes = walk.bytes();
    let packet = &mut *walk.packet;
    let half = |at: usize| bytes.get(at..).and_then(|rest| rest.first_chunk().copied()).map(u16::from_be_bytes);
    let word = |at: usize| bytes.get(at..).and_then(|rest| rest.first_chunk().copied()).map(u32::from_be_bytes);
    packet.seq = word(4).unwrap_or_default();
    packet.ack = word(8).unwrap_or_default();
    packet.flags = flags(bytes);
    packet.window = half(14).unwrap_or_default();
    let header_len = bytes.get(12).map(|offset| usize::from(offset >> 4).saturating_mul(4));
    let fits = header_len.is_none_or(|len| len >= MIN_LEN && len <= walk.wire() as usize);
    if !fits || (walk.wire() as usize) < MIN_LEN {
        return Err(walk.stop(Stop::Malformed(Layer::Tcp)));
    }
    if bytes.len() >= ENOUGH && walk.is_cut() {
        let header_len = header_len.unwrap_or(MIN_LEN);
        walk.packet.kind = Kind::Tcp;
        walk.packet.l4_header_len = header_len as u8;
        walk.packet.payload_len = walk.said().saturating_sub(header_len as u32);
        walk.note(Layer::Tcp)?;
        note_timestamps(bytes, walk.packet);
    }
    Err(walk.short(Layer::Tcp))
}

/// The options of a header that trackers care for; the last of a kind counts, as in Linux (`tcp_parse_options`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TcpOptions {
    /// Maximum segment size, bytes.
    pub mss: Option<u16>,
    /// Window scale, bits; at most 14.
    pub window_scale: Option<u8>,
    /// Whether selective acknowledgements may be sent.
    pub sack_permitted: bool,
    /// Whether a cookie of TCP Fast Open is there; a request for one is not.
    pub has_fast_open_cookie: bool,
    /// Timestamp value and echo reply.
    pub timestamps: Option<(u32, u32)>,
    /// Selectively acknowledged ranges, left edge to right edge (exclusive), in the order sent.
    pub sack: [Option<(u32, u32)>; 4],
}

/// Reads the options of a TCP header, given from its first byte; bytes behind the header are not looked at, and what is
/// missing of a cut one is left out.
pub fn options(header: &[u8]) -> TcpOptions {
    let mut found = TcpOptions::default();
    let len = header.get(12).map_or(0, |offset| usize::from(offset >> 4).saturating_mul(4));
    let header = header.get(..len).unwrap_or(header);
    for (kind, data) in Options(header.get(MIN_LEN..).unwrap_or_default()) {
        match (kind, data) {
            (MSS, &[a, b]) => found.mss = Some(u16::from_be_bytes([a, b])),
            (WINDOW_SCALE, &[shift]) => found.window_scale = Some(shift.min(MAX_WINDOW_SCALE)),
            (SACK_PERMITTED, []) => found.sack_permitted = true,
            (FAST_OPEN, data) => found.has_fast_open_cookie = !data.is_empty(),
            (kind, [a, b, cookie @ ..]) if EXPERIMENTS.contains(&kind) && [*a, *b] == FAST_OPEN_MAGIC => {
                found.has_fast_open_cookie = !cookie.is_empty();
            }
            (TIMESTAMPS, data) if data.len() == 8 => found.timestamps = pair(data),
            (SACK, data) => {
                for (block, edges) in found.sack.iter_mut().zip(data.chunks_exact(8)) {
                    *block = pair(edges);
                }
            }
            _ => {}
        }
    }
    found
}

fn pair(data: &[u8]) -> Option<(u32, u32)> {
    let (first, rest) = data.split_first_chunk()?;
    Some((u32::from_be_bytes(*first), u32::from_be_bytes(*rest.first_chunk()?)))
}

/// Kinds and data of an option list; ends at its end mark, or at the first option that does not fit.
struct Options<'a>(&'a [u8]);

impl<'a> Iterator for Options<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (&kind, rest) = self.0.split_first()?;
            self.0 = rest;
            match kind {
                NO_OPERATION => {}
                END_OF_OPTIONS => return None,
                _ => {
                    let (&len, rest) = rest.split_first()?;
                    let (data, rest) = rest.split_at_checked(usize::from(len).checked_sub(2)?)?;
                    self.0 = rest;
                    return Some((kind, data));
                }
            }
        }
    }
}
