//! Putting together what has something in common.

use foldhash::fast::RandomState;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// Groups of items, each of which has a tie in common with another of its group; in the order of their first items.
pub(crate) fn groups<T, K: Hash + Eq, I>(items: impl Iterator<Item = T>, ties: impl Fn(&T) -> I) -> Vec<Vec<T>>
where
    I: Iterator<Item = K>,
{
    let mut seen: HashMap<K, usize, RandomState> = HashMap::default();
    let items: Vec<T> = items.collect();
    let mut pairs = Vec::new();
    for (at, item) in items.iter().enumerate() {
        let known = ties(item).map(|tie| *seen.entry(tie).or_insert(at));
        pairs.extend(known.filter(|known| *known != at).map(|known| (known, at)));
    }
    united(items, pairs)
}

/// Groups of items of which pairs, told by their places, belong together; in the order of their first items.
pub(crate) fn united<T>(items: Vec<T>, pairs: impl IntoIterator<Item = (usize, usize)>) -> Vec<Vec<T>> {
    let mut owners: Vec<usize> = (0..items.len()).collect();
    for (a, b) in pairs {
        let (a, b) = (root(&mut owners, a), root(&mut owners, b));
        owners[a.max(b)] = a.min(b);
    }
    let mut groups: BTreeMap<usize, Vec<T>> = BTreeMap::new();
    for (at, item) in items.into_iter().enumerate() {
        // Most groups are of one.
        groups.entry(root(&mut owners, at)).or_insert_with(|| Vec::with_capacity(1)).push(item);
    }
    groups.into_values().collect()
}

/// Who an item belongs to in the end; the way there is made shorter.
fn root(owners: &mut [usize], mut at: usize) -> usize {
    while owners[at] != at {
        owners[at] = owners[owners[at]];
        at = owners[at];
    }
    at
}

#[cfg(test)]
mod tests {
    use super::groups;

    #[test]
    fn ties_reach_through_others() {
        let items = [vec![1, 2], vec![3], vec![4, 5], vec![2, 4]];
        let grouped = groups(items.iter(), |item| item.iter());
        assert_eq!(grouped, [vec![&items[0], &items[2], &items[3]], vec![&items[1]]]);
    }
}
