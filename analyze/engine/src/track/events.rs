//! Events on their way to the collector.

use super::event::Event;
use super::turn::Turn;
use std::ops::{Deref, DerefMut};

/// Events and the index of the packet that made them, for merging shards in frame order. Turns come by the thousand and
/// are looked at once, so their places are used again.
#[derive(Debug, Default)]
pub(crate) struct Events {
    list: Vec<(u32, Event)>,
    #[expect(clippy::vec_box, reason = "the boxes are what is used again")]
    spare: Vec<Box<Turn>>,
}

/// Places kept to be used again.
const SPARE: usize = 4096;

impl Events {
    /// A turn ended.
    pub(crate) fn turn(&mut self, at: u32, turn: Turn) {
        let place = match self.spare.pop() {
            Some(mut place) => {
                *place = turn;
                place
            }
            None => Box::new(turn),
        };
        self.list.push((at, Event::Turn(place)));
    }

    /// Takes all events out.
    pub(crate) fn take(&mut self) -> Vec<(u32, Event)> {
        std::mem::take(&mut self.list)
    }

    /// Takes an emptied list back.
    pub(crate) fn give_back(&mut self, list: Vec<(u32, Event)>) {
        self.list = list;
    }

    /// Takes the place of a turn back.
    pub(crate) fn spare(&mut self, place: Box<Turn>) {
        if self.spare.len() < SPARE {
            self.spare.push(place);
        }
    }
}

impl Deref for Events {
    type Target = Vec<(u32, Event)>;

    fn deref(&self) -> &Self::Target {
        &self.list
    }
}

impl DerefMut for Events {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.list
    }
}
