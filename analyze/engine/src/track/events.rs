//! Events on their way to the collector.

use super::dns::Transaction;
use super::event::Event;
use super::reuse::Spare;
use super::turn::Turn;
use std::ops::{Deref, DerefMut};

/// Events and the index of the packet that made them, for merging shards in frame order. Turns and DNS transactions come
/// by the thousand and are looked at once, so their places are used again.
#[derive(Debug, Default)]
pub(crate) struct Events {
    list: Vec<(u32, Event)>,
    /// DNS questions that were answered or given up.
    pub(crate) transactions: Vec<Transaction>,
    spare: Spare<Turn, SPARE>,
}

/// Places kept to be used again.
const SPARE: usize = 512;

impl Events {
    /// A turn ended.
    pub(crate) fn turn(&mut self, at: u32, turn: Turn) {
        self.list.push((at, Event::Turn(self.spare.boxed(turn))));
    }

    /// Takes all events of `others`, after its own.
    pub(crate) fn append(&mut self, others: &mut Self) {
        self.list.append(&mut others.list);
        self.transactions.append(&mut others.transactions);
    }

    /// Forgets all events and keeps their memory.
    pub(crate) fn clear(&mut self) {
        self.list.clear();
        self.transactions.clear();
    }

    /// Takes half of the places that others have to be used again.
    pub(crate) fn share(&mut self, others: &mut Self) {
        self.spare.share(&mut others.spare);
    }

    /// Hands on all events but the transactions, in order; the places of turns that come back are used again.
    ///
    /// # Errors
    /// The first of the taker, who gets no more events then.
    pub(crate) fn hand_on<E>(&mut self, mut taker: impl FnMut(Event) -> Result<Option<Box<Turn>>, E>) -> Result<(), E> {
        for (_, event) in self.list.drain(..) {
            if let Some(place) = taker(event)? {
                self.spare.keep(place);
            }
        }
        Ok(())
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
