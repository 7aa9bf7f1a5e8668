//! Many threads, several resolvers, capture points that miss a part, and names that look like walks.

use super::*;

fn walk(client: &str, at: f64, seed: u16, stem: &str, suffixes: &[&str]) -> String {
    let names: Vec<String> = suffixes.iter().map(|suffix| format!("{stem}.{suffix}")).collect();
    let mut steps: Vec<(&str, &str)> = names.iter().map(|name| (&**name, "nx")).collect();
    steps.push((stem, "found"));
    glibc(client, at, seed, &steps)
}

const K8S: [&str; 3] = ["shop.svc.cluster.local", "svc.cluster.local", "cluster.local"];

#[test]
fn threads_are_told_apart_by_their_stems() {
    let script: String = (0..40u16)
        .map(|n| {
            walk("10.0.0.1", f64::from(n / 8) * 0.01 + f64::from(n) * 0.000_01, n, &format!("h{n}.example.com"), &K8S)
        })
        .collect();
    let told = run(&script);
    assert_eq!(told.lookups.len(), 40);
    assert!(
        told.lookups.iter().all(|l| l.complete && l.queries == 8 && l.wasted_queries == 6),
        "{:?}",
        told.in_short()
    );
}

#[test]
fn threads_that_ask_for_the_same_name_are_counted() {
    let script: String =
        (0..20u16).map(|n| walk("10.0.0.1", f64::from(n) * 0.000_1, n * 7, "api.example.com", &K8S)).collect();
    let told = run(&script);
    assert_eq!(told.lookups.len(), 20);
    assert_eq!(told.lookups.iter().map(|l| l.queries).sum::<u32>(), 160);
    assert_eq!(told.lookups.iter().map(|l| l.wasted_queries).sum::<u32>(), 120);
}

#[test]
fn suffixes_of_the_node_follow_those_of_the_cluster() {
    let list = ["shop.svc.k8s.corp", "svc.k8s.corp", "k8s.corp", "eu.corp.example", "corp.example"];
    let stems = ["api.stripe.com", "hooks.slack.com", "api.github.com", "s3.eu-west-1.amazonaws.com"];
    let script: String =
        (0..12u16).map(|n| walk("10.0.0.1", f64::from(n), n, stems[usize::from(n) % 4], &list)).collect();
    let told = run(&script);
    assert_eq!(told.list(), list);
    assert!(told.lookups.iter().all(|l| l.queries == 12 && l.wasted_queries == 10 && l.complete));
    assert_eq!(told.searches.values().next().and_then(Search::cluster_domain), Some("k8s.corp"));
}

#[test]
fn one_name_asked_often_teaches_suffixes_of_the_node() {
    let list = ["shop.svc.k8s.corp", "svc.k8s.corp", "k8s.corp", "corp.example"];
    let script: String = (0..5u16).map(|n| walk("10.0.0.1", f64::from(n), n, "api.stripe.com", &list)).collect();
    assert_eq!(run(&script).list(), list);
}

#[test]
fn a_list_without_kubernetes_needs_three_stems() {
    let two: String =
        (0..2u16).map(|n| walk("10.0.0.1", f64::from(n), n, &format!("h{n}"), &["corp.example"])).collect();
    assert!(run(&two).list().is_empty());
    let three: String =
        (0..3u16).map(|n| walk("10.0.0.1", f64::from(n), n, &format!("h{n}"), &["corp.example"])).collect();
    let told = run(&three);
    assert_eq!(told.list(), ["corp.example"]);
    assert!(told.lookups.iter().all(|l| l.candidates == 2));
}

#[test]
fn fallback_to_another_host_is_no_walk() {
    let script: String = (0..20u16)
        .map(|n| glibc("10.0.0.1", f64::from(n), n, &[("db.first.example", "nx"), ("db.second.example", "found")]))
        .collect();
    let told = run(&script);
    assert!(told.list().is_empty());
    assert_eq!(told.lookups.len(), 40);
    assert!(told.lookups.iter().all(|l| l.wasted_queries == 0));
}

#[test]
fn a_failed_short_name_does_not_make_the_next_name_a_suffix() {
    let mut script = String::new();
    for n in 0..6u16 {
        script += &glibc(
            "10.0.0.1",
            f64::from(n) * 0.02,
            n,
            &[
                ("api.shop.svc.cluster.local", "nx"),
                ("api.svc.cluster.local", "nx"),
                ("api.cluster.local", "nx"),
                ("api", "nx"),
            ],
        );
        script += &walk("10.0.0.1", f64::from(n) * 0.02 + 0.005, n + 100, "api.foo.com", &K8S);
    }
    let told = run(&script);
    assert_eq!(told.list(), K8S);
    assert_eq!(told.lookups.len(), 12, "{:?}", told.in_short());
}

