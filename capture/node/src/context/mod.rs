//! What the network looked like around a capture: collected before, and again after.
//!
//! A place's part is read in its network namespace, connection tracking and rules in the node's, where a pod's traffic
//! is translated. A thread stays in each, which keeps `CAP_NET_ADMIN` and nothing else. All this is in the process beside
//! the one that captures.

mod proc;
mod route;
mod rules;

use crate::conntrack::{self, Snapshot};
use crate::links::{Link, links};
use crate::place::Place;
use crate::{CaptureError, Netns, clock};
use kcap_file::note::{Context, LinkNote, Missing, Note, When};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Longest time that a context may take: what prints tens of thousands of rules takes seconds.
const MAX_TIME: Duration = Duration::from_secs(10);
/// Longest `resolv.conf` that is kept.
const MAX_RESOLV_CONF: usize = 16 * 1024;

/// Collects the context of places, when it is asked to.
#[derive(Debug)]
pub(crate) struct Collector {
    places: Vec<Worker<Context>>,
    node: Worker<NodePart>,
}

/// A context that is being collected, by a thread: a capture begins meanwhile.
#[derive(Debug)]
pub(crate) struct Gathering(JoinHandle<(Collector, Vec<Note>)>);

impl Gathering {
    /// Collects the context before.
    pub(crate) fn start(mut collector: Collector) -> Result<Self, CaptureError> {
        let work = move || {
            let notes = collector.collect(When::Before);
            (collector, notes)
        };
        std::thread::Builder::new().name("before".to_owned()).spawn(work).map(Self).map_err(CaptureError::Thread)
    }

    /// Whether it is there.
    pub(crate) fn is_done(&self) -> bool {
        self.0.is_finished()
    }

    /// The collector, and what it collected; waits for it.
    pub(crate) fn finish(self) -> Option<(Collector, Vec<Note>)> {
        self.0.join().ok()
    }
}

/// What the node knows of addresses.
#[derive(Clone, Debug, Default)]
struct NodePart {
    snapshot: Snapshot,
    rules: Vec<String>,
    missing: Vec<Missing>,
}

/// A thread that collects something in a namespace each time it is asked.
#[derive(Debug)]
struct Worker<T> {
    ask: Option<SyncSender<When>>,
    answers: Receiver<Result<T, CaptureError>>,
    thread: Option<JoinHandle<()>>,
}

impl<T: Send + 'static> Worker<T> {
    fn start(netns: Netns, mut collect: impl FnMut(When) -> T + Send + 'static) -> Result<Self, CaptureError> {
        let (ask, asked) = sync_channel::<When>(1);
        let (answer, answers) = sync_channel(1);
        let work = move || {
            let entered = netns.enter();
            let mut entered = entered.map(|()| crate::privilege::keep_net_admin());
            while let Ok(when) = asked.recv() {
                let collected = std::mem::replace(&mut entered, Ok(())).map(|()| collect(when));
                if answer.send(collected).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("context".to_owned()).spawn(work);
        Ok(Self { ask: Some(ask), answers, thread: Some(thread.map_err(CaptureError::Thread)?) })
    }

    /// What is collected now; nothing when that takes too long.
    fn ask(&mut self, when: When) -> Option<Result<T, CaptureError>> {
        self.ask.as_ref()?.send(when).ok()?;
        let answer = self.answers.recv_timeout(MAX_TIME).ok();
        if answer.is_none() {
            // Whatever it hangs on, it is not waited for.
            self.thread = None;
        }
        answer
    }
}

impl<T> Drop for Worker<T> {
    fn drop(&mut self) {
        self.ask = None;
        if let Some(thread) = self.thread.take() {
            // It has nothing left to say.
            let _ = thread.join();
        }
    }
}

impl Collector {
    pub(crate) fn start(places: &[Place]) -> Result<Self, CaptureError> {
        let worker = |place: &Place| {
            let (name, resolver) = (place.name.clone(), resolv_conf(place.resolv_conf.as_ref()));
            Worker::start(place.netns.clone(), move |when| of_place(&name, &resolver, when))
        };
        let addresses = addresses(places)?;
        Ok(Self {
            places: places.iter().map(worker).collect::<Result<_, _>>()?,
            node: Worker::start(Place::node()?.netns, move |_| of_node(&addresses))?,
        })
    }

    /// The context of all places now; without what takes too long.
    pub(crate) fn collect(&mut self, when: When) -> Vec<Note> {
        let node = self.node.ask(when).and_then(Result::ok).unwrap_or_else(|| NodePart {
            missing: vec![missing("conntrack and rules", &"the node's did not answer, or cannot be entered")],
            ..NodePart::default()
        });
        let with_node = |mut context: Context| {
            context.conntrack.clone_from(&node.snapshot.entries);
            context.conntrack_stats = node.snapshot.stats;
            context.rules.clone_from(&node.rules);
            context.missing.extend(node.missing.iter().chain(&node.snapshot.missing).cloned());
            Note::Context(Box::new(context))
        };
        self.places.iter_mut().filter_map(|worker| worker.ask(when)?.ok()).map(with_node).collect()
    }
}

/// The addresses by which the node knows the places; none of a place that is the node itself.
pub(crate) fn addresses(places: &[Place]) -> Result<Vec<IpAddr>, CaptureError> {
    let mut all = Vec::new();
    for place in places {
        let links = place.netns.run(links)??;
        all.extend(links.iter().flat_map(|link| &link.addresses).map(|(address, _)| *address).filter(is_own));
    }
    Ok(all)
}

/// Loopback and link-local addresses are those of everybody.
pub(crate) fn is_own(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !address.is_loopback() && !address.is_link_local(),
        IpAddr::V6(address) => !address.is_loopback() && !address.is_unicast_link_local(),
    }
}

