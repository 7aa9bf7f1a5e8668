//! Capture points: where frames were seen.

use kcap_file::{Batch, LinkType, Record};
use std::collections::HashMap;
use std::sync::Arc;

/// A capture point: an interface of a file (or of the parts of one rotated capture).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Point {
    /// Unit of the inputs.
    pub unit: u32,
    /// First file that has it.
    pub capture: u32,
    /// Interface name from the file, `if#4` where only the index is known, or nothing where the file is the point.
    pub interface: Option<Arc<str>>,
    /// Link type.
    pub link_type: LinkType,
    /// Whether one packet may be seen here on several interfaces that the frames do not tell apart.
    pub hides_interface: bool,
}

/// Identity of a point within the unit that is read now.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Place {
    interface: u32,
    index: Option<u32>,
}

impl Place {
    /// A number of its own, not 0, which is compared at once: most frames are of the place of the one before. No file
    /// has 2^31 interfaces.
    #[inline]
    fn number(self) -> u64 {
        (u64::from(self.interface) << 33).wrapping_add(self.index.map_or(1, |index| u64::from(index) + 2))
    }
}

/// The points found so far.
#[derive(Debug, Default)]
pub(crate) struct Points {
    list: Vec<Point>,
    places: HashMap<Place, u16>,
    /// [`Place::number`] of the last frame's place, and its point.
    last: (u64, u16),
    /// Whether the last point hides interfaces.
    hides_interface: bool,
    unit: u32,
    /// Frames whose point is beyond the cap and counts as the last one.
    pub(crate) left_out: u64,
}

/// Points kept; a capture with more interfaces than this is no capture.
const MAX_POINTS: usize = 4096;

impl Points {
    /// Index of the point of a record.
    #[inline]
    pub(crate) fn at(&mut self, batch: &Batch, record: &Record, interface_index: Option<u32>) -> u16 {
        let place = Place { interface: record.interface, index: interface_index };
        let (last, point) = self.last;
        if last == place.number() && self.unit == batch.unit { point } else { self.look_up(batch, place) }
    }

    fn look_up(&mut self, batch: &Batch, place: Place) -> u16 {
        if self.unit != batch.unit {
            self.unit = batch.unit;
            self.places.clear();
        }
        let point = match self.places.get(&place) {
            Some(&point) => point,
            None => self.add(batch, place),
        };
        self.last = (place.number(), point);
        self.hides_interface = self.list.get(usize::from(point)).is_some_and(|point| point.hides_interface);
        point
    }

    fn add(&mut self, batch: &Batch, place: Place) -> u16 {
        if self.list.len() >= MAX_POINTS {
            self.left_out += 1;
            return (MAX_POINTS - 1) as u16;
        }
        let interface = batch.interfaces.get(place.interface as usize);
        if let Some(known) = self.same_interface(place, batch) {
            self.places.insert(place, known);
            return known;
        }
        let named = interface.and_then(|interface| interface.name.as_deref()).map(Arc::from);
        let link_type = interface.map(|interface| interface.link_type).unwrap_or_default();
        let point = self.list.len() as u16;
        self.list.push(Point {
            unit: batch.unit,
            capture: batch.capture,
            interface: place.index.map(|index| Arc::from(format!("if#{index}"))).or(named),
            link_type,
            hides_interface: link_type == LinkType::LINUX_SLL,
        });
        self.places.insert(place, point);
        point
    }

    /// The point that another description of the same interface made: sections and rotated parts describe it anew.
    fn same_interface(&self, place: Place, batch: &Batch) -> Option<u16> {
        let interface = batch.interfaces.get(place.interface as usize)?;
        let name = interface.name.as_deref()?;
        let same = |point: &Point| {
            point.unit == batch.unit
                && point.link_type == interface.link_type
                && point.interface.as_deref() == Some(name)
        };
        let known = self.list.iter().position(same).filter(|_| place.index.is_none())?;
        u16::try_from(known).ok()
    }

    /// Whether the point asked for last shows packets of several interfaces without telling them apart.
    #[inline]
    pub(crate) fn hides_interface(&self) -> bool {
        self.hides_interface
    }

    /// Whether the unit that is read now has several.
    pub(crate) fn are_several(&self) -> bool {
        matches!(self.list[..], [.., ref a, ref b] if a.unit == self.unit && b.unit == self.unit)
    }

    /// All points, by index.
    pub(crate) fn list(&self) -> &[Point] {
        &self.list
    }
}
