//! The segments sent last: a ring that grows with what is in flight.

use crate::packet::Packet;
use crate::track::FrameId;
use crate::track::lane::after;

/// One segment as it passed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Segment {
    pub(crate) ns: i64,
    /// Sequence number after its last byte.
    pub(crate) end: u32,
    /// Bytes of sequence space.
    pub(crate) len: u32,
    pub(crate) tsval: u32,
    frame: u32,
    capture: u16,
    pub(crate) ip_id: u16,
    /// Whether any of it was sent again, so that its acknowledgement measures nothing (Karn).
    pub(crate) again: bool,
    /// Whether its last number is a FIN's.
    pub(crate) fin: bool,
}

impl Segment {
    pub(crate) fn of(packet: &Packet, frame: FrameId, len: u32) -> Self {
        Self {
            ns: packet.ts_ns,
            end: packet.seq.wrapping_add(len),
            len,
            tsval: packet.tsval,
            frame: frame.frame() as u32,
            capture: frame.capture() as u16,
            ip_id: packet.ip_id,
            again: false,
            fin: len > packet.payload_len,
        }
    }

    /// The same, in part sent before.
    pub(crate) fn sent_again(self) -> Self {
        Self { again: true, ..self }
    }

    /// Its frame; files of more frames than 2^32 are not told apart.
    pub(crate) fn frame(&self) -> FrameId {
        FrameId::new(self.capture.into(), self.frame.into())
    }

    pub(crate) fn start(&self) -> u32 {
        self.end.wrapping_sub(self.len)
    }

    fn covers(&self, seq: u32) -> bool {
        !after(self.start(), seq) && after(self.end, seq)
    }
}

/// Segments in order of sequence numbers; those acknowledged stay until their place is needed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sent {
    ring: Vec<Segment>,
    /// Segments written, and how many of these are acknowledged or forgotten.
    head: u32,
    una: u32,
}

/// Places of a ring at first and at most: beyond, the oldest are forgotten.
const LEAST: usize = 4;
const MOST: usize = 1024;
/// As many places are worth keeping for another connection.
const FEW: usize = 16;

impl Sent {
    #[inline]
    pub(crate) fn push(&mut self, segment: Segment) {
        if !self.has_room() {
            self.make_room();
        }
        let at = self.place(self.head);
        if let Some(place) = self.ring.get_mut(at) {
            *place = segment;
            self.head = self.head.wrapping_add(1);
        }
    }

    /// An empty one that keeps its places where they are few.
    pub(super) fn emptied(self) -> Self {
        Self { ring: if self.ring.len() <= FEW { self.ring } else { Vec::new() }, ..Self::default() }
    }

    #[cold]
    fn make_room(&mut self) {
        if self.ring.len() >= MOST {
            self.una = self.una.wrapping_add(1);
            return;
        }
        let kept: Vec<Segment> = self.iter().copied().collect();
        let size = (self.ring.len() * 2).max(LEAST);
        let outstanding = self.outstanding();
        self.head = kept.len() as u32;
        self.una = self.head - outstanding;
        self.ring = kept;
        self.ring.reserve_exact(size - self.ring.len());
        self.ring.resize(size, Segment::default());
    }

    #[inline]
    fn place(&self, at: u32) -> usize {
        at as usize & self.ring.len().wrapping_sub(1)
    }

    /// Where the next segment comes, where there is room.
    #[inline]
    pub(crate) fn next(&self) -> Option<&Segment> {
        self.ring.get(self.place(self.head))
    }

    /// Where the oldest segment is that is not acknowledged.
    #[inline]
    pub(crate) fn oldest(&self) -> Option<&Segment> {
        self.ring.get(self.place(self.una))
    }

    /// Whether another segment can be added without more places, or without forgetting one.
    #[inline]
    pub(crate) fn has_room(&self) -> bool {
        (self.outstanding() as usize) < self.ring.len()
    }

    /// Segments not acknowledged.
    #[inline]
    pub(crate) fn outstanding(&self) -> u32 {
        self.head.wrapping_sub(self.una)
    }

    /// Takes the segments acknowledged by `ack`: the last of them, how many there were, and the longest.
    #[inline]
    pub(crate) fn acknowledge(&mut self, ack: u32) -> Acknowledged {
        let mut done = Acknowledged::default();
        while self.una != self.head {
            let segment = &self.ring[self.place(self.una)];
            if after(segment.end, ack) {
                break;
            }
            done.longest = done.longest.max(if segment.again { 0 } else { segment.len });
            done.again |= segment.again;
            done.ns = segment.ns;
            done.segments += 1;
            self.una = self.una.wrapping_add(1);
        }
        done
    }

    /// All segments remembered, oldest first.
    fn iter(&self) -> impl DoubleEndedIterator<Item = &Segment> {
        let kept = (self.head as usize).min(self.ring.len()) as u32;
        (self.head.wrapping_sub(kept)..self.head).map(|at| &self.ring[self.place(at)])
    }

    /// The segment remembered for longest.
    pub(crate) fn kept_longest(&self) -> Option<&Segment> {
        self.iter().next()
    }

    /// The segment that had this byte.
    pub(crate) fn find(&self, seq: u32) -> Option<&Segment> {
        self.iter().rev().find(|segment| segment.covers(seq))
    }

    /// Marks what was sent again.
    pub(crate) fn mark_again(&mut self, start: u32, end: u32) {
        for segment in &mut self.ring {
            segment.again |= segment.len > 0 && after(end, segment.start()) && after(segment.end, start);
        }
    }

    /// Whether identifications count up from one segment to the next here, so that they tell the order of sending.
    pub(crate) fn ids_count_up(&self) -> bool {
        let last: Vec<&Segment> = self.iter().rev().take(4).collect();
        let step = |pair: &[&Segment]| pair[0].ip_id.wrapping_sub(pair[1].ip_id);
        last.len() >= 2 && last.windows(2).all(|pair| pair[1].ip_id != 0 && (1..256).contains(&step(pair)))
    }
}

/// What an acknowledgement took off.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Acknowledged {
    /// When the last of the segments was sent.
    pub(crate) ns: i64,
    pub(crate) segments: u32,
    /// Bytes of the longest that was sent once.
    pub(crate) longest: u32,
    /// Whether any was sent more than once.
    pub(crate) again: bool,
}

impl Sent {
    /// Bytes held.
    pub(crate) fn held(&self) -> usize {
        self.ring.capacity() * size_of::<Segment>()
    }
}
