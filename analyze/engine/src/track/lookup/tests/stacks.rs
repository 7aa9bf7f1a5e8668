//! Each resolver as it was recorded.

use super::*;

const EXTERNAL: [&str; 4] = [
    "api.example.com.production.svc.cluster.local",
    "api.example.com.svc.cluster.local",
    "api.example.com.cluster.local",
    "api.example.com",
];
const LIST: [&str; 3] = ["production.svc.cluster.local", "svc.cluster.local", "cluster.local"];

fn external(client: &str, at: f64, seed: u16) -> String {
    let [a, b, c, d] = EXTERNAL;
    glibc(client, at, seed, &[(a, "nx"), (b, "nx"), (c, "nx"), (d, "found")])
}

#[test]
fn glibc_walks_the_list() {
    let told = run(&external("10.244.1.5", 0.0, 7));
    assert_eq!(told.in_short(), ["api.example.com found 4/8/6"]);
    assert_eq!(told.list(), LIST);
    let lookup = &told.lookups[0];
    assert_eq!((lookup.stack, lookup.walk, lookup.absent_proven), (Stack::Glibc, Walk::SuffixesFirst, 3));
    assert!(lookup.stack_confidence > 0.9);
    assert_eq!((lookup.dots, lookup.suffix, lookup.suffix_count), (2, None, 3));
}

#[test]
fn one_client_of_another_family_walks_the_same_way() {
    let told = run(&external("[fd00:244::5]", 0.0, 7));
    assert_eq!(told.in_short(), ["api.example.com found 4/8/6"]);
}

#[test]
fn glibc_asks_one_type_after_the_other_where_the_machine_is_busy() {
    let script = "
        0.000 10.0.0.1:51456 e0ec A api.example.com.production.svc.cluster.local nx@0.0003
        0.0004 10.0.0.1:51456 bcef AAAA api.example.com.production.svc.cluster.local nx@0.0006
        0.0007 10.0.0.1:45895 689c A api.example.com.svc.cluster.local nx@0.0008
        0.0009 10.0.0.1:45895 fd9e AAAA api.example.com.svc.cluster.local nx@0.0010
        0.0011 10.0.0.1:45511 80a0 A api.example.com.cluster.local nx@0.0012
        0.0013 10.0.0.1:45511 04a0 AAAA api.example.com.cluster.local nx@0.0014
        0.0015 10.0.0.1:41996 bfef A api.example.com found@0.0016
        0.0017 10.0.0.1:41996 09ef AAAA api.example.com nodata@0.0018";
    let told = run(script);
    assert_eq!(told.in_short(), ["api.example.com found 4/8/6"]);
    assert_eq!(told.lookups[0].stack, Stack::Glibc);
}

#[test]
fn musl_is_known_by_its_clock() {
    let script = "
        0.000 10.0.0.1:49925 a4e1 A api.example.com.production.svc.cluster.local nx@0.0002
        0.00004 10.0.0.1:49925 a5cb AAAA api.example.com.production.svc.cluster.local nx@0.00025
        0.00026 10.0.0.1:42976 9d6f A api.example.com.svc.cluster.local nx@0.00028
        0.00027 10.0.0.1:42976 9e1c AAAA api.example.com.svc.cluster.local nx@0.0003
        0.00031 10.0.0.1:54148 5526 A api.example.com.cluster.local nx@0.00032
        0.000315 10.0.0.1:54148 55c9 AAAA api.example.com.cluster.local nx@0.00034
        0.00035 10.0.0.1:59753 e5d0 A api.example.com found@0.00036
        0.000352 10.0.0.1:59753 e65a AAAA api.example.com nodata@0.00038";
    let told = run(script);
    assert_eq!(told.in_short(), ["api.example.com found 4/8/6"]);
    assert_eq!(told.lookups[0].stack, Stack::Musl);
}

