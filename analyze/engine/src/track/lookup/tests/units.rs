//! The same questions in several captures, and rounds before the end.

use super::*;

fn walk(client: &str, at: f64, seed: u16, extra: &str) -> String {
    let steps = [
        ("api.example.com.shop.svc.cluster.local", "nx"),
        ("api.example.com.svc.cluster.local", "nx"),
        ("api.example.com.cluster.local", "nx"),
        ("api.example.com", "found"),
    ];
    glibc(client, at, seed, &steps).lines().map(|line| format!("{line} {extra}\n")).collect::<Vec<_>>().concat()
}

#[test]
fn two_captures_of_a_client_count_once_though_clocks_differ() {
    let here: String = (0..10u16).map(|n| walk("10.0.0.1", f64::from(n), n, "unit=0")).collect();
    let there: String = (0..10u16).map(|n| walk("10.0.0.1", f64::from(n) - 0.25, n, "unit=1")).collect();
    let told = run(&(here + &there));
    assert_eq!(told.lookups.len(), 10);
    assert!(told.lookups.iter().all(|l| l.queries == 8 && l.wasted_queries == 6), "{:?}", told.in_short());
}

#[test]
fn two_servers_complete_each_other() {
    let lines: Vec<String> = (0..10u16)
        .flat_map(|n| walk("10.0.0.1", f64::from(n), n, "").lines().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let script: Vec<String> =
        lines.iter().enumerate().map(|(at, line)| format!("{line} unit={}", at / 2 % 2)).collect();
    let mut script: Vec<&String> = script.iter().collect();
    script.sort_by_key(|line| line.ends_with('1'));
    let told = run(&script.iter().map(|line| format!("{line}\n")).collect::<Vec<_>>().concat());
    assert_eq!(told.lookups.len(), 10);
    assert!(told.lookups.iter().all(|l| l.candidates == 4 && l.complete), "{:?}", told.in_short());
}

#[test]
fn a_question_behind_snat_is_the_same_question() {
    let pod = walk("10.244.1.5", 0.0, 1, "unit=0");
    let node = walk("192.168.0.1", 0.000_05, 1, "unit=1").replace('@', "@0.00030");
    let node = node
        .lines()
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let start: f64 = words[0].parse().expect("seconds");
            let outcome = words[5].split('@').next().unwrap_or_default();
            format!(
                "{} {} {} {} {} {outcome}@{:.6} unit=1\n",
                words[0],
                words[1],
                words[2],
                words[3],
                words[4],
                start + 0.0002
            )
        })
        .collect::<Vec<_>>()
        .concat();
    let told = run(&(pod + &node));
    assert_eq!(told.in_short(), ["api.example.com found 4/8/6"]);
}

#[test]
fn rounds_before_the_end_change_nothing() {
    let script: String = (0..200u16).map(|n| walk("10.0.0.1", f64::from(n) * 0.3, n, "")).collect();
    let whole = run(&script);
    let mut lookups = Lookups::new(1 << 30);
    let mut told = Told::default();
    for (at, line) in script.lines().enumerate() {
        let query = parse(line, at as u64 + 1, &mut lookups);
        lookups.pass(query.unit, query.end_ns);
        lookups.queries.push(query);
        if at % 333 == 332 {
            lookups.tell_some(&mut told);
        }
    }
    lookups.pass(0, seconds("1000"));
    lookups.tell_all(&mut told);
    told.lookups.sort_by_key(|lookup| lookup.first_ns);
    assert_eq!(told.in_short(), whole.in_short());
    assert!(lookups.untold.rounds > 3);
}

#[test]
fn a_cache_on_the_node_asks_on_behalf_of_pods() {
    let pods: String = (0..10u16).map(|n| walk("10.244.1.5", f64::from(n), n, "")).collect();
    let node: String =
        (0..10u16).map(|n| walk("192.168.0.1", f64::from(n) + 0.000_05, n + 50, "server=10.96.0.99")).collect();
    let node = node
        .lines()
        .map(|line| {
            let start: f64 = line.split(' ').next().and_then(|at| at.parse().ok()).expect("seconds");
            let (before, after) = line.split_once('@').expect("an outcome");
            let options = after.split_once(' ').map_or("", |(_, options)| options);
            format!("{before}@{:.6} {options}\n", start + 0.0002)
        })
        .collect::<Vec<_>>()
        .concat();
    let told = run(&(pods + &node));
    let of = |client: &str| {
        let addr: IpAddr = client.parse().expect("address");
        told.lookups.iter().filter(|lookup| lookup.client == addr.into()).map(|lookup| lookup.stack).collect::<Vec<_>>()
    };
    assert_eq!(of("10.244.1.5"), [Stack::Glibc; 10]);
    assert!(of("192.168.0.1").iter().all(|stack| *stack == Stack::Forwarder));
}
