//! What several points and units saw of the same connections.

use crate::support::{Line, Outcome, run};
use kcap_analyze::{Options, Restrict};
use kcap_file::Inputs;
use std::path::PathBuf;

fn samples() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../samples/cases")
}

/// Analyses captures of the sample cases.
fn sample(case: &str, files: &[&str]) -> Outcome {
    let folder = samples().join(case);
    let files: Vec<PathBuf> = files.iter().map(|file| folder.join(file)).collect();
    run(Box::new(Inputs::open(&files)), Options::default())
}

fn binding(row: &Line) -> [String; 5] {
    let end = |name: &str| format!("{}:{}", row[format!("{name}_addr").as_str()], row[format!("{name}_port").as_str()]);
    [row["kind"].clone(), end("pre_orig"), end("pre_resp"), end("post_orig"), end("post_resp")]
}

const SIX: [&str; 6] = [
    "t1-cpod-eth0.pcap",
    "t1-nodea-any.pcap",
    "t1-nodea-eth0.pcap",
    "t1-rtr-any.pcap",
    "t1-nodeb-eth0.pcap",
    "t1-spod-eth0.pcap",
];

/// As `conntrack -E` of the same minute has it.
const TRANSLATED: [&str; 5] = ["dnat", "10.244.1.5:37500", "10.96.0.20:80", "10.244.1.5:37500", "10.244.2.7:8080"];

#[test]
fn a_translation_is_what_conntrack_says() {
    for files in [&SIX[1..2], &SIX[..3], &SIX[..]] {
        let outcome = sample("one-connection-six-points", files);
        let bindings: Vec<_> = outcome.rows.rows("nat_bindings").iter().map(binding).collect();
        assert_eq!(bindings, [TRANSLATED], "{files:?}");
    }
}

#[test]
fn the_order_of_files_does_not_matter_to_bindings() {
    let mut files = SIX;
    files.reverse();
    let outcome = sample("one-connection-six-points", &files);
    assert_eq!(outcome.rows.rows("nat_bindings").iter().map(binding).collect::<Vec<_>>(), [TRANSLATED]);
}

#[test]
fn a_connection_that_was_open_before_is_bound_by_its_numbers() {
    let file = samples().join("one-connection-six-points/t1-nodea-any.pcap");
    // Its handshake is 10 ms older than the request.
    let restrict = Restrict { since_ns: Some(1_795_197_567_131_000_000), ..Restrict::default() };
    let outcome = run(Box::new(Inputs::open(&[file])), Options { restrict, ..Options::default() });
    let rows = outcome.rows.rows("nat_bindings");
    let ends: Vec<[&str; 3]> = rows
        .iter()
        .map(|row| [&row["method"], &row["pre_resp_addr"], &row["post_resp_addr"]].map(String::as_str))
        .collect();
    assert!(
        matches!(ends[..], [["numbers", "10.96.0.20", "10.244.2.7"] | ["numbers", "10.244.1.5", "10.244.1.5"]]),
        "{ends:?}"
    );
}

#[test]
fn one_side_alone_has_no_binding() {
    for file in ["t1-cpod-eth0.pcap", "t1-nodea-eth0.pcap", "t1-spod-eth0.pcap"] {
        let outcome = sample("one-connection-six-points", &[file]);
        assert!(outcome.rows.rows("nat_bindings").is_empty(), "{file}");
    }
}

#[test]
fn endpoints_share_the_connections_of_their_service() {
    let outcome = sample("stale-endpoint-refuses", &["nodeA-any.pcap.gz"]);
    let of_service = |row: &&Line| row["service_addr"] == "10.96.10.10";
    let rows: Vec<&Line> = outcome.rows.rows("endpoints").iter().filter(of_service).collect();
    let shares: f64 = rows.iter().map(|row| row["share"].parse::<f64>().unwrap()).sum();
    assert_eq!(rows.len(), 3);
    assert!((shares - 1.0).abs() < 1e-9, "{shares}");
    let dead = rows.iter().find(|row| row["endpoint_addr"] == "10.244.2.15").expect("the dead one");
    assert_eq!((dead["refused"].as_str(), dead["established"].as_str()), ("36", "0"));
}

#[test]
fn clocks_of_points_on_one_machine_agree() {
    let outcome = sample("one-connection-six-points", &SIX);
    let number = |row: &Line, column: &str| row[column].parse::<f64>().unwrap();
    let clocks = outcome.rows.rows("clocks");
    assert_eq!(clocks.len(), 15);
    for row in clocks {
        let (offset, bound) = (number(row, "offset_us"), number(row, "bound_us"));
        assert!(offset.abs() <= bound && bound < 1000.0, "{row:?}");
    }
    // The files end within a second of the connection and lack its last packets: that is no loss on the way.
    assert_eq!(outcome.rows.sum("segments", "lost_packets"), 0);
}

#[test]
fn hops_are_in_the_order_of_the_way() {
    let outcome = sample("one-connection-six-points", &SIX[1..2]);
    let hops = outcome.rows.rows("hops");
    assert!(hops.iter().all(|row| row["orig_lost"] == "0" && row["resp_lost"] == "0"), "{hops:?}");
    let of_connection: Vec<&Line> = hops.iter().filter(|row| row["orig_port"] == "37500").collect();
    // veth, bridge behind the translation, tunnel device, and the node's interface inside VXLAN.
    let translated: Vec<&str> = of_connection.iter().map(|row| row["translated"].as_str()).collect();
    assert_eq!(translated, ["true", "false", "false"]);
    assert_eq!(of_connection.last().unwrap()["next_tunnel"], "vxlan");
}

#[test]
fn what_comes_out_of_a_tunnel_is_behind_what_is_in_it() {
    let [wire, interfaces] = ["two-endpoints-server-wire.pcap.gz", "two-endpoints-server-node.pcap.gz"];
    let last_seen = |files: &[&str]| {
        let outcome = sample("svc004-policy-drop", files);
        let (_, told) = outcome.finding("SVC004").explanation.split_once("last seen on ").expect("two captures");
        told.split_whitespace().take(4).collect::<Vec<_>>().join(" ")
    };
    for files in [[wire, interfaces], [interfaces, wire]] {
        let told = last_seen(&files);
        assert!(told.starts_with("interface 4 of ") && told.contains(interfaces), "{told}");
    }
}

#[test]
fn an_error_that_several_captures_have_counts_once() {
    let files = ["client-web-0.pcap", "nodeA-any.pcap", "nodeA-eth0.pcap"];
    let errors = |files: &[&str]| sample("net004-no-route", files).finding("NET004").counts["icmp_errors"];
    // The node sees each before source NAT and behind it, under two addresses.
    assert_eq!([errors(&files[..1]), errors(&files[1..2]), errors(&files)], [2, 2, 2]);
}
