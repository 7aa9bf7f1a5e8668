//! Interfaces opened, and what the file says of them.

use super::plan::Plan;
use super::watch::{Joined, Open, numbered};
use crate::given::KINDS;
use crate::host::{host_name, kernel};
use crate::links::Link;
use crate::place::Place;
use crate::record::Head;
use crate::tap::Tap;
use crate::{CaptureError, Size};
use kcap_file::note::{CaptureNote, PlaceNote};
use kcap_file::{Interface, Section};
use std::os::fd::OwnedFd;

/// Ring of a loopback interface, at most.
const LOOPBACK_RING: Size = Size(8 << 20);
/// The smallest ring: libpcap's blocks are 256 KiB.
const SMALLEST_RING: Size = Size::MIB;

/// An interface being captured, and what the file says of it.
pub(super) type Opened = (Tap, Interface);

/// Opens those interfaces of a place. `several` says whether the place is not the only one.
fn of_place(place: &Place, links: &[Link], plan: &Plan, several: bool) -> Result<Vec<Opened>, CaptureError> {
    let inode = place.netns.inode();
    let open = |link: &Link| Tap::open(link, inode, &plan.wanted, ring(link, place.node, links.len(), plan));
    let taps: Vec<Tap> = place.netns.run(|| links.iter().map(open).collect::<Result<_, _>>())??;
    let note = place.note();
    Ok(taps.into_iter().map(|tap| described(tap, &note, plan, several)).collect())
}

/// Opens interfaces of another process's sockets, but for those among the `open` ones, which have another name now.
pub(super) fn of_sockets(
    joined: &Joined,
    sockets: Vec<OwnedFd>,
    plan: &Plan,
    open: &[&Link],
) -> Vec<Result<Opened, CaptureError>> {
    let Joined { place, links, several, .. } = joined;
    let mut sockets = sockets.into_iter();
    let open = |link: &Link| {
        let own = sockets.by_ref().take(KINDS.len()).collect();
        if open.iter().any(|open| open.index == link.index) {
            return None;
        }
        let ring = ring(link, place.node, open.len() + links.len(), plan);
        let tap = Tap::of_sockets(own, link, place.netns, &plan.wanted, ring);
        Some(tap.map(|tap| described(tap, place, plan, *several)))
    };
    links.iter().filter_map(open).collect()
}

/// Bytes of an interface's ring. On a node one budget is shared by all interfaces.
fn ring(link: &Link, is_node: bool, interfaces: usize, plan: &Plan) -> Size {
    let share = if is_node { interfaces.max(1) as u64 } else { 1 };
    let ring = Size(plan.buffer.0 / share);
    let most = if link.is_loopback() { LOOPBACK_RING.min(ring) } else { ring };
    most.max(SMALLEST_RING)
}

fn described(tap: Tap, place: &PlaceNote, plan: &Plan, several: bool) -> Opened {
    let interface = describe(place, &tap, plan, several);
    (tap, interface)
}

/// The interface as the file has it.
fn describe(place: &PlaceNote, tap: &Tap, plan: &Plan, several: bool) -> Interface {
    let link = &tap.link;
    let name = match &place.pod {
        Some(pod) => format!("{}/{}/{}", pod.namespace, pod.name, link.name),
        None if several => format!("{}/{}", place.name, link.name),
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

/// Opens the interfaces of the places that targets are at the beginning, and says which those are.
pub(super) fn all(places: &[Place], plan: &Plan) -> Result<(Vec<Opened>, Open), CaptureError> {
    let (mut opened, mut open) = (Vec::new(), Open::new());
    for place in places {
        let links = place.choose(&plan.interfaces)?;
        opened.extend(of_place(place, &links, plan, places.len() > 1)?);
        open.push(numbered(&links));
    }
    if opened.is_empty() { Err(CaptureError::NothingUp) } else { Ok((opened, open)) }
}

/// What every part of the file begins with, but for its places.
pub(super) fn head(plan: &Plan) -> Head {
    let (host, kernel) = (host_name(), kernel());
    let note = CaptureNote {
        program: plan.program.clone(),
        node: host.clone(),
        kernel: kernel.clone(),
        targets: plan.targets.clone(),
        filter: plan.wanted.text(),
        snaplen: plan.wanted.snaplen,
        places: Vec::new(),
        part: 0,
    };
    let section = Section {
        hardware: None,
        os: Some(format!("Linux {kernel}")),
        application: Some(plan.program.clone()),
        comments: vec![format!("{} on node {host}", plan.targets.join(" "))],
    };
    Head { section, note, names: plan.names.clone(), notes: Vec::new() }
}
