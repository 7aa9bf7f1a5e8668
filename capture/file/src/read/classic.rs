//! Classic libpcap files: a 24-byte file header, then records of a 16-byte header (24 in the modified form) and the
//! frame. <https://datatracker.ietf.org/doc/draft-ietf-opsawg-pcap/>, libpcap `sf-pcap.c`.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::chunk::{Chunk, MAX_RECORD, MAX_SCANNED, Out, Pending, Plausible, Resync, Stop, cut};
use crate::bytes::Order;
use crate::{Direction, Format, Interface, LinkType, ProblemKind, Record};

pub(super) const FILE_HEADER: usize = 24;
const RECORD: usize = 16;
/// With interface index, protocol and packet type: Alexey Kuznetsov's patch, in use by Red Hat up to 7.
const MODIFIED_RECORD: usize = 24;
/// libpcap's `MAXIMUM_SNAPLEN`: it refuses longer records unless the header says otherwise.
const USUAL_MAX: u32 = 262_144;
/// `PACKET_OUTGOING` of `linux/if_packet.h`.
const PACKET_OUTGOING: u8 = 4;
/// Records of one stretch are hardly further apart than this when a place to go on from is looked for.
const MAX_GAP_SECONDS: u32 = 30 * 86_400;

/// Which of the two length fields comes first; old writers had them the other way round (libpcap `lengths_swapped`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Lengths {
    Normal,
    Swapped,
    /// Version 2.3 had both.
    Unsure,
}

/// Walks the records.
pub(super) struct Classic {
    order: Order,
    modified: bool,
    /// Nanoseconds in a unit of the fraction field.
    unit: u32,
    lengths: Lengths,
    snaplen: u32,
    /// A record up to this length needs no second look.
    usual: u32,
    /// Last good time, seconds.
    seconds: Option<u32>,
    told: bool,
    resync: Option<Resync>,
}

struct Header {
    seconds: u32,
    fraction: u32,
    caplen: u32,
    orig_len: u32,
    direction: Direction,
}

enum Verdict {
    Keep,
    More(usize),
    Corrupt,
}

/// Byte order and format of a file that starts with these bytes, if it is a classic pcap.
pub(super) fn sniff(head: &[u8]) -> Option<(Order, Format)> {
    let magic = *head.first_chunk::<4>()?;
    [Order::Little, Order::Big].into_iter().find_map(|order| match order.u32(magic) {
        0xa1b2_c3d4 => Some((order, Format::Pcap)),
        0xa1b2_3c4d => Some((order, Format::PcapNanos)),
        0xa1b2_cd34 => Some((order, Format::PcapModified)),
        _ => None,
    })
}

impl Classic {
    /// The walker and the one interface of the file; nothing when the file header is cut.
    pub(super) fn new(head: &[u8]) -> Option<(Self, Format, Interface)> {
        let (order, format) = sniff(head)?;
        let header = head.first_chunk::<FILE_HEADER>()?;
        let (major, minor) = (order.u16_at(header, 4)?, order.u16_at(header, 6)?);
        let snaplen = order.u32_at(header, 16)?;
        // The upper half holds the length of the frame check sequence and reserved bits.
        let link_type = LinkType(order.u32_at(header, 20)? as u16);
        let walker = Self {
            order,
            modified: format == Format::PcapModified,
            unit: if format == Format::PcapNanos { 1 } else { 1000 },
            lengths: lengths(major, minor),
            snaplen,
            usual: if snaplen == 0 { USUAL_MAX } else { snaplen.min(USUAL_MAX) },
            seconds: None,
            told: false,
            resync: None,
        };
        Some((walker, format, Interface { link_type, snaplen, ..Interface::default() }))
    }

    pub(super) fn walk(&mut self, chunk: &Chunk<'_>, out: &mut Out<'_>) -> Pending {
        match (self.order, self.modified) {
            (Order::Little, false) => self.run::<false, RECORD>(chunk, out),
            (Order::Big, false) => self.run::<true, RECORD>(chunk, out),
            (Order::Little, true) => self.run::<false, MODIFIED_RECORD>(chunk, out),
            (Order::Big, true) => self.run::<true, MODIFIED_RECORD>(chunk, out),
        }
    }

