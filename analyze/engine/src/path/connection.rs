//! One connection, whoever saw it.

use super::Kept;
use crate::detect::Outcome;
use crate::track::Endpoint;
use crate::track::event::Flow;

/// A connection, from the originator's end on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connection {
    /// IP protocol.
    pub(crate) proto: u8,
    /// Where it had the same addresses, the originator's side first; at least one.
    pub(crate) stages: Vec<Stage>,
    /// How sure it is that these are one connection.
    pub(crate) confidence: f64,
}

/// A part of the way on which a connection has the same addresses.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stage {
    pub(crate) orig: Endpoint,
    pub(crate) resp: Endpoint,
    /// What units saw of it; at least one, the first to see it first.
    pub(crate) seen: Vec<u32>,
}

impl Connection {
    /// As the originator knows it.
    pub(crate) fn front(&self) -> &Stage {
        &self.stages[0]
    }

    /// As the responder knows it.
    pub(crate) fn back(&self) -> &Stage {
        self.stages.last().unwrap_or(&self.stages[0])
    }

    /// What was seen of it, the originator's side first.
    pub(crate) fn flows<'a>(&'a self, kept: &'a Kept) -> impl Iterator<Item = &'a Flow> + Clone {
        self.stages.iter().flat_map(|stage| stage.flows(kept))
    }

    /// Whether the destination was translated in sight.
    pub(crate) fn endpoint(&self) -> Option<Endpoint> {
        let (front, back) = (self.front(), self.back());
        (front.resp != back.resp).then_some(back.resp)
    }

    /// How it ended, as its originator knows it best: the sighting that is nearest to it and can tell.
    pub(crate) fn outcome(&self, kept: &Kept) -> Outcome {
        let mut outcomes = self.flows(kept).map(Flow::outcome);
        outcomes.find(|outcome| *outcome != Outcome::Unclear).unwrap_or(Outcome::Unclear)
    }
}

impl Stage {
    /// What was seen of it.
    pub(crate) fn flows<'a>(&'a self, kept: &'a Kept) -> impl Iterator<Item = &'a Flow> + Clone {
        self.seen.iter().map(|at| kept.flow(*at))
    }
}
