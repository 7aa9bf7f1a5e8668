//! What must hold whatever was asked.

use super::*;
use proptest::prelude::*;

fn script(client: &str, walks: &[(u8, u16, u8)]) -> String {
    let walk = |(at, (stem, seed, hit)): (usize, &(u8, u16, u8))| {
        let suffixes = ["shop.svc.cluster.local", "svc.cluster.local", "cluster.local", ""];
        let names: Vec<String> = suffixes
            .iter()
            .take(usize::from(*hit % 4) + 1)
            .map(|suffix| format!("h{}.example.com.{suffix}", stem % 5).trim_end_matches('.').to_owned())
            .collect();
        let last = names.len() - 1;
        let steps: Vec<(&str, &str)> =
            names.iter().enumerate().map(|(n, name)| (&**name, if n == last { "found" } else { "nx" })).collect();
        glibc(client, at as f64 * 0.02, *seed, &steps)
    };
    walks.iter().enumerate().map(walk).collect()
}

fn of(told: &Told, client: &str) -> Vec<String> {
    let addr: IpAddr = client.parse().expect("address");
    let lookups = told.lookups.iter().filter(|lookup| lookup.client == addr.into()).cloned().collect();
    Told { lookups, ..Told::default() }.in_short()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn clients_do_not_change_each_other(
        a in prop::collection::vec((any::<u8>(), any::<u16>(), any::<u8>()), 1..20),
        b in prop::collection::vec((any::<u8>(), any::<u16>(), any::<u8>()), 1..20),
    ) {
        let (one, other) = (script("10.0.0.1", &a), script("10.0.0.2", &b));
        let both = run(&(one.clone() + &other));
        prop_assert_eq!(of(&both, "10.0.0.1"), run(&one).in_short());
        prop_assert_eq!(of(&both, "10.0.0.2"), run(&other).in_short());
    }

    #[test]
    fn a_cut_never_adds_queries_or_waste(
        walks in prop::collection::vec((any::<u8>(), any::<u16>(), any::<u8>()), 1..20),
        keep in 0.0f64..1.0,
    ) {
        let whole = script("10.0.0.1", &walks);
        let lines: Vec<&str> = whole.lines().collect();
        let cut = lines[..(lines.len() as f64 * keep) as usize].join("\n");
        let (whole, cut) = (run(&whole), run_until(&cut, 0));
        let sum = |told: &Told, of: fn(&Lookup<'_>) -> u32| told.lookups.iter().map(of).sum::<u32>();
        prop_assert!(sum(&cut, |l| l.queries) <= sum(&whole, |l| l.queries));
        prop_assert!(sum(&cut, |l| l.wasted_queries) <= sum(&whole, |l| l.wasted_queries));
        let missing = |told: &Told| told.lookups.iter().filter(|l| l.is_missing).count();
        prop_assert!(missing(&cut) <= missing(&whole));
    }

    #[test]
    fn every_query_is_in_one_lookup(lines in prop::collection::vec(
        (0u32..3000, 0u8..3, 0u16..4, prop::sample::select(vec!["A", "AAAA", "HTTPS"]),
         prop::sample::select(vec!["a", "a.b", "a.svc.d", "a.n.svc.d", "a.d", "a.b.n.svc.d", "a.svc.svc.d", "n.svc.d", "svc.d", "d"]),
         prop::sample::select(vec!["found", "nx", "nodata", "servfail", "refused", "silent", "open", "tc"])), 0..60)) {
        let mut lines = lines;
        lines.sort_unstable();
        let script = lines.iter().map(|(ms, client, port, kind, name, outcome)| {
            let at = f64::from(*ms) / 1000.0;
            format!("{at} 10.0.0.{client}:{} {:04x} {kind} {name} {outcome}@{}\n", 4000 + port, port * 77, at + 0.002)
        }).collect::<Vec<_>>().concat();
        let told = run(&script);
        prop_assert_eq!(told.lookups.iter().map(|l| l.queries).sum::<u32>() as usize, lines.len());
    }
}
