//! The story of one connection, packet by packet.

use crate::finding::StoryLine;
use crate::ingest::Work;
use crate::packet::{Kind, Packet, TcpFlags};
use crate::time::rfc3339;
use crate::track::lane::{Lane, Rare, Taken, Told};
use crate::track::{Endpoint, FrameId};
use crate::wire;
use std::fmt::Write as _;

/// Packets told; the rest is counted.
const MAX_LINES: usize = 2000;

/// The packets of the connection asked for, as they come.
#[derive(Default)]
pub(crate) struct Story {
    lines: Vec<(FrameId, StoryLine)>,
    first_ns: Option<i64>,
    last_ns: i64,
    /// By sender, as they first spoke: first sequence number and what was sent.
    sides: Vec<SideStory>,
    /// Packets beyond [`MAX_LINES`].
    pub(crate) left_out: u64,
}

#[derive(Default)]
struct SideStory {
    who: Endpoint,
    first_seq: u32,
    lane: Lane,
    rare: Rare,
}

impl Story {
    /// Tells one packet; those that are not of the connection were restricted away, except ICMP about it.
    pub(crate) fn take(&mut self, packet: &Packet, work: &Work) {
        if self.lines.len() >= MAX_LINES {
            self.left_out += 1;
            return;
        }
        let first = work.first();
        let frame = first.after(packet.index.into());
        let start = *self.first_ns.get_or_insert(packet.ts_ns);
        let text = self.text(packet, work);
        self.last_ns = packet.ts_ns;
        let line = StoryLine {
            file: String::new(),
            frame: frame.frame(),
            time: rfc3339(packet.ts_ns),
            offset_s: packet.ts_ns.saturating_sub(start) as f64 / 1e9,
            from: Endpoint::src(packet).to_string(),
            text,
        };
        self.lines.push((frame, line));
    }

    fn text(&mut self, packet: &Packet, work: &Work) -> String {
        let gap_ns = packet.ts_ns.saturating_sub(self.last_ns);
        match packet.kind {
            Kind::Tcp => self.segment(packet, gap_ns),
            Kind::IcmpError => {
                let bytes = work.chunk.bytes(packet.l4_offset, packet.l4_caplen);
                let quote = wire::icmp::quote(bytes, packet.src.is_v4());
                quote.map_or_else(
                    || "ICMP error".to_owned(),
                    |q| {
                        let icmp = crate::track::IcmpCode { v4: packet.src.is_v4(), kind: q.icmp_type, code: q.code };
                        format!("{icmp}, TTL {}", packet.ttl)
                    },
                )
            }
            _ => format!("{} bytes", packet.payload_len),
        }
    }

    fn segment(&mut self, packet: &Packet, gap_ns: i64) -> String {
        let at = self.side(packet);
        let side = &mut self.sides[at];
        let retransmitted = side.rare.counts().retransmitted_packets;
        let (holes, syns) = (side.rare.counts().out_of_order, side.rare.syns);
        side.rare.syns += u32::from(packet.flags.any(TcpFlags::SYN));
        let taken = side.lane.take(packet, gap_ns, Told::default(), &mut side.rare);
        let mut text = flags(packet.flags);
        if packet.payload_len > 0 {
            let from = packet.seq.wrapping_sub(side.first_seq);
            let _ = write!(text, " bytes {from}..{}", from.wrapping_add(packet.payload_len));
        }
        let _ = write!(text, " window {}", packet.window);
        let note = match taken {
            Taken::Copy => "the same packet seen again",
            _ if side.rare.counts().retransmitted_packets > retransmitted => "sent before: a retransmission",
            _ if side.rare.counts().out_of_order > holes => "fills a gap",
            _ if packet.flags.is_syn() && syns > 0 => "asks again",
            _ if packet.flags.any(TcpFlags::RST) => "resets the connection",
            _ if packet.closes_window() => "cannot take more",
            _ => "",
        };
        if !note.is_empty() {
            let _ = write!(text, " ({note})");
        }
        text
    }

    fn side(&mut self, packet: &Packet) -> usize {
        let who = Endpoint::src(packet);
        self.sides.iter().position(|side| side.who == who).unwrap_or_else(|| {
            self.sides.push(SideStory { who, first_seq: packet.seq, ..SideStory::default() });
            self.sides.len() - 1
        })
    }

    /// The lines, with the files' names.
    pub(crate) fn finish(self, name: impl Fn(u32) -> String) -> Vec<StoryLine> {
        self.lines.into_iter().map(|(frame, line)| StoryLine { file: name(frame.capture()), ..line }).collect()
    }
}

/// Flags by name, in header order of importance.
fn flags(flags: TcpFlags) -> String {
    let names = [
        (TcpFlags::SYN, "SYN"),
        (TcpFlags::FIN, "FIN"),
        (TcpFlags::RST, "RST"),
        (TcpFlags::PSH, "PSH"),
        (TcpFlags::ACK, "ACK"),
    ];
    let set: Vec<&str> = names.iter().filter(|(bit, _)| flags.any(*bit)).map(|(_, name)| *name).collect();
    if set.is_empty() { "no flags".to_owned() } else { set.join(",") }
}
