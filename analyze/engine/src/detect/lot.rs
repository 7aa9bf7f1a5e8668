//! Draws by lot: whether failures among attempts fit one endpoint of several, chosen anew each time.

/// Chance below which it is none.
const CHANCE: f64 = 0.001;

/// Whether an endpoint that fails now served before the first failure: by the share that fails since, so many successes
/// in a row are no chance.
pub(super) fn served(failed: &[bool]) -> bool {
    let before = failed.iter().position(|failed| *failed).unwrap_or_default();
    let since = &failed[before..];
    let share = since.iter().filter(|failed| **failed).count() as f64 / since.len().max(1) as f64;
    (1.0 - share).powf(before as f64) < CHANCE
}

/// Whether failures lie so close together that dealt out over all attempts they would not: of `f` points among `n`, all
/// are in one stretch of `w` with a chance of at most `f (w / n)^(f - 1)`.
pub(super) fn is_spell(failed: &[bool]) -> bool {
    let f = failed.iter().filter(|failed| **failed).count();
    let first = failed.iter().position(|failed| *failed).unwrap_or_default();
    let last = failed.iter().rposition(|failed| *failed).unwrap_or_default();
    let share = (last - first + 1) as f64 / failed.len().max(1) as f64;
    f > 1 && first > 0 && f as f64 * share.powf((f - 1) as f64) < CHANCE
}

/// Whether so many failures among so many attempts follow each other by more than chance: of all ways to deal them out,
/// few leave no success in between.
pub(super) fn are_adjacent(failed: usize, of: usize) -> bool {
    let ways = (0..failed).map(|k| (of.saturating_sub(k)) as f64 / (k + 1) as f64).product::<f64>();
    (of + 1).saturating_sub(failed) as f64 / ways < CHANCE
}

/// Outcomes by client. Of all ways to deal out `f` failures among `n` draws, at most as many as each client has places for
/// a first failure leave none that succeeds after one that failed; at most two for each leave none that has both.
pub(super) fn depends_on_client(clients: &[Vec<bool>]) -> bool {
    let since = |draws: &[bool]| draws.iter().position(|failed| *failed).unwrap_or(draws.len());
    let divided = clients.iter().all(|draws| draws[since(draws)..].iter().all(|failed| *failed));
    let n: usize = clients.iter().map(Vec::len).sum();
    let f = clients.iter().flatten().filter(|failed| **failed).count();
    let all: f64 = (0..f).map(|k| ((n - k) as f64 / (k + 1) as f64).ln()).sum();
    let pure = clients.iter().all(|draws| draws.iter().all(|failed| *failed == draws[0]));
    let places = |draws: &Vec<bool>| if pure { 2.0 } else { (draws.len() + 1) as f64 };
    let such: f64 = clients.iter().map(|draws| places(draws).ln()).sum();
    divided && clients.len() > 1 && all - such > RARE.ln()
}

/// How many ways there are for each that may be chance.
const RARE: f64 = 20.0;

/// Whether failures and successes take turns about as often as they would by lot: in `n` draws of which `f` fail, runs
/// of equal outcomes number `2 f (n - f) / n + 1` on average. A server that was away for a while makes two or three.
pub(super) fn is_lot(failed: &[bool]) -> bool {
    let (n, f) = (failed.len(), failed.iter().filter(|failed| **failed).count());
    if f < 2 || n - f < 2 {
        return false;
    }
    let runs = failed.chunk_by(|a, b| a == b).count();
    runs >= 4 && runs * n * 2 >= 2 * f * (n - f) + n
}

#[cfg(test)]
mod tests {
    use super::{are_adjacent, depends_on_client, is_lot, is_spell, served};

    fn draws(text: &str) -> Vec<bool> {
        text.bytes().map(|b| b == b'x').collect()
    }

    #[test]
    fn failures_begin_when_an_endpoint_goes_down() {
        assert!(served(&draws(".............x.x..xx...x.")));
        assert!(!served(&draws("..x.x..xx...x...........")));
        assert!(!served(&draws("....x.x..xx...x.")));
    }

    #[test]
    fn failures_in_one_stretch_are_a_spell() {
        assert!(is_spell(&draws("...........................x..x.x.x.x.x.x..xx...................................")));
        assert!(!is_spell(&draws("....x.x..xx...x.....x........")));
        assert!(!is_spell(&draws("...........x.x...........")));
        assert!(!is_spell(&draws("xxxxxxxx.........................................")));
    }

    #[test]
    fn failures_that_follow_each_other_are_no_chance() {
        assert!(are_adjacent(4, 42) && are_adjacent(3, 80) && are_adjacent(14, 53));
        assert!(!are_adjacent(3, 60) && !are_adjacent(4, 20) && !are_adjacent(1, 1000) && !are_adjacent(5, 5));
    }

    #[test]
    fn failures_of_one_client_only_are_no_lot() {
        let clients = |texts: &[&str]| texts.iter().map(|text| draws(text)).collect::<Vec<_>>();
        assert!(depends_on_client(&clients(&["..........xxxxxxxxxx", "...................."])));
        assert!(depends_on_client(&clients(&["xxxx", "................."])));
        assert!(depends_on_client(&clients(&["xx", "............"])));
        assert!(!depends_on_client(&clients(&["xx", "....."])));
        assert!(!depends_on_client(&clients(&["x", ".", "x", ".", ".", "x"])));
        assert!(!depends_on_client(&clients(&["..x.x..xx.", "..........", "...x...x.."])));
        assert!(!depends_on_client(&clients(&["....xxxx"])));
    }

    #[test]
    fn turns_are_by_lot_and_stretches_are_not() {
        assert!(is_lot(&draws("..x.x..xx...x.")));
        assert!(!is_lot(&draws("......xxxxxxx......")));
        assert!(!is_lot(&draws("......xxxxxxx")));
        assert!(!is_lot(&draws("...x......")));
        assert!(!is_lot(&draws("xxxxxxxxx")));
    }
}
