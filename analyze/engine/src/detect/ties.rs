//! Putting together what has something in common.

use std::collections::BTreeMap;

/// Groups of items, each of which has a tie in common with another of its group; in the order of their first items.
pub(crate) fn groups<T, K: Ord, I>(items: impl Iterator<Item = T>, ties: impl Fn(&T) -> I) -> Vec<Vec<T>>
where
    I: Iterator<Item = K>,
{
    let mut owners: Vec<usize> = Vec::new();
    let mut seen: BTreeMap<K, usize> = BTreeMap::new();
    let items: Vec<T> = items.collect();
    for (at, item) in items.iter().enumerate() {
        owners.push(at);
        for tie in ties(item) {
            let known = *seen.entry(tie).or_insert(at);
            let (a, b) = (root(&owners, known), root(&owners, at));
            owners[a.max(b)] = a.min(b);
        }
    }
    let mut groups: BTreeMap<usize, Vec<T>> = BTreeMap::new();
    for (at, item) in items.into_iter().enumerate() {
        groups.entry(root(&owners, at)).or_default().push(item);
    }
    groups.into_values().collect()
}

fn root(owners: &[usize], mut at: usize) -> usize {
    while owners[at] != at {
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
