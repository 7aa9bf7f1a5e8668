//! One interface being captured: libpcap's handle, its filter, its counters.

use crate::filter::Wanted;
use crate::given::with_sockets;
use crate::links::Link;
use crate::{CaptureError, Size};
use kcap_file::{Direction, LinkType};
use kcap_filter::{Ancillary, Program};
use pcap::{Active, Capture, Linktype, Precision};
use socket2::{SockFilter, SockRef};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A block of the ring is handed over when it is full or this old. Short enough for a live view, long enough that few
/// blocks are handed over with one packet in them.
pub(crate) const BLOCK_TIMEOUT: Duration = Duration::from_millis(50);
/// Packets read from one interface before the next has its turn.
const BATCH: usize = 8192;
/// libpcap's `DLT_RAW`; its number in files is another.
const DLT_RAW: i32 = 12;
const DLT_EN10MB: i32 = 1;
const DLT_LINUX_SLL2: i32 = 276;

/// What the kernel counted on an interface since the filter was attached.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Packets that passed the filter, dropped ones included.
    pub received: u64,
    /// Packets dropped because the ring was full.
    pub dropped: u64,
    /// Packets read from the ring and handed on.
    pub delivered: u64,
}

/// A packet of an interface.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) ts_ns: i64,
    pub(crate) data: &'a [u8],
    pub(crate) orig_len: u32,
    pub(crate) direction: Direction,
}

/// How reading ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reading {
    /// Nothing is left for now.
    Drained,
    /// There may be more.
    More,
    /// The interface is gone; what its ring still holds can be read.
    Gone,
}

/// An interface being captured.
pub(crate) struct Tap {
    capture: Capture<Active>,
    pub(crate) link: Link,
    pub(crate) link_type: LinkType,
    program: Program,
    /// Packets stamped up to here came before the filter was attached.
    attached_ns: i64,
    last: (u32, u32),
    counters: Counters,
    /// Inode of its network namespace.
    pub(crate) place: u64,
    /// Since when its interface is gone.
    pub(crate) gone: Option<Instant>,
}

impl Tap {
    /// Opens the interface by sockets that were made in its namespace, wherever the thread is.
    pub(crate) fn of_sockets(
        sockets: Vec<OwnedFd>,
        link: &Link,
        place: u64,
        wanted: &Wanted,
        buffer: Size,
    ) -> Result<Self, CaptureError> {
        with_sockets(sockets, || Self::open(link, place, wanted, buffer))
    }

    /// Opens the interface in the namespace that the thread is in.
    pub(crate) fn open(link: &Link, place: u64, wanted: &Wanted, buffer: Size) -> Result<Self, CaptureError> {
        let failed = |source| CaptureError::Open { interface: link.name.clone(), source };
        let mut capture = Capture::from_device(link.name.as_str())
            .map(|inactive| {
                inactive
                    .promisc(false)
                    .snaplen(i32::try_from(wanted.snaplen).unwrap_or(i32::MAX))
                    .timeout(BLOCK_TIMEOUT.as_millis() as i32)
                    .buffer_size(i32::try_from(buffer.0).unwrap_or(i32::MAX))
                    .precision(Precision::Nano)
            })
            .and_then(Capture::open)
            .and_then(Capture::setnonblock)
            .map_err(failed)?;
        let link_type = link_type(&mut capture).map_err(failed)?;
        let program = wanted.program(link_type, link.is_loopback(), &capture)?;
        let (last, attached_ns) = attach(&mut capture, link, &program)?;
        Ok(Self {
            capture,
            link: link.clone(),
            link_type,
            program,
            attached_ns,
            last,
            counters: Counters::default(),
            place,
            gone: None,
        })
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.capture.as_fd()
    }

