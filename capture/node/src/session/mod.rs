//! A capture from the first packet to the last.

mod end;
mod follow;
mod open;
mod plan;
mod watch;
mod wire;

pub use plan::{End, Limits, Observer, Plan, Status, Summary};

use crate::links::Link;
use crate::place::Place;
use crate::record::{self, Destination, Recorder, Room};
use crate::resolve::Resolved;
use crate::signals::Signals;
use crate::tap::{BLOCK_TIMEOUT, Reading, Tap};
use crate::{CaptureError, clock};
use follow::Follower;
use kcap_file::Interface;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};
use watch::{Joined, News};

/// How often counters are read, limits checked and the status shown.
const TICK: Duration = Duration::from_secs(1);
/// Counters are written this often, so that who reads along knows that the capture lives, and at once after drops.
const STATISTICS: Duration = Duration::from_secs(10);
/// How long the kernel may hold back the last block of a ring after its filter was closed, or its interface has gone.
const LAST_BLOCK: Duration = BLOCK_TIMEOUT.saturating_add(Duration::from_millis(20));

/// Captures until something ends it.
pub fn capture(targets: Resolved, plan: &Plan, observer: &mut dyn Observer) -> Result<Summary, CaptureError> {
    match capture_all(targets, plan, observer) {
        Err(error) if record::is_broken_pipe(&error) => Ok(Summary::unread()),
        done => done,
    }
}

fn capture_all(targets: Resolved, plan: &Plan, observer: &mut dyn Observer) -> Result<Summary, CaptureError> {
    // While nobody has opened a pipe for reading, signals end the program.
    let pipe = plan.output.destination.wait_for_reader()?;
    let signals = Signals::hold()?;
    let room = Room::of(&plan.output.destination, plan.limits.min_free)?;
    room.as_ref().map_or(Ok(()), Room::check)?;
    let Resolved { places, follow, .. } = targets;
    let follower = Follower::start(&places, follow, plan)?;
    let (opened, open) = open::all(&places, plan)?;
    follower.as_ref().map_or(Ok(()), |follower| follower.begin(&open))?;
    let mut head = open::head(plan);
    head.note.places = places.iter().map(Place::note).collect();
    let (taps, interfaces): (Vec<Tap>, Vec<Interface>) = opened.into_iter().unzip();
    let names = names(&interfaces);
    let mut recorder = Recorder::start(plan.output.clone(), head, interfaces, observer.feed())?;
    recorder.max_packets = plan.limits.count;
    recorder.flush()?;
    if plan.drop_privileges {
        crate::privilege::drop_all(&plan.output.destination, observer);
    }
    if pipe.is_some() || plan.output.destination == Destination::Stdout {
        signals.insist().map_err(CaptureError::Thread)?;
    }
    drop(pipe);
    let mut session = Session::new(recorder, plan, room, signals);
    session.taps = taps.into_iter().map(Some).collect();
    session.follower = follower;
    observer.started(&names);
    let end = session.run(observer);
    session.conclude(end)
}

/// Names of interfaces in the file.
fn names(interfaces: &[Interface]) -> Vec<String> {
    interfaces.iter().filter_map(|interface| interface.name.clone()).collect()
}

struct Session<'a> {
    /// By their numbers in the file; none of an interface that is gone and read to its end.
    taps: Vec<Option<Tap>>,
    follower: Option<Follower>,
    recorder: Recorder,
    plan: &'a Plan,
    room: Option<Room>,
    signals: Signals,
    started: Instant,
    ticked: Instant,
    stats_written: Instant,
    flushed: Instant,
    /// Since when no interface is left but loopback.
    alone: Option<Instant>,
    dropped_before: u64,
    packets_before: u64,
    parts_told: u32,
    discarded: u64,
    no_room: bool,
    asked: bool,
    /// The rings were not read to their ends.
    more: bool,
}

impl<'a> Session<'a> {
    fn new(recorder: Recorder, plan: &'a Plan, room: Option<Room>, signals: Signals) -> Self {
        let now = Instant::now();
        Self {
            taps: Vec::new(),
            follower: None,
            recorder,
            plan,
            room,
            signals,
            started: now,
            ticked: now,
            stats_written: now,
            flushed: now,
            alone: None,
            dropped_before: 0,
            packets_before: 0,
            parts_told: 1,
            discarded: 0,
            no_room: false,
            asked: false,
            more: false,
        }
    }

