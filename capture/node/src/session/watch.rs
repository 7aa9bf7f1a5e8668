//! What the process beside a capture does: it looks for pods that were restarted, pods that a selector finds later and
//! new interfaces, opens sockets for them, and collects what the network looks like before and after.
//!
//! It has the capabilities that this takes, and never sees a packet.

use super::wire::{self, MAX_DESCRIPTORS};
use crate::context::{Collector, Gathering};
use crate::given::{KINDS, packet_sockets};
use crate::links::{Link, links};
use crate::place::Place;
use crate::resolve::Follow;
use crate::{CaptureError, Plan};
use kcap_file::NameRecord;
use kcap_file::note::{Note, PlaceNote, When};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Between looks.
const LOOK: Duration = Duration::from_millis(500);
/// Interfaces of one capture. Each takes a ring and a handle.
const MAX_INTERFACES: usize = 1024;

/// What is told to the process that captures.
#[derive(Serialize, Deserialize, Debug)]
pub(super) enum News {
    /// Interfaces came; sockets come with them.
    Joined(Box<Joined>),
    /// What the network looks like.
    Context(Vec<Note>),
    /// Names of addresses: of all pods of the node, which takes longer than a capture may wait.
    Names(Vec<NameRecord>),
    /// The place of that name, with that network namespace, is gone.
    Left(String, u64),
    /// Something could not be followed.
    Failed(String),
}

/// Interfaces of a place, which have [`KINDS`] sockets each, in this order.
#[derive(Serialize, Deserialize, Debug)]
pub(super) struct Joined {
    pub(super) place: PlaceNote,
    /// Whether the place is new, too.
    pub(super) is_new: bool,
    /// Names of the addresses of a new place.
    pub(super) names: Vec<NameRecord>,
    pub(super) links: Vec<Link>,
    /// Whether interfaces bear the names of their places.
    pub(super) several: bool,
}

/// Interfaces that are open, number and name, by place, as the process that captures tells when it has begun.
pub(super) type Open = Vec<BTreeMap<u32, String>>;

/// News and the sockets that come with it.
type Found = (News, Vec<OwnedFd>);

/// A place and those of its interfaces that are open.
#[derive(Debug)]
struct Watched {
    place: Place,
    open: BTreeMap<u32, String>,
}

/// What is looked at.
#[derive(Debug)]
pub(super) struct Watch<'a> {
    places: Vec<Watched>,
    /// Whether there were several when it began.
    several: bool,
    follow: Option<Follow>,
    plan: &'a Plan,
    gathering: Vec<Gathering>,
    collectors: Vec<Collector>,
    /// What was told already, so that it is told once.
    failed: BTreeSet<String>,
}

impl<'a> Watch<'a> {
    pub(super) fn new(follow: Option<Follow>, plan: &'a Plan) -> Self {
        let (gathering, collectors) = (Vec::new(), Vec::new());
        Self { places: Vec::new(), several: false, follow, plan, gathering, collectors, failed: BTreeSet::new() }
    }

    /// Tells what is found in the places and beside them, until nobody listens or the capture is over.
    pub(super) fn run(mut self, places: &[Place], stream: &UnixStream) -> io::Result<()> {
        let Some((open, _)) = wire::receive::<Open>(stream)? else { return Ok(()) };
        let watched = places.iter().cloned().zip(open).map(|(place, open)| Watched { place, open });
        self.places = watched.collect();
        self.several = places.len() > 1;
        tell(stream, self.gather(places))?;
        tell(stream, [(News::Names(self.names()), Vec::new())])?;
        while !is_over(stream)? {
            tell(stream, self.look())?;
        }
        tell(stream, self.last())
    }

    /// Names that the capture does not have.
    fn names(&mut self) -> Vec<NameRecord> {
        let known = |record: &NameRecord| self.plan.names.iter().any(|known| known.address == record.address);
        let all = self.follow.as_mut().map_or_else(Vec::new, Follow::names);
        all.into_iter().filter(|record| !known(record)).collect()
    }

    /// Begins to collect the context of places, whose interfaces are open: no packet is missed for it.
    fn gather(&mut self, places: &[Place]) -> Vec<Found> {
        if !self.plan.context {
            return Vec::new();
        }
        match Collector::start(places).and_then(Gathering::start) {
            Ok(gathering) => {
                self.gathering.push(gathering);
                Vec::new()
            }
            Err(error) => self.failure(&error),
        }
    }

    /// The context that has been collected; all of it, when the capture is over.
    fn gathered(&mut self, is_over: bool) -> Vec<Found> {
        let mut found = Vec::new();
        for gathering in std::mem::take(&mut self.gathering) {
            if !is_over && !gathering.is_done() {
                self.gathering.push(gathering);
            } else if let Some((collector, notes)) = gathering.finish() {
                found.push((News::Context(notes), Vec::new()));
                self.collectors.push(collector);
            }
        }
        found
    }