    /// Hands on what the ring holds, a batch at most.
    pub(crate) fn read(&mut self, mut each: impl FnMut(&Frame<'_>)) -> Reading {
        let Self { capture, program, attached_ns, link, link_type, counters, .. } = self;
        let own = link.mac.filter(|_| *link_type == LinkType::ETHERNET && !link.is_loopback());
        let read = capture.dispatch(Some(BATCH), |packet| {
            // With nanoseconds asked for, the field of microseconds holds them.
            let ts_ns = packet.header.ts.tv_sec * 1_000_000_000 + packet.header.ts.tv_usec;
            if ts_ns <= *attached_ns {
                // What is cooked begins with 20 bytes that the kernel's filter does not see.
                let seen = packet.data.get(if *link_type == LinkType::LINUX_SLL2 { 20 } else { 0 }..);
                if program.run(seen.unwrap_or_default(), Ancillary::default()) == 0 {
                    return;
                }
                counters.received += 1;
            }
            counters.delivered += 1;
            let direction = own.map_or(Direction::Unknown, |own| direction(packet.data, own));
            each(&Frame { ts_ns, data: packet.data, orig_len: packet.header.len, direction });
        });
        match read {
            Ok(0) | Err(pcap::Error::TimeoutExpired | pcap::Error::NoMorePackets) => Reading::Drained,
            Ok(_) => Reading::More,
            Err(_) => Reading::Gone,
        }
    }

    /// Lets no further packet into the ring.
    pub(crate) fn close(&mut self) -> Result<(), CaptureError> {
        set_filter(&self.capture, &self.link, &Program::nothing())
    }

    /// What the kernel has counted up to now.
    pub(crate) fn counters(&mut self) -> Counters {
        if let Ok(stats) = self.capture.stats() {
            // libpcap counts in 32 bits, which wrap.
            self.counters.received += u64::from(stats.received.wrapping_sub(self.last.0));
            self.counters.dropped += u64::from(stats.dropped.wrapping_sub(self.last.1));
            self.last = (stats.received, stats.dropped);
        }
        self.counters
    }
}

impl std::fmt::Debug for Tap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tap").field("link", &self.link.name).field("counters", &self.counters).finish_non_exhaustive()
    }
}

/// What frames begin with. What libpcap takes for "cooked" is read in the second form of that, which says the interface.
fn link_type(capture: &mut Capture<Active>) -> Result<LinkType, pcap::Error> {
    match capture.get_datalink().0 {
        DLT_EN10MB => Ok(LinkType::ETHERNET),
        DLT_RAW => Ok(LinkType::RAW),
        _ => {
            capture.set_datalink(Linktype(DLT_LINUX_SLL2))?;
            Ok(LinkType::LINUX_SLL2)
        }
    }
}

/// Attaches the filter. Until it is there everything gets into the ring, so nothing does for a moment, at which the
/// counters begin; what came before is told by its time.
fn attach(capture: &mut Capture<Active>, link: &Link, program: &Program) -> Result<((u32, u32), i64), CaptureError> {
    set_filter(capture, link, &Program::nothing())?;
    let stats = capture.stats().map_err(|source| CaptureError::Open { interface: link.name.clone(), source })?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    set_filter(capture, link, program)?;
    Ok(((stats.received, stats.dropped), now.as_nanos() as i64))
}

/// Attaches a program to the socket itself: libpcap would filter in user space, and say nothing, where the kernel
/// refuses one.
fn set_filter(capture: &Capture<Active>, link: &Link, program: &Program) -> Result<(), CaptureError> {
    let instructions: Vec<SockFilter> =
        program.instructions().iter().map(|i| SockFilter::new(i.code, i.jt, i.jf, i.k)).collect();
    SockRef::from(capture).attach_filter(&instructions).map_err(|source| CaptureError::Attach {
        interface: link.name.clone(),
        instructions: instructions.len(),
        source,
    })
}

/// A frame whose source is the interface's own address was sent by it; promiscuous mode is off, so that every other
/// one was received.
fn direction(frame: &[u8], own: [u8; 6]) -> Direction {
    match frame.get(6..12) {
        Some(source) if *source == own => Direction::Out,
        Some(_) => Direction::In,
        None => Direction::Unknown,
    }
}

/// Whether libpcap says that a capability is missing. Versions differ in how.
pub(crate) fn is_permission(error: &pcap::Error) -> bool {
    let text = error.to_string();
    ["permission", "Operation not permitted", "CAP_NET_RAW"].iter().any(|part| text.contains(part))
}
