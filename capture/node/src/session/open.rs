//! Interfaces opened, and what the file says of them.

use super::follow::Watched;
use super::plan::Plan;
use crate::context::{Collector, Gathering};
use crate::host::{host_name, kernel};
use crate::links::Link;
use crate::place::Place;
use crate::record::Head;
use crate::tap::Tap;
use crate::{CaptureError, Size};
use kcap_file::note::{CaptureNote, PlaceNote};
use kcap_file::{Interface, NameRecord, Section};

/// Ring of a loopback interface, at most.
const LOOPBACK_RING: Size = Size(8 << 20);
/// The smallest ring: libpcap's blocks are 256 KiB.
const SMALLEST_RING: Size = Size::MIB;

/// A place whose interfaces are open, or some of them.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) taps: Vec<(Tap, Interface)>,
    /// What the place is, where it is new.
    pub(super) place: Option<PlaceNote>,
    /// Its context.
    pub(super) context: Option<Gathering>,
    /// Names of its addresses.
    pub(super) names: Vec<NameRecord>,
}

impl Opened {
    /// Opens those links of a new place. `open` counts the interfaces that are open already, `several` says whether the
    /// place is not the only one.
    pub(super) fn place(
        place: &Place,
        links: &[Link],
        plan: &Plan,
        open: usize,
        several: bool,
    ) -> Result<Self, CaptureError> {
        let opened = Self::links(place, links, plan, open, several)?;
        let context = gather(std::slice::from_ref(place), plan)?;
        Ok(Self { place: Some(place.note()), context, names: place.names(), ..opened })
    }

    /// Opens further links of a place.
    pub(super) fn links(
        place: &Place,
        links: &[Link],
        plan: &Plan,
        open: usize,
        several: bool,
    ) -> Result<Self, CaptureError> {
        // On a node one budget is shared by all interfaces.
        let share = if place.node { (open + links.len()).max(1) as u64 } else { 1 };
        let ring = Size(plan.buffer.0 / share);
        let taps = place.netns.run(|| open_links(links, plan, ring, place.netns.inode()))??;
        let described = taps.into_iter().map(|tap| {
            let interface = describe(place, &tap, plan, several);
            (tap, interface)
        });
        let taps = described.collect();
        Ok(Self { taps, place: None, context: None, names: Vec::new() })
    }

    /// Names of the interfaces in the file.
    pub(super) fn interfaces(&self) -> Vec<String> {
        self.taps.iter().filter_map(|(_, interface)| interface.name.clone()).collect()
    }
}

/// Begins to collect the context of places, once their interfaces are open: no packet is missed for it.
pub(super) fn gather(places: &[Place], plan: &Plan) -> Result<Option<Gathering>, CaptureError> {
    if !plan.context {
        return Ok(None);
    }
    Collector::start(places).and_then(Gathering::start).map(Some)
}

fn open_links(links: &[Link], plan: &Plan, ring: Size, place: u64) -> Result<Vec<Tap>, CaptureError> {
    let ring_of = |link: &Link| {
        let most = if link.is_loopback() { LOOPBACK_RING.min(ring) } else { ring };
        most.max(SMALLEST_RING)
    };
    links.iter().map(|link| Tap::open(link, place, &plan.wanted, ring_of(link))).collect()
}

/// The interface as the file has it.
fn describe(place: &Place, tap: &Tap, plan: &Plan, several: bool) -> Interface {
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

/// Opens the interfaces of the places that targets are at the beginning.
pub(super) fn all(places: Vec<Place>, plan: &Plan) -> Result<AllOpened, CaptureError> {
    let (mut opened, mut open) = (Vec::new(), Vec::new());
    for place in &places {
        let links = place.choose(&plan.interfaces)?;
        opened.push(Opened::links(place, &links, plan, 0, places.len() > 1)?);
        open.push(links.iter().map(|link| link.index).collect());
    }
    if opened.iter().all(|opened| opened.taps.is_empty()) {
        return Err(CaptureError::NothingUp);
    }
    let context = gather(&places, plan)?;
    let watched = places.into_iter().zip(open).map(|(place, open)| Watched { place, open }).collect();
    Ok((opened, watched, context))
}

/// Interfaces, the places they are of, and their context.
type AllOpened = (Vec<Opened>, Vec<Watched>, Option<Gathering>);

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