#[test]
fn musl_gives_up_where_a_suffix_has_no_records() {
    let script = "
        0.000 10.0.0.1:39893 d714 A api.example.com.production.svc.cluster.local nodata@0.001
        0.001 10.0.0.1:39893 d7fb AAAA api.example.com.production.svc.cluster.local nodata@0.002";
    let told = run(script);
    assert_eq!(told.lookups.len(), 1);
    assert_eq!((told.lookups[0].stack, told.lookups[0].complete), (Stack::Musl, true));
}

#[test]
fn musl_gives_up_after_servfail() {
    let script = "
        0.000 10.0.0.1:38262 87eb A api.example.com.production.svc.cluster.local nx@0.0002
        0.00008 10.0.0.1:38262 88cc AAAA api.example.com.production.svc.cluster.local nx@0.00026
        0.00028 10.0.0.1:57836 6c1d A api.example.com.svc.cluster.local servfail@0.0003 x6 last=2.502
        0.00029 10.0.0.1:57836 6d05 AAAA api.example.com.svc.cluster.local servfail@0.0004 x6 last=2.502";
    let told = run(script);
    assert_eq!(told.in_short(), ["api.example.com servfail 2/14/2"]);
    assert_eq!((told.lookups[0].stack, told.lookups[0].resent), (Stack::Musl, 10));
}

#[test]
fn go_asks_from_two_ports_in_either_order() {
    let script = "
        0.000 10.0.0.1:37955 45ae A api.example.com.production.svc.cluster.local nx@0.0267 edns=1232
        0.0001 10.0.0.1:44640 172d AAAA api.example.com.production.svc.cluster.local nx@0.0268 edns=1232
        0.0271 10.0.0.1:47573 e2f4 AAAA api.example.com.svc.cluster.local nx@0.0272 edns=1232
        0.02717 10.0.0.1:43265 d6f4 A api.example.com.svc.cluster.local nx@0.0273 edns=1232
        0.02734 10.0.0.1:40695 4c8f AAAA api.example.com.cluster.local nx@0.0274 edns=1232
        0.02736 10.0.0.1:53827 dd6b A api.example.com.cluster.local nx@0.02743 edns=1232
        0.02745 10.0.0.1:53477 d6c4 AAAA api.example.com nodata@0.02748 edns=1232
        0.02747 10.0.0.1:41487 35b5 A api.example.com found@0.02752 edns=1232";
    let told = run(script);
    assert_eq!(told.in_short(), ["api.example.com found 4/8/6"]);
    assert_eq!(told.lookups[0].stack, Stack::Go);
}

#[test]
fn go_asks_again_at_once_after_servfail_and_goes_on() {
    let script = "
        0.000 10.0.0.1:43377 48c1 A api.example.com.production.svc.cluster.local nx@0.0006 edns=1232
        0.0001 10.0.0.1:39443 aa86 AAAA api.example.com.production.svc.cluster.local nx@0.0008 edns=1232
        0.0009 10.0.0.1:51711 7b00 AAAA api.example.com.svc.cluster.local servfail@0.00099 edns=1232
        0.00098 10.0.0.1:34708 3fde A api.example.com.svc.cluster.local servfail@0.00101 edns=1232
        0.00107 10.0.0.1:59759 7129 AAAA api.example.com.svc.cluster.local servfail@0.00109 edns=1232
        0.0071 10.0.0.1:51691 71fa A api.example.com.svc.cluster.local servfail@0.00735 edns=1232
        0.0074 10.0.0.1:48660 46ef AAAA api.example.com.cluster.local nx@0.0075 edns=1232
        0.00747 10.0.0.1:42051 065d A api.example.com.cluster.local nx@0.00754 edns=1232
        0.00756 10.0.0.1:48739 34e0 AAAA api.example.com nodata@0.0076 edns=1232
        0.00758 10.0.0.1:59226 19be A api.example.com found@0.00764 edns=1232";
    assert_eq!(run(script).in_short(), ["api.example.com found 4/10/4"]);
}

