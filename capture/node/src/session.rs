//! A capture from the first packet to the last.

use crate::context::Collector;
use crate::filter::Wanted;
use crate::links::Link;
use crate::place::Place;
use crate::record::{self, Head, Output, Recorder, Room};
use crate::signals::Signals;
use crate::tap::{BLOCK_TIMEOUT, Reading, Tap};
use crate::{CaptureError, Size, clock};
use kcap_file::note::{CaptureNote, Note, When};
use kcap_file::{Interface, NameRecord, Section};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::utsname::UtsName;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How often counters are read, limits checked and the status shown.
const TICK: Duration = Duration::from_secs(1);
/// Counters are written this often, so that who reads along knows that the capture lives, and at once after drops.
const STATISTICS: Duration = Duration::from_secs(10);
/// How long the kernel may hold back the last block of a ring after its filter was closed.
const LAST_BLOCK: Duration = BLOCK_TIMEOUT.saturating_add(Duration::from_millis(20));
/// Ring of a loopback interface, at most.
const LOOPBACK_RING: Size = Size(8 << 20);
/// The smallest ring: libpcap's blocks are 256 KiB.
const SMALLEST_RING: Size = Size::MIB;

/// What to capture and how.
#[derive(Debug)]
pub struct Plan {
    /// What to capture, in the words of the command line.
    pub targets: Vec<String>,
    /// Interfaces; all that are up when there are none.
    pub interfaces: Vec<String>,
    /// Packets.
    pub wanted: Wanted,
    /// Bytes of each ring; on a node, of all together.
    pub buffer: Size,
    /// Where packets go.
    pub output: Output,
    /// When it ends.
    pub limits: Limits,
    /// Whether links, routes, sockets and so on are written beside the packets.
    pub context: bool,
    /// Whether capabilities are given up once everything is open.
    pub drop_privileges: bool,
    /// Names of addresses that are known.
    pub names: Vec<NameRecord>,
    /// Program and version.
    pub program: String,
}

/// The port of the kubelet, through which the output of what runs in a pod is read.
const KUBELET: u16 = 10_250;

impl Plan {
    /// Leaves out the connection that the capture itself is read by, where it would be captured: each packet of it would
    /// make more. It is the kubelet's, or that of the terminal.
    pub fn except_own(&mut self, places: &[Place]) {
        if self.output.destination == record::Destination::Stdout && places.iter().any(|place| place.node) {
            let session = std::env::var("SSH_CONNECTION").ok();
            let port = session.and_then(|text| text.split(' ').nth(1)?.parse().ok());
            self.wanted.spec.except = std::iter::once(KUBELET).chain(port).collect();
        }
    }
}

/// What ends a capture.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Limits {
    /// Time.
    pub duration: Option<Duration>,
    /// Packets.
    pub count: Option<u64>,
    /// Bytes of all parts.
    pub size: Option<Size>,
    /// Bytes that stay free on the output's file system, instead of the rules.
    pub min_free: Option<Size>,
    /// The end of standard input.
    pub stdin: bool,
}

/// Why a capture ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum End {
    /// SIGINT, SIGTERM or SIGHUP.
    Signal(Signal),
    /// Its time is over.
    Duration,
    /// It has as many packets as were asked for.
    Count,
    /// It is as large as it may be.
    Size,
    /// Too little room is left.
    Room,
    /// The disk is full.
    DiskFull,
    /// Nobody reads it any more.
    Closed,
    /// Standard input ended.
    Stdin,
    /// All interfaces are gone.
    Gone,
}

impl End {
    /// In words.
    pub fn text(self) -> &'static str {
        match self {
            Self::Signal(Signal::SIGINT) => "interrupted",
            Self::Signal(Signal::SIGHUP) => "the terminal went away",
            Self::Signal(_) => "terminated",
            Self::Duration => "its time was over",
            Self::Count => "it had the packets asked for",
            Self::Size => "it was as large as it may be",
            Self::Room => "too little room was left on the disk",
            Self::DiskFull => "the disk was full",
            Self::Closed => "nobody read it any more",
            Self::Stdin => "standard input ended",
            Self::Gone => "all of its interfaces went away",
        }
    }
}

/// How a running capture is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Status {
    /// Packets written.
    pub packets: u64,
    /// Packets written since the status before.
    pub new_packets: u64,
    /// Packets that the kernel dropped.
    pub dropped: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Since the first packet could be captured.
    pub elapsed: Duration,
}

/// Is told how a capture goes.
pub trait Observer {
    /// Everything is open: the interfaces, as they are called in the file.
    fn started(&mut self, _interfaces: &[String]) {}
    /// Once a second.
    fn status(&mut self, _status: &Status) {}
    /// Something that does not end it.
    fn warn(&mut self, _warning: &str) {}
}

