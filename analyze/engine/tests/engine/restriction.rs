//! Analysing a part, and the story of one connection.

use crate::support::{Outcome, file, run, source};
use crate::traffic::{MS, S, START_NS, Talk, error, ip, mixed, pod};
use kcap_analyze::track::Endpoint;
use kcap_analyze::{Addr, FrameFilter, Options, Restrict};
use kcap_file::LinkType;
use kcap_samples::file::Frame;
use std::net::{IpAddr, Ipv4Addr};

fn restricted(frames: Vec<Frame>, restrict: Restrict) -> Outcome {
    run(source(file(1, frames)), Options { restrict, ..Options::default() })
}

fn addr(ip: Ipv4Addr) -> Addr {
    IpAddr::from(ip).into()
}

fn end((ip, port): (Ipv4Addr, u16)) -> Endpoint {
    Endpoint { addr: addr(ip), port }
}

#[test]
fn by_time() {
    let talk = |n: u8| Talk::new((pod(n), 40_000), (pod(9), 80)).whole(u64::from(n) * S);
    let frames: Vec<Frame> = (1..=4).flat_map(talk).collect();
    let since_ns = Some((START_NS + 2 * S) as i64);
    let until_ns = Some((START_NS + 3 * S) as i64);
    let outcome = restricted(frames, Restrict { since_ns, until_ns, ..Restrict::default() });
    // All of the second connection and the SYN of the third: both ends are included.
    let mut rows = outcome.rows.rows("flows").to_vec();
    rows.sort_by_key(|row| row["first_frame"].parse::<u32>().ok());
    let kept: Vec<_> = rows.iter().map(|row| (row["first_frame"].as_str(), row["conn_state"].as_str())).collect();
    assert_eq!(kept, [("9", "SF"), ("17", "S0")], "frame numbers stay those of the file");
    assert!(outcome.report.not_judged.iter().any(|text| text.contains("restricted")));
}

#[test]
fn by_host_and_port() {
    let frames = [
        Talk::new((pod(1), 40_000), (pod(9), 80)).whole(0),
        Talk::new((pod(2), 40_000), (pod(9), 80)).whole(MS),
        Talk::new((pod(2), 40_001), (pod(9), 443)).whole(2 * MS),
    ]
    .concat();
    let rows = |hosts: &[u8], ports: &[u16]| {
        let hosts = hosts.iter().map(|n| addr(pod(*n))).collect();
        let outcome = restricted(frames.clone(), Restrict { hosts, ports: ports.to_vec(), ..Restrict::default() });
        assert_eq!(outcome.rows.sum("points", "frames"), outcome.rows.rows("packets").len() as i64);
        outcome.rows.rows("flows").len()
    };
    assert_eq!((rows(&[2], &[]), rows(&[], &[80]), rows(&[2], &[80])), (2, 2, 1));
    assert_eq!((rows(&[1, 2], &[443, 80]), rows(&[7], &[]), rows(&[1], &[443])), (3, 0, 0));
}

#[test]
fn inside_a_tunnel_the_innermost_packet_counts() {
    let nodes = (ip(192, 168, 0, 1), ip(192, 168, 0, 2));
    let inside = Talk::new((pod(1), 40_000), (pod(9), 80)).between(nodes.0, nodes.1).whole(0);
    let other = Talk::new((pod(2), 40_000), (pod(8), 80)).between(nodes.0, nodes.1).whole(MS);
    let outcome = restricted([inside, other].concat(), Restrict { hosts: vec![addr(pod(9))], ..Restrict::default() });
    assert_eq!(outcome.rows.rows("flows").len(), 1);
    let tunnel = &outcome.rows.rows("tunnels")[0];
    assert_eq!((tunnel["ab_frames"].as_str(), tunnel["ba_frames"].as_str()), ("5", "3"), "of the packets analysed");
}