#[test]
fn go_walks_on_after_each_timeout() {
    let names =
        ["x.example.com.shop.svc.k8s.corp", "x.example.com.svc.k8s.corp", "x.example.com.k8s.corp", "x.example.com"];
    let mut script = glibc(
        "10.0.0.1",
        0.0,
        3,
        &[
            ("a.example.com.shop.svc.k8s.corp", "nx"),
            ("a.example.com.svc.k8s.corp", "nx"),
            ("a.example.com.k8s.corp", "nx"),
            ("a.example.com", "found"),
        ],
    );
    for (step, name) in names.iter().enumerate() {
        for (again, at) in [(0, 10.0 + 10.0 * step as f64), (1, 15.0 + 10.0 * step as f64)] {
            let port = 40_000 + step * 8 + again * 2;
            script.extend([
                format!("{at} 10.0.0.1:{port} {port:04x} AAAA {name} silent edns=1232\n"),
                format!("{} 10.0.0.1:{} {:04x} A {name} silent edns=1232\n", at + 0.0002, port + 1, port + 1),
            ]);
        }
    }
    let told = run(&script);
    assert_eq!(told.in_short(), ["a.example.com found 4/8/6", "x.example.com timeout 4/16/0"]);
    assert_eq!((told.lookups[1].stack, told.lookups[1].absent_proven), (Stack::Go, 0));
}

#[test]
fn glibc_skips_suffixes_after_refused_and_after_silence() {
    let refused = "
        0.000 10.0.0.1:34145 8033 A api.example.com.production.svc.cluster.local refused@0.0002 x2 last=0.0068
        0.00005 10.0.0.1:34145 b937 AAAA api.example.com.production.svc.cluster.local refused@0.0003 x2 last=0.0069
        0.0125 10.0.0.1:45465 69da A api.example.com found@0.0148
        0.0126 10.0.0.1:45465 e3c4 AAAA api.example.com nodata@0.0149";
    let told = run(refused);
    assert_eq!(told.in_short(), ["api.example.com found 2/6/0"]);
    assert_eq!(told.lookups[0].absent_proven, 0);
    let silent = "
        0.000 10.0.0.1:59953 c337 A api.example.com.production.svc.cluster.local silent x2 last=5.003
        0.00002 10.0.0.1:59953 fc2e AAAA api.example.com.production.svc.cluster.local silent x2 last=5.003
        10.008 10.0.0.1:38645 bd57 A api.example.com silent x2 last=15.013
        10.0082 10.0.0.1:38645 e453 AAAA api.example.com silent x2 last=15.013";
    assert_eq!(run(silent).in_short(), ["api.example.com timeout 2/8/0"]);
}

#[test]
fn glibc_asks_again_from_new_ports_with_the_same_identifications() {
    let script = "
        0.000 10.0.0.1:55973 62d8 A postgres.production.svc.cluster.local found@0.0003 x2 last=5.004
        0.0014 10.0.0.1:55973 11db AAAA postgres.production.svc.cluster.local silent x2 last=5.0046
        10.007 10.0.0.1:53649 62d8 A postgres.production.svc.cluster.local found@10.0075
        10.0075 10.0.0.1:33005 11db AAAA postgres.production.svc.cluster.local silent";
    assert_eq!(run(script).in_short(), ["postgres.production.svc.cluster.local found 1/6/0"]);
}

#[test]
fn c_ares_keeps_the_identification_and_changes_the_port() {
    let script = "
        0.000 10.0.0.1:33227 cc5d A api.example.com silent
        2.456 10.0.0.1:34258 cc5d A api.example.com silent
        5.458 10.0.0.1:46228 cc5d A api.example.com silent
        10.463 10.0.0.1:49452 cc5d A api.example.com silent";
    let told = run(script);
    assert_eq!(told.in_short(), ["api.example.com timeout 1/4/0"]);
    assert_eq!(told.lookups[0].stack, Stack::CAres);
}