    /// Begins to read interfaces that came.
    fn join(&mut self, joined: Joined, sockets: Vec<OwnedFd>, observer: &mut dyn Observer) -> Result<(), CaptureError> {
        let mut names = Vec::new();
        let known: Vec<Link> =
            self.live().filter(|tap| tap.place == joined.place.netns).map(|tap| tap.link.clone()).collect();
        for opened in open::of_sockets(&joined, sockets, self.plan, &known.iter().collect::<Vec<_>>()) {
            match opened {
                Ok((tap, interface)) => {
                    names.extend(interface.name.clone());
                    self.recorder.add_interface(interface)?;
                    self.taps.push(Some(tap));
                }
                Err(error) => observer.warn(&error.chain()),
            }
        }
        if !names.is_empty() {
            observer.joined(&names);
        }
        self.recorder.add(joined.is_new.then_some(joined.place), joined.names, Vec::new())
    }

    /// Takes what the process beside this one found.
    fn follow(&mut self, observer: &mut dyn Observer) -> Result<(), CaptureError> {
        let Some(follower) = &mut self.follower else { return Ok(()) };
        match follower.take() {
            Some((News::Joined(joined), sockets)) => self.join(*joined, sockets, observer)?,
            Some((News::Context(notes), _)) => self.recorder.add(None, Vec::new(), notes)?,
            Some((News::Names(names), _)) => self.recorder.add(None, names, Vec::new())?,
            Some((News::Left(name, place), _)) => {
                observer.warn(&format!("{name} is gone"));
                self.leave(place);
            }
            Some((News::Failed(why), _)) => observer.warn(&why),
            None => {
                self.follower = None;
                observer.warn("the process that opens has ended: what starts from now on is not captured");
            }
        }
        Ok(())
    }

    /// Reads no further packets of a place than those its rings hold.
    fn leave(&mut self, place: u64) {
        for tap in self.taps.iter_mut().flatten().filter(|tap| tap.place == place && tap.gone.is_none()) {
            tap.gone = Some(Instant::now());
        }
    }

    fn run(&mut self, observer: &mut dyn Observer) -> Result<End, CaptureError> {
        loop {
            match self.wait()? {
                Wake::End(end) => return Ok(end),
                Wake::News => self.follow(observer)?,
                Wake::Packets => {}
            }
            self.recorder.keeps_all = observer.holds_files();
            self.read_all()?;
            self.part_finished(observer);
            if self.ticked.elapsed() >= TICK {
                self.tick(observer)?;
            }
            if let Some(end) = self.over() {
                return Ok(end);
            }
        }
    }