    fn run<const BIG: bool, const HEADER: usize>(&mut self, chunk: &Chunk<'_>, out: &mut Out<'_>) -> Pending {
        let mut at = 0;
        loop {
            let stop = match self.resync.take() {
                None => self.records::<BIG, HEADER>(chunk, at, out),
                Some(resync) => self.seek::<BIG, HEADER>(resync, chunk, at, out),
            };
            match stop {
                Stop::Pending(pending) => return pending,
                Stop::At(next) => at = next,
            }
        }
    }

    fn records<const BIG: bool, const HEADER: usize>(
        &mut self,
        chunk: &Chunk<'_>,
        start: usize,
        out: &mut Out<'_>,
    ) -> Stop {
        let bytes = chunk.bytes;
        let mut rest = bytes.get(start..).unwrap_or_default();
        loop {
            let at = bytes.len().saturating_sub(rest.len());
            let Some((head, after)) = rest.split_first_chunk::<HEADER>() else {
                return cut(chunk, at, HEADER, out);
            };
            let header = self.header::<BIG, HEADER>(head);
            if header.caplen.wrapping_sub(1) >= self.usual || header.caplen > header.orig_len {
                match self.judge::<BIG, HEADER>(chunk, at, &header, after, out) {
                    Verdict::Keep => {}
                    Verdict::More(need) => return Stop::Pending(Pending { at, need, gap: false }),
                    Verdict::Corrupt => return self.lost(chunk, at, &header, after),
                }
            }
            let Some(next) = after.get(header.caplen as usize..) else {
                return cut(chunk, at, HEADER.saturating_add(header.caplen as usize), out);
            };
            self.seconds = Some(header.seconds);
            out.records.push(self.record(&header, at.saturating_add(HEADER)));
            rest = next;
        }
    }

    #[inline]
    fn record(&self, header: &Header, offset: usize) -> Record {
        let fraction = i64::from(header.fraction).wrapping_mul(i64::from(self.unit));
        Record {
            // 2^32 seconds and 2^32 µs stay below 2^63 ns.
            ts_ns: i64::from(header.seconds).wrapping_mul(1_000_000_000).wrapping_add(fraction),
            offset: offset as u32,
            caplen: header.caplen,
            orig_len: header.orig_len,
            interface: 0,
            direction: header.direction,
        }
    }

    #[inline]
    fn header<const BIG: bool, const HEADER: usize>(&self, bytes: &[u8; HEADER]) -> Header {
        let order = if BIG { Order::Big } else { Order::Little };
        let field = |at| order.u32_at(bytes, at).unwrap_or_default();
        let (mut caplen, mut orig_len) = (field(8), field(12));
        if self.lengths != Lengths::Normal && (self.lengths == Lengths::Swapped || caplen > orig_len) {
            std::mem::swap(&mut caplen, &mut orig_len);
        }
        let direction = match bytes.get(22) {
            Some(&PACKET_OUTGOING) => Direction::Out,
            Some(_) => Direction::In,
            None => Direction::Unknown,
        };
        Header { seconds: field(0), fraction: field(4), caplen, orig_len, direction }
    }

    /// A record that is empty, longer than usual, or longer than the frame was. The last is only believed when what
    /// follows it can be a record.
    #[cold]
    fn judge<const BIG: bool, const HEADER: usize>(
        &mut self,
        chunk: &Chunk<'_>,
        at: usize,
        header: &Header,
        after: &[u8],
        out: &mut Out<'_>,
    ) -> Verdict {
        let caplen = header.caplen as usize;
        if caplen > MAX_RECORD || (header.seconds | header.fraction | header.caplen | header.orig_len) == 0 {
            return Verdict::Corrupt;
        }
        if header.caplen > header.orig_len || header.caplen > self.limit() {
            match self.followed::<BIG, HEADER>(chunk, after, caplen) {
                Plausible::Yes => {}
                Plausible::No => return Verdict::Corrupt,
                Plausible::Cut => return Verdict::More(HEADER.saturating_add(caplen).saturating_add(HEADER)),
            }
        } else if after.len() < caplen {
            return Verdict::Keep;
        }
        if self.snaplen != 0 && header.caplen > self.snaplen {
            out.longer_than_snaplen(chunk.place(at), &mut self.told);
        }
        Verdict::Keep
    }