/// What became of a capture.
#[derive(Debug)]
pub struct Summary {
    /// Why it ended.
    pub end: End,
    /// Packets written.
    pub packets: u64,
    /// Packets that the kernel dropped for want of room in its ring.
    pub dropped: u64,
    /// Packets that passed the filter and are not in the capture because writing failed or enough were written.
    pub discarded: u64,
    /// The files, oldest first.
    pub files: Vec<PathBuf>,
    /// How long it took.
    pub elapsed: Duration,
    /// Each interface: its name in the file, and packets received and dropped.
    pub interfaces: Vec<(String, u64, u64)>,
}

impl Summary {
    /// Of a capture that nobody wanted to read.
    fn unread() -> Self {
        Self {
            end: End::Closed,
            packets: 0,
            dropped: 0,
            discarded: 0,
            files: Vec::new(),
            elapsed: Duration::ZERO,
            interfaces: Vec::new(),
        }
    }
}

/// Captures until something ends it.
pub fn capture(places: &[Place], plan: &Plan, observer: &mut dyn Observer) -> Result<Summary, CaptureError> {
    match capture_all(places, plan, observer) {
        Err(error) if record::is_broken_pipe(&error) => Ok(Summary::unread()),
        done => done,
    }
}

fn capture_all(places: &[Place], plan: &Plan, observer: &mut dyn Observer) -> Result<Summary, CaptureError> {
    let signals = Signals::hold()?;
    let room = Room::of(&plan.output.destination, plan.limits.min_free)?;
    room.as_ref().map_or(Ok(()), Room::check)?;
    let collector = if plan.context { Some(Collector::start(places)?) } else { None };
    let context = |when| collector.as_ref().map_or_else(Vec::new, |collector| collector.collect(when));
    let before = context(When::Before);
    let taps = open_all(places, plan)?;
    if taps.is_empty() {
        return Err(CaptureError::NothingUp);
    }
    let interfaces: Vec<Interface> = taps.iter().map(|(place, tap)| describe(place, tap, plan, places.len())).collect();
    let names: Vec<String> = interfaces.iter().filter_map(|interface| interface.name.clone()).collect();
    let head = head(places, plan, before);
    let mut recorder = Recorder::start(plan.output.clone(), head, interfaces)?;
    recorder.max_packets = plan.limits.count;
    recorder.flush()?;
    if plan.drop_privileges {
        crate::privilege::drop_all(&plan.output.destination, observer);
    }
    observer.started(&names);
    let taps = taps.into_iter().map(|(_, tap)| tap).collect();
    let mut session = Session::new(taps, recorder, plan, room, signals);
    let end = session.run(observer);
    session.conclude(end, names, || context(When::After))
}

fn open_all<'a>(places: &'a [Place], plan: &Plan) -> Result<Vec<(&'a Place, Tap)>, CaptureError> {
    let mut taps = Vec::new();
    for place in places {
        let links = place.choose(&plan.interfaces)?;
        let ring = if place.node { Size(plan.buffer.0 / links.len().max(1) as u64) } else { plan.buffer };
        let opened = place.netns.run(|| open_links(&links, plan, ring))??;
        taps.extend(opened.into_iter().map(|tap| (place, tap)));
    }
    Ok(taps)
}

fn open_links(links: &[Link], plan: &Plan, ring: Size) -> Result<Vec<Tap>, CaptureError> {
    let ring_of = |link: &Link| {
        let most = if link.is_loopback() { LOOPBACK_RING.min(ring) } else { ring };
        most.max(SMALLEST_RING)
    };
    links.iter().map(|link| Tap::open(link, &plan.wanted, ring_of(link))).collect()
}

/// The interface as the file has it.
fn describe(place: &Place, tap: &Tap, plan: &Plan, places: usize) -> Interface {
    let link = &tap.link;
    let name = match &place.pod {
        Some(pod) => format!("{}/{}/{}", pod.namespace, pod.name, link.name),
        None if places > 1 => format!("{}/{}", place.name, link.name),
        None => link.name.clone(),
    };
    let kind = if link.kind.is_empty() { String::new() } else { format!("{}, ", link.kind) };
    Interface {
        link_type: tap.link_type,
        // What libpcap puts back into a frame, a VLAN tag, is beyond what was asked for.
        snaplen: plan.wanted.snaplen.saturating_add(4),
        name: Some(name),
        description: Some(format!("{kind}MTU {}", link.mtu)),
        filter: plan.wanted.text(),
        addresses: link.addresses.iter().map(|(address, _)| *address).collect(),
        mac: link.mac,
        ..Interface::default()
    }
}

