//! What comes while a capture runs: pods that were restarted, pods that a selector finds later, new interfaces.
//!
//! libpcap cannot take over a descriptor that another process opened, so a thread opens what comes and hands it to the
//! one that captures. It alone keeps the capabilities that takes, and reads nothing of any packet.

use super::open::Opened;
use super::plan::Plan;
use crate::links::links;
use crate::place::Place;
use crate::resolve::Follow;
use crate::{CaptureError, privilege};
use kcap_file::NameRecord;
use std::collections::BTreeSet;
use std::io::{PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Between looks.
const LOOK: Duration = Duration::from_millis(500);
/// Interfaces of one capture. Each takes a ring and a handle.
const MAX_INTERFACES: usize = 1024;

/// News of the follower.
#[derive(Debug)]
pub(super) enum News {
    /// Interfaces are open.
    Joined(Box<Opened>),
    /// Names of addresses: of all pods of the node, which takes longer than a capture may wait.
    Names(Vec<NameRecord>),
    /// The place with that network namespace is gone.
    Left(u64),
    /// Something could not be followed.
    Failed(String),
}

/// The thread that follows.
#[derive(Debug)]
pub(super) struct Follower {
    news: Receiver<News>,
    wake: PipeReader,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
    /// Whether the names of addresses came.
    named: bool,
    /// How long everything may be gone before the capture is over; for ever when there is none.
    pub(super) patience: Option<Duration>,
}

impl Follower {
    /// Follows the places, whose interfaces are open, and what the targets will find. `several` says whether interfaces
    /// bear the names of their places.
    pub(super) fn start(
        places: Vec<Watched>,
        follow: Option<Follow>,
        plan: &Plan,
        several: bool,
    ) -> Result<Self, CaptureError> {
        let patience = follow.as_ref().map_or(Some(Duration::ZERO), Follow::patience);
        let (wake, waker) =
            std::io::pipe().map_err(|source| CaptureError::System { operation: "make a pipe", source })?;
        let (tell, news) = channel();
        let (stop, stopped) = channel();
        let open = places.iter().map(|watched| watched.open.len()).sum();
        let mut watch = Watch { places, follow, plan: plan.clone(), several, open, failed: BTreeSet::new() };
        let work = move || {
            privilege::keep_for_opening();
            let names = watch.names();
            if hand_over(News::Names(names), &tell, &waker).is_err() {
                return;
            }
            while stopped.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                if watch.look().into_iter().any(|found| hand_over(found, &tell, &waker).is_err()) {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("follow".to_owned()).spawn(work).map_err(CaptureError::Thread)?;
        Ok(Self { news, wake, stop: Some(stop), thread: Some(thread), named: false, patience })
    }

    /// Readable when there is news.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// News, after [`fd`](Self::fd) was readable.
    pub(super) fn take(&mut self) -> Vec<News> {
        let mut bytes = [0; 256];
        // Only ever read when there is something.
        let _ = self.wake.read(&mut bytes);
        let news: Vec<News> = self.news.try_iter().collect();
        self.named |= news.iter().any(|news| matches!(news, News::Names(_)));
        news
    }

    /// The names of addresses, of a capture that is over before they came: they are what it is read with.
    pub(super) fn last_names(&self) -> Vec<NameRecord> {
        let until = Instant::now() + NAMED;
        while !self.named
            && let Ok(news) = self.news.recv_timeout(until.saturating_duration_since(Instant::now()))
        {
            if let News::Names(names) = news {
                return names;
            }
        }
        Vec::new()
    }
}

/// How long a capture that is over waits for names.
const NAMED: Duration = Duration::from_secs(1);

impl Drop for Follower {
    fn drop(&mut self) {
        self.stop = None;
        // It ends at its next look, unless the runtime it asks hangs: then with the program.
        let asked = Instant::now();
        while self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
            && asked.elapsed() < Duration::from_secs(1)
        {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn hand_over(news: News, tell: &Sender<News>, mut waker: &PipeWriter) -> Result<(), ()> {
    tell.send(news).map_err(drop)?;
    waker.write_all(&[0]).map_err(drop)
}

/// A place and those of its interfaces that are open.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) place: Place,
    pub(super) open: BTreeSet<u32>,
}

struct Watch {
    places: Vec<Watched>,
    follow: Option<Follow>,
    plan: Plan,
    several: bool,
    /// Interfaces open.
    open: usize,
    /// What was told already, so that it is told once.
    failed: BTreeSet<String>,
}

impl Watch {
    /// Names that the capture does not have.
    fn names(&self) -> Vec<NameRecord> {
        let known = |record: &NameRecord| self.plan.names.iter().any(|known| known.address == record.address);
        let all = self.follow.as_ref().map_or_else(Vec::new, Follow::names);
        all.into_iter().filter(|record| !known(record)).collect()
    }

    fn look(&mut self) -> Vec<News> {
        let mut news = self.pods();
        if self.plan.interfaces.is_empty() {
            for index in 0..self.places.len() {
                let found = self.links(index);
                news.extend(found.transpose().map(|found| self.told(found)));
            }
        }
        news.into_iter().flatten().collect()
    }

    /// News, or the failure when it is the first of its kind.
    fn told(&mut self, found: Result<Opened, CaptureError>) -> Option<News> {
        match found {
            Ok(opened) => {
                self.open += opened.taps.len();
                Some(News::Joined(Box::new(opened)))
            }
            Err(error) => {
                let text = error.chain();
                self.failed.insert(text.clone()).then_some(News::Failed(text))
            }
        }
    }

    /// Pods that left and pods that came.
    fn pods(&mut self) -> Vec<Option<News>> {
        let Some(follow) = &mut self.follow else { return Vec::new() };
        let known: Vec<&str> = self.places.iter().filter_map(|watched| watched.place.sandbox()).collect();
        // A runtime that does not answer now may later.
        let Ok((ready, came)) = follow.look(&known) else { return Vec::new() };
        let left = |watched: &Watched| watched.place.sandbox().is_some_and(|sandbox| !ready.contains(sandbox));
        let gone: Vec<u64> = self.places.iter().filter(|w| left(w)).map(|w| w.place.netns.inode()).collect();
        self.places.retain(|watched| !left(watched));
        let mut news: Vec<Option<News>> = gone.into_iter().map(|inode| Some(News::Left(inode))).collect();
        for place in came {
            let found = self.join(place);
            news.push(self.told(found));
        }
        news
    }

    fn join(&mut self, place: Place) -> Result<Opened, CaptureError> {
        let links = place.choose(&self.plan.interfaces)?;
        self.has_room(links.len())?;
        let opened = Opened::place(&place, &links, &self.plan, self.open, self.several)?;
        self.places.push(Watched { place, open: links.iter().map(|link| link.index).collect() });
        Ok(opened)
    }

    /// Interfaces of a place that were not there before.
    fn links(&mut self, index: usize) -> Result<Option<Opened>, CaptureError> {
        let Some(watched) = self.places.get_mut(index) else { return Ok(None) };
        let all = watched.place.netns.run(links)??;
        watched.open.retain(|open| all.iter().any(|link| link.index == *open));
        let new: Vec<_> = all.into_iter().filter(|link| link.up && !watched.open.contains(&link.index)).collect();
        if new.is_empty() {
            return Ok(None);
        }
        watched.open.extend(new.iter().map(|link| link.index));
        self.has_room(new.len())?;
        let Some(watched) = self.places.get(index) else { return Ok(None) };
        Opened::links(&watched.place, &new, &self.plan, self.open, self.several).map(Some)
    }

    fn has_room(&self, more: usize) -> Result<(), CaptureError> {
        if self.open + more > MAX_INTERFACES {
            Err(CaptureError::Usage("no more interfaces than 1024 are captured"))
        } else {
            Ok(())
        }
    }
}