    /// What libpcap takes for possible.
    fn limit(&self) -> u32 {
        self.snaplen.clamp(USUAL_MAX, MAX_RECORD as u32)
    }

    fn followed<const BIG: bool, const HEADER: usize>(
        &self,
        chunk: &Chunk<'_>,
        after: &[u8],
        caplen: usize,
    ) -> Plausible {
        match after.get(caplen..) {
            Some([]) if chunk.last => Plausible::Yes,
            Some(next) => match next.first_chunk::<HEADER>() {
                Some(head) if self.header::<BIG, HEADER>(head).caplen <= self.limit() => Plausible::Yes,
                None if !chunk.last => Plausible::Cut,
                _ => Plausible::No,
            },
            None if chunk.last => Plausible::No,
            None => Plausible::Cut,
        }
    }

    fn lost(&mut self, chunk: &Chunk<'_>, at: usize, header: &Header, after: &[u8]) -> Stop {
        let torn = chunk.last && (after.len()..MAX_RECORD).contains(&(header.caplen as usize));
        let otherwise = if torn { ProblemKind::TornTail } else { ProblemKind::CorruptLength };
        self.resync = Some(Resync { from: chunk.place(at), otherwise });
        Stop::At(at.saturating_add(1))
    }

    fn seek<const BIG: bool, const HEADER: usize>(
        &mut self,
        resync: Resync,
        chunk: &Chunk<'_>,
        at: usize,
        out: &mut Out<'_>,
    ) -> Stop {
        let stop = resync.seek(chunk, at, out, |place| self.chain::<BIG, HEADER>(chunk, place));
        if matches!(stop, Stop::Pending(_)) && !chunk.last {
            self.resync = Some(resync);
        }
        stop
    }

    /// Three plausible records in a row, or fewer that end where the file ends.
    fn chain<const BIG: bool, const HEADER: usize>(&self, chunk: &Chunk<'_>, start: usize) -> Plausible {
        let mut at = start;
        let mut before = None;
        for links in 0..3 {
            let rest = chunk.bytes.get(at..).unwrap_or_default();
            let Some(head) = rest.first_chunk::<HEADER>() else {
                // The end of the file, or a torn record behind two good ones.
                let enough = links == 2 || (links == 1 && at == chunk.bytes.len());
                return match (chunk.last, enough) {
                    (false, _) => Plausible::Cut,
                    (true, true) => Plausible::Yes,
                    (true, false) => Plausible::No,
                };
            };
            let header = self.header::<BIG, HEADER>(head);
            // The last of a file has only its time to be told by.
            let near = before.or(if chunk.last { self.seconds } else { None });
            if !self.strict(&header) || near.is_some_and(|s| header.seconds.abs_diff(s) > MAX_GAP_SECONDS) {
                return Plausible::No;
            }
            before = Some(header.seconds);
            at = at.saturating_add(HEADER).saturating_add(header.caplen as usize);
        }
        Plausible::Yes
    }

    fn strict(&self, header: &Header) -> bool {
        header.caplen != 0
            && header.caplen as usize <= MAX_SCANNED
            && header.caplen <= header.orig_len
            && header.orig_len as usize <= MAX_RECORD
            && u64::from(header.fraction).wrapping_mul(u64::from(self.unit)) < 1_000_000_000
    }
}

fn lengths(major: u16, minor: u16) -> Lengths {
    match (major, minor) {
        (2, 0..3) | (543, _) => Lengths::Swapped,
        (2, 3) => Lengths::Unsure,
        _ => Lengths::Normal,
    }
}
