//! What decoding met, by capture point: frames by layer, and why decoding stopped.

use crate::packet::{Kind, Packet};
use crate::time::reach;
use crate::wire::{Layer, Layers, Path, Stop};
use kcap_file::{Direction, Record};
use std::collections::BTreeMap;

/// Counts of one point.
#[derive(Clone, Debug, Default)]
pub(crate) struct PointCounts {
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
    /// Frames that the capture cut.
    pub(crate) snapped: u64,
    pub(crate) span_ns: Option<(i64, i64)>,
    /// Frames whose time is before that of the frame before.
    pub(crate) backwards: u64,
    last_ns: i64,
    /// A bit for each direction in which frames passed.
    directions: u8,
    /// Times each layer was met, but for those of `recent`.
    layers: [u64; Layer::ALL.len()],
    /// Frames by all of their layers: there are a handful of paths, and so one count a frame does.
    recent: [(Path, u64); RECENT],
    /// Frames that stopped at a layer: cut, or contradicting its format.
    stopped: BTreeMap<(Layer, bool), u64>,
    /// Frames that ended at something that is not decoded.
    undecoded: BTreeMap<&'static str, u64>,
    pub(crate) too_deep: u64,
    pub(crate) fragments: u64,
}

/// Paths counted at a time.
const RECENT: usize = 16;

/// Counts of all points, by index.
#[derive(Debug, Default)]
pub(crate) struct Decoded {
    points: Vec<PointCounts>,
}

/// One line of the `decode` table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct LayerCount {
    pub(crate) name: &'static str,
    pub(crate) decoded: bool,
    pub(crate) frames: u64,
    pub(crate) snapped: u64,
    pub(crate) malformed: u64,
}

impl Decoded {
    /// Counts one frame.
    #[inline]
    pub(crate) fn count(&mut self, packet: &Packet, record: &Record, layers: &Layers) {
        let at = usize::from(packet.point);
        if at >= self.points.len() {
            self.points.resize_with(at + 1, PointCounts::default);
        }
        self.points[at].count(packet, record, layers);
    }

    /// Counts of a point.
    pub(crate) fn at(&self, point: usize) -> Option<&PointCounts> {
        self.points.get(point)
    }
}

impl PointCounts {
    #[inline]
    fn count(&mut self, packet: &Packet, record: &Record, layers: &Layers) {
        self.frames += 1;
        self.bytes += u64::from(record.orig_len);
        self.snapped += u64::from(record.caplen < record.orig_len);
        self.time(record.ts_ns);
        self.directions |= 1 << packet.direction as u8;
        self.fragments += u64::from(packet.kind == Kind::Fragment);
        self.layers(layers);
        if layers.stop != Stop::End {
            self.stop(layers.stop);
        }
    }

    #[inline]
    fn layers(&mut self, layers: &Layers) {
        let Some(path) = layers.path() else {
            layers.list().iter().for_each(|layer| self.layers[*layer as usize] += 1);
            return;
        };
        let place = &mut self.recent[path.place::<RECENT>()];
        if place.0 != path {
            let before = std::mem::replace(place, (path, 0));
            count_path(&mut self.layers, before);
        }
        place.1 += 1;
    }

    /// Times each layer was met.
    fn by_layer(&self) -> [u64; Layer::ALL.len()] {
        let mut layers = self.layers;
        self.recent.iter().for_each(|recent| count_path(&mut layers, *recent));
        layers
    }

    #[inline]
    fn time(&mut self, ns: i64) {
        reach(&mut self.span_ns, ns);
        self.backwards += u64::from(ns < self.last_ns && self.frames > 1);
        self.last_ns = ns;
    }

    fn stop(&mut self, stop: Stop) {
        match stop {
            Stop::End => {}
            Stop::Snapped(layer) => *self.stopped.entry((layer, false)).or_default() += 1,
            Stop::Malformed(layer) => *self.stopped.entry((layer, true)).or_default() += 1,
            Stop::Undecoded(name) => *self.undecoded.entry(name).or_default() += 1,
            Stop::TooDeep => self.too_deep += 1,
        }
    }

    /// Whether frames passed that came in, or of which the file does not say.
    pub(crate) fn may_come_in(&self) -> bool {
        self.directions & !(1 << Direction::Out as u8) != 0
    }

    /// Whether frames passed that went out, or of which the file does not say.
    pub(crate) fn may_go_out(&self) -> bool {
        self.directions & !(1 << Direction::In as u8) != 0
    }

    /// Frames in which some layer contradicts its format.
    pub(crate) fn malformed(&self) -> u64 {
        self.stopped.iter().filter(|((_, malformed), _)| *malformed).map(|(_, frames)| frames).sum()
    }

    /// What was met here, decoded layers first.
    pub(crate) fn lines(&self) -> Vec<LayerCount> {
        let layers = self.by_layer();
        let stopped = |layer, malformed| self.stopped.get(&(layer, malformed)).copied().unwrap_or_default();
        let decoded = Layer::ALL.iter().map(|&layer| LayerCount {
            name: layer.name(),
            decoded: true,
            frames: layers[layer as usize],
            snapped: stopped(layer, false),
            malformed: stopped(layer, true),
        });
        let undecoded = self.undecoded.iter().map(|(&name, &frames)| LayerCount {
            name,
            decoded: false,
            frames,
            snapped: 0,
            malformed: 0,
        });
        let met = |line: &LayerCount| line.frames + line.snapped + line.malformed > 0;
        decoded.chain(undecoded).filter(met).collect()
    }
}

fn count_path(layers: &mut [u64; Layer::ALL.len()], (path, frames): (Path, u64)) {
    path.layers().for_each(|layer| layers[layer as usize] += frames);
}
