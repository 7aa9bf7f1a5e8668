//! What a client's lookups would have cost with other settings, replayed one by one.

use crate::track::lookup::{Lookup, Stack, Verdict};

/// Settings that are tried: `ndots` 1 to 5, then names written with a dot at the end.
pub(crate) const SETTINGS: usize = 6;

/// Name of a setting.
pub(crate) fn setting(at: usize) -> &'static str {
    ["ndots:1", "ndots:2", "ndots:3", "ndots:4", "ndots:5", "trailing dot"].get(at).copied().unwrap_or_default()
}

/// What one setting would have come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Cost {
    /// Queries, without resends.
    pub(crate) queries: u64,
    /// Lookups that would not have found their name.
    pub(crate) broken: u64,
}

/// Costs of lookups that found their name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct WhatIf {
    /// Lookups replayed.
    pub(crate) lookups: u64,
    /// Queries they took, without resends.
    pub(crate) queries: u64,
    /// By setting.
    pub(crate) costs: [Cost; SETTINGS],
}

impl WhatIf {
    /// Replays a lookup, if it was seen whole and found its name.
    pub(crate) fn add(&mut self, lookup: &Lookup<'_>) {
        if !lookup.complete || lookup.verdict != Verdict::Found {
            return;
        }
        self.lookups += 1;
        self.queries += u64::from(lookup.queries - lookup.resent);
        for (at, cost) in self.costs.iter_mut().enumerate() {
            let (tried, found) = if at + 1 == SETTINGS { as_it_is(lookup) } else { with_ndots(lookup, at as u32 + 1) };
            cost.queries += u64::from(tried * lookup.types);
            cost.broken += u64::from(!found);
        }
    }

    /// Queries that a setting would have saved; negative where it would have cost more.
    pub(crate) fn saved(&self, at: usize) -> i64 {
        self.costs.get(at).map_or(0, |cost| self.queries as i64 - cost.queries as i64)
    }

    /// The `ndots` from 2 on that saves most of those that break nothing, if any saves.
    pub(crate) fn best_ndots(&self) -> Option<u32> {
        let harmless = (2..=5).filter(|n| self.costs[*n as usize - 1].broken == 0 && self.saved(*n as usize - 1) > 0);
        harmless.max_by_key(|n| (self.saved(*n as usize - 1), *n))
    }
}

impl std::ops::AddAssign for WhatIf {
    fn add_assign(&mut self, more: Self) {
        self.lookups += more.lookups;
        self.queries += more.queries;
        for (cost, more) in self.costs.iter_mut().zip(more.costs) {
            cost.queries += more.queries;
            cost.broken += more.broken;
        }
    }
}

/// Names tried, and whether one is found, when nothing is searched.
fn as_it_is(lookup: &Lookup<'_>) -> (u32, bool) {
    (1, lookup.suffix.is_none())
}

/// Names tried, and whether one is found, with this `ndots`: a name with as many dots is tried as it is first. What was
/// not tried is taken not to exist. musl does not search such a name at all (musl, `name_from_dns_search`).
fn with_ndots(lookup: &Lookup<'_>, ndots: u32) -> (u32, bool) {
    let as_it_is_first = lookup.dots >= ndots;
    match lookup.suffix_place {
        None if as_it_is_first || lookup.candidates == 1 => (1, true),
        None => (lookup.suffix_count + 1, true),
        Some(_) if as_it_is_first && lookup.stack == Stack::Musl => (1, false),
        Some(place) if as_it_is_first => (place + 2, true),
        Some(place) => (place + 1, true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(dots: u32, place: Option<u32>, candidates: u32, stack: Stack) -> Lookup<'static> {
        let suffix = place.map(|_| "svc.cluster.local");
        Lookup {
            dots,
            suffix,
            suffix_place: place,
            suffix_count: 3,
            candidates,
            queries: candidates * 2,
            types: 2,
            complete: true,
            verdict: Verdict::Found,
            stack,
            ..Lookup::default()
        }
    }

    fn costs(lookup: &Lookup<'_>) -> Vec<(u64, u64)> {
        let mut what_if = WhatIf::default();
        what_if.add(lookup);
        what_if.costs.iter().map(|cost| (cost.queries, cost.broken)).collect()
    }

    #[test]
    fn external_names_are_asked_once_where_they_have_the_dots() {
        let external = lookup(2, None, 4, Stack::Glibc);
        assert_eq!(costs(&external), [(2, 0), (2, 0), (8, 0), (8, 0), (8, 0), (2, 0)]);
    }

    #[test]
    fn musl_does_not_search_names_that_have_the_dots() {
        let short = lookup(1, Some(1), 2, Stack::Musl);
        assert_eq!(costs(&short), [(2, 1), (4, 0), (4, 0), (4, 0), (4, 0), (2, 1)]);
        let with_glibc = lookup(1, Some(1), 2, Stack::Glibc);
        assert_eq!(costs(&with_glibc)[0], (6, 0));
    }

    #[test]
    fn absolute_names_do_not_care() {
        assert!(costs(&lookup(3, None, 1, Stack::Go)).iter().all(|cost| *cost == (2, 0)));
    }

    #[test]
    fn the_best_is_the_one_that_saves_most_without_harm() {
        let mut what_if = WhatIf::default();
        what_if.add(&lookup(2, None, 4, Stack::Musl));
        what_if.add(&lookup(1, Some(1), 2, Stack::Musl));
        assert_eq!(what_if.best_ndots(), Some(2));
        what_if.add(&lookup(2, Some(1), 2, Stack::Musl));
        assert_eq!(what_if.best_ndots(), None);
    }
}
