//! Frame by frame: our flags against tshark's.

use crate::ours;
use crate::theirs::{self, Frame};
use kcap_analyze::Packet;
use kcap_analyze::packet::Kind;
use kcap_analyze::wire::{self, DecodeConfig, Layers, Stop};
use kcap_file::{Batch, Reader};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// What came of the comparison.
#[derive(Default)]
pub(crate) struct Tally {
    files: u64,
    pub(crate) equal: u64,
    /// Of those equal, frames with a flag.
    flagged: u64,
    left_out: BTreeMap<&'static str, u64>,
    /// Frames of link types that are not decoded.
    undecoded_link: u64,
    /// Differences with a reason: how many, and the first place of each.
    pub(crate) explained: BTreeMap<String, (u64, String)>,
    pub(crate) unexplained: Vec<String>,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Self) {
        self.files += other.files;
        self.equal += other.equal;
        self.flagged += other.flagged;
        self.undecoded_link += other.undecoded_link;
        self.unexplained.extend(other.unexplained);
        for (what, count) in other.left_out {
            *self.left_out.entry(what).or_default() += count;
        }
        for (reason, (count, place)) in other.explained {
            self.explained.entry(reason).or_insert((0, place)).0 += count;
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let explained: u64 = self.explained.values().map(|(count, _)| count).sum();
        let frames = self.equal + explained + self.unexplained.len() as u64;
        writeln!(f, "compared {frames} TCP frames of {} files with tshark", self.files)?;
        writeln!(f, "{:>8} equal, {} of them flagged", self.equal, self.flagged)?;
        for (reason, (count, place)) in &self.explained {
            writeln!(f, "{count:>8} {reason} (first: {place})")?;
        }
        for place in &self.unexplained {
            writeln!(f, "DIFFERS  {place}")?;
        }
        for (what, count) in &self.left_out {
            writeln!(f, "{count:>8} left out: {what}")?;
        }
        write!(f, "{:>8} left out: of a link type that is not decoded", self.undecoded_link)
    }
}

/// Compares one file.
pub(crate) fn file(path: &Path, tally: &mut Tally) {
    let is_capture = Reader::open(path).is_ok();
    let Some(theirs) = is_capture.then(|| theirs::frames(path)).flatten() else { return };
    let mut ours = ours::flags(path);
    let mut differing = BTreeMap::new();
    for (number, frame) in theirs {
        let flags = ours.remove(&number).unwrap_or_default();
        match frame.left_out {
            Some(what) => *tally.left_out.entry(what).or_default() += 1,
            None if flags == frame.flags => {
                tally.equal += 1;
                tally.flagged += u64::from(!flags.is_empty());
            }
            None => drop(differing.insert(number, (Some(frame), flags))),
        }
    }
    differing.extend(ours.into_iter().map(|(number, flags)| (number, (None, flags))));
    tally.files += 1;
    explain(path, differing, tally);
}

/// Looks at the frames that differ once more.
fn explain(path: &Path, mut differing: BTreeMap<u64, (Option<Frame>, String)>, tally: &mut Tally) {
    if differing.is_empty() {
        return;
    }
    let mut reader = Reader::open(path).expect("the file was read before");
    let (mut batch, mut packet, mut layers) = (Batch::default(), Packet::default(), Layers::default());
    while reader.next_batch(&mut batch) {
        for (number, record) in (batch.first_frame..).zip(&batch.records) {
            let Some((theirs, ours)) = differing.remove(&number) else { continue };
            let link = batch.interfaces[record.interface as usize].link_type;
            let config = DecodeConfig::default();
            wire::decode(batch.frame(record), link, record.orig_len, &config, &mut packet, &mut layers);
            let place = format!("{}:{number}", path.display());
            let is_past_damage = reader.info().problems.iter().any(|problem| problem.after_frame < number);
            match reason(theirs.as_ref(), &packet, &layers) {
                // We read on behind it.
                Reason::None if theirs.is_none() && is_past_damage => {
                    *tally.left_out.entry("behind damage at which tshark stops to read").or_default() += 1;
                }
                Reason::Link => tally.undecoded_link += 1,
                Reason::Layer(what) => tally.explained.entry(what).or_insert((0, place)).0 += 1,
                Reason::None => {
                    let theirs = theirs.map(|frame| (frame.protocols, frame.flags));
                    tally.unexplained.push(format!("{place} ours {ours:?} theirs {theirs:?}"));
                }
            }
        }
    }
}

enum Reason {
    /// Nothing of the frame is decoded.
    Link,
    /// A layer above TCP is not decoded.
    Layer(String),
    None,
}

fn reason(theirs: Option<&Frame>, packet: &Packet, layers: &Layers) -> Reason {
    match (theirs, layers.stop) {
        (Some(_), Stop::Undecoded(_)) if layers.list().is_empty() => Reason::Link,
        (Some(_), Stop::Undecoded(layer)) if packet.kind != Kind::Tcp => Reason::Layer(format!("inside of {layer}")),
        _ => Reason::None,
    }
}