fn head(places: &[Place], plan: &Plan, notes: Vec<Note>) -> Head {
    let system = nix::sys::utsname::uname().ok();
    let text = |field: fn(&UtsName) -> &OsStr| {
        system.as_ref().map_or_else(String::new, |system| field(system).to_string_lossy().into_owned())
    };
    let (host, kernel) = (text(UtsName::nodename), text(UtsName::release));
    let note = CaptureNote {
        program: plan.program.clone(),
        node: host.clone(),
        kernel: kernel.clone(),
        targets: plan.targets.clone(),
        filter: plan.wanted.text(),
        snaplen: plan.wanted.snaplen,
        places: places.iter().map(Place::note).collect(),
        part: 0,
    };
    let section = Section {
        hardware: None,
        os: Some(format!("Linux {kernel}")),
        application: Some(plan.program.clone()),
        comments: vec![format!("{} on node {host}", plan.targets.join(" "))],
    };
    Head { section, note, names: plan.names.clone(), notes }
}

struct Session<'a> {
    taps: Vec<Tap>,
    recorder: Recorder,
    plan: &'a Plan,
    room: Option<Room>,
    signals: Signals,
    started: Instant,
    ticked: Instant,
    stats_written: Instant,
    flushed: Instant,
    dropped_before: u64,
    packets_before: u64,
    discarded: u64,
    no_room: bool,
    /// The rings were not read to their ends.
    more: bool,
}

impl<'a> Session<'a> {
    fn new(taps: Vec<Tap>, recorder: Recorder, plan: &'a Plan, room: Option<Room>, signals: Signals) -> Self {
        let now = Instant::now();
        Self {
            taps,
            recorder,
            plan,
            room,
            signals,
            started: now,
            ticked: now,
            stats_written: now,
            flushed: now,
            dropped_before: 0,
            packets_before: 0,
            discarded: 0,
            no_room: false,
            more: false,
        }
    }

    fn run(&mut self, observer: &mut dyn Observer) -> Result<End, CaptureError> {
        loop {
            if let Some(end) = self.wait()? {
                return Ok(end);
            }
            self.read_all()?;
            if self.ticked.elapsed() >= TICK {
                self.tick(observer)?;
            }
            if let Some(end) = self.over() {
                return Ok(end);
            }
        }
    }

