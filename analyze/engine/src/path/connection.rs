//! One connection, whoever saw it.

use super::{Kept, Signs};
use crate::detect::Outcome;
use crate::track::Endpoint;
use crate::track::event::Flow;
use smallvec::SmallVec;
use std::collections::BTreeMap;

/// A connection, from the originator's end on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connection {
    /// IP protocol.
    pub(crate) proto: u8,
    /// Where it had the same addresses, the originator's side first; at least one.
    pub(crate) stages: SmallVec<[Stage; 1]>,
    /// How sure it is that these are one connection.
    pub(crate) confidence: f64,
    /// Source and destination behind the translation, as a listing of conntrack has them.
    pub(crate) listed: Option<(Endpoint, Endpoint)>,
    /// How it ended, as its originator knows it best: the sighting that is nearest to it and can tell.
    pub(crate) outcome: Outcome,
    /// Whether it has the same addresses everywhere and nobody saw how it began.
    pub(crate) headless: bool,
    /// Whether somebody saw nothing of its responder.
    pub(crate) silent: bool,
    /// What else somebody saw of it.
    pub(crate) signs: Signs,
}

/// A part of the way on which a connection has the same addresses.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stage {
    pub(crate) orig: Endpoint,
    pub(crate) resp: Endpoint,
    /// What units saw of it; at least one, the first to see it first.
    pub(crate) seen: SmallVec<[u32; 2]>,
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

    /// Whether it was seen at one place only.
    pub(crate) fn has_one_place(&self) -> bool {
        self.stages.len() == 1 && self.front().seen.len() == 1 && !self.signs.has(Signs::PLACES)
    }

    /// Whether somebody saw it at this time.
    pub(crate) fn is_seen_at(&self, ns: i64, kept: &Kept) -> bool {
        self.flows(kept).any(|flow| (flow.first_ns..=flow.last_ns).contains(&ns))
    }

    /// What the destination was translated to, where that was seen or listed.
    pub(crate) fn endpoint(&self) -> Option<Endpoint> {
        let (front, back) = (self.front(), self.back());
        let listed = || self.listed.map(|(_, to)| to).filter(|to| *to != front.resp);
        if front.resp == back.resp { listed() } else { Some(back.resp) }
    }

    /// Whether a listing confirms or denies what was seen of the translation.
    pub(crate) fn agrees(&self) -> Option<bool> {
        let back = self.back();
        self.listed.map(|listed| self.stages.len() == 1 || listed == (back.orig, back.resp))
    }

    /// Sums up what was seen of it, given when each unit ends, so that who looks for few among all need not look at each.
    pub(super) fn judge(&mut self, kept: &Kept, ends_ns: &BTreeMap<u32, i64>) {
        let told = self.flows(kept).map(Flow::outcome).find(|outcome| *outcome != Outcome::Unclear);
        let gave_up = || {
            let silent = |flow: &Flow| flow.gave_up(ends_ns.get(&flow.unit).copied().unwrap_or(i64::MIN));
            self.flows(kept).all(silent).then_some(Outcome::Unanswered)
        };
        let outcome = told.or_else(gave_up).unwrap_or(Outcome::Unclear);
        let headless = self.stages.len() == 1 && self.flows(kept).all(Flow::is_midstream);
        let silent = self.flows(kept).any(|flow| flow.from_resp.packets == 0);
        (self.outcome, self.headless, self.silent) = (outcome, headless, silent);
        self.signs = self.flows(kept).map(Signs::of).fold(Signs::default(), Signs::with);
    }
}

impl Stage {
    /// What was seen of it.
    pub(crate) fn flows<'a>(&'a self, kept: &'a Kept) -> impl Iterator<Item = &'a Flow> + Clone {
        self.seen.iter().map(|at| kept.flow(*at))
    }
}