fn of_place(name: &str, resolver: &Result<String, Missing>, when: When) -> Context {
    let mut context = Context { place: name.to_owned(), when, ts_ns: clock::now_ns(), ..Context::default() };
    let missed = &mut context.missing;
    context.links = note(missed, "links", links()).iter().map(link_note).collect();
    context.routes = note(missed, "routes", route::routes());
    context.neighbours = note(missed, "neighbours", route::neighbours());
    context.sockets = proc::sockets(missed);
    context.counters = proc::counters(missed);
    match resolver {
        Ok(text) => context.resolv_conf = Some(text.clone()),
        Err(why) => context.missing.push(why.clone()),
    }
    context
}

fn of_node(addresses: &[IpAddr]) -> NodePart {
    let mut missing = Vec::new();
    let rules = rules::touching(addresses, &mut missing);
    NodePart { snapshot: conntrack::snapshot(Some(addresses)), rules, missing }
}

pub(crate) fn missing(what: &str, why: &dyn std::fmt::Display) -> Missing {
    Missing { what: what.to_owned(), why: why.to_string() }
}

/// What was collected, or nothing and a note why.
fn note<T: Default>(missed: &mut Vec<Missing>, what: &str, collected: Result<T, CaptureError>) -> T {
    collected.unwrap_or_else(|error| {
        missed.push(missing(what, &error.chain()));
        T::default()
    })
}

fn link_note(link: &Link) -> LinkNote {
    LinkNote {
        name: link.name.clone(),
        index: link.index,
        kind: link.kind.clone(),
        mtu: link.mtu,
        up: link.up,
        mac: link.mac.map(|mac| route::mac_text(&mac)),
        addresses: link.addresses.clone(),
        gso_max: link.gso_max,
        qdisc: link.qdisc.clone(),
        rx_dropped: link.dropped.0,
        tx_dropped: link.dropped.1,
        rx_errors: link.errors.0,
        tx_errors: link.errors.1,
    }
}

/// Read once, while it is allowed: the files of another process are not open to who has given up
/// `CAP_SYS_PTRACE`.
fn resolv_conf(path: Option<&PathBuf>) -> Result<String, Missing> {
    const WHAT: &str = "resolv.conf";
    let path = path.ok_or_else(|| missing(WHAT, &"no process is known whose file it would be"))?;
    let bytes = std::fs::read(path)
        .map_err(|error| missing(WHAT, &format!("{error}; files of another process need CAP_SYS_PTRACE")))?;
    Ok(String::from_utf8_lossy(bytes.get(..MAX_RESOLV_CONF).unwrap_or(&bytes)).into_owned())
}