    /// Waits for packets, signals or the next thing to do. libpcap itself would wait for ever on an idle interface.
    fn wait(&self) -> Result<Option<End>, CaptureError> {
        let mut fds = vec![PollFd::new(self.signals.fd(), PollFlags::POLLIN)];
        let (stdin, stdout) = (io::stdin(), io::stdout());
        let closing = matches!(self.plan.output.destination, record::Destination::Stdout);
        // No events asked for: what is told all the same is that the reader is gone.
        fds.push(PollFd::new(if closing { stdout.as_fd() } else { self.signals.fd() }, PollFlags::empty()));
        let stdin_fd: BorrowedFd<'_> = if self.plan.limits.stdin { stdin.as_fd() } else { self.signals.fd() };
        fds.push(PollFd::new(stdin_fd, if self.plan.limits.stdin { PollFlags::POLLIN } else { PollFlags::empty() }));
        fds.extend(self.taps.iter().filter(|tap| !tap.gone).map(|tap| PollFd::new(tap.fd(), PollFlags::POLLIN)));
        match poll(&mut fds, self.timeout()) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(CaptureError::system("wait for packets")(error)),
        }
        let told = |index: usize| fds.get(index).and_then(PollFd::revents).is_some_and(|events| !events.is_empty());
        Ok(match (told(0), told(1), told(2)) {
            (true, ..) => self.signals.take().map(End::Signal),
            (_, true, _) => Some(End::Closed),
            (.., true) => stdin_ended().then_some(End::Stdin),
            _ => None,
        })
    }

    /// Until the next tick or the end, rounded up: rounded down it would be 0 for the last millisecond, and spin.
    fn timeout(&self) -> PollTimeout {
        if self.more {
            return PollTimeout::ZERO;
        }
        let mut left = TICK.saturating_sub(self.ticked.elapsed());
        if let Some(duration) = self.plan.limits.duration {
            left = left.min(duration.saturating_sub(self.started.elapsed()));
        }
        let milliseconds = left.as_micros().div_ceil(1_000);
        u16::try_from(milliseconds).unwrap_or(u16::MAX).into()
    }

    /// Reads a batch of each interface, and hands everything on once all are drained.
    fn read_all(&mut self) -> Result<(), CaptureError> {
        self.more = false;
        for index in 0..self.taps.len() {
            self.more |= self.read(index)? == Reading::More;
        }
        if !self.more && !self.plan.output.compress || self.flushed.elapsed() >= TICK {
            self.recorder.flush()?;
            self.flushed = Instant::now();
        }
        Ok(())
    }

    fn read(&mut self, index: usize) -> Result<Reading, CaptureError> {
        let Self { taps, recorder, discarded, .. } = self;
        let Some(tap) = taps.get_mut(index) else { return Ok(Reading::Drained) };
        let mut failed = None;
        let reading = tap.read(|frame| {
            if failed.is_some() || recorder.is_complete() {
                *discarded += 1;
            } else if let Err(error) = recorder.packet(index as u32, frame) {
                *discarded += 1;
                failed = Some(error);
            }
        });
        tap.gone |= reading == Reading::Gone;
        failed.map_or(Ok(reading), Err)
    }

    fn tick(&mut self, observer: &mut dyn Observer) -> Result<(), CaptureError> {
        self.ticked = Instant::now();
        self.count();
        self.no_room = self.room.as_ref().is_some_and(|room| room.check().is_err());
        let dropped = self.recorder.dropped();
        if dropped > self.dropped_before || self.stats_written.elapsed() >= STATISTICS {
            self.recorder.statistics(clock::now_ns())?;
            self.stats_written = Instant::now();
        }
        let packets = self.recorder.packets();
        observer.status(&Status {
            packets,
            new_packets: packets - self.packets_before,
            dropped,
            bytes: self.recorder.bytes(),
            elapsed: self.started.elapsed(),
        });
        (self.dropped_before, self.packets_before) = (dropped, packets);
        self.recorder.tick()
    }

    fn count(&mut self) {
        for (index, tap) in self.taps.iter_mut().enumerate() {
            self.recorder.counted(index as u32, tap.counters());
        }
    }

    fn over(&self) -> Option<End> {
        let Limits { duration, size, .. } = self.plan.limits;
        let timed_out = duration.is_some_and(|duration| self.started.elapsed() >= duration);
        let too_large = size.is_some_and(|size| self.recorder.bytes() >= size.0);
        [
            (timed_out, End::Duration),
            (self.recorder.is_complete(), End::Count),
            (too_large, End::Size),
            (self.no_room, End::Room),
            (self.is_gone(), End::Gone),
        ]
        .into_iter()
        .find_map(|(over, end)| over.then_some(end))
    }

    /// A namespace that is held open keeps its loopback interface when its pod is deleted: it ends with the others.
    fn is_gone(&self) -> bool {
        let lasting = self.taps.iter().filter(|tap| !tap.gone);
        let mut lasting = lasting.peekable();
        lasting.peek().is_none() || (self.taps.iter().any(|tap| tap.gone) && lasting.all(|tap| tap.link.is_loopback()))
    }

    /// Gets everything out of the rings, and ends the files.
    fn conclude(
        mut self,
        end: Result<End, CaptureError>,
        names: Vec<String>,
        after: impl FnOnce() -> Vec<Note>,
    ) -> Result<Summary, CaptureError> {
        let elapsed = self.started.elapsed();
        let ended = end.and_then(|end| {
            self.drain()?;
            for note in after() {
                self.recorder.note(&note)?;
            }
            Ok(end)
        });
        self.count();
        let counters = self.taps.iter_mut().map(Tap::counters);
        let interfaces = names.into_iter().zip(counters).map(|(name, c)| (name, c.received, c.dropped)).collect();
        let dropped = self.recorder.dropped();
        let packets = self.recorder.packets();
        let (end, files, packets) = match ended {
            Ok(end) => (end, self.recorder.finish(end.text())?, packets),
            Err(error) if record::is_broken_pipe(&error) => (End::Closed, Vec::new(), packets),
            Err(error) if record::is_full_disk(&error) => {
                let (files, packets) = self.recorder.abandon()?;
                (End::DiskFull, files, packets)
            }
            Err(error) => return Err(error),
        };
        Ok(Summary { end, packets, dropped, discarded: self.discarded, files, elapsed, interfaces })
    }

    /// The kernel hands over the last block of a ring only when it is old enough, also after the interface is gone.
    fn drain(&mut self) -> Result<(), CaptureError> {
        for tap in &mut self.taps {
            // The filter of an interface that is gone lets nothing in anyway.
            let _ = tap.close();
        }
        std::thread::sleep(LAST_BLOCK);
        for index in 0..self.taps.len() {
            while self.read(index)? == Reading::More {}
        }
        self.recorder.flush()
    }
}

/// Whether standard input has nothing more to say; what it says is no matter.
fn stdin_ended() -> bool {
    let mut ignored = [0; 256];
    matches!(nix::unistd::read(io::stdin(), &mut ignored), Ok(0) | Err(_))
}