    /// Waits for packets, signals or the next thing to do. libpcap itself would wait for ever on an idle interface.
    fn wait(&self) -> Result<Wake, CaptureError> {
        let mut fds = vec![PollFd::new(self.signals.fd(), PollFlags::POLLIN)];
        let (stdin, stdout) = (io::stdin(), io::stdout());
        let closing = matches!(self.plan.output.destination, Destination::Stdout);
        // No events asked for: what is told all the same is that the reader is gone.
        fds.push(PollFd::new(if closing { stdout.as_fd() } else { self.signals.fd() }, PollFlags::empty()));
        let stdin_fd: BorrowedFd<'_> = if self.plan.limits.stdin { stdin.as_fd() } else { self.signals.fd() };
        fds.push(PollFd::new(stdin_fd, if self.plan.limits.stdin { PollFlags::POLLIN } else { PollFlags::empty() }));
        let news = self.follower.as_ref().map_or(self.signals.fd(), Follower::fd);
        fds.push(PollFd::new(news, if self.follower.is_some() { PollFlags::POLLIN } else { PollFlags::empty() }));
        fds.extend(self.live().map(|tap| PollFd::new(tap.fd(), PollFlags::POLLIN)));
        match poll(&mut fds, self.timeout()) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(CaptureError::system("wait for packets")(error)),
        }
        let told = |index: usize| fds.get(index).and_then(PollFd::revents).is_some_and(|events| !events.is_empty());
        let end = match (told(0), told(1), told(2)) {
            (true, ..) => self.signals.take().map(End::Signal),
            (_, true, _) => Some(End::Closed),
            (.., true) => stdin_ended().then_some(End::Stdin),
            _ => None,
        };
        Ok(end.map_or(if told(3) { Wake::News } else { Wake::Packets }, Wake::End))
    }

    /// Interfaces that are not gone.
    fn live(&self) -> impl Iterator<Item = &Tap> {
        self.taps.iter().flatten().filter(|tap| tap.gone.is_none())
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
        self.close_gone();
        if !self.more && !self.plan.output.compress || self.flushed.elapsed() >= TICK {
            self.recorder.flush()?;
            self.flushed = Instant::now();
        }
        Ok(())
    }

    fn read(&mut self, index: usize) -> Result<Reading, CaptureError> {
        let Self { taps, recorder, discarded, .. } = self;
        let Some(Some(tap)) = taps.get_mut(index) else { return Ok(Reading::Drained) };
        let mut failed = None;
        let reading = tap.read(|frame| {
            if failed.is_some() || recorder.is_complete() {
                *discarded += 1;
            } else if let Err(error) = recorder.packet(index as u32, frame) {
                *discarded += 1;
                failed = Some(error);
            }
        });
        if reading == Reading::Gone && tap.gone.is_none() {
            tap.gone = Some(Instant::now());
            // It may come up again under another name, and is joined then: what it held is all that it has to say.
            let _ = tap.close();
            let place = tap.place;
            self.lost(place);
        }
        failed.map_or(Ok(reading), Err)
    }

    /// A namespace that is held open keeps its loopback interface when it is deleted: where nobody looks for that, it
    /// goes with the others.
    fn lost(&mut self, place: u64) {
        if self.follower.is_none() && self.live().filter(|tap| tap.place == place).all(|tap| tap.link.is_loopback()) {
            self.leave(place);
        }
    }

    /// Lets go of what is gone, once the kernel has handed over the last of it.
    fn close_gone(&mut self) {
        for (index, slot) in self.taps.iter_mut().enumerate() {
            if let Some(tap) =
                slot.as_mut().filter(|tap| tap.gone.is_some_and(|since| since.elapsed() > 2 * LAST_BLOCK))
            {
                self.recorder.counted(index as u32, tap.counters());
                *slot = None;
            }
        }
    }

    /// Tells of a part that was finished.
    fn part_finished(&mut self, observer: &mut dyn Observer) {
        if self.recorder.parts() != self.parts_told {
            self.parts_told = self.recorder.parts();
            observer.finished(self.recorder.finished());
        }
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
        self.asked = observer.wants_end();
        self.wait_for_return(observer);
        self.recorder.tick()
    }

    /// Notes since when there is nothing to capture, and says so when that is not the end.
    fn wait_for_return(&mut self, observer: &mut dyn Observer) {
        let patience = self.follower.as_ref().and_then(|follower| follower.patience);
        let lives = self.live().next().is_some();
        match (lives, self.alone) {
            (true, _) => self.alone = None,
            (false, None) => {
                self.alone = Some(Instant::now());
                match patience {
                    Some(Duration::ZERO) => {}
                    Some(patience) => {
                        let seconds = patience.as_secs();
                        observer.warn(&format!("all that was captured is gone; waiting {seconds} s for a restart"));
                    }
                    None => observer.warn("all that was captured is gone; waiting for a restart"),
                }
            }
            _ => {}
        }
    }

    fn count(&mut self) {
        for (index, tap) in self.taps.iter_mut().enumerate() {
            if let Some(tap) = tap {
                self.recorder.counted(index as u32, tap.counters());
            }
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
            (self.asked, End::Asked),
            (self.is_gone(), End::Gone),
        ]
        .into_iter()
        .find_map(|(over, end)| over.then_some(end))
    }

    fn is_gone(&self) -> bool {
        if self.live().next().is_some() {
            return false;
        }
        let Some(follower) = &self.follower else { return true };
        let alone = self.alone.map(|since| since.elapsed());
        follower.patience.is_some_and(|patience| patience.is_zero() || alone.is_some_and(|alone| alone >= patience))
    }
}

/// What there is to do.
enum Wake {
    /// Packets, or nothing but time that passed.
    Packets,
    /// The follower has news.
    News,
    End(End),
}

/// Whether standard input has nothing more to say; what it says is no matter.
fn stdin_ended() -> bool {
    let mut ignored = [0; 256];
    matches!(nix::unistd::read(io::stdin(), &mut ignored), Ok(0) | Err(_))
}