/// A SYN to port 80 of pod 9 that a firewall rejects, and a connection that works.
fn rejected() -> Vec<Frame> {
    let mut talk = Talk::new((pod(1), 40_000), (pod(9), 80));
    let mut frames = Talk::new((pod(1), 40_001), (pod(8), 443)).whole(0);
    for second in [0, 1, 3] {
        let syn = talk.syn(second * S);
        frames.push(error(second * S + MS, ip(10, 244, 1, 254), 13, &syn));
        frames.push(syn);
    }
    frames
}

#[test]
fn errors_about_what_is_analysed_belong_to_it() {
    // The error goes from a router to the client: neither the server's address nor the port is its own.
    let whole = restricted(rejected(), Restrict::default());
    assert!(whole.codes().contains(&"SVC005"), "{:?}", whole.codes());
    let parts = [
        Restrict { ports: vec![80], ..Restrict::default() },
        Restrict { hosts: vec![addr(pod(9))], ..Restrict::default() },
        Restrict { connection: Some((end((pod(1), 40_000)), end((pod(9), 80)))), ..Restrict::default() },
    ];
    for restrict in parts {
        let outcome = restricted(rejected(), restrict);
        assert_eq!(outcome.codes(), ["SVC005"]);
        assert_eq!(outcome.rows.rows("icmp_errors").len(), 3);
    }
    let elsewhere = restricted(rejected(), Restrict { ports: vec![443], ..Restrict::default() });
    assert!(elsewhere.rows.rows("icmp_errors").is_empty());
}

#[test]
fn a_story_tells_one_connection_in_order() {
    let mut talk = Talk::new((pod(1), 40_000), (pod(9), 80));
    let mut frames = talk.handshake(0);
    frames.push(talk.segment(3 * MS, true, 0x18, (1, 1), 100));
    frames.push(talk.segment(300 * MS, true, 0x18, (1, 1), 100));
    frames.push(talk.segment(301 * MS, false, 0x14, (1, 101), 0));
    let connection = Some((end((pod(9), 80)), end((pod(1), 40_000))));
    let all = [frames, mixed(5, 400)].concat();
    let story = restricted(all, Restrict { connection, ..Restrict::default() }).report.story;
    let told: Vec<_> =
        story.iter().map(|line| (line.from.as_str(), line.text.split(" window").next().unwrap())).collect();
    let (client, server) = ("10.244.1.1:40000", "10.244.1.9:80");
    let expected = [
        (client, "SYN"),
        (server, "SYN,ACK"),
        (client, "ACK"),
        (client, "PSH,ACK bytes 1..101"),
        (client, "PSH,ACK bytes 1..101"),
        (server, "RST,ACK"),
    ];
    assert_eq!(told, expected);
    assert!(story[4].text.contains("sent before") && story[5].text.contains("resets"), "{story:?}");
    assert_eq!((story[0].offset_s, story[4].offset_s, story[0].file.as_str()), (0.0, 0.3, "built"));
    assert!(story.is_sorted_by_key(|line| line.frame));
}

#[test]
fn a_story_tells_the_error_that_ended_it() {
    let connection = Some((end((pod(1), 40_000)), end((pod(9), 80))));
    let story = restricted(rejected(), Restrict { connection, ..Restrict::default() }).report.story;
    assert_eq!(story.len(), 6);
    assert!(story[1].text.contains("administratively prohibited"), "{story:?}");
}

struct Short;

impl FrameFilter for Short {
    fn accepts(&mut self, link: LinkType, frame: &[u8], orig_len: u32) -> bool {
        assert_eq!((link, frame.len()), (LinkType::ETHERNET, orig_len as usize));
        frame.len() < 100
    }
}

#[test]
fn by_a_filter_over_frames() {
    let frames = Talk::new((pod(1), 40_000), (pod(9), 80)).whole(0);
    let outcome = restricted(frames, Restrict { frames: Some(Box::new(Short)), ..Restrict::default() });
    // Question and answer are longer.
    assert_eq!(outcome.rows.column("packets", "frame"), ["1", "2", "3", "6", "7", "8"]);
}