    /// What is told once the capture is over.
    fn last(&mut self) -> Vec<Found> {
        let mut found = self.gathered(true);
        let after = self.collectors.iter_mut().map(|collector| collector.collect(When::After));
        found.extend(after.map(|notes| (News::Context(notes), Vec::new())));
        found
    }

    fn look(&mut self) -> Vec<Found> {
        let mut found = self.gathered(false);
        found.extend(self.pods());
        found.extend(self.left(|place| !place.is_there()));
        if self.plan.interfaces.is_empty() {
            for index in 0..self.places.len() {
                let new = self.new_links(index);
                found.extend(new.unwrap_or_else(|error| self.failure(&error)));
            }
        }
        found
    }

    /// The failure, when it is the first of its kind.
    fn failure(&mut self, error: &CaptureError) -> Vec<Found> {
        let text = error.chain();
        let is_new = self.failed.insert(text.clone());
        is_new.then_some((News::Failed(text), Vec::new())).into_iter().collect()
    }

    /// Pods that left and pods that came.
    fn pods(&mut self) -> Vec<Found> {
        let Some(follow) = &mut self.follow else { return Vec::new() };
        let known: Vec<&str> = self.places.iter().filter_map(|watched| watched.place.sandbox()).collect();
        // A runtime that does not answer now may later.
        let Ok((ready, came)) = follow.look(&known) else { return Vec::new() };
        let mut found = self.left(|place| place.sandbox().is_some_and(|sandbox| !ready.contains(sandbox)));
        for place in came {
            let joined = self.join(&place);
            found.extend(joined.unwrap_or_else(|error| self.failure(&error)));
        }
        found
    }

    /// Places that are gone.
    fn left(&mut self, is_gone: impl Fn(&Place) -> bool) -> Vec<Found> {
        let gone = self.places.extract_if(.., |watched| is_gone(&watched.place));
        gone.map(|Watched { place, .. }| (News::Left(place.name, place.netns.inode()), Vec::new())).collect()
    }

    fn join(&mut self, place: &Place) -> Result<Vec<Found>, CaptureError> {
        let links = place.choose(&self.plan.interfaces)?;
        self.has_room(links.len())?;
        let mut found = joined(place, &links, true, self.several)?;
        self.places.push(Watched { place: place.clone(), open: numbered(&links) });
        found.extend(self.gather(std::slice::from_ref(place)));
        Ok(found)
    }

    /// Interfaces of a place that were not there before.
    fn new_links(&mut self, index: usize) -> Result<Vec<Found>, CaptureError> {
        let Some(watched) = self.places.get_mut(index) else { return Ok(Vec::new()) };
        let all = watched.place.netns.run(links)??;
        // One that was renamed while it was down is captured no more.
        watched.open.retain(|open, name| all.iter().any(|link| link.index == *open && link.name == *name));
        let new: Vec<_> = all.into_iter().filter(|link| link.up && !watched.open.contains_key(&link.index)).collect();
        watched.open.extend(numbered(&new));
        let place = watched.place.clone();
        self.has_room(0)?;
        joined(&place, &new, false, self.several)
    }

    /// Whether as many more interfaces can be captured.
    fn has_room(&self, more: usize) -> Result<(), CaptureError> {
        let open: usize = self.places.iter().map(|watched| watched.open.len()).sum();
        if open + more > MAX_INTERFACES {
            Err(CaptureError::Usage("no more interfaces than 1024 are captured"))
        } else {
            Ok(())
        }
    }
}

/// Links by number.
pub(super) fn numbered(links: &[Link]) -> BTreeMap<u32, String> {
    links.iter().map(|link| (link.index, link.name.clone())).collect()
}

/// The news that links of a place came, with sockets made in its namespace.
fn joined(place: &Place, links: &[Link], mut is_new: bool, several: bool) -> Result<Vec<Found>, CaptureError> {
    let mut found = Vec::new();
    for links in links.chunks(MAX_DESCRIPTORS / KINDS.len()) {
        let open = || links.iter().map(|_| packet_sockets()).collect::<io::Result<Vec<_>>>();
        let sockets = place.netns.run(open)?;
        let sockets = sockets.map_err(|source| CaptureError::System { operation: "open a packet socket", source })?;
        let names = if is_new { place.names() } else { Vec::new() };
        let news = Joined { place: place.note(), is_new, names, links: links.to_vec(), several };
        found.push((News::Joined(Box::new(news)), sockets.into_iter().flatten().collect()));
        is_new = false;
    }
    Ok(found)
}

fn tell(stream: &UnixStream, found: impl IntoIterator<Item = Found>) -> io::Result<()> {
    for (news, sockets) in found {
        let sockets: Vec<_> = sockets.iter().map(OwnedFd::as_fd).collect();
        wire::send(stream, &news, &sockets)?;
    }
    Ok(())
}

/// Whether the capture is over, after a while in which it was not.
fn is_over(stream: &UnixStream) -> io::Result<bool> {
    let mut fds = [PollFd::new(stream.as_fd(), PollFlags::POLLIN)];
    Ok(poll(&mut fds, PollTimeout::from(LOOK.as_millis() as u16))? > 0)
}