#[test]
fn dig_searches_with_one_type() {
    let script = "
        0.000 10.0.0.1:39140 25bb A api.example.com.production.svc.cluster.local nx@0.003 edns=1232 ad
        0.005 10.0.0.1:51886 6769 A api.example.com.svc.cluster.local nx@0.0052 edns=1232 ad
        0.0053 10.0.0.1:35227 68e6 A api.example.com.cluster.local nx@0.00531 edns=1232 ad
        0.00535 10.0.0.1:53847 5321 A api.example.com found@0.0054 edns=1232 ad";
    let told = run(script);
    assert_eq!(told.in_short(), ["api.example.com found 4/4/3"]);
    assert_eq!(told.lookups[0].stack, Stack::Dig);
}

#[test]
fn a_truncated_answer_is_asked_for_again_over_tcp() {
    let script = "
        0.000 10.0.0.1:57024 b8a2 A postgres.production.svc.cluster.local tc@0.0019 edns=1232
        0.0016 10.0.0.1:32893 e7d4 AAAA postgres.production.svc.cluster.local nodata@0.0021 edns=1232
        0.0020 10.0.0.1:47012 b8a2 A postgres.production.svc.cluster.local found@0.0022 edns=1232 tcp";
    assert_eq!(run(script).in_short(), ["postgres.production.svc.cluster.local found 1/3/0"]);
}

#[test]
fn a_name_with_enough_dots_is_tried_as_it_is_first() {
    let script = glibc(
        "10.0.0.1",
        0.0,
        9,
        &[
            ("postgres.production", "nx"),
            ("postgres.production.production.svc.cluster.local", "nx"),
            ("postgres.production.svc.cluster.local", "found"),
        ],
    );
    let told = run(&script);
    assert_eq!(told.in_short(), ["postgres.production found 3/6/4"]);
    assert_eq!((told.lookups[0].walk, told.lookups[0].suffix_place), (Walk::NameFirst, Some(1)));
    assert_eq!(told.lookups[0].kind.name(), "svc.ns");
}

#[test]
fn short_names_hit_early() {
    let mut script = glibc("10.0.0.1", 0.0, 1, &[("api.shop.svc.cluster.local", "found")]);
    script += &glibc(
        "10.0.0.1",
        1.0,
        2,
        &[("redis.cache.shop.svc.cluster.local", "nx"), ("redis.cache.svc.cluster.local", "found")],
    );
    let told = run(&script);
    assert_eq!(told.in_short(), ["api found 1/2/0", "redis.cache found 2/4/2"]);
    assert_eq!(told.lookups[0].kind.name(), "svc");
}

#[test]
fn a_full_name_without_the_dot_is_searched() {
    let script = glibc(
        "10.0.0.1",
        0.0,
        9,
        &[
            ("pg.prod.svc.cluster.local.prod.svc.cluster.local", "nx"),
            ("pg.prod.svc.cluster.local.svc.cluster.local", "nx"),
            ("pg.prod.svc.cluster.local.cluster.local", "nx"),
            ("pg.prod.svc.cluster.local", "found"),
        ],
    );
    let told = run(&script);
    assert_eq!(told.in_short(), ["pg.prod.svc.cluster.local found 4/8/6"]);
    assert!(told.lookups[0].doubled);
    assert_eq!(told.list(), ["prod.svc.cluster.local", "svc.cluster.local", "cluster.local"]);
}

#[test]
fn a_name_that_is_nowhere_is_missing() {
    let script = glibc(
        "10.0.0.1",
        0.0,
        9,
        &[
            ("paymets.shop.svc.cluster.local", "nx"),
            ("paymets.svc.cluster.local", "nx"),
            ("paymets.cluster.local", "nx"),
            ("paymets", "nx"),
        ],
    );
    let told = run(&script);
    assert_eq!(told.in_short(), ["paymets nxdomain 4/8/6"]);
    assert!(told.lookups[0].is_missing);
}

#[test]
fn the_server_may_walk_the_list_itself() {
    let mut told = run("0.0 10.0.0.1:4000 aaaa A api.example.com.shop.svc.cluster.local found@0.001");
    assert_eq!(told.lookups.remove(0).candidates, 1);
}