#[test]
fn one_of_two_servers_sees_a_part() {
    let lines: Vec<String> = (0..60u16)
        .flat_map(|n| {
            let script = walk("10.0.0.1", f64::from(n), n, "api.example.com", &K8S);
            let candidates: Vec<String> =
                script.lines().collect::<Vec<_>>().chunks(2).map(|pair| pair.join("\n")).collect();
            candidates
                .into_iter()
                .enumerate()
                .filter(move |(at, _)| (usize::from(n) * 7 + at * 5 + usize::from(n) / 3) % 2 == 0)
        })
        .map(|(_, pair)| pair)
        .collect();
    let told = run(&lines.join("\n"));
    let queries: u32 = told.lookups.iter().map(|l| l.queries).sum();
    assert_eq!(queries as usize, lines.len() * 2);
    let absent = lines.iter().filter(|pair| pair.contains(" nx@")).count() * 2;
    assert_eq!(told.lookups.iter().map(|l| l.wasted_queries).sum::<u32>() as usize, absent);
    assert!(told.lookups.iter().filter(|l| l.absent_proven >= 2).count() >= 15, "{:?}", told.in_short());
}

#[test]
fn what_one_of_two_servers_sees_of_a_name_is_no_missing_name() {
    let first = "web.front.shop.svc.cluster.local";
    let second = "web.front.svc.cluster.local";
    let script: String = (0..12u16)
        .map(|n| glibc("10.0.0.1", f64::from(n), n, &[(first, "nx"), (second, "found")][..=usize::from(n % 6 == 0)]))
        .collect();
    let told = run(&script);
    assert_eq!(told.list(), ["shop.svc.cluster.local", "svc.cluster.local"]);
    assert_eq!(told.lookups.iter().filter(|l| l.complete).count(), 2, "{:?}", told.in_short());
    assert!(told.lookups.iter().all(|l| l.stem == "web.front" && !l.is_missing), "{:?}", told.in_short());
}

#[test]
fn lists_of_blocked_addresses_are_no_search_list() {
    let zones = ["one.example.org", "two.example.net", "three.example.com"];
    let script: String = (0..16u16)
        .map(|n| {
            let names: Vec<String> = zones.iter().map(|zone| format!("{n}.113.0.203.{zone}")).collect();
            let steps: Vec<(&str, &str)> = names.iter().map(|name| (&**name, "nx")).collect();
            glibc("10.0.0.1", f64::from(n), n, &steps)
        })
        .collect();
    let told = run(&script);
    assert!(told.list().is_empty());
    assert!(told.lookups.iter().all(|l| l.walk == Walk::Single && l.wasted_queries == 0));
}

#[test]
fn what_the_capture_cuts_is_partial() {
    let script = walk("10.0.0.1", 0.0, 1, "api.example.com", &K8S);
    let first: Vec<&str> = script.lines().take(4).collect();
    let told = run_until(&first.join("\n"), 0);
    assert_eq!(told.in_short(), ["api.example.com nxdomain 2/4/4 partial"]);
    let last: Vec<&str> = script.lines().skip(2).collect();
    let told = run(&format!("{}{}", last.join("\n"), "\n"));
    assert_eq!(told.lookups.len(), 1);
}

#[test]
fn absolute_names_are_one_candidate_each() {
    let names = ["api.shop.svc.cluster.local", "api.example.com", "nowhere.shop.svc.cluster.local"];
    let script: String = (0..30u16)
        .map(|n| {
            glibc(
                "10.0.0.1",
                f64::from(n) * 0.01,
                n,
                &[(names[usize::from(n) % 3], if n % 3 == 2 { "nx" } else { "found" })],
            )
        })
        .collect();
    let told = run(&script);
    assert!(told.list().is_empty());
    assert_eq!(told.lookups.len(), 30);
    assert!(told.lookups.iter().all(|l| l.candidates == 1 && l.wasted_queries == 0 && l.complete));
    assert_eq!(told.lookups.iter().filter(|l| l.is_missing).count(), 10);
}

#[test]
fn answers_that_are_still_good_are_known() {
    let script = (0..10u16)
        .map(|n| format!("{n}.0 10.0.0.1:{} {n:04x} A api.example.com found@{n}.001 ttl=5\n", 4000 + n))
        .collect::<Vec<_>>()
        .concat();
    assert_eq!(run(&script).repeats, 8);
}
